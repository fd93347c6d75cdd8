import json

import pytest
import torch
from safetensors.torch import load_file

from asr.config import FeatureConfig, ModelConfig, TextConfig
from asr.errors import BundleError
from asr.model.bundle import UNCALIBRATED, Bundle, Calibration, load_bundle, save_bundle, store_calibration
from asr.model.ctc import Model
from asr.text.tokenizer import CharTokenizer

FEATURES = FeatureConfig(bins=16, normalization="global")
ARCHITECTURE = ModelConfig(layers=1, units=4, channels=2)
CONDITIONED = ModelConfig(layers=2, units=4, channels=2, intermediate_layers=(1,), self_conditioned=True)


def make_bundle(architecture: ModelConfig) -> Bundle:
    torch.manual_seed(0)
    tokenizer = CharTokenizer("ab ")
    model = Model(FEATURES, architecture, tokenizer.size).eval()
    text = TextConfig(replace={"&": "and"})
    return Bundle(model, tokenizer, text, FEATURES, architecture, {"seed": 3}, "# A model\n")


@pytest.fixture
def bundle() -> Bundle:
    return make_bundle(ARCHITECTURE)


@pytest.mark.parametrize("architecture", [ARCHITECTURE, CONDITIONED])
def test_round_trip(architecture, tmp_path):
    bundle = make_bundle(architecture)
    folder = tmp_path / "deep" / "model"
    save_bundle(folder, bundle)
    again = load_bundle(folder)
    waveforms, lengths = torch.randn(1, 4000), torch.tensor([4000])
    torch.testing.assert_close(
        again.model.log_probs(waveforms, lengths)[0], bundle.model.log_probs(waveforms, lengths)[0], rtol=0, atol=0
    )
    assert again.tokenizer.tokens == bundle.tokenizer.tokens
    assert (again.text, again.features, again.architecture) == (bundle.text, FEATURES, architecture)
    assert (again.provenance, again.card) == ({"seed": 3}, "# A model\n")
    assert not again.model.training


def test_a_bundle_from_before_a_setting_of_the_model_loads_and_holds_nothing_that_only_training_needs(bundle, tmp_path):
    save_bundle(tmp_path / "model", bundle)
    path = tmp_path / "model" / "config.json"
    values = json.loads(path.read_text())
    for setting in ("intermediate_layers", "self_conditioned", "weight_dropout", "layer_drop"):
        del values["model"][setting]
    path.write_text(json.dumps(values))
    assert load_bundle(tmp_path / "model").architecture == ARCHITECTURE
    assert "label_prior" not in load_file(tmp_path / "model" / "model.safetensors")


def test_saving_again_replaces_and_leaves_nothing_behind(bundle, tmp_path):
    save_bundle(tmp_path / "model", bundle)
    (tmp_path / "model" / "stale").touch()
    save_bundle(tmp_path / "model", bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_calibration_travels_and_older_bundles_have_none(bundle, tmp_path):
    folder = tmp_path / "model"
    save_bundle(folder, bundle)
    assert load_bundle(folder).calibration == UNCALIBRATED == Calibration(greedy=1.0, beam=1.0)
    files = {path.name for path in folder.iterdir()}
    for beam in (1.5, 2.5):
        store_calibration(folder, Calibration(greedy=0.5, beam=beam))
        assert load_bundle(folder).calibration == Calibration(greedy=0.5, beam=beam)
    assert {path.name for path in folder.iterdir()} == files | {"calibration.json"}
    save_bundle(tmp_path / "again", load_bundle(folder))
    assert load_bundle(tmp_path / "again").calibration == Calibration(greedy=0.5, beam=2.5)


@pytest.mark.parametrize("content", ["{", '{"greedy": 0.0}', '{"warmth": 1.0}', "[]", "\xff"])
def test_a_damaged_calibration_is_named(bundle, tmp_path, content):
    save_bundle(tmp_path / "model", bundle)
    (tmp_path / "model/calibration.json").write_text(content, encoding="latin-1")
    with pytest.raises(BundleError, match=r"calibration\.json: not a calibration .*; delete it") as caught:
        load_bundle(tmp_path / "model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(bundle, tmp_path, name):
    save_bundle(tmp_path / "model", bundle)
    (tmp_path / "model" / name).unlink()
    with pytest.raises(BundleError, match=name.split(".")[0]) as caught:
        load_bundle(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_no_folder(tmp_path):
    with pytest.raises(BundleError, match="no such model bundle"):
        load_bundle(tmp_path / "nothing")


def test_a_newer_format_asks_for_a_newer_version(bundle, tmp_path):
    save_bundle(tmp_path / "model", bundle)
    path = tmp_path / "model" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"format_version": 2, "asr_version": "9.9", "colour": "blue"}))
    with pytest.raises(BundleError, match=r"format 2, made by asr 9\.9.*install a newer asr"):
        load_bundle(tmp_path / "model")


@pytest.mark.parametrize("damage", ["truncate", "other_sizes"])
def test_damaged_weights_are_refused_in_one_line(bundle, tmp_path, damage):
    save_bundle(tmp_path / "model", bundle)
    weights, config = tmp_path / "model" / "model.safetensors", tmp_path / "model" / "config.json"
    if damage == "truncate":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        config.write_text(config.read_text().replace('"units": 4', '"units": 8'))
    with pytest.raises(BundleError, match=r"model\.safetensors: damaged") as caught:
        load_bundle(tmp_path / "model")
    assert "\n" not in str(caught.value)
