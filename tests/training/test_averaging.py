"""Averaged epochs: the mean by numpy, in the training loop chosen only where it is better, and resumed bit for bit."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from asr.config import Recipe
from asr.errors import TrainingError
from asr.model import load_bundle
from asr.training import train
from asr.training.averaging import Candidates
from asr.training.speech import SpeechTask
from asr.training.trainer import CANDIDATES_FOLDER, Trainer


class Tied(nn.Module):
    """Weights of which one is used twice, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("statistic", torch.rand(2))


def averaging(recipe: Recipe, **training: object) -> Recipe:
    values = recipe.model_dump()
    values["training"] |= {"average_checkpoints": 2, "checkpoint_seconds": 1e9, **training}
    return Recipe.model_validate(values)


def quiet() -> Console:
    return Console(file=io.StringIO())


def files(run) -> list[str]:
    return sorted(path.name for path in (run / CANDIDATES_FOLDER).iterdir())


def kept(run) -> dict[str, torch.Tensor]:
    return dict(load_bundle(run / "model").model.named_parameters())


def same(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def judged(monkeypatch):
    """Gives evaluations scores one after the other, and collects the weights that were evaluated."""
    seen: list[dict[str, torch.Tensor]] = []
    evaluate = SpeechTask.evaluate

    def give(*scores: float) -> list[dict[str, torch.Tensor]]:
        seen.clear()

        def judge(self, model, device, epoch):
            found = evaluate(self, model, device, epoch)
            seen.append({name: weight.clone() for name, weight in model.named_parameters()})
            value = scores[len(seen) - 1]
            return replace(found, value=value, standard_error=0.0, record=found.record | {"dev_wer": value})

        monkeypatch.setattr(SpeechTask, "evaluate", judge)
        return seen

    return give


def test_the_mean_is_that_of_numpy_and_buffers_stay(tmp_path):
    torch.manual_seed(0)
    models, candidates = [Tied() for _ in range(4)], Candidates(tmp_path / "new")
    for epoch, model in enumerate(models, start=1):
        candidates.add(model, epoch)
    mean = candidates.mean(models[0], [4, 2, 3])
    for name, weight in mean.named_parameters():
        expected = np.mean([dict(model.named_parameters())[name].detach().numpy() for model in models[1:]], axis=0)
        assert weight.detach().numpy() == pytest.approx(expected, abs=1e-7)
    assert mean.second.weight is mean.first.weight
    assert torch.equal(mean.statistic, models[0].statistic)
    assert same(dict(candidates.mean(models[0], [3]).named_parameters()), dict(models[2].named_parameters()))
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"epoch-0000{n}.safetensors" for n in (1, 2, 3, 4)}


def test_what_is_not_a_candidate_any_more_is_removed_and_what_is_missing_is_said(tmp_path):
    candidates, model = Candidates(tmp_path), Tied()
    candidates.keep_only([7])  # of nothing
    for epoch in (1, 2, 10):
        candidates.add(model, epoch)
    candidates.keep_only([2, 10])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00002.safetensors", "epoch-00010.safetensors"]
    (tmp_path / "epoch-00010.safetensors").write_bytes(b"no weights")
    for epoch in (1, 10):
        with pytest.raises(
            TrainingError, match=rf"epoch-000{epoch:02}.safetensors: .* cannot be read .*; put"
        ) as caught:
            candidates.mean(model, [2, epoch])
        assert "\n" not in str(caught.value)


def test_the_mean_of_the_best_is_kept_if_it_is_better(recipe, tmp_path, judged):
    seen = judged(0.5, 0.7, 0.4, 0.6, 0.3)
    console = quiet()
    result = train(averaging(recipe, epochs=4), tmp_path, console=console)
    assert len(seen) == 5
    for name, weight in kept(tmp_path).items():
        assert torch.equal(weight, seen[4][name])
        assert weight.detach() == pytest.approx((seen[0][name] + seen[2][name]) / 2, abs=1e-6)
    assert not same(kept(tmp_path), seen[2])
    assert files(tmp_path) == ["epoch-00001.safetensors", "epoch-00003.safetensors"]
    assert result.dev_wer == 0.3
    bundle = load_bundle(tmp_path / "model")
    assert bundle.provenance["outcome"]["averaged_epochs"] == [1, 3]
    assert bundle.provenance["outcome"]["dev_wer"] == 0.3
    assert "mean of those after epochs 1, 3" in bundle.card
    said = " ".join(console.file.getvalue().split())
    assert "mean of epochs 1, 3: WER 30.00%, loss " in said
    assert "kept before: WER 40.00%" in said
    assert "kept the mean" in said


