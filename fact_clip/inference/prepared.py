"""A video kept ready: its scores stay, so that other settings of the decoding take a moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segment, Segmentation, runs
from fact_clip.core.arguments import number_of
from fact_clip.core.clock import Clock
from fact_clip.core.public import public_class
from fact_clip.decoding import Voters, over_segments

if TYPE_CHECKING:
    from fact_clip.inference.candidates import Choice
    from fact_clip.inference.segmenter import Segmenter

BACKGROUND = "background"
"""What frames under a threshold are called where the vocabulary has no background."""


NONE_OF_THESE = "none of these"
"""The label of what `Adjust.reject` leaves without an action; files treat it as background."""


@public_class
@dataclass(frozen=True)
class Adjust:
    """Settings of the decoding that need no new scores; None: as the model has them.

    Args:
        threshold: in [0, 1]; frames in which no action is likelier are background.
        gamma: nats that are subtracted from the log scores of the classes that were trained; may be negative.
        switch_penalty: nats that a change of action costs.
        shortest: seconds; shorter segments go to a neighbour.
        reject: in [0, 1]; segments are `NONE_OF_THESE` whose confidence this share of the correctly named frames of the
            validation videos does not reach either (docs/method.md, 'Confidence').
    """

    threshold: float | None = None
    gamma: float | None = None
    switch_penalty: float | None = None
    shortest: float | None = None
    reject: float | None = None

    def __post_init__(self) -> None:
        wanted = {
            "threshold": (0.0, 1.0, "a probability, 0 to 1"),
            "gamma": (-1e3, 1e3, "nats, -1000 to 1000"),
            "switch_penalty": (0.0, 1e6, "nats, 0 to 1,000,000"),
            "shortest": (0.0, 1e6, "seconds, 0 to 1,000,000"),
            "reject": (0.0, 1.0, "a share of the correctly named frames, 0 to 1"),
        }
        for name, (low, high, expected) in wanted.items():
            value = getattr(self, name)
            if value is not None and not low <= number_of(value, name, expected) <= high:
                raise InputError(name, f"{value}"[:40] + f"; expected {expected}")


class Prepared(Protocol):
    """What is kept of a video for one list of candidates."""

    @property
    def nbytes(self) -> int:
        """Main memory that it takes."""

    def segmentation(self, adjust: Adjust) -> Segmentation:
        """The video cut into segments with these settings."""


@dataclass(frozen=True)
class PreparedScores:
    """The voters of a trained model, from which :meth:`Segmenter.decode` makes labels.

    The features (T, D) are kept to find how sure the labels are among all classes of the run, should that be asked for.
    """

    segmenter: Segmenter
    voters: Sequence[Voters]
    choice: Choice
    features: NDArray[np.floating]
    clock: Clock

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.features)

    @property
    def nbytes(self) -> int:
        """Main memory that the scores take."""
        shared = [] if not self.voters else [self.voters[0].similarity]
        tensors = [*shared, *(tensor for each in self.voters for tensor in (each.frames, each.tokens, each.kept))]
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def segmentation(self, adjust: Adjust) -> Segmentation:
        """The video cut into segments with these settings."""
        segmenter = self.segmenter
        labels, scores = segmenter.decode(self.voters, self.choice, self.n_frames, adjust, self.clock.fps)
        vocabulary = self.choice.vocabulary
        names, background = list(vocabulary.names), vocabulary.background
        if adjust.threshold is not None and not background:
            names, background = [*names, BACKGROUND], (BACKGROUND,)
        confidence = segmenter.calibrated(scores)
        found = Segmentation.from_frames([names[label] for label in labels.tolist()], None, confidence.tolist())
        if adjust.reject is not None:
            least, sure = segmenter.least_confidence(adjust.reject), self._sure(labels, scores, adjust)
            found = replace(found, segments=_without_unsure(found, over_segments(labels, sure), least))
            background = tuple(dict.fromkeys((*background, NONE_OF_THESE)))
        return replace(self.clock.put_on(found), background=background, new_words=self.choice.new_words)

    def _sure(self, labels: NDArray[np.int64], scores: NDArray[np.float32], adjust: Adjust) -> NDArray[np.float64]:
        """(T,) the confidence of each frame's label where all classes of the run are candidates, too.

        Validation videos were scored so; among few candidates even a wrong one would have a high score. A background
        that only the threshold made keeps its score.
        """
        everything, voters = self._rivals
        place = everything.vocabulary.encode(self.choice.vocabulary)
        table = self.segmenter.frame_scores(voters, everything, len(labels), adjust.gamma)  # (T, C')
        own = np.minimum(labels, len(place) - 1)
        among_all = np.clip(table[np.arange(len(labels)), place[own]], 0, 1)
        return self.segmenter.calibrated(np.where(labels < len(place), among_all, scores))

    @cached_property
    def _rivals(self) -> tuple[Choice, Sequence[Voters]]:
        """The candidates beside all classes of the run, and what the model says of them."""
        everything = self.segmenter.candidates.among_all(self.choice)
        if everything.vocabulary.names == self.choice.vocabulary.names:
            return everything, self.voters
        return everything, self.segmenter.voters(self.features, everything)


def _without_unsure(found: Segmentation, sure: NDArray[np.float64], least: float) -> tuple[Segment, ...]:
    """The segments, `NONE_OF_THESE` where a segment's frames have less than the `least` of `sure` (T,)."""
    kept = list[Segment]()
    for each in found:
        if sure[each.start] >= least:
            kept.append(each)
        elif kept and kept[-1].label == NONE_OF_THESE:
            kept[-1] = replace(kept[-1], stop=each.stop)
        else:
            kept.append(Segment(each.start, each.stop, NONE_OF_THESE))
    return tuple(kept)


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
    stop_of, label_of = ({run[0]: run[place] for run in segments} for place in (1, 2))  # by the start of a segment
    before = {stop: start for start, stop, _ in segments}
    shortest = [(stop - start, start) for start, stop, _ in segments]
    heapify(shortest)
    while len(stop_of) > 1:
        length, start = heappop(shortest)
        stop = start + length
        if stop_of.get(start) != stop:  # it has become a part of another one
            continue
        if length >= least:
            break
        beside = [label_of[each] for each in (before.get(start), stop) if each in stop_of]
        winner = max(beside, key=lambda label: float(scores[start:stop, label].mean()))
        labels[start:stop] = winner
        # The neighbours of the same label become one with it.
        first, after = start, stop
        if start in before and label_of[before[start]] == winner:
            first = before[start]
            del stop_of[start]
        if stop in stop_of and label_of[stop] == winner:
            after = stop_of.pop(stop)
        stop_of[first], label_of[first], before[after] = after, winner, first
        heappush(shortest, (after - first, first))
    return labels
