"""The subcommands that look inside: what augmentation does to an utterance, how far gradients reach through time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.console import note, progress, show
from asr.errors import ConfigError
from asr.options import Changes, drawing, group, register

if TYPE_CHECKING:
    from asr.model.gradients import Stack

app = group("Look inside trainings and models.", "asr inspect augment recipes/an4/default.toml data/an4/train.jsonl")


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

    drawing(picture, recipe, manifest)
    settings = load_recipe(recipe, changes or ())
    for line in draw_augmentations(settings, Manifest(manifest), picture, utterance, everything):
        note(line)
    note(f"picture: {picture}")


@register(app, "asr inspect gradients runs/an4/model --cells --picture gradients.png")
def gradients(
    models: Annotated[
        list[Path] | None, typer.Argument(metavar="[MODEL]...", help="Model bundles, whose encoders are measured.")
    ] = None,
    cells: Annotated[
        bool,
        typer.Option(
            "--cells", help="Measure untrained layers of every cell, of equal size.", show_default="without models"
        ),
    ] = False,
    audio: Annotated[
        list[Path] | None,
        typer.Option(help="What models listen to, joined; repeatable.", show_default="white noise"),
    ] = None,
    frames: Annotated[
        int, typer.Option(min=3, help="Length of the sequences; k goes up to half of it, at most 100.")
    ] = 256,
    picture: Annotated[Path | None, typer.Option(help="Draw the curves here; its ending says in which format.")] = None,
) -> None:
    """Measure how strongly outputs at a time depend on inputs k frames before and after.

    What is measured is the Frobenius norm of d output(t) / d input(t - k), estimated by random projections; k counts
    the frames that the recurrent layers read. It says how far back a network can learn from.
    """
    import torch

    from asr.model.gradients import draw, gradient_flow, render, untrained_cells

    if audio and not models:
        raise ConfigError(f"--audio {audio[0]}: untrained cells read noise; name a model that is to listen")
    if picture is not None:
        drawing(picture, *audio or ())
    torch.manual_seed(0)  # the same table every time
    stacks = [_encoder(folder, audio or [], frames) for folder in models or []]
    if cells or not models:
        stacks += untrained_cells(frames)
    flows = []
    for stack in stacks:
        with progress(f"measuring {stack.name}") as done:
            flows.append(gradient_flow(stack, done))
    show(render(flows))
    if picture is not None:
        draw(flows, picture)
        note(f"picture: {picture}")


def _encoder(folder: Path, audio: list[Path], frames: int) -> "Stack":
    """The encoder of a bundle, reading recordings or white noise."""
    import torch

    from asr.audio import load
    from asr.model import load_bundle
    from asr.model.gradients import SEQUENCES, trained_encoder

    bundle = load_bundle(folder)
    rate = bundle.features.sample_rate
    if audio:
        waveform = torch.cat([load(path, rate) for path in audio])
    else:
        samples = round(SEQUENCES * frames * bundle.model.frame_seconds * rate)
        waveform = 0.1 * torch.randn(samples)
    return trained_encoder(f"{folder}", bundle.model, waveform, frames)
