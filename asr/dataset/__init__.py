"""Manifests in, batches out."""

import sys
from typing import TYPE_CHECKING

from asr.rooms import Room

if TYPE_CHECKING:
    from asr.dataset.batches import Batch as Batch
    from asr.dataset.batches import BatchSampler as BatchSampler
    from asr.dataset.batches import collate as collate
    from asr.dataset.batches import loader as loader
    from asr.dataset.check import CheckReport as CheckReport
    from asr.dataset.check import output_frames as output_frames
    from asr.dataset.examples import Example as Example
    from asr.dataset.examples import SpeechDataset as SpeechDataset
    from asr.dataset.manifest import Manifest as Manifest
    from asr.dataset.manifest import Utterance as Utterance
    from asr.dataset.manifest import write_manifest as write_manifest

_HOME = {
    "Batch": "asr.dataset.batches",
    "BatchSampler": "asr.dataset.batches",
    "CheckReport": "asr.dataset.check",
    "Example": "asr.dataset.examples",
    "Manifest": "asr.dataset.manifest",
    "SpeechDataset": "asr.dataset.examples",
    "Utterance": "asr.dataset.manifest",
    "collate": "asr.dataset.batches",
    "loader": "asr.dataset.batches",
    "output_frames": "asr.dataset.check",
    "write_manifest": "asr.dataset.manifest",
}
__all__ = [
    "Batch",
    "BatchSampler",
    "CheckReport",
    "Example",
    "Manifest",
    "SpeechDataset",
    "Utterance",
    "collate",
    "loader",
    "output_frames",
    "write_manifest",
]

sys.modules[__name__].__class__ = Room
