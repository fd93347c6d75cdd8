"""What a manifest holds, and everything that is wrong with it, before hours of training find out.

The manifest is read as a stream, so a broken line hides no other; of the audio files only the headers are read.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, pairwise
from pathlib import Path

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from asr.audio import info
from asr.audio.files import SLACK_SECONDS
from asr.config import FeatureConfig, ModelConfig
from asr.dataset.manifest import Utterance, read_lines
from asr.dataset.overlap import Contents, Recordings, Stretch
from asr.errors import AudioError, ManifestError
from asr.text import Normalizer, Tokenizer, required_frames

HISTOGRAM_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, math.inf)
SHOWN = 5
"""How many of the lines that training leaves out the report names."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The contents of one manifest. Texts are normalised; lines that cannot be parsed count only as problems."""

    path: Path
    normalization: str
    """In words; see `Normalizer.describe`."""
    utterances: int
    seconds: float
    histogram: tuple[int, ...]
    """Utterances whose seconds lie in each interval of `HISTOGRAM_SECONDS`, lower edge included."""
    words: int
    distinct_words: int
    empty_texts: int
    characters: dict[str, int]
    """Count of each character, most frequent first."""
    outside: dict[str, int]
    """Those that the vocabulary cannot write."""
    contents: Contents
    """Recordings, speakers and texts."""
    left_out: dict[int, float]
    """Line and seconds of each utterance that training leaves out, for it is too short or too long: no problem."""
    problems: tuple[str, ...]
    """Every one, in the order of the lines: `file:line: what; remedy`."""


class Subwords:
    """A vocabulary of subwords that are yet to be learned: all that is known is that a word is at least one."""

    characters = None

    @staticmethod
    def encode(text: str) -> list[int]:
        """As many tokens as words, equal ones for equal words: no subwords of this text need fewer frames."""
        numbers: dict[str, int] = {}
        return [numbers.setdefault(word, len(numbers) + 1) for word in text.split()]


