import pytest
import torch

from asr.training.meter import StepMeter


def test_by_hand():
    meter = StepMeter(clip_norm=5.0)
    meter.add_loss(2.0, tokens=10, parts={})
    meter.add_loss(4.0, tokens=30, parts={})
    for norm in (1.0, 6.0, 2.0, 7.0):
        meter.add_step(norm, rate=0.1)
    summary = meter.summary()
    assert summary["loss"] == pytest.approx(3.5)
    assert summary["gradient_norm"] == 4.0
    assert summary["clipped_share"] == 0.5
    assert summary["learning_rate"] == 0.1
    assert summary["parts"] == {}


def parts(ctc: float, consistency: float) -> dict[str, torch.Tensor]:
    return {"ctc": torch.tensor(ctc), "consistency": torch.tensor(consistency)}


def test_parts_are_means_over_tokens_however_often_they_are_read():
    seldom, often = StepMeter(clip_norm=5.0), StepMeter(clip_norm=5.0)
    for meter in (seldom, often):
        meter.add_loss(2.5, tokens=10, parts=parts(2.0, 0.5))
        if meter is often:
            assert meter.parts() == meter.parts() == {"ctc": 2.0, "consistency": 0.5}
        meter.add_loss(4.0, tokens=30, parts=parts(4.0, 0.0))
        assert meter.parts() == {"ctc": 4.0, "consistency": 0.0}, "of the last batch"
        meter.add_loss(1.0, tokens=0, parts=parts(1.0, 9.0))
        assert meter.summary()["parts"] == pytest.approx({"ctc": 3.5, "consistency": 0.125})


def test_parts_stay_on_their_device_until_they_are_asked_for():
    meter = StepMeter(clip_norm=5.0)
    meter.add_loss(2.0, tokens=10, parts={"ctc": torch.zeros((), device="meta")})  # there is nothing to be read there
    meter.add_step(1.0, rate=0.1)
    with pytest.raises(NotImplementedError, match="meta"):
        meter.parts()


def test_no_step_at_all():
    assert StepMeter(clip_norm=5.0).summary().keys() == {"waiting_share"}


def test_waiting_is_a_share_of_the_time():
    meter = StepMeter(clip_norm=5.0)
    with meter.waiting():
        assert sum(range(100_000)) > 0
    assert 0.0 < meter.waiting_share <= 1.0
