"""Which utterance follows which, where training joins two of them."""

import numpy as np
import numpy.typing as npt

PURPOSE = 1
"""Parts these draws from others of the same seed and epoch."""


class Followers:
    """Another utterance for a share of all of them, drawn anew every epoch.

    They are drawn for a whole epoch at once, before its batches are formed: so a batch is as large as it is said to be.

    Args:
        durations: seconds, shape (utterances,).
        share: probability that an utterance is given a follower.
        longest_seconds: both together last no longer; where they would, the utterance stays alone.
        seed: with the epoch, decides everything.
        joinable: which utterances may have a follower and be one, shape (utterances,); None is all.
    """

    def __init__(
        self,
        durations: npt.NDArray[np.floating],
        share: float,
        longest_seconds: float = np.inf,
        seed: int = 0,
        joinable: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.share, self.longest_seconds, self.seed = share, longest_seconds, seed
        self._joinable = np.ones(len(durations), np.bool_) if joinable is None else joinable
        self._alone = durations.astype(np.float64)
        self._drawn: tuple[int, npt.NDArray[np.int64]] | None = None

    def indices(self, epoch: int) -> npt.NDArray[np.int64]:
        """Of the utterance that follows each, never itself; -1 where it stays alone. Shape (utterances,)."""
        drawn = self._drawn
        if drawn is None or drawn[0] != epoch:
            drawn = self._drawn = epoch, self._draw(epoch)  # kept, as every utterance of the epoch asks
        return drawn[1]

    def durations(self, epoch: int) -> npt.NDArray[np.float64]:
        """Seconds of each utterance and its follower, shape (utterances,)."""
        found = self.indices(epoch)
        seconds: npt.NDArray[np.float64] = self._alone + np.where(found >= 0, self._alone[found], 0.0)
        return seconds

    def _draw(self, epoch: int) -> npt.NDArray[np.int64]:
        count = len(self._alone)
        if not self.share or count < 2:
            return np.full(count, -1)
        random = np.random.default_rng(np.random.SeedSequence((self.seed, epoch), spawn_key=(PURPOSE,)))
        chosen = random.random(count) < self.share
        found = (np.arange(count) + random.integers(1, count, count)) % count
        fits = self._alone + self._alone[found] <= self.longest_seconds
        return np.where(chosen & fits & self._joinable & self._joinable[found], found, -1)
