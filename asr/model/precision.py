"""Which arithmetic a device is good at."""

from typing import Literal

import torch

from asr.config import Precision


def choose_precision(wanted: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """The precision asked for; `auto` is bf16 where the device multiplies it in hardware, fp32 elsewhere.

    Where the device cannot run a model in bf16, it is fp32 that `bf16` is taken for: as exact, and faster than if it
    were emulated. Weights, optimizer, features, log-probabilities and loss are float32 in either.
    """
    if wanted == "bf16" and not runs_bf16(device):
        return "fp32"
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
    return "fp32"


def runs_bf16(device: torch.device) -> bool:
    """Whether every cell runs in bf16, be it emulated: on CPUs without AVX-512 oneDNN, if there, refuses the LSTM."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
