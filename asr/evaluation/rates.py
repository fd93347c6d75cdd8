"""Word and character error rates, from the minimum edit distance that jiwer computes.

Texts are compared as they are given: normalise them before, and say how. Runs of white space count as one space; the
spaces between words are characters of the character error rate. Rates are fractions, summed over the corpus
(all errors / all reference words), not averaged over utterances, and exceed 1 if insertions abound.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jiwer

from asr.errors import AsrError

AlignedPair = tuple[str | None, str | None]
"""Reference and hypothesis side by side: equal, substituted, deleted (hypothesis None) or inserted (reference None)."""


@dataclass(frozen=True, slots=True)
class UtteranceErrors:
    """How one utterance was recognised. Counts are words except where they say characters."""

    id: str
    reference: str
    hypothesis: str
    substitutions: int
    deletions: int
    insertions: int
    reference_words: int
    character_errors: int
    reference_characters: int
    alignment: tuple[AlignedPair, ...]

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions of words."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """How a corpus was recognised: rates as fractions, counts of words except where they say characters."""

    wer: float
    cer: float
    substitutions: int
    deletions: int
    insertions: int
    reference_words: int
    reference_characters: int
    utterances: tuple[UtteranceErrors, ...]


def score(references: Sequence[str], hypotheses: Sequence[str], ids: Sequence[str] | None = None) -> ErrorRates:
    """Compare what was said with what was recognised.

    An utterance without reference words is allowed: what was recognised there counts as insertions.

    Args:
        references: what was said.
        hypotheses: what was recognised, in the same order.
        ids: names of the utterances; without them they are numbered from 1.

    Raises:
        AsrError: no reference has any word, so no rate exists.
        ValueError: the sequences differ in length.
    """
    ids = [str(number) for number in range(1, len(references) + 1)] if ids is None else ids
    if not len(references) == len(hypotheses) == len(ids):
        raise ValueError(f"{len(references)} references, {len(hypotheses)} hypotheses, {len(ids)} ids; give as many")
    references, hypotheses = [_one_space(text) for text in references], [_one_space(text) for text in hypotheses]
    if not any(references):
        raise AsrError(
            f"evaluation: the references of {len(references)} utterances hold no words, so there is no error rate; "
            "give transcripts, and check that normalisation leaves something of them"
        )
    utterances = tuple(
        _count(*each)
        for each in zip(
            ids,
            references,
            hypotheses,
            _pairs(jiwer.process_words(references, hypotheses)),
            _pairs(jiwer.process_characters(references, hypotheses)),
            strict=True,
        )
    )
    words = sum(utterance.reference_words for utterance in utterances)
    characters = sum(utterance.reference_characters for utterance in utterances)
    return ErrorRates(
        wer=sum(utterance.errors for utterance in utterances) / words,
        cer=sum(utterance.character_errors for utterance in utterances) / characters,
        substitutions=sum(utterance.substitutions for utterance in utterances),
        deletions=sum(utterance.deletions for utterance in utterances),
        insertions=sum(utterance.insertions for utterance in utterances),
        reference_words=words,
        reference_characters=characters,
        utterances=utterances,
    )


def oracle_wer(references: Sequence[str], readings: Sequence[Sequence[str]]) -> float:
    """Word error rate if of each N-best list the reading with the fewest errors were chosen: what rescoring can reach.

    Args:
        references: what was said.
        readings: of each utterance in the same order, at least one.

    Raises:
        AsrError: no reference has any word.
    """
    most = max(map(len, readings), default=1)
    ranks = [score(references, [each[min(rank, len(each) - 1)] for each in readings]) for rank in range(most)]
    errors = [[utterance.errors for utterance in rates.utterances] for rates in ranks]
    fewest: int = sum(map(min, zip(*errors, strict=True)))
    return fewest / ranks[0].reference_words


def confusions(utterances: Iterable[UtteranceErrors], characters: bool = False) -> Counter[tuple[str, str]]:
    """Count which words (or characters) were recognised as which others; deletions and insertions are left out.

    Returns:
        Counts of (reference, hypothesis), equal pairs not among them.
    """
    wrong = [utterance for utterance in utterances if utterance.character_errors]
    alignments: Iterable[tuple[AlignedPair, ...]] = (utterance.alignment for utterance in wrong)
    if characters and wrong:
        alignments = _pairs(jiwer.process_characters([u.reference for u in wrong], [u.hypothesis for u in wrong]))
    return Counter(
        (reference, hypothesis)
        for alignment in alignments
        for reference, hypothesis in alignment
        if reference is not None and hypothesis is not None and reference != hypothesis
    )


def _one_space(text: str) -> str:
    return " ".join(text.split())


def _pairs(output: jiwer.WordOutput | jiwer.CharacterOutput) -> list[tuple[AlignedPair, ...]]:
    """Spell out jiwer's chunks: one pair for each aligned unit of each utterance."""
    aligned: list[tuple[AlignedPair, ...]] = []
    for reference, hypothesis, chunks in zip(output.references, output.hypotheses, output.alignments, strict=True):
        pairs: list[AlignedPair] = []
        for chunk in chunks:
            said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            size = max(len(said), len(heard))
            nothing: list[None] = [None] * size
            pairs += zip(said or nothing, heard or nothing, strict=True)
        aligned.append(tuple(pairs))
    return aligned


def _count(
    name: str, reference: str, hypothesis: str, words: tuple[AlignedPair, ...], characters: tuple[AlignedPair, ...]
) -> UtteranceErrors:
    return UtteranceErrors(
        id=name,
        reference=reference,
        hypothesis=hypothesis,
        substitutions=sum(said != heard for said, heard in words if said is not None and heard is not None),
        deletions=sum(heard is None for _, heard in words),
        insertions=sum(said is None for said, _ in words),
        reference_words=sum(said is not None for said, _ in words),
        character_errors=sum(said != heard for said, heard in characters),
        reference_characters=sum(said is not None for said, _ in characters),
        alignment=words,
    )
