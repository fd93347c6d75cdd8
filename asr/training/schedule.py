"""The learning rate as a function of how far the training is."""

import math

from asr.config import OptimizationConfig


def learning_rate(step: int, progress: float, config: OptimizationConfig) -> float:
    """Linear warm-up in steps, then a cosine from the peak to `final_learning_rate` (Loshchilov & Hutter 2017).

    Args:
        step: optimizer steps made so far.
        progress: share of the training done, in 0..1. The cosine follows this rather than steps, whose number is not
            known beforehand: buckets are drawn anew every epoch.
        config: peak, final rate and warm-up.

    Returns:
        The learning rate of the next step.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    return warmup * (config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine)
