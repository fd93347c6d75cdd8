"""The terminal: results on stdout, progress and notes on stderr, so that results can be piped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH_OF_FILES = 1000
"""Columns of what is no terminal: a file or a pipe."""


def show(result: "RenderableType") -> None:
    """Print a result. Text is printed as it is, tables by rich, whose lines break at the terminal's edge only."""
    if isinstance(result, str):
        typer.echo(result)
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    console.print(result)


def note(message: object) -> None:
    """Print a line that is no result."""
    typer.echo(str(message), err=True)


@contextmanager
def progress(what: str, hidden: bool = False) -> Iterator[Callable[..., None]]:
    """A bar that is told how much is done, and of how much if that is known. Without a terminal there is none."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    # Of what is printed under the bar only stderr may pass through its console: stdout would end up on stderr.
    with Progress(
        console=console, transient=True, redirect_stdout=False, disable=hidden or not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)


def flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Name every leaf of nested dictionaries by its path: {"a": {"b": 1}} is a.b 1."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(f"{name}.{key}" if name else key, inner)
    else:
        yield name, value
