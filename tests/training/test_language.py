"""A recurrent language model learns a grammar, by the same loop as a recogniser: stopped and resumed bit for bit."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from asr.errors import ConfigError, LanguageModelError, TextError, TrainingError
from asr.lm import load_recurrent, perplexity
from asr.lm import train as train_ngrams
from asr.model.precision import choose_precision
from asr.settings import parse_settings
from asr.training import LanguageRecipe, train_language_model
from asr.training.language import LanguageTask
from asr.training.trainer import CHECKPOINT, Trainer

QUICK = {
    "epochs": 3,
    "batch_tokens": 200,
    "learning_rate": 2e-2,
    "warmup_steps": 5,
    "ema_decay": 0.9,
    "precision": "fp32",
}


def grammar(count: int, seed: int) -> list[str]:
    """A word says which comes next; only the first is free, and the length."""
    random = np.random.default_rng(seed)
    words = ["ab", "ba", "c", "abc", "cab"]
    begins, lengths = random.integers(0, len(words), count), random.integers(1, 6, count)
    return [
        " ".join(words[(begin + step) % len(words)] for step in range(length))
        for begin, length in zip(begins, lengths, strict=True)
    ]


TRAIN, DEV = grammar(120, seed=0), grammar(20, seed=1)


def recipe(**training: object) -> LanguageRecipe:
    return LanguageRecipe.model_validate({"model": {"units": 16, "dropout": 0.1}, "training": {**QUICK, **training}})


def quiet() -> Console:
    return Console(file=io.StringIO())


def checkpoint(run: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run / CHECKPOINT, weights_only=True)
    flat = {f"model.{name}": value for name, value in state["model"].items()}
    flat |= {f"average.{name}": value for name, value in state["average"].items()}
    return flat | {"random": state["random"]}


def test_learns_a_grammar_that_unigrams_cannot(tmp_path: Path) -> None:
    console = quiet()
    result = train_language_model(recipe(epochs=25), TRAIN, DEV, tmp_path, console=console)
    unigrams = perplexity(train_ngrams(TRAIN, order=1, fallback=(0.5, 1.0, 1.5)), DEV).perplexity
    assert result.dev_perplexity is not None
    assert result.dev_perplexity < unigrams / 2
    lm = load_recurrent(result.model)
    assert perplexity(lm, DEV).perplexity == pytest.approx(result.dev_perplexity, rel=1e-4)
    assert lm.provenance["outcome"]["dev_perplexity"] == result.dev_perplexity
    assert lm.provenance["data"] == {"train_sentences": 120, "dev_sentences": 20}
    right, wrong = lm.log_probs(["ab ba c", "ab c ba"])
    assert right > wrong
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert len(history) == result.epochs == 25
    assert min(record["dev_perplexity"] for record in history) == result.dev_perplexity
    assert "perplexity" in console.file.getvalue()
    assert (tmp_path / "curves.png").stat().st_size > 10_000


@pytest.mark.parametrize("steps", [1, 8])
def test_stopped_and_resumed_is_as_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    exact = recipe(accumulate=2, checkpoint_seconds=1e-9)
    train_language_model(exact, TRAIN, DEV, tmp_path / "whole", console=quiet())
    calls = iter(range(steps))
    step = Trainer._step

    def stop(self, *arguments):
        if next(calls, None) is None:
            raise RuntimeError("power cut")
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            train_language_model(exact, TRAIN, DEV, tmp_path / "cut", console=quiet())
    train_language_model(exact, TRAIN, DEV, tmp_path / "cut", resume=True, console=quiet())
    ours, theirs = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "cut")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_objective_is_the_mean_cost_of_a_token() -> None:
    task = LanguageTask(recipe(), TRAIN, ())
    torch.manual_seed(0)
    network = task.build().eval()
    [batch] = task.load([[3, 0, 7]], epoch=0)
    target = task.objective(network, batch)
    costs = -sum(task._model(network).log_probs([TRAIN[index] for index in (3, 0, 7)]))
    tokens = sum(len(TRAIN[index]) + 1 for index in (3, 0, 7))
    assert target.tokens == tokens
    assert target.loss.item() == pytest.approx(costs / tokens, rel=1e-5)
    assert batch.ids == ("sentence 4", "sentence 1", "sentence 8")


def test_every_sentence_is_read_once_an_epoch() -> None:
    task = LanguageTask(recipe(), ["", *TRAIN, "  "], ())
    plan = task.plan(0, 0, 1)
    assert sorted(index for batch in plan for index in batch) == list(range(len(TRAIN)))
    assert plan != task.plan(1, 0, 1)
    halves = [task.plan(0, process, 2) for process in (0, 1)]
    assert len(halves[0]) == len(halves[1])


def test_without_dev_the_last_model_is_kept(tmp_path: Path) -> None:
    result = train_language_model(recipe(), TRAIN, (), tmp_path, console=quiet())
    assert result.dev_perplexity is None
    assert load_recurrent(tmp_path).provenance["outcome"]["epoch"] == 3


def test_trainings_of_different_precision_may_follow_one_another(tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        train_language_model(recipe(precision=precision, epochs=1), TRAIN, DEV, tmp_path / precision, console=quiet())
        lm = load_recurrent(tmp_path / precision)
        assert lm.provenance["outcome"]["precision"] == choose_precision(precision, torch.device("cpu"))
        assert {weight.dtype for weight in lm.network.parameters()} == {torch.float32}


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="no words to train on"):
        train_language_model(recipe(), ["", " "], DEV, tmp_path, console=quiet())
    many = LanguageRecipe.model_validate({"tokenizer": {"kind": "bpe", "vocabulary_size": 5000}})
    with pytest.raises(TextError, match=r"has no 5000 different pieces"):
        train_language_model(many, TRAIN, DEV, tmp_path, console=quiet())


def test_a_model_is_not_lost_to_a_text_that_cannot_be_learned(tmp_path: Path) -> None:
    model = train_language_model(recipe(epochs=1), TRAIN, DEV, tmp_path, console=quiet()).model
    with pytest.raises(LanguageModelError):
        train_language_model(recipe(epochs=1), [], DEV, tmp_path, console=quiet())
    assert load_recurrent(model)
    assert (tmp_path / CHECKPOINT).exists()


def test_words_are_cut_in_one_way() -> None:
    with pytest.raises(ConfigError, match=r"rnn: .*tokenizer\.dropout is for recognisers; set it to 0") as caught:
        parse_settings(LanguageRecipe, {"tokenizer": {"kind": "bpe", "dropout": 0.1}}, "rnn")
    assert "\n" not in str(caught.value)


def test_other_settings_or_another_text_are_refused_on_resuming(tmp_path: Path) -> None:
    train_language_model(recipe(), TRAIN, DEV, tmp_path, console=quiet())
    other = recipe().model_copy(update={"model": recipe().model.model_copy(update={"units": 8})})
    with pytest.raises(TrainingError, match=r"model\.units 16 -> 8"):
        train_language_model(other, TRAIN, DEV, tmp_path, resume=True, console=quiet())
    with pytest.raises(TrainingError, match="another vocabulary"):
        train_language_model(recipe(), [*TRAIN, "xyz"], DEV, tmp_path, resume=True, console=quiet())
    for dev in ([], DEV[1:]):
        with pytest.raises(TrainingError, match="began with other texts to choose its best epoch by"):
            train_language_model(recipe(), TRAIN, dev, tmp_path, resume=True, console=quiet())
