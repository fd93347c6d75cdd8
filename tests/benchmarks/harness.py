"""Timing ourselves and others side by side, and what is made of it: tables for people, a list for programs.

All systems of a comparison do the same work in turn, round after round, each round beginning with another one, so that
a slow moment of the machine strikes all alike. The first round compiles and fills caches and is not counted. With one
thread the clock counts seconds of this process' CPU, to which others mean little; with several, of wall time.
"""

import contextlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

Run = Callable[[], object]
"""Does the work once."""
Make = Callable[[], Run]
"""Builds a system; may raise whatever the lack of a package causes."""

MOST_ROUNDS = 200


@dataclass(frozen=True)
class Comparison:
    """Ours beside one peer; seconds are medians over the rounds, `ratio` is how many times longer the peer takes."""

    name: str
    peer: str
    threads: int
    ours_seconds: float
    peer_seconds: float
    ratio: float


class Report:
    """Collects comparisons, and prints a Markdown table of each as soon as it is measured.

    Args:
        quiet: print nothing.
        patience: multiplies the seconds that comparisons take; 0 makes the least number of rounds.
    """

    def __init__(self, quiet: bool = False, patience: float = 1.0) -> None:
        self.quiet, self.patience = quiet, patience
        self.comparisons: list[Comparison] = []

    def say(self, line: str = "") -> None:
        """Print a line at once."""
        if not self.quiet:
            print(line, flush=True)

    def compare(
        self,
        name: str,
        ours: Mapping[str, Make],
        peers: Mapping[str, Make],
        *,
        threads: int = 1,
        per: float = 1.0,
        seconds: float = 10.0,
        rounds: int = 3,
        warm_up: bool = True,
        columns: Mapping[str, Callable[[str], str]] | None = None,
    ) -> dict[str, list[float]]:
        """Time every one of ours beside every peer, and print the table.

        Args:
            name: what is done; a variant of ours adds its own name to it, "" adds none.
            ours: variants of ours.
            peers: whoever cannot be built or run is left out with a line that says why.
            threads: of torch.
            per: what one run does so many of, e.g. steps; times are given for one.
            seconds: the time after which no further round begins, once there have been `rounds`.
            rounds: at least so many.
            warm_up: whether a first round is run and not counted.
            columns: further ones of the table: what to write of each system when all have run.

        Returns:
            Seconds of each round, by system; ours are called "ours" and the variant.
        """
        self.say(f"\n### {name}, {threads} thread{'s' if threads > 1 else ''}\n")
        with torch_threads(threads):
            own = {f"ours {variant}".strip(): make() for variant, make in ours.items()}
            if warm_up:
                for run in own.values():
                    run()
            runs = own | self._present(peers, warm_up)
            clock = time.process_time if threads == 1 else time.perf_counter
            with silence():
                found = interleave(runs, rounds, seconds * self.patience, clock)
        found = {system: [each / per for each in rounds] for system, rounds in found.items()}
        for variant in ours:
            own_name = f"ours {variant}".strip()
            for peer in runs.keys() - own.keys():
                self.add("-".join(filter(None, (name, variant))), peer, threads, found[own_name], found[peer])
        self._print(found, list(own), columns or {})
        return found

    def add(self, name: str, peer: str, threads: int, ours: Sequence[float], theirs: Sequence[float]) -> None:
        """Record a comparison from the seconds of its rounds."""
        mine, other = median(ours), median(theirs)
        self.comparisons.append(Comparison(name, peer, threads, mine, other, other / mine))

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a Markdown table of facts that are no comparison of times."""
        self.say(f"\n### {title}\n")
        self._rows([header, *rows])

    def write(self, path: Path) -> None:
        """Write all comparisons as a JSON list, complete or not at all."""
        fresh = path.with_name(f".{path.name}.writing")
        rows = sorted(self.comparisons, key=lambda each: (each.name, each.threads, each.peer))
        fresh.write_text(json.dumps([asdict(each) for each in rows], indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)

    def _present(self, peers: Mapping[str, Make], warm_up: bool) -> dict[str, Run]:
        runs = {}
        for name, make in peers.items():
            try:
                with silence():
                    run = make()
                    if warm_up:
                        run()
                runs[name] = run
            except Exception as error:
                reason = " ".join(str(error).split())[:160]
                self.say(f"{name} is left out: {type(error).__name__}: {reason}\n")
        return runs

    def _print(
        self, found: Mapping[str, Sequence[float]], own: Sequence[str], columns: Mapping[str, Callable[[str], str]]
    ) -> None:
        rows = [["", "median", "least to most", "rounds", *(f"times {name}" for name in own), *columns]]
        for name, rounds in found.items():
            ratios = [f"{median(rounds) / median(found[each]):.2f}x" for each in own]
            spread = f"{duration(min(rounds))} to {duration(max(rounds))}"
            rows.append(
                [
                    name,
                    duration(median(rounds)),
                    spread,
                    str(len(rounds)),
                    *ratios,
                    *(tell(name) for tell in columns.values()),
                ]
            )
        self._rows(rows)

    def _rows(self, rows: Sequence[Sequence[str]]) -> None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, row in enumerate(rows):
            self.say("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
            if number == 0:
                self.say("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def interleave(
    runs: Mapping[str, Run], rounds: int, seconds: float, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Run all in turn, several rounds.

    Args:
        runs: by name; each has run before, so that nothing is compiled here.
        rounds: the least number of rounds.
        seconds: no further round begins after this much time.
        clock: what is read before and after each run.

    Returns:
        Time of each round, by name.
    """
    names, found = list(runs), {name: list[float]() for name in runs}
    began = time.perf_counter()
    for number in range(MOST_ROUNDS):
        if number >= rounds and time.perf_counter() - began > seconds:
            break
        first = number % len(names)
        for name in names[first:] + names[:first]:
            before = clock()
            runs[name]()
            found[name].append(clock() - before)
    return found


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Hide what peers write to stdout and stderr, from C++ too."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved, null = (os.dup(1), os.dup(2)), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(null)


def duration(seconds: float) -> str:
    """A time with its unit, three digits: 1.23 s, 45.6 ms, 789 µs."""
    units = {1.0: "s", 1e-3: "ms", 1e-6: "µs", 1e-9: "ns"}
    factor = next((each for each in units if seconds >= 0.9995 * each), 1e-9)
    return f"{seconds / factor:#.3g}".rstrip(".") + f" {units[factor]}"


def peak_mebibytes() -> float:
    """The most memory that this process has had resident.

    Linux tells it of the program itself; `ru_maxrss` there begins with what the process that started it had.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def machine() -> str:
    """What the numbers were measured on, one line."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    known = [key for key in ("avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(key)]
    extras = f" ({', '.join(known)})" if known else ""
    return f"{name}{extras}, {os.cpu_count()} cores; Python {platform.python_version()}, torch {torch.__version__}"
