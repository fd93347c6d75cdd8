"""How fast n-gram models load, score and train, with KenLM beside them where it is installed.

    python tests/benchmarks/language_models.py TEXT      # trains a 3-gram; tells seconds, mebibytes before and at most

The texts are made up (`simulation`, and for training a longer one over 200,000 words), or, with BENCH=FOLDER, a novel:
FOLDER/lm/emma.txt, and for loading FOLDER/decoding/lm3.arpa.gz.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import simulation
from harness import Report, Run, duration, peak_mebibytes

from asr.lm import NgramModel, load, perplexity, train
from asr.lm.arpa import write_arpa
from asr.lm.ngram import BEGIN, END, score

FALLBACK = (0.5, 1.0, 1.5)
TRAINING_WORDS = 10_000_000


@numba.njit(cache=True)  # type: ignore[misc]
def score_all(nodes: Any, leaves: Any, words: Any, others: Any, choices: int) -> float:
    """After every word score so many other words, as a beam search does, then the word itself."""
    total, state, other = 0.0, BEGIN, 0
    for word in words:
        if word == BEGIN:
            state = BEGIN
            continue
        for _ in range(choices):
            total += score(nodes, leaves, state, others[other])[0]
            other = (other + 1) % len(others)
        log_prob, state = score(nodes, leaves, state, word)
        total += log_prob
    return total


def kenlm(arpa: Path) -> Any:
    """KenLM's model of an ARPA file."""
    from kenlm import Model

    return Model(str(arpa))


def loading(report: Report, arpa: Path, work: Path) -> None:
    """From ARPA beside KenLM, and from our own file."""
    load(arpa).save(work / "ngram.bin")
    report.compare(
        "lm-load-arpa", {"": lambda: lambda: load(arpa)}, {"kenlm": lambda: lambda: kenlm(arpa)}, seconds=5.0
    )
    report.compare("lm-map", {"": lambda: lambda: load(work / "ngram.bin")}, {}, seconds=1.0)
    report.say(f"\nOur file: {(work / 'ngram.bin').stat().st_size / 1e6:.1f} MB.")


def scoring(report: Report, model: NgramModel, arpa: Path, lines: list[str]) -> None:
    """The perplexity of a text, and single queries."""

    def theirs() -> Run:
        peer = kenlm(arpa)
        return lambda: sum(peer.score(line) for line in lines)

    words = sum(len(line.split()) + 1 for line in lines)
    report.compare("lm-perplexity", {"": lambda: lambda: perplexity(model, lines)}, {"kenlm": theirs}, per=words,
                   seconds=3.0)  # fmt: skip
    for name, given, likely, choices in queries(model, lines):
        report.compare(
            f"lm-query-{name}",
            {"": lambda given=given, likely=likely, choices=choices: lambda: score_all(
                model.nodes, model.leaves, given, likely, choices)},
            {},
            per=len(given) * (choices + 1),
            seconds=1.0,
        )  # fmt: skip


def queries(model: NgramModel, lines: list[str]) -> list[tuple[str, Any, Any, int]]:
    """Names of kinds of queries, the words asked for, others that are asked for before each, and how many of these."""
    vocabulary, random = model.vocabulary, np.random.default_rng(0)
    natural = np.array([word for line in lines for word in (BEGIN, *map(vocabulary.id, line.split()), END)])
    chances = 10.0 ** model.nodes["log10_prob"][END + 1 : len(vocabulary) + 1].astype(float)
    likely = random.choice(np.arange(END + 1, len(vocabulary) + 1), 1 << 18, p=chances / chances.sum())
    uniform = random.integers(END + 1, len(vocabulary) + 1, len(natural))
    return [("natural", natural, likely, 0), ("random", uniform, likely, 0), ("beam", natural, likely, 20)]


def write_text(path: Path, count: int) -> None:
    """Words of a Zipf distribution over 200 000; every second one is a frequent follower of the one before."""
    random = np.random.default_rng(0)
    chances = 1.0 / np.arange(1, 200_001)
    words = random.choice(len(chances), count, p=chances / chances.sum())
    followers = (words[:-1] * 7919 + random.zipf(1.7, count - 1) * 104_729) % len(chances)
    words[1::2] = followers[::2]
    with path.open("w", encoding="utf-8") as file:
        for begin in range(0, count, 20):
            file.write(" ".join(f"w{word}" for word in words[begin : begin + 20]) + "\n")


def training(report: Report, text: Path, work: Path, words: int) -> None:
    """A 3-gram of the text, and one of a large text in a process of its own, whose peak of memory is told."""
    report.compare("lm-train", {"": lambda: lambda: train(text, 3, fallback=FALLBACK)}, {}, seconds=2.0)
    write_text(work / "large.txt", words)
    done = subprocess.run(
        [sys.executable, __file__, str(work / "large.txt")], capture_output=True, text=True, check=True
    )
    seconds, before, peak = map(float, done.stdout.split())
    row = [f"{words:,}", duration(seconds), f"{peak:.0f} MiB", f"{before:.0f} MiB"]
    report.table("lm-train, large", ["words", "wall time", "peak memory", "of it before"], [row])


def run(report: Report, folder: Path | None) -> None:
    """Everything; `folder` is BENCH."""
    report.say("\n## Language models\n\nWord 3-grams; perplexity a word, queries a query.")
    with tempfile.TemporaryDirectory() as name:
        compare(report, folder, Path(name), 10_000, TRAINING_WORDS)


def compare(report: Report, folder: Path | None, work: Path, lines: int, words: int) -> None:
    """Load, score and train; of a text of so many lines and of one of so many words."""
    text = work / "text.txt"
    if folder:
        text = folder / "lm/emma.txt"
    else:
        random = np.random.default_rng(1)
        vocabulary = simulation.words(min(20_000, lines), random)
        text.write_text("\n".join(simulation.text(lines, vocabulary, random)) + "\n", encoding="utf-8")
    model, arpa = train(text, 3, fallback=FALLBACK), work / "text.arpa"
    write_arpa(model, arpa)
    loading(report, folder / "decoding/lm3.arpa.gz" if folder else arpa, work)
    scoring(report, model, arpa, text.read_text(encoding="utf-8").splitlines())
    training(report, text, work, words)


def tell(text: Path) -> None:
    before, began = peak_mebibytes(), time.perf_counter()
    train(text, 3, fallback=FALLBACK)
    print(time.perf_counter() - began, before, peak_mebibytes())


if __name__ == "__main__":
    tell(Path(sys.argv[1]))
