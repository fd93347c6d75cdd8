"""Manifests of many lines: the time to open one, the memory it takes, and the time to the first batch.

    python tests/benchmarks/manifest.py FILE ours|json      # opens it, and tells what the table is made of

The peer is what most toolkits do: `json.loads` of every line, all of them kept.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import an4
import numpy as np
import soundfile
from harness import Report, duration, peak_mebibytes

LINES = (10_000, 100_000, 1_000_000)


def write(path: Path, lines: int) -> None:
    """A manifest that names one recording again and again, the first part of it, of AN4's lengths."""
    longest = round(max(seconds for seconds, _ in an4.LENGTHS) * an4.SAMPLE_RATE)
    soundfile.write(path.with_suffix(".wav"), np.zeros(longest), an4.SAMPLE_RATE)
    random = np.random.default_rng(0)
    durations = np.array([seconds for seconds, _ in an4.LENGTHS])[random.integers(len(an4.LENGTHS), size=lines)]
    with path.open("w", encoding="utf-8") as file:
        for number, seconds in enumerate(durations.tolist()):
            record = {"audio_filepath": f"{path.stem}.wav", "duration": seconds, "text": "and so it is written"}
            file.write(json.dumps(record | {"speaker": f"s{number % 997}", "id": f"u{number}"}) + "\n")


def ours(path: Path) -> tuple[float, float, float]:
    """Seconds to open, seconds from there to the first batch, and mebibytes gained meanwhile."""
    from asr.config import TextConfig
    from asr.dataset import BatchSampler, Manifest, SpeechDataset, loader
    from asr.text import CharTokenizer, Normalizer

    before, began = peak_mebibytes(), time.perf_counter()
    opened = Manifest(path)
    middle = time.perf_counter()
    dataset = SpeechDataset(opened, CharTokenizer(an4.LETTERS), Normalizer(TextConfig()), an4.SAMPLE_RATE)
    plan = BatchSampler(opened.durations, 60.0, seed=0).batches(0)
    next(iter(loader(dataset, plan, 0)))
    return middle - began, time.perf_counter() - middle, peak_mebibytes() - before


def plain(path: Path) -> tuple[float, float, float]:
    """The same of the peer, which has no batches."""
    before, began = peak_mebibytes(), time.perf_counter()
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    took = time.perf_counter() - began
    assert records
    return took, 0.0, peak_mebibytes() - before


SYSTEMS = {"ours": ours, "json": plain}


def compare(report: Report, lines: Sequence[int], rounds: int, picture: Path) -> None:
    """Open manifests of these sizes, each time in a fresh process, and draw the curves."""
    rows, curves = [], dict[str, list[tuple[float, ...]]]()
    with an4.work_folder() as name:
        for count in lines:
            path = Path(name) / "lines.jsonl"
            write(path, count)
            found = {system: [_measured(path, system) for _ in range(rounds)] for system in SYSTEMS}
            opened = {system: [each[0] for each in runs] for system, runs in found.items()}
            report.add(f"manifest-open-{count}", "json", 1, opened["ours"], opened["json"])
            for system, runs in found.items():
                opening, first, memory = np.median(runs, axis=0).tolist()
                curves.setdefault(system, []).append((opening, first, memory))
                batch = duration(first) if first else ""
                rows.append([f"{count:,}", system, duration(opening), batch, f"{memory:.0f} MiB"])
    report.table("manifest", ["lines", "", "open", "first batch after", "memory gained"], rows)
    draw(lines, curves, picture)
    report.say(f"\n![Time and memory as a manifest grows]({picture.name})")


def draw(lines: Sequence[int], curves: Mapping[str, Sequence[tuple[float, ...]]], path: Path) -> None:
    """A picture of time and memory over the number of lines.

    Args:
        lines: the sizes.
        curves: by system, for each size seconds to open, seconds from there to the first batch (0 without one), and
            mebibytes gained.
        path: an SVG file.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    for system, points in curves.items():
        opening, first, gained = zip(*points, strict=True)
        seconds.plot(lines, opening, marker="o", label=f"{system}: open")
        if any(first):
            seconds.plot(lines, first, marker="o", linestyle="--", label=f"{system}: first batch after that")
        memory.plot(lines, gained, marker="o", label=system)
    seconds.set(title="seconds", xlabel="lines", xscale="log", yscale="log")
    memory.set(title="memory gained, MiB", xlabel="lines", xscale="log", yscale="log")
    for axes in (seconds, memory):
        axes.grid(alpha=0.3)
        axes.legend()
    with rc_context({"svg.hashsalt": "asr"}):
        figure.savefig(path, metadata={"Date": None})


def run(report: Report, folder: Path) -> None:
    """All sizes; the picture goes into a folder."""
    report.say("\n## Manifests\n\nOpening a manifest, and reading the first batch of 60 s of an epoch.")
    compare(report, LINES, rounds=2, picture=folder / "manifest.svg")


def _measured(path: Path, system: str) -> tuple[float, ...]:
    done = subprocess.run([sys.executable, __file__, str(path), system], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


if __name__ == "__main__":
    print(*SYSTEMS[sys.argv[2]](Path(sys.argv[1])))
