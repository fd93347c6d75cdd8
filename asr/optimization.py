"""Settings of optimisation, of whatever is trained: recognisers and language models."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from asr.settings import Count, NonNegative, Positive, PositiveCount, Settings

Precision = Literal["auto", "fp32", "bf16"]
"""What products are computed in: `auto` is bf16 where the device multiplies it in hardware, fp32 elsewhere. Where it
cannot even emulate it, as CPUs without AVX-512, `bf16` is fp32 too."""


class OptimizationConfig(Settings):
    """Optimisation, of whatever is trained."""

    epochs: PositiveCount = 60
    accumulate: PositiveCount = 1
    """Batches per optimizer step."""
    learning_rate: Positive = 2e-3
    final_learning_rate: NonNegative = 1e-5
    warmup_steps: Count = 200
    """Steps in which the rate rises to learning_rate; at most a tenth of the training."""
    weight_decay: NonNegative = 0.01
    clip_norm: Positive = 5.0
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    """Exponential moving average of the weights, the model that is scored and kept; 0 turns it off."""
    average_checkpoints: Count = 0
    """Average so many best epochs (without dev: last ones) at the end; keep that if better (Vaswani et al. 2017)."""
    precision: Precision = "auto"
    patience: PositiveCount | None = None
    """Stop after this many evaluations on dev without a better score; None never stops early."""
    evaluate_every: PositiveCount = 1
    """Epochs between evaluations on dev."""
    checkpoint_seconds: Positive = 300.0
    """A checkpoint is written at least this often, and at the end of every epoch."""

    @model_validator(mode="after")
    def _rate_falls(self) -> Self:
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate {self.final_learning_rate:g} must not exceed learning_rate {self.learning_rate:g}"
            )
        return self
