import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from sounds import encode, sweep
from torch import Tensor

from asr.audio import info, load
from asr.errors import AudioError

RATE = 16000


def write(path: Path, waveform: Tensor, rate: int = RATE, **how: str) -> Path:
    soundfile.write(path, waveform.numpy().T, rate, **how)
    return path


def refusal(path: Path, *arguments: float) -> str:
    """The message of the error, which is one line that starts with the file's name."""
    with pytest.raises(AudioError) as caught:
        load(path, RATE, *arguments)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "; " in message, "no remedy"
    return message


@pytest.mark.parametrize(
    ("name", "how", "tolerance"),
    [
        ("a.wav", {"subtype": "PCM_16"}, 1e-4),
        ("a.wav", {"subtype": "PCM_U8"}, 1e-2),
        ("a.wav", {"subtype": "PCM_24"}, 1e-6),
        ("a.wav", {"subtype": "FLOAT"}, 0.0),
        ("a.wav", {"subtype": "ULAW"}, 2e-2),
        ("a.flac", {}, 1e-4),
        ("a.aiff", {}, 1e-4),
        ("a.sph", {"format": "NIST", "subtype": "PCM_16"}, 1e-4),
        ("wav named.mp3", {"format": "WAV"}, 1e-4),
        ("flac named.raw", {"format": "FLAC"}, 1e-4),
    ],
)
def test_what_was_written_is_read(tmp_path: Path, name: str, how: dict[str, str], tolerance: float) -> None:
    waveform = sweep(1.0, RATE)
    path = write(tmp_path / name, waveform, **how)
    torch.testing.assert_close(load(path, RATE), waveform, rtol=0, atol=tolerance)
    assert info(path).duration == 1.0


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus"])
def test_lossy_files_sound_the_same(tmp_path: Path, name: str) -> None:
    waveform = sweep(2.0, RATE)
    how = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    loaded = load(write(tmp_path / name, waveform, **how), RATE)
    assert loaded.shape == waveform.shape
    assert torch.corrcoef(torch.stack([loaded, waveform]))[0, 1] > 0.99


