"""Which arithmetic a device is good at."""

from typing import Literal

import torch

from asr.config import Precision


def choose_precision(wanted: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """The precision asked for; `auto` is bf16 where the device multiplies it in hardware, fp32 elsewhere.

    Weights, optimizer, features, log-probabilities and loss are float32 in either.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
    return "fp32"
