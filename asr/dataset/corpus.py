"""What every preparer of a corpus needs: to find it, to verify it, and to write its manifests once.

This module knows no corpus by name: `data/<corpus>/prepare.py` describes one as a `Corpus`, reads it into utterances,
and hands both to `main`.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asr.audio
from asr.dataset.download import Archive, fetch, unpack
from asr.dataset.manifest import Manifest, Utterance, write_manifest
from asr.errors import AsrError, CorpusError

VARIABLE = "ASR_CORPORA"
"""The environment variable that names a folder of corpora."""
STAMP = ".prepared.json"
"""Written last; says what the manifests beside it were made from."""

Splits = Mapping[str, Sequence[Utterance]]
"""Name of a manifest without its ending, e.g. "train" or "connected/train"; its utterances."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus as its publisher lays it out. `marker` is a path that lies in every copy of it."""

    name: str
    marker: str
    archives: tuple[Archive, ...]


def locate(corpus: Corpus, source: Path | None) -> Path | None:
    """The folder of a corpus that is on this machine: `source`, or else `$ASR_CORPORA/<name>`; None if there is none.

    Raises:
        CorpusError: `source`, or a folder of that name in `$ASR_CORPORA`, is not this corpus.
    """
    shelf = os.environ.get(VARIABLE)
    if source is None and shelf and (Path(shelf) / corpus.name).exists():
        source = Path(shelf) / corpus.name
    if source is None:
        return None
    if not (source / corpus.marker).exists():
        raise CorpusError(
            f"{source}: not the corpus {corpus.name}, it has no {corpus.marker}; "
            f"give the folder that has with --source DIR, or as {corpus.name}/ in the folder that {VARIABLE} names"
        )
    return source.absolute()


def download(corpus: Corpus, folder: Path) -> Path:
    """The corpus from its publisher, in `folder`: complete or not at all, and at once if it is already there.

    Raises:
        CorpusError: it cannot be downloaded, is damaged, or is not what was expected.
    """
    if not folder.is_dir():
        try:
            unpack([fetch(archive, folder.parent) for archive in corpus.archives], folder)
        except CorpusError as error:
            raise CorpusError(
                f"{corpus.name}: {error}; or, if you have a copy, give its folder with --source DIR, "
                f"or set {VARIABLE} to the folder that holds {corpus.name}/"
            ) from None
    for root in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if (root / corpus.marker).exists():
            return root.absolute()
    raise CorpusError(f"{folder}: what was downloaded has no {corpus.marker}; delete this folder and run again")


def measure(utterances: Sequence[Utterance], sample_rate: int, is_speech: bool = True) -> list[Utterance]:
    """The utterances with their durations in seconds, read from the headers of their files, after checking them.

    Args:
        utterances: their durations do not count.
        sample_rate: of every file.
        is_speech: each has a text; noises have none.

    Raises:
        CorpusError: an id comes twice, a text of speech is empty, a file is missing, has another sample rate or no
            samples.
        AudioError: a file is not audio.
    """
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.id in seen:
            raise CorpusError(f"{utterance.audio_filepath}: a second recording called {utterance.id}; get a fresh copy")
        if is_speech and not utterance.text.strip():
            raise CorpusError(f"{utterance.audio_filepath}: its transcript is empty; get a fresh copy of the corpus")
        if not utterance.audio_filepath.is_file():
            raise CorpusError(
                f"{utterance.audio_filepath}: missing, but has a transcript; get a fresh copy of the corpus"
            )
        seen.add(utterance.id)
    with ThreadPoolExecutor() as pool:  # most of the time goes into waiting for the disk
        found = list(pool.map(asr.audio.info, [utterance.audio_filepath for utterance in utterances]))
    for utterance, audio in zip(utterances, found, strict=True):
        if audio.sample_rate != sample_rate:
            raise CorpusError(
                f"{utterance.audio_filepath}: {audio.sample_rate} samples per second where the corpus has "
                f"{sample_rate}; get a copy that is as published"
            )
    return [replace(utterance, duration=audio.duration) for utterance, audio in zip(utterances, found, strict=True)]


def expect(where: Path, what: str, found: int, published: int) -> None:
    """Insist on a published count.

    Raises:
        CorpusError: something is missing, or there is too much.
    """
    if found != published:
        raise CorpusError(f"{where}: {found} {what} where {published} were published; get a fresh copy of the corpus")


