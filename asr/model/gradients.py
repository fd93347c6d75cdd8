"""How far gradients reach through time: the norm of d output(t) / d input(t - k), against k.

A network can learn from what lies k frames back only as far as this block of its Jacobian lets it: the block is a sum
of products of k factors, and such products vanish or explode (Bengio et al. 1994; Pascanu et al. 2013, arXiv
1211.5063).

The Frobenius norm of a block J is estimated by random projections. Let the components of v be independent, +1 or -1
with equal probability: then E v v' = 1, and E |v' J|^2 = tr(J' E(v v') J) = tr(J' J) = |J|^2, without bias (Hutchinson
1990). One way back from v' output(t) gives v' J of every k at once, where all of J would take one for each output.

The root of their mean over times and sequences is led by the strongest blocks. Those of untrained layers are alike; in
a trained encoder that reads speech a few, at k = 50, are a hundred times the median.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from rich.table import Table
from torch import Tensor, nn

from asr.errors import ConfigError
from asr.model.ctc import Model
from asr.model.recurrence import Cell, Recurrence
from asr.picture import save_picture

Layers = Callable[[Tensor, Tensor], Tensor]
"""Frames (batch, frames, inputs) and lengths (batch,) in, (batch, frames, outputs) out, each sequence by itself."""
SEQUENCES, TIMES = 8, 16
"""What is averaged over: sequences, and times t in each, a projection for every pair."""
FARTHEST = 100
"""The largest k."""
LAGS = (0, 1, 2, 5, 10, 20, 50, 100)
"""Those that a table shows."""
FADED = 0.01
"""A gradient has faded where its norm is less than this share of the norm at k = 0."""
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True, eq=False)
class Stack:
    """Layers to be measured, and what they read.

    Attributes:
        name: for tables and pictures.
        parameters: how many the layers have.
        layers: without dropout, that is in eval mode.
        frames: (sequences, frames, inputs), at least three frames.
    """

    name: str
    parameters: int
    layers: Layers
    frames: Tensor


@dataclass(frozen=True)
class Flow:
    """Root mean squares of |d output(t) / d input(t - k)| over times, sequences and projections.

    Attributes:
        stack: what was measured.
        past: norms at k = 0, 1, 2, ...: inputs before the output.
        future: norms at k = 0, -1, -2, ...: inputs after it, which layers in one direction do not see.
    """

    stack: Stack
    past: tuple[float, ...]
    future: tuple[float, ...]

    @property
    def sees_the_future(self) -> bool:
        """Whether any later input matters."""
        return any(self.future[1:])


def gradient_flow(stack: Stack, told: Callable[[int, int], None] | None = None) -> Flow:
    """Measure how strongly outputs depend on inputs before and after them, up to half of a sequence and 100 frames.

    Args:
        stack: what is measured, in the arithmetic of its frames.
        told: is told how many of how many times are done.
    """
    layers, frames = stack.layers, stack.frames
    reach = min(FARTHEST, (frames.shape[1] - 1) // 2)
    # Every k lies within the sequence at every t, so that all are averaged over the same times.
    times = torch.linspace(reach, frames.shape[1] - 1 - reach, TIMES).round().long().tolist()
    random = torch.Generator().manual_seed(0)
    squares = torch.zeros(2 * reach + 1, dtype=torch.float64)
    for number, time in enumerate(times, start=1):
        of_time = projected_squares(layers, frames, time, random)
        squares += of_time[:, time - reach : time + reach + 1].mean(dim=0)
        if told is not None:
            told(number, len(times))
    norms = (squares / len(times)).sqrt()
    return Flow(stack, tuple(norms[: reach + 1].flip(0).tolist()), tuple(norms[reach:].tolist()))


def projected_squares(layers: Layers, frames: Tensor, time: int, random: torch.Generator) -> Tensor:
    """|v' d output(time) / d input(s)|^2 of every s, a v drawn for each sequence: an estimate of the squared norms.

    Args:
        layers: as in a `Stack`.
        frames: (sequences, frames, inputs).
        time: the frame of the outputs.
        random: what v is drawn from.

    Returns:
        (sequences, frames), float64, for squares may be too small for float32.
    """
    frames = frames.detach().requires_grad_()
    output = layers(frames, torch.full((len(frames),), frames.shape[1]))[:, time]
    signs = 2 * torch.randint(2, output.shape, generator=random) - 1
    (gradient,) = torch.autograd.grad((output * signs).sum(), frames)
    return gradient.double().square().sum(dim=2)


def fades_at(norms: Sequence[float]) -> int | None:
    """The least k at which a gradient has faded; None if that is further than was measured."""
    return next((k for k, norm in enumerate(norms) if norm < FADED * norms[0]), None)


def untrained_cells(frames: int, inputs: int = 256, parameters: int = 500_000) -> list[Stack]:
    """A fresh layer of every cell, in one direction and in both, drawn from PyTorch's generator.

    They read normal noise of unit variance: the layers of an encoder read frames that have been normalised.

    Args:
        frames: of each sequence.
        inputs: features of each frame.
        parameters: of each layer, as nearly as units allow.
    """
    stacks = []
    for bidirectional in (False, True):
        for cell in get_args(Cell):
            units = equal_units(cell, bidirectional, inputs, parameters)
            layer = Recurrence(inputs, units, cell, bidirectional)
            name = f"{cell}, {'both directions' if bidirectional else 'forward'}, {units} units"
            stacks.append(Stack(name, _size(layer), layer, torch.randn(SEQUENCES, frames, inputs)))
    return stacks


def equal_units(cell: Cell, bidirectional: bool, inputs: int, parameters: int) -> int:
    """Units per direction that give a layer as nearly so many parameters as possible.

    A direction of u units has gates u (inputs + u + 2) of them: W_ih, W_hh and two biases.
    """
    half = (inputs + 2) / 2
    return round(math.sqrt(half * half + parameters / (_GATES[cell] * (1 + bidirectional))) - half)


def trained_encoder(name: str, model: Model, waveform: Tensor, frames: int) -> Stack:
    """The encoder of a model, reading a recording cut into sequences, at most `SEQUENCES` of them.

    Args:
        name: of the model.
        model: in eval mode.
        waveform: (samples,) in [-1, 1].
        frames: of each sequence; what is left over at the end of the recording is dropped.

    Raises:
        ConfigError: there is not one sequence.
    """
    with torch.no_grad():
        features = model.features(waveform[None], torch.tensor([len(waveform)]))
        [heard], _ = model.subsampling(*features)
    sequences = min(len(heard) // frames, SEQUENCES)
    if not sequences:
        raise ConfigError(f"--frames {frames}: the audio has {len(heard)}; give more audio, or ask for fewer frames")
    cut = heard[: sequences * frames].view(sequences, frames, -1)
    return Stack(name, _size(model.encoder), lambda given, lengths: model.encode(given, lengths)[0], cut)


def _size(layers: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layers.parameters())


def render(flows: Sequence[Flow]) -> Table:
    """A table for people: norms relative to k = 0, and where they fade; later inputs have a row of their own."""
    table = Table(
        title=f"|d output(t) / d input(t - k)| relative to k = 0, and the k at which it is below {FADED:.0%}",
        title_justify="left",
        box=None,
    )
    for heading in ("", "parameters", "inputs", "norm, k = 0", *map(str, LAGS), f"< {FADED:.0%}"):
        table.add_column(heading, justify="right" if heading not in ("", "inputs") else "left")
    for flow in flows:
        table.add_row(flow.stack.name, f"{flow.stack.parameters:,}", "before", *_row(flow.past))
        if flow.sees_the_future:
            table.add_row("", "", "after", *_row(flow.future))
    return table


def _row(norms: Sequence[float]) -> list[str]:
    shares = [f"{norms[k] / norms[0]:.2g}" if k < len(norms) else "" for k in LAGS]
    fade = fades_at(norms)
    return [f"{norms[0]:.3g}", *shares, f"> {len(norms) - 1}" if fade is None else str(fade)]


def draw(flows: Sequence[Flow], path: Path) -> None:
    """A picture of relative norms against k, a line for each; inputs after the output lie left of 0.

    Args:
        flows: at least one.
        path: of the picture; its ending says in which format. It is written beside its place and then renamed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    for flow in flows:
        norms = [*reversed(flow.future[1:]), *flow.past] if flow.sees_the_future else flow.past
        first = len(flow.past) - len(norms)
        # what has vanished entirely has no place on a logarithmic scale
        shares = [norm / flow.past[0] if norm else math.nan for norm in norms]
        axes.plot(range(first, len(flow.past)), shares, label=flow.stack.name)
    axes.axhline(FADED, color="grey", linewidth=1, linestyle="dotted")
    axes.set(
        title="|d output(t) / d input(t - k)|, relative to k = 0",
        xlabel="k, frames",
        yscale="log",
        ylim=(1e-6, None),
    )
    axes.grid(alpha=0.3)
    axes.legend()
    save_picture(figure, path)
