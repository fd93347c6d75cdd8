"""Settings: what a recipe may say, and how it is told that it said something else."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from asr.config import FeatureConfig, Recipe, load_recipe, parse_settings
from asr.errors import ConfigError


def recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


MINIMAL = '[data]\ntrain = "train.jsonl"\n'


def test_everything_has_a_default_but_the_data(tmp_path: Path) -> None:
    settings = load_recipe(recipe(tmp_path, MINIMAL))
    assert settings == Recipe.model_validate({"data": {"train": str(tmp_path / "train.jsonl")}})
    assert settings.data.dev is None


def test_manifests_lie_beside_the_recipe(tmp_path: Path) -> None:
    text = '[data]\ntrain = ["a.jsonl", "/elsewhere/b.jsonl"]\ndev = "../dev.jsonl"\ntest = "c/test.jsonl"\n'
    data = load_recipe(recipe(tmp_path, text)).data
    assert data.train == (str(tmp_path / "a.jsonl"), "/elsewhere/b.jsonl")
    assert (data.dev, data.test) == (str(tmp_path / "../dev.jsonl"), str(tmp_path / "c/test.jsonl"))


def test_a_byte_order_mark_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("seed = 3\n" + MINIMAL, encoding="utf-8-sig")
    assert load_recipe(tmp_path / "recipe.toml").seed == 3


def test_noises_lie_beside_the_recipe(tmp_path: Path) -> None:
    text = MINIMAL + '[augment]\nnoise = "../noise.jsonl"\nnoise_share = 0.5\n'
    assert load_recipe(recipe(tmp_path, text)).augment.noise == (str(tmp_path / "../noise.jsonl"),)


def test_set_overrides_the_file(tmp_path: Path) -> None:
    path = recipe(tmp_path, MINIMAL + "[training]\nepochs = 3\n[model]\nunits = 7\n")
    overrides = [
        "training.epochs=5",
        "model.cell=gru",
        "augment.speeds=[1.0]",
        'text.keep="-"',
        "seed=9",
        "model.bidirectional=false",
    ]
    settings = load_recipe(path, overrides)
    assert (settings.training.epochs, settings.model.cell, settings.augment.speeds) == (5, "gru", (1.0,))
    assert (settings.text.keep, settings.seed, settings.model.bidirectional) == ("-", 9, False)
    assert settings.model.units == 7, "what is not overridden stays"


def test_files_that_set_names_lie_here(tmp_path: Path) -> None:
    path = recipe(tmp_path, MINIMAL + 'dev = "dev.jsonl"\ntest = "test.jsonl"\n')
    overrides = ['data.train=["a.jsonl", "/b.jsonl"]', "data.dev=mine/dev.jsonl", "training.initial_model=runs/a/model"]
    settings = load_recipe(path, [*overrides, "data.test="])
    assert settings.data.train == ("a.jsonl", "/b.jsonl")
    assert (settings.data.dev, settings.data.test) == ("mine/dev.jsonl", None)
    assert settings.training.initial_model == "runs/a/model"


def test_the_initial_model_lies_beside_the_recipe(tmp_path: Path) -> None:
    text = MINIMAL + '[training]\ninitial_model = "../model"\n'
    assert load_recipe(recipe(tmp_path, text)).training.initial_model == str(tmp_path / "../model")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            MINIMAL + "[model]\nunits = 8\nlayer = 3\n",
            r"recipe\.toml:5: unknown key model\.layer; known keys here: .*layers",
        ),
        (MINIMAL + "[modle]\nunits = 8\n", r"recipe\.toml:3: unknown key modle; known keys here: augment, data"),
        (
            MINIMAL + "[training]\nepochs = 0\n",
            r"recipe\.toml:4: training\.epochs: .*greater than or equal to 1 \(got 0\)",
        ),
        (MINIMAL + '[training]\nepochs = "many"\n', r"recipe\.toml:4: training\.epochs: .*integer"),
        (MINIMAL + "[training]\nlearning_rate = nan\n", r"recipe\.toml:4: training\.learning_rate: .*finite"),
        (MINIMAL + '[model]\ncell = "transformer"\n', r"recipe\.toml:4: model\.cell: .*'lstm', 'gru' or 'rnn'"),
        (MINIMAL + "[model]\nlookahead_frames = 4\n", r"recipe\.toml:3: model: lookahead_frames is for unidirectional"),
        (
            MINIMAL + "[model]\nlayers = 3\nintermediate_layers = [3]\n",
            r"recipe\.toml:3: model: intermediate_layers must rise and be less than layers, 3",
        ),
        (MINIMAL + "[model]\nintermediate_layers = [2, 1]\n", r"recipe\.toml:3: model: intermediate_layers must rise"),
        (
            MINIMAL + "[model]\nself_conditioned = true\n",
            r"recipe\.toml:3: model: self_conditioned needs intermediate_layers",
        ),
        (
            MINIMAL + "[model]\nintermediate_layers = [1]\n",
            r"recipe\.toml: recipe: .*objective\.intermediate_weight go together; set both",
        ),
        (
            MINIMAL + "[objective]\nintermediate_weight = 0.3\n",
            r"recipe\.toml: recipe: model\.intermediate_layers and .* go together",
        ),
        (
            MINIMAL
            + "[augment]\ntime_masks = 0\nfrequency_masks = 0\n[model]\ndropout = 0\n[objective]\nconsistency = 0.2\n",
            r"recipe\.toml: recipe: objective\.consistency compares views that differ; set augment\.time_masks",
        ),
        (
            MINIMAL + "[augment]\ngain_db = 6\n",
            r"recipe\.toml: recipe: augment\.gain_db does nothing where each utterance is normalised; set gain_db = 0",
        ),
        (
            MINIMAL + "[training]\npatience = 3\n",
            r"recipe\.toml: recipe: training\.patience waits for a better score on data\.dev; name one",
        ),
        (
            MINIMAL + "[training]\nlearning_rate = 1e-6\n",
            r"recipe\.toml:3: training: final_learning_rate 1e-05 must not exceed learning_rate 1e-06",
        ),
        (MINIMAL + "[augment]\nvocal_tract = 1.0\n", r"recipe\.toml:4: augment\.vocal_tract: .*less than 1"),
        (MINIMAL + "[augment]\nnoise_share = 0.5\n", r"recipe\.toml:3: augment: noise and noise_share go together"),
        (MINIMAL + '[augment]\nnoise = "n.jsonl"\n', r"recipe\.toml:3: augment: noise and noise_share go together"),
        (
            MINIMAL + "[augment]\nreverberation_seconds = [0.5, 0.2]\n",
            r"recipe\.toml:4: augment\.reverberation_seconds: the least comes first",
        ),
        (MINIMAL + "[augment]\nnoise_snr_db = [0.5]\n", r"recipe\.toml:4: augment\.noise_snr_db"),
        (
            MINIMAL + "[tokenizer]\ndropout = 0.1\n",
            r'recipe\.toml:3: tokenizer: dropout is of merges, which only subwords have; set kind = "bpe"',
        ),
        (MINIMAL + '[tokenizer]\nkind = "bpe"\ndropout = 1.1\n', r"recipe\.toml:5: tokenizer\.dropout: .*less than"),
        (MINIMAL + "[features]\nhigh_hz = 9000\n", r"recipe\.toml:3: features: need low_hz < high_hz <= 8000"),
        (MINIMAL + "max_seconds = 0.05\n", r"recipe\.toml:1: data: min_seconds 0\.1 must be less"),
        ("[data]\ntrain = []\n", r"recipe\.toml:2: data\.train: .*at least 1 item"),
        ("[data]\ndev = 'd.jsonl'\n", r"recipe\.toml:1: data\.train is required; add it"),
        ("seed = 1\n", r"recipe\.toml: data is required; add it"),
        ("seed = \n", r"recipe\.toml: not valid TOML: .*line 1"),
    ],
)
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_recipe(recipe(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epochs", "not a setting; write table.key=value"),
        ("training..epochs=1", "not a setting"),
        ("seed.first=1", "seed is a value, not a table"),
        ("training.epochs=-1", r"--set training\.epochs: training\.epochs: .*greater than"),
        ("training.epoch=1", r"--set training\.epoch: unknown key training\.epoch; known keys here: .*epochs"),
    ],
)
def test_mistakes_of_set_are_named(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_recipe(recipe(tmp_path, "seed = 1\n" + MINIMAL), [override])


def test_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: no such recipe"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read as a recipe"):
        load_recipe(tmp_path)


def test_a_recipe_may_be_based_on_another(tmp_path: Path) -> None:
    text = '[data]\ntrain = "a.jsonl"\ndev = "dev.jsonl"\ntest = "t.jsonl"\n'
    text += "[augment]\nspeeds = [0.9, 1.1]\n[model]\nunits = 8\nlayers = 2\n[stated]\nwer = [0.1, 0.2]\n"
    recipe(tmp_path, text)
    folder = tmp_path / "cells"
    folder.mkdir()
    above = folder / "gru.toml"
    above.write_text('base = "../recipe.toml"\n[data]\ntrain = "b.jsonl"\ndev = ""\n[model]\ncell = "gru"\nunits = 9\n')
    top = folder / "top.toml"
    top.write_text('base = "gru.toml"\n[augment]\nspeeds = [1.0]\n')
    settings = load_recipe(top, ["model.layers=5"])
    assert (settings.model.cell, settings.model.units, settings.model.layers) == ("gru", 9, 5)
    assert settings.augment.speeds == (1.0,), "lists are replaced"
    assert (settings.data.train, settings.data.dev) == ((str(folder / "b.jsonl"),), None)
    assert settings.data.test == str(folder / "../t.jsonl"), "relative to the file that names it"
    assert settings.stated is None, "stated of the base alone"


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ('"none.toml"', r"above\.toml:2: base: no such recipe .*none\.toml"),
        ('"above.toml"', r"above\.toml:2: base: .*above\.toml is based on this file itself"),
        ("3", r"above\.toml:2: base: 3 is not the name of a recipe"),
        ('"recipe.toml"', r"recipe\.toml:2: unknown key bass; known keys here: "),
        ('"broken.toml"', r"broken\.toml: not valid TOML"),
    ],
)
def test_mistakes_in_bases_are_named_with_their_file(tmp_path: Path, base: str, said: str) -> None:
    recipe(tmp_path, '# voice\nbass = 1\n[data]\ntrain = "a.jsonl"\n')
    (tmp_path / "broken.toml").write_text("seed =")
    above = tmp_path / "above.toml"
    above.write_text(f"# based\nbase = {base}\n[model]\nunits = 9\n")
    with pytest.raises(ConfigError, match=said) as caught:
        load_recipe(above)
    assert "\n" not in str(caught.value)


def test_settings_do_not_change() -> None:
    settings = FeatureConfig()
    with pytest.raises(ValidationError, match="frozen"):
        settings.bins = 40  # type: ignore[misc]


def test_settings_of_a_bundle_are_told_by_where(tmp_path: Path) -> None:
    assert parse_settings(FeatureConfig, {"bins": 40}, "b/config.json") == FeatureConfig(bins=40)
    with pytest.raises(ConfigError, match=r"b/config\.json: unknown key binz; known keys here: bins"):
        parse_settings(FeatureConfig, {"binz": 40}, "b/config.json")
