"""The training loop: recipe in, model bundle out. Interrupted anywhere and resumed, it computes the same."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from rich.console import Console
from torch import nn

from asr.config import Recipe
from asr.dataset import Batch
from asr.errors import TrainingError
from asr.model import Bundle, Model, save_bundle
from asr.training.card import model_card, provenance
from asr.training.inputs import prepare_inputs
from asr.training.interruption import Interruption
from asr.training.meter import StepMeter
from asr.training.objective import objective, spec_augment
from asr.training.precision import choose_precision
from asr.training.progress import TrainingProgress
from asr.training.schedule import learning_rate
from asr.training.state import AveragedModel, Position, TrainingState
from asr.training.validation import Validation, validate

CHECKPOINT = "last.ckpt"
MAX_SKIPPED_IN_A_ROW = 10
COLLAPSE_SHARE = 0.9
"""A model that writes nothing for this share of dev, after a quarter of the epochs, is said to have collapsed."""


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended."""

    model: Path
    """The bundle of the best model on dev (of the last one, without dev)."""
    dev_wer: float | None
    epochs: int
    steps: int
    seconds: float
    """Wall time, over all sessions."""


def train(recipe: Recipe, run: Path | str, resume: bool = False, console: Console | None = None) -> TrainingResult:
    """Train a model and leave its bundle in `run/model`.

    Args:
        recipe: the experiment.
        run: folder for the bundle, the last checkpoint, logs and pictures.
        resume: go on from `run/last.ckpt`, bit for bit (on the CPU) as if there had been no stop.
        console: where progress is shown; standard error by default.

    Raises:
        AsrError: recipe, data or checkpoint are not usable, or the loss stays non-finite.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with everything saved.
    """
    run = Path(run)
    trainer = Trainer(recipe, run, console or Console(stderr=True))
    if resume:
        trainer.restore()
    return trainer.run()


