"""Lengths of segments: log-normal for each class, and the best labelling under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import log_ndtr

from fact_clip.core import Floats, Integers, Reals

_LONGEST = 2000  # rows up to which lengths are told apart, so that time stays linear
_DEVIATIONS = 3  # above the mean, up to which lengths are told apart
_LEAST_DEVIATION = 0.3  # of logarithms: no action lasts equally long everywhere
_PRIOR_SEGMENTS = 3  # that the variance of all classes counts in that of each


@dataclass(frozen=True)
class Durations:
    """Log-normal lengths of the segments of each class.

    Attributes:
        mean: (C,) of the logarithms of lengths in rows.
        deviation: (C,) of the same.
        weight: of the lengths beside the scores of frames.
        n_free: number of last classes more, of which any length is as good.
    """

    mean: Floats
    deviation: Floats
    weight: float = 1.0
    n_free: int = 0

    @classmethod
    def learned(cls, lengths: Sequence[Sequence[float]], weight: float = 1.0) -> Durations:
        """Learn from the lengths, in rows, of the segments of each class; one has segments."""
        logs = [np.log(np.maximum(class_lengths, 1.0)) for class_lengths in lengths]
        everything = np.concatenate(logs)
        pooled = np.mean([np.var(values) for values in logs if len(values)])
        mean = np.full(len(logs), everything.mean())
        variance = np.full(len(logs), pooled + np.var(everything))
        for label, values in enumerate(logs):
            if len(values):
                mean[label] = values.mean()
                total = np.var(values) * len(values) + pooled * _PRIOR_SEGMENTS
                variance[label] = total / (len(values) + _PRIOR_SEGMENTS)
        deviation = np.maximum(np.sqrt(variance), _LEAST_DEVIATION)
        return cls(mean, deviation, weight)

    @classmethod
    def of_classes(
        cls,
        facts: Sequence[tuple[float, float] | None],
        trained: Sequence[tuple[float, float]],
        stride: int,
        weight: float,
    ) -> Durations:
        """Return the lengths, in rows of `stride` frames, of classes with facts in frames.

        Args:
            facts: mean and deviation of each class; None for a class without segments, which gets
                those of all others.
            trained: of all trained classes, if no class has facts.
            stride: frames of a row.
            weight: of the lengths.
        """
        pairs = np.array([pair for pair in facts if pair is not None] or trained)
        means = pairs[:, 0]
        deviation = np.sqrt((pairs[:, 1] ** 2).mean() + means.var())
        of_all = (float(means.mean()), float(deviation))
        rows = np.array([of_all if pair is None else pair for pair in facts])
        return cls(rows[:, 0] - np.log(stride), rows[:, 1], weight)

    def with_class(self) -> Durations:
        """Return the lengths with a last class more, of which any length is as good."""
        return replace(self, n_free=self.n_free + 1)

    @cached_property
    def log_scores(self) -> Floats:
        """Return -weight * (log n - mean)^2 / (2 deviation^2) of n = 1, 2, ... rows, (N, C).

        The last one is of N rows or more.
        """
        longest = np.exp((self.mean + _DEVIATIONS * self.deviation).max())
        n_rows = max(round(min(longest, _LONGEST)), 1)
        logs = np.log(np.arange(1, n_rows + 1))[:, None]
        scores: Floats = -self.weight * ((logs - self.mean) / self.deviation) ** 2 / 2
        # The last row stands for all longer segments, of a class that lasts longer the best one.
        scores[-1, self.mean > logs[-1]] = 0.0
        return np.pad(scores, ((0, 0), (0, self.n_free)))

    @cached_property
    def log_survival(self) -> Floats:
        """Return weight * log P(length >= n) of n = 1, 2, ... rows, (N, C).

        It is for a segment that the recording cuts, of which n rows are seen.
        """
        logs = np.log(np.arange(1, len(self.log_scores) + 1))[:, None]
        survival = self.weight * log_ndtr((self.mean - logs) / self.deviation)
        return np.pad(survival, ((0, 0), (0, self.n_free)))


def decode_durations(
    scores: Reals,
    costs: Floats,
    lengths: Floats,
    previous: int | None = None,
    n_previous: int = 1,
    cut: Floats | None = None,
    is_first: bool = False,
) -> Integers:
    """Find the best labels y where a segment of n rows of class c adds ``lengths[n - 1, c]``.

    They maximise sum_t scores[t, y_t] - sum of costs[c, d] over changes + sum over segments. A
    segment that is longer than N rows adds as much as one of N rows.

    Args:
        scores: (T, C) finite log-probabilities.
        costs: (C, C) of changes in nats.
        lengths: (N, C) log scores of lengths.
        previous: class of the segment before the first row, which may go on.
        n_previous: its rows so far.
        cut: (N, C) log scores of the lengths of the first and of the last segment, which the
            recording cuts; None: as of any other.
        is_first: whether the segment before the first row is the first one.

    Returns:
        (T,) class indices. Time is O(T * (N * C + C^2)), memory O(T * C).
    """
    if cut is None:
        cut = lengths
    n_rows, n_classes = scores.shape
    n_lengths = len(lengths)
    sums = np.zeros((n_rows + 1, n_classes))
    np.cumsum(scores, axis=0, out=sums[1:])
    changes = costs.astype(np.float64)
    np.fill_diagonal(changes, np.inf)
    # Value of the best path to a segment that starts at a row, less the scores of its class so far.
    # The last row comes first and rows are contiguous, since the search over them takes the time.
    opened = np.zeros((n_classes, n_rows + 1))
    starts = np.zeros((n_rows + 1, n_classes), np.int64)  # of the segment that stops at a row
    sources = np.zeros((n_rows + 1, n_classes), np.int64)  # class before one that starts at a row
    classes = np.arange(n_classes)
    # of the segment that goes on from before, or is the first
    begun = cut if previous is None or is_first else lengths
    if previous is None:
        opened[:, -1] = -np.inf  # the first segment is told apart below
        goes_on = np.zeros(n_classes)
        n_previous = 0
    else:
        opened[:, -1] = begun[min(n_previous, n_lengths) - 1, previous] - changes[previous]
        goes_on = np.full(n_classes, -np.inf)
        goes_on[previous] = 0.0
    longer = np.full(n_classes, -np.inf)  # the best of `opened` more than N rows ago
    longer_starts = np.zeros(n_classes, np.int64)
    values = longer
    lengths_of_class = np.ascontiguousarray(lengths.T)  # (C, N)
    sums_of_window = np.empty_like(lengths_of_class)
    for stop in range(1, n_rows + 1):
        first = max(stop - n_lengths, 0)
        law = lengths
        if stop == n_rows:
            law = cut
            lengths_of_class = cut.T
        n_before = stop - first
        window = opened[:, n_rows + 1 - stop : n_rows + 1 - first]  # (C, n), the shortest first
        window = np.add(window, lengths_of_class[:, :n_before], out=sums_of_window[:, :n_before])
        index = window.argmax(1)
        values = window[classes, index]
        starts[stop] = stop - 1 - index
        is_longer = longer + law[-1] > values
        values = np.where(is_longer, longer + law[-1], values)
        starts[stop] = np.where(is_longer, longer_starts, starts[stop])
        continued_law = cut if stop == n_rows else begun
        continued = goes_on + continued_law[min(n_previous + stop, n_lengths) - 1]
        is_continued = continued >= values
        values = np.where(is_continued, continued, values)
        starts[stop, is_continued] = 0
        if stop >= n_lengths:
            oldest = opened[:, n_rows - first]
            is_better = oldest > longer
            longer = np.where(is_better, oldest, longer)
            longer_starts = np.where(is_better, first, longer_starts)

        values = values + sums[stop]
        ways = values[:, None] - changes
        sources[stop] = ways.argmax(0)
        opened[:, n_rows - stop] = ways.max(0) - sums[stop]

    labels = np.empty(n_rows, np.int64)
    label = int(values.argmax())
    stop = n_rows
    while stop > 0:
        start = int(starts[stop, label])
        labels[start:stop] = label
        label = int(sources[start, label])
        stop = start
    return labels
