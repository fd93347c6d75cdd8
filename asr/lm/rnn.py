"""Recurrent language models (Mikolov et al. 2010; LSTM: Sundermeyer et al. 2012), for scoring whole sentences anew.

Their units are tokens, characters or subwords, not words. A corpus small enough for such a model has few words, and
each that is missing would need a price out of thin air; tokens spell any word, and what they spell is comparable with
an n-gram model's words, because both sum over a sentence and its end. On AN4's dev transcripts, trained on those of
train, the perplexity per word is 12.6 with characters, 13.0 and 14.0 with 80 and 150 subwords, and 15.0 with a
Kneser-Ney 3-gram (`asr lm train-rnn data/an4/train.jsonl --dev data/an4/dev.jsonl --out rnn`, for subwords with
`--set tokenizer.kind=bpe` and `--set tokenizer.vocabulary_size=80`).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asr.errors import AsrError, LanguageModelError
from asr.lm.files import write_folder
from asr.lm.load import RNN_FILE, recurrent_folder
from asr.settings import PositiveCount, Settings, parse_settings
from asr.text.tokenizer import Tokenizer, load_tokenizer

SETTINGS_FILE = "rnn.json"
FORMAT_VERSION = 1
BOUNDARY = 0
"""The token that begins a sentence, as input, and ends it, as output: that of the CTC blank, which no text contains."""
BATCH_TOKENS = 8192
"""Most tokens scored at once, padding included."""


class RnnConfig(Settings):
    """Layers of a recurrent language model."""

    layers: PositiveCount = 1
    units: PositiveCount = 256
    """Units of each layer, and size of the embedding."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5


