"""Batches: utterances of similar lengths, together a given number of seconds, read in parallel.

What comes out depends on the seed, the epoch and the utterance's index alone: neither on the number of processes that
read or of threads that compute, nor on where an interrupted epoch went on. No global random state is read or written.
"""

import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asr.dataset.examples import Example, SpeechDataset
from asr.dataset.prefetch import read_ahead
from asr.errors import AsrError

JITTER = 0.05
"""How far, relative to its duration, an utterance may stray in the order by length, so that every epoch has other
batches. Measured with batches of 60 s: padding takes 3 to 5%; next to nothing without jitter, 20 to 45% in no order."""
PREFETCH = 4
"""Batches that each process keeps ready."""
AHEAD = 2
"""Batches that a thread keeps ready: one, and another because batches differ in what it takes to read them."""


class BatchSampler:
    """Which utterances stand together in a batch, and in which order the batches come, for every epoch anew.

    Args:
        durations: seconds, shape `(utterances,)`.
        batch_seconds: limit of (longest duration in a batch) x (utterances in it), that is, padding included; an
            utterance longer than that makes a batch alone. Augmentation that makes speech longer comes on top.
        seed: with the epoch, decides everything.
    """

    def __init__(self, durations: npt.ArrayLike, batch_seconds: float, seed: int) -> None:
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_seconds = batch_seconds
        self.seed = seed

    def batches(self, epoch: int) -> list[list[int]]:
        """Indices of the utterances of each batch; every utterance is in exactly one."""
        random = np.random.default_rng((self.seed, epoch))
        stray = random.uniform(1 - JITTER, 1 + JITTER, len(self.durations))
        order = np.argsort(self.durations * stray)
        ends = self._ends(self.durations[order].tolist())
        batches = [part.tolist() for part in np.split(order, ends[:-1])] if ends else []
        return [batches[position] for position in random.permutation(len(batches))]

    def _ends(self, durations: Sequence[float]) -> list[int]:
        """Where each batch ends when they are filled one after the other."""
        ends, begin, longest = [], 0, 0.0
        for position, seconds in enumerate(durations):
            longest = max(longest, seconds)
            if longest * (position - begin + 1) > self.batch_seconds and position > begin:
                ends.append(position)
                begin, longest = position, seconds
        return [*ends, len(durations)] if durations else []


@dataclass(frozen=True)
class Batch:
    """Examples, padded with zeros at the end."""

    waveforms: Tensor
    """float32, shape (batch, samples)."""
    lengths: Tensor
    """Samples of each waveform: int64, shape (batch,)."""
    tokens: Tensor
    """int64, shape (batch, max_tokens)."""
    token_lengths: Tensor
    """int64, shape (batch,)."""
    ids: tuple[str, ...]
    texts: tuple[str, ...]

    def to(self, device: torch.device | str) -> "Batch":
        """Waveforms and tokens on a device; from pinned memory, the copy overlaps with computation.

        Lengths stay on the CPU: CTC reads them there, and would have to wait for a GPU.
        """
        waveforms, tokens = (each.to(device, non_blocking=True) for each in (self.waveforms, self.tokens))
        return replace(self, waveforms=waveforms, tokens=tokens)

    def pin_memory(self) -> "Batch":
        """The same batch in memory that a GPU reads directly; `DataLoader` calls this."""
        return replace(
            self,
            waveforms=self.waveforms.pin_memory(),
            lengths=self.lengths.pin_memory(),
            tokens=self.tokens.pin_memory(),
            token_lengths=self.token_lengths.pin_memory(),
        )


def collate(examples: Sequence[Example], pad_samples: int = 1) -> Batch:
    """Pad examples to the longest.

    Args:
        examples: at least one.
        pad_samples: padded waveforms are a multiple of this long. Each new shape costs a CPU kernel's preparation, so
            a coarse grid of shapes is faster; models mask by length, so no result depends on it.
    """
    lengths = [len(example.waveform) for example in examples]
    token_lengths = [len(example.tokens) for example in examples]
    waveforms = torch.zeros(len(examples), -(-max(lengths) // pad_samples) * pad_samples)
    tokens = torch.zeros(len(examples), max(token_lengths), dtype=torch.int64)
    for row, example in enumerate(examples):
        waveforms[row, : lengths[row]] = example.waveform
        tokens[row, : token_lengths[row]] = torch.tensor(example.tokens, dtype=torch.int64)
    return Batch(
        waveforms=waveforms,
        lengths=torch.tensor(lengths),
        tokens=tokens,
        token_lengths=torch.tensor(token_lengths),
        ids=tuple(example.id for example in examples),
        texts=tuple(example.text for example in examples),
    )


def loader(
    dataset: SpeechDataset, plan: Sequence[list[int]], epoch: int, *, workers: int = 0, pad_samples: int = 1
) -> Generator[Batch, None, None]:
    """Read the batches of a plan, in order and ahead of their use; closing it ends what reads.

    Args:
        dataset: where the examples come from.
        plan: indices of the utterances of each batch: an epoch's batches as `BatchSampler` forms them, those that an
            interrupted epoch has not seen yet, or one process's share of them.
        epoch: decides perturbations.
        workers: processes that read; 0 reads in this one, in a thread.
        pad_samples: see `collate`.

    Raises:
        AudioError, TextError: as `SpeechDataset` does, when the batch with that utterance is due.
    """
    read, pin = _Read(dataset, epoch, pad_samples), torch.cuda.is_available()
    if not workers:
        yield from read_ahead(lambda indices: read(indices).pin_memory() if pin else read(indices), plan, AHEAD)
        return
    # Processes last one epoch: forking them takes milliseconds, and they have nothing to remember.
    batches: DataLoader[Batch | AsrError] = DataLoader(
        _Collated(read),
        batch_size=None,
        sampler=plan,
        num_workers=workers,
        prefetch_factor=PREFETCH,
        pin_memory=pin,
        worker_init_fn=_ignore_interrupts,
        generator=torch.Generator(),  # it draws a seed, and would from the global generator
    )
    for batch in batches:
        if isinstance(batch, AsrError):
            raise batch
        yield batch


@dataclass(frozen=True)
class _Read:
    """Whole batches by the indices of their utterances."""

    dataset: SpeechDataset
    epoch: int
    pad_samples: int

    def __call__(self, indices: list[int]) -> Batch:
        return collate([self.dataset[self.epoch, index] for index in indices], self.pad_samples)


class _Collated(Dataset["Batch | AsrError"]):
    """The same for processes. Errors are returned, since one raised in a process reaches the training wrapped in that
    process's traceback.
    """

    def __init__(self, read: _Read) -> None:
        self.read = read

    def __getitem__(self, indices: list[int]) -> Batch | AsrError:
        try:
            return self.read(indices)
        except AsrError as error:
            return error


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the training, which saves and then ends these processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
