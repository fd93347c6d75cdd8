"""Beam search: the likeliest texts, all alignments of each summed, with language model, lexicon and hotwords.

The search itself is compiled (`prefix`, `fusion`); here its input is checked, its tables grow, and what it found
becomes hypotheses. The search weighs prefixes by what it has kept of their alignments; what is returned is scored anew
and exactly (`likelihood`), whatever way the beam happened to find it. Its words are not timed (`words.timed`).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch

from asr.decoding.hypothesis import Hypothesis
from asr.decoding.nbest import nbest
from asr.decoding.prefix import advance
from asr.decoding.tables import Tables, grown, new_tables, new_work_space
from asr.decoding.vocabulary import build_words, new_nodes
from asr.errors import ConfigError
from asr.text.tokenizer import Tokenizer

FUSED_CUT, LONE_CUT = 1e-3, 5e-3
"""The share of a frame's largest probability that a token needs. Measured on simulated emissions: the word error rate
without a language model is the same at both; with one it is 3.6 % at 1e-3, 4.2 % at 3e-3 and 6.4 % at 1e-2."""

UNKNOWN_SCORE = -15.0
"""The price of an unknown word, in nats, without tuning."""


@dataclass(frozen=True, slots=True, eq=False)
class SearchState:
    """A search under way; opaque. `frames` counts the frames seen."""

    frames: int
    heard: tuple["_Chunk", ...]
    tables: Tables
    nodes: Any


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """Some frames: probabilities (frames, tokens), and each frame's sum and peak (frames,)."""

    probabilities: Any
    sums: Any
    peaks: Any


