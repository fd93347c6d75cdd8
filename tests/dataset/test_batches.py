import dataclasses
import math
import pickle
import random
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.config import AugmentConfig, TextConfig, TokenizerConfig
from asr.dataset.batches import Batch, BatchSampler, Example, SpeechDataset, collate, loader
from asr.dataset.manifest import Manifest, Utterance, write_manifest
from asr.errors import AudioError, TextError
from asr.text import CharTokenizer, Normalizer, build_tokenizer

RATE = 8000
DURATIONS = st.lists(st.floats(0.125, 40.0), max_size=60)


def example(samples: int, tokens: list[int]) -> Example:
    return Example(torch.linspace(0.1, 1.0, samples), tokens, f"u{samples}", "abc"[: len(tokens)])


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Ten utterances of noise, 0.10 to 0.19 seconds; the last two are stretches of one file."""
    generator = np.random.default_rng(0)
    utterances = []
    for index in range(9):
        seconds = 0.1 + index / 100
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, generator.uniform(-0.5, 0.5, round(seconds * RATE)), RATE)
        utterances.append(Utterance(path, seconds, "Abc, cab!"[: index + 1]))
    utterances.append(Utterance(tmp_path / "8.wav", 0.05, "a", offset=0.05))
    write_manifest(tmp_path / "m.jsonl", utterances)
    return Manifest(tmp_path / "m.jsonl")


def speech(manifest: Manifest, augment: AugmentConfig | None = None) -> SpeechDataset:
    return SpeechDataset(manifest, CharTokenizer("abc "), Normalizer(TextConfig()), RATE, augment, seed=3)


def equal(first: Batch, second: Batch) -> bool:
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in dataclasses.fields(Batch)]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@given(DURATIONS, st.floats(0.5, 100.0), st.integers(0, 5), st.integers(0, 5))
def test_every_utterance_once_within_the_limit(durations: list[float], limit: float, seed: int, epoch: int) -> None:
    batches = BatchSampler(durations, limit, seed).batches(epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(durations)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or max(durations[index] for index in batch) * len(batch) <= limit


def test_equal_durations_fill_every_batch() -> None:
    batches = BatchSampler([2.0] * 10, 8.0, 0).batches(0)
    assert sorted(map(len, batches)) == [2, 4, 4]


def test_seed_and_epoch_decide_and_nothing_else() -> None:
    durations = np.random.default_rng(1).uniform(1, 9, 300)
    first = BatchSampler(durations, 60, 7).batches(2)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002  (the global state that must not matter)
    torch.manual_seed(5)
    assert BatchSampler(durations, 60, 7).batches(2) == first
    assert BatchSampler(durations, 60, 7).batches(3) != first
    assert BatchSampler(durations, 60, 8).batches(2) != first


def test_batches_hold_similar_lengths_and_come_in_mixed_order() -> None:
    durations = np.random.default_rng(1).uniform(1, 15, 2000)
    batches = BatchSampler(durations, 60, 0).batches(0)
    padded = sum(max(durations[batch]) * len(batch) for batch in batches)
    assert durations.sum() / padded > 0.9
    means = [durations[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_companions_change_from_epoch_to_epoch() -> None:
    sampler = BatchSampler(np.random.default_rng(1).uniform(2, 4, 200), 30, 0)
    first, second = ({frozenset(batch) for batch in sampler.batches(epoch)} for epoch in (0, 1))
    assert len(first & second) < len(first) / 4


def test_collate_by_hand() -> None:
    batch = collate([example(3, [1, 2]), example(5, [3]), example(1, [])], pad_samples=4)
    assert batch.waveforms.shape == (3, 8)
    assert batch.waveforms.dtype == torch.float32
    assert batch.lengths.tolist() == [3, 5, 1]
    assert batch.tokens.tolist() == [[1, 2], [3, 0], [0, 0]]
    assert batch.tokens.dtype == batch.token_lengths.dtype == batch.lengths.dtype == torch.int64
    assert batch.token_lengths.tolist() == [2, 1, 0]
    assert batch.ids == ("u3", "u5", "u1")
    assert batch.texts == ("ab", "a", "")
    assert torch.equal(batch.waveforms[1, :5], torch.linspace(0.1, 1.0, 5))
    assert batch.waveforms[1, 5:].abs().sum() == 0
    assert collate([example(3, [1])]).waveforms.shape == (1, 3)


def test_batch_moves_but_for_lengths() -> None:
    batch = collate([example(3, [1, 2])])
    assert equal(batch.to("cpu"), batch)
    moved = batch.to("meta")
    assert {moved.waveforms.device.type, moved.tokens.device.type} == {"meta"}
    assert {moved.lengths.device.type, moved.token_lengths.device.type} == {"cpu"}
    assert moved.ids == batch.ids


def test_examples_are_what_the_manifest_says(manifest: Manifest, tmp_path: Path) -> None:
    dataset = speech(manifest)
    assert len(dataset) == 10
    third = dataset[0, 3]
    assert (third.id, third.text, third.tokens) == ("3", "abc", [1, 2, 3])
    samples, _ = soundfile.read(tmp_path / "8.wav", dtype="float32")
    assert torch.equal(dataset[0, 8].waveform, torch.from_numpy(samples))
    assert torch.equal(dataset[0, 9].waveform, torch.from_numpy(samples[400:800]))


def test_perturbation_depends_on_seed_epoch_and_index_alone(manifest: Manifest) -> None:
    augment = AugmentConfig(speeds=(1.0,), gain_db=20.0)
    dataset = speech(manifest, augment)
    first = dataset[1, 4].waveform
    plain = speech(manifest)[1, 4].waveform
    gains = {round(float(dataset[epoch, 4].waveform[9] / plain[9]), 5) for epoch in range(5)}
    assert len(gains) == 5
    state = torch.get_rng_state()
    assert torch.equal(dataset[1, 4].waveform, first)
    assert torch.equal(torch.get_rng_state(), state)
    dataset.seed = 4
    assert not torch.equal(dataset[1, 4].waveform, first)


@pytest.fixture
def everything(manifest: Manifest, tmp_path: Path) -> AugmentConfig:
    """All that is random; the noises are utterances."""
    return AugmentConfig(
        gain_db=6.0, silence_seconds=0.05, reverberation_share=0.5, noise=(str(manifest.path),), noise_share=0.5
    )


@pytest.mark.parametrize("augmented", [False, True])
def test_loading_is_the_same_with_any_number_of_workers(
    manifest: Manifest, everything: AugmentConfig, augmented: bool
) -> None:
    augment = everything if augmented else None
    dataset, sampler = speech(manifest, augment), BatchSampler(manifest.durations, 0.4, seed=3)
    state = torch.get_rng_state()
    alone = list(loader(dataset, sampler.batches(1), epoch=1, pad_samples=100))
    assert [len(batch.ids) for batch in alone] == [len(batch) for batch in sampler.batches(1)]
    assert all(batch.waveforms.shape[1] % 100 == 0 for batch in alone)
    helped = list(loader(dataset, sampler.batches(1), epoch=1, workers=2, pad_samples=100))
    assert len(alone) == len(helped) > 3
    assert all(map(equal, alone, helped))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_interrupted_epoch_goes_on(manifest: Manifest, workers: int) -> None:
    dataset, sampler = speech(manifest, AugmentConfig()), BatchSampler(manifest.durations, 0.4, seed=3)
    plan = sampler.batches(2)
    whole = list(loader(dataset, plan, epoch=2))
    rest = list(loader(dataset, plan[2:], epoch=2, workers=workers))
    assert len(rest) == len(whole) - 2
    assert all(map(equal, whole[2:], rest))
    assert list(loader(dataset, [], epoch=2)) == []
    share = list(loader(dataset, plan[1::2], epoch=2, workers=workers))
    assert all(map(equal, whole[1::2], share))


def test_leaving_an_epoch_early_ends_its_workers(manifest: Manifest) -> None:
    batches = loader(speech(manifest), BatchSampler(manifest.durations, 0.2, 0).batches(0), epoch=0, workers=1)
    assert next(batches).ids
    del batches
    assert not torch.multiprocessing.active_children()


def test_leaving_an_epoch_early_ends_its_thread(manifest: Manifest) -> None:
    before = threading.enumerate()
    for epoch in range(3):
        batches = loader(speech(manifest), BatchSampler(manifest.durations, 0.2, 0).batches(epoch), epoch)
        assert next(batches).ids
        assert len(threading.enumerate()) == len(before) + 1
        batches.close()
        assert threading.enumerate() == before


@pytest.mark.parametrize("augmented", [False, True])
def test_a_thread_reads_what_a_plain_loop_reads(manifest: Manifest, everything: AugmentConfig, augmented: bool) -> None:
    plan = BatchSampler(manifest.durations, 0.4, seed=3).batches(1)
    dataset = speech(manifest, everything if augmented else None)
    plain = [collate([dataset[1, index] for index in indices], 100) for indices in plan]
    dataset = speech(manifest, everything if augmented else None)
    one, other = (loader(dataset, plan, epoch=1, pad_samples=100) for _ in range(2))
    for expected, *found in zip(plain, one, other, strict=True):  # two threads read from one dataset
        assert all(equal(expected, batch) for batch in found)


def test_nothing_depends_on_the_number_of_threads(tmp_path: Path) -> None:
    """PyTorch splits the mean over a long waveform among its threads, and rounds otherwise; noise is scaled by it."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE)
    soundfile.write(tmp_path / "long.wav", noise, RATE)
    utterances = [Utterance(tmp_path / "long.wav", 12.0, "a", offset=float(offset)) for offset in range(8)]
    write_manifest(tmp_path / "long.jsonl", utterances)
    augment = AugmentConfig(noise=(str(tmp_path / "long.jsonl"),), noise_share=1.0, reverberation_share=0.5)
    dataset = speech(Manifest(tmp_path / "long.jsonl"), augment)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(list(loader(dataset, [list(range(8))], epoch=0)))
    finally:
        torch.set_num_threads(threads)
    assert equal(found[0][0], found[1][0])


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_come_when_their_batch_is_due(manifest: Manifest, tmp_path: Path, workers: int) -> None:
    (tmp_path / "6.wav").unlink()
    batches = loader(speech(manifest), [[0, 1], [2], [5, 6], [3]], epoch=0, workers=workers)
    assert [next(batches).ids for _ in range(2)] == [("0", "1"), ("2",)]
    with pytest.raises(AudioError, match=r"m\.jsonl:7: .*6\.wav"):
        next(batches)


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_name_the_line_in_one_line(manifest: Manifest, tmp_path: Path, workers: int) -> None:
    (tmp_path / "6.wav").unlink()
    sampler = BatchSampler(manifest.durations, 0.4, seed=0)
    with pytest.raises(AudioError, match=r"m\.jsonl:7: .*6\.wav") as caught:
        list(loader(speech(manifest), sampler.batches(0), epoch=0, workers=workers))
    assert "\n" not in str(caught.value)


