"""The learning rate as a function of how far the training is."""

import math

from asr.config import OptimizationConfig

WARMUP_SHARE = 0.1
"""Of the training, which warm-up takes at most: a short one would else end before its rate is reached."""


def learning_rate(step: int, progress: float, config: OptimizationConfig) -> float:
    """Linear warm-up in steps, or over `WARMUP_SHARE` of the training if that ends sooner, times a cosine from the
    peak to `final_learning_rate` (Loshchilov & Hutter 2017).

    Args:
        step: optimizer steps made so far.
        progress: share of the training done, in 0..1. The cosine follows this rather than steps, whose number is not
            known beforehand: buckets are drawn anew every epoch.
        config: peak, final rate and warm-up.

    Returns:
        The learning rate of the next step.
    """
    warmup = 1.0
    if config.warmup_steps:
        warmup = min(1.0, max((step + 1) / config.warmup_steps, progress / WARMUP_SHARE))
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    return warmup * (config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine)
