"""The subcommand `asr label`: recordings that nobody has transcribed, made ready to train on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr import options
from asr.console import note, progress, show
from asr.errors import AsrError, ConfigError

if TYPE_CHECKING:
    from asr.dataset import Utterance
    from asr.transcription.labels import Label


def label(
    model: options.Model,
    recordings: Annotated[
        list[Path], typer.Argument(metavar="RECORDING...", help="Audio files, or manifests, named *.jsonl.")
    ],
    out: Annotated[Path, typer.Option(metavar="MANIFEST", help="Write what was read surely here: JSON Lines.")],
    sure: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The least mean probability of a word, or else of a phrase.")
    ] = 0.5,
    speaker: Annotated[
        str | None, typer.Option(help="All is said by this one.", show_default="as manifests say")
    ] = None,
    beam: options.Beam = 0,
    lm: options.Lm = None,
    lm_weight: options.LmWeight = None,
    word_bonus: options.WordBonus = None,
    lexicon: options.Lexicon = None,
    phrases: options.Phrases = None,
    balanced: Annotated[bool, typer.Option("--balanced", help="Each of the phrases is said equally often.")] = False,
    batch_seconds: options.BatchSeconds = 60.0,
    device: options.Device = None,
    precision: options.Precision = options.Arithmetic.FP32,
) -> None:
    """Transcribe recordings to train on them: those that are read surely become a manifest.

    Recordings of more than 20 s are cut at their pauses, unless each is one of some phrases. Texts that manifests hold
    are not looked at. A recording that cannot be read is named on stderr; the others go on, and the exit status is 1.
    """
    from asr.dataset import write_manifest
    from asr.decoding import read_phrases
    from asr.transcription import Recognizer, choose_phrases, read_labels

    if balanced and phrases is None:
        raise ConfigError("--balanced: says how often each phrase is said; name the phrases with --phrases FILE")
    # recordings may be manifests, with transcripts by people
    options.output("--out", out, *recordings, *filter(None, [lm, lexicon, phrases]))
    listed = read_phrases(phrases) if phrases is not None else []
    decoding = options.decoding_options(beam, lm, lm_weight, word_bonus, lexicon, None, None, None, 1, phrases)
    recognizer = Recognizer.load(model, device, decoding, precision.value)
    utterances, problems = _utterances(recordings, speaker)
    with progress("labelling") as done:
        if listed:
            found = choose_phrases(recognizer, utterances, listed, balanced, batch_seconds, done)
        else:
            found = read_labels(recognizer, utterances, batch_seconds, done)
    problems += [label for label in found if isinstance(label, AsrError)]
    for each in problems:
        note(f"asr: {each}")
    kept, told = _kept([label for label in found if not isinstance(label, AsrError)], sure, out)
    write_manifest(out, kept)
    show(told)
    data = f'--set \'data.train=["TRAIN.jsonl", "{out}"]\''
    shorter = "--set training.epochs=15 --set training.learning_rate=1e-3"
    note(f"Train on them too: asr train RECIPE.toml --from {model} --run runs/labelled {shorter} {data}")
    if problems:
        raise typer.Exit(1)


def _utterances(recordings: Sequence[Path], speaker: str | None) -> "tuple[list[Utterance], list[AsrError]]":
    """What is to be labelled, and what is wrong with the rest."""
    from asr.transcription import unlabelled

    utterances: list[Utterance] = []
    problems: list[AsrError] = []
    for path in recordings:
        try:
            utterances += unlabelled(path, speaker)
        except AsrError as error:
            problems.append(error)
    return utterances, problems


def _kept(labels: "Sequence[Label]", sure: float, out: Path) -> "tuple[list[Utterance], str]":
    """Those that were read surely, and a line for people that says how many they are.

    Raises:
        AsrError: there are none.
    """
    kept = [label.utterance for label in labels if label.utterance.text and label.sureness >= sure]
    if not kept:
        surest = max((label.sureness for label in labels), default=0.0)
        if surest == 0.0:
            raise AsrError(f"{out}: nothing was read in any recording; check that they hold speech, and long enough")
        raise AsrError(f"{out}: nothing was read as surely as {sure:g}, at best {surest:.3f}; try less with --sure")
    minutes, everything = (
        sum(each.duration for each in utterances) / 60 for utterances in (kept, [label.utterance for label in labels])
    )
    what = f"{len(kept)} of {len(labels)} utterances, {minutes:.1f} of {everything:.1f} min"
    return kept, f"{out}: {what}, read as surely as {sure:g}"
