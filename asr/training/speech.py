"""Training a recogniser: recipe in, model bundle out."""

import contextlib
import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from asr.audio import Warp
from asr.config import Recipe, TrainingConfig
from asr.dataset import Batch
from asr.model import Bundle, Model, save_bundle
from asr.training.card import model_card, provenance
from asr.training.initial import hand_over
from asr.training.inputs import Inputs, prepare_inputs
from asr.training.objective import Objective, objective, spec_augment
from asr.training.task import DevScore, Measure, Reading
from asr.training.trainer import Trainer
from asr.training.validation import Validation, validate

COLLAPSE_SHARE = 0.9
"""A model that writes nothing for this share of dev, after a quarter of the epochs, is said to have collapsed."""
COLLAPSE_BATCHES = 2
"""Of the training set, that are looked at for this where there is no dev set."""


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended."""

    model: Path
    """The bundle of the last model that dev cannot tell from its best (without dev, the last), or of a mean."""
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
        resume: go on from `run/last.ckpt`, bit for bit (on the CPU) as if there had been no stop. Otherwise what an
            earlier training has left in the folder is removed, once recipe and data are known to be usable.
        console: where progress is shown; standard error by default.

    Raises:
        AsrError: recipe, data or checkpoint are not usable, or the loss stays non-finite.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with everything saved.
    """
    run = Path(run)
    trainer = Trainer(SpeechTask(recipe), run, console or Console(stderr=True))
    if resume:
        trainer.restore()
    position = trainer.run()
    return TrainingResult(
        model=run / "model",
        dev_wer=position.best[0] if position.best else None,
        epochs=position.epoch,
        steps=position.step,
        seconds=position.seconds,
    )


class SpeechTask:
    """Waveforms to tokens by CTC, judged by word error rate; see `asr.training.task.Task`.

    Raises:
        AsrError: the recipe's data are not usable.
    """

    measure = Measure("dev_wer", "WER", "{:.2%}")

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.inputs: Inputs = prepare_inputs(recipe)
        self.augment = spec_augment(recipe)
        self.warp = Warp(recipe.augment, recipe.features)

    @property
    def config(self) -> TrainingConfig:
        return self.recipe.training

    @property
    def seed(self) -> int:
        return self.recipe.seed

    @property
    def skips_parameters(self) -> bool:
        return self.recipe.model.layer_drop > 0.0

    @property
    def has_dev(self) -> bool:
        return self.inputs.dev is not None

    @property
    def begins_trained(self) -> bool:
        return self.inputs.initial is not None

    def reading(self) -> Reading:
        return self.inputs.reading

    def build(self) -> Model:
        recipe = self.recipe
        model = Model(recipe.features, recipe.model, self.inputs.tokenizer.size)
        if self.inputs.initial is not None:
            hand_over(self.inputs.initial, model, self.inputs.tokenizer.tokens)  # what it knows of features too
            return model
        if self.inputs.train.voices is not None:
            model.features.typical_voice.copy_(self.inputs.train.voices.typical)
        if recipe.features.normalization == "global":
            model.features.fit_normalization((batch.waveforms, batch.lengths) for batch in self.inputs.load_plain())
        return model

    def plan(self, epoch: int, process: int, processes: int) -> list[list[int]]:
        return self.inputs.plan(epoch, process, processes)

    def load(self, plan: Sequence[list[int]], epoch: int) -> Generator[Batch, None, None]:
        return self.inputs.load(plan, epoch)

    def objective(self, model: nn.Module, batch: Batch) -> Objective:
        return objective(model, batch, self.augment, self.recipe.objective, self.warp)

    def evaluate(self, model: Model, device: torch.device, epoch: int) -> DevScore:
        with contextlib.closing(self.inputs.load_dev()) as batches:
            found = validate(model, batches, self.inputs.tokenizer, device)
        return DevScore(
            value=found.wer,
            loss=found.loss,
            record={"dev_wer": found.wer, "dev_loss": found.loss, "silent_share": found.silent_share},
            standard_error=found.standard_error,
            warnings=self._collapse(found, epoch, "dev"),
        )

    def warnings(self, model: Model, device: torch.device, epoch: int) -> Sequence[str]:
        if not self._should_write(epoch):
            return ()
        with contextlib.closing(self.inputs.load_plain()) as batches:
            heard = [batch for batch in itertools.islice(batches, COLLAPSE_BATCHES) if any(batch.texts)]
        return self._collapse(validate(model, heard, self.inputs.tokenizer, device), epoch, "train") if heard else ()

    def _should_write(self, epoch: int) -> bool:
        """Whether a model has learned for so long that it is no longer silent."""
        return epoch >= self.config.epochs / 4

    def _collapse(self, found: Validation, epoch: int, where: str) -> tuple[str, ...]:
        collapsed = found.silent_share >= COLLAPSE_SHARE and self._should_write(epoch)
        return (_explain_collapse(found, epoch, where),) if collapsed else ()

    def keep(self, folder: Path, model: Model, outcome: dict[str, Any]) -> None:
        recipe, data = self.recipe, self.inputs.describe()
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
        save_bundle(folder, bundle)

    def notes(self) -> list[str]:
        return self.inputs.notes()

    def complaints(self, unalignable: dict[str, int]) -> list[str]:
        if not unalignable:
            return []
        names = sorted(unalignable, key=lambda name: -unalignable[name])
        return [
            f"{len(names)} utterances had fewer frames than CTC needs for their tokens and moved nothing: "
            f"{', '.join(names[:10])}{' ...' if len(names) > 10 else ''}; lower model.subsampling, or check them"
        ]


def _explain_collapse(found: Validation, epoch: int, where: str) -> str:
    return (
        f"blank collapse: after {epoch} epochs {found.silent_share:.0%} of {where} is decoded as nothing "
        f"(e.g. {', '.join(found.silent[:3])}); the model predicts blanks only: raise training.epochs or "
        "training.learning_rate, or check that transcripts belong to their audio (asr check)"
    )
