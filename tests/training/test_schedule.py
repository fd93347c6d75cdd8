import pytest

from asr.config import TrainingConfig
from asr.training.schedule import learning_rate

CONFIG = TrainingConfig(learning_rate=1.0, final_learning_rate=0.1, warmup_steps=4)


def test_warms_up_linearly():
    assert [learning_rate(step, 0.0, CONFIG) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_short_training_warms_up_in_its_first_tenth():
    rates = [
        learning_rate(step, step / 100, TrainingConfig(learning_rate=1.0, warmup_steps=200)) for step in range(100)
    ]
    assert rates[:10] == sorted(rates[:10])
    assert rates[5] == pytest.approx(0.5, abs=0.02)
    assert max(rates) == pytest.approx(rates[10])
    assert rates[10] > 0.95


def test_falls_along_a_cosine_to_the_final_rate():
    assert learning_rate(9, 0.5, CONFIG) == pytest.approx(0.55)
    assert learning_rate(9, 1.0, CONFIG) == pytest.approx(0.1)
    rates = [learning_rate(9, share / 10, CONFIG) for share in range(11)]
    assert rates == sorted(rates, reverse=True)


def test_without_warm_up():
    assert learning_rate(0, 0.0, TrainingConfig(learning_rate=0.5, warmup_steps=0)) == 0.5
