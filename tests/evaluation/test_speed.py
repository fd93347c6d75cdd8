"""The real-time factor."""

from asr.evaluation import Speed


def test_seconds_of_work_for_a_second_of_audio():
    speed = Speed(audio_seconds=60.0, seconds=1.5)
    assert speed.real_time_factor == 0.025
    assert speed.times_real_time == 40.0


def test_nothing_heard_and_nothing_done():
    assert Speed(audio_seconds=0.0, seconds=1.0).real_time_factor == float("inf")
    assert Speed(audio_seconds=1.0, seconds=0.0).times_real_time == float("inf")
