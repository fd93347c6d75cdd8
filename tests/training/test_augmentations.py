"""The picture of augmentations: which panels there are, and that each is what a training would see."""

import pytest
import torch

from asr.audio import LogMel, SpecAugment, Warp, load
from asr.config import AugmentConfig, FeatureConfig
from asr.dataset import Manifest, write_manifest
from asr.errors import ConfigError, ManifestError
from asr.training import draw_augmentations
from asr.training.augmentations import AUGMENTATIONS, OFF, STRENGTHS, panels

FEATURES = FeatureConfig(bins=24)


def shown(corpus, config: AugmentConfig, **features) -> dict[str, torch.Tensor]:
    manifest = Manifest(corpus / "train.jsonl")
    found = panels(manifest[3], FEATURES.model_copy(update=features), config, 5, manifest[4])
    return {panel.title: panel.features for panel in found}


def test_every_setting_is_of_an_augmentation():
    assert {name for names in AUGMENTATIONS for name in names} == set(AugmentConfig.model_fields)


def test_panels_are_those_of_what_is_on(corpus):
    config = STRENGTHS.model_copy(update={"noise": (str(corpus / "dev.jsonl"),), "noise_share": 0.1})
    assert list(shown(corpus, config)) == [
        "as it is",
        "concatenation_share = 0.5",
        "speeds = 0.9",
        "speeds = 1.1",
        "silence_seconds = 0.5",
        "reverberation_share = 0.5, reverberation_seconds = [0.2, 0.8]",
        "noise_share = 0.1, noise_snr_db = [5, 20]",
        "gain_db = 6",
        "vocal_tract = 0.1",
        "time_warp_frames = 40",
        "frequency_masks = 2, frequency_mask_bins = 15",
        "time_masks = 2, time_mask_fraction = 0.05",
        "all of them",
    ]
    off = {"frequency_mask_bins": 0, "time_mask_fraction": 0.0, "speeds": (1.0, 1.0), "vocal_tract": 0.1}
    assert list(shown(corpus, AugmentConfig(**off))) == ["as it is", "vocal_tract = 0.1", "all of them"]


def test_each_panel_is_one_augmentation_by_itself(corpus):
    found = shown(corpus, STRENGTHS)
    utterance = Manifest(corpus / "train.jsonl")[3]
    waveform = load(utterance.audio_filepath, 16000)
    plain, lengths = LogMel(FEATURES)(waveform[None], torch.tensor([len(waveform)]))
    assert torch.equal(found["as it is"], plain[0])
    torch.manual_seed(5)
    warped = Warp(OFF.model_copy(update={"vocal_tract": 0.1}), FEATURES)(plain, lengths)
    assert torch.equal(found["vocal_tract = 0.1"], warped[0])
    torch.manual_seed(5)
    masked = SpecAugment(AugmentConfig(frequency_masks=0))(plain, lengths)
    assert torch.equal(found["time_masks = 2, time_mask_fraction = 0.05"], masked[0])
    # louder or softer, the shape of the spectrum stays
    assert torch.allclose(found["gain_db = 6"], plain[0], atol=1e-3)
    assert len(found["speeds = 0.9"]) > len(plain[0]) > len(found["speeds = 1.1"])
    assert len(found["silence_seconds = 0.5"]) > len(plain[0])


def test_another_utterance_follows(corpus):
    found = shown(corpus, OFF.model_copy(update={"concatenation_share": 0.1}))
    manifest = Manifest(corpus / "train.jsonl")
    waveform = torch.cat([load(manifest[index].audio_filepath, 16000) for index in (3, 4)])
    plain, _ = LogMel(FEATURES)(waveform[None], torch.tensor([len(waveform)]))
    assert torch.equal(found["concatenation_share = 0.1"], plain[0])
    assert list(found) == ["as it is", "concatenation_share = 0.1", "all of them"]


def test_nothing_follows_the_only_one(recipe, corpus, tmp_path):
    write_manifest(tmp_path / "one.jsonl", [Manifest(corpus / "train.jsonl")[0]])
    manifest = Manifest(tmp_path / "one.jsonl")
    *_, note = draw_augmentations(recipe, manifest, tmp_path / "a.png", everything=True)
    assert note.startswith("concatenation is left out")


def test_what_happens_to_a_share_happens_here(corpus):
    noise = {"noise": (str(corpus / "dev.jsonl"),), "noise_share": 1e-9}
    for changes in ({"reverberation_share": 1e-9}, noise):
        plain, changed, together = shown(corpus, OFF.model_copy(update=changes)).values()
        assert not torch.equal(changed, plain)
        assert torch.equal(changed, together)


def test_statistics_of_a_training_set_are_stood_in_for(corpus):
    for one, other in zip(
        shown(corpus, STRENGTHS).values(), shown(corpus, STRENGTHS, normalization="global").values(), strict=True
    ):
        assert torch.equal(one, other)


def test_picture_is_whole_and_draws_are_left_alone(recipe, corpus, tmp_path):
    state = torch.get_rng_state()
    manifest = Manifest(corpus / "train.jsonl")
    assert draw_augmentations(recipe, manifest, tmp_path / "a.png") == []
    notes = draw_augmentations(recipe, manifest, tmp_path / "b.png", "train-7", everything=True)
    assert ["noise is left out" in notes[0], "gain_db changes nothing" in notes[1], len(notes)] == [True, True, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}
    assert torch.equal(torch.get_rng_state(), state)
    draw_augmentations(recipe, manifest, tmp_path / "c.png", "train-0")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes(), "the first one, drawn alike"


@pytest.mark.parametrize("speeds", [(1.0, 1.1), (0.9, 1.0, 1.1)])
def test_every_axes_has_its_panel_and_each_column_its_seconds(recipe, corpus, tmp_path, monkeypatch, speeds):
    drawn = []
    monkeypatch.setattr("asr.training.augmentations.save_picture", lambda figure, path: drawn.append(figure))
    augment = OFF.model_copy(update={"speeds": speeds})
    draw_augmentations(recipe.model_copy(update={"augment": augment}), Manifest(corpus / "train.jsonl"), tmp_path / "a")
    seen = [axes for axes in drawn[0].axes if axes.get_visible()]
    assert [axes.get_title() for axes in seen] == [
        "as it is",
        *(f"speeds = {speed}" for speed in speeds if speed != 1.0),
        "all of them",
    ]
    labelled = [axes.get_xlabel() == "seconds" for axes in seen]
    assert labelled == [place >= len(seen) - 2 for place in range(len(seen))]


def test_what_cannot_be_shown_is_said(recipe, corpus, tmp_path):
    manifest = Manifest(corpus / "train.jsonl")
    with pytest.raises(ManifestError, match=r"train\.jsonl: no utterance is called nobody; the first one is train-0"):
        draw_augmentations(recipe, manifest, tmp_path / "a.png", "nobody")
    with pytest.raises(ConfigError, match="turns no augmentation on; show what there is with --all"):
        draw_augmentations(recipe.model_copy(update={"augment": OFF}), manifest, tmp_path / "a.png")
    for name in ("none/a.png", "a.txt"):
        with pytest.raises(ConfigError, match=f"{name}: cannot be written as a picture .*; name another") as caught:
            draw_augmentations(recipe, manifest, tmp_path / name)
        assert "\n" not in str(caught.value)
