"""Make a corpus of SYNTHETIC speech, commands and digits spoken by espeak-ng. See README.md beside this file.

What a recogniser scores on it says nothing about real speech.
"""

import ctypes
import multiprocessing
import os
import shutil
import signal
import sys
import wave
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random as Rng

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from asr.dataset import Utterance
from asr.dataset.corpus import Splits, parser, prepare, report
from asr.errors import CorpusError, DependencyError

HERE = Path(__file__).resolve().parent
SIZES = {"train": 2500, "dev": 150, "test": 300}
SAMPLE_RATE, ESPEAK_RATE = 16000, 22050
JOB_UTTERANCES = 125
"""One process says so many in a row, whatever the number of cores, so that the corpus does not depend on it."""
FFT_SAMPLES = 1 << 16
WARNING = "This is SYNTHETIC speech: a word error rate on it says nothing about real speech."

Samples = NDArray[np.float64]

# Sentences: a name in capitals stands for one of its alternatives, each as likely as the others.
GRAMMAR = """
SENTENCE: PHONE | PHONE | PHONE | TIME | TIME | HOME | HOME | HOME | MEDIA | LIST | LIST | ASK | ASK
PHONE: DIGITS | DIGITS | call DIGITS | dial DIGITS | my number is DIGITS
TIME: set a timer for NUMBER UNITS | set an alarm for CLOCK in the MORNING | wake me up at CLOCK on DAY
TIME: remind me to TASK on DAY MORNING | remind me to TASK at CLOCK
HOME: turn SWITCH the ROOM DEVICE | turn SWITCH the DEVICE in the ROOM please | set the ROOM DEVICE to NUMBER percent
HOME: make it NUMBER degrees in the ROOM | MOVE the ROOM OPENING | MOVE the OPENING at CLOCK
MEDIA: play some MUSIC in the ROOM | play MUSIC at volume NUMBER | skip NUMBER songs | stop the MUSIC in the ROOM
LIST: add FOOD and FOOD to my shopping list | buy NUMBER FOOD on DAY | remove the FOOD and the FOOD
ASK: what is the weather like on DAY in the MORNING | will it WEATHER on DAY or on DAY | how much is NUMBER plus NUMBER
DIGITS: D D D | D D D D | D D D D D | D D D D D D | D D D D D D D
D: oh | zero | one | two | three | four | five | six | seven | eight | nine
NUMBER: SMALL | TEEN | TEEN | TEN | TEN SMALL | TEN SMALL
CLOCK: HOUR | HOUR oh five | HOUR ten | HOUR fifteen | HOUR twenty | HOUR thirty | HOUR forty five | HOUR fifty
SMALL: one | two | three | four | five | six | seven | eight | nine
TEEN: ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen
TEN: twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety
HOUR: SMALL | SMALL | SMALL | ten | eleven | twelve
UNITS: seconds | minutes | hours
DAY: monday | tuesday | wednesday | thursday | friday | saturday | sunday
MORNING: morning | afternoon | evening
SWITCH: on | off
ROOM: kitchen | bedroom | bathroom | living room | office | garage | garden | hall
DEVICE: lights | lamp | heating | fan | radio
MOVE: open | close | lock
OPENING: door | window | gate | curtains
MUSIC: jazz | rock | piano | dance | country | classical | music
WEATHER: rain | snow | be sunny | be windy | be cold
FOOD: milk | bread | eggs | coffee | apples | rice | cheese | butter | lemons | tomatoes | sugar
TASK: water the plants | feed the cat | pay the bill | phone the doctor | take out the trash | walk the dog
"""
RULES: dict[str, list[str]] = {}
for _line in GRAMMAR.strip().splitlines():
    _name, _, _alternatives = _line.partition(": ")
    RULES.setdefault(_name, []).extend(_alternatives.split(" | "))


def sentence(rng: Rng, name: str = "SENTENCE") -> str:
    """One sentence of the grammar."""
    return " ".join(sentence(rng, word) if word in RULES else word for word in rng.choice(RULES[name]).split())


def sentences(sizes: Mapping[str, int], rng: Rng) -> dict[str, list[str]]:
    """Sentences for each split; one of test or dev occurs nowhere else."""
    found: dict[str, list[str]] = {}
    taken: set[str] = set()
    for name in ("test", "dev", "train"):
        found[name] = []
        while len(found[name]) < sizes[name]:
            text = sentence(rng)
            if text not in taken:
                found[name].append(text)
            if name != "train":
                taken.add(text)
    return found


# Voices: a dialect of English with a variant, which is how espeak-ng calls a vocal tract.

