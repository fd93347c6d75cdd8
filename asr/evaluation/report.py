"""What an evaluation says, to people (a table, the worst utterances) and to programs (JSON)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from asr.evaluation.calibration import Reliability
from asr.evaluation.rates import ErrorRates, UtteranceErrors, confusions
from asr.evaluation.speed import Speed
from asr.whole import write_text


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A system scored on a corpus.

    `wer_interval` is the bootstrap 95% interval of the word error rate, as fractions; `normalization` says in words
    what was done to references and hypotheses before they were compared, `decoding` in plain values how the hypotheses
    were found. `calibration` tells how far their confidences can be trusted, `uncalibrated` how far those could be that
    the model itself says; None where there are none. Where N-best lists were asked for, `readings` holds those of each
    utterance, best first, normalised, and `oracle_wer` the error rate if always the right one were chosen.
    """

    rates: ErrorRates
    wer_interval: tuple[float, float]
    speed: Speed
    normalization: str
    decoding: Mapping[str, Any] = field(default_factory=dict)
    calibration: Reliability | None = None
    uncalibrated: Reliability | None = None
    readings: tuple[tuple[str, ...], ...] = ()
    oracle_wer: float | None = None


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The result as plain values. Rates, both ends of `wer_interval` and calibration errors are fractions, not percent;
    a calibration error is None where nothing was recognised, or nothing is known of confidences.
    """
    rates = evaluation.rates
    return {
        "wer": rates.wer,
        "cer": rates.cer,
        "wer_interval": list(evaluation.wer_interval),
        "utterances": len(rates.utterances),
        "reference_words": rates.reference_words,
        "substitutions": rates.substitutions,
        "deletions": rates.deletions,
        "insertions": rates.insertions,
        "audio_seconds": evaluation.speed.audio_seconds,
        "real_time_factor": evaluation.speed.real_time_factor,
        "normalization": evaluation.normalization,
        "decoding": dict(evaluation.decoding),
        "calibration_error": _calibration_error(evaluation.calibration),
        "calibration_error_uncalibrated": _calibration_error(evaluation.uncalibrated),
        "oracle_wer": evaluation.oracle_wer,
    }


def hypothesis_lines(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """One plain record an utterance, in the order of the corpus; `words` counts those of the reference, `readings` is
    there where N-best lists were asked for.
    """
    utterances = evaluation.rates.utterances
    for utterance, readings in zip(utterances, evaluation.readings or [()] * len(utterances), strict=True):
        yield {
            "id": utterance.id,
            "reference": utterance.reference,
            "hypothesis": utterance.hypothesis,
            "words": utterance.reference_words,
            "errors": utterance.errors,
            "substitutions": utterance.substitutions,
            "deletions": utterance.deletions,
            "insertions": utterance.insertions,
            **({"readings": list(readings)} if readings else {}),
        }


def write_json(path: Path | str, evaluation: Evaluation) -> None:
    """Write `to_json(evaluation)` to a file, complete or not at all; an AsrError where it cannot be written."""
    write_text(Path(path), json.dumps(to_json(evaluation), ensure_ascii=False, indent=2) + "\n")


def write_hypotheses(path: Path | str, evaluation: Evaluation) -> None:
    """Write `hypothesis_lines(evaluation)` as JSON Lines, complete or not at all; an AsrError where they cannot be."""
    lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in hypothesis_lines(evaluation))
    write_text(Path(path), "".join(lines))


def render(evaluation: Evaluation, worst: int = 5, confused: int = 5) -> RenderableType:
    """A table of the rates, the utterances with most errors, and the pairs most often confused, for a rich console.

    Args:
        evaluation: what to show.
        worst: utterances to show with their alignment; those without errors are never shown.
        confused: pairs of words, and of characters, to show.
    """
    wrong = [utterance for utterance in evaluation.rates.utterances if utterance.errors]
    wrong.sort(key=lambda utterance: (-utterance.errors, utterance.reference_words))
    parts: list[RenderableType] = [_summary(evaluation)]
    if wrong and worst:
        parts += [Text(), Text("Utterances with most errors", style="bold")]
        parts += [_Alignment(utterance) for utterance in wrong[:worst]]
    if wrong and confused:
        parts += [Text(), *_confused("words", wrong, confused), *_confused("characters", wrong, confused)]
    return Group(*parts)


def _summary(evaluation: Evaluation) -> Table:
    rates, speed = evaluation.rates, evaluation.speed
    low, high = evaluation.wer_interval
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("WER", f"{rates.wer:.2%}  (95% interval {low:.2%} to {high:.2%})")
    table.add_row("CER", f"{rates.cer:.2%}  (spaces counted)")
    if evaluation.oracle_wer is not None:
        most = max(map(len, evaluation.readings), default=1)
        table.add_row("oracle WER", f"{evaluation.oracle_wer:.2%}  (if of {most} readings the right one were chosen)")
    table.add_row("normalisation", Text(evaluation.normalization))
    if evaluation.decoding:
        named = ", ".join(f"{name} {value}" for name, value in evaluation.decoding.items() if value is not None)
        table.add_row("decoding", Text(named))
    table.add_row(
        "errors",
        f"{rates.substitutions} substitutions, {rates.deletions} deletions, {rates.insertions} insertions",
    )
    table.add_row("scored", f"{rates.reference_words} words in {len(rates.utterances)} utterances")
    table.add_row(*_trust(evaluation))
    table.add_row("audio", f"{speed.audio_seconds:.1f} s in {speed.seconds:.1f} s")
    table.add_row("real-time factor", f"{speed.real_time_factor:.4f}  ({speed.times_real_time:.0f} times real time)")
    return table


@dataclass(frozen=True, slots=True)
class _Alignment:
    """Reference over hypothesis, word under word, in as many rows as the console's width asks for."""

    utterance: UtteranceErrors

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        utterance = self.utterance
        yield Text(f"{utterance.id}: {utterance.errors} errors in {utterance.reference_words} words")
        said, heard = Text("  REF"), Text("  HYP")
        for pair in utterance.alignment:
            words = [word or "*" for word in pair]
            width = max(map(cell_len, words))
            if said.cell_len + 1 + width > options.max_width and len(said) > len("  REF"):
                yield from (said, heard)
                said, heard = Text("  REF"), Text("  HYP")
            for line, word in zip((said, heard), words, strict=True):
                line.append(" ").append(word + " " * (width - cell_len(word)), "" if pair[0] == pair[1] else "red")
        yield from (said, heard)


def _confused(unit: str, wrong: list[UtteranceErrors], top: int) -> Iterator[Text]:
    pairs = confusions(wrong, characters=unit == "characters").most_common(top)
    if pairs:
        listed = ", ".join(f"{_visible(said)} as {_visible(heard)} ({count})" for (said, heard), count in pairs)
        yield Text.assemble((f"Most confused {unit}: ", "bold"), listed)


def _trust(evaluation: Evaluation) -> tuple[str, str]:
    """The row about confidences."""
    given, before = evaluation.calibration, evaluation.uncalibrated
    if given is None or before is None or not given.words:
        return "calibration error", "unknown: no words with confidences"
    history = "not calibrated" if given == before else f"{before.calibration_error:.2%} uncalibrated"
    chance = f"about {given.chance_error:.2%} would be chance"
    return "calibration error", f"{given.calibration_error:.2%}  (of word confidences; {history}; {chance})"


def _calibration_error(measured: Reliability | None) -> float | None:
    return None if measured is None else measured.calibration_error


def _visible(text: str) -> str:
    return "space" if text == " " else text
