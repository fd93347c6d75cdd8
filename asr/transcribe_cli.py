"""The subcommand `asr transcribe`: what is said in recordings."""

import enum
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from asr import options
from asr.console import note, progress, show
from asr.errors import AsrError, ConfigError


class Format(enum.StrEnum):
    """How a transcript is written; see `asr.transcription.format`."""

    TXT = "txt"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"


def transcribe(
    model: options.Model,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings.")],
    format: Annotated[Format, typer.Option(help="How to write the transcripts.")] = Format.TXT,  # noqa: A002
    output: Annotated[Path | None, typer.Option(help="Folder for one file a recording.", show_default="print")] = None,
    beam: options.Beam = 0,
    lm: options.Lm = None,
    lm_weight: options.LmWeight = None,
    word_bonus: options.WordBonus = None,
    lexicon: options.Lexicon = None,
    hotwords: options.Hotwords = None,
    hotword: options.Hotword = None,
    rescore: options.Rescore = None,
    phrases: options.Phrases = None,
    nbest: Annotated[int, typer.Option(min=1, help="Write so many readings, with their scores; txt or json.")] = 1,
    one_speaker: Annotated[bool, typer.Option("--one-speaker", help="All are one voice: learn it from all.")] = False,
    batch_seconds: options.BatchSeconds = 60.0,
    device: options.Device = None,
    precision: options.Precision = options.Arithmetic.FP32,
) -> None:
    """Write what is said in recordings.

    One that cannot be read is named on stderr; the others go on, and the exit status is 1.
    """
    from asr import transcription
    from asr.whole import write_text

    if nbest > 1 and format not in transcription.RANKED_FORMATS:
        raise ConfigError(f"--format {format}: has no place for {nbest} readings; choose txt or json, or --nbest 1")
    decoding = options.decoding_options(
        beam, lm, lm_weight, word_bonus, lexicon, hotwords, hotword, rescore, nbest, phrases
    )
    places = _places(files, output, format, [path for path in (lm, lexicon, hotwords, rescore, phrases) if path])
    recognizer = transcription.Recognizer.load(model, device, decoding, precision.value)
    failed, voice = False, recognizer.voice(files) if one_speaker else None
    with progress("transcribing", hidden=not places and sys.stdout.isatty()) as done:
        for number, (path, result) in enumerate(recognizer.transcribe_files(files, batch_seconds, voice), start=1):
            try:
                if isinstance(result, AsrError):
                    raise result
                text = transcription.format_ranked(result, format)
                if places:
                    write_text(places[path], text + "\n")
                else:
                    show("\n".join(f"{path}: {line}" if len(files) > 1 else line for line in text.split("\n")))
            except AsrError as error:
                failed = True
                note(f"asr: {error}")
            done(number, len(files))
    if failed:
        raise typer.Exit(1)


def _places(
    files: Sequence[Path],
    output: Path | None,
    format: Format,  # noqa: A002
    read: Sequence[Path],
) -> dict[Path, Path]:
    """Where the transcript of each recording goes, which is none of what else is read; nothing if they are printed.

    Raises:
        ConfigError: printed transcripts could not be told apart, one would be written over another, or none could be.
    """
    if output is None:
        if len(files) > 1 and format is not Format.TXT:
            raise ConfigError(
                f"--format {format}: printing {len(files)} transcripts would mix them; give --output FOLDER"
            )
        return {}
    places: dict[Path, Path] = {}
    for path in files:
        place = output / f"{path.stem}.{format}"
        if place in places.values():
            raise ConfigError(f"{place}: two recordings would be written here; transcribe them into different folders")
        places[path] = place
    for place in places.values():
        options.output("--output", place, *files, *read)
    return places
