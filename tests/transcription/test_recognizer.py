"""Recognisers on small made files: a toy model whose answer is plain, and a real one for invariance."""

import dataclasses
import math

import pytest
import soundfile
import torch

from asr.audio.equalization import equalize, hear, long_term_spectrum
from asr.config import FeatureConfig, ModelConfig, TextConfig
from asr.decoding.decoder import DecodingOptions
from asr.errors import AudioError, ConfigError
from asr.model import Bundle, Model, save_bundle
from asr.model.precision import runs_bf16
from asr.text import CharTokenizer
from asr.transcript import Transcript, Word
from asr.transcription import RankedTranscript, Recognizer
from asr.transcription.recognizer import batches_by_length, stretches, transcript

RATE = 8000
LETTERS = " abcdefghij"


class LoudnessModel(torch.nn.Module):
    """Hears the level of every 10 ms: silence is the blank, a constant 0.1 is "a", 0.2 is "b", ..., 0.9 is " "."""

    frame_seconds = 0.01

    def log_probs(self, waveforms, lengths):
        hop = round(RATE * self.frame_seconds)
        frames = torch.nn.functional.pad(waveforms, (0, hop)).unfold(1, hop, hop)
        levels = (10 * frames.mean(dim=-1)).round().long()
        token = torch.where(levels == 0, 0, levels % 9 + 1)
        return torch.nn.functional.one_hot(token, len(LETTERS) + 1).mul(20.0).log_softmax(-1), 1 + lengths // hop


def bundle(model):
    features = FeatureConfig(sample_rate=RATE, bins=16)
    return Bundle(model, CharTokenizer(LETTERS), TextConfig(), features, SMALL)


SMALL = ModelConfig(subsampling=2, channels=4, layers=1, units=16)
TOY = Recognizer(bundle(LoudnessModel()), device="cpu")


def sound(text, letter_seconds=0.03):
    """What the loudness model hears as `text`; `_` is a tenth of a second of silence."""
    pieces = [
        torch.zeros(RATE // 10)
        if letter == "_"
        else torch.full((round(RATE * letter_seconds),), (LETTERS.index(letter) or 9) / 10)
        for letter in text
    ]
    return torch.cat(pieces)


@pytest.fixture(scope="module")
def real():
    torch.manual_seed(0)
    features = FeatureConfig(sample_rate=RATE, bins=16)
    model = Model(features, SMALL, len(LETTERS) + 1)
    with torch.no_grad():
        model.head.weight.mul_(20)  # an untrained head says next to nothing; a loud one writes text
    return bundle(model)


def noises(*seconds):
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(round(RATE * each), generator=generator) for each in seconds]


def write(path, waveform):
    soundfile.write(path, waveform.numpy(), RATE, subtype="FLOAT")
    return path


def test_a_waveform_becomes_words_with_times():
    result = TOY.transcribe(sound("__ab_ _cab___"))
    assert result.text == "ab cab"
    assert result.duration == pytest.approx(0.88)
    (segment,) = result.segments
    first, second = segment.words
    assert (first.start, first.end) == pytest.approx((0.195 - 0.1, 0.255 + 0.1))
    assert (second.start, second.end) == pytest.approx((0.485 - 0.1, 0.575 + 0.1))
    assert (segment.start, segment.end) == (first.start, second.end)
    assert 0.99 < segment.confidence <= 1.0


def test_a_long_pause_opens_a_segment():
    result = TOY.transcribe(sound("ab_ _ab" + 12 * "_" + " " + "ba"))
    assert [segment.text for segment in result.segments] == ["ab ab", "ba"]
    assert result.text == "ab ab ba"
    assert result.segments[0].end < result.segments[1].start - 0.8


def test_segments_cut_words_at_the_end_of_the_audio():
    words = (Word(0.0, 0.5, "a", 0.5), Word(1.3, 1.9, "b", 0.7), Word(2.8, 3.0, "c", 0.9))
    result = transcript(words, duration=2.9)
    assert [segment.text for segment in result.segments] == ["a b", "c"]
    assert result.segments[0].confidence == pytest.approx(0.6)
    assert result.segments[1].end == 2.9


