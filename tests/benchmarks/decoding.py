"""Beam search beside its peers on simulated emissions: time for an utterance, and error rates.

The inputs are made here (`simulation`), or, with BENCH=FOLDER, read from FOLDER/decoding: refs.txt, lm3.arpa.gz, and
emissions.npz with the arrays char_peaky_000, char_flat_000 and so on; if that is missing, `make_emissions.py --save`
there makes it.
"""

import gzip
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simulation
import torch
from decoders import Decode, MakeDecoder, groups, takes_probabilities
from harness import Report, Run

import asr.lm
from asr.decoding.beam import BeamSearch
from asr.evaluation import score
from asr.evaluation.rates import ErrorRates
from asr.lm import NgramModel
from asr.lm.arpa import write_arpa
from asr.text import CharTokenizer

BEAMS = 10, 50, 100
WORDS, LINES = 20_000, 40_000
"""Of the made-up vocabulary and text."""


@dataclass(frozen=True)
class Inputs:
    """What is decoded: log-probabilities by kind, what was said, and a 3-gram, for us and (as ARPA) for the peers."""

    emissions: dict[str, list[torch.Tensor]]
    references: list[str]
    model: NgramModel
    arpa: Path


def read(folder: Path, work: Path, utterances: int) -> Inputs:
    """Inputs from a folder; see above."""
    arpa, emissions = work / "lm3.arpa", folder / "emissions.npz"
    if not emissions.exists():
        shutil.copy(folder / "refs.txt", work)
        command = [sys.executable, str((folder / "make_emissions.py").absolute()), "--save"]
        subprocess.run(command, cwd=work, check=True, capture_output=True)
        emissions = work / "emissions.npz"
    with gzip.open(folder / "lm3.arpa.gz") as source, arpa.open("wb") as target:
        shutil.copyfileobj(source, target)
    with np.load(emissions) as arrays:
        found = {
            kind: [torch.from_numpy(arrays[f"char_{kind}_{number:03d}"]) for number in range(utterances)]
            for kind in simulation.VOICES
        }
    references = (folder / "refs.txt").read_text(encoding="utf-8").split("\n")[:utterances]
    return Inputs(found, references, asr.lm.load(arpa), arpa)


def make(work: Path, utterances: int, words: int = WORDS, lines: int = LINES) -> Inputs:
    """Inputs of our own; the 3-gram is trained on other lines than those spoken."""
    random, arpa = np.random.default_rng(0), work / "lm3.arpa"
    vocabulary = simulation.words(words, random)
    model = asr.lm.train(simulation.text(lines, vocabulary, random), 3, fallback=(0.5, 1.0, 1.5))
    write_arpa(model, arpa)
    references = list(simulation.text(utterances, vocabulary, random))
    found = {
        kind: [simulation.emissions(line, voice, random) for line in references]
        for kind, voice in simulation.VOICES.items()
    }
    return Inputs(found, references, model, arpa)


class Once:
    """Decoders, made once for each beam size: some take seconds to build."""

    def __init__(self, make: MakeDecoder) -> None:
        self.make, self.made = make, dict[int, Decode]()

    def __call__(self, beam_size: int) -> Decode:
        if beam_size not in self.made:
            self.made[beam_size] = self.make(beam_size)
        return self.made[beam_size]


def compare(report: Report, inputs: Inputs, work: Path, beams: Sequence[int], rounds: int) -> None:
    """Time all decoders on all emissions at every beam."""
    seconds = np.mean([len(each) for each in inputs.emissions["peaky"]]) * 0.02
    report.say(
        f"{len(inputs.references)} utterances of {seconds:.1f} s (50 frames a second); time for one. 3-gram of "
        f"{sum(inputs.model.counts):,} entries."
    )
    for language, (own, peers) in groups(inputs.model, inputs.arpa, work).items():
        once = {name: Once(make) for name, make in ({"ours": own} | peers).items()}
        for beam_size in beams:
            for kind, utterances in inputs.emissions.items():
                _compare(report, "-".join(filter(None, ("decode", kind, language, str(beam_size)))), once, beam_size,
                         utterances, inputs.references, rounds)  # fmt: skip


def _compare(
    report: Report,
    name: str,
    once: dict[str, Once],
    beam_size: int,
    utterances: Sequence[torch.Tensor],
    references: Sequence[str],
    rounds: int,
) -> None:
    texts: dict[str, list[str]] = {}
    probabilities = [each.exp() for each in utterances]

    def system(which: str) -> Callable[[], Run]:
        given = probabilities if which in takes_probabilities else utterances

        def build() -> Run:
            decode = once[which](beam_size)
            for each in given[: len(given) if which == "ours" else 1]:
                decode(each)  # compiles, or reads from the cache, and makes room

            def run() -> None:
                texts[which] = [decode(each) for each in given]

            return run

        return build

    def rates(which: str) -> ErrorRates:
        return score(references, texts[which])

    report.compare(
        name,
        {"": system("ours")},
        {which: system(which) for which in once if which != "ours"},
        per=len(utterances),
        seconds=1.0,
        rounds=rounds,
        warm_up=False,
        columns={
            "WER %": lambda which: f"{100 * rates(which).wer:.2f}",
            "CER %": lambda which: f"{100 * rates(which).cer:.2f}",
        },
    )


def threads(report: Report, utterances: Sequence[torch.Tensor], beam_size: int, rounds: int) -> None:
    """What a second thread gains in `BeamSearch.batch`, by the clock."""
    search = BeamSearch(CharTokenizer(simulation.CHARACTERS), beam_size)
    lengths = torch.tensor([len(utterance) for utterance in utterances])
    batch = torch.nn.utils.rnn.pad_sequence(list(utterances), batch_first=True)
    report.compare(
        f"decode-batch-{beam_size}",
        {"": lambda: lambda: search.batch(batch, lengths, threads=2)},
        {"ours-one-thread": lambda: lambda: search.batch(batch, lengths, threads=1)},
        threads=2,
        rounds=rounds,
        seconds=2.0,
        per=len(utterances),
    )


def run(report: Report, folder: Path | None, utterances: int) -> None:
    """Everything, on so many utterances; `folder` is BENCH."""
    report.say("\n## Decoding\n")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        inputs = read(folder / "decoding", work, utterances) if folder else make(work, utterances)
        compare(report, inputs, work, BEAMS, rounds=2)
        threads(report, inputs.emissions["flat"], 50, rounds=5)
