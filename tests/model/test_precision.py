import pytest
import torch
from torch import nn

from asr.model.precision import choose_precision, runs_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize("possible", [True, False])
def test_what_is_asked_for_is_taken_if_it_runs(possible, monkeypatch):
    monkeypatch.setattr("asr.model.precision.runs_bf16", lambda device: possible)
    assert choose_precision("fp32", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == ("bf16" if possible else "fp32")


@pytest.mark.parametrize(("device", "has_onednn"), [("cpu", False), ("cuda", True)])
def test_only_onednn_refuses(device, has_onednn, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_onednn)
    monkeypatch.setattr(torch.ops, "mkldnn", None)  # a PyTorch without oneDNN cannot be asked
    assert runs_bf16(torch.device(device))


# PyTorch's GRU keeps its state in float32, and only multiplies in bf16
@pytest.mark.parametrize(
    ("cell", "dtype"), [(nn.LSTM, torch.bfloat16), (nn.GRU, torch.float32), (nn.RNN, torch.bfloat16)]
)
def test_what_is_said_to_run_does(cell, dtype):
    if not runs_bf16(CPU):
        pytest.skip("this processor has no AVX-512, which bf16 needs")
    torch.manual_seed(0)
    layer, frames = cell(4, 4), torch.randn(3, 2, 4)
    with torch.no_grad():
        exact = layer(frames)[0]
        with torch.autocast("cpu", torch.bfloat16):
            rounded = layer(frames)[0]
    assert rounded.dtype == dtype
    assert not rounded.float().equal(exact)
    torch.testing.assert_close(rounded.float(), exact, atol=0.02, rtol=0.0)


def test_auto_is_bf16_only_where_the_processor_has_it(monkeypatch):
    for capabilities, expected in (({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda capabilities=capabilities: capabilities)
        assert choose_precision("auto", CPU) == expected
    assert choose_precision("auto", torch.device("mps")) == "fp32"
