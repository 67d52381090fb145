"""Lengths of segments: a log-normal distribution per class, and the best labels under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import log_ndtr

from fact_clip.core import Floats, Integers, Reals

_LONGEST = 2000  # rows; longer segments are treated alike, so that the time stays linear
_DEVIATIONS = 3  # deviations above the mean, beyond which segments are treated alike
_LEAST_DEVIATION = 0.3  # of logarithms, because the length of an action always varies
_PRIOR_SEGMENTS = 3  # weight, in segments, of the variance of all classes in each class


@dataclass(frozen=True)
class Durations:
    """Log-normal lengths of the segments of each class.

    Attributes:
        mean: Mean of the logarithms of the lengths in rows, (C,).
        deviation: Standard deviation of these logarithms, (C,).
        weight: Weight of the lengths relative to the scores of frames.
        n_free: Number of additional classes at the end, for which all lengths are equally good.
    """

    mean: Floats
    deviation: Floats
    weight: float = 1.0
    n_free: int = 0

    @classmethod
    def learned(cls, lengths: Sequence[Sequence[float]], weight: float = 1.0) -> Durations:
        """Learn from the lengths, in rows, of the segments of each class.

        At least one class needs segments.
        """
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
        """Return the lengths, in rows of `stride` frames, of classes with statistics in frames.

        Args:
            facts: Mean and deviation of each class. A class without segments has None, and gets the
                statistics of all other classes.
            trained: Statistics of all trained classes, which are used if no class has any.
            stride: Frames per row.
            weight: Weight of the lengths.
        """
        pairs = np.array([pair for pair in facts if pair is not None] or trained)
        means = pairs[:, 0]
        deviation = np.sqrt((pairs[:, 1] ** 2).mean() + means.var())
        of_all = (float(means.mean()), float(deviation))
        rows = np.array([of_all if pair is None else pair for pair in facts])
        return cls(rows[:, 0] - np.log(stride), rows[:, 1], weight)

    def with_class(self) -> Durations:
        """Return the lengths with a last class added, for which all lengths are equally good."""
        return replace(self, n_free=self.n_free + 1)

    @cached_property
    def log_scores(self) -> Floats:
        """Return -weight * (log n - mean)^2 / (2 deviation^2) for n = 1, 2, ... rows, (N, C).

        The last value is for N or more rows.
        """
        longest = np.exp((self.mean + _DEVIATIONS * self.deviation).max())
        n_rows = max(round(min(longest, _LONGEST)), 1)
        logs = np.log(np.arange(1, n_rows + 1))[:, None]
        scores: Floats = -self.weight * ((logs - self.mean) / self.deviation) ** 2 / 2
        # The last row stands for all longer segments. If a class usually lasts longer, it gets the
        # best score.
        scores[-1, self.mean > logs[-1]] = 0.0
        return np.pad(scores, ((0, 0), (0, self.n_free)))

    @cached_property
    def log_survival(self) -> Floats:
        """Return weight * log P(length >= n) of n = 1, 2, ... rows, (N, C).

        It is used for segments that the recording cuts, of which n rows are visible.
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
    """Find the best labels y if a segment of n rows of class c adds ``lengths[n - 1, c]``.

    The labels maximise sum_t scores[t, y_t] - sum of costs[c, d] over changes + sum over segments.
    A segment that is longer than N rows counts as a segment of N rows.

    Args:
        scores: Finite log-probabilities (T, C).
        costs: Costs of changes in nats, (C, C).
        lengths: Log-scores of lengths, (N, C).
        previous: Class of the segment before the first row, which may continue.
        n_previous: Number of rows of this segment so far.
        cut: Log-scores of the lengths of the first and last segment, which the recording cuts, (N,
            C), or None to use `lengths`.
        is_first: Whether the segment before the first row is the first one.

    Returns:
        Class indices (T,). The time is O(T * (N * C + C^2)), and the memory is O(T * C).
    """
    if cut is None:
        cut = lengths
    n_rows, n_classes = scores.shape
    n_lengths = len(lengths)
    sums = np.zeros((n_rows + 1, n_classes))
    np.cumsum(scores, axis=0, out=sums[1:])
    changes = costs.astype(np.float64)
    np.fill_diagonal(changes, np.inf)
    # Value of the best path to a segment that starts at a row, minus the scores of its class so
    # far. The last row comes first and rows are contiguous, because the search over them takes most
    # of the time.
    opened = np.zeros((n_classes, n_rows + 1))
    starts = np.zeros((n_rows + 1, n_classes), np.int64)  # first row of the segment that stops here
    # Class before the segment that starts here.
    sources = np.zeros((n_rows + 1, n_classes), np.int64)
    classes = np.arange(n_classes)
    # Value of the segment that continues from before, or is the first one.
    begun = cut if previous is None or is_first else lengths
    if previous is None:
        opened[:, -1] = -np.inf  # the first segment is handled separately below
        goes_on = np.zeros(n_classes)
        n_previous = 0
    else:
        opened[:, -1] = begun[min(n_previous, n_lengths) - 1, previous] - changes[previous]
        goes_on = np.full(n_classes, -np.inf)
        goes_on[previous] = 0.0
    longer = np.full(n_classes, -np.inf)  # maximum of `opened` more than N rows ago
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
        window = opened[:, n_rows + 1 - stop : n_rows + 1 - first]  # (C, n), shortest segment first
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
