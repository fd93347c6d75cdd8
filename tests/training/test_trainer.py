"""Training as a whole: it learns, it resumes bit for bit, and it says what goes wrong."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from asr.config import Recipe
from asr.dataset import Manifest, Utterance, write_manifest
from asr.dataset.voices import Voices
from asr.errors import TextError, TrainingError
from asr.model import load_bundle
from asr.training import train
from asr.training.speech import SpeechTask
from asr.training.trainer import CHECKPOINT, MODEL_FOLDER, Trainer
from recipes import change


def quiet() -> Console:
    return Console(file=io.StringIO())


def weights(run) -> dict[str, torch.Tensor]:
    state = torch.load(run / CHECKPOINT, weights_only=True)
    flat = {f"model.{name}": value for name, value in state["model"].items()}
    flat |= {f"average.{name}": value for name, value in state["average"].items()}
    for index, moments in state["optimizer"]["state"].items():
        flat |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    return flat | {"random": state["random"]}


def assert_same_weights(one, other) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    ours, theirs = (load_bundle(run / MODEL_FOLDER).model.state_dict() for run in (one, other))
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.fixture
def exact(recipe) -> Recipe:
    """All that is random is on, gradients are accumulated, and every step is saved."""
    augment = {"vocal_tract": 0.1, "time_warp_frames": 5, "silence_seconds": 0.1, "reverberation_share": 0.3}
    augment |= {"noise": recipe.data.dev, "noise_share": 0.3, "concatenation_share": 0.3}
    tokenizer = {"kind": "bpe", "vocabulary_size": 12, "dropout": 0.3}
    training = {"accumulate": 2, "checkpoint_seconds": 1e-9, "average_checkpoints": 2}
    return change(recipe, augment=augment, tokenizer=tokenizer, training=training)


def test_learns_the_language_of_tones(recipe, tmp_path):
    result = train(change(recipe, training={"epochs": 40}, augment={"speeds": [1.0]}), tmp_path, console=quiet())
    assert result.dev_wer is not None
    assert result.dev_wer < 0.2
    assert result.epochs == 40
    bundle = load_bundle(result.model)
    assert bundle.provenance["outcome"]["dev_wer"] == result.dev_wer
    assert bundle.provenance["data"]["train_utterances"] == 32
    assert "WER on dev" in bundle.card
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 40
    assert any((tmp_path / "tensorboard").iterdir())


def test_the_same_seed_gives_the_same_model_and_another_does_not(recipe, tmp_path):
    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        train(recipe.model_copy(update={"seed": seed}), tmp_path / name, console=quiet())
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    assert not torch.equal(
        weights(tmp_path / "one")["model.head.weight"], weights(tmp_path / "other")["model.head.weight"]
    )


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_stopped_anywhere_and_resumed_is_as_never_stopped(exact, tmp_path, monkeypatch, steps):
    train(exact, tmp_path / "whole", console=quiet())
    calls = iter(range(steps))
    step = Trainer._step

    def stop(self, *arguments):
        if next(calls, None) is None:
            raise RuntimeError("power cut")
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            train(exact, tmp_path / "cut", console=quiet())
    train(exact, tmp_path / "cut", resume=True, console=quiet())
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("place", ["_step", "_save"])
def test_an_error_leaves_no_thread_that_reads(recipe, tmp_path, monkeypatch, place):
    before = threading.enumerate()

    def fail(self, *arguments):
        raise RuntimeError("power cut")

    monkeypatch.setattr(Trainer, place, fail)
    with pytest.raises(RuntimeError, match="power cut") as caught:  # whose traceback holds every frame
        train(change(recipe, training={"checkpoint_seconds": 1e-9}), tmp_path, console=quiet())
    assert [thread for thread in threading.enumerate() if thread not in before and thread.name[:6] == "reader"] == []
    assert caught.tb is not None


def test_an_error_while_dev_is_scored_leaves_no_thread_that_reads(recipe, tmp_path, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("power cut")

    monkeypatch.setattr("asr.training.validation.greedy", fail)
    short = change(recipe, training={"batch_seconds": 1.0})
    with pytest.raises(RuntimeError, match="power cut") as caught:
        train(short, tmp_path, console=quiet())
    assert [thread.name for thread in threading.enumerate() if thread.name[:6] == "reader"] == []
    assert caught.tb is not None


def test_killed_at_random_and_resumed_is_as_never_stopped(exact, tmp_path):
    train(exact, tmp_path / "whole", console=quiet())
    (tmp_path / "recipe.json").write_text(exact.model_dump_json())
    steps = int(np.random.default_rng().integers(1, 8))
    program = f"""
