"""Scoring a toy recogniser, which hears levels as letters, on a manifest of made files."""

import dataclasses
import math

import numba
import pytest
import torch
from levels import RATE, manifest, recognizer
from numba.core import event

from asr.audio import load
from asr.audio.equalization import window_samples
from asr.dataset import Manifest, Utterance, write_manifest
from asr.dataset.voices import Voices
from asr.decoding import DecodingOptions, greedy
from asr.errors import AsrError, ManifestError
from asr.evaluation import to_json
from asr.model.bundle import Calibration
from asr.transcription import emissions, evaluate


def test_rates_are_those_of_what_is_heard(tmp_path):
    corpus = manifest(tmp_path, [("ab ab", "Ab, ab!"), ("a", "b"), ("", "a b"), ("b a b", "b b"), ("ba", "ba")])
    progress = []
    result = evaluate(
        recognizer(), corpus, batch_seconds=0.5, progress=lambda done, total: progress.append((done, total))
    )
    rates = result.rates
    assert [utterance.hypothesis for utterance in rates.utterances] == ["ab ab", "a", "", "b a b", "ba"]
    assert [utterance.id for utterance in rates.utterances] == ["u0", "u1", "u2", "u3", "u4"]
    assert (rates.substitutions, rates.deletions, rates.insertions, rates.reference_words) == (1, 2, 1, 8)
    assert result.wer_interval[0] <= rates.wer <= result.wer_interval[1]
    assert result.speed.audio_seconds == pytest.approx(0.1 * (5 + 1 + 5 + 2) + 0.05, abs=1e-3)
    assert result.speed.seconds > 0
    assert progress[-1] == (5, 5)
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})


def test_hypotheses_are_normalised_as_the_references_are_and_the_way_is_named(tmp_path):
    corpus = manifest(tmp_path, [("ab", "ab")])
    upper = recognizer(tokens="AB ", case="lower")
    result = evaluate(upper, corpus)
    assert result.rates.utterances[0].hypothesis == "ab"
    assert to_json(result)["normalization"] == upper.normalizer.describe()
    assert result.rates.wer == 0.0
    assert evaluate(recognizer(case="upper"), corpus).rates.utterances[0].reference == "AB"


@pytest.mark.parametrize("decoding", [DecodingOptions(), DecodingOptions(beam_size=4)])
def test_calibration_is_measured_before_and_after_and_changes_no_rate(tmp_path, decoding):
    corpus = manifest(tmp_path, [("ab ab", "Ab, ab!"), ("a", "b"), ("", "a b"), ("b a b", "b b"), ("ba", "ba")])
    plain = evaluate(recognizer(decoding=decoding), corpus)
    assert plain.calibration == plain.uncalibrated
    assert plain.calibration.words == 2 + 1 + 3 + 1
    assert plain.calibration.calibration_error == pytest.approx(2 / 7, abs=1e-3), "surely heard, but two are wrong"
    tempered = evaluate(recognizer(calibration=Calibration(greedy=9.0, beam=9.0), decoding=decoding), corpus)
    assert tempered.rates == plain.rates
    assert tempered.uncalibrated.bins == plain.uncalibrated.bins
    said = 1 / (1 + 3 * math.exp(-20 / 9))
    assert tempered.calibration.calibration_error == pytest.approx(abs(5 / 7 - said), abs=1e-3)
    assert to_json(tempered)["decoding"]["search"] == ("beam" if decoding.beam_size else "greedy")


def test_speed_is_that_of_recognition_without_what_is_compiled_meanwhile(tmp_path, monkeypatch):
    clock = iter(range(100, 1000)).__next__
    monkeypatch.setattr("asr.transcription.scoring.time.perf_counter", clock)
    monkeypatch.setattr("numba.core.event.timer", clock)
    heard, corpus = recognizer(), manifest(tmp_path, [("ab", "ab")])
    alone = evaluate(heard, corpus).speed.seconds
    read = heard.read

    def compiling(log_probs, lengths):
        with event.trigger_event("numba:compile", data={"dispatcher": numba.njit(lambda: None)}):
            for _ in range(50):
                clock()
        return read(log_probs, lengths)

    monkeypatch.setattr(heard, "read", compiling)
    assert evaluate(heard, corpus).speed.seconds == alone + 1, "what reading the clock takes"


def test_an_utterance_too_short_for_any_phrase_is_one_that_nothing_was_heard_in(tmp_path):
    corpus = manifest(tmp_path, [("ab" * 4, "abababab"), ("", "bb")])
    (tmp_path / "phrases.txt").write_text("abababab\nbabababa\n", encoding="utf-8")
    options = DecodingOptions(phrases=tmp_path / "phrases.txt")
    result = evaluate(recognizer(calibration=Calibration(greedy=9.0, beam=9.0), decoding=options), corpus)
    assert [utterance.hypothesis for utterance in result.rates.utterances] == ["abababab", ""]
    assert result.rates.deletions == 1


