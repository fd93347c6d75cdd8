"""How fast n-gram models load, score and train, with KenLM beside them where it is installed.

    OMP_NUM_THREADS=1 python tests/benchmarks/lm_speed.py FOLDER [--words 10_000_000]

FOLDER holds lm/emma.txt, lm/emma.3.arpa.gz, decoding/lm3.arpa.gz and decoding/refs.txt. Times are seconds of CPU of one
core, medians; compilation is timed by the first call and is cached on disk after that.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from asr.lm import NgramModel, load, perplexity, train
from asr.lm.ngram import BEGIN, END, score


def seconds(work: Callable[[], object], times: int = 5) -> float:
    found = []
    for _ in range(times):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return float(np.median(found))


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


def queries(model: NgramModel, lines: list[str]) -> None:
    vocabulary, random = model.vocabulary, np.random.default_rng(0)
    natural = np.array([word for line in lines for word in (BEGIN, *map(vocabulary.id, line.split()), END)] * 5)
    chances = 10.0 ** model.nodes["log10_prob"][END + 1 : len(vocabulary) + 1].astype(float)
    likely = random.choice(np.arange(END + 1, len(vocabulary) + 1), 1 << 18, p=chances / chances.sum())
    uniform = random.integers(END + 1, len(vocabulary) + 1, len(natural))
    score_all(model.nodes, model.leaves, natural[:9], likely, 1)
    for name, words, choices in (("natural text", natural, 0), ("random words", uniform, 0), ("beam", natural, 20)):
        took = seconds(
            lambda words=words, choices=choices: score_all(model.nodes, model.leaves, words, likely, choices)
        )  # type: ignore[misc]
        print(f"query, {name:<14} {took / len(words) / (choices + 1) * 1e9:8.0f} ns")


def against_kenlm(folder: Path) -> None:
    path, text = folder / "lm/emma.3.arpa.gz", folder / "lm/emma.txt"
    model = load(path)
    print(f"perplexity of emma.txt  {seconds(lambda: perplexity(model, text)):8.3f} s, {perplexity(model, text)}")
    try:
        import kenlm
    except ImportError:
        print("KenLM is not installed")
        return
    theirs = kenlm.Model(str(path))
    lines = text.read_text().splitlines()
    print(f"the same by KenLM       {seconds(lambda: sum(theirs.score(line) for line in lines)):8.3f} s")
    tokens = sum(len(line.split()) + 1 for line in lines)
    print(f"                        perplexity {10 ** (-sum(theirs.score(line) for line in lines) / tokens):.6f}")


def write_text(path: Path, count: int) -> None:
    """Words of a Zipf distribution over 200 000; every second one is a frequent follower of the one before."""
    random = np.random.default_rng(0)
    chances = 1.0 / np.arange(1, 200_001)
    free = random.choice(len(chances), count, p=chances / chances.sum())
    follower = (free[:-1] * 7919 + random.zipf(1.7, count - 1) * 104_729) % len(chances)
    words = free
    words[1::2] = follower[::2][: len(words[1::2])]
    with path.open("w") as file:
        for begin in range(0, count, 20):
            file.write(" ".join(f"w{word}" for word in words[begin : begin + 20]) + "\n")


def large(count: int) -> None:
    """Train on a large text, in a process of its own, whose peak of memory is told."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        write_text(path, count)
        subprocess.run([sys.executable, __file__, str(path), "--train"], check=True)


def train_and_tell(path: Path) -> None:
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    model = train(path, 3)
    took, peak = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"train 3-gram, {path.stat().st_size / 1e6:.0f} MB of text: {took:.1f} s of wall time, n-grams {model.counts}"
    )
    print(f"peak memory {peak / 1e6:.2f} GB, {base / 1e6:.2f} GB of it before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--words", type=int, default=10_000_000)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train_and_tell(arguments.folder)
        return
    emma, large_model = arguments.folder / "lm/emma.txt", arguments.folder / "decoding/lm3.arpa.gz"
    begin = time.perf_counter()
    load(arguments.folder / "lm/emma.3.arpa.gz")
    train(emma)
    print(f"first calls, compilation or its cache: {time.perf_counter() - begin:.1f} s")
    print(f"train 3-gram of emma.txt {seconds(lambda: train(emma)):7.3f} s")
    print(f"read {large_model.name}     {seconds(lambda: load(large_model), 3):8.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        load(large_model).save(Path(folder) / "ngram.bin")
        size = (Path(folder) / "ngram.bin").stat().st_size
        print(f"map it from its file    {seconds(lambda: load(folder)) * 1e3:8.2f} ms, {size / 1e6:.1f} MB")
        queries(load(folder), (arguments.folder / "decoding/refs.txt").read_text().splitlines())
    against_kenlm(arguments.folder)
    large(arguments.words)


if __name__ == "__main__":
    main()