def test_the_best_epoch_stays_if_the_mean_is_not_better(recipe, tmp_path, judged):
    seen = judged(0.5, 0.7, 0.4, 0.6, 0.41)
    console = quiet()
    result = train(averaging(recipe, epochs=4), tmp_path, console=console)
    assert same(kept(tmp_path), seen[2])
    assert result.dev_wer == 0.4
    assert "averaged_epochs" not in load_bundle(tmp_path / "model").provenance["outcome"]
    assert "kept what was kept before" in console.file.getvalue()


def test_without_dev_the_last_ones_are_averaged(recipe, tmp_path):
    values = averaging(recipe).model_dump()
    values["data"]["dev"] = None
    console = quiet()
    train(Recipe.model_validate(values), tmp_path, console=console)
    assert files(tmp_path) == ["epoch-00002.safetensors", "epoch-00003.safetensors"]
    assert "mean of epochs 2, 3; kept the mean" in console.file.getvalue()
    model = load_bundle(tmp_path / "model").model
    assert same(kept(tmp_path), dict(Candidates(tmp_path / CANDIDATES_FOLDER).mean(model, [2, 3]).named_parameters()))


def test_off_and_with_one_epoch_nothing_is_averaged(recipe, tmp_path):
    for name, changes in (("off", {"average_checkpoints": 0}), ("one", {"epochs": 1})):
        console = quiet()
        train(averaging(recipe, **changes), tmp_path / name, console=console)
        assert "mean of" not in console.file.getvalue()
    assert not (tmp_path / "off" / CANDIDATES_FOLDER).exists()


@pytest.mark.parametrize(("what", "calls"), [("_save", 1), ("_save", 2), ("_keep_model", 3), ("_save", 3)])
def test_a_power_cut_while_writing_changes_nothing(recipe, tmp_path, monkeypatch, judged, what, calls):
    scores = (0.5, 0.4, 0.3, 0.2)
    judged(*scores)
    train(averaging(recipe), tmp_path / "whole", console=quiet())
    method, left = getattr(Trainer, what), iter(range(calls))

    def cut(self, *arguments, **more):
        if next(left, None) is None:
            raise RuntimeError("power cut")
        method(self, *arguments, **more)

    judged(*scores)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, what, cut)
        with pytest.raises(RuntimeError, match="power cut"):
            train(averaging(recipe), tmp_path / "cut", console=quiet())
    history = tmp_path / "cut" / "last.ckpt"
    done = len(torch.load(history, weights_only=True)["position"]["history"])
    judged(*scores[done:])
    result = train(averaging(recipe), tmp_path / "cut", resume=True, console=quiet())
    assert result.dev_wer == 0.2
    assert same(kept(tmp_path / "whole"), kept(tmp_path / "cut"))
    assert (
        files(tmp_path / "whole") == files(tmp_path / "cut") == ["epoch-00002.safetensors", "epoch-00003.safetensors"]
    )


def test_resumed_at_its_end_it_is_not_averaged_again_and_more_epochs_are_fine(recipe, tmp_path, judged):
    judged(0.5, 0.4, 0.3, 0.2)
    train(averaging(recipe), tmp_path, console=quiet())
    mean = kept(tmp_path)
    judged()  # which fails if asked
    assert train(averaging(recipe), tmp_path, resume=True, console=quiet()).dev_wer == 0.2
    judged(0.25, 0.22)
    assert train(averaging(recipe, epochs=4), tmp_path, resume=True, console=quiet()).dev_wer == 0.2
    assert same(kept(tmp_path), mean)
    assert files(tmp_path) == ["epoch-00003.safetensors", "epoch-00004.safetensors"]
    history = [json.loads(line)["dev_wer"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert history == [0.5, 0.4, 0.3, 0.25]