class RnnNetwork(nn.Module):
    """Embedding, LSTM layers, and an output layer that shares the embedding's weights (Press & Wolf 2017).

    Dropout is on what goes into and out of layers, not on the recurrence (Zaremba et al. 2014).

    Args:
        config: the layers.
        tokens: of the tokenizer; there is one output more, for characters that it cannot write.
    """

    def __init__(self, config: RnnConfig, tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens + 1, config.units)
        nn.init.normal_(self.embedding.weight, std=config.units**-0.5)
        between = config.dropout if config.layers > 1 else 0.0  # PyTorch warns of dropout between fewer than two
        self.layers = nn.LSTM(config.units, config.units, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.bias = nn.Parameter(torch.zeros(tokens + 1))

    def forward(
        self, tokens: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Foretell the token after each token.

        Args:
            tokens: (batch, length), padded at the end with anything: what follows is never seen.
            state: hidden and cell, (layers, batch, units) each, after the tokens before; None is none before.

        Returns:
            log_probs (batch, length, outputs), float32 natural logs that sum to one, and the state after the last.
        """
        outputs, state = self.layers(self.dropout(self.embedding(tokens)), state)
        logits = nn.functional.linear(self.dropout(outputs), self.embedding.weight, self.bias)
        return logits.float().log_softmax(-1), state


@dataclass(frozen=True, slots=True, eq=False)
class RnnState:
    """Where in a sentence a model is; opaque."""

    log_probs: Tensor
    """Of the next token, (outputs,)."""
    memory: tuple[Tensor, Tensor]
    is_start: bool


@dataclass(frozen=True, slots=True, eq=False)
class RnnModel:
    """A recurrent language model. Scores are natural logarithms; words are spelled as in the text it was made of.

    A word is scored by its tokens, those of the space before it included.
    """

    network: RnnNetwork
    """In eval mode."""
    tokenizer: Tokenizer
    config: RnnConfig
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where it comes from. JSON values only."""

    def start(self) -> RnnState:
        """The state at the beginning of a sentence."""
        return self._read([BOUNDARY], None, is_start=True)[1]

    def score(self, state: RnnState, word: str) -> tuple[float, RnnState]:
        """The natural log-probability of a word, and the state after it."""
        tokens = _spell_word(self.tokenizer, word, state.is_start)
        log_probs, after = self._read(tokens, state.memory, is_start=False)
        before = torch.cat((state.log_probs[None], log_probs[:-1]))
        return float(_pick(before, torch.tensor(tokens, device=before.device)).sum()), after

    def finish(self, state: RnnState) -> float:
        """The natural log-probability that the sentence ends here."""
        return float(state.log_probs[BOUNDARY])

    def knows(self, word: str) -> bool:
        """Whether all characters of a word can be written; others are foretold as one that was never seen."""
        return self.tokenizer.characters.issuperset(word)

    def word_log_probs(self, sentences: Sequence[str]) -> list[list[float]]:
        """The natural log-probability of each word of each sentence, and of its end, many sentences at a time.

        `sum` of a sentence's is that of the whole. To rounding, the result is that of `score` and `finish`.
        """
        spelled = [spell(self.tokenizer, sentence) for sentence in sentences]
        found: list[list[float]] = [[]] * len(spelled)
        for batch in _batches([sum(map(len, words)) + 1 for words in spelled]):
            rows = [[token for word in spelled[index] for token in word] for index in batch]
            tokens, lengths = pad_sentences(rows)
            log_probs = self._foretell(tokens)
            for index, row, length in zip(batch, log_probs, lengths.tolist(), strict=True):
                sizes = [*map(len, spelled[index]), 1]
                found[index] = [float(word.sum()) for word in row[:length].split(sizes)]
        return found

    def log_probs(self, sentences: Sequence[str]) -> list[float]:
        """The natural log-probability of each sentence, its end included, many sentences at a time."""
        return [sum(words) for words in self.word_log_probs(sentences)]

    def save(self, folder: Path | str) -> None:
        """Write the model into a folder, complete or not at all.

        Raises:
            LanguageModelError: it cannot be written.
        """
        values = {
            "format_version": FORMAT_VERSION,
            "model": self.config.model_dump(),
            "provenance": self.provenance,
        }
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        with write_folder(Path(folder)) as fresh:
            save_file(weights, fresh / RNN_FILE)
            (fresh / SETTINGS_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
            self.tokenizer.save(fresh)

    @torch.inference_mode()
    def _foretell(self, tokens: Tensor) -> Tensor:
        """Log-probabilities (batch, length) of what follows each of tokens (batch, length + 1), on the CPU."""
        tokens = tokens.to(self.network.bias.device)
        return _pick(self.network(tokens[:, :-1])[0], tokens[:, 1:]).double().cpu()

    @torch.inference_mode()
    def _read(
        self, tokens: Sequence[int], memory: tuple[Tensor, Tensor] | None, is_start: bool
    ) -> tuple[Tensor, RnnState]:
        """Log-probabilities (tokens, outputs) of what follows each token, and the state after the last."""
        log_probs, memory = self.network(torch.tensor([tokens], device=self.network.bias.device), memory)
        return log_probs[0], RnnState(log_probs[0, -1], memory, is_start)


def spell(tokenizer: Tokenizer, sentence: str) -> list[list[int]]:
    """The tokens of each word of a sentence, those of the space before it included."""
    return [_spell_word(tokenizer, word, is_start=not place) for place, word in enumerate(sentence.split())]


def _spell_word(tokenizer: Tokenizer, word: str, is_start: bool) -> list[int]:
    """A character that cannot be written is one token, `tokenizer.size`."""
    text, known = word if is_start else f" {word}", tokenizer.characters
    if known.issuperset(text):
        return tokenizer.encode(text)
    tokens: list[int] = []
    for is_known, run in groupby(text, known.__contains__):
        letters = "".join(run)
        tokens += tokenizer.encode(letters) if is_known else [tokenizer.size] * len(letters)
    return tokens


def pad_sentences(sentences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Put sentences, of tokens, side by side.

    Returns:
        tokens (batch, longest + 2), each sentence between `BOUNDARY`s and padded with them, and lengths (batch,), how
        many tokens of each are to be foretold, the end of the sentence included.
    """
    tokens = torch.full((len(sentences), max(map(len, sentences)) + 2), BOUNDARY)
    for row, sentence in zip(tokens, sentences, strict=True):
        row[1 : len(sentence) + 1] = torch.tensor(sentence, dtype=torch.long)
    return tokens, torch.tensor([len(sentence) + 1 for sentence in sentences])


def load_recurrent(path: Path | str) -> RnnModel:
    """Read a recurrent model, onto the CPU: the folder that `RnnModel.save` wrote, or that of its training.

    Raises:
        LanguageModelError: there is none, it is damaged, or of a newer version; names the file and the remedy.
    """
    folder = recurrent_folder(path) or Path(path)
    settings, weights = folder / SETTINGS_FILE, folder / RNN_FILE
    for name in (settings, weights):
        if not name.is_file():
            raise LanguageModelError(f"{name}: no such file; give the folder that `asr lm train-rnn` wrote")
    try:
        values = json.loads(settings.read_text(encoding="utf-8"))
        version = values["format_version"]
        if version != FORMAT_VERSION:
            raise LanguageModelError(f"{settings}: format {version}, of a newer version of this package; update it")
        config = parse_settings(RnnConfig, values["model"], str(settings))
        tokenizer = load_tokenizer(folder)
        network = RnnNetwork(config, tokenizer.size)
        network.load_state_dict(load_file(weights))
        return RnnModel(network.eval(), tokenizer, config, values["provenance"])
    except LanguageModelError:
        raise
    except AsrError as error:
        raise LanguageModelError(str(error)) from None
    except (ValueError, KeyError, TypeError):
        raise LanguageModelError(f"{settings}: damaged, not the settings of a language model; copy it again") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LanguageModelError(
            f"{weights}: damaged, or not the weights of this {SETTINGS_FILE} ({reason}); copy it again"
        ) from None


def _pick(log_probs: Tensor, tokens: Tensor) -> Tensor:
    """The log-probabilities, (..., outputs), of tokens, (...)."""
    return log_probs.gather(-1, tokens[..., None]).squeeze(-1)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of sentences of similar length, together at most `BATCH_TOKENS` with padding; a longer one is alone."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