def test_opus_as_ffmpeg_writes_it_when_it_resamples(tmp_path: Path) -> None:
    # its timestamps are some samples late at first, which libsndfile takes for damage
    waveform, path = sweep(3.0, RATE), tmp_path / "a.opus"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        for start in range(0, len(waveform), 320):
            frame = av.AudioFrame.from_ndarray(waveform[None, start : start + 320].numpy(), "flt", "mono")
            frame.sample_rate, frame.pts = RATE, start + (163 if start < RATE else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(path)
    found = load(path, RATE)
    assert len(found) == pytest.approx(len(waveform), abs=200)
    inner = slice(4000, -4000)
    error = (found[: len(waveform)] - waveform[: len(found)])[inner]
    assert float(error.square().mean()) < 0.05 * float(waveform.square().mean())
    torch.testing.assert_close(load(path, RATE, 1.5, 1.0), found[24000:40000], rtol=0, atol=0.05)
    path.write_bytes(path.read_bytes()[:-2000])
    assert refusal(path, 0.0, 3.0), "cut, it is not read as if whole"


def test_channels_are_averaged(tmp_path: Path) -> None:
    channels = torch.rand(8, 500) - 0.5
    path = write(tmp_path / "a.wav", channels, subtype="FLOAT")
    torch.testing.assert_close(load(path, RATE), channels.mean(dim=0))
    assert (info(path).channels, info(path).sample_rate) == (8, RATE)


@pytest.mark.parametrize(("codec", "name"), [("alac", "a.m4a"), ("flac", "a.mka"), ("pcm_s16le", "a.mov")])
def test_lossless_containers_give_what_was_written(tmp_path: Path, codec: str, name: str) -> None:
    stereo = torch.stack([sweep(1.5, RATE), sweep(1.5, RATE, seed=1)])
    path = encode(tmp_path / name, stereo, RATE, codec)
    torch.testing.assert_close(load(path, RATE), stereo.mean(dim=0), rtol=0, atol=1e-4)
    assert info(path).duration == pytest.approx(1.5, abs=1e-3)


LOSSY = [("aac", "a.m4a", RATE), ("aac", "a.mp4", 44100), ("aac", "a.aac", RATE), ("libopus", "a.webm", 48000)]


@pytest.mark.parametrize(("codec", "name", "rate"), LOSSY)
def test_lossy_containers_sound_the_same(tmp_path: Path, codec: str, name: str, rate: int) -> None:
    path = encode(tmp_path / name, sweep(4.0, rate), rate, codec)
    loaded = load(path, rate)
    assert info(path).duration == pytest.approx(4.0, abs=0.1)
    delay = 1024 if name == "a.aac" else 0  # a bare AAC stream has nowhere to note its encoder's delay
    loaded, waveform = loaded[delay : delay + 3 * rate], sweep(4.0, rate)[: 3 * rate]
    assert torch.corrcoef(torch.stack([loaded, waveform]))[0, 1] > 0.99


@pytest.mark.parametrize(("codec", "name", "rate"), [*LOSSY, ("", "a.flac", RATE), ("", "a.mp3", 22050)])
@pytest.mark.parametrize("target", [None, 8000, 16000, 44100])
def test_stretch_equals_that_stretch_of_the_whole(
    tmp_path: Path, codec: str, name: str, rate: int, target: int | None
) -> None:
    path, waveform = tmp_path / name, sweep(5.0, rate)
    path = encode(path, waveform, rate, codec) if codec else write(path, waveform, rate)
    target = target or rate
    whole = load(path, target)
    for offset, duration in [(0.0, 0.5), (0.30007, 1.0), (2.5003, 1.1111), (4.2, None)]:
        first = round(offset * target)
        stretch = load(path, target, offset, duration)
        expected = whole[first:] if duration is None else whole[first : first + round(duration * target)]
        torch.testing.assert_close(stretch, expected, rtol=0, atol=2e-6)


def test_stretch_of_a_long_file_decodes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", torch.zeros(20 * 60 * RATE), subtype="PCM_16")
    decoded = []
    read = soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, *arguments: object, **named: object) -> np.ndarray:
        decoded.append(block := read(self, *arguments, **named))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    assert load(path, 8000, offset=1000.0, duration=2.0).shape == (16000,)
    assert sum(len(block) for block in decoded) < 2.1 * RATE


def test_mp3_that_does_not_tell_its_length_is_read_to_its_end(tmp_path: Path) -> None:
    """Loud then quiet at a variable rate: libsndfile alone would guess from the first frame, and stop early."""
    waveform = torch.cat([sweep(1.0, RATE) * 1e-3, torch.randn(10 * RATE) * 0.2, sweep(5.0, RATE) * 1e-3])
    path = tmp_path / "a.mp3"
    soundfile.write(path, waveform.numpy(), RATE, bitrate_mode="VARIABLE", compression_level=0.2)
    whole = path.read_bytes()
    assert b"Xing" in whole[:200]
    path.write_bytes(whole[whole.index(whole[:1] + b"\xf3", 4) :])
    assert load(path, RATE).numel() / RATE == pytest.approx(16.0, abs=0.1)
    assert info(path).duration == pytest.approx(16.0, abs=0.1)


def test_overshoot_is_clipped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", torch.tensor([0.5, 1.5, -2.0, 0.25]), subtype="FLOAT")
    assert load(path, RATE).tolist() == [0.5, 1.0, -1.0, 0.25]


def test_end_rounded_up_by_a_manifest_is_no_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", sweep(1.0, RATE))
    assert load(path, RATE, 0.5, 0.53).shape == (8000,)


