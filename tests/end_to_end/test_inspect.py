"""Looking inside, through the command line, on beeps."""

import re
from pathlib import Path

import pytest
from matplotlib.image import imread
from tones import RECIPE, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beeps")
    write_corpus(folder)
    (folder / "tones.toml").write_text(RECIPE, encoding="utf-8")
    return folder


def test_augmentations_of_a_recipe_are_drawn(corpus: Path, asr_command, tmp_path: Path) -> None:
    picture = tmp_path / "augment.png"
    arguments = ("inspect", "augment", corpus / "tones.toml", corpus / "train.jsonl", "--picture", picture)
    status, output, errors = asr_command(*arguments, "--set", "augment.vocal_tract=0.2")
    assert (status, output, errors) == (0, "", f"picture: {picture}\n")
    two_rows = imread(picture)
    status, _, errors = asr_command(*arguments, "--all", "--utterance", "5")
    assert status == 0
    assert errors.startswith("noise is left out: ")
    assert imread(picture).shape[0] > 2 * two_rows.shape[0], "as wide, and more rows"
    assert imread(picture).shape[1] == two_rows.shape[1]
    noise = ("--set", f"augment.noise={corpus}/dev.jsonl", "--set", "augment.noise_share=0.5")
    status, _, errors = asr_command(*arguments, "--all", *noise)
    assert status == 0
    assert re.fullmatch(rf"gain_db changes nothing in this picture, .*\npicture: {picture}\n", errors)


def test_nothing_to_draw_is_one_line(corpus: Path, asr_command, tmp_path: Path) -> None:
    arguments = ("inspect", "augment", corpus / "tones.toml", corpus / "train.jsonl")
    picture = ("--picture", tmp_path / "augment.png")
    for more, said in ((picture, "show what there is with --all"), ((*picture, "--all", "--utterance", "x"), "x;")):
        status, output, errors = asr_command(*arguments, *more)
        assert (status, output, errors.count("\n")) == (1, "", 1)
        assert said in errors
    assert not list(tmp_path.iterdir())
