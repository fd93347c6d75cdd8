"""Features in, log-probabilities out: subsampling, recurrence, encoder, CTC head, and the bundle that holds them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asr.machine_code import discard_stale
from asr.rooms import Room

if TYPE_CHECKING:
    from asr.model.bundle import Bundle as Bundle
    from asr.model.bundle import Calibration as Calibration
    from asr.model.bundle import load_bundle as load_bundle
    from asr.model.bundle import save_bundle as save_bundle
    from asr.model.ctc import Model as Model
    from asr.model.ctc import ctc_losses as ctc_losses
    from asr.model.encoder import Encoder as Encoder
    from asr.model.recurrence import Recurrence as Recurrence
    from asr.model.subsampling import Subsampling as Subsampling

discard_stale(Path(__file__).parent)

_HOME = {
    "Bundle": "asr.model.bundle",
    "Calibration": "asr.model.bundle",
    "Encoder": "asr.model.encoder",
    "Model": "asr.model.ctc",
    "Recurrence": "asr.model.recurrence",
    "Subsampling": "asr.model.subsampling",
    "ctc_losses": "asr.model.ctc",
    "load_bundle": "asr.model.bundle",
    "save_bundle": "asr.model.bundle",
}
__all__ = [
    "Bundle",
    "Calibration",
    "Encoder",
    "Model",
    "Recurrence",
    "Subsampling",
    "ctc_losses",
    "load_bundle",
    "save_bundle",
]

sys.modules[__name__].__class__ = Room