class BeamSearch:
    """CTC prefix beam search (Graves 2012; Hannun et al. 2014), exact but for its pruning.

    A text is scored by the natural logarithm of the sum over its alignments, plus lm_weight * ln P_LM(words, end of
    sentence) + word_bonus * words, plus the boosts of the hotwords in it. Words are what spaces separate. A language
    model of characters is asked for characters instead, and adds character_bonus for each. With subwords, each way
    to cut a text into tokens is scored by itself; its words are the same.

    Args:
        tokenizer: the one the log-probabilities belong to.
        beam_size: prefixes kept from frame to frame.
        lm: an n-gram model of words or of characters (`asr.lm.load`), or None.
        lm_weight: of the language model's log-probability.
        word_bonus: for each word; makes up for the language model's dislike of many words, and counts only with one.
        lexicon: words; all others are forbidden, those of hotwords excepted. None allows any.
        hotwords: boost, in nats, of each word or phrase.
        character_bonus: for each character, the space between two words being one; with a model of characters only.
        unknown_score: for each word that the language model, the lexicon and the hotwords do not know, on top of the
            model's P(<unk>), which tells how often there is an unknown word but not which one it is.
        nbest: the most hypotheses to return.
        token_cut: tokens less likely than this share of their frame's likeliest are not tried; None is `FUSED_CUT`
            where words are weighed, which may make up for a low probability, and `LONE_CUT` elsewhere.
        score_margin: prefixes whose score lies this much below the best one's are dropped.

    Raises:
        ConfigError: a number is out of range.
        TextError: a word of the lexicon or a hotword cannot be written in the tokens.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        beam_size: int = 50,
        lm: Any = None,
        lm_weight: float = 0.5,
        word_bonus: float = 0.5,
        lexicon: Collection[str] | None = None,
        hotwords: Mapping[str, float] | None = None,
        *,
        character_bonus: float = 0.0,
        unknown_score: float = UNKNOWN_SCORE,
        nbest: int = 1,
        token_cut: float | None = None,
        score_margin: float = 10.0,
    ) -> None:
        for name, value, least, most in (
            ("beam_size", beam_size, 1, math.inf),
            ("nbest", nbest, 1, math.inf),
            ("lm_weight", lm_weight, 0.0, 100.0),
            ("word_bonus", word_bonus, -100.0, 100.0),
            ("character_bonus", character_bonus, -100.0, 100.0),
            ("unknown_score", unknown_score, -100.0, 0.0),
            ("token_cut", token_cut or 0.0, 0.0, 1.0),
            ("score_margin", score_margin, 0.0, math.inf),
        ):
            if not least <= value <= most:
                raise ConfigError(f"beam search: {name} is {value}; it must lie between {least:g} and {most:g}")
        self._tokenizer = tokenizer
        self._beam_size = beam_size
        self._nbest = nbest
        self._margin = math.exp(-score_margin)
        self._words = build_words(
            tokenizer, lm, lm_weight, word_bonus, character_bonus, unknown_score, lexicon, hotwords
        )
        default = LONE_CUT if self._words is None else FUSED_CUT
        self._cut = default if token_cut is None else float(token_cut)

    def __call__(self, log_probs: torch.Tensor) -> list[Hypothesis]:
        """Decode one utterance.

        Args:
            log_probs: natural logs, normalised, shape (frames, tokens); -inf is allowed, and no frames are.

        Returns:
            At least one and at most `nbest` hypotheses, best first. `score` is the fused score, `acoustic_score` the
            log-probability of the tokens over all alignments, `lm_score` the language model's log-probability, not
            weighted (0 without one); `words` is empty.

        Raises:
            ValueError: the shape does not fit the tokenizer, or a frame does not add up to one.
        """
        return self._decode(self._array(log_probs, 2))

    def batch(self, log_probs: torch.Tensor, lengths: torch.Tensor, threads: int = 2) -> list[list[Hypothesis]]:
        """Decode many utterances, each as if alone.

        Args:
            log_probs: shape (batch, frames, tokens).
            lengths: valid frames of each utterance, shape (batch,).
            threads: how many to decode at a time; the compiled search does not hold Python's lock.
        """
        # Checked and converted at once: whatever asks for Python's lock, however shortly, makes the other threads wait.
        array = self._array(log_probs, 3)
        utterances = [frames[:length] for frames, length in zip(array, lengths.tolist(), strict=True)]
        found: list[list[Hypothesis]] = [[] for _ in utterances]
        waiting = iter(sorted(range(len(utterances)), key=lambda number: -len(utterances[number])))

        def work() -> None:
            for number in waiting:
                found[number] = self._decode(utterances[number])

        with ThreadPoolExecutor(threads) as pool:
            others = [pool.submit(work) for _ in range(threads - 1)]
            work()
            for other in others:
                other.result()
        return found

    def start(self) -> SearchState:
        """A search that has heard nothing."""
        tables = new_tables(self._beam_size)
        nodes = None if self._words is None else new_nodes(len(tables.tree))
        return SearchState(frames=0, heard=(), tables=tables, nodes=nodes)

    def advance(self, state: SearchState, log_probs: torch.Tensor) -> SearchState:
        """Hear more frames, shape (frames, tokens); `state` stays as it is and may be used again.

        Raises:
            ValueError: as in a call.
        """
        tables, nodes = state.tables.copy(), None if state.nodes is None else state.nodes.copy()
        return self._advance(replace(state, tables=tables, nodes=nodes), self._array(log_probs, 2))

    def finish(self, state: SearchState) -> list[Hypothesis]:
        """What has been heard so far, as in a call; `state` stays as it is and may hear more."""
        probabilities, peaks = _probabilities(state.heard, self._tokenizer.size)
        words = None if self._words is None else self._words._replace(nodes=state.nodes)
        found = nbest(state.tables, words, probabilities, peaks, self._nbest)
        return sorted(map(self._hypothesis, found), key=lambda hypothesis: -hypothesis.score)[: self._nbest]

    def _decode(self, log_probs: Any) -> list[Hypothesis]:
        return self.finish(self._advance(self.start(), log_probs))

    def _advance(self, state: SearchState, log_probs: Any) -> SearchState:
        """As `advance`, but `state` is used up."""
        chunk = _Chunk(numpy.exp(log_probs), numpy.empty(len(log_probs)), numpy.empty(len(log_probs)))
        tables, nodes = state.tables, state.nodes
        space = new_work_space(self._beam_size, self._tokenizer.size)
        frames, done = (chunk.probabilities, chunk.sums, chunk.peaks), 0
        while True:
            words = None if self._words is None else self._words._replace(nodes=nodes)
            done = advance(*frames, done, self._cut, self._margin, tables, space, words)
            if done < 0:
                wrong = -1 - done
                raise ValueError(
                    f"log_probs: the probabilities of frame {state.frames + wrong} add up to {chunk.sums[wrong]:g} "
                    "instead of 1; give natural logarithms, normalised over the tokens (log_softmax), of this "
                    "utterance's frames only"
                )
            if done == len(chunk.sums):
                return SearchState(state.frames + done, (*state.heard, chunk), tables, nodes)
            tables = tables._replace(tree=grown(tables.tree))
            nodes = None if nodes is None else grown(nodes)

    def _hypothesis(self, found: tuple[Any, ...]) -> Hypothesis:
        tokens, acoustic, log_prob, extras = found
        ids = tuple(tokens.tolist())
        weight = 0.0 if self._words is None else self._words.lm_weight
        return Hypothesis(
            text=" ".join(self._tokenizer.decode(ids).split()),
            tokens=ids,
            score=acoustic + weight * log_prob + extras,
            acoustic_score=acoustic,
            lm_score=log_prob,
            words=(),
        )

    def _array(self, log_probs: torch.Tensor, dimensions: int) -> Any:
        """Log-probabilities as a numpy array in float32 or float64, their shape checked."""
        if log_probs.ndim != dimensions or log_probs.shape[-1] != self._tokenizer.size:
            wanted = ("batch, " if dimensions == 3 else "") + f"frames, {self._tokenizer.size}"
            raise ValueError(
                f"log_probs: shape {tuple(log_probs.shape)}, but the tokenizer has {self._tokenizer.size} tokens; give "
                f"({wanted}) from the model that belongs to it"
            )
        log_probs = log_probs.detach().cpu()
        return (log_probs if log_probs.dtype == torch.float64 else log_probs.float()).contiguous().numpy()


def _probabilities(heard: Sequence[_Chunk], vocabulary: int) -> tuple[Any, Any]:
    """All probabilities, shape (frames, tokens), and each frame's largest, shape (frames,)."""
    if not heard:
        return numpy.empty((0, vocabulary), numpy.float32), numpy.empty(0)
    return _joined([chunk.probabilities for chunk in heard]), _joined([chunk.peaks for chunk in heard])


def _joined(arrays: Sequence[Any]) -> Any:
    """Arrays one after the other, at least one; a single one is not copied."""
    return arrays[0] if len(arrays) == 1 else numpy.concatenate(arrays)
