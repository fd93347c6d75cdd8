"""Pictures in files, complete or not at all."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from asr.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110


def check_format(path: Path) -> None:
    """Make sure, before hours of work, that a picture can be written in the format that the ending of its name says.

    Raises:
        ConfigError: there is no such format.
    """
    from matplotlib.figure import Figure

    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in formats:
        raise ConfigError(f"{path}: {path.suffix[1:]} is no format of pictures; take {', '.join(sorted(formats))}")


def save_picture(figure: "Figure", path: Path) -> None:
    """Write a picture beside its place, then rename it; the ending of the name says in which format, PNG without one.

    Raises:
        ConfigError: it cannot be written there, or not in that format.
    """
    # another process may be writing a picture of the same name
    fresh = path.with_name(f".{path.stem}.writing-{os.getpid()}{path.suffix or '.png'}")
    try:
        figure.savefig(fresh, dpi=DOTS_PER_INCH)
        fresh.replace(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be written as a picture ({error}); name another, e.g. picture.png") from None
