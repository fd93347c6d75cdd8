"""The subcommand `asr tune`: what is chosen on a development set once a model is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.console import note, progress, show
from asr.errors import ConfigError
from asr.options import BatchSeconds, Device, Model, drawing

if TYPE_CHECKING:
    from asr.decoding.decoder import TunedWeights
    from asr.decoding.tune import Emissions
    from asr.lm import NgramModel
    from asr.lm.rnn import RnnModel
    from asr.model import Bundle
    from asr.text import Normalizer


MANY_UNKNOWN = 0.1
"""Share of unknown words from which another model is advised. With 10 % and less, models of words and of characters are
alike on AN4; with 30 % characters take off a fifth of the errors, on Kerstin."""
MISSPELLED = 0.9
"""Share of unknown words from which they are most likely spelled otherwise; another subject alone leaves more known."""


@dataclass(frozen=True, slots=True)
class _Dev:
    """A model, and what it hears in a development set."""

    folder: Path
    bundle: "Bundle"
    normalizer: "Normalizer"
    manifest: Path
    heard: "Emissions"


def tune(
    model: Model,
    manifest: Annotated[Path, typer.Argument(metavar="DEV", help="A development set: a JSON Lines file.")],
    lm: Annotated[
        Path | None,
        typer.Option(help="Language model to weigh and store: a folder, or an ARPA file.", show_default="none"),
    ] = None,
    rescore: Annotated[
        Path | None, typer.Option(help="Weigh this recurrent language model too: a folder.", show_default="none")
    ] = None,
    beam: Annotated[int, typer.Option(min=1, help="Prefixes kept by the search.")] = 50,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw the error rates with --lm here.", show_default="tuning.png beside the model"),
    ] = None,
    batch_seconds: BatchSeconds = 60.0,
    device: Device = None,
) -> None:
    """Fit a model to a development set: its confidences, and the weights of a language model if one is given.

    Confidences are fitted for greedy decoding and for beam search apart, the latter with the language model that is
    stored in the model, if any. If the one given makes no fewer errors than decoding without it, that is an error, and
    the model stays as it is. So it is if rescoring leaves as many.
    """
    from asr.dataset import Manifest
    from asr.decoding.compilation import on_compilation
    from asr.decoding.decoder import store_lm
    from asr.lm import load, load_recurrent
    from asr.model import load_bundle
    from asr.transcription import Recognizer, emissions

    if rescore is not None and lm is None:
        raise ConfigError(f"--rescore {rescore}: ranks what beam search finds with a language model; give --lm too")
    if picture is not None and lm is None:
        raise ConfigError(f"--picture {picture}: shows how a language model is weighed; give --lm too, or leave it")
    picture = picture or model.resolve().parent / "tuning.png"
    if lm is not None:
        drawing(picture, manifest, lm, *filter(None, [rescore]))
    on_compilation(note)
    ngrams = load(lm) if lm is not None else None
    rnn = load_recurrent(rescore) if rescore is not None else None
    bundle = load_bundle(model)
    recognizer = Recognizer(bundle, device)
    with progress("listening") as done:
        heard = emissions(recognizer, Manifest(manifest), batch_seconds, done)
    dev = _Dev(model, bundle, recognizer.normalizer, manifest, heard)
    if ngrams is not None:
        weights = _weigh(dev, ngrams, f"{lm}", beam, picture)
        if rnn is not None:
            weights = _weigh_rescoring(dev, ngrams, rnn, f"{rescore}", weights, beam)
        store_lm(model, ngrams, weights, rnn)
    _calibrate(dev, beam)
    note(f"stored in {model}; try it: asr transcribe {model} FILE --beam {beam}")


def _weigh(dev: _Dev, ngrams: "NgramModel", lm: str, beam: int, picture: Path) -> "TunedWeights":
    """Search the weights of a language model, and show them.

    Raises:
        ConfigError: the language model is of no use.
    """
    from asr.decoding.tune import draw, render, tune

    unknown, unit = _unknown(ngrams, dev.heard.references), ngrams.unit
    if unknown == 1.0:  # then it only counts words, which a bonus does too
        raise _useless(lm, dev, f"none of the {unit}s said in {dev.manifest} is known to it", unknown)
    with progress("tuning") as done:
        tuning = tune(dev.heard, dev.bundle.tokenizer, dev.normalizer, ngrams, beam, done)
    best = tuning.best
    show(render(tuning))
    show(f"\ngreedy        WER {tuning.greedy_wer:.2%}")
    show(f"beam {beam:<8} WER {tuning.beam_wer:.2%}")
    price = f", unknown_score {best.unknown_score:g}" if unit == "word" else ""
    weights = f"lm_weight {best.lm_weight:g}, {unit}_bonus {best.bonus:g}{price}"
    show(f"with the LM   WER {best.wer:.2%}  ({weights})")
    show(f"unknown to it {unknown:.2%} of the {unit}s said\n")
    if unit == "word" and MANY_UNKNOWN < unknown < MISSPELLED:
        note("many words are unknown; a model that can spell may be better: asr lm train --characters")
    if unit == "word" and best.lm_weight == 0:
        note("at a weight of 0 it only tells which words there are")
    draw(tuning, picture)
    note(f"picture: {picture}")
    if tuning.is_fault:
        rates = f"{best.wer:.2%} WER against {tuning.plain_wer:.2%}"
        raise _useless(lm, dev, f"with it beam search is no better on {dev.manifest} than without ({rates})", unknown)
    return tuning.weights


def _useless(lm: str, dev: _Dev, reason: str, unknown: float) -> ConfigError:
    """The error of a language model that does not help, and what is most likely wrong with it."""
    if unknown >= MISSPELLED:
        remedy = (
            f"most likely it is spelled otherwise, or in another case, than {dev.folder} writes: train it with "
            "`asr lm train --recipe RECIPE`, the recipe of this model"
        )
    else:
        remedy = (
            "check with `asr lm perplexity` that its words are spelled as the model's transcripts are, train it on "
            "more text, or leave it"
        )
    return ConfigError(f"{lm}: a fault, not a result: {reason}, so nothing was stored; {remedy}")


def _weigh_rescoring(
    dev: _Dev, ngrams: "NgramModel", rnn: "RnnModel", name: str, weights: "TunedWeights", beam: int
) -> "TunedWeights":
    """Search the weights of rescoring, show them, and add them to those of the search.

    Raises:
        ConfigError: rescoring does not lower the error rate.
    """
    from asr.decoding.tune_rescoring import render, tune_rescoring

    with progress("tuning rescoring"):
        tuning = tune_rescoring(dev.heard, dev.bundle.tokenizer, dev.normalizer, ngrams, rnn, weights, beam)
    show(render(tuning))
    if tuning.is_fault:
        raise ConfigError(
            f"{name}: a fault, not a result: rescoring with it is no better on {dev.manifest} than beam search "
            f"alone ({tuning.wer:.2%} WER against {tuning.beam_wer:.2%}), so nothing was stored; train it on more "
            "text, or leave out --rescore"
        )
    return weights.model_copy(update={"rescoring": tuning.weights, "dev_wer": tuning.wer})


def _unknown(lm: "NgramModel", texts: Sequence[str]) -> float:
    """The share of words, or characters but spaces, that a language model does not know; 0 of none."""
    from asr.lm.ngram import UNKNOWN
    from asr.lm.units import SPACE

    words = [lm.vocabulary.id(word) for text in texts for word in lm.units(text) if word != SPACE]
    return words.count(UNKNOWN) / max(1, len(words))


def _calibrate(dev: _Dev, beam: int) -> None:
    """Fit the temperatures of confidences, show what that changes, and store them."""
    from asr.decoding.calibrate import calibrate
    from asr.decoding.decoder import LM_FOLDER, DecodingOptions, build_decoder
    from asr.evaluation.calibration import draw, render
    from asr.model.bundle import Calibration, store_calibration

    fitted = {
        name: calibrate(
            dev.heard,
            build_decoder(options, dev.bundle, dev.folder / LM_FOLDER),
            dev.bundle.tokenizer,
            dev.normalizer,
        )
        for name, options in {"greedy": DecodingOptions(), "beam": DecodingOptions(beam)}.items()
    }
    show(render({name: each.after for name, each in fitted.items()}))
    show("")
    for name, each in fitted.items():
        errors = [_percent(of.calibration_error) for of in (each.before, each.after)]
        losses = [f"{loss or 0.0:.3f}" for loss in (each.before.log_loss, each.after.log_loss)]
        show(
            f"{name:6}  WER {each.rates.wer:.2%}, temperature {each.temperature:.3f}: log loss {' to '.join(losses)}, "
            f"calibration error {' to '.join(errors)}"
        )
    store_calibration(dev.folder, Calibration(greedy=fitted["greedy"].temperature, beam=fitted["beam"].temperature))
    picture = dev.folder.resolve().parent / "calibration.png"
    draw({name: (each.before, each.after) for name, each in fitted.items()}, picture)
    note(f"picture: {picture}")


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.2%}"