DIALECTS = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-gb-x-gbclan", "en-029", "en-gb-x-gbcwmd")
VARIANTS: Mapping[str, str] = {
    "train": "f3 m1 f4 m3 aunty m4 Annie m5 belinda m8 steph Alex Andrea Diogo anika Denis shelby Gene Alicia Hugo "
    "grandma Lee Michael Mike adam boris announcer edward edward2 gustave ian john klatt3 klatt4 max michel paul pablo "
    "quincy robert sandro travis victor Andy",
    "dev": "f2 m2 linda marcelo f2 Mario",
    "test": "f1 m6 f5 m7 f1 david f5 Reed f1 rob",
}
"""Variants that differ in next to nothing are on the same side. Some of dev and test speak twice, in two dialects."""
NOISES = ("white", "pink", "hum", "babble")
SNR_DB, LEVEL_DB, EDGE_SECONDS = (15.0, 40.0), (-38.0, -18.0), (0.1, 0.35)


@dataclass(frozen=True, slots=True)
class Voice:
    """Numbers as espeak-ng wants them: 0 to 99. Even ones train; odd ones are for dev and test, and so with speeds."""

    name: str
    pitch: int
    pitch_range: int

    def rate(self, rng: Rng) -> int:
        """Words a minute, for one sentence."""
        return 2 * rng.randint(60, 90) + self.pitch % 2


def voices(name: str, rng: Rng) -> list[Voice]:
    """The voices of a split, no two alike. In train every variant speaks every dialect, for variety teaches most."""
    odd, variants = int(name != "train"), VARIANTS[name].split()
    if name == "train":
        names = [f"{dialect}+{variant}" for dialect in DIALECTS for variant in variants]
        rng.shuffle(names)
    else:
        places = [variants.index(variant) + variants[:place].count(variant) for place, variant in enumerate(variants)]
        names = [f"{DIALECTS[place % len(DIALECTS)]}+{variants[number]}" for number, place in enumerate(places)]
    return [Voice(name, 2 * rng.randint(17, 32) + odd, 2 * rng.randint(17, 32) + odd) for name in names]


class Espeak:
    """The engine. What it says depends on all it has said before: for equal speech, begin with a fresh process."""

    SYNCHRONOUS, DO_NOT_EXIT, UTF8 = 2, 0x8000, 1  # speech goes to the callback before espeak_Synth returns
    RATE, PITCH, RANGE = 1, 3, 4

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise DependencyError(
                "espeak-ng: not installed; pip install 'asr[synthetic]' brings it (licence: GPL-3), "
                "or take a corpus of real speech, e.g. make train RECIPE=an4"
            ) from None
        data = espeakng_loader.get_data_path()
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        if self._library.espeak_Initialize(self.SYNCHRONOUS, 0, str(data).encode(), self.DO_NOT_EXIT) != ESPEAK_RATE:
            raise DependencyError(f"{data}: espeak-ng cannot read its voices; install into a folder of a shorter path")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(0))
        self._blocks: list[NDArray[np.int16]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._take)  # which has to live as long as the engine
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: Voice, rate: int) -> Samples:
        """Speech in [-1, 1] at 16 kHz, without the silence around it."""
        self._blocks.clear()
        if self._library.espeak_SetVoiceByName(voice.name.encode()):
            raise DependencyError(
                f"espeak-ng: no voice {voice.name}; pip install 'asr[synthetic]' brings a release with it"
            )
        for parameter, value in ((self.RATE, rate), (self.PITCH, voice.pitch), (self.RANGE, voice.pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, self.UTF8, None, None)
        speech = np.concatenate(self._blocks) / 32768.0
        audible = np.flatnonzero(np.abs(speech) > 0.01 * np.abs(speech).max())
        return resampled(speech[audible[0] : audible[-1] + 1])

    def _take(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: int) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


def resampled(speech: Samples) -> Samples:
    """From 22050 to 16000 Hz: the spectrum up to 8 kHz, transformed back. 441 samples become 320."""
    periods = 64 * (len(speech) // (64 * 441) + 1)  # many factors of 2 make transforms fast
    spectrum = np.fft.rfft(speech, periods * 441)[: periods * 160 + 1]
    samples = len(speech) * 320 // 441
    return np.asarray(np.fft.irfft(spectrum, periods * 320)[:samples] * (320 / 441))


def noise(kind: str, samples: int, babble: Samples, rng: np.random.Generator) -> Samples:
    """Noise of some level, shape (samples,)."""
    white = rng.standard_normal(samples)
    if kind == "babble":
        return np.roll(np.resize(babble, samples), rng.integers(samples))
    if kind == "hum":
        turns = float(rng.choice((50.0, 60.0))) * np.arange(samples) / SAMPLE_RATE + rng.random()
        return turns % 1.0 - 0.5 + 0.02 * white  # a sawtooth has all harmonics
    if kind == "pink":  # power falls as 1 / frequency
        spectrum = np.fft.rfft(rng.standard_normal(FFT_SAMPLES))
        return np.resize(np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0)), samples)
    return white