def test_readings_are_scored_where_they_are_asked_for(tmp_path):
    corpus = manifest(tmp_path, [("ab", "ba"), ("a", "a")])
    plain = evaluate(recognizer(decoding=DecodingOptions(beam_size=50)), corpus)
    assert (plain.readings, plain.oracle_wer) == ((), None)
    unsure = recognizer(decoding=DecodingOptions(beam_size=50, nbest=3))
    unsure.model.sharpness = 6.0
    ranked = evaluate(unsure, corpus)
    assert ranked.rates == plain.rates
    assert [(len(each), each[0]) for each in ranked.readings] == [(3, "ab"), (2, "a")]
    assert ranked.oracle_wer == (0.0 if "ba" in ranked.readings[0] else 0.5)


def test_offset_and_duration_are_honoured(tmp_path):
    whole = manifest(tmp_path, [("ab", "ab")])[0]
    half = Utterance(audio_filepath=whole.audio_filepath, duration=0.1, text="b", offset=0.1, id="half", line=1)
    write_manifest(tmp_path / "half.jsonl", [half])
    result = evaluate(recognizer(), Manifest(tmp_path / "half.jsonl"))
    assert result.rates.utterances[0].hypothesis == "b"
    assert result.speed.audio_seconds == pytest.approx(0.1)


def test_the_batch_size_changes_nothing(tmp_path):
    corpus = manifest(tmp_path, [("ab", "b"), ("a b a b", "a b"), ("b", "b"), ("bb", "bb")])
    assert evaluate(recognizer(), corpus, batch_seconds=0.01).rates == evaluate(recognizer(), corpus).rates


def test_unreadable_recordings_are_all_named_and_nothing_is_scored(tmp_path):
    corpus = manifest(tmp_path, [("a", "a"), ("b", "b"), ("ab", "ab"), ("ba", "ba")])
    (tmp_path / "1.wav").unlink()
    (tmp_path / "3.wav").write_bytes(b"not audio")
    with pytest.raises(ManifestError, match=r"test\.jsonl: 2 of 4 recordings") as caught:
        evaluate(recognizer(), corpus)
    message = str(caught.value)
    assert "1.wav" in message
    assert "3.wav" in message
    assert "test.jsonl:4" in message
    assert "\n" not in message


def test_a_manifest_without_words_is_an_error(tmp_path):
    with pytest.raises(AsrError, match="no words"):
        evaluate(recognizer(), manifest(tmp_path, [("a", "!")]))


def test_emissions_are_what_the_recogniser_decodes(tmp_path):
    corpus = manifest(tmp_path, [("ab ab", "Ab, ab!"), ("a", "b"), ("b a", "b a")])
    made = recognizer()
    heard = emissions(made, corpus, batch_seconds=0.4)
    texts = [each.text for batch in heard.batches for each in greedy(*batch, made.tokenizer, made.frame_seconds)]
    assert len(heard.batches) > 1
    assert sorted(zip(heard.references, texts, strict=True)) == [("ab ab", "ab ab"), ("b", "a"), ("b a", "b a")]


def test_emissions_of_a_broken_corpus_are_refused(tmp_path):
    corpus = manifest(tmp_path, [("ab", "ab"), ("a", "a")])
    corpus[1].audio_filepath.write_bytes(b"")
    with pytest.raises(ManifestError, match=r"1 of 2 recordings cannot be read"):
        emissions(recognizer(), corpus)


def test_voices_are_equalised_by_all_that_each_says(tmp_path):
    corpus = manifest(tmp_path, [("ab ab", "ab"), ("a", "b"), ("ba", "ba")])
    speakers = {"u0": "anna", "u1": "bert", "u2": "anna"}
    write_manifest(tmp_path / "test.jsonl", [dataclasses.replace(each, speaker=speakers[each.id]) for each in corpus])
    corpus = Manifest(tmp_path / "test.jsonl")
    listener = recognizer()
    listener.typical_voice, heard = torch.linspace(-1.0, 1.0, window_samples(RATE) // 2 + 1), {}
    original = listener.log_probs

    def log_probs(waveforms):
        heard.update({len(waveform): waveform for waveform in waveforms})
        return original([waveform.clamp(0.0, 0.3) for waveform in waveforms])  # what the toy can read

    listener.log_probs = log_probs
    evaluate(listener, corpus)
    voices = Voices(corpus, RATE, listener.typical_voice)
    assert len(heard) == 3
    for utterance in corpus:
        waveform = load(utterance.audio_filepath, RATE)
        assert torch.equal(heard[len(waveform)], voices.equalized(waveform, utterance.speaker))
