"""The mean of several epochs' weights: Vaswani et al. 2017 (arXiv 1706.03762, section 6.1) take the last ones, and
Izmailov et al. 2018 (arXiv 1803.05407) say why the mean lies in a wider optimum than each of them.
"""

from collections.abc import Collection
from copy import deepcopy
from pathlib import Path
from typing import Generic

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from asr.errors import TrainingError
from asr.training.state import write_whole
from asr.training.task import ModelT

SUFFIX = ".safetensors"


class Candidates(Generic[ModelT]):
    """The weights after some epochs, each in a file: else every checkpoint, minutes apart, would hold all of them.

    A file is written before the checkpoint that counts on it, and removed after the one that no longer does; what an
    interruption leaves in between is written anew, or removed, after the resumption.

    Args:
        folder: where the files are; made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, model: ModelT, epoch: int) -> None:
        """Write the weights after an epoch."""
        self.folder.mkdir(exist_ok=True)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()}
        write_whole(self._path(epoch), lambda file: file.write(save(weights)))

    def keep_only(self, epochs: Collection[int]) -> None:
        """Remove what was written after other epochs."""
        wanted = {self._path(epoch) for epoch in epochs}
        for path in self.folder.glob(f"epoch-*{SUFFIX}"):
            if path not in wanted:
                path.unlink()

    @torch.no_grad()
    def mean(self, model: ModelT, epochs: Collection[int]) -> ModelT:
        """A copy of `model` with the mean of the weights after some epochs, at least one.

        Buffers are the model's own: here none is a statistic of activations, which other weights would change (those of
        batch normalisation would have to be measured anew).

        Raises:
            TrainingError: a file is missing or damaged.
        """
        mean = deepcopy(model)
        sums = {name: torch.zeros(weight.shape, dtype=torch.float64) for name, weight in mean.named_parameters()}
        for epoch in sorted(epochs):
            weights = _read(self._path(epoch))
            for name, total in sums.items():
                total += weights[name]
        for name, weight in mean.named_parameters():
            weight.copy_((sums[name] / len(epochs)).to(weight.dtype))
        return mean

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:05}{SUFFIX}"


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path}: weights that are to be averaged cannot be read ({error}); put the file back and resume, or do "
            "without: the best model so far is whole"
        ) from None
