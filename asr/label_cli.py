"""The subcommand `asr label`: recordings that nobody has transcribed, made ready to train on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr import options
from asr.console import note, progress, show
from asr.errors import AsrError

if TYPE_CHECKING:
    from asr.dataset import Utterance


def label(
    model: options.Model,
    recordings: Annotated[
        list[Path], typer.Argument(metavar="RECORDING...", help="Audio files, or manifests, named *.jsonl.")
    ],
    out: Annotated[Path, typer.Option(metavar="MANIFEST", help="Write what was read surely here: JSON Lines.")],
    sure: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The least mean probability of a word, by the model alone.")
    ] = 0.5,
    speaker: Annotated[
        str | None, typer.Option(help="All is said by this one.", show_default="as manifests say")
    ] = None,
    beam: options.Beam = 0,
    lm: options.Lm = None,
    lm_weight: options.LmWeight = None,
    word_bonus: options.WordBonus = None,
    lexicon: options.Lexicon = None,
    batch_seconds: options.BatchSeconds = 60.0,
    device: options.Device = None,
    precision: options.Precision = options.Arithmetic.FP32,
) -> None:
    """Transcribe recordings to train on them: those that are read surely become a manifest.

    Recordings of more than 20 s are cut at their pauses. Texts that manifests hold are not looked at. A recording that
    cannot be read is named on stderr; the others go on, and the exit status is 1.
    """
    from asr.dataset import write_manifest
    from asr.transcription import Recognizer, read_labels, unlabelled

    decoding = options.decoding_options(beam, lm, lm_weight, word_bonus, lexicon, None, None, None)
    recognizer = Recognizer.load(model, device, decoding, precision.value)
    utterances: list[Utterance] = []
    problems: list[AsrError] = []
    for path in recordings:
        try:
            utterances += unlabelled(path, speaker)
        except AsrError as error:
            problems.append(error)
    with progress("labelling") as done:
        found = read_labels(recognizer, utterances, batch_seconds, done)
    problems += [label for label in found if isinstance(label, AsrError)]
    for each in problems:
        note(f"asr: {each}")
    labels = [label for label in found if not isinstance(label, AsrError)]
    kept = [label.utterance for label in labels if label.utterance.text and label.sureness >= sure]
    if not kept:
        surest = max((label.sureness for label in labels), default=0.0)
        raise AsrError(f"{out}: nothing was read as surely as {sure:g}, at best {surest:.3f}; try less with --sure")
    write_manifest(out, kept)
    minutes, all_minutes = _minutes(kept), _minutes([label.utterance for label in labels])
    what = f"{len(kept)} of {len(labels)} utterances, {minutes:.1f} of {all_minutes:.1f} min"
    show(f"{out}: {what}, read as surely as {sure:g}")
    note(f'Train on them too: asr train RECIPE.toml --set \'data.train=["TRANSCRIBED.jsonl", "{out}"]\'')
    if problems:
        raise typer.Exit(1)


def _minutes(utterances: "Sequence[Utterance]") -> float:
    return sum(utterance.duration for utterance in utterances) / 60