import os, signal, sys, torch
from pathlib import Path
from asr.config import Recipe
from asr.training import train
from asr.training.trainer import Trainer
torch.set_num_threads({torch.get_num_threads()})
step, calls = Trainer._step, iter(range({steps}))
def kill(self, *arguments):
    if next(calls, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments)
Trainer._step = kill
train(Recipe.model_validate_json(Path(sys.argv[1]).read_text()), sys.argv[2])
"""
    arguments = [sys.executable, "-c", program, str(tmp_path / "recipe.json"), str(tmp_path / "killed")]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    train(exact, tmp_path / "killed", resume=True, console=quiet())
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_saves_between_steps_and_the_training_goes_on(exact, tmp_path, monkeypatch):
    train(exact, tmp_path / "whole", console=quiet())
    slow = change(exact, training={"checkpoint_seconds": 1e9})
    step, calls = Trainer._step, iter(range(5))

    def interrupt(self, *arguments):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupt)
        with pytest.raises(KeyboardInterrupt, match="saved after step 6"):
            train(slow, tmp_path / "stopped", console=quiet())
    train(slow, tmp_path / "stopped", resume=True, console=quiet())
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_resuming_with_other_settings_is_refused_but_more_epochs_are_fine(recipe, tmp_path):
    train(recipe, tmp_path, console=quiet())
    with pytest.raises(TrainingError, match=r"model\.units 16 -> 8"):
        train(change(recipe, model={"units": 8}), tmp_path, resume=True, console=quiet())
    result = train(change(recipe, training={"epochs": 4}), tmp_path, resume=True, console=quiet())
    assert result.epochs == 4


def test_files_may_have_moved_when_it_is_resumed(recipe, corpus, tmp_path):
    noisy = change(recipe, augment={"noise": (str(corpus / "dev.jsonl"),), "noise_share": 0.5})
    train(noisy, tmp_path / "run", console=quiet())
    write_manifest(tmp_path / "noise.jsonl", Manifest(corpus / "dev.jsonl"))
    moved = change(noisy, augment={"noise": (str(tmp_path / "noise.jsonl"),)}, training={"epochs": 4})
    assert train(moved, tmp_path / "run", resume=True, console=quiet()).epochs == 4
    with pytest.raises(TrainingError, match=r"augment\.noise_share 0\.5 -> 0\.2"):
        train(change(moved, augment={"noise_share": 0.2}), tmp_path / "run", resume=True, console=quiet())


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_resuming_with_another_vocabulary_of_the_same_size_is_refused(recipe, corpus, tmp_path, kind):
    tokenizer = {"kind": "bpe", "vocabulary_size": 12} if kind == "bpe" else {}
    recipe = change(recipe, tokenizer=tokenizer)
    train(recipe, tmp_path / "run", console=quiet())
    exchanged = str.maketrans("ab", "xb")
    others = [replace(each, text=each.text.translate(exchanged)) for each in Manifest(corpus / "train.jsonl")]
    write_manifest(tmp_path / "others.jsonl", others)
    changed = change(recipe, data={"train": str(tmp_path / "others.jsonl"), "dev": None}, training={"epochs": 4})
    with pytest.raises(TrainingError, match=r"last\.ckpt: .* another vocabulary; .* or begin anew with --overwrite"):
        train(changed, tmp_path / "run", resume=True, console=quiet())


def test_the_data_may_grow_between_epochs_but_not_within_one(recipe, corpus, tmp_path, monkeypatch):
    every_step = change(recipe, training={"checkpoint_seconds": 1e-9})
    grown = change(every_step, data={"train": [str(corpus / "train.jsonl"), str(corpus / "dev.jsonl")]})
    with monkeypatch.context() as patch:
        steps, step = iter(range(2)), Trainer._step

        def stop(self, *arguments):
            if next(steps, None) is None:
                raise RuntimeError("power cut")
            return step(self, *arguments)

        patch.setattr(Trainer, "_step", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            train(every_step, tmp_path / "within", console=quiet())
    with pytest.raises(TrainingError, match=r"stopped within epoch 1, and its data have changed since; resume with"):
        train(grown, tmp_path / "within", resume=True, console=quiet())
    train(recipe, tmp_path / "between", console=quiet())
    assert train(change(grown, training={"epochs": 4}), tmp_path / "between", resume=True, console=quiet()).epochs == 4


def test_an_epoch_resumed_after_its_last_step_has_no_loss_to_show(recipe, tmp_path, monkeypatch):
    every_step = change(recipe, training={"checkpoint_seconds": 1e-9})
    with monkeypatch.context() as patch:
        patch.setattr(SpeechTask, "evaluate", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
        with pytest.raises(RuntimeError, match="power cut"):
            train(every_step, tmp_path, console=quiet())
    console = quiet()
    train(every_step, tmp_path, resume=True, console=console)
    first, *others = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert {"dev_wer", "dev_loss"} <= first.keys()
    assert not {"loss", "gradient_norm", "learning_rate"} & first.keys()
    assert all(epoch["loss"] > 0 for epoch in others)
    assert re.search(r"epoch 1/3  dev loss \d\S+, WER \S+  \d+ s", console.file.getvalue())


def test_a_setting_that_the_training_began_without_was_off(recipe, tmp_path):
    train(recipe, tmp_path, console=quiet())
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    del state["recipe"]["tokenizer"]["dropout"], state["recipe"]["training"]["average_checkpoints"]
    del state["position"]["candidates"]
    torch.save(state, tmp_path / CHECKPOINT)
    with pytest.raises(TrainingError, match=r"other settings \(training\.average_checkpoints None -> 2\)"):
        train(change(recipe, training={"average_checkpoints": 2}), tmp_path, resume=True, console=quiet())
    assert train(recipe, tmp_path, resume=True, console=quiet()).epochs == 3


def test_resuming_nothing_and_a_damaged_checkpoint(recipe, tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint to resume from"):
        train(recipe, tmp_path, resume=True, console=quiet())
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="damaged checkpoint") as caught:
        train(recipe, tmp_path, resume=True, console=quiet())
    assert "\n" not in str(caught.value)


def test_early_stopping(recipe, tmp_path):
    frozen = change(recipe, training={"epochs": 50, "learning_rate": 1e-12, "final_learning_rate": 0.0, "patience": 2})
    assert train(frozen, tmp_path, console=quiet()).epochs < 50


@pytest.mark.parametrize(
    ("wers", "standard_error", "kept"),
    [
        ((0.5, 0.3, 0.36, 0.34), 0.05, 4),
        ((0.5, 0.3, 0.34, 0.36), 0.05, 3),
        ((0.5, 0.3, 0.36, 0.34), 0.01, 2),
        ((0.5, 0.3, 0.3, 0.4), 0.0, 3),
    ],
)
def test_of_epochs_that_dev_cannot_tell_apart_the_last_is_kept(
    recipe, tmp_path, monkeypatch, wers, standard_error, kept
):
    evaluate = SpeechTask.evaluate

    def judge(self, model, device, epoch):
        return replace(evaluate(self, model, device, epoch), value=wers[epoch - 1], standard_error=standard_error)

    monkeypatch.setattr(SpeechTask, "evaluate", judge)
    console = quiet()
    result = train(change(recipe, training={"epochs": 4}), tmp_path, console=console)
    outcome = load_bundle(result.model).provenance["outcome"]
    assert (outcome["epoch"], outcome["dev_wer"], result.dev_wer) == (kept, wers[kept - 1], wers[kept - 1])
    said = f"kept epoch {kept}, WER {wers[kept - 1]:.2%} on dev: epoch 2, with 30.00%,"
    assert (said in console.file.getvalue()) == (wers[kept - 1] > 0.3)


def test_without_dev_the_last_model_is_kept(recipe, tmp_path):
    console = quiet()
    result = train(change(recipe, data={"dev": None}, training={"epochs": 30}), tmp_path, console=console)
    assert result.dev_wer is None
    assert load_bundle(result.model).provenance["outcome"]["epoch"] == 30
    assert "collapse" not in console.file.getvalue().partition("epoch 20/30")[2]


def test_what_voices_are_like_is_heard_in_the_training_set_and_travels(recipe, tmp_path):
    equalizing = change(recipe, features={"normalization": "global", "equalization": "speaker"})
    result = train(equalizing, tmp_path, console=quiet())
    typical = load_bundle(result.model).model.features.typical_voice
    assert torch.equal(typical, Voices(Manifest(*recipe.data.train), recipe.features.sample_rate).typical)
    assert typical.any()


def test_global_normalisation_is_fitted_on_the_training_set_and_travels(recipe, tmp_path):
    result = train(change(recipe, features={"normalization": "global"}), tmp_path, console=quiet())
    features = load_bundle(result.model).model.features
    assert features.mean.abs().min() > 0
    assert features.std.min() > 0


def test_characters_outside_the_vocabulary_stop_it_before_it_begins(recipe, tmp_path):
    narrow = change(recipe, tokenizer={"characters": "ab"})
    with pytest.raises(TextError, match=r"2 characters outside the vocabulary"):
        train(narrow, tmp_path / "run", console=quiet())
    assert not (tmp_path / "run").exists()


def test_an_earlier_training_is_replaced_by_one_that_can_begin_and_by_no_other(recipe, tmp_path):
    model = train(change(recipe, training={"epochs": 1}), tmp_path, console=quiet()).model
    (tmp_path / "evaluation.json").write_text("of that model")
    learned = (model / "model.safetensors").read_bytes()
    with pytest.raises(TextError):
        train(change(recipe, tokenizer={"characters": "abc"}), tmp_path, console=quiet())
    assert (model / "model.safetensors").read_bytes() == learned
    assert (tmp_path / "last.ckpt").exists()
    train(change(recipe, training={"epochs": 2}), tmp_path, console=quiet())
    assert (model / "model.safetensors").read_bytes() != learned
    assert not (tmp_path / "evaluation.json").exists()


def test_utterances_that_ctc_cannot_align_are_named_and_the_training_goes_on(recipe, corpus, tmp_path):
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(3200, dtype=np.float32), 16000)
    write_manifest(tmp_path / "extra.jsonl", [Utterance(short, 0.2, "abcdabcdabcd", id="too-short")])
    both = change(recipe, data={"train": [*recipe.data.train, str(tmp_path / "extra.jsonl")]})
    console = quiet()
    train(both, tmp_path / "run", console=console)
    said = console.file.getvalue()
    assert "1 utterances had fewer frames than CTC needs" in said
    assert "too-short" in said


def test_non_finite_gradients_are_skipped_named_and_in_the_end_an_error(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_next", poison(Trainer._next))
    console = quiet()
    with pytest.raises(TrainingError, match="10 steps in a row"):
        train(change(recipe, training={"epochs": 20}), tmp_path, console=console)
    assert "step skipped" in console.file.getvalue()
    assert "train-" in console.file.getvalue()


def poison(read):
    """Batches whose audio became NaN on the way, as a broken device driver would make it."""

    def poisoned(self, *arguments):
        batch = read(self, *arguments)
        batch.waveforms[:, 100] = float("nan")
        return batch

    return poisoned


@pytest.mark.parametrize("has_dev", [True, False])
def test_blank_collapse_is_said(recipe, tmp_path, monkeypatch, has_dev):
    build = Trainer.__init__

    def build_collapsed(self, *arguments):
        build(self, *arguments)
        for model in (self.state.model, self.state.average.model):
            model.head.bias.data[0] = 100.0

    monkeypatch.setattr(Trainer, "__init__", build_collapsed)
    console = quiet()
    train(recipe if has_dev else change(recipe, data={"dev": None}), tmp_path, console=console)
    assert f"100% of {'dev' if has_dev else 'train'} is decoded as nothing" in console.file.getvalue()
