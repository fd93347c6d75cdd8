"""The settings of a recogniser.

A recipe is a TOML file with one table per stage, in the order in which data flows; every key has a default except
`data.train`. `Recipe` is the whole file; a model bundle keeps the tables that inference needs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from asr.optimization import OptimizationConfig as OptimizationConfig
from asr.optimization import Precision as Precision
from asr.settings import Count, Fraction, LeastFirst, Names, NonNegative, Positive, PositiveCount, read_settings
from asr.settings import Settings as Settings
from asr.settings import parse_settings as parse_settings


class DataConfig(Settings):
    """Manifests, relative to the recipe file. `dev` steers early stopping; `test` is scored once, at the end."""

    train: Names = Field(min_length=1)
    dev: str | None = None
    test: str | None = None
    min_seconds: NonNegative = 0.1
    max_seconds: Positive = 30.0

    @model_validator(mode="after")
    def _seconds_in_order(self) -> Self:
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds {self.min_seconds} must be less than max_seconds {self.max_seconds}")
        return self


class FeatureConfig(Settings):
    """Log-mel spectrogram. Travels inside the model bundle, so training and inference cannot disagree."""

    sample_rate: Annotated[int, Field(ge=1000)] = 16000
    bins: PositiveCount = 80
    window_seconds: Positive = 0.025
    hop_seconds: Positive = 0.010
    low_hz: NonNegative = 20.0
    high_hz: Positive | None = None
    """Upper edge of the highest mel filter; None is half the sample rate."""
    normalization: Literal["utterance", "global", "none"] = "utterance"
    """Zero mean and unit variance per bin: over each utterance, or over the training set (what streaming needs)."""
    equalization: Literal["speaker", "none"] = "none"
    """Whether the long-term spectrum of each speaker, as manifests name them, is first made that of white noise (mean
    normalisation per speaker, as in Kaldi). For short utterances, with normalization = "global"."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        nyquist = self.sample_rate / 2
        if not self.low_hz < (self.high_hz or nyquist) <= nyquist:
            raise ValueError(f"need low_hz < high_hz <= {nyquist:g} (half of sample_rate)")
        if self.hop_seconds > self.window_seconds:
            raise ValueError("hop_seconds must not exceed window_seconds, or samples between windows are never seen")
        return self


class TextConfig(Settings):
    """How transcripts are normalised, always after Unicode NFC. Recorded in the bundle and named beside every score."""

    case: Literal["lower", "upper", "keep"] = "lower"
    punctuation: Literal["drop", "keep"] = "drop"
    """`drop` turns every punctuation mark and symbol into a space, except those in `keep` and hyphens inside words."""
    keep: str = "'"
    replace: dict[str, str] = Field(default_factory=dict)
    """Literal replacements, made first and in the given order, e.g. {"&" = " and "}."""
    drop: str = ""
    """Characters deleted without trace, e.g. combining marks that the corpus uses inconsistently; of composed
    characters ("é") they are no part."""


class TokenizerConfig(Settings):
    """The vocabulary. `characters` empty means: every character of the normalised training transcripts."""

    kind: Literal["char", "bpe"] = "char"
    characters: str = ""
    vocabulary_size: Annotated[int, Field(ge=8)] = 500
    """BPE only: number of pieces, the blank not counted."""
    dropout: Fraction = 0.0
    """BPE only: probability that a merge is left out of a training transcript, drawn anew every epoch (BPE-dropout:
    Provilkov et al. 2020, arXiv 1910.13267; 0.1 there). More tokens then need more frames."""

    @model_validator(mode="after")
    def _dropped_merges_are_of_bpe(self) -> Self:
        if self.dropout and self.kind != "bpe":
            raise ValueError('dropout is of merges, which only subwords have; set kind = "bpe", or dropout = 0')
        return self


