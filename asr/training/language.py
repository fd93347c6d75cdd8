"""Training a recurrent language model: sentences in, a folder that `asr.lm.load_recurrent` reads out."""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from rich.console import Console
from torch import Tensor, nn

from asr import __version__
from asr.config import OptimizationConfig, TokenizerConfig
from asr.dataset import BatchSampler
from asr.errors import LanguageModelError
from asr.lm.perplexity import from_nats
from asr.lm.rnn import RnnConfig, RnnModel, RnnNetwork, pad_sentences, spell
from asr.settings import Count, Positive, PositiveCount, Settings
from asr.text import build_tokenizer
from asr.training.objective import Objective
from asr.training.task import DevScore, Measure, Reading
from asr.training.trainer import MODEL_FOLDER, Trainer


class LanguageTrainingConfig(OptimizationConfig):
    """Optimisation of a language model."""

    epochs: PositiveCount = 30
    batch_tokens: PositiveCount = 512
    """Tokens in a batch, padding included."""
    learning_rate: Positive = 3e-3
    warmup_steps: Count = 50
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99


class LanguageRecipe(Settings):
    """How a recurrent language model is made of a text."""

    seed: Count = 0
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: RnnConfig = RnnConfig()
    training: LanguageTrainingConfig = LanguageTrainingConfig()

    @model_validator(mode="after")
    def _words_are_cut_alike(self) -> Self:
        # A word's score is that of the one way in which it is cut, so no other may take probability from it.
        if self.tokenizer.dropout:
            raise ValueError("tokenizer.dropout is for recognisers; set it to 0")
        return self


@dataclass(frozen=True)
class LanguageTrainingResult:
    """How a training ended."""

    model: Path
    """The folder of the best model on dev (without dev, of the last one), or of a mean."""
    dev_perplexity: float | None
    """Per word, ends of sentences included."""
    epochs: int
    steps: int
    seconds: float
    """Wall time, over all sessions."""


def train_language_model(
    recipe: LanguageRecipe,
    train: Sequence[str],
    dev: Sequence[str],
    run: Path | str,
    resume: bool = False,
    console: Console | None = None,
) -> LanguageTrainingResult:
    """Train a recurrent language model and leave it in `run/model`.

    Args:
        recipe: how.
        train: normalised sentences.
        dev: others, which choose the best epoch; there may be none.
        run: folder for the model, the last checkpoint, logs and pictures.
        resume: go on from `run/last.ckpt`, bit for bit (on the CPU) as if there had been no stop. Otherwise what an
            earlier training has left in the folder is removed, once recipe and data are known to be usable.
        console: where progress is shown; standard error by default.

    Raises:
        AsrError: text or checkpoint are not usable, or the loss stays non-finite.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with everything saved.
    """
    run = Path(run)
    trainer = Trainer(LanguageTask(recipe, train, dev), run, console or Console(stderr=True))
    if resume:
        trainer.restore()
    position = trainer.run()
    return LanguageTrainingResult(
        model=run / MODEL_FOLDER,
        dev_perplexity=position.best[0] if position.best else None,
        epochs=position.epoch,
        steps=position.step,
        seconds=position.seconds,
    )


@dataclass(frozen=True)
class SentenceBatch:
    """Sentences as tokens, side by side; see `asr.lm.rnn.pad_sentences`."""

    tokens: Tensor
    """int64, (batch, longest + 2)."""
    lengths: Tensor
    """int64, (batch,)."""
    ids: tuple[str, ...]

    def to(self, device: torch.device | str) -> "SentenceBatch":
        """The same batch on a device."""
        return SentenceBatch(self.tokens.to(device), self.lengths.to(device), self.ids)


