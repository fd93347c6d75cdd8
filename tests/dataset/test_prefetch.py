import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.dataset import prefetch
from asr.dataset.prefetch import read_ahead

PATIENCE = 60.0
"""Seconds after which a test that would hang fails."""


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefetch.THREAD)]


@pytest.fixture
def two_threads() -> Iterator[None]:
    """PyTorch computes with two threads, also on one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@given(st.lists(st.integers(), max_size=20), st.integers(0, 25))
def test_what_the_plain_loop_gives(keys: list[int], count: int) -> None:
    assert list(read_ahead(str, keys, count)) == [str(key) for key in keys]
    assert not readers()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_next_are_read_meanwhile_and_no_more(count: int) -> None:
    taken: list[int] = []
    finished = [threading.Event() for _ in range(20)]

    def keys() -> Iterator[int]:
        for key in range(20):
            taken.append(key)
            yield key

    source = read_ahead(lambda key: finished[key].set(), keys(), count)
    for key in range(4):
        next(source)
        assert finished[key + count].wait(PATIENCE)
        assert taken == list(range(key + count + 1))
    source.close()


def test_one_thread_reads_and_it_is_not_the_consumers() -> None:
    names = set(read_ahead(lambda key: threading.current_thread().name, range(9), 2))
    assert len(names) == 1
    assert threading.current_thread().name not in names


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, StopIteration])
def test_errors_come_when_they_are_due_with_their_traceback(error: type[BaseException]) -> None:
    def break_at_three(key: int) -> int:
        if key == 3:
            raise error("broken")
        return key

    source = read_ahead(break_at_three, range(9), 4)
    assert [next(source) for _ in range(3)] == [0, 1, 2]
    # PEP 479: a StopIteration that leaves a generator is a RuntimeError
    with pytest.raises(RuntimeError if error is StopIteration else error) as caught:
        next(source)
    cause = caught.value.__cause__ if error is StopIteration else caught.value
    assert cause is not None
    trace, functions = cause.__traceback__, []
    while trace is not None:
        functions.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert functions[-1] == "break_at_three"
    assert not readers()


def test_closing_waits_for_the_read_under_way_and_starts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, closing = threading.Event(), threading.Event()
    finished = []

    class Observed(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            closing.set()
            super().shutdown(wait=wait)

    def read(key: int) -> int:
        if key == 1:
            begun.set()
            assert closing.wait(PATIENCE)
        finished.append(key)
        return key

    monkeypatch.setattr(prefetch, "ThreadPoolExecutor", Observed)
    source = read_ahead(read, range(9), 3)
    assert next(source) == 0
    assert begun.wait(PATIENCE)
    source.close()
    assert finished == [0, 1]
    assert not readers()
    assert list(source) == []


def test_a_generator_that_nobody_holds_ends_its_thread() -> None:
    for _ in range(5):
        assert next(read_ahead(str, range(9), 2)) == "0"
    assert not readers()


def test_ctrl_c_interrupts_the_waiting() -> None:
    main, seen = threading.main_thread().ident, threading.Event()
    assert main is not None

    def read(key: int) -> int:
        # again and again: the first may come in the moment before the main thread waits
        while key == 1 and not seen.wait(0.01):
            signal.pthread_kill(main, signal.SIGINT)
        return key

    def interrupt(number: int, frame: object) -> None:
        if not seen.is_set():
            seen.set()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        source = read_ahead(read, range(3), 0)
        assert next(source) == 0
        with pytest.raises(KeyboardInterrupt):
            next(source)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not readers()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux, which lists a process's threads")
def test_the_system_has_ended_the_thread_too() -> None:
    for _ in range(50):
        native = set(read_ahead(lambda key: threading.get_native_id(), range(2), 1))
        assert not native & {int(path.name) for path in Path("/proc/self/task").iterdir()}


@pytest.mark.usefixtures("two_threads")
def test_the_reader_computes_alone_and_nobody_else_does() -> None:
    def consume() -> list[int]:  # in a thread that has not asked yet with how many it computes
        source = read_ahead(lambda key: torch.get_num_threads(), range(3), 1)
        readers_own = next(source)
        with ThreadPoolExecutor(1) as later:
            found = [readers_own, torch.get_num_threads(), later.submit(torch.get_num_threads).result()]
        return [*found, *source, torch.get_num_threads()]

    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(consume).result() == [1, 2, 2, 1, 1, 2]
    assert consume() == [1, 2, 2, 1, 1, 2]
