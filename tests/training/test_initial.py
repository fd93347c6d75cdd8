"""Trainings that begin with a model, not with a new one."""

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from asr.dataset import Manifest, write_manifest
from asr.errors import BundleError, ConfigError, TextError
from asr.model import load_bundle
from asr.training import train
from asr.training.speech import SpeechTask
from recipes import change


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What a recipe has left."""
    runs = {}

    def run(recipe):
        key = recipe.model_dump_json()
        if key not in runs:
            runs[key] = train(recipe, tmp_path_factory.mktemp("run"), console=Console(file=io.StringIO())).model
        return runs[key]

    return run


def begins(recipe, folder, **changes):
    return change(recipe, training={"initial_model": str(folder)} | changes.pop("training", {}), **changes)


@pytest.mark.parametrize("features", [{}, {"normalization": "global", "equalization": "speaker"}])
def test_it_begins_with_all_that_the_model_has(recipe, trained, corpus, tmp_path, features):
    recipe = change(recipe, features=features)
    model = trained(recipe)
    few = [each for each in Manifest(corpus / "train.jsonl") if "d" not in each.text]
    write_manifest(tmp_path / "few.jsonl", few[:4])
    task = SpeechTask(begins(recipe, model, data={"train": str(tmp_path / "few.jsonl")}))
    bundle = load_bundle(model)
    assert task.inputs.tokenizer.tokens == bundle.tokenizer.tokens
    built, wanted = task.build().state_dict(), bundle.model.state_dict()
    assert built.keys() == wanted.keys()
    assert all(torch.equal(built[name], wanted[name]) for name in wanted)
    if features:
        assert torch.equal(task.inputs.train.voices.typical, bundle.model.features.typical_voice)
    assert f"begins with {model}" in task.notes()


def test_without_learning_it_stays_what_it_was(recipe, trained, tmp_path):
    model = trained(recipe)
    still = {"learning_rate": 1e-12, "final_learning_rate": 0.0, "weight_decay": 0.0, "epochs": 1}
    result = train(begins(recipe, model, training=still), tmp_path, console=Console(file=io.StringIO()))
    before, after = load_bundle(model), load_bundle(result.model)
    waveform, length = torch.randn(1, 8000), torch.tensor([8000])
    for log_probs, others in zip(
        before.model.log_probs(waveform, length), after.model.log_probs(waveform, length), strict=True
    ):
        assert torch.allclose(log_probs, others, atol=1e-5)
    assert after.provenance["recipe"]["training"]["initial_model"] == str(model)
    resumed = train(begins(recipe, model, training=still), tmp_path, resume=True, console=Console(file=io.StringIO()))
    assert resumed.steps == result.steps


def test_it_is_judged_first_and_kept_where_training_does_harm(recipe, trained, tmp_path):
    model = trained(change(recipe, training={"epochs": 30}))
    wer = load_bundle(model).provenance["outcome"]["dev_wer"]
    console = Console(file=io.StringIO(), width=200)
    ruin = {"learning_rate": 3.0, "warmup_steps": 0, "epochs": 1, "ema_decay": 0.0, "clip_norm": 1e9}
    result = train(begins(recipe, model, training=ruin), tmp_path, console=console)
    said = console.file.getvalue()
    assert f"before training: WER {wer:.2%}, loss" in said
    assert "kept the model it began with" in said
    assert result.dev_wer == wer
    before, after = (load_bundle(each).model.state_dict() for each in (model, result.model))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_only_training_uses_may_differ_and_nothing_else(recipe, trained):
    model = trained(recipe)
    free = {"dropout": 0.5, "weight_dropout": 0.1, "layer_drop": 0.1}
    assert SpeechTask(begins(recipe, model, model=free)).build().state_dict().keys()
    two = trained(change(recipe, model={"layers": 2}))
    below = {"layers": 2, "intermediate_layers": (1,)}
    assert SpeechTask(begins(recipe, two, model=below, objective={"intermediate_weight": 0.3})).build()
    said = rf"features\.bins = \d+, not 12, model\.units = {recipe.model.units}, not 7; to begin with it, set"
    with pytest.raises(ConfigError, match=said):
        SpeechTask(begins(recipe, model, model={"units": 7}, features={"bins": 12}))


def test_tokens_are_of_the_kind_that_the_recipe_says(recipe, trained):
    pieces = {"kind": "bpe", "vocabulary_size": 12, "dropout": 0.1}
    with pytest.raises(ConfigError, match=r'this model has tokenizer\.kind = "char", not "bpe"; to begin with it, set'):
        SpeechTask(begins(recipe, trained(recipe), tokenizer=pieces))
    of_pieces = trained(change(recipe, tokenizer=pieces))
    assert SpeechTask(begins(recipe, of_pieces, tokenizer=pieces)).inputs.train.token_dropout
    with pytest.raises(ConfigError, match=r'this model has tokenizer\.kind = "bpe", not "char"'):
        SpeechTask(begins(recipe, of_pieces))


def test_layers_that_feed_back_are_those_of_the_model(recipe, trained):
    layers = {"layers": 3, "intermediate_layers": (1,), "self_conditioned": True}
    fed_back = change(recipe, model=layers, objective={"intermediate_weight": 0.5})
    with pytest.raises(ConfigError, match=r"model\.intermediate_layers = \[1\], not \[2\]"):
        SpeechTask(begins(fed_back, trained(fed_back), model={"intermediate_layers": (2,)}))


def foreign(corpus, folder):
    """A manifest of the same tones, of which two are written as letters that no model of them has."""
    said = [
        replace(each, text=each.text.replace("b", "ä").replace("d", "ö")) for each in Manifest(corpus / "train.jsonl")
    ]
    write_manifest(folder / "foreign.jsonl", said)
    return str(folder / "foreign.jsonl")


SELF_CONDITIONED = {"layers": 2, "intermediate_layers": (1,), "self_conditioned": True}


@pytest.mark.parametrize("layers", [{}, SELF_CONDITIONED])
def test_what_it_knows_of_a_letter_goes_with_the_letter(recipe, trained, corpus, tmp_path, layers):
    recipe = change(recipe, model=layers, objective={"intermediate_weight": 0.3 if layers else 0.0})
    model = trained(recipe)
    task = SpeechTask(begins(recipe, model, data={"train": foreign(corpus, tmp_path), "dev": None}))
    assert task.inputs.tokenizer.tokens == ("", "a", "b", "c", "d", "ä", "ö")
    assert f"begins with {model}, which has yet to learn 2 tokens: 'ä', 'ö'" in task.notes()
    characters = {"characters": "öcäa"}  # of another order, and fewer of those it has
    task = SpeechTask(
        begins(recipe, model, data={"train": foreign(corpus, tmp_path), "dev": None}, tokenizer=characters)
    )
    learned, built = load_bundle(model).model, task.build()
    assert task.inputs.tokenizer.tokens == ("", "ö", "c", "ä", "a")
    features = torch.randn(2, 5, learned.head.in_features)
    heard, hears = learned.head(features)[..., [0, 3, 1]], built.head(features)[..., [0, 2, 4]]
    assert torch.allclose(heard, hears, atol=1e-6)
    assert not torch.isin(built.head.weight[[1, 3]], learned.head.weight).any()
    assert torch.equal(built.label_prior[[0, 2, 4]], learned.label_prior[[0, 3, 1]])
    if layers:
        read = torch.rand(2, 5, 3)
        ours, theirs = torch.zeros(2, 5, 5), torch.zeros(2, 5, 5)
        ours[..., [0, 2, 4]], theirs[..., [0, 3, 1]] = read, read
        assert torch.allclose(built.feedback(ours), learned.feedback(theirs), atol=1e-6)
    of_tokens = ("head", "feedback", "label_prior")
    wanted = {name: value for name, value in learned.state_dict().items() if not name.startswith(of_tokens)}
    assert all(torch.equal(built.state_dict()[name], value) for name, value in wanted.items())


def test_it_learns_letters_that_it_could_not_write(recipe, trained, corpus, tmp_path):
    data = {"train": foreign(corpus, tmp_path), "dev": foreign(corpus, tmp_path)}
    console = Console(file=io.StringIO(), width=200)
    beginning = begins(recipe, trained(change(recipe, training={"epochs": 30})), data=data, training={"epochs": 20})
    result = train(beginning, tmp_path, console=console)
    assert result.dev_wer < 0.3
    resumed = train(beginning, tmp_path, resume=True, console=console)
    assert resumed.steps == result.steps
    assert set("äö") < load_bundle(result.model).tokenizer.characters


def test_subwords_are_made_anew_where_they_cannot_write_the_transcripts(recipe, trained, corpus, tmp_path):
    recipe = change(recipe, tokenizer={"kind": "bpe", "vocabulary_size": 12})
    model = trained(recipe)
    assert SpeechTask(begins(recipe, model)).inputs.tokenizer.model == load_bundle(model).tokenizer.model
    task = SpeechTask(begins(recipe, model, data={"train": foreign(corpus, tmp_path), "dev": None}))
    assert task.inputs.tokenizer.size == 13
    assert task.inputs.tokenizer.characters == set("aäcö ")
    ours, theirs = (tokens.index(" ") for tokens in (task.inputs.tokenizer.tokens, load_bundle(model).tokenizer.tokens))
    assert torch.equal(task.build().head.weight[ours], load_bundle(model).model.head.weight[theirs])


def test_letters_of_dev_alone_are_named(recipe, trained, corpus, tmp_path):
    with pytest.raises(TextError, match=r"'ä' \(U\+00E4.*; add them to tokenizer.characters, map them.*text.drop$"):
        SpeechTask(begins(recipe, trained(recipe), data={"dev": foreign(corpus, tmp_path)}))
    pieces = change(recipe, tokenizer={"kind": "bpe", "vocabulary_size": 12})
    with pytest.raises(TextError, match=r"'ä' \(U\+00E4[^;]*; map them.*text.drop$"):
        SpeechTask(begins(pieces, trained(pieces), data={"dev": foreign(corpus, tmp_path)}))


def test_no_model_is_named(recipe, tmp_path):
    with pytest.raises(BundleError, match=r"none: no such model bundle"):
        SpeechTask(begins(recipe, tmp_path / "none"))
