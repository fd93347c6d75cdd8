"""Reading ahead: a thread reads what comes next while the present is computed with.

That pays where a core is idle meanwhile, or a GPU computes. Where all cores compute, what was waiting becomes computing
that is a little slower: training the recipe `synthetic` on two cores, steps waited 1.3% of the time, not 6.9%, and took
1.02 times as long (30 steps; the median of six pairs, 0.98 to 1.05).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")
THREAD = "reader"
"""What the name of a thread that reads begins with."""


def read_ahead(read: Callable[[KeyT], ValueT], keys: Iterable[KeyT], count: int) -> Generator[ValueT, None, None]:
    """`read(key)` for each key, in order: what `map(read, keys)` gives, read in a thread of its own.

    An error of `read` is raised when its value is due. The thread lives until all is read, an error is raised or the
    generator is closed; that waits for the one `read` it may be in.

    Args:
        read: called by one thread, which has no other threads to compute with; so PyTorch's results, whose rounding
            depends on their number, are the same on every machine.
        keys: taken in the consumer's thread.
        count: most values that are read, or being read, besides the one that the consumer has.
    """
    threads = torch.get_num_threads()
    reader = ThreadPoolExecutor(1, THREAD)
    thread: Future[int] = reader.submit(_compute_alone)
    due: deque[Future[ValueT]] = deque()
    try:
        thread.result()
        torch.set_num_threads(threads)  # which this thread has kept, but threads born later would not have
        for key in keys:
            due.append(reader.submit(read, key))
            if len(due) > count:
                yield due.popleft().result()
        while due:
            yield due.popleft().result()
    finally:
        reader.shutdown(cancel_futures=True)
        if not thread.cancelled():  # as it is where Ctrl-C came before it began
            _await_end(thread.result())


def _compute_alone() -> int:
    """Let the thread that calls this, and no other, run PyTorch's operators without helpers; its number in the system.

    A second pool of OpenMP threads makes libgomp put the first one to sleep between operators, as there are more
    threads than cores: with it a training on two cores took 1.7 times as long.
    """
    torch.set_num_threads(1)  # for this thread, and as what others begin with
    torch.get_num_threads()  # a thread begins at its first question; later, it would begin with another number
    return threading.get_native_id()


def _await_end(native_id: int) -> None:
    """Wait, on Linux, until the system has ended a thread: Python before 3.13 takes it for ended a moment earlier.

    In that moment MKL clears up, and a process that is forked then inherits its lock, locked for ever.
    """
    place = Path(f"/proc/self/task/{native_id}")
    while place.exists():
        time.sleep(1e-4)
