"""Options and arguments that several subcommands take, and how a subcommand is registered."""

import enum
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.console import note
from asr.errors import ConfigError

if TYPE_CHECKING:
    from asr.decoding.decoder import DecodingOptions


class Arithmetic(enum.StrEnum):
    """What a model multiplies in; see `asr.transcription.Recognizer`."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


Device = Annotated[
    str | None, typer.Option(help="Where the model runs, e.g. cpu or cuda:1.", show_default="GPU if any")
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model bundle: the folder that training wrote.")]
BatchSeconds = Annotated[float, typer.Option(min=0.0, help="Seconds of audio recognised at once.")]
Precision = Annotated[Arithmetic, typer.Option(help="bf16 is faster where the processor has it; auto takes it there.")]
Recipe = Annotated[Path | None, typer.Option(help="Read as this recipe will.", show_default="defaults")]

Beam = Annotated[int, typer.Option(min=0, help="Beam search with so many prefixes, e.g. 50; 0 is greedy decoding.")]
Lm = Annotated[
    Path | None, typer.Option(help="Language model: a folder, or an ARPA file.", show_default="the model's own, if any")
]
LmWeight = Annotated[
    float | None, typer.Option(min=0.0, help="Weight of the language model.", show_default="as tuned, or 0.5")
]
WordBonus = Annotated[float | None, typer.Option(help="Added for each word.", show_default="as tuned, or 0.5")]
Lexicon = Annotated[Path | None, typer.Option(help="Allow only the words of this file, one a line.")]
Hotwords = Annotated[
    Path | None, typer.Option(help="Listen for the words and phrases of this file, word:boost a line.")
]
Hotword = Annotated[
    list[str] | None, typer.Option(metavar="WORD:BOOST", help='Listen for this, e.g. "Kirov:8"; repeatable.')
]
Phrases = Annotated[
    Path | None, typer.Option(help="Each recording says one of these, one a line: a command, say. No beam.")
]
Rescore = Annotated[
    Path | None,
    typer.Option(
        help="Rank the best readings anew with this recurrent language model: a folder.",
        show_default="the model's own, if any",
    ),
]

Resume = Annotated[bool, typer.Option("--resume", help="Go on with the training there, if any.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the training there, if any.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting; repeatable.")
]


def group(purpose: str, example: str) -> typer.Typer:
    """A command of several subcommands, whose help ends with a working example."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=purpose, epilog=f"\b\nExample:\n  {example}")


def register(app: typer.Typer, example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a subcommand whose help ends with a working example."""
    return app.command(epilog=f"\b\nExample:\n  {example}")


def output(option: str, path: Path, *others: Path) -> None:
    """Make sure, before hours of work, that a file can be written; makes its folder if there is none.

    Args:
        option: that names the file.
        path: of the file.
        others: files that the command reads or writes too.

    Raises:
        ConfigError: it cannot be written there, or would replace one of the others.
    """
    if path.resolve() in {other.resolve() for other in others}:
        raise ConfigError(f"{option} {path}: would replace another file of this command; name a new one")
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{option} {path}: its folder cannot be made ({error.strerror}); name another") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {path}: its folder cannot be written to; name another")


def drawing(path: Path, *others: Path) -> None:
    """Make sure, as `output` does, that `--picture` can be drawn there, and in the format of its ending.

    Raises:
        ConfigError: as `output`, or there is no such format.
    """
    from asr.picture import check_format

    output("--picture", path, *others)
    check_format(path)


def decoding_options(
    beam: int,
    lm: Path | None,
    lm_weight: float | None,
    word_bonus: float | None,
    lexicon: Path | None,
    hotwords: Path | None,
    hotword: Sequence[str] | None,
    rescore: Path | None,
    nbest: int = 1,
    phrases: Path | None = None,
) -> "DecodingOptions":
    """What the options above ask for; a hotword on the command line counts before the one in the file.

    Raises:
        ConfigError: what should be a hotword is none, the file cannot be read, or there is no beam to use it all.
    """
    from asr.decoding.decoder import DecodingOptions
    from asr.decoding.hotwords import parse_hotword, read_hotwords

    if beam:
        from asr.decoding.compilation import on_compilation

        on_compilation(note)
    listed = read_hotwords(hotwords) if hotwords is not None else {}
    named = dict(parse_hotword(text) for text in hotword or ())
    return DecodingOptions(beam, lm, lm_weight, word_bonus, lexicon, {**listed, **named}, nbest, rescore, phrases)
