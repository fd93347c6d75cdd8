"""The decoders that are compared: ours, and peers, each made for a beam size.

Peers' scores are base-10 logarithms, so their weight of the language model is ours times ln 10.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from simulation import CHARACTERS

from asr.decoding.beam import BeamSearch
from asr.lm import NgramModel
from asr.text import CharTokenizer

LM_WEIGHT, WORD_BONUS = 1.0, 1.5

Decode = Callable[[torch.Tensor], str]
"""Log-probabilities (frames, tokens) in, text out; `takes_probabilities` names who wants their exponentials."""
MakeDecoder = Callable[[int], Decode]
takes_probabilities = {"fast-ctc-decode"}


def ours(**options: Any) -> MakeDecoder:
    def make(beam_size: int) -> Decode:
        search = BeamSearch(CharTokenizer(CHARACTERS), beam_size, **options)
        return lambda log_probs: search(log_probs)[0].text

    return make


def fast_ctc_decode(beam_size: int) -> Decode:
    from fast_ctc_decode import beam_search

    alphabet = ["_", *CHARACTERS]
    return lambda probabilities: beam_search(
        probabilities.numpy(), alphabet, beam_size=beam_size, beam_cut_threshold=0.0067
    )[0]


def pyctcdecode(**options: Any) -> MakeDecoder:
    def make(beam_size: int) -> Decode:
        from pyctcdecode import build_ctcdecoder

        if "kenlm_model_path" in options:
            import kenlm  # noqa: F401  pyctcdecode goes on without it, and without language model

        decoder = build_ctcdecoder(["", *CHARACTERS], **options)
        return lambda log_probs: str(decoder.decode(log_probs.numpy(), beam_width=beam_size))

    return make


def flashlight(beam_size: int) -> Decode:
    from flashlight.lib.text.decoder import CriterionType, LexiconFreeDecoder, LexiconFreeDecoderOptions, ZeroLM

    options = LexiconFreeDecoderOptions(
        beam_size=beam_size,
        beam_size_token=10,
        beam_threshold=10.0,
        lm_weight=0.0,
        sil_score=0.0,
        log_add=True,
        criterion_type=CriterionType.CTC,
    )
    decoder = LexiconFreeDecoder(options, ZeroLM(), CHARACTERS.index(" ") + 1, 0, [])

    def decode(log_probs: torch.Tensor) -> str:
        frames = numpy.ascontiguousarray(log_probs.numpy())
        tokens = numpy.array(decoder.decode(frames.ctypes.data, *frames.shape)[0].tokens)
        tokens = tokens[numpy.append(True, tokens[1:] != tokens[:-1])]
        return "".join(CHARACTERS[token - 1] for token in tokens if token > 0)

    return decode


def torchaudio_lexicon(lexicon: Path, arpa: Path, **options: Any) -> MakeDecoder:
    def make(beam_size: int) -> Decode:
        from torchaudio.models.decoder import ctc_decoder

        decoder = ctc_decoder(
            lexicon=str(lexicon),
            tokens=["-", *CHARACTERS.replace(" ", "|")],
            lm=str(arpa),
            beam_size=beam_size,
            lm_weight=LM_WEIGHT * math.log(10),
            word_score=WORD_BONUS,
            blank_token="-",
            sil_token="|",
            **options,
        )

        def decode(log_probs: torch.Tensor) -> str:
            found = decoder(log_probs[None])[0]
            return " ".join(found[0].words) if found else ""

        return decode

    return make


def groups(model: NgramModel, arpa: Path, work: Path) -> dict[str, tuple[MakeDecoder, dict[str, MakeDecoder]]]:
    """Ours and its peers, by what the language knows: nothing, a 3-gram, a 3-gram and a lexicon.

    Args:
        model: the 3-gram.
        arpa: the same, for the peers.
        work: where the peers' lexicon is written.
    """
    known = set(CHARACTERS) - {" "}
    words: Sequence[str] = [word for word in model.vocabulary if known.issuperset(word)]
    lexicon = work / "lexicon.txt"
    lexicon.write_text("".join(f"{word} {' '.join(word)} |\n" for word in words), encoding="utf-8")
    fusion = {"lm": model, "lm_weight": LM_WEIGHT, "word_bonus": WORD_BONUS}
    return {
        "": (
            ours(),
            {"fast-ctc-decode": fast_ctc_decode, "flashlight-text": flashlight, "pyctcdecode": pyctcdecode()},
        ),
        "lm": (ours(**fusion), {"pyctcdecode": pyctcdecode(kenlm_model_path=str(arpa), unigrams=words)}),
        "lexicon-lm": (
            ours(lexicon=words, **fusion),
            {
                "torchaudio-pruned": torchaudio_lexicon(lexicon, arpa, beam_threshold=10, beam_size_token=10),
                "torchaudio-wide": torchaudio_lexicon(lexicon, arpa, beam_threshold=50),
            },
        ),
    }
