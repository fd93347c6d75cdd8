"""What single changes to one base recipe do to the word error rate: trainings of several seeds, and a table of them.

    python tests/benchmarks/ablation.py                     # everything, about ten hours on two cores
    python tests/benchmarks/ablation.py base consistency    # some rows

The base is recipes/an4/cells/lstm.toml: an LSTM of two million parameters and CTC alone. Training is on 59 speakers of
AN4's training set, scoring on the other 15, once, after the last epoch: three times as many as choose the epochs of
the recipes, so that less is left to chance. AN4's test set is not read. What is complete is not trained again, what was
stopped goes on; the table, in Markdown, holds the rows that are complete.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from harness import Report

from asr.dataset import Manifest, Utterance, write_manifest
from asr.evaluation.systems import System, compare_systems, read_system

ROOT = Path(__file__).resolve().parents[2]
CELLS = ROOT / "recipes/an4/cells"
MORE_SPEAKERS = 10
"""Training speakers that are heard in scoring only, beside the five of dev."""

WIDE = "augment.speeds=[0.85,0.9,0.95,1.0,1.05,1.1,1.15]"
EQUALIZED = "features.equalization=speaker features.normalization=global"
DEFAULT = f"{EQUALIZED} {WIDE} model.subsampling=3 model.dropout=0.3 objective.consistency=0.2"
SELF_CONDITIONED = "model.intermediate_layers=[2] model.self_conditioned=true objective.intermediate_weight=0.5"

ROWS = {
    "base": "",
    "twice as long": "training.epochs=80",
    "consistency": "objective.consistency=0.2",
    "equalization": EQUALIZED,
    "subsampling 3": "model.subsampling=3",
    "speeds, wide": WIDE,
    "recipe": DEFAULT,
    "recipe, self-conditioned": f"{DEFAULT} {SELF_CONDITIONED}",
    "recipe, masks none": f"{DEFAULT} augment.time_masks=0 augment.frequency_masks=0",
    "recipe, dropout 0.1": f"{DEFAULT} model.dropout=0.1",
    "intermediate": "model.intermediate_layers=[2] objective.intermediate_weight=0.3",
    "self-conditioned": SELF_CONDITIONED,
    "consistency, intermediate": (
        "objective.consistency=0.2 model.intermediate_layers=[2] objective.intermediate_weight=0.3"
    ),
    "label prior": "objective.label_prior=0.3",
    "confidence penalty": "objective.confidence_penalty=0.01",
    "gru": "",
    "rnn": "",
    "lstm-forward": "",
    "gru-forward": "",
    "rnn-forward": "",
    "rnn, not clipped": "training.clip_norm=1e9",
    "gru, rate 1e-3": "training.learning_rate=1e-3",
    "gru, rate 4e-3": "training.learning_rate=4e-3",
    "rnn, rate 1e-3": "training.learning_rate=1e-3",
    "subsampling 2": "model.subsampling=2",
    "dropout 0": "model.dropout=0.0",
    "dropout 0.3": "model.dropout=0.3",
    "weight dropout": "model.weight_dropout=0.2",
    "layer drop": "model.layer_drop=0.2",
    "speeds, none": "augment.speeds=[1.0]",
    "masks, none": "augment.time_masks=0 augment.frequency_masks=0",
    "vocal tract": "augment.vocal_tract=0.1",
    "time warp": "augment.time_warp_frames=40",
    "noise": f"augment.noise=[{json.dumps(str(ROOT / 'data/esc10/noise.jsonl'))}] augment.noise_share=0.3",
    "rooms": "augment.reverberation_share=0.3",
    "joined": "augment.concatenation_share=0.3",
    "silence": "augment.silence_seconds=0.3",
    "batches of 15 s": "training.batch_seconds=15.0",
    "batches of 60 s": "training.batch_seconds=60.0",
    "rate 1e-3": "training.learning_rate=1e-3",
    "rate 4e-3": "training.learning_rate=4e-3",
    "no average": "training.ema_decay=0.0",
    "best five averaged": "training.ema_decay=0.0 training.average_checkpoints=5 training.evaluate_every=2",
    "110 pieces": "tokenizer.kind=bpe tokenizer.vocabulary_size=110",
    "110 pieces, dropout": "tokenizer.kind=bpe tokenizer.vocabulary_size=110 tokenizer.dropout=0.1",
    "two layers": "model.layers=2",
    "four layers": "model.layers=4",
    "half the units": "model.units=80",
    "256 units": "model.units=256",
}
"""What each row sets; up to a comma it may be named as another recipe of recipes/an4/cells, which is then its base.

The best five are chosen, and their mean is, on the speakers that are scored: that can only make this row look better.
"""


def split(training: Iterable[Utterance], dev: Iterable[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances to train on and to score on: of dev, and of some speakers more, who are drawn by their names."""
    training = list(training)
    speakers = sorted(
        {each.speaker or "" for each in training}, key=lambda name: hashlib.sha256(name.encode()).digest()
    )
    held_out = set(speakers[:MORE_SPEAKERS])
    rest = [each for each in training if each.speaker not in held_out]
    return rest, [*dev, *(each for each in training if each.speaker in held_out)]