class Trainer:
    """One training. `run` goes through the epochs; `restore` first makes it go on from the last checkpoint."""

    def __init__(self, recipe: Recipe, folder: Path, console: Console) -> None:
        self.recipe, self.config, self.folder = recipe, recipe.training, folder
        cpu = not torch.accelerator.is_available()
        self.precision = choose_precision(self.config.precision, PartialState(cpu=cpu).device)
        self.accelerator = Accelerator(cpu=cpu, mixed_precision="bf16" if self.precision == "bf16" else "no")
        self.inputs = prepare_inputs(recipe)
        set_seed(recipe.seed)
        model = Model(recipe.features, recipe.model, self.inputs.tokenizer.size)
        if recipe.features.normalization == "global":
            model.features.fit_normalization((batch.waveforms, batch.lengths) for batch in self.inputs.load_plain())
        model.to(self.accelerator.device)
        optimizer = torch.optim.AdamW(_parameter_groups(model, self.config.weight_decay), fused=True)
        self.state = TrainingState(model, AveragedModel(model, self.config.ema_decay), optimizer, Position())
        self.model: nn.Module = self.accelerator.prepare_model(model)
        self.augment = spec_augment(recipe)
        self.progress = TrainingProgress(folder, console, self.config.epochs, self.accelerator.is_main_process)

    def restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            TrainingError: there is none, it is damaged, or it belongs to another recipe.
        """
        self.state.restore(self.folder / CHECKPOINT, self.recipe)

    def run(self) -> TrainingResult:
        """Train to the end.

        Raises:
            TrainingError: the loss stays non-finite.
            KeyboardInterrupt: a stop was asked for; the state is saved.
        """
        position = self.state.position
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.progress, Interruption() as interruption:
            self._introduce()
            while position.epoch < self.config.epochs and not self._stale():
                meter = self._train_epoch(interruption)
                self._finish_epoch(meter)
            self._conclude()
        return TrainingResult(
            model=self.folder / "model",
            dev_wer=position.best[0] if position.best else None,
            epochs=position.epoch,
            steps=position.step,
            seconds=position.seconds,
        )

    def _train_epoch(self, interruption: Interruption) -> StepMeter:
        position, config = self.state.position, self.config
        plan = self.inputs.plan(position.epoch, self.accelerator.process_index, self.accelerator.num_processes)
        source = self.inputs.load(plan[position.batch :], position.epoch)
        meter = StepMeter(config.clip_norm)
        self.model.train()
        saved = time.monotonic()
        while position.batch < len(plan):
            group = min(config.accumulate, len(plan) - position.batch)
            share = (position.epoch + position.batch / len(plan)) / config.epochs
            finite = self._step([self._next(source, meter) for _ in range(group)], share, meter)
            position.batch += group
            position.seconds += meter.lap()
            self.progress.step(share, position.epoch, position.step, meter)
            if position.skipped_in_a_row == MAX_SKIPPED_IN_A_ROW:
                raise TrainingError(_explain_divergence(self.folder, position))
            if interruption.requested:
                self._save()
                raise KeyboardInterrupt(f"saved after step {position.step} of epoch {position.epoch + 1}")
            if time.monotonic() - saved > config.checkpoint_seconds and finite:
                self._save()
                saved = time.monotonic()
        position.epoch, position.batch = position.epoch + 1, 0
        return meter

    def _next(self, source: Iterator[Batch], meter: StepMeter) -> Batch:
        with meter.waiting():
            return next(source).to(self.accelerator.device)

    def _step(self, group: list[Batch], share: float, meter: StepMeter) -> bool:
        """One optimizer step over a group of batches; False if it was skipped, for something was not finite."""
        state = self.state
        non_finite: list[str] = []
        for number, batch in enumerate(group, start=1):
            last = number == len(group)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                target = objective(self.model, batch, self.augment, self.recipe.objective)
                self.accelerator.backward(target.loss / len(group))
            non_finite += target.non_finite
            for name in target.unalignable:
                state.position.unalignable[name] = state.position.unalignable.get(name, 0) + 1
            meter.add_loss(target.loss.item(), target.tokens)
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm))
        finite = math.isfinite(norm)
        if finite:
            rate = learning_rate(state.position.step, share, self.config)
            state.update(rate)
            meter.add_step(norm, rate)
            state.position.skipped_in_a_row = 0
        else:
            state.position.skipped_steps += 1
            state.position.skipped_in_a_row += 1
            names = non_finite or [name for batch in group for name in batch.ids]
            self.progress.say(f"step skipped, its gradient is not finite; utterances: {', '.join(names)}")
        state.optimizer.zero_grad(set_to_none=True)
        return finite

    def _finish_epoch(self, meter: StepMeter) -> None:
        position = self.state.position
        record = meter.summary() | {"epoch": position.epoch, "step": position.step}
        is_last = position.epoch == self.config.epochs
        if self.inputs.dev is None:
            self._keep_model()
        elif is_last or position.epoch % self.config.evaluate_every == 0:
            found = validate(
                self.state.average.model, self.inputs.load_dev(), self.inputs.tokenizer, self.accelerator.device
            )
            record |= {"dev_wer": found.wer, "dev_loss": found.loss, "silent_share": found.silent_share}
            self._compare(found)
        position.seconds += meter.lap()
        record["seconds"] = position.seconds
        position.history.append(dict(record))
        self.progress.epoch(record, position.history)
        self._save()

    def _compare(self, found: Validation) -> None:
        """Keep the model if it is the best so far on dev: lower WER, or as low and lower loss."""
        position = self.state.position
        if position.best is None or (found.wer, found.loss) < position.best:
            position.best = (found.wer, found.loss)
            position.evaluations_without_gain = 0
            self._keep_model()
        else:
            position.evaluations_without_gain += 1
        if found.silent_share >= COLLAPSE_SHARE and position.epoch >= self.config.epochs / 4:
            self.progress.say(
                f"blank collapse: after {position.epoch} epochs {found.silent_share:.0%} of dev is decoded as nothing "
                f"(e.g. {', '.join(found.silent[:3])}); the model predicts blanks only: raise training.epochs or "
                "training.learning_rate, or check that transcripts belong to their audio (asr check)"
            )

    def _stale(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.state.position.evaluations_without_gain >= patience

    def _keep_model(self) -> None:
        if not self.accelerator.is_main_process:
            return
        recipe, position, model = self.recipe, self.state.position, self.state.average.model
        data = self.inputs.describe()
        outcome = {
            "epoch": position.epoch,
            "step": position.step,
            "seconds": round(position.seconds, 1),
            "dev_wer": position.best[0] if position.best else None,
            "precision": self.precision,
            "device": str(self.accelerator.device),
        }
        parameters = sum(parameter.numel() for parameter in model.parameters())
        bundle = Bundle(
            model=model,
            tokenizer=self.inputs.tokenizer,
            text=recipe.text,
            features=recipe.features,
            architecture=recipe.model,
            provenance=provenance(recipe, data, outcome),
            card=model_card(recipe, data, outcome, parameters),
        )
        save_bundle(self.folder / "model", bundle)

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            self.state.save(self.folder / CHECKPOINT, self.recipe)

    def _introduce(self) -> None:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        threads = f", {torch.get_num_threads()} threads" if self.accelerator.device.type == "cpu" else ""
        self.progress.say(
            f"{parameters / 1e6:.2f} M parameters, {self.precision} on {self.accelerator.device}{threads}"
        )
        for line in self.inputs.notes():
            self.progress.say(line)
        if self.state.position.step:
            self.progress.say(f"resumed after step {self.state.position.step}, epoch {self.state.position.epoch + 1}")

    def _conclude(self) -> None:
        position = self.state.position
        if self._stale():
            self.progress.say(f"stopped early: {self.config.patience} evaluations on dev without a better WER")
        if position.unalignable:
            names = sorted(position.unalignable, key=lambda name: -position.unalignable[name])
            self.progress.say(
                f"{len(names)} utterances had fewer frames than CTC needs for their tokens and moved nothing: "
                f"{', '.join(names[:10])}{' ...' if len(names) > 10 else ''}; lower model.subsampling, or check them"
            )
        if position.skipped_steps:
            self.progress.say(f"{position.skipped_steps} steps were skipped for a gradient that was not finite")


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weights decay; biases and the gains of normalisations, which have one dimension, do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim == 1], "weight_decay": 0.0},
    ]


def _explain_divergence(folder: Path, position: Position) -> str:
    return (
        f"{folder}: {MAX_SKIPPED_IN_A_ROW} steps in a row, the last after step {position.step}, had a loss or gradient "
        "that is not finite; lower training.learning_rate, raise training.warmup_steps, or set "
        "training.precision = 'fp32', and train anew"
    )
