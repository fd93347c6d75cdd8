"""Which epoch's model to keep: what rules for it are worth to speakers who had no part in the choice.

    python tests/benchmarks/choice.py       # three trainings, a quarter of an hour each on one core

Trains the base of `ablation.py` on its 59 speakers and notes after each epoch how the averaged model reads each
utterance of the other 15. Then five of these, drawn again and again, choose an epoch by each rule, as dev would, and
the other ten say what that is worth. AN4's test set is not read. What is complete is not trained again.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import numpy
import torch
from ablation import CELLS, folder, write_split
from harness import Report
from numpy.typing import NDArray
from rich.console import Console

from asr.config import load_recipe
from asr.dataset import Manifest
from asr.decoding import greedy
from asr.evaluation import score, standard_error
from asr.model import Model, ctc_losses
from asr.training.speech import SpeechTask
from asr.training.task import DevScore
from asr.training.trainer import Trainer

CHOOSING = 5
"""Speakers who choose, as many as AN4's dev has."""
DRAWS = 300

Scores = NDArray[numpy.float64]
"""(epochs, utterances, 4): word errors, reference words, nats, tokens."""


class Recorded(SpeechTask):
    """Training of a recogniser that notes how every utterance of dev is read after each epoch, a line an epoch."""

    path: Path

    def evaluate(self, model: Model, device: torch.device, epoch: int) -> DevScore:
        found = {}
        with torch.inference_mode():
            for batch in self.inputs.load_dev():
                log_probs, lengths = model.log_probs(batch.waveforms, batch.lengths)
                nats, _ = ctc_losses(log_probs, lengths, batch.tokens, batch.token_lengths)
                read = [each.text for each in greedy(log_probs, lengths, self.inputs.tokenizer, model.frame_seconds)]
                errors = [each.errors for each in score(batch.texts, read).utterances]
                words = [len(text.split()) for text in batch.texts]
                rows = zip(errors, words, nats.tolist(), batch.token_lengths.tolist(), strict=True)
                found |= dict(zip(batch.ids, rows, strict=True))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        return DevScore(-epoch, 0.0, {})  # keeps whichever is last: nothing is chosen here


def record(seed: int, runs: Path) -> Path:
    """Train once; say where the readings of its epochs are."""
    run = folder("base", seed, runs)
    data = {"train": [str(runs / "train.jsonl")], "dev": str(runs / "scored.jsonl")}
    sets = [f"data.{name}={json.dumps(value)}" for name, value in data.items()]
    recipe = load_recipe(CELLS / "lstm.toml", [*sets, f"seed={seed}"])
    path = run / "epochs.jsonl"
    if not path.exists() or len(path.read_text(encoding="utf-8").splitlines()) < recipe.training.epochs:
        run.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        task = Recorded(recipe)
        task.path = path
        Trainer(task, run, Console(stderr=True)).run()
    return path


def wers(scores: Scores) -> NDArray[numpy.float64]:
    """Word error rate after each epoch."""
    return scores[:, :, 0].sum(axis=1) / scores[:, :, 1].sum(axis=1)


def losses(scores: Scores) -> NDArray[numpy.float64]:
    """Nats a token after each epoch."""
    return scores[:, :, 2].sum(axis=1) / scores[:, :, 3].sum(axis=1)


def near(scores: Scores) -> list[int]:
    """Epochs that are within their standard error of the lowest rate up to them."""
    rates = wers(scores)
    errors = [standard_error(*each[:, :2].T.astype(int).tolist()) for each in scores]
    return [n for n, rate in enumerate(rates) if rate - errors[n] <= rates[: n + 1].min()]


def smoothed(scores: Scores) -> NDArray[numpy.float64]:
    """Mean rate of each epoch, the two before and the two after, where there are any."""
    rates = wers(scores)
    return numpy.array([rates[max(0, n - 2) : n + 3].mean() for n in range(len(rates))])


RULES: dict[str, Callable[[Scores], int]] = {
    "lowest WER, then loss": lambda scores: int(numpy.lexsort((losses(scores), wers(scores)))[0]),
    "lowest mean WER of five epochs": lambda scores: int(smoothed(scores).argmin()),
    "lowest loss": lambda scores: int(losses(scores).argmin()),
    "lowest loss of those near the lowest WER": lambda scores: min(near(scores), key=lambda n: losses(scores)[n]),
    "the last of those near the lowest WER": lambda scores: near(scores)[-1],
    "the last": lambda scores: len(scores) - 1,
}


def judge(path: Path, speakers: dict[str, str], seed: int = 0) -> dict[str, tuple[float, float]]:
    """Of each rule, means over the draws: the rate of the speakers that did not choose, and the epoch."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    names = list(lines[0])
    scores = numpy.array([[line[name] for name in names] for line in lines])
    who, draw = numpy.array([speakers[name] for name in names]), random.Random(seed)
    drawn = [numpy.isin(who, draw.sample(sorted(set(who)), CHOOSING)) for _ in range(DRAWS)]
    found = {}
    for rule, choose in RULES.items():
        epochs = [choose(scores[:, mask]) for mask in drawn]
        rates = [wers(scores[:, ~mask])[epoch] for mask, epoch in zip(drawn, epochs, strict=True)]
        found[rule] = (float(mean(rates)), 1 + mean(epochs))
    return found


def row(rule: str, found: Sequence[dict[str, tuple[float, float]]]) -> list[str]:
    """The row of the table."""
    rates = [100 * each[rule][0] for each in found]
    return [
        rule,
        f"{mean(rates):.2f}",
        ", ".join(f"{rate:.2f}" for rate in rates),
        f"{mean(e[rule][1] for e in found):.1f}",
    ]


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="trainings")
    parser.add_argument("--runs", type=Path, default=Path("runs/choice"), help="folder to train in")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    runs = chosen.runs.absolute()
    write_split(runs)
    speakers = {each.id: each.speaker for each in Manifest(runs / "scored.jsonl")}
    found = [judge(record(seed, runs), speakers) for seed in range(chosen.seeds)]
    header = ("", "WER %", "of each seed", "epoch, mean")
    Report().table("Which epoch to keep, of 40", header, [row(rule, found) for rule in RULES])


if __name__ == "__main__":
    main()
