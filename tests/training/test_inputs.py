"""What a training reads, as a recipe asks for it."""

from dataclasses import replace

import pytest
import torch

from asr.audio.equalization import equalize, hear, long_term_spectrum
from asr.dataset import Manifest, write_manifest
from asr.errors import ManifestError, TextError, TrainingError
from asr.training.inputs import prepare_inputs
from recipes import change


def test_merges_are_dropped_in_training_only(recipe):
    subwords = {"kind": "bpe", "vocabulary_size": 12}
    plain, dropping = (
        prepare_inputs(change(recipe, tokenizer=subwords | {"dropout": dropout})) for dropout in (0.0, 0.9)
    )
    assert plain.tokenizer.model == dropping.tokenizer.model
    plan = plain.plan(0)

    def tokens(batches):
        return sum(int(batch.token_lengths.sum()) for batch in batches)

    assert tokens(dropping.load(plan, 0)) > tokens(plain.load(plan, 0))
    assert tokens(dropping.load_dev()) == tokens(plain.load_dev())
    assert tokens(dropping.load_plain()) == tokens(plain.load_plain()) == tokens(plain.load(plan, 0))


def test_joined_utterances_are_planned_for(recipe):
    subwords = {"kind": "bpe", "vocabulary_size": 12}
    joining = change(recipe, tokenizer=subwords, augment={"concatenation_share": 0.5, "speeds": []})
    inputs = prepare_inputs(change(joining, data={"max_seconds": 1.5}))
    longest = recipe.training.batch_seconds * recipe.features.sample_rate
    batches = [batch for epoch in range(2) for batch in inputs.load(inputs.plan(epoch), epoch)]
    assert any("+" in name for batch in batches for name in batch.ids)
    assert max(int(batch.lengths.max()) * len(batch.ids) for batch in batches) <= longest
    assert max(int(batch.lengths.max()) for batch in batches) <= 1.5 * recipe.features.sample_rate
    for plain in (inputs.load_dev(), inputs.load_plain()):
        assert not any("+" in name for batch in plain for name in batch.ids)
    with pytest.raises(TextError, match=r"concatenation_share: a space .* the vocabulary has none; set tokenizer"):
        prepare_inputs(change(joining, tokenizer={"kind": "char"}))


def test_voices_are_equalised_wherever_audio_is_read(recipe):
    recipe = change(recipe, augment={"speeds": []})
    plain, equalized = (prepare_inputs(change(recipe, features={"equalization": name})) for name in ("none", "speaker"))
    for batches, others in (
        (plain.load(plain.plan(0), 0), equalized.load(plain.plan(0), 0)),
        (plain.load_dev(), equalized.load_dev()),
        (plain.load_plain(), equalized.load_plain()),
    ):
        for batch, other in zip(batches, others, strict=True):
            for waveform, found, length in zip(batch.waveforms, other.waveforms, batch.lengths, strict=True):
                spectrum = long_term_spectrum(hear([waveform[:length]], 16000), equalized.train.voices.typical)
                assert torch.equal(found[:length], equalize(waveform[:length], spectrum))


def test_what_cannot_be_aligned_is_not_joined(recipe, corpus, tmp_path):
    utterances = list(Manifest(corpus / "train.jsonl"))
    crowded = [replace(each, text="abcd " * 9) for each in utterances[:8]]
    write_manifest(tmp_path / "train.jsonl", [*crowded, *utterances[8:]])
    joining = change(recipe, data={"train": str(tmp_path / "train.jsonl")}, augment={"concatenation_share": 1.0})
    dataset = prepare_inputs(joining).train
    for epoch in range(3):
        followers = dataset.followers.indices(epoch)
        assert (followers[:8] == -1).all()
        assert followers[8:].max() >= 8
        assert not set(followers) & set(range(8))


def test_processes_share_batches_and_are_no_more_than_them(recipe):
    inputs = prepare_inputs(recipe)
    alone = inputs.plan(0)
    shared = [inputs.plan(0, process, len(alone)) for process in range(len(alone))]
    assert [batch for plan in shared for batch in plan] == alone
    with pytest.raises(
        TrainingError, match=rf"train\.jsonl: an epoch has {len(alone)} batches, too few for \d+ processes"
    ):
        inputs.plan(0, 0, len(alone) + 1)


def test_a_dev_set_without_words_is_refused_at_once(recipe, corpus, tmp_path):
    silent = [replace(each, text=" ") for each in Manifest(corpus / "dev.jsonl")]
    write_manifest(tmp_path / "silent.jsonl", silent)
    with pytest.raises(
        ManifestError, match=r"silent\.jsonl: no words to score in any transcript; name another data\.dev"
    ):
        prepare_inputs(change(recipe, data={"dev": str(tmp_path / "silent.jsonl")}))
