"""A video kept ready: its scores stay, so that other settings of the decoding take a moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation, runs
from fact_clip.core.clock import Clock
from fact_clip.decoding import Voters

if TYPE_CHECKING:
    from fact_clip.inference.segmenter import Choice, Segmenter

BACKGROUND = "background"
"""What frames under a threshold are called where the vocabulary has no background."""


@dataclass(frozen=True)
class Adjust:
    """Settings of the decoding that need no new scores; None: as the model has them.

    Args:
        threshold: in [0, 1]; frames in which no action is likelier are background.
        gamma: nats that are subtracted from the log scores of the classes that were trained; may be negative.
        switch_penalty: nats that a change of action costs.
        shortest: seconds; shorter segments go to a neighbour.
    """

    threshold: float | None = None
    gamma: float | None = None
    switch_penalty: float | None = None
    shortest: float | None = None

    def __post_init__(self) -> None:
        wanted = {
            "threshold": (0.0, 1.0, "a probability, 0 to 1"),
            "gamma": (-1e3, 1e3, "nats, -1000 to 1000"),
            "switch_penalty": (0.0, 1e6, "nats, 0 or more"),
            "shortest": (0.0, 1e6, "seconds, 0 or more"),
        }
        for name, (low, high, expected) in wanted.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise InputError(name, f"{value}", expected)


class Prepared(Protocol):
    """What is kept of a video for one list of candidates."""

    @property
    def nbytes(self) -> int:
        """Main memory that it takes."""

    def segmentation(self, adjust: Adjust) -> Segmentation:
        """The video cut into segments with these settings."""


@dataclass(frozen=True)
class PreparedScores:
    """The voters of a trained model, from which :meth:`Segmenter.decode` makes labels."""

    segmenter: Segmenter
    voters: Sequence[Voters]
    choice: Choice
    n_frames: int
    clock: Clock

    @property
    def nbytes(self) -> int:
        """Main memory that the scores take."""
        shared = [] if not self.voters else [self.voters[0].similarity]
        tensors = [*shared, *(tensor for each in self.voters for tensor in (each.frames, each.tokens, each.kept))]
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def segmentation(self, adjust: Adjust) -> Segmentation:
        """The video cut into segments with these settings."""
        labels, confidence = self.segmenter.decode(self.voters, self.choice, self.n_frames, adjust, self.clock.fps)
        vocabulary = self.choice.vocabulary
        names, background = list(vocabulary.names), vocabulary.background
        if adjust.threshold is not None and not background:
            names, background = [*names, BACKGROUND], (BACKGROUND,)
        found = Segmentation.from_frames([names[label] for label in labels.tolist()], None, confidence.tolist())
        return replace(self.clock.put_on(found), background=background)


def raise_background(scores: NDArray[np.floating], background: Sequence[int], threshold: float) -> NDArray[np.floating]:
    """Scores (T, C) with the background at `threshold` at least: its first class, or a new last column."""
    if background:
        raised = scores.copy()
        raised[:, background[0]] = np.maximum(raised[:, background[0]], threshold)
        return raised
    return np.concatenate([scores, np.full((len(scores), 1), threshold, dtype=scores.dtype)], axis=1)


def absorb_short(labels: NDArray[np.int64], scores: NDArray[np.floating], least: int) -> NDArray[np.int64]:
    """Give each segment of fewer than `least` frames, the shortest first, to the neighbour that scores higher in it.

    Labels are (T,), scores (T, K) of every label.
    """
    labels, segments = labels.copy(), runs(labels)
    while len(segments) > 1:
        place = min(range(len(segments)), key=lambda i: segments[i][1] - segments[i][0])
        start, stop, _ = segments[place]
        if stop - start >= least:
            break
        beside = [segments[i][2] for i in (place - 1, place + 1) if 0 <= i < len(segments)]
        winner = max(beside, key=lambda label: float(scores[start:stop, label].mean()))
        labels[start:stop] = winner
        # The neighbours of the same label become one with it.
        first = place - 1 if place and segments[place - 1][2] == winner else place
        last = place + 1 if place + 1 < len(segments) and segments[place + 1][2] == winner else place
        segments[first : last + 1] = [(segments[first][0], segments[last][1], winner)]
    return labels
