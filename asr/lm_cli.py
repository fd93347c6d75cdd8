"""The subcommands of language models: `asr lm train`, `asr lm train-rnn` and `asr lm perplexity`."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from asr.console import note, show
from asr.errors import ConfigError
from asr.options import Changes, Overwrite, Resume, group, register
from asr.runs import goes_on

Texts = Annotated[
    list[Path],
    typer.Argument(metavar="TEXT", help="Texts, plain or gzip, a sentence a line; or manifests."),
]
Recipe = Annotated[
    Path | None,
    typer.Option(
        help="Normalise texts as this recipe does.", show_default="texts as they are, manifests by the defaults"
    ),
]

ORDERS = {"word": 3, "character": 8}
"""N-grams of so many are counted without being asked: eight characters are a word or two."""

app = group("Train and judge language models.", "asr lm train data/an4/train.jsonl --out lm")


@register(app, "asr lm train data/an4/train.jsonl more.txt --order 3 --prune 0,0,1 --out lm")
def train(
    texts: Texts,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    order: Annotated[
        int | None, typer.Option(min=1, max=12, help="Words in the longest n-grams.", show_default="3; of characters 8")
    ] = None,
    characters: Annotated[
        bool, typer.Option("--characters", help="Count characters, not words: it can spell words that no text holds.")
    ] = False,
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
    from asr.lm.units import Unit

    unit: Unit = "character" if characters else "word"
    model = lm.train(
        _read(texts, recipe),
        order or ORDERS[unit],
        _thresholds(prune),
        FALLBACK if discount_fallback else None,
        unit,
    )
    model.save(out / MODEL_FILE)
    show("\n".join(f"{size}-grams  {count:,}" for size, count in enumerate(model.counts, start=1)))
    note(f"language model: {out}")


@register(app, "asr lm train-rnn data/an4/train.jsonl --dev data/an4/dev.jsonl --out rnn")
def train_rnn(
    texts: Texts,
    out: Annotated[Path, typer.Option(help="Folder to train in.")],
    dev: Annotated[
        list[Path] | None, typer.Option(help="Other texts, which choose the best epoch; repeatable.")
    ] = None,
    recipe: Recipe = None,
    settings: Annotated[Path | None, typer.Option(help="How to train, a TOML file.", show_default="defaults")] = None,
    changes: Changes = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a recurrent model on texts, for ranking the readings of beam search anew (--rescore)."""
    from asr.settings import read_settings
    from asr.training import LanguageRecipe, train_language_model

    how = read_settings(LanguageRecipe, settings, changes or ())
    learnt, others = (
        [sentence for path in paths for sentence in _sentences(path, recipe)] for paths in (texts, dev or ())
    )
    try:
        result = train_language_model(how, learnt, others, out, resume=goes_on(out, resume, overwrite))
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; the same command with --resume goes on") from None
    if result.dev_perplexity is not None:
        show(f"perplexity on dev  {result.dev_perplexity:.2f}")
    note(f"language model: {out}")


@register(app, "asr lm perplexity lm data/an4/dev.jsonl")
def perplexity(
    lm: Annotated[Path, typer.Argument(metavar="LM", help="A folder of `asr lm train` or train-rnn, or an ARPA file.")],
    texts: Texts,
    recipe: Recipe = None,
) -> None:
    """Say how well a language model foretells texts: the lower its perplexity, the better."""
    from asr.lm import RnnModel, load, load_recurrent, perplexity
    from asr.lm.load import MODEL_FILE, recurrent_folder

    is_recurrent = recurrent_folder(lm) is not None and not (lm / MODEL_FILE).exists()
    model = load_recurrent(lm) if is_recurrent else load(lm)
    result = perplexity(model, _read(texts, recipe))
    counted = "words" if isinstance(model, RnnModel) else f"{model.unit}s"
    facts = {
        "perplexity": f"{result.perplexity:.2f}",
        f"of known {counted}": f"{result.perplexity_known:.2f}",
        counted: f"{result.words:,}",
        f"unknown {counted}": f"{result.unknown_words:,}",
        "sentences": f"{result.sentences:,}",
    }
    width = max(map(len, facts))
    show("\n".join(f"{name:{width}}  {value}" for name, value in facts.items()))


def _thresholds(prune: str) -> list[int]:
    try:
        return [int(number) for number in prune.split(",")]
    except ValueError:
        raise ConfigError(f"--prune {prune}: not numbers; write one for each order, e.g. 0,0,1") from None


def _read(paths: Sequence[Path], recipe: Path | None) -> Path | Iterable[str]:
    """The sentences of texts and manifests; a single text that is taken as it is need not be read here."""
    if recipe is None and len(paths) == 1 and not _is_manifest(paths[0]):
        return paths[0]
    return chain.from_iterable(_sentences(path, recipe) for path in paths)


def _sentences(path: Path, recipe: Path | None) -> Iterator[str]:
    from asr.config import TextConfig, load_recipe
    from asr.dataset import Manifest
    from asr.lm.counts import read_corpus, text_lines
    from asr.text import Normalizer

    normalizer = Normalizer(load_recipe(recipe).text if recipe is not None else TextConfig())
    if _is_manifest(path):
        yield from (normalizer(utterance.text) for utterance in Manifest(path))
        return
    lines = text_lines(*read_corpus(path))
    yield from lines if recipe is None else map(normalizer, lines)


def _is_manifest(path: Path) -> bool:
    """Whether it is called one, or begins like one, as those do that other programs write to *.json."""
    if path.suffix == ".jsonl":
        return True
    if not path.is_file():  # what is read from a pipe is gone
        return False
    try:
        with path.open("rb") as file:
            return "audio_filepath" in json.loads(file.readline(1 << 16))
    except (OSError, ValueError, TypeError):
        return False
