"""Finding, verifying and preparing a tiny corpus that the tests make."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.dataset import Manifest, Utterance
from asr.dataset.corpus import Corpus, Splits, download, expect, locate, main, measure, prepare, summary
from asr.dataset.download import Archive
from asr.errors import AudioError, CorpusError

CORPUS = Corpus("tiny", "etc/list.txt", (Archive("http://127.0.0.1:1/tiny.tar.gz", "tiny.tar.gz"),))


def copy_at(folder: Path) -> Path:
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/list.txt").write_text("a\n")
    return folder


def wav(path: Path, samples: int = 8000, rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(samples, 0.1), rate)
    return path


def said(path: Path, text: str = "hello", name: str | None = None) -> Utterance:
    return Utterance(path, 0.5, text, speaker="s", id=name or path.stem)


@pytest.fixture(autouse=True)
def no_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASR_CORPORA", raising=False)


def test_source_goes_before_shelf_and_shelf_before_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate(CORPUS, None) is None
    source, shelved = copy_at(tmp_path / "mine"), copy_at(tmp_path / "shelf/tiny")
    assert locate(CORPUS, source) == source
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path / "shelf"))
    assert locate(CORPUS, None) == shelved
    assert locate(CORPUS, source) == source
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path))
    assert locate(CORPUS, None) is None


def test_a_folder_that_is_not_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorpusError, match=r"not the corpus tiny, it has no etc/list\.txt; .*--source.*ASR_CORPORA"):
            locate(CORPUS, source)
    (tmp_path / "tiny").mkdir()
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path))
    with pytest.raises(CorpusError, match="not the corpus"):
        locate(CORPUS, None)


def test_offline_names_both_remedies(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"^tiny: http.* --source DIR, or set ASR_CORPORA"):
        download(CORPUS, tmp_path / "audio")


def test_what_was_downloaded_is_found_and_checked(tmp_path: Path) -> None:
    copy_at(tmp_path / "1/tiny-main")
    assert download(CORPUS, tmp_path / "1") == tmp_path / "1/tiny-main"
    copy_at(tmp_path / "2")
    assert download(CORPUS, tmp_path / "2") == tmp_path / "2"
    (tmp_path / "3").mkdir()
    with pytest.raises(CorpusError, match=r"3: what was downloaded has no etc/list\.txt"):
        download(CORPUS, tmp_path / "3")


def test_durations_come_from_the_headers(tmp_path: Path) -> None:
    given = [said(wav(tmp_path / "a.wav", 8000)), said(wav(tmp_path / "b.wav", 4000))]
    assert measure(given, 16000) == [replace(given[0], duration=0.5), replace(given[1], duration=0.25)]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda a, b: [a, replace(b, id="a")], r"b\.wav: a second recording called a"),
        (lambda a, b: [a, replace(b, text=" ")], r"b\.wav: its transcript is empty"),
        (lambda a, b: [a, replace(b, audio_filepath=b.audio_filepath.with_name("c.wav"))], r"c\.wav: missing"),
        (lambda a, b: [a, replace(b, audio_filepath=wav(b.audio_filepath, 9, 8000))], r"b\.wav: 8000 samples per"),
    ],
    ids=["twice", "empty", "missing", "rate"],
)
def test_a_spoilt_corpus(tmp_path: Path, spoil: Callable[[Utterance, Utterance], list[Utterance]], what: str) -> None:
    with pytest.raises(CorpusError, match=what):
        measure(spoil(said(wav(tmp_path / "a.wav")), said(wav(tmp_path / "b.wav"))), 16000)


def test_noises_have_no_text(tmp_path: Path) -> None:
    given = [said(wav(tmp_path / "a.wav"), text="")]
    assert measure(given, 16000, is_speech=False) == given


def test_broken_audio(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"a\.wav"):
        measure([said(tmp_path / "a.wav")], 16000)


def test_counts() -> None:
    expect(Path("etc/list.txt"), "lines", 3, 3)
    with pytest.raises(CorpusError, match=r"etc/list\.txt: 2 lines where 3 were published"):
        expect(Path("etc/list.txt"), "lines", 2, 3)


def test_prepared_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, out, reads = tmp_path / "prepare.py", tmp_path / "out", list[int]()
    script.write_text("1")
    audio = wav(out / "audio/a.wav")

    def read() -> Splits:
        reads.append(len(reads))
        return {"train": [said(audio)], "more/test": [said(audio)]}

    def done(made_from: dict[str, int], force: bool = False) -> int:
        prepare(script, out, made_from, read, force)
        return len(reads)

    assert done({"seed": 1}) == 1
    assert Manifest(out / "more/test.jsonl")[0].audio_filepath == audio
    capsys.readouterr()
    assert done({"seed": 1}) == 1
    assert "already prepared" in capsys.readouterr().out
    assert done({}) == 1  # nothing asked for that differs
    assert done({"seed": 2}) == 2
    assert done({"seed": 2}, force=True) == 3
    script.write_text("2")
    assert done({"seed": 2}) == 4
    audio.rename(audio.with_suffix(".gone"))
    assert done({"seed": 2}) == 5
    (out / "train.jsonl").unlink()
    assert done({"seed": 2}) == 6
    (out / ".prepared.json").write_text("[]")
    assert done({"seed": 2}) == 7


def test_a_failed_preparation_is_not_taken_for_complete(tmp_path: Path) -> None:
    script, audio = tmp_path / "prepare.py", wav(tmp_path / "a.wav")
    script.write_text("")

    def fail() -> Splits:
        raise CorpusError("no")

    prepare(script, tmp_path, {}, lambda: {"train": [said(audio)]}, force=False)
    with pytest.raises(CorpusError):
        prepare(script, tmp_path, {}, fail, force=True)
    with pytest.raises(CorpusError):
        prepare(script, tmp_path, {}, fail, force=False)


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    script, source, audio = tmp_path / "prepare.py", copy_at(tmp_path / "tiny"), wav(tmp_path / "tiny/a.wav")
    script.write_text("")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *arguments])
        return main(
            script, "What it does.", CORPUS, lambda root, out: {"train": measure([said(root / "a.wav")], 16000)}
        )

    assert run("--source", str(source), "--out", str(tmp_path / "out")) == 0
    assert Manifest(tmp_path / "out/train.jsonl")[0].audio_filepath == audio
    assert capsys.readouterr().err == ""
    assert run("--out", str(tmp_path / "out")) == 0  # complete, so there is no need to download it
    assert "already prepared" in capsys.readouterr().out
    assert run("--out", str(tmp_path / "other")) == 1
    error = capsys.readouterr().err
    assert error.startswith("tiny: http://127.0.0.1:1/tiny.tar.gz: cannot be downloaded")
    assert error.count("\n") == 1


def test_summary() -> None:
    made = [Utterance(Path(name), 1800.0, text, speaker=name) for name, text in (("a", "one two"), ("b", "two"))]
    assert summary({"train": made}).splitlines()[1].split() == ["train.jsonl", "2", "2", "1.00", "3", "2"]