def write_split(runs: Path) -> None:
    """Write both manifests, train.jsonl and scored.jsonl."""
    runs.mkdir(parents=True, exist_ok=True)
    parts = split(*(Manifest(ROOT / f"data/an4/{name}.jsonl") for name in ("train", "dev")))
    for name, utterances in zip(("train", "scored"), parts, strict=True):
        write_manifest(runs / f"{name}.jsonl", utterances)


def train(row: str, seed: int, runs: Path) -> None:
    """Train a row once and score it: writes hypotheses.jsonl, last, into its folder."""
    run = folder(row, seed, runs)
    if (run / "hypotheses.jsonl").exists():
        return
    scored = runs.absolute() / "scored.jsonl"
    sets = ["training.evaluate_every=1000", *ROWS[row].split(), f"seed={seed}"]
    sets += [f"data.train=[{json.dumps(str(runs.absolute() / 'train.jsonl'))}]"]
    sets += [f"data.{name}={json.dumps(str(scored))}" for name in ("dev", "test")]
    run.mkdir(parents=True, exist_ok=True)
    flags = [flag for each in sets for flag in ("--set", each)]
    call(run, "train", str(recipe_of(row)), "--run", str(run), "--resume", *flags)
    call(run, "evaluate", str(run / "model"), str(scored), "--hypotheses", str(run / "hypotheses.jsonl"))


def recipe_of(row: str) -> Path:
    """The recipe that a row changes."""
    own = CELLS / f"{row.partition(',')[0]}.toml"
    return own if own.exists() else CELLS / "lstm.toml"


def call(run: Path, *arguments: str) -> None:
    """Run `asr` with one thread; what it says goes to a file."""
    said = run / f"{arguments[0]}.log"
    with said.open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [sys.executable, "-m", "asr", *arguments],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        lines = said.read_text(encoding="utf-8").splitlines() or [""]
        raise SystemExit(f"{said}: {lines[-1]}")


def folder(row: str, seed: int, runs: Path) -> Path:
    """Where a row is trained from a seed."""
    return runs / row.replace(",", "").replace(" ", "-") / str(seed)


def system(row: str, seeds: int, runs: Path) -> System | None:
    """The row's scored hypotheses, all seeds together; None while one is missing."""
    files = [folder(row, seed, runs) / "hypotheses.jsonl" for seed in range(seeds)]
    return read_system(",".join(map(str, files))) if all(file.exists() for file in files) else None


def line(row: str, found: System, base: System, runs: Path) -> list[str]:
    """The row of the table."""
    history = [
        [json.loads(line) for line in (folder(row, seed, runs) / "history.jsonl").read_text().splitlines()]
        for seed in range(len(found.runs))
    ]
    minutes = mean(duration(epochs) for epochs in history) / 60
    clipped = mean(epoch["clipped_share"] for epochs in history for epoch in epochs if "clipped_share" in epoch)
    loss = mean(epochs[-1]["dev_loss"] for epochs in history)
    wers = ", ".join(f"{100 * wer:.2f}" for wer in found.wers)
    told = [row, f"{100 * mean(found.wers):.2f}", wers, f"{loss:.3f}", f"{minutes:.1f}", f"{100 * clipped:.1f} %"]
    if found == base:
        return [*told, "", ""]
    compared = compare_systems(base, found)
    low, high = compared.interval
    verdict = "better" if high < 0 else "worse" if low > 0 else "not shown"
    return [*told, f"{100 * compared.difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})", verdict]


def duration(epochs: list[dict[str, float]]) -> float:
    """Seconds of a training, from its history: the median epoch's times their number, so that pauses do not count."""
    ends = [0.0, *(epoch["seconds"] for epoch in epochs)]
    return len(epochs) * median(end - begin for begin, end in pairwise(ends))


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all, or some of: {'; '.join(ROWS)}")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each row")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="folder to train in")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trainings at once, each with one thread")
    chosen = parser.parse_args()
    if unknown := set(chosen.rows) - ROWS.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    runs: Path = chosen.runs
    write_split(runs)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        tasks = [pool.submit(train, row, seed, runs) for row in chosen.rows or ROWS for seed in range(chosen.seeds)]
        try:
            for task in tasks:
                task.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    complete = {row: found for row in ROWS if (found := system(row, chosen.seeds, runs))}
    base = complete.get("base")
    if base is not None:
        header = ("", "WER %", "of each seed", "loss", "minutes", "clipped", "difference (95% interval)", "verdict")
        Report().table("Changes to the base", header, [line(row, each, base, runs) for row, each in complete.items()])


if __name__ == "__main__":
    main()
