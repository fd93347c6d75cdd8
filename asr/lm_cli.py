"""The subcommands of language models: `asr lm train`, `asr lm perplexity` and `asr tune`."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.console import note, progress, show
from asr.errors import ConfigError, LanguageModelError
from asr.options import BatchSeconds, Device, Model, register

if TYPE_CHECKING:
    from asr.decoding.tune import Emissions
    from asr.lm import NgramModel
    from asr.model import Bundle

Texts = Annotated[
    list[Path],
    typer.Argument(metavar="TEXT", help="Texts, plain or gzip, a sentence a line; or manifests, named *.jsonl."),
]
Recipe = Annotated[
    Path | None,
    typer.Option(
        help="Normalise texts as this recipe does.", show_default="texts as they are, manifests by the defaults"
    ),
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train and judge word n-gram language models.",
    epilog="\b\nExample:\n  asr lm train data/an4/train.jsonl --out lm",
)


@register(app, "asr lm train data/an4/train.jsonl more.txt --order 3 --prune 0,0,1 --out lm")
def train(
    texts: Texts,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    order: Annotated[int, typer.Option(min=1, max=9, help="Words in the longest n-grams.")] = 3,
    prune: Annotated[
        str, typer.Option(help="For each order, leave out n-grams that occur so often or less, e.g. 0,0,1.")
    ] = "0",
    discount_fallback: Annotated[
        bool, typer.Option("--discount-fallback", help="Allow texts too small to estimate discounts.")
    ] = False,
    recipe: Recipe = None,
) -> None:
    """Train an n-gram model on texts, with modified Kneser-Ney smoothing."""
    from asr import lm
    from asr.lm.kneser_ney import FALLBACK
    from asr.lm.load import MODEL_FILE

    model = lm.train(_read(texts, recipe), order, _thresholds(prune), FALLBACK if discount_fallback else None)
    model.save(out / MODEL_FILE)
    show("\n".join(f"{size}-grams  {count:,}" for size, count in enumerate(model.counts, start=1)))
    note(f"language model: {out}")


@register(app, "asr lm perplexity lm data/an4/dev.jsonl")
def perplexity(
    lm: Annotated[Path, typer.Argument(metavar="LM", help="A folder of `asr lm train`, or an ARPA file.")],
    texts: Texts,
    recipe: Recipe = None,
) -> None:
    """Say how well a language model foretells texts: the lower its perplexity, the better."""
    from asr.lm import load, perplexity

    result = perplexity(load(lm), _read(texts, recipe))
    facts = {
        "perplexity": f"{result.perplexity:.2f}",
        "of known words": f"{result.perplexity_known:.2f}",
        "words": f"{result.words:,}",
        "unknown words": f"{result.unknown_words:,}",
        "sentences": f"{result.sentences:,}",
    }
    show("\n".join(f"{name:14}  {value}" for name, value in facts.items()))


def tune(
    model: Model,
    manifest: Annotated[Path, typer.Argument(metavar="DEV", help="A development set: a JSON Lines file.")],
    lm: Annotated[
        Path | None,
        typer.Option(help="Language model to weigh and store: a folder, or an ARPA file.", show_default="none"),
    ] = None,
    beam: Annotated[int, typer.Option(min=1, help="Prefixes kept by the search.")] = 50,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the error rates here.", show_default="tuning.png beside the model")
    ] = None,
    batch_seconds: BatchSeconds = 60.0,
    device: Device = None,
) -> None:
    """Fit a model to a development set: its confidences, and the weights of a language model if one is given.

    Confidences are fitted for greedy decoding and for beam search apart, the latter with the language model that is
    stored in the model, if any. If beam search with the one given is worse than greedy decoding, that is an error, and
    the model stays as it is.
    """
    from asr.dataset import Manifest
    from asr.decoding.compilation import on_compilation
    from asr.model import load_bundle
    from asr.transcription import Recognizer, emissions

    on_compilation(note)
    ngrams = _load(lm) if lm is not None else None
    bundle = load_bundle(model)
    with progress("listening") as done:
        heard = emissions(Recognizer(bundle, device), Manifest(manifest), batch_seconds, done)
    if ngrams is not None:
        _weigh(model, bundle, heard, ngrams, f"{lm}", f"{manifest}", beam, picture)
    _calibrate(model, bundle, heard, beam)
    note(f"stored in {model}; try it: asr transcribe {model} FILE --beam {beam}")


def _load(lm: Path) -> "NgramModel":
    from asr.lm import load

    return load(lm)


def _weigh(
    model: Path,
    bundle: "Bundle",
    heard: "Emissions",
    ngrams: "NgramModel",
    lm: str,
    manifest: str,
    beam: int,
    picture: Path | None,
) -> None:
    """Search the weights of a language model, show them, and store both.

    Raises:
        ConfigError: the language model makes the error rate worse; nothing was stored.
    """
    from asr.decoding.decoder import store_lm
    from asr.decoding.tune import draw, render, tune
    from asr.text import Normalizer

    with progress("tuning") as done:
        tuning = tune(heard, bundle.tokenizer, Normalizer(bundle.text), ngrams, beam, done)
    picture = picture or model.resolve().parent / "tuning.png"
    draw(tuning, picture)
    best = tuning.best
    show(render(tuning))
    show(f"\ngreedy        WER {tuning.greedy_wer:.2%}")
    show(f"beam {beam:<8} WER {tuning.beam_wer:.2%}")
    weights = f"lm_weight {best.lm_weight:g}, word_bonus {best.word_bonus:g}, unknown_score {best.unknown_score:g}"
    show(f"with the LM   WER {best.wer:.2%}  ({weights})")
    show(f"unknown to it {_unknown(ngrams, heard.references):.2%} of the words said\n")
    note(f"picture: {picture}")
    if tuning.is_fault:
        raise ConfigError(
            f"{lm}: a fault, not a result: with this language model beam search is worse on {manifest} than greedy "
            f"decoding ({best.wer:.2%} WER against {tuning.greedy_wer:.2%}), so nothing was stored; check with "
            "`asr lm perplexity` that its words are spelled as the model's transcripts are"
        )
    store_lm(model, ngrams, tuning.weights)


def _unknown(lm: "NgramModel", texts: Sequence[str]) -> float:
    """The share of words that a language model does not know; the texts hold some."""
    from asr.lm.ngram import UNKNOWN

    words = [lm.vocabulary.id(word) for text in texts for word in text.split()]
    return words.count(UNKNOWN) / len(words)


def _calibrate(model: Path, bundle: "Bundle", heard: "Emissions", beam: int) -> None:
    """Fit the temperatures of confidences, show what that changes, and store them."""
    from asr.decoding.calibrate import calibrate
    from asr.decoding.decoder import LM_FOLDER, DecodingOptions, build_decoder
    from asr.evaluation.calibration import draw, render
    from asr.model.bundle import Calibration, store_calibration
    from asr.text import Normalizer

    normalizer = Normalizer(bundle.text)
    fitted = {
        name: calibrate(heard, build_decoder(options, bundle, model / LM_FOLDER), bundle.tokenizer, normalizer)
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
    picture = model.resolve().parent / "calibration.png"
    draw({name: (each.before, each.after) for name, each in fitted.items()}, picture)
    note(f"picture: {picture}")
    store_calibration(model, Calibration(greedy=fitted["greedy"].temperature, beam=fitted["beam"].temperature))


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.2%}"


def _thresholds(prune: str) -> list[int]:
    try:
        return [int(number) for number in prune.split(",")]
    except ValueError:
        raise ConfigError(f"--prune {prune}: not numbers; write one for each order, e.g. 0,0,1") from None


def _read(paths: Sequence[Path], recipe: Path | None) -> Path | Iterable[str]:
    """The sentences of texts and manifests; a single text that is taken as it is need not be read here."""
    if recipe is None and len(paths) == 1 and paths[0].suffix != ".jsonl":
        return paths[0]
    return chain.from_iterable(_sentences(path, recipe) for path in paths)


def _sentences(path: Path, recipe: Path | None) -> Iterator[str]:
    from asr.config import TextConfig, load_recipe
    from asr.dataset import Manifest
    from asr.lm.counts import read_corpus
    from asr.text import Normalizer

    normalizer = Normalizer(load_recipe(recipe).text if recipe is not None else TextConfig())
    if path.suffix == ".jsonl":
        yield from (normalizer(utterance.text) for utterance in Manifest(path))
        return
    try:
        text = read_corpus(path)[1].decode()
    except UnicodeDecodeError as error:
        raise LanguageModelError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    lines = text.removesuffix("\n").split("\n")
    yield from lines if recipe is None else map(normalizer, lines)
