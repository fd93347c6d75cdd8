"""One open audio file: its rate, its channels, and the samples of any stretch of it.

libsndfile reads what it can (wav, flac, mp3, ogg, opus, aiff, NIST sphere, ...); PyAV reads the rest (m4a, mp4, webm,
aac, ...). The content decides, never the name. Neither pads or shortens: a file with fewer samples than its header
promises is an error.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from asr.audio.resample import resample
from asr.errors import AudioError

BLOCK_FRAMES = 1 << 18
"""Frames decoded at a time: a long recording of many channels is never whole in memory."""
PREROLL_SECONDS = 0.5
"""Decoding starts this much before what is wanted: lossy codecs need earlier packets to get a packet right."""
SLACK_SECONDS = 0.05
"""Durations in containers' headers are rounded, and may count padding."""
UNRECOGNISED, UNSUPPORTED = 1, 4  # libsndfile's sf_error codes for a format and an encoding that it does not know
UNKNOWN_SIZE = 0x7FFF0000  # programs that write to a pipe put a size from here up into the header
MP3_HEADER_BYTES = 192  # an MP3's length stands in its first frame, within so many bytes

LOCAL_ONLY = {"protocol_whitelist": "none"}
"""A playlist names other files and addresses; this forbids FFmpeg to open any."""

Samples = NDArray[np.float32]


class AudioFile(Protocol):
    """An open file. Its frames are instants: one sample of every channel."""

    sample_rate: int
    channels: int
    frames: int | None
    """Frames in the file; None if no header tells and it has not been read to its end."""

    def read(self, start: int, stop: int | None) -> Samples:
        """The mean of the channels from frame `start` to `stop` (None: the end), or to the end of the file.

        To be called once. Raises AudioError when the file ends before its header says.
        """
        ...


@contextmanager
def open_audio(path: Path) -> Iterator[AudioFile]:
    """Open a file with the library that can read it.

    Raises:
        AudioError: missing, a folder, a pipe, empty, without samples, damaged, truncated, or not audio.
    """
    try:
        file = FileIO(path)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise AudioError(f"{path}: a folder; give an audio file") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from None
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{path}: a pipe or device, which cannot be read anywhere in it; give an audio file")
        if status.st_size == 0:
            raise AudioError(f"{path}: empty (0 bytes); copy or record it again")
        try:
            with _decoder(path, file) as audio:
                if audio.frames == 0:
                    raise AudioError(f"{path}: a header without samples; record it again, or leave it out")
                yield audio
        except (soundfile.LibsndfileError, av.FFmpegError) as error:
            reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else error.strerror
            raise AudioError(f"{path}: damaged or truncated ({reason}); copy or convert it again") from None


@contextmanager
def _decoder(path: Path, file: FileIO) -> Iterator[AudioFile]:
    sound = _sound(file)
    if sound is not None:
        with sound:
            yield _SndFile(path, sound, _head(file))
        return
    file.seek(0)
    try:
        container = av.open(file, options=LOCAL_ONLY)
    except av.FFmpegError:
        what = "not audio in any known format, or too damaged to tell"
        raise AudioError(f"{path}: {what}; convert it to wav or flac, or copy it again") from None
    with container:
        if not container.streams.audio:
            raise AudioError(f"{path}: holds no audio; give a file with an audio track")
        yield _Container(path, container)


def _sound(file: FileIO) -> soundfile.SoundFile | None:
    """The file as libsndfile opens it, None if it does not know the format.

    By descriptor and not by name: libsndfile would believe the name of a headerless file.
    """
    if _is_unmeasured_mp3(file):
        return None
    try:
        return soundfile.SoundFile(file.fileno(), closefd=False)
    except soundfile.LibsndfileError as error:
        if error.code in (UNRECOGNISED, UNSUPPORTED):
            return None
        raise


