"""Log-probabilities in, text out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asr.machine_code import discard_stale
from asr.rooms import Room

if TYPE_CHECKING:
    from asr.decoding.align import align as align
    from asr.decoding.beam import BeamSearch as BeamSearch
    from asr.decoding.beam import SearchState as SearchState
    from asr.decoding.decoder import DecodingOptions as DecodingOptions
    from asr.decoding.decoder import build_decoder as build_decoder
    from asr.decoding.greedy import greedy as greedy
    from asr.decoding.hotwords import parse_hotword as parse_hotword
    from asr.decoding.hotwords import read_hotwords as read_hotwords
    from asr.decoding.hypothesis import Hypothesis as Hypothesis
    from asr.decoding.hypothesis import TokenSpan as TokenSpan
    from asr.decoding.lexicon import read_lexicon as read_lexicon
    from asr.decoding.phrases import Phrases as Phrases
    from asr.decoding.phrases import balance as balance
    from asr.decoding.phrases import read_phrases as read_phrases
    from asr.decoding.words import timed as timed
    from asr.decoding.words import words as words

discard_stale(Path(__file__).parent)

_HOME = {
    "BeamSearch": "asr.decoding.beam",
    "DecodingOptions": "asr.decoding.decoder",
    "Hypothesis": "asr.decoding.hypothesis",
    "Phrases": "asr.decoding.phrases",
    "SearchState": "asr.decoding.beam",
    "TokenSpan": "asr.decoding.hypothesis",
    "align": "asr.decoding.align",
    "balance": "asr.decoding.phrases",
    "build_decoder": "asr.decoding.decoder",
    "greedy": "asr.decoding.greedy",
    "parse_hotword": "asr.decoding.hotwords",
    "read_hotwords": "asr.decoding.hotwords",
    "read_lexicon": "asr.decoding.lexicon",
    "read_phrases": "asr.decoding.phrases",
    "timed": "asr.decoding.words",
    "words": "asr.decoding.words",
}
__all__ = [
    "BeamSearch",
    "DecodingOptions",
    "Hypothesis",
    "Phrases",
    "SearchState",
    "TokenSpan",
    "align",
    "balance",
    "build_decoder",
    "greedy",
    "parse_hotword",
    "read_hotwords",
    "read_lexicon",
    "read_phrases",
    "timed",
    "words",
]

sys.modules[__name__].__class__ = Room
