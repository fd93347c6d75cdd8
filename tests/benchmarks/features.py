"""Log-mel features (80 bins, 25 ms, 10 ms) of recordings of AN4's lengths, and the memory each system needs for it.

    python tests/benchmarks/features.py SYSTEM      # makes them once; tells mebibytes before and at most

All compute on one thread. Ours and torchaudio take padded batches of 16, sorted by length; the others take recordings
one by one, as they are meant to. Ours and only ours normalises them as well.
"""

import subprocess
import sys
from collections.abc import Callable

import an4
import torch
from harness import Report, Run, peak_mebibytes

UTTERANCES = 16


def ours() -> Run:
    from asr.audio import LogMel
    from asr.config import FeatureConfig

    log_mel, batches = LogMel(FeatureConfig()), an4.batches(UTTERANCES)
    return torch.inference_mode()(lambda: [log_mel(batch.waveforms, batch.lengths) for batch in batches])


def torchaudio() -> Run:
    from torchaudio.transforms import MelSpectrogram

    spectrogram, batches = MelSpectrogram(an4.SAMPLE_RATE, 512, 400, 160, n_mels=80), an4.batches(UTTERANCES)
    return torch.inference_mode()(lambda: [spectrogram(batch.waveforms).clamp_min(1e-10).log() for batch in batches])


def librosa() -> Run:
    import numpy
    from librosa.feature import melspectrogram

    options = {"sr": an4.SAMPLE_RATE, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 80}
    waveforms = _waveforms()
    return lambda: [numpy.log(melspectrogram(y=each, **options).clip(1e-10)) for each in waveforms]


def kaldi_native_fbank() -> Run:
    import kaldi_native_fbank
    import numpy

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 80
    waveforms = _waveforms()

    def features(waveform: object) -> object:
        fbank = kaldi_native_fbank.OnlineFbank(options)
        fbank.accept_waveform(an4.SAMPLE_RATE, waveform)
        fbank.input_finished()
        return numpy.stack([fbank.get_frame(frame) for frame in range(fbank.num_frames_ready)])

    return lambda: [features(each) for each in waveforms]


def lhotse() -> Run:
    from lhotse import Fbank

    fbank, waveforms = Fbank(), _waveforms()
    return lambda: [fbank.extract(each, an4.SAMPLE_RATE) for each in waveforms]


def _waveforms() -> list[object]:
    return [example.waveform.numpy() for example in an4.examples()]


SYSTEMS: dict[str, Callable[[], Run]] = {
    "ours": ours,
    "torchaudio": torchaudio,
    "librosa": librosa,
    "kaldi-native-fbank": kaldi_native_fbank,
    "lhotse": lhotse,
}


def compare(report: Report, seconds: float) -> None:
    """Time the features of all recordings; ours beside everyone."""
    peers = {name: make for name, make in SYSTEMS.items() if name != "ours"}
    report.compare("features", {"": ours}, peers, seconds=seconds)


def memory(report: Report) -> None:
    """Peak memory of each system, in a process of its own."""
    rows = []
    for name in SYSTEMS:
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True)
        rows.append([name, *done.stdout.split("\n")[:2]] if done.returncode == 0 else [name, "left out", ""])
    report.table("features, peak memory", ["", "before (imports, recordings)", "peak"], rows)


def tell(name: str) -> None:
    """Print the peak memory before and after making the features once."""
    torch.set_num_threads(1)
    run = SYSTEMS[name]()
    print(f"{peak_mebibytes():.0f} MiB")
    run()
    print(f"{peak_mebibytes():.0f} MiB")


def run(report: Report) -> None:
    """Times, then memory."""
    seconds = sum(seconds for seconds, _ in an4.LENGTHS)
    report.say(f"\n## Features\n\nLog-mel spectrograms of {seconds:.0f} s of audio, {len(an4.LENGTHS)} recordings.")
    compare(report, seconds=10.0)
    memory(report)


if __name__ == "__main__":
    tell(sys.argv[1])
