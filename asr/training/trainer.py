"""The training loop. Interrupted anywhere and resumed, it computes the same."""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from rich.console import Console
from torch import nn

from asr.errors import TrainingError
from asr.model.precision import choose_precision
from asr.runs import begin_anew
from asr.training.averaging import Candidates
from asr.training.interruption import Interruption
from asr.training.meter import StepMeter
from asr.training.objective import read_outcomes
from asr.training.progress import TrainingProgress
from asr.training.schedule import learning_rate
from asr.training.state import AveragedModel, Position, TrainingState
from asr.training.task import BatchT, DevScore, ModelT, Task

CHECKPOINT = "last.ckpt"
CANDIDATES_FOLDER = "candidates"
MODEL_FOLDER = "model"
"""Where, in the folder of a training, the model is kept."""
MAX_SKIPPED_IN_A_ROW = 10


class Trainer(Generic[ModelT, BatchT]):
    """One training. `run` goes through the epochs; `restore` first makes it go on from the last checkpoint."""

    def __init__(self, task: Task[ModelT, BatchT], folder: Path, console: Console) -> None:
        self.task, self.config, self.folder, self.reading = task, task.config, folder, task.reading()
        cpu = not torch.accelerator.is_available()
        self.precision = choose_precision(self.config.precision, PartialState(cpu=cpu).device)
        AcceleratorState._reset_state()  # which would refuse another precision than an earlier training's
        self.accelerator = Accelerator(
            cpu=cpu,
            mixed_precision="bf16" if self.precision == "bf16" else "no",
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=task.skips_parameters)],
        )
        set_seed(task.seed)
        model = task.build()
        model.to(self.accelerator.device)
        optimizer = torch.optim.AdamW(_parameter_groups(model, self.config.weight_decay), fused=True)
        self.state = TrainingState(model, AveragedModel(model, self.config.ema_decay), optimizer, Position())
        self.candidates = Candidates[ModelT](folder / CANDIDATES_FOLDER)
        self.model: nn.Module = self.accelerator.prepare_model(model)
        self.progress = TrainingProgress(
            folder, console, task.measure, self.config.epochs, self.accelerator.is_main_process
        )

    def restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            TrainingError: there is none, it is damaged, or it belongs to another recipe.
        """
        self.state.restore(self.folder / CHECKPOINT, self.task.recipe, self.reading)

    def run(self) -> Position:
        """Train to the end, and say where that is; the model is in the folder `MODEL_FOLDER` of the training's folder.

        Raises:
            TrainingError: the loss stays non-finite.
            KeyboardInterrupt: a stop was asked for; the state is saved.
        """
        position = self.state.position
        if position.step == 0 and self.accelerator.is_main_process:
            begin_anew(self.folder)  # not before all that can be wrong with the recipe and its data has been found
        with self.progress, Interruption() as interruption:
            self._introduce()
            if position.step == 0 and self.task.begins_trained and self.task.has_dev:
                self._judge_beginning()
            while position.epoch < self.config.epochs and not self._stale():
                meter = self._train_epoch(interruption)
                self._finish_epoch(meter)
            self._conclude()
        return position

    def _judge_beginning(self) -> None:
        """Score the model that the training begins with, so that nothing worse is kept in its place."""
        measure = self.task.measure
        found = self.task.evaluate(self.state.average.model, self.accelerator.device, 0)
        self._compare(found)
        self.progress.say(f"before training: {measure.name} {measure.write(found.value)}, loss {found.loss:.3f} on dev")

    def _train_epoch(self, interruption: Interruption) -> StepMeter:
        position, config = self.state.position, self.config
        plan = self.task.plan(position.epoch, self.accelerator.process_index, self.accelerator.num_processes)
        meter = StepMeter(config.clip_norm)
        self.model.train()
        saved = time.monotonic()
        with contextlib.closing(self.task.load(plan[position.batch :], position.epoch)) as source:
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

    def _next(self, source: Iterator[BatchT], meter: StepMeter) -> BatchT:
        with meter.waiting():
            return next(source).to(self.accelerator.device)

    def _step(self, group: list[BatchT], share: float, meter: StepMeter) -> bool:
        """One optimizer step over a group of batches; False if it was skipped, for something was not finite."""
        state = self.state
        targets = []
        for number, batch in enumerate(group, start=1):
            last = number == len(group)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                target = self.task.objective(self.model, batch)
                self.accelerator.backward(target.loss / len(group))
            targets.append(target)
        clipped = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        outcomes, norm = read_outcomes(targets, clipped)
        for outcome, target in zip(outcomes, targets, strict=True):
            for name in outcome.unalignable:
                state.position.unalignable[name] = state.position.unalignable.get(name, 0) + 1
            meter.add_loss(outcome.loss, outcome.tokens, target.parts)
        finite = math.isfinite(norm)
        if finite:
            rate = learning_rate(state.position.step, share, self.config)
            state.update(rate)
            meter.add_step(norm, rate)
            state.position.skipped_in_a_row = 0
        else:
            state.position.skipped_steps += 1
            state.position.skipped_in_a_row += 1
            names = [name for outcome in outcomes for name in outcome.non_finite]
            names = names or [name for batch in group for name in batch.ids]
            self.progress.say(f"step skipped, its gradient is not finite; utterances: {', '.join(names)}")
        state.optimizer.zero_grad(set_to_none=True)
        return finite

    def _finish_epoch(self, meter: StepMeter) -> None:
        position = self.state.position
        record = meter.summary() | {"epoch": position.epoch, "step": position.step}
        is_last = position.epoch == self.config.epochs
        if not self.task.has_dev:
            self._keep_model(self.state.average.model)
            self._consider(-position.epoch, 0.0)
            for warning in self.task.warnings(self.state.average.model, self.accelerator.device, position.epoch):
                self.progress.say(warning)
        elif is_last or position.epoch % self.config.evaluate_every == 0:
            found = self.task.evaluate(self.state.average.model, self.accelerator.device, position.epoch)
            record |= found.record
            self._compare(found)
            self._consider(found.value, found.loss)
        position.seconds += meter.lap()
        record["seconds"] = position.seconds
        position.history.append(dict(record))
        self.progress.epoch(record, position.history)
        self._save()
        if self.accelerator.is_main_process:
            self.candidates.keep_only({epoch for *_, epoch in position.candidates})

    def _compare(self, found: DevScore) -> None:
        """Keep the model, unless an earlier one was better on dev by more than its standard error.

        Of models that dev cannot tell apart the last one has learned most: the one that happens to make a word or two
        fewer errors there is no better elsewhere (measured: recipes/an4/RESULTS.md, "Which epoch to keep").
        """
        position, new = self.state.position, (found.value, found.loss, self.state.position.epoch)
        if position.lowest is None or new < position.lowest:
            position.lowest = new
            position.evaluations_without_gain = 0
        else:
            position.evaluations_without_gain += 1
        if found.value - found.standard_error <= position.lowest[0]:
            position.best = new
            self._keep_model(self.state.average.model)
        for warning in found.warnings:
            self.progress.say(warning)

    def _consider(self, value: float, loss: float) -> None:
        """Make the model one of those that will be averaged, if it is good enough."""
        position = self.state.position
        new = (value, loss, position.epoch)
        position.candidates = sorted([*position.candidates, new])[: self.config.average_checkpoints]
        if new in position.candidates and self.accelerator.is_main_process:
            self.candidates.add(self.state.average.model, position.epoch)

    def _average(self) -> None:
        """Average the candidates, and keep that if it is better on dev than what is kept, or if there is no dev."""
        position, measure = self.state.position, self.task.measure
        epochs = sorted(epoch for *_, epoch in position.candidates)
        if len(epochs) < 2 or position.averaged_epoch == position.epoch:
            return
        self.accelerator.wait_for_everyone()  # until the main process has written them
        model = self.candidates.mean(self.state.average.model, epochs)
        said = f"mean of epochs {', '.join(map(str, epochs))}"
        is_better = True
        if position.best is not None:
            found = self.task.evaluate(model, self.accelerator.device, position.epoch)
            before, after = position.best, (found.value, found.loss, position.epoch)
            is_better = after < before
            position.best = min(before, after)
            position.lowest = min(position.lowest or after, after)
            said += (
                f": {measure.name} {measure.write(after[0])}, loss {after[1]:.3f} on dev; kept before: "
                f"{measure.name} {measure.write(before[0])}, loss {before[1]:.3f}"
            )
        self.progress.say(f"{said}; kept {'the mean' if is_better else 'what was kept before'}")
        if is_better:
            self._keep_model(model, averaged_epochs=epochs)
        position.averaged_epoch = position.epoch
        self._save()

    def _stale(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.state.position.evaluations_without_gain >= patience

    def _keep_model(self, model: ModelT, **more: Any) -> None:
        if not self.accelerator.is_main_process:
            return
        position = self.state.position
        outcome = {
            "epoch": position.epoch,
            "step": position.step,
            "seconds": round(position.seconds, 1),
            self.task.measure.key: position.best[0] if position.best else None,
            "precision": self.precision,
            "device": str(self.accelerator.device),
            **more,
        }
        self.task.keep(self.folder / MODEL_FOLDER, model, outcome)

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            self.state.save(self.folder / CHECKPOINT, self.task.recipe, self.reading)

    def _introduce(self) -> None:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        threads = f", {torch.get_num_threads()} threads" if self.accelerator.device.type == "cpu" else ""
        self.progress.say(
            f"{parameters / 1e6:.2f} M parameters, {self.precision} on {self.accelerator.device}{threads}"
        )
        for line in self.task.notes():
            self.progress.say(line)
        if self.state.position.step:
            self.progress.say(f"resumed after step {self.state.position.step}, epoch {self.state.position.epoch + 1}")

    def _conclude(self) -> None:
        position, name = self.state.position, self.task.measure.name
        if self._stale():
            self.progress.say(f"stopped early: {self.config.patience} evaluations on dev without a better {name}")
        if position.averaged_epoch < position.epoch:
            self._explain_choice()
        self._average()
        for line in self.task.complaints(position.unalignable):
            self.progress.say(line)
        if position.skipped_steps:
            self.progress.say(f"{position.skipped_steps} steps were skipped for a gradient that was not finite")

    def _explain_choice(self) -> None:
        best, lowest, measure = self.state.position.best, self.state.position.lowest, self.task.measure
        if best and best[2] == 0:
            self.progress.say("kept the model it began with: after every epoch it was worse on dev by more than chance")
        elif best and lowest and best[0] > lowest[0]:
            self.progress.say(
                f"kept epoch {best[2]}, {measure.name} {measure.write(best[0])} on dev: epoch {lowest[2]}, with "
                f"{measure.write(lowest[0])}, is better by no more than chance, and has learned less"
            )


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
