import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from asr.dataset.cache import WaveformCache


class Recordings:
    """Waveforms, and how often each was read."""

    def __init__(self, *waveforms: Tensor) -> None:
        self.waveforms = waveforms
        self.reads = [0] * len(waveforms)

    def through(self, cache: WaveformCache, index: int) -> Tensor:
        def read() -> Tensor:
            self.reads[index] += 1
            return self.waveforms[index].clone()

        return cache.get(index, read)


def test_sixteen_bit_audio_comes_back_as_it_is() -> None:
    waveform = torch.arange(-32768, 32768) / 32768
    recordings, cache = Recordings(waveform), WaveformCache(1 << 20)
    for _ in range(2):
        assert torch.equal(recordings.through(cache, 0), waveform)
    assert recordings.reads == [1]


def test_rounding_is_half_a_step_at_most_and_never_wraps() -> None:
    waveform = torch.rand(1000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    waveform[:2] = torch.tensor([1.0, -1.0])
    rounded = Recordings(waveform).through(WaveformCache(0), 0)
    assert (rounded - waveform).abs()[1:].max() <= 0.5 / 32768
    assert rounded[0] == 32767 / 32768


def test_what_fits_is_kept_and_the_rest_is_the_same_all_the_same() -> None:
    waveforms = [torch.rand(100, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    small, large = WaveformCache(2 * 100 * 2), WaveformCache(1 << 20)
    few, many = Recordings(*waveforms), Recordings(*waveforms)
    for _ in range(3):
        for index in range(3):
            assert torch.equal(few.through(small, index), many.through(large, index))
    assert few.reads == [1, 1, 3]
    assert many.reads == [1, 1, 1]
    assert small.bytes == 400


def test_what_is_handed_out_may_be_changed() -> None:
    recordings, cache = Recordings(torch.full((4,), 0.5)), WaveformCache(1 << 20)
    recordings.through(cache, 0).zero_()
    assert recordings.through(cache, 0).tolist() == [0.5] * 4


def test_two_threads_that_read_the_same_keep_it_once() -> None:
    cache, both = WaveformCache(1 << 20), threading.Barrier(2, timeout=60)

    def read() -> Tensor:
        both.wait()
        return torch.full((4,), 0.5)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: cache.get("same", read), range(2)))
    assert [waveform.tolist() for waveform in found] == [[0.5] * 4] * 2
    assert cache.bytes == 8


def test_a_copy_for_another_process_is_empty() -> None:
    recordings, cache = Recordings(torch.full((4,), 0.5)), WaveformCache(1 << 20)
    recordings.through(cache, 0)
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.limit_bytes, copy.bytes) == (1 << 20, 0)
    assert recordings.through(copy, 0).tolist() == [0.5] * 4
    assert recordings.reads == [2]
