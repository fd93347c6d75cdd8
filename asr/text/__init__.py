"""Text in, tokens out: normalisation, then characters or subwords, and no character lost unseen."""

import sys
from typing import TYPE_CHECKING

from asr.rooms import Room

if TYPE_CHECKING:
    from asr.text.normalize import Normalizer as Normalizer
    from asr.text.tokenizer import BpeTokenizer as BpeTokenizer
    from asr.text.tokenizer import CharTokenizer as CharTokenizer
    from asr.text.tokenizer import Tokenizer as Tokenizer
    from asr.text.tokenizer import build_tokenizer as build_tokenizer
    from asr.text.tokenizer import check_coverage as check_coverage
    from asr.text.tokenizer import load_tokenizer as load_tokenizer
    from asr.text.tokenizer import required_frames as required_frames

_HOME = {
    "BpeTokenizer": "asr.text.tokenizer",
    "CharTokenizer": "asr.text.tokenizer",
    "Normalizer": "asr.text.normalize",
    "Tokenizer": "asr.text.tokenizer",
    "build_tokenizer": "asr.text.tokenizer",
    "check_coverage": "asr.text.tokenizer",
    "load_tokenizer": "asr.text.tokenizer",
    "required_frames": "asr.text.tokenizer",
}
__all__ = [
    "BpeTokenizer",
    "CharTokenizer",
    "Normalizer",
    "Tokenizer",
    "build_tokenizer",
    "check_coverage",
    "load_tokenizer",
    "required_frames",
]

sys.modules[__name__].__class__ = Room
