"""What a person sees of a training: one bar, a line an epoch, TensorBoard logs and a picture of the learning curves."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from asr.picture import save_picture
from asr.training.meter import EpochRecord, StepMeter
from asr.training.task import Measure

CURVES_INTERVAL_SECONDS = 30.0
STEPS_BETWEEN_LOGS = 10


class TrainingProgress:
    """Shows and logs a training. Use as a context manager.

    Args:
        run: folder for `tensorboard/`, `history.jsonl` and `curves.png`.
        console: where the bar and lines go.
        measure: what is shown of dev.
        epochs: epochs in all.
        enabled: False on all but the main process of a distributed training.
    """

    def __init__(self, run: Path, console: Console, measure: Measure, epochs: int, enabled: bool = True) -> None:
        self.console = console
        self.measure = measure
        self.epochs = epochs
        self.enabled = enabled
        self._run = run
        self._drawn_at = -math.inf
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  gradient {task.fields[norm]:.2f}  dev {task.fields[measured]}"),
            TextColumn("[dim]waiting {task.fields[waiting]:.0%}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not (enabled and console.is_terminal),
        )

    def __enter__(self) -> Self:
        if self.enabled:
            from torch.utils.tensorboard import SummaryWriter  # takes a second to import

            self._writer = SummaryWriter(str(self._run / "tensorboard"))
        self._bar.start()
        self._task = self._bar.add_task(
            "", total=1.0, epoch=1, epochs=self.epochs, loss=math.nan, norm=math.nan, measured="-", waiting=0.0
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self.enabled:
            self._writer.close()

    def step(self, share: float, epoch: int, step: int, meter: StepMeter) -> None:
        """Move the bar to `share` of the training; show, and now and then log, the last step's measurements."""
        loss, norm, waiting = meter.loss, meter.norm, meter.waiting_share
        self._bar.update(self._task, completed=share, epoch=epoch + 1, loss=loss, norm=norm, waiting=waiting)
        if step % STEPS_BETWEEN_LOGS:
            return
        parts = meter.parts()  # wherever it is not logged either, so that they do not pile up
        if self.enabled:
            for name, value in {"loss": loss, "gradient_norm": norm, "learning_rate": meter.rate, **parts}.items():
                self._writer.add_scalar(f"step/{name}", value, step)

    def epoch(self, record: EpochRecord, history: Sequence[dict[str, Any]]) -> None:
        """Say how an epoch went, and draw the curves now and then; `history` ends with `record`."""
        if not self.enabled:
            return
        for name, value in {**record, **record.get("parts", {})}.items():
            if name not in ("epoch", "step", "parts"):
                self._writer.add_scalar(f"epoch/{name}", value, record["epoch"])
        lines = "".join(json.dumps(one) + "\n" for one in history)
        (self._run / "history.jsonl").write_text(lines, encoding="utf-8")
        if self.measure.key in record:
            self._bar.update(self._task, measured=_measured(record, self.measure))
        if not self.console.is_terminal:
            self.say(describe(record, self.measure, self.epochs))
        if record["seconds"] - self._drawn_at > CURVES_INTERVAL_SECONDS or record["epoch"] == self.epochs:
            draw_curves(history, self.measure, self._run / "curves.png")
            self._drawn_at = record["seconds"]

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if self.enabled:
            self.console.print(message, highlight=False, markup=False, soft_wrap=True)


def describe(record: EpochRecord, measure: Measure, epochs: int) -> str:
    """One line for an epoch."""
    parts = [f"epoch {record['epoch']}/{epochs}"]
    if "loss" in record:
        parts.append(f"loss {record['loss']:.3f}")
    if measure.key in record:
        parts.append(f"dev loss {record['dev_loss']:.3f}, {_measured(record, measure)}")
    if "loss" in record:
        parts.append(f"gradient {record['gradient_norm']:.2f} (clipped {record['clipped_share']:.0%})")
        parts.append(f"rate {record['learning_rate']:.1e}")
    return "  ".join([*parts, f"{record['seconds']:.0f} s (waiting {record['waiting_share']:.0%})"])


def _measured(record: EpochRecord, measure: Measure) -> str:
    return f"{measure.name} {measure.write(record[measure.key])}"


def draw_curves(history: Sequence[dict[str, Any]], measure: Measure, path: Path) -> None:
    """A picture of loss, the measure on dev, gradient and learning rate over the epochs."""
    from matplotlib.figure import Figure

    def curve(name: str) -> tuple[list[int], list[float]]:
        points = [(record["epoch"], record[name]) for record in history if name in record]
        return [x for x, _ in points], [y for _, y in points]

    figure = Figure(figsize=(10, 6), layout="constrained")
    loss, measured, norm, rate = figure.subplots(2, 2, sharex=True).flat
    for name, label in (("loss", "train"), ("dev_loss", "dev")):
        loss.plot(*curve(name), label=label)
    # with a label prior it may be negative
    positive = all(value > 0 for name in ("loss", "dev_loss") for value in curve(name)[1])
    loss.set(title="loss, nats per token", yscale="log" if positive else "linear")
    loss.legend()
    measured.plot(*curve(measure.key))
    measured.yaxis.set_major_formatter(lambda value, _: measure.write(value))
    measured.set(title=f"{measure.name} on dev", ylim=(0, None))
    norm.plot(*curve("gradient_norm"), label="gradient norm (median)")
    norm.plot(*curve("clipped_share"), label="share of steps clipped")
    norm.set(title="gradient", xlabel="epoch")
    norm.legend()
    rate.plot(*curve("learning_rate"))
    rate.set(title="learning rate", xlabel="epoch")
    for axes in (loss, measured, norm, rate):
        axes.grid(alpha=0.3)
    save_picture(figure, path)