def mixed(speech: Samples, babble: Samples, rng: np.random.Generator) -> NDArray[np.int16]:
    """Speech with noise around and below it, at some level, as 16-bit samples."""
    before, after = (round(rng.uniform(*EDGE_SECONDS) * SAMPLE_RATE) for _ in range(2))
    padded = np.pad(speech / rms(speech), (before, after))
    disturbance = noise(rng.choice(NOISES), len(padded), babble, rng)
    waveform = padded + disturbance / rms(disturbance) * 10 ** (-rng.uniform(*SNR_DB) / 20)
    level = min(10 ** (rng.uniform(*LEVEL_DB) / 20), 0.99 / np.abs(waveform).max())  # which never clips
    return np.asarray(np.round(32767 * level * waveform), dtype=np.int16)


def rms(waveform: Samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(waveform).mean()))


@dataclass(frozen=True, slots=True)
class Job:
    """Files that one process writes: where, what is said, by whom."""

    lines: Sequence[tuple[Path, str, Voice]]
    seed: str


def speak(job: Job) -> None:
    """Write the files of a job. To be called once in a process; see `Espeak`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    draw, engine = Rng(job.seed), Espeak()
    rng = np.random.default_rng(draw.getrandbits(64))
    # Four voices at once, saying some of the sentences that follow: nothing of another split.
    crowd = [[engine.say(text, voice, 160) for _, text, voice in job.lines[place:12:4]] for place in range(4)]
    babble = np.sum([np.resize(np.concatenate(said or crowd[0]), 8 * SAMPLE_RATE) for said in crowd], axis=0)
    for path, text, voice in job.lines:
        samples = mixed(engine.say(text, voice, voice.rate(draw)), babble, rng)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))  # one channel of two bytes
            file.writeframes(samples.astype("<i2").tobytes())


def in_fresh_process(job: Job) -> None:
    """Run a job where espeak-ng has said nothing yet."""
    process = multiprocessing.get_context("spawn").Process(target=speak, args=(job,), daemon=True)
    process.start()
    process.join()
    if process.exitcode:
        raise CorpusError("espeak-ng: failed, see above; install it again with pip install 'asr[synthetic]'")


def read(out: Path, sizes: Mapping[str, int], seed: int) -> Splits:
    """Make the audio, whole or not at all, and the utterances."""
    Espeak()  # here, an error is one line
    print(WARNING)
    final, temporary = out / "audio", out / "audio.part"
    shutil.rmtree(temporary, ignore_errors=True)
    texts, jobs, splits = sentences(sizes, Rng(seed)), [], {}
    for name in SIZES:
        (temporary / name).mkdir(parents=True)
        speakers = voices(name, Rng(f"{seed} {name}"))
        said = [
            (Path(name, f"{name}-{number:05d}.wav"), text, speakers[number % len(speakers)])
            for number, text in enumerate(texts[name])
        ]
        splits[name] = [Utterance(final / path, 0.0, text, speaker=who.name, id=path.stem) for path, text, who in said]
        for first in range(0, len(said), JOB_UTTERANCES):
            lines = [(temporary / path, text, who) for path, text, who in said[first : first + JOB_UTTERANCES]]
            jobs.append(Job(lines, f"{seed} {name} {first}"))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(track(threads.map(in_fresh_process, jobs), "synthesis", len(jobs), console=Console(stderr=True)))
    shutil.rmtree(final, ignore_errors=True)
    temporary.replace(final)
    return {name: [replace(one, duration=seconds(one.audio_filepath)) for one in said] for name, said in splits.items()}


def seconds(path: Path) -> float:
    """How long a wav file lasts."""
    with wave.open(str(path)) as file:
        return int(file.getnframes()) / SAMPLE_RATE


def run() -> int:
    """The command line. Returns the exit status."""
    arguments = parser(__doc__ or "", HERE)
    arguments.add_argument("--seed", type=int, default=0, help="the same seed makes the same corpus, bit for bit")
    for name, size in SIZES.items():
        arguments.add_argument(f"--{name}", type=int, default=size, help="utterances (default: %(default)s)")
    options = arguments.parse_args()
    sizes, out = {name: getattr(options, name) for name in SIZES}, options.out.absolute()

    def work() -> None:
        made_from = {"seed": options.seed, **sizes}
        prepare(HERE / "prepare.py", out, made_from, lambda: read(out, sizes, options.seed), options.force)
        if out != HERE:
            shutil.copy(HERE / "README.md", out)

    return report(work)


if __name__ == "__main__":
    sys.exit(run())