class AugmentConfig(Settings):
    """Changes made to training audio only, in the order in which they are made: to waveforms, then to features. Masks
    and time warping are SpecAugment's (Park et al. 2019, arXiv 1904.08779).
    """

    concatenation_share: Fraction = 0.0
    """Share of utterances that another one of the training set follows, drawn anew every epoch, where both together
    stay within data.max_seconds (of sentences: Nguyen et al. 2021, arXiv 2105.01691)."""
    speeds: tuple[Positive, ...] = (0.9, 1.0, 1.1)
    """Each utterance is played at one of these speeds, drawn anew every epoch (Ko et al. 2015)."""
    silence_seconds: NonNegative = 0.0
    """Up to so many seconds as quiet as the utterance's quietest moment are put before it, and behind it."""
    reverberation_share: Fraction = 0.0
    """Share of utterances that are heard as in a room (Ko et al. 2017, "A study on data augmentation of reverberant
    speech for robust speech recognition")."""
    reverberation_seconds: Annotated[tuple[Positive, Positive], LeastFirst] = (0.2, 0.8)
    """Least and greatest reverberation time: until the room's sound has fallen by 60 dB."""
    noise: Names = ()
    """Manifests of noises, relative to the recipe file as those of `data` are; what their texts say does not matter."""
    noise_share: Fraction = 0.0
    """Share of utterances that noise is added to."""
    noise_snr_db: Annotated[tuple[float, float], LeastFirst] = (5.0, 20.0)
    """Least and greatest signal-to-noise ratio, in decibels of mean power."""
    gain_db: NonNegative = 0.0
    """Level varied by up to this many decibels, up or down; not heard where features are normalised by utterance."""
    vocal_tract: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Frequencies are scaled by a factor of up to so much less or more than 1, as by other lengths of the vocal tract
    (Jaitly & Hinton 2013, "Vocal tract length perturbation improves speech recognition"), e.g. 0.1."""
    time_warp_frames: Count = 0
    """A random moment of each utterance moves by up to so many frames, an eighth of them at most, and both sides are
    stretched or squeezed (Park et al. 2019), e.g. 40."""
    frequency_masks: Count = 2
    frequency_mask_bins: Count = 15
    time_masks: Count = 2
    time_mask_fraction: Fraction = 0.05
    """Longest time mask, as a share of the utterance's frames."""

    @model_validator(mode="after")
    def _noise_is_heard(self) -> Self:
        if bool(self.noise) != bool(self.noise_share):
            raise ValueError("noise and noise_share go together; set both, or neither")
        return self


class ModelConfig(Settings):
    """Convolutional subsampling, recurrent layers, CTC head."""

    subsampling: Literal[2, 3, 4] = 3
    """Feature frames for one that CTC sees, of 30 ms if they are of 10; words that are spelled out want short ones."""
    channels: PositiveCount = 32
    """Channels of the subsampling convolutions."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    bidirectional: bool = True
    layers: PositiveCount = 3
    units: PositiveCount = 256
    """Units of each recurrent layer, per direction."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    weight_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the recurrent weights that a training step does without: DropConnect on W_hh (Merity et al. 2018, arXiv
    1708.02182), one mask for a batch and all its frames; 0.5 there."""
    layer_drop: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability that a batch of training skips the last recurrent layer; it grows linearly with depth, from nearly
    none (stochastic depth: Huang et al. 2016, arXiv 1603.09382, eq. 4). 0.5 there, for over fifty layers."""
    lookahead_frames: Count = 0
    """Unidirectional only: subsampled frames of future that the lookahead convolution sees."""
    intermediate_layers: tuple[PositiveCount, ...] = ()
    """Layers, counted from 1, after which the head also reads the frames: intermediate CTC (Lee & Watanabe 2021)."""
    self_conditioned: bool = False
    """Add the posteriors of each intermediate layer to what the next one reads (Nozaki & Komatsu 2021)."""

    @model_validator(mode="after")
    def _lookahead_is_for_unidirectional(self) -> Self:
        if self.bidirectional and self.lookahead_frames:
            raise ValueError("lookahead_frames is for unidirectional models; a bidirectional one sees the whole future")
        return self

    @model_validator(mode="after")
    def _intermediate_layers_are_below_the_last(self) -> Self:
        chosen = self.intermediate_layers
        if chosen != tuple(sorted({layer for layer in chosen if layer < self.layers})):
            raise ValueError(f"intermediate_layers must rise and be less than layers, {self.layers}: the last has CTC")
        if self.self_conditioned and not chosen:
            raise ValueError("self_conditioned needs intermediate_layers, whose posteriors are fed back; name some")
        return self


