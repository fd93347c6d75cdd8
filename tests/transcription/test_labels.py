"""What a toy recogniser reads in recordings without transcripts, how surely, and where it cuts long ones."""

import dataclasses
import itertools
import math

import pytest
import soundfile
import torch
from levels import RATE, manifest, recognizer

from asr.audio import load
from asr.audio.equalization import window_samples
from asr.dataset import Utterance
from asr.decoding import DecodingOptions, Hypothesis, Phrases
from asr.errors import AudioError, ConfigError, ManifestError
from asr.transcript import Word
from asr.transcription import choose_phrases, read_labels, unlabelled
from asr.transcription.labels import cut, surenesses


def hypothesis(text, *tokens):
    return Hypothesis(text, tokens, 0.0, 0.0, 0.0, ())


def test_sureness_is_the_root_of_the_sum_over_all_paths():
    torch.manual_seed(0)
    log_probs = torch.randn(3, 5, 4).log_softmax(-1)
    lengths = torch.tensor([5, 4, 3])
    readings = [hypothesis("a b a", 1, 3, 2, 3, 1), hypothesis("ab", 1, 2), hypothesis("")]
    found = surenesses(log_probs, lengths, readings)
    for row, length, reading, sureness in zip(log_probs, lengths.tolist(), readings, found, strict=True):
        total = 0.0
        for path in itertools.product(range(4), repeat=length):
            if tuple(token for token, _ in itertools.groupby(path) if token) == reading.tokens:
                total += math.exp(sum(float(row[t, token]) for t, token in enumerate(path)))
        words = len(reading.text.split())
        assert sureness == pytest.approx(total ** (1 / words) if words else 0.0, rel=1e-5)


def test_what_cannot_be_aligned_is_not_sure_at_all():
    assert surenesses(torch.zeros(1, 2, 4).log_softmax(-1), torch.tensor([2]), [hypothesis("aa", 1, 1)]) == [0.0]


@pytest.mark.parametrize("decoding", [DecodingOptions(), DecodingOptions(beam_size=4)])
@pytest.mark.parametrize("batch_seconds", [0.01, 60.0])
def test_labels_are_what_is_heard_whatever_the_manifest_says(tmp_path, decoding, batch_seconds):
    corpus = manifest(tmp_path, [("ab ab", "b"), ("", "a b"), ("ba", "")])
    told = []
    labels = read_labels(
        recognizer(decoding=decoding), corpus, batch_seconds, lambda done, total: told.append((done, total))
    )
    assert [label.utterance.text for label in labels] == ["ab ab", "", "ba"]
    assert [label.utterance.id for label in labels] == ["u0", "u1", "u2"]
    assert [label.utterance.duration for label in labels] == [utterance.duration for utterance in corpus]
    assert labels[1].sureness == 0.0
    assert min(labels[0].sureness, labels[2].sureness) > 0.99
    assert told[-1] == pytest.approx((corpus.durations.sum(),) * 2)


def test_a_dull_model_is_less_sure(tmp_path):
    corpus = manifest(tmp_path, [("ab", "")])
    dull = recognizer()
    dull.model.sharpness = 4.0
    (sure,), (unsure,) = read_labels(recognizer(), corpus), read_labels(dull, corpus)
    assert sure.utterance == unsure.utterance
    assert 0.0 < unsure.sureness < 0.9 < sure.sureness


def test_a_pause_parts_a_long_recording(tmp_path):
    quiet = 220 * " "  # 22 s that the toy hears as spaces, which are no words
    corpus = manifest(tmp_path, [("ab" + quiet + "b a", ""), ("a", "")])
    heard = read_labels(recognizer(), corpus)
    assert [label.utterance.text for label in heard] == ["ab", "b a", "a"]
    first, second, last = (label.utterance for label in heard)
    assert first.offset == 0.0
    assert 0.2 < first.duration < 0.7
    assert second.offset == pytest.approx(22.2 - 0.4, abs=0.2)
    assert second.offset + second.duration == pytest.approx(corpus[0].duration, abs=1e-3)
    assert first.id.startswith("u0-")
    assert len({first.id, second.id, last.id}) == 3
    assert first.speaker == second.speaker == str(corpus[0].audio_filepath)
    assert last == Utterance(corpus[1].audio_filepath, corpus[1].duration, "a", id="u1", line=2)


