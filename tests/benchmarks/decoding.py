"""Beam search beside its peers on simulated emissions: milliseconds of CPU per utterance, and error rates.

    OMP_NUM_THREADS=1 python tests/benchmarks/decoding.py FOLDER [--utterances 50] [--beams 10,50,100] [--rounds 3]

FOLDER (or the environment variable ASR_BENCH_DECODING) holds refs.txt, lm3.arpa.gz and emissions.npz, which
`python make_emissions.py --save` writes there. Peers that are not installed are left out with a line that says so:

    pip install --no-deps fast-ctc-decode pyctcdecode pygtrie flashlight-text kenlm

Every utterance is decoded by one system after the other, so that a slow moment of the machine strikes all alike. Times
are CPU seconds of one thread, medians over the rounds of the mean over utterances. fast-ctc-decode is given
probabilities, whose making is not timed; all others take log-probabilities. Peers' scores are base-10 logarithms, so
their weight of the language model is ours times ln 10.
"""

import argparse
import contextlib
import gzip
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy
import torch

import asr.lm
from asr.decoding.beam import BeamSearch
from asr.evaluation import score
from asr.text import CharTokenizer

CHARACTERS = "abcdefghijklmnopqrstuvwxyz '"
SETS = ("char_peaky", "char_flat")
LM_WEIGHT, WORD_BONUS = 1.0, 1.5

Decode = Callable[[torch.Tensor], str]
Make = Callable[[int], Decode]
"""A system, made for a beam size."""


def ours(**options: Any) -> Make:
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


def pyctcdecode(**options: Any) -> Make:
    def make(beam_size: int) -> Decode:
        from pyctcdecode import build_ctcdecoder

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


def torchaudio_lexicon(lexicon: Path, arpa: Path, **options: Any) -> Make:
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


def systems(folder: Path, work: Path) -> dict[str, Make]:
    """What is compared, by name; the first of each group is ours."""
    model = asr.lm.load(folder / "lm3.arpa.gz")
    arpa, lexicon = work / "lm3.arpa", work / "lexicon.txt"
    with gzip.open(folder / "lm3.arpa.gz") as source, arpa.open("wb") as target:
        shutil.copyfileobj(source, target)
    known = set(CHARACTERS) - {" "}
    words = [word for word in model.vocabulary if known.issuperset(word)]
    lexicon.write_text("".join(f"{word} {' '.join(word)} |\n" for word in words))
    fusion = {"lm": model, "lm_weight": LM_WEIGHT, "word_bonus": WORD_BONUS}
    return {
        "ours": ours(),
        "fast-ctc-decode": fast_ctc_decode,
        "flashlight-text": flashlight,
        "pyctcdecode": pyctcdecode(),
        "ours, lexicon + 3-gram": ours(lexicon=words, **fusion),
        "torchaudio, pruned": torchaudio_lexicon(lexicon, arpa, beam_threshold=10, beam_size_token=10),
        "torchaudio, wide": torchaudio_lexicon(lexicon, arpa, beam_threshold=50),
        "ours, 3-gram": ours(**fusion),
        "pyctcdecode, 3-gram": pyctcdecode(kenlm_model_path=str(arpa), unigrams=words),
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what peers print from C++ while they load."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)


def compare(makers: dict[str, Make], beam_size: int, utterances: list[torch.Tensor], rounds: int) -> dict[str, Any]:
    """Texts, and milliseconds of CPU per utterance, of each system that is installed."""
    decoders: dict[str, Decode] = {}
    prepared = [{"fast-ctc-decode": log_probs.exp()} for log_probs in utterances]
    for name, make in makers.items():
        try:
            with quiet():
                decoders[name] = make(beam_size)
                decoders[name](prepared[0].get(name, utterances[0]))  # compiles, or reads from the cache
        except ImportError as error:
            print(f"{name}: left out ({error})")
    spent: dict[str, list[float]] = {name: [] for name in decoders}
    texts: dict[str, list[str]] = {}
    for _ in range(rounds):
        total = dict.fromkeys(decoders, 0.0)
        texts = {name: [] for name in decoders}
        for log_probs, special in zip(utterances, prepared, strict=True):
            for name, decode in decoders.items():
                begin = time.process_time()
                text = decode(special.get(name, log_probs))
                total[name] += time.process_time() - begin
                texts[name].append(text)
        for name, seconds in total.items():
            spent[name].append(1000 * seconds / len(utterances))
    return {name: (median(spent[name]), texts[name]) for name in decoders}


def threads_ratio(search: BeamSearch, utterances: list[torch.Tensor]) -> float:
    """How much sooner two threads finish a batch than one, by the clock."""
    lengths = torch.tensor([len(utterance) for utterance in utterances])
    batch = torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True)
    ratios = []
    for _ in range(5):
        begin = time.perf_counter()
        search.batch(batch, lengths, threads=1)
        middle = time.perf_counter()
        search.batch(batch, lengths, threads=2)
        ratios.append((middle - begin) / (time.perf_counter() - middle))
    return max(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("ASR_BENCH_DECODING"))
    parser.add_argument("--utterances", type=int, default=50)
    parser.add_argument("--beams", default="10,50,100")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.folder is None or not (Path(options.folder) / "emissions.npz").exists():
        print(f"skipped: no emissions.npz in {options.folder}; run `python make_emissions.py --save` there")
        return
    torch.set_num_threads(1)
    folder = Path(options.folder)
    emissions = numpy.load(folder / "emissions.npz")
    references = (folder / "refs.txt").read_text().split("\n")[: options.utterances]
    with tempfile.TemporaryDirectory() as work:
        makers = systems(folder, Path(work))
        for kind in SETS:
            utterances = [torch.from_numpy(emissions[f"{kind}_{index:03d}"]) for index in range(len(references))]
            for beam_size in map(int, options.beams.split(",")):
                print(f"\n{kind}, beam {beam_size}: ms per utterance, times ours, WER %, CER %")
                rival = 1.0
                for name, (cost, texts) in compare(makers, beam_size, utterances, options.rounds).items():
                    rival = cost if name.startswith("ours") else rival
                    rates = score(references, texts)
                    print(
                        f"  {name:24s} {cost:8.2f} {cost / rival:6.1f}x {100 * rates.wer:6.2f} {100 * rates.cer:6.2f}",
                        flush=True,
                    )
            search = BeamSearch(CharTokenizer(CHARACTERS), 50)
            print(f"  two threads, beam 50, no language model: {threads_ratio(search, utterances):.2f}x")


if __name__ == "__main__":
    main()