def read_text(path: Path) -> str:
    """A text file of a corpus, in UTF-8.

    Raises:
        CorpusError: it is missing or not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read ({error}); get a fresh copy of the corpus") from None


def parser(description: str, folder: Path) -> argparse.ArgumentParser:
    """The arguments that every preparer has. `folder` is where manifests go if nothing else is said."""
    arguments = argparse.ArgumentParser(description=description.splitlines()[0])
    arguments.add_argument("--out", type=Path, default=folder, help="where the manifests go (default: %(default)s)")
    arguments.add_argument("--force", action="store_true", help="make them again even if they are complete")
    return arguments


def main(script: Path, description: str, corpus: Corpus, read: Callable[[Path, Path], Splits]) -> int:
    """Run the preparer of a published corpus from the command line; see `prepare`.

    Args:
        script: the preparer's own file; manifests go beside it by default.
        description: its docstring.
        corpus: what to find.
        read: given the corpus' folder and the folder of the manifests, verifies and returns the utterances.

    Returns:
        The exit status.
    """
    arguments = parser(description, script.parent)
    arguments.add_argument(
        "--source", type=Path, help=f"the corpus (default: ${VARIABLE}/{corpus.name}, or a download)"
    )
    options = arguments.parse_args()

    def work() -> None:
        source, out = locate(corpus, options.source), options.out.absolute()
        made_from = {"source": str(source)} if source else {}
        prepare(script, out, made_from, lambda: read(source or download(corpus, out / "audio"), out), options.force)

    return report(work)


def report(work: Callable[[], None]) -> int:
    """Do it; an error becomes one line on stderr. Returns the exit status."""
    try:
        work()
    except AsrError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run again to go on", file=sys.stderr)
        return 130
    return 0


def prepare(script: Path, out: Path, made_from: Mapping[str, Any], read: Callable[[], Splits], force: bool) -> None:
    """Write the manifests, unless those in `out` are complete and were made from the same by the same script.

    Args:
        script: the preparer, whose content counts as part of what they were made from.
        out: the folder of the manifests.
        made_from: values JSON can hold; only those given here are compared.
        read: makes the utterances.
        force: make them in any case.

    Raises:
        AsrError: whatever `read` raises, or the manifests cannot be written.
    """
    stamp = out / STAMP
    wanted = {**made_from, "script": hashlib.sha256(script.read_bytes()).hexdigest()}
    if not force and _is_complete(stamp, wanted):
        print(f"{out}: already prepared; --force does it again")
        return
    stamp.unlink(missing_ok=True)
    splits = read()
    for name, utterances in splits.items():
        write_manifest(out / f"{name}.jsonl", utterances)
    stamp.write_text(json.dumps({**wanted, "manifests": list(splits)}), encoding="utf-8")
    print(f"{out}:\n{summary(splits)}")


def summary(splits: Splits) -> str:
    """A table in plain text: utterances, speakers, hours, words and distinct words of each manifest."""
    width = max(len(name) for name in splits) + len(".jsonl")
    lines = [f"{'':{width}}  utterances  speakers  hours    words  distinct"]
    for name, utterances in splits.items():
        words = [word for utterance in utterances for word in utterance.text.split()]
        hours = sum(utterance.duration for utterance in utterances) / 3600
        speakers = len({utterance.speaker for utterance in utterances} - {None})
        counts = f"{len(utterances):10}  {speakers:8}  {hours:5.2f}  {len(words):7}  {len(set(words)):8}"
        lines.append(f"{name + '.jsonl':{width}}  {counts}")
    return "\n".join(lines)


def _is_complete(stamp: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether the manifests are those that are wanted, and each of their files is still there."""
    try:
        found = json.loads(stamp.read_text(encoding="utf-8"))
        if any(found.get(key) != value for key, value in wanted.items()):
            return False
        manifests = [Manifest(stamp.parent / f"{name}.jsonl") for name in found["manifests"]]
    except (OSError, ValueError, AttributeError, KeyError, TypeError, AsrError):
        return False
    return all(utterance.audio_filepath.is_file() for manifest in manifests for utterance in manifest)
