"""Products in compiled loops against PyTorch's."""

import numba
import numpy as np
import pytest
import torch

from asr.model import products
from asr.model.arithmetic import memory
from asr.model.panels import Panels


@numba.njit(nogil=True)
def twice(functions, rows, weights, into):
    products.multiply(functions, rows, weights, into)
    products.multiply(functions, rows, weights, into)
    products.release(functions)


@pytest.fixture
def kernel():
    found = products.kernel(torch.bfloat16)
    if found is None:
        pytest.skip("this processor, or this PyTorch, has no micro-kernel in bf16")
    return found


@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(1, 1, 1), (3, 33, 17), (20, 64, 256), (7, 100, 31)])
def test_multiplies_as_pytorch_does(kernel, batch, inputs, outputs):
    torch.manual_seed(0)
    rows, weights = torch.randn(batch, inputs).bfloat16(), torch.randn(outputs, inputs).bfloat16()
    padded = torch.zeros(batch, kernel.width(inputs), dtype=torch.bfloat16)
    padded[:, :inputs] = rows
    found = np.full((batch, outputs), 7, np.float32)
    twice(kernel.functions, memory(padded), kernel.pack(weights), found)
    exact = (rows.double() @ weights.double().t()).numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)  # of bf16 factors; sums are in float32


def test_pytorch_multiplies_after_it(kernel):
    torch.manual_seed(0)
    rows, weights = torch.randn(20, 64).bfloat16(), torch.randn(256, 64).bfloat16()
    before = torch.mm(rows, weights.t())
    twice(kernel.functions, memory(rows), kernel.pack(weights), np.empty((20, 256), np.float32))
    assert torch.equal(torch.mm(rows, weights.t()), before)


@pytest.mark.parametrize(("capability", "found"), [("DEFAULT", False), ("AVX2", True), ("AVX512", False)])
def test_in_float32_there_is_ours_where_vectors_are_as_long(capability, found, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert isinstance(products.kernel.__wrapped__(torch.float32), Panels) == found


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_there_is_none_where_onednn_is_told_of_an_older_processor(monkeypatch, name):
    monkeypatch.setenv(name, "AVX2")
    assert products.kernel.__wrapped__(torch.bfloat16) is None


@pytest.mark.parametrize("missing", ["LIBRARY", "MULTIPLY"])
def test_there_is_none_where_pytorch_is_another(monkeypatch, missing):
    monkeypatch.setattr(products, missing, "nothing_of_this_name")
    assert products.kernel.__wrapped__(torch.bfloat16) is None
