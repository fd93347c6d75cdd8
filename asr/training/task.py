"""What the training loop is given to do: which model, fed with what, minimising what, and judged how.

The loop (`trainer`) knows optimisation, precision, checkpoints and interruption; a task knows everything else.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

import torch
from torch import nn

from asr.config import OptimizationConfig
from asr.settings import Settings
from asr.training.meter import EpochRecord
from asr.training.objective import Objective


@dataclass(frozen=True, slots=True)
class Measure:
    """What a task is judged by on dev; smaller is better."""

    key: Literal["dev_wer", "dev_perplexity"]
    """Its name in records and provenance."""
    name: str
    """Its name for people."""
    pattern: str
    """How `str.format` writes a value."""

    def write(self, value: float) -> str:
        """A value, for people."""
        return self.pattern.format(value)


@dataclass(frozen=True, slots=True)
class DevScore:
    """How good a model is on dev."""

    value: float
    """Of the task's measure."""
    loss: float
    """Nats per token; decides between equals."""
    record: EpochRecord
    """Both, and what else is to be logged."""
    standard_error: float = 0.0
    """Of the value, another dev set of the same kind drawn; 0 takes every difference to be real."""
    warnings: tuple[str, ...] = ()
    """What a person must know at once."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a training reads, as far as one that is resumed has to read the same."""

    tokens: tuple[str, ...]
    """What the model's outputs stand for."""
    examples: str
    """A digest of all examples, in their order: in the midst of an epoch these must be the same."""
    dev: str = ""
    """A digest of what chooses among epochs, where the recipe does not name it."""


class Examples(Protocol):
    """A batch."""

    @property
    def ids(self) -> tuple[str, ...]:
        """What its examples are called in messages."""

    def to(self, device: torch.device | str) -> Self:
        """The same batch on a device."""


ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT", bound=Examples)


class Task(Protocol[ModelT, BatchT]):
    """Something to be trained. What is random in it is drawn from PyTorch's generator, or from seed and epoch alone."""

    @property
    def recipe(self) -> Settings:
        """Every setting; a training is resumed with the same ones."""

    @property
    def config(self) -> OptimizationConfig:
        """Those that the loop obeys."""

    @property
    def skips_parameters(self) -> bool:
        """Whether a step may do without some parameters; processes that train together then look for them."""

    @property
    def seed(self) -> int:
        """Decides all that is random."""

    @property
    def measure(self) -> Measure:
        """What is meant by better."""

    @property
    def has_dev(self) -> bool:
        """Whether there is a dev set. Without one, the last model is kept."""

    @property
    def begins_trained(self) -> bool:
        """Whether `build` gives a model that has learned before; it is then judged before it learns more."""

    def reading(self) -> Reading:
        """What is read; called once."""

    def build(self) -> ModelT:
        """The model to be trained, on the CPU; called once, PyTorch's generator seeded."""

    def plan(self, epoch: int, process: int, processes: int) -> Sequence[list[int]]:
        """The batches of an epoch that fall to one of several processes, as indices of examples."""

    def load(self, plan: Sequence[list[int]], epoch: int) -> Generator[BatchT, None, None]:
        """Read the batches of a plan, or of the rest of one. The loop closes it when it is done with it."""

    def objective(self, model: nn.Module, batch: BatchT) -> Objective:
        """What a step minimises; `model` is that of `build`, perhaps wrapped, the batch on its device."""

    def evaluate(self, model: ModelT, device: torch.device, epoch: int) -> DevScore:
        """Judge a model on dev, after so many epochs; called only where there is a dev set."""

    def warnings(self, model: ModelT, device: torch.device, epoch: int) -> Sequence[str]:
        """What a person must know at once of a model, after so many epochs; called only where there is no dev set."""

    def keep(self, folder: Path, model: ModelT, outcome: dict[str, Any]) -> None:
        """Write a model and where it comes from, complete or not at all. `outcome` says how the training went so far,
        in JSON values.
        """

    def notes(self) -> list[str]:
        """What a person wants to know before the training begins."""

    def complaints(self, unalignable: dict[str, int]) -> list[str]:
        """What a person should know after it; `unalignable` are the examples that objectives named, with how often."""
