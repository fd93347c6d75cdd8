"""Calibration of decoders on emissions made by hand, with as many wrong words as is wanted."""

import pytest
import torch

from asr.config import TextConfig
from asr.decoding import BeamSearch, align, greedy, timed, words
from asr.decoding.align import temper
from asr.decoding.calibrate import calibrate, spread
from asr.decoding.tune import Emissions
from asr.evaluation import score
from asr.evaluation.calibration import judge, reliability
from asr.text import CharTokenizer
from asr.text.normalize import Normalizer

TOKENIZER = CharTokenizer("ab ")
NORMALIZER = Normalizer(TextConfig())
FRAME = 0.02


def noise(frames, seed, batch=1):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(batch, frames, TOKENIZER.size, generator=generator)).log_softmax(-1)


def greedily(log_probs, lengths):
    return [[each] for each in greedy(log_probs, lengths, TOKENIZER, FRAME)]


def overconfident(sure, right, wrong):
    """Utterances of one letter, each said in one frame with probability `sure`; so many right and wrong."""
    frames = torch.full((right + wrong, 1, 4), (1 - sure) / 3)
    frames[:, :, TOKENIZER.encode("a")[0]] = sure
    return Emissions(((frames.log(), torch.ones(right + wrong, dtype=torch.long)),), ("a",) * right + ("b",) * wrong)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_tempered_scores_are_those_of_the_tempered_softmax(temperature):
    log_probs = noise(9, seed=0, batch=2)
    tokens = torch.randint(0, 4, (2, 9), generator=torch.Generator().manual_seed(1))
    expected = (log_probs / temperature).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    torch.testing.assert_close(temper(log_probs, tokens, temperature), expected)


@pytest.mark.parametrize("temperature", [0.3, 2.5])
def test_temperature_changes_confidences_and_nothing_else(temperature):
    log_probs, lengths = noise(40, seed=2, batch=5), torch.tensor([40, 31, 0, 1, 17])

    def beam(at):
        return [
            timed(found[0], frames[:length], TOKENIZER, FRAME, at)
            for found, frames, length in zip(
                BeamSearch(TOKENIZER, 8).batch(log_probs, lengths), log_probs, lengths.tolist(), strict=True
            )
        ]

    def best(at):
        return greedy(log_probs, lengths, TOKENIZER, FRAME, at)

    for decode in (beam, best):
        confidences = []
        for plain, tempered in zip(decode(1.0), decode(temperature), strict=True):
            assert (plain.text, plain.tokens, plain.score) == (tempered.text, tempered.tokens, tempered.score)
            assert [(w.text, w.start, w.end) for w in plain.words] == [(w.text, w.start, w.end) for w in tempered.words]
            confidences += [(a.confidence, b.confidence) for a, b in zip(plain.words, tempered.words, strict=True)]
        assert all(0 <= each <= 1 for pair in confidences for each in pair)
        plain, tempered = map(sum, zip(*confidences, strict=True))
        assert (tempered < plain) == (temperature > 1)


def test_overconfidence_is_found_and_mended():
    result = calibrate(overconfident(0.99, right=78, wrong=20), greedily, TOKENIZER, NORMALIZER)
    assert result.before.calibration_error == pytest.approx(0.99 - 78 / 98, abs=1e-6)
    assert result.temperature > 1
    assert result.after.calibration_error == pytest.approx(0.0, abs=0.02)
    assert result.after.log_loss < result.before.log_loss
    assert result.rates.wer == pytest.approx(20 / 98)


def test_confidences_are_those_of_the_decoder_at_that_temperature():
    batches = tuple((noise(60, seed, batch=4), torch.tensor([60, 44, 13, 0])) for seed in (3, 4))
    references = tuple("ab ba a b"[: 2 + number] for number in range(8))
    result = calibrate(Emissions(batches, references), greedily, TOKENIZER, NORMALIZER)
    for temperature, expected in ((1.0, result.before), (result.temperature, result.after)):
        found = [each for batch in batches for each in greedy(*batch, TOKENIZER, FRAME, temperature)]
        rates = score(references, [NORMALIZER(each.text) for each in found])
        assert rates == result.rates
        sure, right = zip(*judge(rates.utterances, [[w.confidence for w in each.words] for each in found]), strict=True)
        shown = reliability(torch.tensor(sure).double().numpy(), torch.tensor(right).numpy())
        assert shown.calibration_error == pytest.approx(expected.calibration_error, abs=1e-5)
        assert shown.log_loss == pytest.approx(expected.log_loss, abs=1e-5)


def test_alignment_of_a_greedy_text_has_the_same_confidences():
    [frames] = noise(50, seed=5)
    [found] = greedy(frames[None], torch.tensor([50]), TOKENIZER, FRAME, 1.7)
    again = words(align(frames, found.tokens, 1.7), TOKENIZER, FRAME, 1.0)
    assert [w.confidence for w in again] == pytest.approx([w.confidence for w in found.words])


def test_silence_leaves_the_temperature_alone():
    silence = torch.tensor([[[0.97, 0.01, 0.01, 0.01]] * 5]).log()
    result = calibrate(Emissions(((silence, torch.tensor([5])),), ("a",)), greedily, TOKENIZER, NORMALIZER)
    assert (result.temperature, result.before.words, result.before.calibration_error) == (1.0, 0, None)


def test_what_normalisation_parts_is_counted_twice_and_what_it_drops_not_at_all():
    assert spread([("it's", 1), ("A/B", 2), ("...", 3)], NORMALIZER) == [1, 2, 2]