class ObjectiveConfig(Settings):
    """What training minimises: CTC (Graves et al. 2006), and what is added to it. They combine; what is 0 is off."""

    consistency: NonNegative = 0.0
    """CR-CTC (Yao et al. 2025, arXiv 2410.05101): two views of each utterance, masked and dropped out differently,
    should agree. Weight of their divergence, 0.2 in the paper. A step takes twice as long."""
    consistency_mask_ratio: Annotated[float, Field(ge=1.0)] = 2.5
    """With consistency there are so many times augment.time_masks, as in the paper."""
    intermediate_weight: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the loss that is the mean CTC of model.intermediate_layers (Lee & Watanabe 2021, arXiv 2102.03216):
    0.3 in that paper, 0.5 for self-conditioned models (Nozaki & Komatsu 2021, arXiv 2104.02724)."""
    label_prior: NonNegative = 0.0
    """CTC of the last layer's posteriors divided by their running mean to this power. At 0.3 they are less peaky, and
    token times better (Huang et al. 2024, arXiv 2406.02560), which with recurrent layers they were not; towards 1
    blanks do not take over early (Zeyer et al. 2021, 2105.14849)."""
    confidence_penalty: NonNegative = 0.0
    """Weight of the divergence of posteriors from uniform (Pereyra et al. 2017, arXiv 1701.06548), e.g. 0.01."""


class TrainingConfig(OptimizationConfig):
    """Optimisation of a recogniser, and how its audio is read."""

    initial_model: str | None = None
    """A model bundle to begin with: its weights, its vocabulary, to which characters are added that transcripts have
    beside it, and what it knows of features, which are to be alike."""
    batch_seconds: Positive = 60.0
    """Seconds of audio in a batch, padding included."""
    workers: Count | None = None
    """Processes that read, decode and resample audio; 0 does it in this one, in a thread, which is best on two cores.
    None is a process for every four cores beyond two."""
    cache_gigabytes: NonNegative = 1.0
    """Memory for decoded audio of train, and as much of dev, where no such processes read it: nine hours a gigabyte at
    16 kHz. What does not fit is read again every epoch."""


class StatedConfig(Settings):
    """What the recipe's results say of it, for `asr train --verify`; training does not read it."""

    wer: Annotated[tuple[Fraction, Fraction], LeastFirst]
    """Least and most word error rate on data.test, as fractions."""


class Recipe(Settings):
    """One experiment."""

    seed: Count = 0
    data: DataConfig
    features: FeatureConfig = FeatureConfig()
    text: TextConfig = TextConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    stated: StatedConfig | None = None

    @model_validator(mode="after")
    def _stated_rates_are_of_a_test_set(self) -> Self:
        if self.stated is not None and self.data.test is None:
            raise ValueError("stated.wer is the error rate on data.test; name one, or remove stated")
        return self

    @model_validator(mode="after")
    def _intermediate_layers_are_trained(self) -> Self:
        if bool(self.model.intermediate_layers) != bool(self.objective.intermediate_weight):
            raise ValueError(
                "model.intermediate_layers and objective.intermediate_weight go together; set both, or neither"
            )
        return self

    @model_validator(mode="after")
    def _level_is_heard(self) -> Self:
        if self.augment.gain_db and self.features.normalization == "utterance":
            raise ValueError(
                "augment.gain_db does nothing where each utterance is normalised; set gain_db = 0, or "
                'features.normalization = "global"'
            )
        return self

    @model_validator(mode="after")
    def _patience_is_with_a_dev_set(self) -> Self:
        if self.training.patience is not None and self.data.dev is None:
            raise ValueError("training.patience waits for a better score on data.dev; name one, or remove patience")
        return self

    @model_validator(mode="after")
    def _views_differ(self) -> Self:
        augment = self.augment
        in_frames = augment.time_masks and augment.time_mask_fraction
        in_bins = augment.frequency_masks and augment.frequency_mask_bins
        if self.objective.consistency and not (in_frames or in_bins or self.model.dropout):
            raise ValueError(
                "objective.consistency compares views that differ; set augment.time_masks or model.dropout"
            )
        return self


FILES = {"data": ("train", "dev", "test"), "augment": ("noise",), "training": ("initial_model",)}
"""Settings that name files."""


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe; paths of files, relative to the file that names them, become relative to here.

    Args:
        path: a TOML file. It may begin with `base = "other.toml"`, and then says only what differs from that recipe;
            what that one states of itself (`stated`) does not hold for it.
        overrides: `table.key=value` each, the value as TOML writes it (a bare word is taken as a string); their paths
            are relative to here.

    Raises:
        ConfigError: a file is missing or not TOML, a key is unknown, or a value is impossible; names file and line.
    """
    return read_settings(Recipe, path, overrides, FILES, own=("stated",))
