"""All benchmarks in one run, ours beside the peers: tables in Markdown on stdout, comparisons in a JSON list.

    python tests/benchmarks [PART ...] [--bench FOLDER] [--output benchmarks.json]

`make benchmark` installs the peers and runs it; RESULTS.md says what came of it. A peer that is not installed is left
out, with a line that says so. The list holds the comparisons of this run and no others.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

# Before anything imports torch or numba: threads are chosen by each comparison, and are one elsewhere.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def parts(folder: Path | None, pictures: Path, utterances: int) -> dict[str, Callable[..., None]]:
    """What can be run, by name; `folder` holds texts, emissions and language models to use instead of made-up ones,
    `pictures` is where pictures go, and so many `utterances` are decoded.
    """
    import decoding
    import epoch
    import features
    import gpu
    import language_models
    import length
    import manifest
    import torch
    import training
    import transcription

    found = {
        "train-step": training.run,
        "train-epoch": epoch.run,
        "transcribe": transcription.run,
        "features": features.run,
        "decode": lambda report: decoding.run(report, folder, utterances),
        "lm": lambda report: language_models.run(report, folder),
        "manifest": lambda report: manifest.run(report, pictures),
        "length": length.run,
    }
    if torch.cuda.is_available():
        found["gpu"] = lambda report: gpu.run(report, torch.device("cuda"))
    return found


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to run, e.g. train-step; all by default")
    parser.add_argument("--bench", type=Path, help="folder with decoding/ and lm/ to use instead of made-up inputs")
    parser.add_argument(
        "--utterances", type=int, default=30, help="to decode; 200 take half an hour (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks.json"), help="the list (default: %(default)s)")
    options = parser.parse_args()

    from an4 import is_prepared
    from harness import Report, machine

    known = parts(options.bench, options.output.parent, options.utterances)
    if unknown := [name for name in options.parts if name not in known]:
        parser.error(f"no such part: {', '.join(unknown)}; choose among {', '.join(known)}")
    report, began = Report(), time.perf_counter()
    report.say(f"{machine()}.\n")
    report.say("One thread: seconds of CPU; more: seconds of wall time. Systems run in turn, round after round.")
    if not is_prepared():
        report.say("AN4 is not prepared (make prepare RECIPE=an4): recordings are noise of the same lengths.")
    for name in options.parts or known:
        known[name](report)
        report.write(options.output)
    report.say(f"\n{options.output}: {len(report.comparisons)} comparisons, {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