def spoken(*pauses, seconds=0.5, text="word"):
    """Words that last `seconds` each, and pauses between them."""
    words, now = [], 0.0
    for pause in (0.0, *pauses):
        now += pause
        words.append(Word(now, now + seconds, text, 1.0))
        now += seconds
    return words


def test_speech_without_a_long_pause_is_parted_at_its_longest_ones():
    words = spoken(*[0.1] * 5, 0.3, *[0.1] * 4, 0.2, *[0.1] * 6)  # 18 words in 11 s
    result = transcript(words, duration=12.0)
    assert [len(segment.words) for segment in result.segments] == [6, 5, 7]
    assert [word for segment in result.segments for word in segment.words] == words
    assert result.text == " ".join(segment.text for segment in result.segments) == " ".join(["word"] * 18)
    assert [len(part) for part in stretches(words, 12.0, longest_seconds=7.5)] == [6, 12]


def test_among_equal_pauses_the_one_in_the_middle_parts():
    words = spoken(*[0.1] * 31)
    found = stretches(words, 100.0, longest_seconds=5.0)
    assert [len(part) for part in found] == [8] * 4
    assert len(stretches(spoken(*[0.0] * 4999), 5000.0, longest_seconds=0.5)) == 5000


def test_what_is_too_much_to_read_at_once_is_parted_too():
    words = spoken(*[0.0] * 19, seconds=0.3, text="abcdefghi")
    assert [len(segment.text) for segment in transcript(words, 6.0).segments] == [49, 49, 49, 49]
    fits = transcript(spoken(*[0.0] * 7, seconds=0.3, text="abcdefghi"), 6.0)
    assert [len(segment.text) for segment in fits.segments] == [79]


def test_a_word_is_never_parted():
    (segment,) = transcript([Word(0.0, 20.0, 100 * "a", 1.0)], 20.0).segments
    assert (segment.start, segment.end, segment.text) == (0.0, 20.0, 100 * "a")
    assert stretches([], 20.0, 7.0) == []


@pytest.mark.parametrize("waveform", [torch.zeros(0), torch.zeros(1), torch.zeros(RATE)], ids=["none", "one", "second"])
def test_silence_and_no_samples_give_an_empty_transcript(waveform, real):
    assert TOY.transcribe(waveform) == Transcript("", (), len(waveform) / RATE)
    assert Recognizer(real, device="cpu").transcribe(waveform).duration == len(waveform) / RATE


@pytest.mark.parametrize("name", ["foo", "cuda:x", "cuda:99", "meta", "xpu:99"])
def test_a_device_that_is_not_there_is_named(real, name):
    with pytest.raises(ConfigError, match=rf"^--device {name}: there is none here; leave out --device, [^\n]*$"):
        Recognizer(real, device=name)


def test_no_waveforms_no_transcripts():
    assert TOY.transcribe_batch([]) == []
    assert list(TOY.transcribe_files([])) == []


def test_a_batch_gives_what_each_waveform_gives_alone(real):
    recognizer = Recognizer(real, device="cpu")
    waveforms = noises(0.5, 2.0, 0.11, 1.3)
    together = recognizer.transcribe_batch(waveforms)
    assert sum(len(each.text) for each in together) > 20
    for waveform, batched in zip(waveforms, together, strict=True):
        alone = recognizer.transcribe(waveform)
        assert batched.text == alone.text
        log_probs, lengths = recognizer.log_probs([waveform])
        assert lengths.tolist() == [log_probs.shape[1]]
        for one, other in zip(batched.segments, alone.segments, strict=True):
            assert [(word.start, word.end, word.text) for word in one.words] == [
                (word.start, word.end, word.text) for word in other.words
            ]
            assert one.confidence == pytest.approx(other.confidence, abs=1e-4)


