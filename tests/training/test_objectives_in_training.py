"""Every objective in the training loop: it learns, goes on bit for bit, and leaves what inference needs."""

import io
import json

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asr.config import Recipe
from asr.model import load_bundle
from asr.training import train
from asr.training.progress import STEPS_BETWEEN_LOGS
from asr.training.trainer import CHECKPOINT, Trainer

MODEL = {"layers": 2, "units": 8}
TAPPED = MODEL | {"intermediate_layers": [1]}
CONDITIONED = TAPPED | {"self_conditioned": True}
REGULARIZED = {"weight_dropout": 0.3, "layer_drop": 0.3}
OBJECTIVES = {
    "consistency": (MODEL, {"consistency": 0.2}),
    "intermediate": (TAPPED, {"intermediate_weight": 0.3}),
    "self_conditioned": (CONDITIONED, {"intermediate_weight": 0.5}),
    "label_prior": (MODEL, {"label_prior": 0.3}),
    "confidence_penalty": (MODEL, {"confidence_penalty": 0.05}),
    "none, but regularisation": (MODEL | REGULARIZED, {}),
    "all": (
        CONDITIONED | REGULARIZED,
        {"consistency": 0.2, "intermediate_weight": 0.5, "label_prior": 0.3, "confidence_penalty": 0.05},
    ),
}


def with_objective(recipe: Recipe, name: str) -> Recipe:
    values = recipe.model_dump()
    model, values["objective"] = OBJECTIVES[name]
    values["model"] |= model
    return Recipe.model_validate(values)


def checkpoint(run) -> dict:
    return torch.load(run / CHECKPOINT, weights_only=True)


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_trains_what_is_then_loaded(recipe, tmp_path, name):
    recipe = with_objective(recipe, name)
    result = train(recipe, tmp_path, console=quiet())
    bundle = load_bundle(result.model)
    assert bundle.architecture == recipe.model
    history = checkpoint(tmp_path)["position"]["history"]
    assert history[-1]["dev_loss"] < history[0]["dev_loss"]
    assert checkpoint(tmp_path)["position"]["skipped_steps"] == 0


def test_parts_are_logged_and_add_up_to_the_loss(recipe, tmp_path):
    recipe = with_objective(recipe, "all")
    train(recipe, tmp_path, console=quiet())
    weights = {"ctc": 0.5, "intermediate": 0.5, "consistency": 0.2, "confidence": 0.05}
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    for record in history:
        assert record["parts"].keys() == weights.keys()
        assert min(record["parts"].values()) > 0
        whole = sum(weight * record["parts"][name] for name, weight in weights.items())
        assert whole == pytest.approx(record["loss"], rel=1e-5)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in weights:
        logged = [event.value for event in events.Scalars(f"epoch/{name}")]
        assert logged == pytest.approx([record["parts"][name] for record in history])
        assert [event.step for event in events.Scalars(f"step/{name}")] == [STEPS_BETWEEN_LOGS]
    step = {name: events.Scalars(f"step/{name}")[0].value for name in (*weights, "loss")}
    assert sum(weight * step[name] for name, weight in weights.items()) == pytest.approx(step["loss"], rel=1e-5)


def test_stopped_and_resumed_with_everything_on_is_as_never_stopped(recipe, tmp_path, monkeypatch):
    recipe = with_objective(recipe, "all")
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"checkpoint_seconds": 1e-9})})
    train(recipe, tmp_path / "whole", console=quiet())
    step, calls = Trainer._step, iter(range(5))

    def stop(self, *arguments):
        if next(calls, None) is None:
            raise RuntimeError("power cut")
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe, tmp_path / "cut", console=quiet())
    train(recipe, tmp_path / "cut", resume=True, console=quiet())
    whole, cut = (checkpoint(tmp_path / run)["model"] for run in ("whole", "cut"))
    assert [name for name in whole if not torch.equal(whole[name], cut[name])] == []
    assert whole["label_prior"].unique().numel() > 1, "it was on"
