"""Our products in float32 against numpy's in float64."""

import numba
import numpy as np
import pytest
import torch

from asr.model import products
from asr.model.panels import PANEL, Panels

PANELS = Panels()


@numba.njit(nogil=True)
def multiply(functions, rows, weights, into):
    products.multiply(functions, rows, weights, into)
    products.release(functions)


def product(rows: np.ndarray, weights: torch.Tensor) -> np.ndarray:
    """As a recurrence asks for it, into an array that holds something already."""
    into = np.full((len(rows), PANELS.columns(len(weights))), 7, np.float32)
    multiply(PANELS.functions, rows, PANELS.pack(weights), into)
    return into


@pytest.mark.parametrize("batch", range(1, 15))  # blocks of one to six rows, and rests
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (33, 17), (64, 256)])
def test_multiplies(batch, inputs, outputs):
    torch.manual_seed(0)
    rows, weights = torch.randn(batch, inputs).numpy(), torch.randn(outputs, inputs)
    found, exact = product(rows, weights), rows.astype(float) @ weights.numpy().astype(float).T
    np.testing.assert_allclose(found[:, :outputs], exact, rtol=1e-5, atol=1e-5)
    assert found.shape[1] % PANEL == 0
    assert not found[:, outputs:].any()


def test_weights_may_be_transposed():
    weights, rows = torch.randn(40, 24), torch.randn(3, 40).numpy()
    np.testing.assert_array_equal(product(rows, weights.t()), product(rows, weights.t().contiguous()))


def test_a_row_is_multiplied_alike_whatever_stands_beside_it():
    torch.manual_seed(0)
    rows, weights = torch.randn(13, 100).numpy(), torch.randn(50, 100)
    together = product(rows, weights)
    for count in range(1, 13):
        np.testing.assert_array_equal(product(rows[:count], weights), together[:count])


def test_what_is_not_a_number_stays_in_its_row():
    rows, weights = np.ones((7, 20), np.float32), torch.ones(16, 20)
    rows[3, 5] = np.nan
    found = product(rows, weights)
    assert np.isnan(found[3]).all()
    assert (np.delete(found, 3, axis=0) == 20).all()


def test_no_rows():
    assert product(np.empty((0, 5), np.float32), torch.ones(16, 5)).shape == (0, 16)
