"""What augmentations do to an utterance: a picture of its spectrogram as it is, and after each of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr.audio import LogMel, SpecAugment, Warp, load, perturb
from asr.audio.features import mel_edges
from asr.config import AugmentConfig, FeatureConfig, Recipe
from asr.dataset import Manifest, Utterance
from asr.dataset.cache import WaveformCache
from asr.dataset.noise import Noises
from asr.errors import ConfigError, ManifestError
from asr.picture import save_picture
from asr.training.objective import spec_augment

AUGMENTATIONS = (
    ("concatenation_share",),
    ("speeds",),
    ("silence_seconds",),
    ("reverberation_share", "reverberation_seconds"),
    ("noise_share", "noise_snr_db", "noise"),
    ("gain_db",),
    ("vocal_tract",),
    ("time_warp_frames",),
    ("frequency_masks", "frequency_mask_bins"),
    ("time_masks", "time_mask_fraction"),
)
"""The settings of each, in the order in which they are made. It is off while one of them is 0 or empty."""
OFF = AugmentConfig(speeds=(), frequency_masks=0, time_masks=0)
STRENGTHS = AugmentConfig(
    concatenation_share=0.5,
    silence_seconds=0.5,
    reverberation_share=0.5,
    gain_db=6.0,
    vocal_tract=0.1,
    time_warp_frames=40,
)
"""What is shown of augmentations that a recipe does not turn on; noise is not among them, as it has to be recorded."""
TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000)


@dataclass(frozen=True)
class Panel:
    """One spectrogram of the picture."""

    title: str
    features: Tensor
    """(frames, bins)."""


def draw_augmentations(
    recipe: Recipe, manifest: Manifest, picture: Path, name: str | None = None, everything: bool = False
) -> list[str]:
    """Draw one utterance as it is, after each augmentation of a recipe by itself, and after all of them.

    Args:
        recipe: its features and augmentations; what happens to a share of the utterances happens to this one.
        manifest: where the utterance is, and the next one, which stands for those that may follow it.
        picture: the file to write, in the format that its ending names.
        name: the utterance's id; None is the first.
        everything: show what the recipe does not turn on too.

    Returns:
        What a person should know about the picture.

    Raises:
        ConfigError: the recipe turns nothing on, or the picture cannot be written.
        ManifestError: there is no such utterance, or a manifest of noises is wrong.
        AudioError: the recording or a noise cannot be read.
    """
    config = spec_augment(recipe).config
    notes = []
    if everything:
        config = _with_everything(config)
        if not config.noise:
            notes.append("noise is left out: the recipe names no recordings of it; set augment.noise and noise_share")
    if config.gain_db:
        notes.append("gain_db changes nothing in this picture, each of whose panels is normalised by itself")
    if not any(_is_on(config, names) for names in AUGMENTATIONS):
        raise ConfigError("augment: the recipe turns no augmentation on; show what there is with --all")
    place = _find(manifest, name)
    utterance = manifest[place]
    follower = manifest[(place + 1) % len(manifest)] if len(manifest) > 1 else None
    if config.concatenation_share and follower is None:
        notes.append(f"concatenation is left out: {manifest.path} has one utterance only; add another")
    shown = list(panels(utterance, recipe.features, config, recipe.seed, follower))
    _draw(shown, recipe.features, utterance, picture)
    return notes


def panels(
    utterance: Utterance, features: FeatureConfig, config: AugmentConfig, seed: int, follower: Utterance | None = None
) -> Iterator[Panel]:
    """The panels of a picture, in their order.

    Args:
        utterance: what to show.
        features: how spectrograms are made. Statistics of a training set are not known here, so the utterance's own
            stand in for them.
        config: what to show of it; nothing happens by chance, but how far does.
        seed: what is random comes from it, the same for every panel.
        follower: what it is joined with; None leaves concatenation out.
    """
    if features.normalization == "global":
        features = features.model_copy(update={"normalization": "utterance"})
    if follower is None:
        config = config.model_copy(update={"concatenation_share": 0.0})
    spoken = [
        load(each.audio_filepath, features.sample_rate, each.offset, each.duration)
        for each in (utterance, follower)
        if each is not None
    ]
    noises = Noises(config.noise, features.sample_rate, WaveformCache(0)) if config.noise else None

    def augmented(chosen: AugmentConfig) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        waveform = torch.cat(spoken) if chosen.concatenation_share else spoken[0]
        return _features(perturb(waveform, features.sample_rate, chosen, generator, noises), features, chosen, seed)

    yield Panel("as it is", augmented(OFF))
    together: dict[str, Any] = {}
    for names in AUGMENTATIONS:
        if _is_on(config, names):
            values = {name: getattr(config, name) for name in names}
            for title, certain in _certain(values):
                yield Panel(title, augmented(OFF.model_copy(update=certain)))
                together |= certain
    yield Panel("all of them", augmented(OFF.model_copy(update=together)))


def _certain(values: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """An augmentation's settings so that it happens, and a title that says what they are; each speed by itself."""
    if "speeds" in values:
        for speed in values["speeds"]:
            if speed != 1.0:
                yield f"speeds = {speed:g}", {"speeds": (speed,)}
        return
    title = ", ".join(f"{name} = {_written(value)}" for name, value in values.items() if name != "noise")
    yield title, {name: 1.0 if name.endswith("_share") else value for name, value in values.items()}


