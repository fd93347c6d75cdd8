"""The flow of gradients through time, against whole Jacobians and against recurrences whose decay is known."""

import itertools

import pytest
import soundfile
import torch
from torch.autograd.functional import jacobian
from typer.testing import CliRunner

from asr.cli import app
from asr.config import FeatureConfig, ModelConfig, TextConfig
from asr.errors import ConfigError
from asr.model.bundle import Bundle, save_bundle
from asr.model.ctc import Model
from asr.model.encoder import Encoder
from asr.model.gradients import (
    SEQUENCES,
    Flow,
    Stack,
    draw,
    equal_units,
    fades_at,
    gradient_flow,
    projected_squares,
    render,
    trained_encoder,
    untrained_cells,
)
from asr.model.recurrence import Recurrence
from asr.text.tokenizer import CharTokenizer


class Signs:
    """Stands in for a generator's draws: every vector of signs in turn, for sequences of one output frame."""

    def __init__(self, outputs: int) -> None:
        self.vectors = torch.tensor(list(itertools.product((0, 1), repeat=outputs)))

    def __call__(self, high: int, shape: torch.Size, generator: object) -> torch.Tensor:
        assert (high, tuple(shape)) == (2, tuple(self.vectors.shape))
        return self.vectors


def blocks(layers, frames: torch.Tensor) -> torch.Tensor:
    """Squared Frobenius norm of d output(t) / d input(s) of one sequence; (t, s)."""
    whole = jacobian(lambda given: layers(given[None], torch.tensor([len(given)]))[0], frames)
    return whole.square().sum(dim=(1, 3))