def test_a_cut_leaves_silence_at_either_end_but_never_two_parts_of_the_same():
    whole = Utterance("talk.wav", 10.0, "", offset=100.0, speaker="anna", id="talk")
    words = [Word(0.1, 0.5, "a", 1.0), Word(1.0, 2.0, "b", 1.0), Word(2.9, 3.0, "c", 1.0), Word(8.0, 9.9, "d", 1.0)]
    parts = cut(whole, words)
    assert [(part.offset, part.duration) for part in parts] == [(100.0, 2.4), (102.5, 0.9), (107.6, 2.4)]
    assert {part.speaker for part in parts} == {"anna"}
    assert cut(whole, []) == []


def test_speech_without_a_pause_is_cut_where_it_pauses_longest(tmp_path):
    corpus = manifest(tmp_path, [("ab" * 400, "")])  # 80 s, a single word for the toy
    (part,) = cut(corpus[0], [Word(0.0, 80.0, "ab" * 400, 1.0)])
    assert part.duration == 80.0
    corpus = manifest(tmp_path, [(80 * "ab ab ba ", "")])  # 72 s
    labels = read_labels(recognizer(), corpus)
    assert len(labels) > 72 / 20
    assert all(0.0 < label.utterance.duration <= 20.0 for label in labels)
    assert " ".join(label.utterance.text for label in labels) == (80 * "ab ab ba ").strip()
    for label, after in itertools.pairwise(labels):
        end = label.utterance.offset + label.utterance.duration
        assert end == pytest.approx(after.utterance.offset, abs=2e-3), "nothing is lost, and nothing is said twice"


def test_what_cannot_be_read_is_named_in_its_place(tmp_path):
    corpus = manifest(tmp_path, [("a", ""), ("b", ""), ("a" + 220 * " ", ""), ("ab", "")])
    for name in ("1.wav", "2.wav"):
        (tmp_path / name).write_bytes(b"not audio")
    first, second, third, last = read_labels(recognizer(), corpus)
    assert (first.utterance.text, last.utterance.text) == ("a", "ab")
    assert isinstance(second, AudioError)
    assert "1.wav" in str(second)
    assert isinstance(third, AudioError)
    assert "2.wav" in str(third)


