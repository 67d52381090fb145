"""`GammaCounts`: the right frames of seen and of unseen classes with each of several gammas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.decoding import Calibration
from fact_clip.inference.scored_videos import ScoredVideos
from fact_clip.metrics.zero_shot import ClassGroups


class GammaCounts:
    """Frames of K classes, and how many of them are right with each of G gammas.

    A class may be seen by one model and unseen by another, so a frame is counted in a table of two
    rows: as seen or as unseen.

    Args:
        gammas: values of gamma, 0 among them.
        n_classes: K.
    """

    def __init__(self, gammas: Sequence[float], n_classes: int) -> None:
        self.gammas = gammas
        self.frames = np.zeros((2, n_classes), np.int64)
        self.right = np.zeros((len(gammas), 2, n_classes), np.int64)
        self.background: set[int] = set()

    def add(self, scored: ScoredVideos, calibration: Calibration, groups: ClassGroups) -> None:
        """Count the frames of videos.

        Args:
            scored: videos that are decoded as in use.
            calibration: of their models.
            groups: what the classes are for these models.
        """
        self.background |= groups.background
        decoded = scored.decode_each_gamma(calibration, self.gammas)
        for truth, predictions in zip(scored.truth, decoded, strict=True):
            is_counted = (truth >= 0) & ~np.isin(truth, [*groups.also_unseen])
            role = np.isin(truth, [*groups.unseen]).astype(np.int64)  # the row of each frame
            cell = role * self.frames.shape[1] + truth
            self.frames += self._table(cell[is_counted])
            for right, is_right in zip(self.right, predictions == truth, strict=True):
                right += self._table(cell[is_counted & is_right])

    def _table(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often each cell of the table occurs, (2, K)."""
        return np.bincount(cells, minlength=self.frames.size).reshape(self.frames.shape)

    def curve(self) -> metrics.SeenUnseenCurve:
        """Return the accuracy of seen and of unseen classes over gamma."""
        counts = {
            gamma: metrics.FrameCounts.of_arrays(self.frames.ravel(), right.ravel())
            for gamma, right in zip(self.gammas, self.right, strict=True)
        }
        n_classes = self.frames.shape[1]
        unseen = range(n_classes, 2 * n_classes)
        return metrics.curve_of_counts(counts, unseen, tuple(self.background))