class _SndFile:
    """What libsndfile reads; it seeks to the exact sample."""

    def __init__(self, path: Path, sound: soundfile.SoundFile, head: bytes) -> None:
        self.path, self.sound = path, sound
        self.sample_rate: int = sound.samplerate
        self.channels: int = sound.channels
        self.frames: int | None = sound.frames
        if _is_cut(sound, head):
            raise _truncated(path)

    def read(self, start: int, stop: int | None) -> Samples:
        end: int = self.sound.frames if stop is None else min(stop, self.sound.frames)
        if start >= end:
            return np.empty(0, np.float32)
        try:
            return self._read(start, end)
        except (soundfile.LibsndfileError, AudioError):
            if self.sound.subtype != "OPUS":
                raise
        return _read_opus(self.path, self.sample_rate, start, end)

    def _read(self, start: int, end: int) -> Samples:
        preroll = int(PREROLL_SECONDS * self.sample_rate) if self.sound.format == "MP3" else 0
        position = self.sound.seek(max(start - preroll, 0))
        pieces = [np.empty(0, np.float32)]
        while position < end:  # not SoundFile.blocks, which makes up samples where a file ends early
            block = self.sound.read(min(BLOCK_FRAMES, end - position), dtype="float32", always_2d=True)
            if not len(block):
                raise _truncated(self.path)
            pieces.append(block[max(start - position, 0) :].mean(axis=1))
            position += len(block)
        return np.concatenate(pieces)


class _Container:
    """What FFmpeg reads, from the start of the recording: where its sound starts later, zeros come first.

    Only the index of the mp4 family has timestamps that are exact to the sample, so only there is a seek made; other
    formats are decoded from their start and their samples counted (Opus at 500 times real time, AAC at 1000).
    """

    def __init__(self, path: Path, container: Any) -> None:
        self.path, self.container = path, container
        self.stream = container.streams.audio[0]
        self.indexed = "mp4" in container.format.name
        self.sample_rate: int = self.stream.codec_context.sample_rate
        self.channels: int = self.stream.codec_context.channels
        self.origin: int = self.stream.start_time or 0
        late = float(self.origin * self.stream.time_base) - (container.start_time or 0) / av.time_base
        # Encoders put their sound up to a frame off, and nobody notices what is less than the slack.
        is_late = late > max(SLACK_SECONDS, self.stream.codec_context.frame_size / self.sample_rate)
        self.silence = round(late * self.sample_rate) if is_late else 0
        """Frames from the start of the recording to that of its sound."""
        self.frames: int | None = self._promised()

    def _promised(self) -> int | None:
        """Frames until the sound ends, as headers tell; a container with other streams may last longer."""
        stream, seconds = self.stream, (self.container.duration or 0) / av.time_base
        if self.indexed and stream.duration is not None:
            return self.silence + round(float(stream.duration * stream.time_base) * self.sample_rate)
        if "matroska" not in self.container.format.name or not seconds:
            return None
        # FFmpeg writes in this tag when the sound ends, mkvmerge how long it lasts.
        tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
        if tag and not (self.silence and "_STATISTICS_WRITING_APP" in stream.metadata):
            seconds = min(seconds, int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]))
        elif len(self.container.streams) > 1:
            return None
        length = seconds - float(self.origin * stream.time_base)
        return self.silence + round(length * self.sample_rate) if length > 0 else None

    def read(self, start: int, stop: int | None) -> Samples:
        if self.indexed and self.frames is not None:
            stop = self.frames if stop is None else min(stop, self.frames)  # what lies behind is the codec's padding
        if stop is not None and start >= stop:
            return np.empty(0, np.float32)
        seconds = (start - self.silence) / self.sample_rate - PREROLL_SECONDS
        sought = self.indexed and seconds > 0
        if sought:
            self.container.seek(self.origin + int(seconds / self.stream.time_base), stream=self.stream)
        before = self.silence if stop is None else min(self.silence, stop)
        pieces, position = [np.zeros(max(before - start, 0), np.float32)], None if sought else self.silence
        for frame in self.container.decode(self.stream):
            if frame.sample_rate != self.sample_rate:
                raise AudioError(f"{self.path}: changes its sample rate midway; convert it to wav or flac")
            if position is None:
                position = self.silence + round((frame.pts - self.origin) * frame.time_base * self.sample_rate)
            piece = _mono(frame)[max(start - position, 0) : None if stop is None else max(stop - position, 0)]
            if piece.size:
                pieces.append(piece)
            position += frame.samples
            if stop is not None and position >= stop:
                break
        else:
            self._check_end(position or 0, stop)
        return np.concatenate(pieces)

    def _check_end(self, position: int, stop: int | None) -> None:
        if self.frames is None:
            self.frames = position
        promised = self.frames if stop is None else min(stop, self.frames)
        if position < promised - SLACK_SECONDS * self.sample_rate:
            raise _truncated(self.path)


