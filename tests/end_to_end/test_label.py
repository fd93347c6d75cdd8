"""Recordings without transcripts, labelled and trained on, as a user does it."""

import json
import shutil

import soundfile
from tones import SAMPLE_RATE, sentence, speak

from asr.dataset import Manifest
from asr.transcription import Recognizer, read_labels


def record(folder, count, seed=900):
    """Recordings and what is said in them."""
    said = {folder / f"talk{n}.wav": speak(sentence(seed + n), seed + n) for n in range(count)}
    for path, spoken in said.items():
        soundfile.write(path, spoken.waveform, SAMPLE_RATE)
    return {path: spoken.text for path, spoken in said.items()}


def test_recordings_are_labelled_and_trained_on(trained, asr_command, tmp_path):
    said, out = record(tmp_path, 6), tmp_path / "labelled.jsonl"
    status, output, errors = asr_command(
        "label", trained.run / "model", *said, "--sure", "0.01", "--speaker", "anna", "--out", out
    )
    assert status == 0, errors
    assert output.startswith(f"{out}: 6 of 6 utterances, 0.")
    assert output.endswith(" min, read as surely as 0.01\n")
    labelled = Manifest(out)
    assert {each.audio_filepath: each.text for each in labelled} == said
    assert {each.speaker for each in labelled} == {"anna"}
    command = errors.splitlines()[-1].split(": ", 1)[1]
    sets = command.split("--set ")[1].strip("'").replace("TRAIN.jsonl", str(trained.corpus / "train.jsonl"))
    status, _, errors = asr_command(
        "train",
        trained.recipe,
        "--run",
        tmp_path / "run",
        "--from",
        trained.run / "model",
        "--set",
        sets,
        "--set",
        "training.epochs=1",
        "--set",
        "training.learning_rate=1e-4",
    )
    assert status == 0, errors
    assert f"begins with {trained.run / 'model'}" in errors
    rates = [json.loads((run / "evaluation.json").read_text())["wer"] for run in (trained.run, tmp_path / "run")]
    assert rates[1] <= rates[0] + 0.1, "an epoch from the beginning would have learned nothing"


def test_what_is_not_read_surely_is_left_out(trained, asr_command, tmp_path):
    record(tmp_path, 4)
    lines = [
        {"audio_filepath": path.name, "duration": soundfile.info(path).duration, "text": "d d"}
        for path in sorted(tmp_path.glob("*.wav"))
    ]
    manifest, out = tmp_path / "talks.jsonl", tmp_path / "labelled.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    labels = read_labels(Recognizer.load(trained.run / "model"), Manifest(manifest))
    surenesses = sorted(label.sureness for label in labels)
    sure = (surenesses[1] + surenesses[2]) / 2
    status, output, _ = asr_command("label", trained.run / "model", manifest, "--sure", sure, "--out", out)
    assert (status, output.split(",")[0]) == (0, f"{out}: 2 of 4 utterances")
    assert [each.text for each in Manifest(out)] == [label.utterance.text for label in labels if label.sureness >= sure]
    out.unlink()
    status, output, errors = asr_command("label", trained.run / "model", manifest, "--sure", 1, "--out", out)
    assert (status, output) == (1, "")
    assert errors.startswith(f"asr: {out}: nothing was read as surely as 1, at best {surenesses[-1]:.3f};")
    assert not out.exists()


def test_a_recording_that_cannot_be_read_is_named_and_the_others_are_labelled(trained, asr_command, tmp_path):
    said, out = record(tmp_path, 2), tmp_path / "labelled.jsonl"
    (tmp_path / "broken.wav").write_bytes(b"not audio")
    status, output, errors = asr_command(
        "label", trained.run / "model", tmp_path / "broken.wav", *said, "--sure", 0, "--out", out
    )
    assert status == 1
    assert output.startswith(f"{out}: 2 of 2 utterances")
    assert errors.startswith(f"asr: {tmp_path}/broken.wav: ")


def test_recordings_of_phrases_are_told_apart(trained, asr_command, tmp_path):
    said = {tmp_path / f"{text}.wav": text for text in ("abba", "dad", "cab")}
    for path, text in said.items():
        soundfile.write(path, speak(text, 7).waveform, SAMPLE_RATE)
    phrases, out = tmp_path / "phrases.txt", tmp_path / "labelled.jsonl"
    phrases.write_text("Abba\ncab\ndad\n", encoding="utf-8")
    model, listed = trained.run / "model", ("--phrases", phrases)
    status, output, _ = asr_command("label", model, *said, *listed, "--balanced", "--out", out)
    assert (status, output.split(",")[0]) == (0, f"{out}: 3 of 3 utterances")
    assert {each.audio_filepath: each.text for each in Manifest(out)} == said
    status, output, _ = asr_command("evaluate", model, out, *listed)
    assert status == 0
    assert f"decoding           search phrases, phrases {phrases}" in output
    status, output, _ = asr_command("transcribe", model, tmp_path / "dad.wav", *listed, "--nbest", 2)
    assert output.splitlines()[0].split("\t")[1] == "dad"
    status, _, errors = asr_command("label", model, *said, "--balanced", "--out", out)
    assert (status, errors.split(":")[1]) == (1, " --balanced")


def test_recordings_that_can_say_no_phrase_are_not_labelled(trained, asr_command, tmp_path):
    for name, samples in {"silence": 800, "one": 1}.items():
        soundfile.write(tmp_path / f"{name}.wav", [0.0] * samples, SAMPLE_RATE)
    phrases, out = tmp_path / "phrases.txt", tmp_path / "labelled.jsonl"
    phrases.write_text("abba dad cab\ncab dad abba\n", encoding="utf-8")
    files, listed = (tmp_path / "silence.wav", tmp_path / "one.wav"), ("--phrases", phrases)
    status, output, errors = asr_command("label", trained.run / "model", *files, *listed, "--out", out)
    assert (status, output) == (1, "")
    assert errors.startswith(f"asr: {out}: nothing was read in any recording; ")
    assert not out.exists()
    status, output, _ = asr_command("transcribe", trained.run / "model", *files, *listed)
    assert (status, output) == (0, f"{files[0]}: \n{files[1]}: \n")


def test_the_model_to_begin_with_is_never_replaced_nor_anything_for_a_wrong_one(trained, asr_command, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    before = (run / "model/model.safetensors").read_bytes()
    train = ("train", trained.recipe, "--run", run, "--overwrite", "--from")
    status, _, errors = asr_command(*train, run / "model")
    assert (status, errors) == (
        1,
        f"asr: {run}/model: training in {run} would replace the model to begin with; give another --run\n",
    )
    status, _, errors = asr_command(*train, tmp_path / "none")
    assert (status, errors.split(";")[0]) == (1, f"asr: {tmp_path}/none: no such model bundle")
    assert (run / "model/model.safetensors").read_bytes() == before
    assert (run / "last.ckpt").exists()
