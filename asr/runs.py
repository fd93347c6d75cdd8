"""What a training works on: its folder, what may lie there already, and the manifest that scores it."""

import shutil
from pathlib import Path

from asr.errors import ConfigError

TRACES = (
    "last.ckpt",
    "candidates",
    "model",
    "evaluation.json",
    "history.jsonl",
    "curves.png",
    "tensorboard",
    "tuning.png",
    "calibration.png",
)
"""What a training, its evaluation and its tuning leave in the folder."""


def folder(recipe: Path) -> Path:
    """Where a recipe trains: recipes/an4/{default,x,y/z}.toml in runs/{an4,an4-x,an4-y-z}, my.toml in runs/my."""
    path = recipe.resolve()
    outwards = path.parent.parts[:-4:-1]
    shelves = outwards[: outwards.index("recipes")][::-1] if "recipes" in outwards else ()
    names = [*shelves] + [path.stem] * (not shelves or path.stem != "default")
    return Path("runs", "-".join(names))


def scored(path: Path) -> Path:
    """The manifest to score a model on: the path itself, or of a recipe (*.toml) its test set.

    Raises:
        ConfigError: the recipe cannot be read, or names no test set.
    """
    if path.suffix != ".toml":
        return path
    from asr.config import load_recipe  # takes a while to import

    test = load_recipe(path).data.test
    if test is None:
        raise ConfigError(f"{path}: names no test set; add data.test, or give a manifest")
    return Path(test)


def begin_anew(run: Path) -> None:
    """Make the folder of a training, or remove what an earlier one has left there, and nothing else."""
    run.mkdir(parents=True, exist_ok=True)
    for path in _traces(run):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def goes_on(run: Path, resume: bool, overwrite: bool) -> bool:
    """Whether to go on with the training in a folder, or begin anew there.

    Raises:
        ConfigError: the folder holds a training and nothing was said of it, or a model without what would go on.
    """
    if overwrite:
        return False
    if _traces(run) and not resume:
        raise ConfigError(
            f"{run}: holds a training already; go on with it (--resume), replace it (--overwrite), "
            "or name another folder"
        )
    begun = (run / "last.ckpt").exists()
    if not begun and (run / "model").exists():
        raise ConfigError(
            f"{run}: holds a model, but no last.ckpt to go on from; replace it (--overwrite), or name another folder"
        )
    return begun


def _traces(run: Path) -> list[Path]:
    return [path for name in TRACES if (path := run / name).exists()]
