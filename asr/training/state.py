"""All that a training must remember to go on as if it had never stopped, and the file that keeps it."""

import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic

import torch

from asr.errors import TrainingError
from asr.settings import Settings
from asr.training.task import ModelT, Reading

MAY_CHANGE = (
    "stated",
    "data",
    "augment.noise",
    "training.initial_model",
    "training.epochs",
    "training.patience",
    "training.checkpoint_seconds",
    "training.workers",
    "training.cache_gigabytes",
)
"""Settings, and tables of them, that a resumed training may have otherwise than the one it goes on with, as files may
have moved."""


@dataclass
class Position:
    """Where a training stands. `batch` counts batches done of epoch `epoch`; `step` counts optimizer steps."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    evaluations_without_gain: int = 0
    lowest: tuple[float, float, int] | None = None
    """(the task's measure, loss, epoch) of what was best on dev so far; smaller is better, in this order."""
    best: tuple[float, float, int] | None = None
    """The same of the model that is kept: the last one that dev cannot tell from the lowest."""
    candidates: list[tuple[float, float, int]] = field(default_factory=list)
    """What is to be averaged, the first one best: (measure, loss, epoch); without dev, (-epoch, 0, epoch)."""
    averaged_epoch: int = 0
    """The epoch after which they last were."""
    unalignable: dict[str, int] = field(default_factory=dict)
    """Utterances CTC could not align, with how often that was met."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One `progress.EpochRecord` an epoch."""


class AveragedModel(Generic[ModelT]):
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992), the model that is scored and kept.

    Early on the average looks back over the steps made so far only: decay is at most (1 + step) / (10 + step).
    """

    def __init__(self, model: ModelT, decay: float) -> None:
        self.decay = decay
        self.model = deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: ModelT, step: int) -> None:
        """Move the average towards `model`, after optimizer step number `step` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place, to the disk, then rename: a half-written one cannot exist."""
    fresh = path.with_name(f".{path.name}.writing")
    with fresh.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@dataclass
class TrainingState(Generic[ModelT]):
    """Model, average, optimizer, position; with PyTorch's random states (nothing else is drawn from), a checkpoint."""

    model: ModelT
    average: AveragedModel[ModelT]
    optimizer: torch.optim.Optimizer
    position: Position

    def update(self, rate: float) -> None:
        """One optimizer step with the gradients at hand, at learning rate `rate`."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.position.step += 1
        self.average.update(self.model, self.position.step)

    def save(self, path: Path, recipe: Settings, reading: Reading) -> None:
        """Write a checkpoint."""
        state = {
            "recipe": recipe.model_dump(mode="json"),
            "reading": asdict(reading),
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "position": asdict(self.position),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        write_whole(path, lambda file: torch.save(state, file))

    def restore(self, path: Path, recipe: Settings, reading: Reading) -> None:
        """Go back to a checkpoint.

        Raises:
            TrainingError: the file is missing or damaged, or recipe or vocabulary are not what the training began with,
                or, in the midst of an epoch, the examples.
        """
        state = _read(path)
        _refuse_other_recipe(path, state["recipe"], recipe)
        begun = state.get("reading", {})
        if begun.get("tokens") != reading.tokens:
            raise TrainingError(
                f"{path}: this training began with another vocabulary; resume with the data it began with, or begin "
                "anew with --overwrite"
            )
        if begun.get("dev", "") != reading.dev:
            raise TrainingError(
                f"{path}: this training began with other texts to choose its best epoch by, or with none; resume with "
                "those it began with, or begin anew with --overwrite"
            )
        if state["position"]["batch"] and begun.get("examples") != reading.examples:
            epoch = state["position"]["epoch"] + 1
            raise TrainingError(
                f"{path}: this training stopped within epoch {epoch}, and its data have changed since; resume with "
                "those it began with, or begin anew with --overwrite"
            )
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        vars(self.position).update(state["position"])
        torch.set_rng_state(state["random"])
        if state["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_random"])


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{path}: no checkpoint to resume from; train without --resume") from None
    except Exception as error:  # torch raises whatever the damage happens to cause
        reason = " ".join(str(error).split())[:120]
        raise TrainingError(f"{path}: damaged checkpoint ({reason}); begin anew with --overwrite") from None
    return state


def _refuse_other_recipe(path: Path, begun: dict[str, Any], wanted: Settings) -> None:
    before, now = _flatten(begun), _flatten(wanted.model_dump(mode="json"))
    # A setting that the training began without, as it is newer, was off: that is its default.
    off = now.keys() - before.keys() - _flatten(wanted.model_dump(mode="json", exclude_defaults=True)).keys()
    free = {key for key in now if key in MAY_CHANGE or key.partition(".")[0] in MAY_CHANGE}
    changed = [key for key in now if now[key] != before.get(key) and key not in off and key not in free]
    if changed:
        differences = ", ".join(f"{key} {before.get(key)!r} -> {now[key]!r}" for key in changed)
        raise TrainingError(
            f"{path}: this training began with other settings ({differences}); resume with those it began with, or "
            "begin anew with --overwrite"
        )


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
