"""A speech recogniser that anyone can train, trust and run: recurrent encoders, CTC, and honest error rates.

The rooms of the library are imported when first touched, so `import asr` costs next to nothing.
"""

import importlib
import importlib.metadata
from typing import Any

__version__ = "0.1.0"

ROOMS = (
    "audio",
    "config",
    "dataset",
    "decoding",
    "errors",
    "evaluation",
    "lm",
    "model",
    "text",
    "training",
    "transcript",
    "transcription",
)
TORCH_RELEASE = "2.11"


def check_releases(torch: str, torchaudio: str) -> None:
    """Refuse a pair of torch and torchaudio that were not released together.

    torchaudio's compiled operators are built against one torch release; another one crashes or computes nonsense.

    Raises:
        ImportError: naming both versions and the command that installs the pair that was tested.
    """
    if any(".".join(version.split(".")[:2]) != TORCH_RELEASE for version in (torch, torchaudio)):
        raise ImportError(
            f"asr needs torch {TORCH_RELEASE} with torchaudio {TORCH_RELEASE}, found torch {torch} and torchaudio "
            f"{torchaudio}; install them with: pip install torch=={TORCH_RELEASE}.* torchaudio=={TORCH_RELEASE}.*"
        )


check_releases(importlib.metadata.version("torch"), importlib.metadata.version("torchaudio"))


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return importlib.import_module(f"asr.{name}")
    raise AttributeError(f"module 'asr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *ROOMS])
