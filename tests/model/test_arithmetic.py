"""Numbers of compiled cells against numpy's and PyTorch's."""

import numba
import numpy as np
import pytest
import torch

from asr.model.arithmetic import memory, sigmoid, store, tanh, wide


@numba.njit
def map_tanh(x):
    return np.array([tanh(each) for each in x])


@numba.njit
def map_sigmoid(x):
    return np.array([sigmoid(each) for each in x])


@numba.njit
def copy(source, target):
    for index in range(len(source)):
        store(target, index, wide(source[index]))


def test_tanh_and_sigmoid():
    x = np.linspace(-30, 30, 20001, dtype=np.float32)
    exact = np.tanh(x.astype(np.float64))
    assert np.abs(map_tanh(x) - exact).max() < 3e-7
    assert np.abs(map_sigmoid(x) - (0.5 + 0.5 * np.tanh(x.astype(np.float64) / 2))).max() < 3e-7
    extremes = np.array([0, np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_allclose(map_tanh(extremes), [0, 1, -1, np.nan], atol=3e-7)


@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("target", [torch.float32, torch.bfloat16])
def test_memory_is_read_and_written_as_pytorch_converts(source, target):
    values = torch.tensor([0.0, -0.0, 1.0, 1.00390625, 1.01171875, 3.14159, -1e-30, 6e4, float("inf"), float("nan")])
    values = values.to(source)
    copied = torch.empty(len(values), dtype=target)
    copy(memory(values), memory(copied))
    torch.testing.assert_close(copied, values.to(target), rtol=0, atol=0, equal_nan=True)
    assert torch.equal(copied.signbit()[:-1], values.signbit()[:-1])