class LanguageTask:
    """Tokens to the next token, judged by perplexity; see `asr.training.task.Task`.

    Raises:
        AsrError: the text holds no words, or cannot be made into the tokens that the recipe asks for.
    """

    measure = Measure("dev_perplexity", "perplexity", "{:.2f}")
    skips_parameters = False
    has_dev: bool
    begins_trained = False

    def __init__(self, recipe: LanguageRecipe, train: Sequence[str], dev: Sequence[str]) -> None:
        sentences = [" ".join(words) for sentence in train if (words := sentence.split())]
        if not sentences:
            raise LanguageModelError("text: no words to train on; give one sentence a line")
        self.recipe = recipe
        self.tokenizer = build_tokenizer(recipe.tokenizer, sentences)
        self.dev = tuple(dev)
        self.has_dev = bool(dev)
        self.sentences = [self._tokens(sentence) for sentence in sentences]

    @property
    def config(self) -> LanguageTrainingConfig:
        return self.recipe.training

    @property
    def seed(self) -> int:
        return self.recipe.seed

    def reading(self) -> Reading:
        text = "\n".join(" ".join(map(str, sentence)) for sentence in self.sentences)
        return Reading(tuple(self.tokenizer.tokens), _digest(text), _digest("\n".join(self.dev)) if self.dev else "")

    def build(self) -> RnnNetwork:
        return RnnNetwork(self.recipe.model, self.tokenizer.size)

    def plan(self, epoch: int, process: int, processes: int) -> list[list[int]]:
        lengths = [len(sentence) + 1 for sentence in self.sentences]
        batches = BatchSampler(lengths, self.config.batch_tokens, self.recipe.seed).batches(epoch)
        return batches[process : len(batches) // processes * processes : processes]

    def load(self, plan: Sequence[list[int]], epoch: int) -> Generator[SentenceBatch, None, None]:
        for indices in plan:
            tokens, lengths = pad_sentences([self.sentences[index] for index in indices])
            yield SentenceBatch(tokens, lengths, tuple(f"sentence {index + 1}" for index in indices))

    def objective(self, model: nn.Module, batch: SentenceBatch) -> Objective:
        """The mean over the tokens, ends of sentences included, of what they cost in nats."""
        log_probs = model(batch.tokens[:, :-1])[0]
        costs = -log_probs.gather(-1, batch.tokens[:, 1:, None]).squeeze(-1)
        counted = torch.arange(costs.shape[1], device=costs.device) < batch.lengths[:, None]
        sums = torch.where(counted, costs, 0.0).sum(dim=1)
        tokens = batch.lengths.sum()
        non_finite = ~sums.isfinite()
        return Objective(
            loss=sums.sum() / tokens,
            tokens=tokens,
            ids=batch.ids,
            unalignable=torch.zeros_like(non_finite),
            non_finite=non_finite,
        )

    def evaluate(self, model: RnnNetwork, device: torch.device, epoch: int) -> DevScore:
        nats = -sum(self._model(model).log_probs(self.dev))
        words = sum(len(sentence.split()) + 1 for sentence in self.dev)
        loss = nats / sum(len(self._tokens(sentence)) + 1 for sentence in self.dev)
        perplexity = from_nats(nats, words)
        return DevScore(perplexity, loss, {"dev_perplexity": perplexity, "dev_loss": loss})

    def warnings(self, model: RnnNetwork, device: torch.device, epoch: int) -> Sequence[str]:
        return ()

    def keep(self, folder: Path, model: RnnNetwork, outcome: dict[str, Any]) -> None:
        data = {"train_sentences": len(self.sentences), "dev_sentences": len(self.dev)}
        recipe = self.recipe.model_dump(mode="json")
        provenance = {"recipe": recipe, "data": data, "outcome": outcome, "asr_version": __version__}
        self._model(model, provenance).save(folder)

    def notes(self) -> list[str]:
        dev = f"dev {len(self.dev)} sentences" if self.dev else "no dev text"
        tokens = sum(map(len, self.sentences))
        return [
            f"train {len(self.sentences)} sentences, {tokens} tokens; {dev}; {self.tokenizer.size} tokens to choose"
        ]

    def complaints(self, unalignable: dict[str, int]) -> list[str]:
        return []

    def _tokens(self, sentence: str) -> list[int]:
        return [token for word in spell(self.tokenizer, sentence) for token in word]

    def _model(self, network: RnnNetwork, provenance: dict[str, Any] | None = None) -> RnnModel:
        return RnnModel(network, self.tokenizer, self.recipe.model, provenance or {})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