def test_voices_are_told_by_all_that_each_says(tmp_path):
    corpus = list(manifest(tmp_path, [("ab ab", ""), ("a", ""), ("ba", "")]))
    listener = recognizer()
    listener.typical_voice, heard = torch.linspace(-1.0, 1.0, window_samples(RATE) // 2 + 1), {}

    def log_probs(waveforms):
        heard.update({len(waveform): waveform for waveform in waveforms})
        return recognizer().log_probs([waveform.clamp(0.0, 0.3) for waveform in waveforms])

    listener.log_probs = log_probs
    alone = read_labels(listener, corpus) and dict(heard)
    read_labels(listener, unlabelled(tmp_path / "test.jsonl", speaker="anna"))
    assert heard.keys() == alone.keys()
    assert not any(torch.equal(heard[length], alone[length]) for length in heard)


def test_recordings_and_manifests_are_taken(tmp_path):
    corpus = manifest(tmp_path, [("ab", "x"), ("a", "y")])
    (one,) = unlabelled(tmp_path / "0.wav")
    assert one == Utterance(tmp_path / "0.wav", corpus[0].duration, "", id="0")
    assert list(unlabelled(tmp_path / "test.jsonl")) == list(corpus)
    named = [*unlabelled(tmp_path / "0.wav", "bert"), *unlabelled(tmp_path / "test.jsonl", "bert")]
    assert [each.speaker for each in named] == ["bert"] * 3
    with pytest.raises(AudioError, match=r"none\.wav"):
        unlabelled(tmp_path / "none.wav")
    with pytest.raises(AudioError, match=r"caf\\udce9\.wav: its name is not Unicode"):
        unlabelled(tmp_path / "caf\udce9.wav")
    with pytest.raises(ManifestError, match=r"none\.jsonl"):
        unlabelled(tmp_path / "none.jsonl")


def test_the_likeliest_phrase_is_chosen_as_surely_as_it_is_likelier_than_the_others(tmp_path):
    corpus = manifest(tmp_path, [("ab", "b"), ("b a", ""), ("bb", "")])
    listener = recognizer()
    listener.model.sharpness = 3.0
    labels = choose_phrases(listener, corpus, ["AB!", "b a", "a", "ab"], batch_seconds=0.01)
    assert [label.utterance.text for label in labels][:2] == ["ab", "b a"]
    for utterance, label in zip(corpus, labels, strict=True):
        log_probs, lengths = listener.log_probs([load(utterance.audio_filepath, RATE)])
        scores = Phrases(listener.tokenizer, ["ab", "b a", "a"], 0.01).scores(log_probs, lengths)
        assert label.sureness == pytest.approx(float(scores.softmax(dim=1).max()), rel=1e-4)


def test_balanced_phrases_are_chosen_equally_often(tmp_path):
    corpus = manifest(tmp_path, [("a", ""), ("a", ""), ("a ", ""), ("a ", "")])
    plain = choose_phrases(recognizer(), corpus, ["a", "b"])
    assert [label.utterance.text for label in plain] == ["a"] * 4
    balanced = choose_phrases(recognizer(), corpus, ["a", "b"], balanced=True)
    by_text = sum(label.sureness if label.utterance.text == "a" else 1 - label.sureness for label in balanced)
    assert by_text == pytest.approx(2.0, abs=1e-3)


def test_phrases_are_chosen_of_what_can_be_read(tmp_path):
    corpus = manifest(tmp_path, [("a", ""), ("b", ""), ("", "")])
    (tmp_path / "1.wav").write_bytes(b"not audio")
    first, second, last = choose_phrases(recognizer(), corpus, ["a", "abababababababab"])
    assert first.utterance.text == "a"
    assert isinstance(second, AudioError)
    assert last.utterance.text == "a", "too short for the other"
    (broken,) = choose_phrases(recognizer(), [corpus[1]], ["a"])
    assert isinstance(broken, AudioError)
    with pytest.raises(ConfigError, match="2 recordings cannot say 3 phrases"):
        choose_phrases(recognizer(), corpus, ["a", "b", "ab"], balanced=True)


@pytest.mark.parametrize("balanced", [False, True])
def test_recordings_too_short_for_any_phrase_say_nothing_and_do_not_count(tmp_path, balanced):
    said = [("abab", ""), ("baba", ""), ("abab", ""), ("baba", "")]
    corpus = manifest(tmp_path, [*said, ("", ""), ("", ""), ("", "")])
    soundfile.write(corpus[4].audio_filepath, torch.zeros(1).numpy(), RATE)
    short = dataclasses.replace(corpus[4], duration=1 / RATE)
    listener, phrases = recognizer(), ["abab" * 2, "baba" * 2, "abba" * 2]
    alone = choose_phrases(listener, list(corpus)[:4], phrases, balanced)
    together = choose_phrases(listener, [short, *list(corpus)[:4], *list(corpus)[5:]], phrases, balanced)
    assert together[1:5] == alone
    for label in (together[0], *together[5:]):
        assert (label.utterance.text, label.sureness) == ("", 0.0)
    with pytest.raises(ConfigError, match="0 recordings cannot say 3 phrases"):
        choose_phrases(listener, list(corpus)[5:], phrases, balanced=True)


def test_nothing_gives_nothing():
    assert read_labels(recognizer(), []) == []
    assert choose_phrases(recognizer(), [], ["a"]) == []