def _read_opus(path: Path, sample_rate: int, start: int, end: int) -> Samples:
    """Ogg Opus by FFmpeg, where libsndfile gives up; frames `start` to `end` at `sample_rate`.

    FFmpeg, when it resamples what it encodes, writes granule positions that are some samples off in the first pages. To
    libsndfile 1.2.2 that is damage; of 400 noises encoded so it refused 49.

    Raises:
        AudioError: FFmpeg finds fewer samples too.
    """
    with FileIO(path) as file, av.open(file, options=LOCAL_ONLY) as container:
        decoded = _Container(path, container)
        samples = decoded.read(0, None)
    frames = resample(torch.from_numpy(samples), decoded.sample_rate, sample_rate).numpy()
    if len(frames) < end - SLACK_SECONDS * sample_rate:
        raise _truncated(path)
    return np.asarray(frames[start:end], np.float32)


def _mono(frame: Any) -> Samples:
    """The mean of the channels of a decoded frame, scaled to [-1, 1]; shape (frame.samples,)."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, -1).T
    mono = samples.mean(axis=0, dtype=np.float64)
    if samples.dtype.kind == "u":
        mono = mono / 128 - 1
    elif samples.dtype.kind == "i":
        mono = mono / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return np.asarray(mono, np.float32)


def _head(file: FileIO) -> bytes:
    """The first kilobyte; the position in the file stays."""
    return os.pread(file.fileno(), 1024, 0)


def _is_unmeasured_mp3(file: FileIO) -> bool:
    """Whether this is an MP3 without the Xing/Info header that tells its length.

    libsndfile guesses the length of such a file from the first frame's bit rate, and then reads no further: of a
    variable-rate one it may give a third.
    """
    start = _id3_bytes(_head(file))
    frame = os.pread(file.fileno(), MP3_HEADER_BYTES, start)
    mpeg_layer_3 = len(frame) > 1 and frame[0] == 0xFF and frame[1] & 0xE6 == 0xE2
    return bool(mpeg_layer_3) and b"Xing" not in frame and b"Info" not in frame


def _id3_bytes(head: bytes) -> int:
    """Length of a leading ID3v2 tag, whose size is written in 4 bytes of 7 bits."""
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def _is_cut(sound: soundfile.SoundFile, head: bytes) -> bool:
    """Whether the header promises more than there is, where libsndfile quietly puts what there is in its place."""
    if sphere := re.search(rb"sample_count -i (\d+)", head if sound.format == "NIST" else b""):
        return int(sphere[1]) > int(sound.frames)
    sizes = re.findall(
        r"^\s*(?:data|SSND|riff|Riff size|Data Size) +: (\d+) \(should be (\d+)\)", sound.extra_info, re.M
    )
    # Sizes may count the padding of the last chunk, 7 bytes at most.
    return any(int(actual) + 7 < int(promised) < UNKNOWN_SIZE for promised, actual in sizes)


def _truncated(path: Path) -> AudioError:
    return AudioError(f"{path}: truncated, its header promises more samples than it holds; copy or record it again")
