"""What a person sees of a training."""

import pytest

from asr.training.progress import draw_curves
from asr.training.speech import SpeechTask


@pytest.mark.parametrize(("lowest", "scale"), [(0.1, "log"), (0.0, "linear"), (-0.3, "linear")])
def test_a_loss_that_is_not_positive_is_drawn_too(tmp_path, monkeypatch, lowest, scale):
    figures = []
    monkeypatch.setattr("asr.training.progress.save_picture", lambda figure, path: figures.append(figure))
    history = [
        {
            "epoch": epoch,
            "loss": loss,
            "dev_loss": loss + 1.0,
            "dev_wer": 0.5,
            "gradient_norm": 1.0,
            "learning_rate": 1e-3,
        }
        for epoch, loss in ((1, 2.0), (2, lowest), (3, 0.5))
    ]
    draw_curves(history, SpeechTask.measure, tmp_path / "curves.png")
    losses = figures[0].axes[0]
    assert losses.get_yscale() == scale
    assert list(losses.lines[0].get_ydata()) == [2.0, lowest, 0.5]