def tiny_layers(kind: str, cell: str, bidirectional: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    if kind == "layer":
        return Recurrence(4, 4 if not bidirectional else 2, cell, bidirectional).double()
    units = 2 if bidirectional else 4
    return Encoder(ModelConfig(cell=cell, bidirectional=bidirectional, layers=2, units=units)).double().eval()


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("kind", ["layer", "encoder"])
def test_mean_over_all_projections_is_the_norm_of_the_whole_jacobian(kind, cell, bidirectional, monkeypatch):
    layers = tiny_layers(kind, cell, bidirectional)
    frames = torch.randn(9, 4, dtype=torch.float64)
    exact = blocks(layers, frames)
    monkeypatch.setattr(torch, "randint", Signs(4))
    for time in (0, 4, 8):
        squares = projected_squares(layers, frames.expand(16, 9, 4), time, torch.Generator())
        torch.testing.assert_close(squares.mean(dim=0), exact[time], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_flow_of_an_encoder_is_near_that_of_its_jacobians(cell, bidirectional):
    layers = tiny_layers("encoder", cell, bidirectional)
    sequence = torch.randn(21, 4, dtype=torch.float64)
    flow = gradient_flow(Stack("tiny", 1, layers, sequence.expand(500, 21, 4)))
    exact = blocks(layers, sequence)[10]  # with k up to half of the frames there is one time, the middle
    torch.testing.assert_close(torch.tensor(flow.past).double(), exact[:11].flip(0).sqrt(), rtol=0.05, atol=0)
    torch.testing.assert_close(torch.tensor(flow.future).double(), exact[10:].sqrt(), rtol=0.05, atol=0)
    assert flow.sees_the_future == bidirectional


def linear(bidirectional: bool, decay: float) -> Recurrence:
    """A plain RNN of zero input stays at zero, where tanh has slope one: d h(t) / d x(t - k) = W_hh^k W_ih.

    W_hh is `decay` times an orthogonal matrix and W_ih is orthogonal, so that |v' W_hh^k W_ih| = decay^k |v|.
    """
    torch.manual_seed(0)
    layer = Recurrence(6, 6, "rnn", bidirectional)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if "weight" in name:
                torch.nn.init.orthogonal_(weight, decay if "weight_hh" in name else 1.0)
    return layer


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("decay", [0.9, 1.0, 1.05])
def test_a_linear_recurrence_decays_as_a_power(decay, bidirectional):
    flow = gradient_flow(Stack("linear", 1, linear(bidirectional, decay), torch.zeros(2, 101, 6)))
    powers = [decay**k for k in range(51)]
    units = 6**0.5
    # both directions read the frame itself, and there the two projections meet by chance
    at_zero = pytest.approx(units * 2**0.5, rel=0.1) if bidirectional else pytest.approx(units, rel=1e-5)
    assert flow.past[0] == flow.future[0] == at_zero
    assert flow.past[1:] == pytest.approx([units * power for power in powers[1:]], rel=1e-4)
    after = [units * power if bidirectional else 0.0 for power in powers[1:]]
    assert flow.future[1:] == pytest.approx(after, rel=1e-4)
    relative = 2**-0.5 if bidirectional else 1.0
    expected = next((k for k, power in enumerate(powers) if k and relative * power < 0.01), None)
    assert fades_at(flow.past) == expected == {0.9: 41 if bidirectional else 44}.get(decay)


def test_residual_layers_that_add_nothing_pass_the_frame_alone():
    encoder = Encoder(ModelConfig(layers=2, units=2)).eval()
    for parameter in encoder.layers.parameters():
        torch.nn.init.zeros_(parameter)
    flow = gradient_flow(Stack("silent", 1, encoder, torch.randn(2, 9, 4)))
    assert flow.past[0] > 0
    assert not any((*flow.past[1:], *flow.future[1:]))


def test_measuring_twice_gives_the_same_and_leaves_no_gradient():
    layer = Recurrence(4, 3, "gru", True)
    stack = Stack("gru", 1, layer, torch.randn(2, 9, 4))
    assert gradient_flow(stack) == gradient_flow(stack)
    assert all(parameter.grad is None for parameter in layer.parameters())
    assert not stack.frames.requires_grad


def test_progress_is_told():
    said = []
    gradient_flow(
        Stack("any", 1, Recurrence(2, 2, "rnn", False), torch.randn(1, 3, 2)), lambda *done: said.append(done)
    )
    assert said[0] == (1, len(said))
    assert said[-1] == (len(said), len(said))


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_units_for_a_number_of_parameters(cell, bidirectional):
    for units in (1, 7, 100):
        layer = Recurrence(30, units, cell, bidirectional)
        parameters = sum(parameter.numel() for parameter in layer.parameters())
        assert equal_units(cell, bidirectional, 30, parameters) == units


def test_untrained_cells_are_of_equal_size():
    torch.manual_seed(0)
    stacks = untrained_cells(frames=5)
    assert [stack.name.split(",")[0] for stack in stacks] == ["lstm", "gru", "rnn"] * 2
    sizes = [sum(parameter.numel() for parameter in stack.layers.parameters()) for stack in stacks]
    assert sizes == [stack.parameters for stack in stacks]
    assert max(sizes) < 1.01 * min(sizes)
    assert all(stack.frames.shape == (SEQUENCES, 5, 256) for stack in stacks)


def conditioned() -> Model:
    torch.manual_seed(0)
    config = ModelConfig(layers=2, units=4, channels=2, intermediate_layers=(1,), self_conditioned=True)
    return Model(FeatureConfig(bins=16), config, vocabulary=5).eval()


def test_a_trained_encoder_reads_what_its_model_hears_feedback_included():
    model, waveform = conditioned(), torch.randn(8000) * 0.1
    stack = trained_encoder("m", model, waveform, frames=6)
    assert stack.frames.shape == (2, 6, 8)
    assert stack.parameters == sum(parameter.numel() for parameter in model.encoder.parameters())
    frames, lengths = model.subsampling(*model.features(waveform[None], torch.tensor([8000])))
    torch.testing.assert_close(stack.frames, frames[0, :12].view(2, 6, 8))
    read = model.head(stack.layers(frames, lengths)).log_softmax(-1)
    torch.testing.assert_close(read, model(waveform[None], torch.tensor([8000]))[0])


def test_audio_that_is_too_short_is_named():
    with pytest.raises(ConfigError, match=r"--frames 100: the audio has 17; give more audio"):
        trained_encoder("m", conditioned(), torch.zeros(8000), frames=100)


def test_table_and_picture(tmp_path):
    stack = Stack("lstm", 1234, Recurrence(1, 1, "lstm", True), torch.zeros(1, 3, 1))
    flows = [Flow(stack, (2.0, 1.0, 0.01), (2.0, 0.5, 0.0)), Flow(stack, (2.0, 1.0, 1.0), (2.0, 0.0, 0.0))]
    table = render(flows)
    cells = [list(column.cells) for column in table.columns]
    assert cells[1] == ["1,234", "", "1,234"]
    assert cells[2] == ["before", "after", "before"]
    assert [cells[column][:2] for column in (3, 4, 5, 6, 7)] == [
        ["2", "2"],
        ["1", "1"],
        ["0.5", "0.25"],
        ["0.005", "0"],
        ["", ""],
    ]
    assert cells[-1] == ["2", "2", "> 2"]
    draw(flows, tmp_path / "flow.png")
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["flow.png"]


def test_command_measures_bundles_listening_to_noise_or_to_recordings(tmp_path):
    model = conditioned()
    features = FeatureConfig(bins=16)
    config = ModelConfig(layers=2, units=4, channels=2, intermediate_layers=(1,), self_conditioned=True)
    save_bundle(tmp_path / "model", Bundle(model, CharTokenizer("abcd"), TextConfig(), features, config))
    soundfile.write(tmp_path / "talk.wav", torch.randn(8000).numpy() * 0.1, 16000)

    def run(*options):
        result = CliRunner().invoke(app, ["inspect", "gradients", str(tmp_path / "model"), *map(str, options)])
        return result.exit_code, result.stdout, result.stderr

    status, noise, _ = run("--frames", 7, "--picture", tmp_path / "flow.png")
    assert (status, noise.count("before"), noise.count("after")) == (0, 1, 1)
    assert (tmp_path / "flow.png").is_file()
    assert run("--frames", 7) == (0, noise, "")
    status, spoken, _ = run("--frames", 7, "--audio", tmp_path / "talk.wav", "--audio", tmp_path / "talk.wav")
    assert (status, len(spoken)) == (0, len(noise))
    assert spoken != noise
    assert "name a model that is to listen" in CliRunner().invoke(app, ["inspect", "gradients", "--audio", "a"]).stderr
    status, _, errors = run("--frames", 70, "--audio", tmp_path / "talk.wav")
    assert (status, errors) == (1, "asr: --frames 70: the audio has 17; give more audio, or ask for fewer frames\n")