def _written(value: Any) -> str:
    return f"[{', '.join(map(_written, value))}]" if isinstance(value, tuple) else f"{value:g}"


def _features(waveform: Tensor, features: FeatureConfig, config: AugmentConfig, seed: int) -> Tensor:
    """Of one waveform (samples,), augmented as a training does: (frames, bins)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values, lengths = LogMel(features)(waveform[None], torch.tensor([len(waveform)]))
        masked: Tensor = SpecAugment(config)(Warp(config, features)(values, lengths), lengths)
    return masked[0]


def _with_everything(config: AugmentConfig) -> AugmentConfig:
    off = [name for names in AUGMENTATIONS if not _is_on(config, names) for name in names]
    return config.model_copy(update={name: getattr(STRENGTHS, name) for name in off})


def _is_on(config: AugmentConfig, names: Sequence[str]) -> bool:
    if names == ("speeds",):
        return set(config.speeds) not in ({1.0}, set())
    return all(getattr(config, name) for name in names)


def _find(manifest: Manifest, name: str | None) -> int:
    for place, utterance in enumerate(manifest):
        if name in (None, utterance.id):
            return place
    raise ManifestError(f"{manifest.path}: no utterance is called {name}; the first one is {manifest[0].id}")


def _draw(shown: Sequence[Panel], features: FeatureConfig, utterance: Utterance, path: Path) -> None:
    from matplotlib.figure import Figure

    rows, bins = -(-len(shown) // 2), features.bins
    figure = Figure(figsize=(14, 0.6 + 2.1 * rows), layout="constrained")
    figure.suptitle(f"{utterance.id}: {utterance.text}" if utterance.text else utterance.id, parse_math=False)
    top_hz = features.high_hz or features.sample_rate / 2
    centres = mel_edges(bins, features.low_hz, top_hz)[1:-1]
    ticks = [hz for hz in TICKS_HZ if float(centres[0]) <= hz <= float(centres[-1])]
    low, high = torch.quantile(shown[0].features, torch.tensor([0.02, 0.998])).tolist()
    longest = max(len(panel.features) for panel in shown) * features.hop_seconds
    grid = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    for axes, panel in zip(grid, shown, strict=False):
        extent = (0.0, len(panel.features) * features.hop_seconds, -0.5, bins - 0.5)
        axes.imshow(
            panel.features.T.numpy(), origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap="magma"
        )
        axes.set_title(panel.title, fontsize="medium")
        axes.set(xlim=(0.0, longest), ylim=(-0.5, bins - 0.5))
        axes.set_yticks([int((centres < hz).sum()) for hz in ticks], [f"{hz / 1000:g} kHz" for hz in ticks])
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for axes in grid[: len(shown)][-2:]:  # the lowest of each column, even where the last place is empty
        axes.set_xlabel("seconds")
        axes.tick_params(labelbottom=True)
    save_picture(figure, path)