def test_log_probs_are_normalised_and_carry_no_gradient(real):
    log_probs, _ = Recognizer(real, device="cpu").log_probs(noises(0.3))
    assert log_probs.exp().sum(-1).allclose(torch.ones(1), atol=1e-5)
    assert not log_probs.requires_grad


def test_bf16_is_rounded_float32(real):
    if not runs_bf16(torch.device("cpu")):
        pytest.skip("this processor has no AVX-512, which bf16 needs")
    exact, lengths = Recognizer(real, device="cpu").log_probs(noises(1.0, 0.4))
    recognizer = Recognizer(real, device="cpu", precision="bf16")
    assert recognizer.describe_decoding() == {"search": "greedy", "precision": "bf16"}
    rounded, same_lengths = recognizer.log_probs(noises(1.0, 0.4))
    assert rounded.dtype == torch.float32
    assert rounded.exp().sum(-1).allclose(torch.ones(1), atol=1e-5)
    assert torch.equal(lengths, same_lengths)
    distance = (rounded.exp() - exact.exp()).abs().max().item()
    assert 1e-5 < distance < 0.2


def test_a_saved_bundle_loads_and_says_the_same(real, tmp_path):
    save_bundle(tmp_path / "model", real)
    waveforms = noises(1.0)
    loaded = Recognizer.load(tmp_path / "model", device="cpu")
    assert loaded.transcribe_batch(waveforms) == Recognizer(real, device="cpu").transcribe_batch(waveforms)
    assert loaded.sample_rate == RATE
    assert loaded.frame_seconds == 0.02
    assert loaded.normalizer("Ab, C") == "ab c"


@pytest.mark.parametrize("batch_seconds", [0.01, 0.2, 60.0])
def test_files_come_in_order_and_a_broken_one_stops_no_other(tmp_path, batch_seconds):
    texts = ["abc", "a", "ab ab ab", "b", "cab"]
    paths = [write(tmp_path / f"{number}.wav", sound(text)) for number, text in enumerate(texts)]
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF nothing of use")
    paths[2:2] = [broken, tmp_path / "missing.wav", paths[0]]
    results = list(TOY.transcribe_files(iter(paths), batch_seconds=batch_seconds))
    assert [path for path, _ in results] == paths
    good = [result.text for _, result in results if isinstance(result, Transcript)]
    assert good == ["abc", "a", "abc", "ab ab ab", "b", "cab"]
    for path, result in results[2:4]:
        assert isinstance(result, AudioError)
        assert str(path) in str(result)


def test_files_are_answered_before_all_are_opened(tmp_path):
    path = write(tmp_path / "a.wav", sound("abc"))

    def endless():
        while True:
            yield path

    first, result = next(iter(TOY.transcribe_files(endless(), batch_seconds=0.2)))
    assert (first, result.text) == (path, "abc")


def test_a_file_is_read_at_the_rate_of_the_model(tmp_path):
    path = tmp_path / "double.wav"
    soundfile.write(path, sound("aaabbbccc").repeat_interleave(2).numpy(), 2 * RATE)
    assert TOY.transcribe(path).text == "abc"
    assert TOY.transcribe(str(path)).duration == pytest.approx(0.27)
    with pytest.raises(AudioError, match=r"missing\.wav"):
        TOY.transcribe(tmp_path / "missing.wav")


def test_batches_hold_every_item_once_within_the_limit():
    durations = [3.0, 0.5, 9.0, 1.0, 0.7, 2.5, 0.0, 30.0]
    batches = batches_by_length(durations, batch_seconds=6.0)
    assert sorted(index for batch in batches for index in batch) == list(range(len(durations)))
    for batch in batches:
        longest = max(durations[index] for index in batch)
        assert len(batch) == 1 or longest * len(batch) <= 6.0
    assert batches[-1] == [7]
    assert len(batches) < len(durations)
    assert batches_by_length([], 6.0) == []
    assert math.isclose(sum(durations[index] for batch in batches for index in batch), sum(durations))


