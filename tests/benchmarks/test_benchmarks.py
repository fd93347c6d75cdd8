"""Every benchmark runs, at sizes that take seconds, and compares like with like."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import ablation
import an4
import choice
import decoding
import epoch
import features
import gpu
import language_models
import length
import manifest
import numpy as np
import pytest
import simulation
import soundfile
import torch
import training
import transcription
import word_times
from harness import Report
from training import Packed, Shape, SpeechBrain

from asr.config import load_recipe
from asr.dataset import Manifest, Utterance
from asr.decoding import greedy
from asr.model import Model, Recurrence
from asr.model.precision import runs_bf16
from asr.text import CharTokenizer

TINY = Shape("lstm", 2, 8)
BENCHMARKS = Path(__file__).parent


@pytest.fixture
def report() -> Report:
    return Report(quiet=True, patience=0.0)


def names(report: Report) -> set[tuple[str, str]]:
    return {(each.name, each.peer) for each in report.comparisons}


def test_training_steps(report: Report) -> None:
    training.compare(report, TINY, (0,), threads=1, size=4, seconds=0.0)
    assert {("train-step-lstm-2x8-fp32", "torch-packed"), ("train-step-lstm-2x8-bf16", "torch-packed-bf16")} <= names(
        report
    )


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_peers_have_our_recurrent_weights_to_train(cell: str) -> None:
    shape = Shape(cell, 2, 8)
    model = Model(training.FeatureConfig(), shape.config(), training.VOCABULARY)
    ours = sum(p.numel() for layer in model.modules() if isinstance(layer, Recurrence) for p in layer.parameters())
    assert sum(parameter.numel() for parameter in Packed(shape).parameters()) == ours


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_speechbrain_computes_what_packed_sequences_do(cell: str) -> None:
    pytest.importorskip("speechbrain", reason="the package speechbrain is not installed")
    shape, lengths = Shape(cell, 2, 8), torch.tensor([9, 4, 7])
    frames, ours, theirs = torch.randn(3, 9, 16), Packed(shape), SpeechBrain(shape)
    theirs.stack.rnn.load_state_dict(ours.stack.state_dict())
    torch.testing.assert_close(theirs(frames, lengths), ours(frames, lengths))


def test_batches_hold_the_same_utterances_however_they_are_padded() -> None:
    plain, padded = an4.batches(16), an4.batches(16, pad_samples=4000)
    assert sum(len(batch.ids) for batch in plain) == len(an4.LENGTHS)
    for one, other in zip(plain, padded, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.tokens, other.tokens)
        assert other.waveforms.shape[1] % 4000 == 0
        assert torch.equal(one.waveforms, other.waveforms[:, : one.waveforms.shape[1]])


def test_epoch_of_ours_ends_with_a_model(tmp_path: Path) -> None:
    chosen = epoch.recipe(an4.manifest("train", tmp_path, 4))
    chosen = chosen.model_copy(update={"model": TINY.config()})
    epoch.ours(chosen, tmp_path / "run")()
    assert (tmp_path / "run/model/model.safetensors").exists()


def test_epoch_of_the_peer(tmp_path: Path) -> None:
    pytest.importorskip("speechbrain", reason="the package speechbrain is not installed")
    chosen = epoch.recipe(an4.manifest("train", tmp_path, 4))
    epoch.speechbrain(chosen.model_copy(update={"model": TINY.config()}))()


def test_transcription(tmp_path: Path, report: Report) -> None:
    transcription.compare(report, an4.manifest("test", tmp_path, 3), TINY, threads=1, seconds=0.0)
    assert names(report) == {
        (f"transcribe-an4-{precision}", peer)
        for precision in ("fp32", "bf16")
        for peer in ("torch-packed-fp32", "torch-packed-bf16", "real-time")
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of peers
@pytest.mark.parametrize("system", features.SYSTEMS)
def test_features_are_those_of_all_recordings(system: str) -> None:
    try:
        made = features.SYSTEMS[system]()()
    except ImportError as error:
        pytest.skip(str(error))
    shapes = [tuple((each[0] if system == "ours" else each).shape) for each in made]
    given = [each.waveform for each in an4.examples()]
    if system in {"ours", "torchaudio"}:
        given = [batch.waveforms for batch in an4.batches(features.UTTERANCES)]
    for shape, waveforms in zip(shapes, given, strict=True):
        *_, one, other = shape
        frames = one + other - 80
        assert 80 in (one, other)
        assert abs(frames - waveforms.shape[-1] / 160) <= 3


def test_emissions_of_a_clear_voice_say_the_text() -> None:
    line, voice = "the quick brown fox jumps over a lazy dog", simulation.Voice(22.0, 9.5, missed=0.0, added=0.0)
    log_probs = simulation.emissions(line, voice, np.random.default_rng(0))
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(len(log_probs)))
    [found] = greedy(
        log_probs[None], torch.tensor([len(log_probs)]), CharTokenizer(simulation.CHARACTERS), frame_seconds=0.02
    )
    assert found.text == line


def test_made_up_words_are_different_and_spellable() -> None:
    words = simulation.words(500, np.random.default_rng(0))
    assert len(set(words)) == 500
    assert set("".join(words)) <= set(simulation.CHARACTERS)


def test_decoding(tmp_path: Path, report: Report) -> None:
    inputs = decoding.make(tmp_path, 2, words=150, lines=300)
    decoding.compare(report, inputs, tmp_path, beams=(4,), rounds=1)
    decoding.threads(report, inputs.emissions["flat"], 4, rounds=1)
    assert ("decode-batch-4", "ours-one-thread") in names(report)
    assert {name for name, _ in names(report)} <= {
        f"decode-{what}-4"
        for what in ("batch", *(kind + lm for kind in ("peaky", "flat") for lm in ("", "-lm", "-lexicon-lm")))
    }


def test_language_models(tmp_path: Path, report: Report) -> None:
    language_models.compare(report, None, tmp_path, lines=200, words=2000)
    assert names(report) <= {("lm-load-arpa", "kenlm"), ("lm-perplexity", "kenlm")}


def test_growth_is_told_by_its_exponent() -> None:
    assert length.exponent([10, 20, 80], [3.0, 6.0, 24.0]) == pytest.approx(1.0)
    assert length.exponent([10, 20, 80], [5.0, 20.0, 320.0]) == pytest.approx(2.0)
    assert length.exponent([10, 20, 80], [7.0, 7.0, 7.0]) == pytest.approx(0.0)


def test_state_does_not_grow_with_length(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    assert length.memory("gru", 9) >= 0
    monkeypatch.setattr(length, "memory", lambda cell, frames: 1.0)
    for cell, numbers in (("lstm", 2 * 247), ("gru", 299), ("rnn", 590)):
        found = length.costs(cell, (3, 9), seconds=0.0, rounds=1)
        assert [(cost.frames, cost.state) for cost in found] == [(3, numbers), (9, numbers)]
        assert all(cost.seconds > 0 for cost in found)
    length.compare(report, (3, 9), seconds=0.0)


def test_manifest(tmp_path: Path) -> None:
    manifest.write(tmp_path / "lines.jsonl", 50)
    assert len(Manifest(tmp_path / "lines.jsonl")) == 50
    opened, first, gained = manifest.ours(tmp_path / "lines.jsonl")
    assert opened > 0
    assert first > 0
    assert gained >= 0


def test_manifest_curves_are_drawn_for_every_system(tmp_path: Path) -> None:
    curves = {"ours": [(0.1, 0.2, 3.0), (1.0, 0.3, 4.0)], "json": [(0.1, 0.0, 5.0), (1.0, 0.0, 50.0)]}
    manifest.draw((10, 100), curves, tmp_path / "manifest.svg")
    drawn = (tmp_path / "manifest.svg").read_text(encoding="utf-8")
    assert {"ours: open", "ours: first batch after that", "json: open"} == set(
        re.findall(r"<!-- (\w+: .*?) -->", drawn)
    )


def test_device_benchmark_runs_on_the_cpu(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    if not runs_bf16(torch.device("cpu")):
        pytest.skip("this processor has no AVX-512, which bf16 needs")
    monkeypatch.setattr(gpu, "SHAPES", (TINY,))
    gpu.run(report, torch.device("cpu"), utterances=2, seconds=0.5)
    assert names(report) == {("train-recurrence-lstm-2x8-bf16", "bare-cpu")}


def test_unknown_part_is_refused() -> None:
    done = subprocess.run([sys.executable, BENCHMARKS, "no-such"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such part: no-such; choose among train-step, train-epoch" in done.stderr


def test_rows_of_the_ablation_are_recipes() -> None:
    base, *others = (load_recipe(ablation.recipe_of(row), sets.split()) for row, sets in ablation.ROWS.items())
    assert all(other != base for other in others)
    assert ablation.recipe_of("gru, rate 1e-3").name == "gru.toml"
    assert ablation.recipe_of("speeds, wide").name == "lstm.toml"


def test_ablation_scores_voices_that_it_does_not_train_on() -> None:
    training = [
        Utterance(audio_filepath=Path("a.wav"), duration=1.0, text="a", speaker=f"s{number % 25}", id=f"u{number}")
        for number in range(100)
    ]
    dev = [Utterance(audio_filepath=Path("b.wav"), duration=1.0, text="b", speaker="dev", id="d")]
    rest, scored = ablation.split(training, dev)
    assert (len(rest), len(scored)) == (60, 41)
    assert not {each.speaker for each in rest} & {each.speaker for each in scored}


def test_ablation_tells_better_from_worse(tmp_path: Path) -> None:
    for row, errors in (("base", (2, 3)), ("dropout 0", (4, 5)), ("joined", (1, 1)), ("level", (3, 2))):
        for seed in range(2):
            run = ablation.folder(row, seed, tmp_path)
            run.mkdir(parents=True)
            lines = [{"id": str(number), "words": 9, "errors": errors[(number + seed) % 2]} for number in range(40)]
            (run / "hypotheses.jsonl").write_text("\n".join(map(json.dumps, lines)))
            (run / "history.jsonl").write_text('{"seconds": 90.0, "clipped_share": 0.25, "dev_loss": 1.5}')
    base = ablation.system("base", 2, tmp_path)
    assert base
    assert ablation.system("rnn", 2, tmp_path) is None
    told = {}
    for row in ("dropout 0", "joined", "level"):
        other = ablation.system(row, 2, tmp_path)
        assert other
        told[row] = ablation.line(row, other, base, tmp_path)
    assert told["joined"][1:6] == ["11.11", "11.11, 11.11", "1.500", "1.5", "25.0 %"]
    assert [told[row][-1] for row in told] == ["worse", "better", "not shown"]


def test_rules_that_choose_an_epoch(tmp_path: Path) -> None:
    rates = (6, 3, 5, 4, 4)  # five in ten is further from three than its standard error
    nats = (9.0, 7.0, 3.0, 5.0, 6.0)
    lines = [
        {f"u{n}": [rate + (-3 if n % 2 else 3), 10, loss, 4] for n in range(4)}
        for rate, loss in zip(rates, nats, strict=True)
    ]
    scores = np.array([list(line.values()) for line in lines])
    assert choice.wers(scores).tolist() == [rate / 10 for rate in rates]
    assert {rule: 1 + choose(scores) for rule, choose in choice.RULES.items()} == {
        "lowest WER, then loss": 2,
        "lowest mean WER of five epochs": 4,
        "lowest loss": 3,
        "lowest loss of those near the lowest WER": 4,
        "the last of those near the lowest WER": 5,
        "the last": 5,
    }
    path, speakers = tmp_path / "epochs.jsonl", {f"u{n}": f"s{n}" for n in range(12)}
    line = {name: [1 if name == "u0" else 0, 1, 1.0, 1] for name in speakers}
    path.write_text(f"{json.dumps(line)}\n{json.dumps(line)}\n")
    scored = pytest.approx(1 / 12, abs=0.01)  # seven of twelve are, the same share with u0
    assert choice.judge(path, speakers)["the last"] == (scored, 2)


def test_pauses_of_an_ablation_do_not_count() -> None:
    assert ablation.duration([{"seconds": seconds} for seconds in (11.0, 21.0, 1031.0, 1041.0)]) == 42.0


def test_instants_of_joined_utterances_are_where_speech_begins_and_ends(tmp_path: Path) -> None:
    utterances = []
    for name, speaker, quiet, loud in (("a", "s", 0.5, 1.0), ("b", "s", 0.25, 0.75), ("c", "t", 0.5, 0.5)):
        tone = np.sin(np.arange(round(16000 * loud)))
        waveform = np.concatenate((np.zeros(round(16000 * quiet)), tone, np.zeros(4000)))
        soundfile.write(tmp_path / f"{name}.wav", 0.5 * waveform, 16000)
        utterances.append(Utterance(tmp_path / f"{name}.wav", len(waveform) / 16000, name, speaker=speaker))
    (joined,) = word_times.join(utterances, 16000, 30.0)
    assert joined.texts == ("a", "b")
    assert joined.instants == pytest.approx((0.5, 1.5, 2.25), abs=0.03)  # windows are 20 ms long


def test_instants_are_placed_where_tokens_are_said() -> None:
    emissions = torch.full((1, 40, 4), 0.01)
    emissions[..., 0] = 0.97
    for token, frame in ((1, 10), (3, 19), (2, 24), (2, 26)):  # "a bb", 0.04 s a frame
        emissions[0, frame, [0, token]] = emissions[0, frame, [token, 0]]
    recognizer = SimpleNamespace(
        normalizer=str.lower,
        tokenizer=CharTokenizer("ab "),
        frame_seconds=0.04,
        log_probs=lambda waveforms: (emissions.log(), torch.tensor([40])),
    )
    placed = word_times.place(recognizer, word_times.Joined(torch.zeros(25600), ("A", "BB"), (0.0, 0.0, 0.0)))
    assert placed["tokens"] == pytest.approx((9.5 * 0.04, (10.5 + 23.5) / 2 * 0.04, 26.5 * 0.04))
    assert placed["words"] == pytest.approx((9.5 * 0.04 - 0.1, (10.5 + 23.5) / 2 * 0.04, 26.5 * 0.04 + 0.1))
