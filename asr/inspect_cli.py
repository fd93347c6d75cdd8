"""The subcommands that look inside: `asr inspect augment`."""

from pathlib import Path
from typing import Annotated

import typer

from asr.console import note
from asr.options import Changes, register

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look at what a training does.",
    epilog="\b\nExample:\n  asr inspect augment recipes/an4/default.toml data/an4/train.jsonl",
)


@register(app, "asr inspect augment recipes/an4/default.toml data/an4/train.jsonl --all --picture augment.png")
def augment(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="The experiment, a TOML file.")],
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Where the utterance is: a JSON Lines file.")],
    utterance: Annotated[str | None, typer.Option(metavar="ID", help="Show this one.", show_default="first")] = None,
    picture: Annotated[Path, typer.Option(help="Draw it here.")] = Path("augment.png"),
    everything: Annotated[
        bool, typer.Option("--all", help="Show what the recipe does not turn on too, at usual strengths.")
    ] = False,
    changes: Changes = None,
) -> None:
    """Draw an utterance as it is, and after each augmentation of a recipe.

    What is random is drawn from the recipe's seed: --set seed=1 shows another draw.
    """
    from asr.config import load_recipe
    from asr.dataset import Manifest
    from asr.training import draw_augmentations

    settings = load_recipe(recipe, changes or ())
    for line in draw_augmentations(settings, Manifest(manifest), picture, utterance, everything):
        note(line)
    note(f"picture: {picture}")
