import pytest

from asr.training.meter import StepMeter


def test_by_hand():
    meter = StepMeter(clip_norm=5.0)
    meter.add_loss(2.0, tokens=10)
    meter.add_loss(4.0, tokens=30)
    for norm in (1.0, 6.0, 2.0, 7.0):
        meter.add_step(norm, rate=0.1)
    summary = meter.summary()
    assert summary["loss"] == pytest.approx(3.5)
    assert summary["gradient_norm"] == 4.0
    assert summary["clipped_share"] == 0.5
    assert summary["learning_rate"] == 0.1


def test_no_step_at_all():
    assert StepMeter(clip_norm=5.0).summary()["clipped_share"] == 0.0


def test_waiting_is_a_share_of_the_time():
    meter = StepMeter(clip_norm=5.0)
    with meter.waiting():
        assert sum(range(100_000)) > 0
    assert 0.0 < meter.waiting_share <= 1.0