@pytest.mark.parametrize(
    ("offset", "duration", "said"),
    [
        (-0.5, None, "offset -0.5 s"),
        (float("nan"), None, "offset nan s"),
        (0.0, 0.0, "duration 0 s"),
        (0.0, -1.0, "duration -1 s"),
        (0.0, 1e-5, "duration 1e-05 s is less than a sample"),
        (0.5, 0.6, "it lasts 1.000 s"),
        (1.0, None, "it lasts 1.000 s"),
        (7.0, 0.01, "it lasts 1.000 s"),
    ],
)
@pytest.mark.parametrize("name", ["a.wav", "a.m4a", "a.mka"])
def test_impossible_times(tmp_path: Path, name: str, offset: float, duration: float | None, said: str) -> None:
    path, waveform = tmp_path / name, sweep(1.0, RATE)
    if name == "a.wav":
        write(path, waveform)
    else:
        encode(path, waveform, RATE, "aac" if name == "a.m4a" else "flac")
    assert said in refusal(path, offset, *([] if duration is None else [duration]))


def test_files_that_are_no_audio(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.wav")
    assert "folder" in refusal(tmp_path)
    for name, content, said in [
        ("empty.wav", b"", "empty (0 bytes)"),
        ("text.wav", b"And so my fellow Americans\n" * 50, "not audio"),
        ("text.mp3", b"And so my fellow Americans\n" * 50, "not audio"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\na.ts\n#EXT-X-ENDLIST\n", "not audio"),
    ]:
        (tmp_path / name).write_bytes(content)
        assert said in refusal(tmp_path / name)
    with pytest.raises(AudioError, match="not audio"):
        info(tmp_path / "text.wav")


def test_pipe_is_named(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb") as pipe:
        pipe.write(write(tmp_path / "a.wav", sweep(0.1, RATE)).read_bytes())
        pipe.flush()
        assert "a pipe" in refusal(Path(f"/dev/fd/{reading}"))


def test_playlist_reaches_no_other_file(tmp_path: Path) -> None:
    encode(tmp_path / "a.ts", sweep(1.0, RATE), RATE, "aac")
    (tmp_path / "a.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/a.ts\n#EXT-X-ENDLIST\n")
    assert load(tmp_path / "a.ts", RATE).numel() > 0.9 * RATE
    assert "not audio" in refusal(tmp_path / "a.m3u8")


def test_video_without_sound(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    assert "no audio" in refusal(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au"])
def test_header_without_samples(tmp_path: Path, name: str) -> None:
    assert "without samples" in refusal(write(tmp_path / name, torch.zeros(0)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    waveform = sweep(1.0, RATE)
    waveform[700] = value
    assert "NaN or infinite" in refusal(write(tmp_path / "a.wav", waveform, subtype="FLOAT"))


def test_samples_in_another_unit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", sweep(1.0, RATE) * 32768, subtype="FLOAT")
    assert "full scale" in refusal(path)


@pytest.mark.parametrize("share", [0.02, 0.6, 0.97])
@pytest.mark.parametrize("name", ["a.wav", "a.rf64", "a.w64", "a.au", "a.aiff", "a.flac", "a.caf", "a.sph", "a.mp3"])
def test_truncated_files(tmp_path: Path, name: str, share: float) -> None:
    how = {"format": "NIST", "subtype": "PCM_16"} if name == "a.sph" else {}
    path = write(tmp_path / name, sweep(8.0, RATE), **how)
    os.truncate(path, int(path.stat().st_size * share))
    assert "truncated" in refusal(path)


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize(("codec", "name"), [("aac", "a.m4a"), ("alac", "a.m4a"), ("libopus", "a.webm")])
def test_truncated_containers(tmp_path: Path, codec: str, name: str, share: float) -> None:
    rate = 48000
    options = {"movflags": "faststart"} if name == "a.m4a" else None  # the index first, so that it is not lost
    path = encode(tmp_path / name, sweep(5.0, rate), rate, codec, options)
    os.truncate(path, int(path.stat().st_size * share))
    assert "truncated" in refusal(path)


VIDEOS = [("aac", "a.mkv", RATE), ("libopus", "a.webm", 48000), ("aac", "a.mp4", RATE)]


@pytest.mark.parametrize(("codec", "name", "rate"), VIDEOS)
@pytest.mark.parametrize("late", [0.0, 0.936])
def test_picture_that_lasts_longer_than_the_sound(
    tmp_path: Path, codec: str, name: str, rate: int, late: float
) -> None:
    path = encode(tmp_path / name, sweep(4.0, rate), rate, codec, late=late, video=6.0)
    found = info(path).duration
    assert found < 5.1, "not the picture's length"
    assert load(path, RATE).numel() / RATE == pytest.approx(found, abs=0.05)
    if name != "a.mp4":  # whose index, at the end, would be lost
        os.truncate(path, path.stat().st_size // 2)
        assert "truncated" in refusal(path)


@pytest.mark.parametrize(("codec", "name", "rate"), [*VIDEOS, ("aac", "a.ts", RATE), ("pcm_s16le", "a.mov", RATE)])
@pytest.mark.parametrize(("late", "silence"), [(0.936, 0.936), (0.0, 0.0), (0.02, 0.0)])
def test_times_count_from_the_start_of_the_recording(
    tmp_path: Path, codec: str, name: str, rate: int, late: float, silence: float
) -> None:
    sound = torch.cat([torch.zeros(rate // 2), sweep(3.0, rate)])
    path = encode(tmp_path / name, sound, rate, codec, late=late, video=4.0)
    whole = load(path, RATE)
    begin = int((whole.abs() > 0.01).nonzero()[0]) / RATE
    # the encoder's delay is nowhere noted in a transport stream
    assert begin == pytest.approx(0.5 + silence, abs=0.07 if name == "a.ts" else 0.03)
    assert info(path).duration == pytest.approx(whole.numel() / RATE, abs=0.05)
    for offset, duration in [(0.0, 0.4), (0.0, 1.5), (0.3, 0.3), (0.8, 1.0), (2.2, 1.0), (3.9, 0.3), (1.1, None)]:
        if offset + (duration or 0) < whole.numel() / RATE:
            first, count = round(offset * RATE), None if duration is None else round(duration * RATE)
            stretch = whole[first:] if count is None else whole[first : first + count]
            torch.testing.assert_close(load(path, RATE, offset, duration), stretch, rtol=0, atol=2e-6)


def test_matroska_that_does_not_tell_when_its_sound_ends(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", sweep(4.0, RATE), RATE, "aac", video=6.0)
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"duration"))
    assert load(path, RATE).numel() / RATE == pytest.approx(4.0, abs=0.1)
    assert info(path).duration == pytest.approx(4.0, abs=0.1)


def test_matroska_whose_tag_is_the_length_of_its_sound(tmp_path: Path) -> None:
    """As mkvmerge writes it; FFmpeg writes when the sound ends."""
    source = encode(tmp_path / "a.mkv", sweep(4.0, RATE), RATE, "flac", late=1.5, video=8.0)
    path = tmp_path / "b.mkv"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        streams[old.streams.audio[0].index].metadata["_STATISTICS_WRITING_APP"] = "mkvmerge"
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    content = path.read_bytes()
    assert b"00:00:05.500" in content
    path.write_bytes(content.replace(b"00:00:05.500", b"00:00:04.000"))
    assert info(path).duration == load(path, RATE).numel() / RATE == pytest.approx(5.5, abs=1e-3)


def test_container_cut_before_its_index(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", sweep(2.0, RATE), RATE, "aac")
    os.truncate(path, path.stat().st_size // 2)
    assert "too damaged to tell" in refusal(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF - 36])
def test_wav_written_to_a_pipe_is_whole(tmp_path: Path, size: int) -> None:
    """Such a header promises as much as it can hold."""
    path = write(tmp_path / "a.wav", sweep(1.0, RATE))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert load(path, RATE).shape == (RATE,)


@pytest.mark.skipif("ASR_CORPORA" not in os.environ, reason="set ASR_CORPORA to the folder of real recordings")
def test_real_recordings() -> None:
    clips = Path(os.environ["ASR_CORPORA"]) / "clips"
    if not clips.is_dir():
        pytest.skip(f"no folder {clips}")
    for path in sorted(clips.iterdir()):
        whole = load(path, RATE)
        assert whole.numel() / RATE == pytest.approx(info(path).duration, abs=1e-3)
        assert whole.std() > 1e-3
        torch.testing.assert_close(load(path, RATE, 1.25, 0.75), whole[20000:32000], rtol=0, atol=2e-6)
