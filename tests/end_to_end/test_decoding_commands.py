"""Beam search, language models and hotwords as a user meets them, on the language of tones."""

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def lm(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from asr.cli import app

    folder = tmp_path_factory.mktemp("language") / "lm"
    arguments = ["lm", "train", trained.corpus / "train.jsonl", "--order", 2, "--discount-fallback", "--out", folder]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["1-grams", "2-grams"]
    return folder


@pytest.fixture
def bundle(trained, tmp_path: Path) -> Path:
    return shutil.copytree(trained.run / "model", tmp_path / "run/model")


@pytest.fixture(scope="module")
def rnn(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from asr.cli import app

    folder = tmp_path_factory.mktemp("recurrent") / "rnn"
    corpus, small = trained.corpus, ("--set", "model.units=16", "--set", "training.epochs=2")
    arguments = ["lm", "train-rnn", corpus / "train.jsonl", "--dev", corpus / "dev.jsonl", "--out", folder, *small]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("perplexity on dev  ")
    assert f"language model: {folder}\n" in result.stderr
    return folder


def perplexity(output: str) -> float:
    return float(output.splitlines()[0].split()[1])


def test_perplexity_is_lower_on_what_was_learnt(trained, asr_command, lm: Path) -> None:
    status, output, errors = asr_command("lm", "perplexity", lm, trained.corpus / "train.jsonl")
    assert (status, errors) == (0, "")
    learnt = perplexity(output)
    _, output, _ = asr_command("lm", "perplexity", lm, trained.corpus / "dev.jsonl")
    assert 1 < learnt < perplexity(output)


def test_manifest_and_text_say_the_same(trained, asr_command, tmp_path: Path, lm: Path) -> None:
    lines = (trained.corpus / "train.jsonl").read_text(encoding="utf-8").splitlines()
    text = tmp_path / "train.txt"
    text.write_text("".join(json.loads(line)["text"] + "\n" for line in lines), encoding="utf-8")
    asr_command("lm", "train", text, "--order", 2, "--discount-fallback", "--out", tmp_path / "lm")
    assert (tmp_path / "lm/ngram.bin").read_bytes() == (lm / "ngram.bin").read_bytes()
    manifest = tmp_path / "train.json"  # as NeMo calls them
    manifest.write_text("\n".join(lines), encoding="utf-8")
    asr_command("lm", "train", manifest, "--order", 2, "--discount-fallback", "--out", tmp_path / "again")
    assert (tmp_path / "again/ngram.bin").read_bytes() == (lm / "ngram.bin").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        pool.submit((tmp_path / "pipe").write_bytes, text.read_bytes())
        asr_command("lm", "train", tmp_path / "pipe", "--order", 2, "--discount-fallback", "--out", tmp_path / "piped")
    assert (tmp_path / "piped/ngram.bin").read_bytes() == (lm / "ngram.bin").read_bytes()
    half = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, part in zip(half, (lines[:80], lines[80:]), strict=True):
        path.write_text("".join(json.loads(line)["text"] + "\n" for line in part), encoding="utf-8")
    asr_command("lm", "train", *half, "--order", 2, "--discount-fallback", "--out", tmp_path / "both")
    assert (tmp_path / "both/ngram.bin").read_bytes() == (lm / "ngram.bin").read_bytes()


def test_pruning_leaves_fewer(trained, asr_command, tmp_path: Path) -> None:
    arguments = ("lm", "train", trained.corpus / "train.jsonl", "--order", 2, "--discount-fallback")
    counts = []
    for prune in ("0", "0,1"):
        _, output, _ = asr_command(*arguments, "--prune", prune, "--out", tmp_path / "lm")
        counts.append([int(line.split()[1].replace(",", "")) for line in output.splitlines()])
    assert counts[0][0] == counts[1][0]
    assert counts[0][1] > counts[1][1]


def test_recipe_normalises_texts(trained, asr_command, tmp_path: Path) -> None:
    text = tmp_path / "loud.txt"
    text.write_text("DAD, CAB!\n", encoding="utf-8")
    arguments = ("lm", "train", text, "--order", 1, "--discount-fallback", "--out", tmp_path / "lm")
    for more, unknown in ((), 2), (("--recipe", trained.recipe), 0):
        assert asr_command(*arguments, *more)[0] == 0
        (tmp_path / "dev.txt").write_text("dad cab\n", encoding="utf-8")
        _, output, _ = asr_command("lm", "perplexity", tmp_path / "lm", tmp_path / "dev.txt")
        assert f"unknown words   {unknown}\n" in output


def test_a_language_model_of_characters_is_trained_tuned_and_used(
    trained, asr_command, bundle: Path, tmp_path: Path
) -> None:
    train, dev, lm = trained.corpus / "train.jsonl", trained.corpus / "dev.jsonl", tmp_path / "lm"
    arguments = ("--characters", "--order", 4, "--out", lm)
    status, output, errors = asr_command("lm", "train", train, *arguments)
    assert status == 0, errors
    assert [line.split()[0] for line in output.splitlines()] == ["1-grams", "2-grams", "3-grams", "4-grams"]
    _, output, _ = asr_command("lm", "perplexity", lm, dev)
    assert re.search(r"^unknown characters   0$", output, re.MULTILINE)
    status, output, errors = asr_command("tune", bundle, dev, "--lm", lm, "--beam", 4)
    assert status == 0, errors
    assert re.search(r"^unknown to it 0.00% of the characters said$", output, re.MULTILINE)
    weights = json.loads((bundle / "lm/decoding.json").read_text(encoding="utf-8"))
    assert weights["dev_wer"] <= weights["greedy_dev_wer"]
    status, output, errors = asr_command("evaluate", bundle, dev, "--beam", 4, "--json", tmp_path / "found.json")
    assert status == 0, errors
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["wer"] == pytest.approx(weights["dev_wer"])
    assert found["decoding"]["character_bonus"] == weights["character_bonus"]


@pytest.mark.parametrize(("text", "advised"), [("zebra zebu", True), ("", False)])
def test_where_many_words_are_unknown_characters_are_advised(
    trained, asr_command, bundle: Path, tmp_path: Path, text: str, advised: bool
) -> None:
    dev = trained.corpus / "dev.jsonl"
    said = [json.loads(line)["text"] for line in dev.read_text(encoding="utf-8").splitlines()]
    (tmp_path / "text").write_text(f"{said[0]} {text}" if text else "\n".join(said), encoding="utf-8")
    arguments = ("--order", 1, "--discount-fallback", "--out", tmp_path / "lm")
    assert asr_command("lm", "train", tmp_path / "text", *arguments)[0] == 0
    _, _, errors = asr_command("tune", bundle, dev, "--lm", tmp_path / "lm", "--beam", 2)
    assert ("asr lm train --characters" in errors) is advised


def test_tuning_fills_the_bundle_and_the_beam_uses_it(trained, asr_command, bundle: Path, lm: Path) -> None:
    dev = trained.corpus / "dev.jsonl"
    status, output, errors = asr_command("tune", bundle, dev, "--lm", lm, "--beam", 4)
    assert status == 0, errors
    assert "WER on dev" in output
    assert re.search(r"^unknown to it [\d.]+% of the words said$", output, re.MULTILINE)
    assert (bundle.parent / "tuning.png").read_bytes().startswith(b"\x89PNG")
    weights = json.loads((bundle / "lm/decoding.json").read_text(encoding="utf-8"))
    assert weights["dev_wer"] <= weights["greedy_dev_wer"]
    assert {path.name for path in bundle.iterdir()} - {"lm", "calibration.json"} == {
        path.name for path in (trained.run / "model").iterdir()
    }
    assert f"language_model.lm_weight{weights['lm_weight']}" in asr_command("info", bundle)[1].replace(" ", "")
    rates = bundle.parent / "rates.json"
    status, _, errors = asr_command("evaluate", bundle, dev, "--beam", 4, "--json", rates)
    assert status == 0, errors
    assert json.loads(rates.read_text(encoding="utf-8"))["wer"] == pytest.approx(weights["dev_wer"])


def test_tuning_without_a_language_model_fits_the_confidences(trained, asr_command, bundle: Path) -> None:
    test = trained.corpus / "test.jsonl"
    status, output, errors = asr_command("tune", bundle, trained.corpus / "dev.jsonl", "--beam", 4)
    assert status == 0, errors
    assert [line.split()[0] for line in output.splitlines()[-2:]] == ["greedy", "beam"]
    assert (bundle.parent / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert not (bundle / "lm").exists()
    temperatures = json.loads((bundle / "calibration.json").read_text(encoding="utf-8"))
    assert f"calibration.beam{temperatures['beam']}" in asr_command("info", bundle)[1].replace(" ", "")
    found = []
    for model in (trained.run / "model", bundle):
        status, output, errors = asr_command("evaluate", model, test, "--json", bundle.parent / "rates.json")
        assert status == 0, errors
        found.append(json.loads((bundle.parent / "rates.json").read_text(encoding="utf-8")))
    before, after = found
    assert after["wer"] == before["wer"]
    assert before["calibration_error"] == before["calibration_error_uncalibrated"]
    assert after["calibration_error_uncalibrated"] == pytest.approx(before["calibration_error"], abs=1e-6)
    assert after["decoding"] == {"search": "greedy"}


@pytest.mark.parametrize(
    ("known", "reason", "remedy"),
    [
        (0, r"none of the words said in \S+ is known to it", "in another case"),
        (2, r"with it beam search is no better on \S+ than without \(([\d.]+%) WER against \1\)", "more text"),
    ],
)
def test_a_language_model_in_another_case_is_a_fault_and_not_stored(
    trained, asr_command, bundle: Path, tmp_path: Path, known: int, reason: str, remedy: str
) -> None:
    lines = [json.loads(line) for line in (trained.corpus / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
    lines[0]["text"] = "dad cab dad cab"  # which is not said there, so that there is something to do better
    for line in lines:
        line["audio_filepath"] = str(trained.corpus / line["audio_filepath"])
    dev, text, lm = (tmp_path / name for name in ("dev.jsonl", "text", "lm"))
    dev.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    said = [line["text"] for line in lines]
    text.write_text("\n".join([*said[1 : 1 + known], *map(str.upper, said)]), encoding="utf-8")
    assert asr_command("lm", "train", text, "--order", 2, "--discount-fallback", "--out", lm)[0] == 0
    status, _, errors = asr_command("tune", bundle, dev, "--lm", lm, "--beam", 4)
    assert status == 1
    last = errors.splitlines()[-1]
    assert re.match(rf"asr: {lm}: a fault, not a result: {reason}, so nothing was stored; ", last)
    assert remedy in last
    assert {path.name for path in bundle.iterdir()} == {path.name for path in (trained.run / "model").iterdir()}


def test_recurrent_model_is_judged_tuned_and_used(trained, asr_command, bundle: Path, lm: Path, rnn: Path) -> None:
    dev, model = trained.corpus / "dev.jsonl", bundle
    status, output, errors = asr_command("lm", "perplexity", rnn, dev)
    assert (status, errors) == (0, "")
    assert perplexity(output) > 1
    status, output, errors = asr_command("tune", model, dev, "--lm", lm, "--rescore", rnn, "--beam", 4)
    assert status == 0, errors
    assert "rescored      WER" in output
    weights = json.loads((model / "lm/decoding.json").read_text(encoding="utf-8"))
    assert 0 < weights["rescoring"]["share"] <= 1
    assert {path.name for path in (model / "lm").iterdir()} == {"ngram.bin", "decoding.json", "rnn"}
    rates = model.parent / "rates.json"
    for more in ((), ("--lm", lm, "--rescore", rnn)):
        status, _, errors = asr_command("evaluate", model, dev, "--beam", 4, "--json", rates, *more)
        assert status == 0, errors
        if not more:
            assert json.loads(rates.read_text(encoding="utf-8"))["wer"] == pytest.approx(weights["dev_wer"])
    recording = trained.corpus / "wav/test/0.wav"
    status, output, errors = asr_command("transcribe", model, recording, "--beam", 4, "--rescore", rnn)
    assert status == 0, errors
    assert output.strip()


def test_harmful_rescoring_is_a_fault(
    trained, asr_command, bundle: Path, lm: Path, rnn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tones are too plain for any rescoring to harm; tests/decoding/test_tune_rescoring.py has one that does harm.
    monkeypatch.setattr("asr.decoding.tune_rescoring.RescoringTuning.is_fault", True)
    dev = trained.corpus / "dev.jsonl"
    status, _, errors = asr_command("tune", bundle, dev, "--lm", lm, "--rescore", rnn, "--beam", 4)
    assert status == 1
    assert errors.splitlines()[-1].startswith(f"asr: {rnn}: a fault, not a result")
    assert not (bundle / "lm").exists()


def test_training_of_a_language_model_is_neither_lost_nor_repeated(trained, asr_command, rnn: Path) -> None:
    arguments = ("lm", "train-rnn", trained.corpus / "train.jsonl", "--out", rnn, "--set", "model.units=16")
    status, output, errors = asr_command(*arguments)
    assert (status, output) == (1, "")
    assert "holds a training already" in errors
    dev = ("--dev", trained.corpus / "dev.jsonl")
    status, _, errors = asr_command(*arguments, "--resume", "--set", "training.epochs=3")
    assert (status, "began with other texts to choose its best epoch by" in errors) == (1, True)
    status, _, errors = asr_command(*arguments, *dev, "--resume", "--set", "training.epochs=3")
    assert status == 0, errors
    assert len((rnn / "history.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_settings_of_a_language_model_are_read_from_a_file(trained, asr_command, tmp_path: Path) -> None:
    (tmp_path / "rnn.toml").write_text("[model]\nunits = 8\n[training]\nepochs = 1\n", encoding="utf-8")
    arguments = ("lm", "train-rnn", trained.corpus / "dev.jsonl", "--settings", tmp_path / "rnn.toml")
    status, output, errors = asr_command(*arguments, "--out", tmp_path / "rnn")
    assert (status, output) == (0, ""), errors
    assert json.loads((tmp_path / "rnn/model/rnn.json").read_text(encoding="utf-8"))["model"]["units"] == 8
    status, _, errors = asr_command(*arguments, "--set", "model.unitz=3", "--out", tmp_path / "other")
    assert status == 1
    assert "--set model.unitz: unknown key model.unitz; known keys here: dropout, layers, units" in errors


def test_n_best_readings(trained, asr_command, lm: Path) -> None:
    model, recording = trained.run / "model", trained.corpus / "wav/test/0.wav"
    arguments = ("transcribe", model, recording, "--beam", 20, "--lm", lm)
    _, best, _ = asr_command(*arguments)
    status, output, errors = asr_command(*arguments, "--nbest", 3)
    assert status == 0, errors
    rows = [line.split("\t") for line in output.splitlines()]
    assert 1 < len(rows) <= 3
    assert rows[0][1] == best.strip()
    assert [float(score) for score, _ in rows] == sorted((float(score) for score, _ in rows), reverse=True)
    _, output, _ = asr_command(*arguments, "--nbest", 3, "--format", "json")
    values = json.loads(output)
    assert [each["text"] for each in values["alternatives"]] == [text for _, text in rows]
    assert values["text"] == rows[0][1]
    assert values["segments"]


def test_lexicon_allows_no_other_word(trained, asr_command, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("Aa\nbb\n", encoding="utf-8")
    files = [trained.corpus / f"wav/test/{number}.wav" for number in range(5)]
    arguments = ("transcribe", trained.run / "model", *files, "--beam", 20, "--lexicon", tmp_path / "words.txt")
    status, output, errors = asr_command(*arguments)
    assert status == 0, errors
    assert {word for line in output.splitlines() for word in line.partition(": ")[2].split()} <= {"aa", "bb"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lm", "lm"], "greedy decoding: cannot use a language model; ask for beam search"),
        (["--nbest", "3", "--hotword", "dad:5"], "cannot use hotwords, an N-best list"),
        (["--beam", "5", "--nbest", "3", "--format", "srt"], "has no place for 3 readings"),
        (["--beam", "5", "--lm", "none"], "none: no such language model"),
        (["--beam", "5", "--rescore", "none"], "none/rnn.json: no such file"),
        (["--rescore", "none"], "cannot use a language model for rescoring"),
        (["--beam", "5", "--lm-weight", "1"], "weights without a language model"),
        (["--beam", "5", "--hotword", "dad"], "'dad' is not a hotword"),
        (["--beam", "5", "--hotword", "...:5"], "normalisation leaves nothing of it"),
        (["--beam", "5", "--hotword", "zebra:5"], "cannot be spelled"),
        (["--beam", "5", "--hotwords", "none.txt"], "none.txt: cannot be read as hotwords"),
        (["--beam", "5", "--lexicon", "none.txt"], "none.txt: cannot be read as a lexicon"),
    ],
)
def test_impossible_decoding_is_one_line(trained, asr_command, options: list[str], said: str) -> None:
    status, output, errors = asr_command(
        "transcribe", trained.run / "model", trained.corpus / "wav/test/0.wav", *options
    )
    assert (status, output) == (1, "")
    assert said in errors
    assert errors.startswith("asr: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.txt"], "none.txt: no such file"),
        (["none.jsonl"], "none.jsonl"),
        (["text.txt", "latin.txt"], "latin.txt: not UTF-8 at byte 3"),
        (["text.txt"], "too little text"),
        (["text.txt", "--prune", "0,x"], "--prune 0,x: not numbers"),
        (["text.txt", "--prune", "2", "--discount-fallback"], "not possible for order 3"),
    ],
)
def test_untrainable_language_model_is_one_line(
    asr_command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("dad cab\n", encoding="utf-8")
    Path("latin.txt").write_text("cab\xe9\n", encoding="latin-1")
    status, output, errors = asr_command("lm", "train", *arguments, "--out", "lm")
    assert (status, output) == (1, "")
    assert said in errors
    assert errors.startswith("asr: ")
    assert errors.count("\n") == 1
    assert not Path("lm").exists()
