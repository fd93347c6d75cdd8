"""The subcommand `asr compare`: whether one system is better than another, or was lucky."""

from typing import Annotated

import typer

from asr.console import show

Systems = Annotated[
    list[str],
    typer.Argument(
        metavar="BASE OTHER...",
        help="Files of asr evaluate --hypotheses; runs from several seeds joined by commas are one system.",
    ),
]


def compare(systems: Systems) -> None:
    """Compare systems with the first one, utterance by utterance: error rates, differences, and how sure they are."""
    from asr.evaluation.systems import read_system, render_comparison

    show(render_comparison([read_system(name) for name in systems]))