def test_uncovered_text_names_the_line(manifest: Manifest) -> None:
    dataset = SpeechDataset(manifest, CharTokenizer("ab "), Normalizer(TextConfig()), RATE)
    with pytest.raises(TextError, match=r"m\.jsonl:3: .*'c'"):
        dataset[0, 2]


def test_everything_depends_on_seed_epoch_and_index_alone(manifest: Manifest, everything: AugmentConfig) -> None:
    dataset = speech(manifest, everything)
    first = [dataset[epoch, index].waveform for epoch in range(3) for index in range(10)]
    again = speech(manifest, everything)  # with nothing kept, in another order
    state = torch.get_rng_state()
    for place in reversed(range(30)):
        assert torch.equal(again[place // 10, place % 10].waveform, first[place])
    assert torch.equal(torch.get_rng_state(), state)
    assert len({len(waveform) for waveform in first[::10]}) == 3


def subwords(manifest: Manifest, dropout: float) -> SpeechDataset:
    tokenizer = build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=8), ["abc cab", "ab abc"])
    return SpeechDataset(manifest, tokenizer, Normalizer(TextConfig()), RATE, seed=3, token_dropout=dropout)


def test_merges_are_dropped_by_seed_epoch_and_index_alone(manifest: Manifest) -> None:
    dataset = subwords(manifest, dropout=0.5)
    cuts = [dataset[epoch, 8].tokens for epoch in range(8)]
    assert len(set(map(tuple, cuts))) > 2
    assert {dataset.tokenizer.decode(tokens) for tokens in cuts} == {"abc cab"}
    again, state = subwords(manifest, dropout=0.5), random.getstate()
    assert [again[epoch, 8].tokens for epoch in reversed(range(8))] == cuts[::-1]
    assert random.getstate() == state
    plan = BatchSampler(manifest.durations, 0.4, seed=3).batches(1)
    alone, helped = (list(loader(dataset, plan, epoch=1, workers=workers)) for workers in (0, 2))
    assert all(map(equal, alone, helped))
    again.seed = 4
    assert [again[epoch, 8].tokens for epoch in range(8)] != cuts


def test_no_merge_is_dropped_unless_asked(manifest: Manifest) -> None:
    dataset = subwords(manifest, dropout=0.0)
    assert all(dataset[epoch, 8].tokens == dataset.tokenizer.encode("abc cab") for epoch in range(8))


def test_broken_noise_names_its_line(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "noise.jsonl").write_text('{"audio_filepath": "none.wav", "duration": 1.0, "text": ""}')
    dataset = speech(manifest, AugmentConfig(noise=(str(tmp_path / "noise.jsonl"),), noise_share=1.0))
    with pytest.raises(AudioError, match=r"noise\.jsonl:1: .*none\.wav"):
        list(loader(dataset, [[0]], epoch=0))


def test_dataset_travels_to_a_process_that_was_not_forked(manifest: Manifest) -> None:
    dataset = speech(manifest, AugmentConfig())
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[1, 2].waveform, dataset[1, 2].waveform)
    assert math.isclose(copy.manifest[0].duration, 0.1)
