"""Every recipe can be read, names manifests that its corpus has, and is reached by `make train RECIPE=...`."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from source import ROOT

from asr import runs
from asr.config import load_recipe
from asr.model import Model

RECIPES = sorted(ROOT.glob("recipes/*/**/*.toml"))
NAMES = [str(path.relative_to(ROOT / "recipes").with_suffix("")) for path in RECIPES]


def corpus_of(recipe: Path) -> Path:
    """The folder of its corpus: recipes/an4 of recipes/an4/cells/gru.toml."""
    return ROOT / "recipes" / recipe.relative_to(ROOT / "recipes").parts[0]


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Make as a person calls it, even if these tests were called by make, which passes its own flags on."""
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def plan(*arguments: str, folder: Path = ROOT) -> str:
    """What make would run."""
    done = make("-n", *arguments, folder=folder)
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_recipe_is_valid_and_its_manifests_exist(path: Path) -> None:
    data = load_recipe(path).data
    folder = ROOT / "data" / corpus_of(path).name
    prepare = (folder / "prepare.py").read_text(encoding="utf-8")
    assert data.dev, "early stopping needs a dev set"
    assert data.test, "a result needs a test set"
    for name in (*data.train, data.dev, data.test):
        manifest = Path(name).resolve()
        assert manifest.is_relative_to(folder)
        assert manifest.name in {"train.jsonl", "dev.jsonl", "test.jsonl"}
        subfolder = manifest.parent.relative_to(folder)
        assert not subfolder.parts or f'"{subfolder.parts[0]}/' in prepare, f"{folder}/prepare.py writes no {subfolder}"
    assert len({*data.train, data.dev, data.test}) == len(data.train) + 2, "training, dev and test are apart"


@pytest.mark.parametrize("corpus", sorted({corpus_of(path) for path in RECIPES}), ids=lambda path: path.name)
def test_corpus_has_a_default_and_results(corpus: Path) -> None:
    assert (corpus / "default.toml").is_file()
    assert (corpus / "RESULTS.md").is_file()
    assert not list(corpus.rglob("*.py")), "recipes hold no code"


@pytest.mark.parametrize("path", [path for path in RECIPES if path.name == "default.toml"], ids=lambda p: p.parent.name)
def test_results_hold_what_the_recipe_states(path: Path) -> None:
    stated = load_recipe(path).stated
    assert stated
    least, most = (f"{100 * rate:.2f}" for rate in stated.wer)
    assert f"95% interval {least} to {most}" in (path.parent / "RESULTS.md").read_text(encoding="utf-8")
    name = path.parent.name
    run = re.escape(f"runs/{name}-verify")
    assert re.search(
        rf"asr train \S+{name}/default.toml --run {run} --overwrite --verify", plan("verify", f"RECIPE={name}")
    )


@pytest.mark.parametrize(("path", "name"), list(zip(RECIPES, NAMES, strict=True)), ids=NAMES)
def test_make_reaches_the_recipe(path: Path, name: str) -> None:
    name = name.removesuffix("/default")
    recipe, run = path.relative_to(ROOT), runs.folder(path)
    assert f"asr train {recipe} --run {run} --resume --set seed=1\n" in plan(
        "train", f"RECIPE={name}", "ARGS=--set seed=1"
    )
    assert f"asr evaluate {run}/model {recipe} --json {run}/evaluation.json" in plan("evaluate", f"RECIPE={name}")


def test_make_names_a_run_for_its_recipe() -> None:
    asked = plan("train", "RECIPE=an4/streaming", "ARGS=--overwrite")
    assert re.search(r"asr train recipes/an4/streaming\.toml --run runs/an4-streaming +--overwrite\n", asked)
    assert "asr train recipes/synthetic/default.toml --run runs/synthetic" in plan("train")
    assert "asr train recipes/an4/cells/gru.toml --run runs/an4-cells-gru" in plan("train", "RECIPE=an4/cells/gru")


def test_recipes_that_compare_cells_differ_in_nothing_else() -> None:
    recipes = {path.stem: load_recipe(path) for path in RECIPES if path.parent.name == "cells"}
    assert sorted(recipes) == [cell + way for cell in ("gru", "lstm", "rnn") for way in ("", "-forward")]
    sizes = []
    for name, recipe in recipes.items():
        cell, _, way = name.partition("-")
        assert (recipe.model.cell, recipe.model.bidirectional) == (cell, not way)
        model = Model(recipe.features, recipe.model, vocabulary=29)
        sizes.append(sum(parameter.numel() for parameter in model.parameters()))
    assert max(sizes) < 1.01 * min(sizes)
    assert 1.98e6 < min(sizes) < 2.02e6
    same = [recipe.model_dump(exclude={"model": {"units", "cell", "bidirectional"}}) for recipe in recipes.values()]
    assert all(recipe == same[0] for recipe in same)


def test_make_prepares_a_corpus_that_has_a_preparer(tmp_path: Path) -> None:
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    for name in ("pyproject.toml", "constraints.txt", "data/an4/prepare.py", "data/mine/a.wav", ".venv/.installed"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def commands(recipe: str) -> list[str]:
        return [line.split()[0] for line in plan("train", f"RECIPE={recipe}", folder=tmp_path).splitlines()]

    assert commands("an4") == [".venv/bin/python", ".venv/bin/asr"]
    assert commands("mine") == [".venv/bin/asr"]


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    assert set(re.findall(r"^  make ([\w-]+) ", make().stdout, re.MULTILINE)) == set(phony[1].split())


def test_make_says_what_is_missing() -> None:
    done = make("-n", "transcribe")
    assert done.returncode
    assert 'make transcribe FILES="a.wav b.mp3"' in done.stderr
