"""How fast recognition runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """`seconds` of work for `audio_seconds` of sound."""

    audio_seconds: float
    seconds: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for each second of audio: below 1 is faster than real time; infinite for no audio."""
        return self.seconds / self.audio_seconds if self.audio_seconds else float("inf")

    @property
    def times_real_time(self) -> float:
        """Seconds of audio for each second of work, the inverse of the real-time factor."""
        return self.audio_seconds / self.seconds if self.seconds else float("inf")