def test_beam_search_hears_what_greedy_does_where_nothing_is_in_doubt():
    beam = Recognizer(bundle(LoudnessModel()), "cpu", DecodingOptions(beam_size=10))
    waveforms = [sound("__ab_ _cab___"), sound("_"), sound("_hide_ _a_ _bad_ _cab_")]
    for greedy, other in zip(TOY.transcribe_batch(waveforms), beam.transcribe_batch(waveforms), strict=True):
        assert (other.text, other.duration) == (greedy.text, greedy.duration)
        times = [
            [second for segment in each.segments for word in segment.words for second in (word.start, word.end)]
            for each in (greedy, other)
        ]
        assert times[0] == pytest.approx(times[1])
    assert beam.decode([]) == []


@pytest.mark.parametrize("decoding", [DecodingOptions(beam_size=8), DecodingOptions(beam_size=8, nbest=4)])
def test_beam_search_alone_is_beam_search_in_a_batch(real, decoding):
    recognizer = Recognizer(real, "cpu", decoding)
    waveforms = noises(0.7, 1.9, 0.3)
    for together, waveform in zip(recognizer.nbest(waveforms), waveforms, strict=True):
        [alone] = recognizer.nbest([waveform])
        assert [each.text for each in together] == [each.text for each in alone]
        assert [each.score for each in together] == pytest.approx([each.score for each in alone], abs=1e-3)
    assert [each.text for each in recognizer.decode(waveforms)] == [
        each[0].text for each in recognizer.nbest(waveforms)
    ]


def test_n_best_transcripts_carry_their_rivals(real):
    recognizer = Recognizer(real, "cpu", DecodingOptions(beam_size=8, nbest=4))
    result = recognizer.transcribe(*noises(1.0))
    assert isinstance(result, RankedTranscript)
    assert 1 < len(result.alternatives) <= 4
    assert result.text == result.alternatives[0].text


def equalizing(real):
    """The same model, told that voices fall towards high frequencies."""
    features = real.features.model_copy(update={"equalization": "speaker"})
    model = Model(features, SMALL, len(LETTERS) + 1)
    model.load_state_dict(real.model.state_dict() | {"features.typical_voice": typical(model)})
    return dataclasses.replace(real, model=model, features=features)


def typical(model):
    return torch.linspace(2.0, -2.0, len(model.features.typical_voice))


def test_voices_are_equalised_by_what_is_known_of_them(real, tmp_path):
    plain, recognizer = Recognizer(real, device="cpu"), Recognizer(equalizing(real), device="cpu")
    waveforms = noises(1.0, 1.4)
    paths = [write(tmp_path / f"{number}.wav", waveform) for number, waveform in enumerate(waveforms)]
    known = typical(recognizer.model)
    apart = [equalize(waveform, long_term_spectrum(hear([waveform], RATE), known)) for waveform in waveforms]
    together = [equalize(waveform, long_term_spectrum(hear(waveforms, RATE), known)) for waveform in waveforms]
    voice = recognizer.voice(paths)
    for each_voice, prepared in ((None, apart), (voice, together)):
        expected = plain.transcribe_batch(prepared)
        assert all(transcript.text for transcript in expected)
        assert recognizer.transcribe_batch(waveforms, each_voice) == expected
        assert [result for _, result in recognizer.transcribe_files(paths, voice=each_voice)] == expected
    assert plain.transcribe_batch(apart) != plain.transcribe_batch(together)


def test_a_voice_is_heard_in_the_files_that_can_be_read(real, tmp_path):
    recognizer, (waveform,) = Recognizer(equalizing(real), device="cpu"), noises(1.0)
    paths = [tmp_path / "missing.wav", write(tmp_path / "there.wav", waveform)]
    expected = long_term_spectrum(hear([waveform], RATE), typical(recognizer.model))
    assert torch.equal(recognizer.voice(paths), expected)


def test_who_does_not_equalise_voices_says_so(real):
    with pytest.raises(ConfigError, match="transcribe without --one-speaker"):
        Recognizer(real, device="cpu").voice([])
