"""Utterances joined in training: an example is both, batches keep to their limit, and nothing but the seed decides."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr.config import AugmentConfig, TextConfig
from asr.dataset import BatchSampler, Manifest, SpeechDataset, Utterance, loader, write_manifest
from asr.dataset.concatenation import Followers
from asr.errors import AudioError
from asr.text import CharTokenizer, Normalizer

RATE = 8000
TEXTS = ("abc", "b", "", "c a", "cab", "a", "bb", "ba")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Eight utterances of noise, 0.10 to 0.17 seconds."""
    generator = np.random.default_rng(0)
    for index in range(len(TEXTS)):
        noise = generator.uniform(-0.5, 0.5, round((0.1 + index / 100) * RATE))
        soundfile.write(tmp_path / f"{index}.wav", noise, RATE)
    utterances = [Utterance(tmp_path / f"{i}.wav", 0.1 + i / 100, text, id=f"u{i}") for i, text in enumerate(TEXTS)]
    write_manifest(tmp_path / "m.jsonl", utterances)
    return Manifest(tmp_path / "m.jsonl")


def joined(manifest: Manifest, share: float, longest_seconds: float = 1.0) -> SpeechDataset:
    augment = AugmentConfig(speeds=(), concatenation_share=share)
    tokenizer, normalizer = CharTokenizer("abc "), Normalizer(TextConfig())
    return SpeechDataset(manifest, tokenizer, normalizer, RATE, augment, seed=3, longest_seconds=longest_seconds)


def test_an_example_is_both_recordings_and_both_texts(manifest: Manifest, tmp_path: Path) -> None:
    dataset = joined(manifest, share=1.0)
    met = set()
    for epoch in range(6):
        for index, text in enumerate(TEXTS):
            follower = int(dataset.followers.indices(epoch)[index])
            parts = [soundfile.read(tmp_path / f"{each}.wav", dtype="float32")[0] for each in (index, follower)]
            example = dataset[epoch, index]
            assert np.array_equal(example.waveform.numpy(), np.concatenate(parts))
            assert example.text == f"{text} {TEXTS[follower]}".strip()
            assert dataset.tokenizer.decode(example.tokens) == example.text
            assert example.id == f"u{index}+u{follower}"
            met.add(example.text)
    assert met & set(TEXTS), "an utterance without words adds no space"


def test_alone_unless_asked(manifest: Manifest) -> None:
    plain = SpeechDataset(manifest, CharTokenizer("abc "), Normalizer(TextConfig()), RATE)
    off = joined(manifest, share=0.0)
    for index, text in enumerate(TEXTS):
        assert torch.equal(off[2, index].waveform, plain[2, index].waveform)
        assert (off[2, index].text, off[2, index].id) == (text, f"u{index}")
    assert np.array_equal(off.followers.durations(2), manifest.durations.astype(np.float64))


def test_the_share_is_kept_everyone_may_follow_and_no_one_follows_itself() -> None:
    durations, count = np.full(5000, 2.0), 5000
    found = Followers(durations, 0.3, 30.0).indices(0)
    assert (found >= 0).mean() == pytest.approx(0.3, abs=0.02)  # 3 standard deviations
    assert not (found == np.arange(count)).any()
    places = (found - np.arange(count))[found >= 0] % count
    assert np.histogram(places, 4, (0, count))[0] == pytest.approx([375] * 4, abs=60)
    few = Followers(np.ones(3), 1.0)
    assert {tuple(few.indices(epoch)) for epoch in range(200)} == {
        (i, j, k) for i in (1, 2) for j in (0, 2) for k in (0, 1)
    }
    assert Followers(np.ones(1), 1.0).indices(0).tolist() == [-1]


def test_both_together_last_no_longer_than_allowed() -> None:
    durations = np.random.default_rng(0).uniform(1.0, 20.0, 3000)
    followers = Followers(durations, 0.9, longest_seconds=20.0)
    found, together = followers.indices(1), followers.durations(1)
    assert together.max() <= 20.0
    assert together == pytest.approx(
        [own + durations[at] * (at >= 0) for own, at in zip(durations, found, strict=True)]
    )
    assert not (found[durations > 19.0] >= 0).any()
    assert (found[durations < 2.0] >= 0).mean() > 0.7, "short ones find somebody"


def test_seed_and_epoch_decide_and_nothing_else() -> None:
    durations = np.random.default_rng(0).uniform(1.0, 20.0, 100)
    followers = Followers(durations, 0.5, seed=7)
    third, fourth = followers.indices(3).tolist(), followers.indices(4).tolist()
    assert third != fourth
    assert followers.indices(3).tolist() == Followers(durations, 0.5, seed=7).indices(3).tolist() == third
    assert Followers(durations, 0.5, seed=8).indices(3).tolist() != third


def test_batches_with_padding_keep_to_their_limit(manifest: Manifest) -> None:
    dataset, limit = joined(manifest, share=0.5), 0.8
    sizes = []
    for epoch in range(5):
        plan = BatchSampler(dataset.followers.durations(epoch), limit, seed=3).batches(epoch)
        sizes += [batch.waveforms.numel() / RATE for batch in loader(dataset, plan, epoch)]
        assert sorted(index for batch in plan for index in batch) == list(range(len(TEXTS)))
    assert 0.4 < max(sizes) <= limit + 1e-6


def test_the_same_with_any_number_of_workers_and_after_an_interruption(manifest: Manifest) -> None:
    plan = BatchSampler(joined(manifest, 0.5).followers.durations(2), 0.8, seed=3).batches(2)
    alone, helped = (list(loader(joined(manifest, 0.5), plan, epoch=2, workers=workers)) for workers in (0, 2))
    rest = list(loader(joined(manifest, 0.5), plan[1:], epoch=2))
    assert any("+" in name for batch in alone for name in batch.ids)
    for ours, theirs in (*zip(alone, helped, strict=True), *zip(alone[1:], rest, strict=True)):
        assert torch.equal(ours.waveforms, theirs.waveforms)
        assert (ours.texts, ours.ids) == (theirs.texts, theirs.ids)


def test_a_broken_follower_names_its_own_line(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "4.wav").unlink()
    dataset = joined(manifest, share=1.0)
    epoch, index = next(
        (epoch, index) for epoch in range(50) for index in range(4) if dataset.followers.indices(epoch)[index] == 4
    )
    with pytest.raises(AudioError, match=r"m\.jsonl:5: .*4\.wav"):
        dataset[epoch, index]