def output_frames(seconds: float, features: FeatureConfig, subsampling: int) -> int:
    """Frames that a model makes of so many seconds: of 1 + samples // hop feature frames, one in `subsampling`."""
    hop = round(features.hop_seconds * features.sample_rate)
    return math.ceil((1 + round(seconds * features.sample_rate) // hop) / subsampling)


def check(
    path: Path | str,
    normalizer: Normalizer,
    vocabulary: Tokenizer | Subwords | str | None = None,
    features: FeatureConfig | None = None,
    subsampling: int = ModelConfig().subsampling,
    limits: tuple[float, float] = (0.0, math.inf),
    progress: Callable[[int], object] = lambda lines: None,
) -> CheckReport:
    """Read a whole manifest and the headers of its audio files.

    Args:
        path: a JSON Lines file.
        normalizer: as training will use it.
        vocabulary: a tokenizer, or the characters or subwords it would have; None takes every character for a token.
        features: with `subsampling`, says how many frames CTC will have; None is the default settings.
        subsampling: feature frames per output frame.
        limits: least and most seconds of an utterance that is trained on.
        progress: called after each line with the number of lines so far.

    Raises:
        ManifestError: the manifest cannot be read at all.
    """
    path, features = Path(path), features or FeatureConfig()
    known, encode = _vocabulary(vocabulary)
    audio_seconds = functools.lru_cache(maxsize=1024)(_audio_seconds)
    durations, stretches, speakers, problems = list[float](), list[Stretch](), set[str](), list[str]()
    texts, words, characters, left_out = Counter[str](), Counter[str](), Counter[str](), dict[int, float]()
    for count, utterance in enumerate(read_lines(path), start=1):
        progress(count)
        if isinstance(utterance, ManifestError):
            problems.append(str(utterance))
            continue
        text = normalizer(utterance.text)
        durations.append(utterance.duration)
        left_out |= {} if limits[0] <= utterance.duration <= limits[1] else {utterance.line: utterance.duration}
        stretches.append(Stretch.of(utterance))
        speakers.add(utterance.speaker or "")
        texts[text] += 1
        words.update(text.split())
        characters.update(text)
        found = [*_in_audio(utterance, audio_seconds(utterance.audio_filepath), features.sample_rate)]
        found += _in_text(text, known, encode, output_frames(utterance.duration, features, subsampling))
        problems += [f"{path}:{utterance.line}: {problem}" for problem in found]
    problems += [] if durations or problems else [f"{path}: no utterances; write one a line"]
    return CheckReport(
        path=path,
        normalization=normalizer.describe(),
        utterances=len(durations),
        seconds=math.fsum(durations),
        histogram=tuple(np.histogram(durations, HISTOGRAM_SECONDS)[0].tolist()),
        words=words.total(),
        distinct_words=len(words),
        empty_texts=texts[""],
        characters=dict(characters.most_common()),
        outside={name: count for name, count in characters.most_common() if known is not None and name not in known},
        contents=Contents(Recordings(stretches), frozenset(speakers - {""}), frozenset(texts.keys() - {""})),
        left_out=left_out,
        problems=tuple(problems),
    )


def render(report: CheckReport) -> Group:
    """The report as tables, for `rich`; problems are left to the caller, who prints them on stderr."""
    summary = Table("", "", title=Text(str(report.path)), show_header=False)
    for name, value in (
        ("utterances", f"{report.utterances:,}"),
        ("hours", f"{report.seconds / 3600:.2f}"),
        ("recordings that come again", f"{report.contents.recordings.repeated():,}"),
        ("speakers", f"{speakers:,}" if (speakers := len(report.contents.speakers)) else "not named"),
        ("words", f"{report.words:,} ({report.distinct_words:,} different)"),
        ("empty transcripts", f"{report.empty_texts:,}"),
        ("characters", " ".join(f"{_shown(name)} {count:,}" for name, count in report.characters.items())),
        ("outside the vocabulary", " ".join(f"{_shown(name)} {count:,}" for name, count in report.outside.items())),
        ("left out of training", _listed(report.left_out)),
        ("normalisation", report.normalization),
        ("problems", f"{len(report.problems):,}"),
    ):
        summary.add_row(name, Text(value))  # not a plain string, in which rich would take [x] for a style
    lengths = Table("seconds", "utterances", "", title="Durations")
    most = max(1, *report.histogram)
    for (low, high), count in zip(pairwise(HISTOGRAM_SECONDS), report.histogram, strict=True):
        interval = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} and more"
        lengths.add_row(interval, f"{count:,}", "█" * math.ceil(30 * count / most))
    return Group(summary, lengths)


def render_common(reports: Sequence[CheckReport]) -> Table:
    """What each two of several manifests have in common, the later one of them looked up in the earlier."""
    table = Table("", "recordings", "speakers", "sentences", title="In common")
    for first, second in combinations(reports, 2):
        ours, others = first.contents, second.contents
        table.add_row(
            Text(f"{second.path} in {first.path}"),
            f"{ours.recordings.common(others.recordings):,} of {second.utterances:,}",
            f"{len(ours.speakers & others.speakers):,} of {len(others.speakers):,}",
            f"{len(ours.texts & others.texts):,} of {len(others.texts):,}",
        )
    return table


def _listed(left_out: dict[int, float]) -> str:
    if not left_out:
        return "0"
    lines = ", ".join(f"{line} ({seconds:g} s)" for line, seconds in islice(left_out.items(), SHOWN))
    more = f" and {len(left_out) - SHOWN:,} more" if len(left_out) > SHOWN else ""
    return f"{len(left_out):,}, shorter or longer than data.min_seconds..max_seconds: line {lines}{more}"


def _audio_seconds(path: Path) -> float | AudioError:
    try:
        return info(path).duration
    except AudioError as error:
        return error


def _in_audio(utterance: Utterance, seconds: float | AudioError, sample_rate: int) -> Iterator[str]:
    if not round(utterance.duration * sample_rate):
        yield f"duration {utterance.duration:g} s is less than a sample at {sample_rate} Hz; correct it"
    if isinstance(seconds, AudioError):
        yield str(seconds)
        return
    past = utterance.offset + utterance.duration - seconds
    if past > SLACK_SECONDS or utterance.offset >= seconds:  # nothing to read is no matter of rounding
        yield (
            f"ends {past:.2f} s past the end of {utterance.audio_filepath} ({seconds:.2f} s); "
            "correct offset and duration, or copy the file again"
        )


def _in_text(
    text: str, known: frozenset[str] | None, encode: Callable[[str], Sequence[int]], frames: int
) -> Iterator[str]:
    outside = dict.fromkeys(character for character in text if known is not None and character not in known)
    if outside:
        names = " ".join(map(_shown, outside))
        yield f"characters outside the vocabulary: {names}; map them with text.replace or delete them with text.drop"
        return
    tokens = encode(text)
    needed = required_frames(tokens)
    if needed > frames:
        yield (
            f"{len(tokens)} tokens need {needed} frames for CTC, and the audio gives {frames}; "
            "check duration and text, or remove the line"
        )


def _vocabulary(
    vocabulary: Tokenizer | Subwords | str | None,
) -> tuple[frozenset[str] | None, Callable[[str], Sequence[int]]]:
    """The characters that can be written, None for all, and what turns a text of them into tokens."""
    if vocabulary is None or isinstance(vocabulary, str):
        return None if vocabulary is None else frozenset(vocabulary), lambda text: [*map(ord, text)]
    return vocabulary.characters, vocabulary.encode


def _shown(character: str) -> str:
    return repr(character) if character.isprintable() else f"U+{ord(character):04X}"
