"""Labels from scores: a penalty for each change of action, a background threshold, segments that are too short."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, runs
from fact_clip.core.arguments import array_of, number_of


def decode_switching(scores: NDArray[np.floating], penalty: float) -> NDArray[np.int64]:
    """Return the labelling y of T frames that maximises sum_t scores[t, y_t] - penalty * (number of changes in y).

    Args:
        scores: (T, C), log-probabilities; -inf rules a class out. (G, T, C) are G videos of one length, or one video
            scored in G ways, decoded in one pass over the frames.
        penalty: price of a change, in the unit of the scores (nats); 0 is the argmax of each frame.

    Returns:
        (T,) or (G, T) class indices. Time and memory O(G * T * C).
    """
    scores = array_of(scores, "scores", "log-probabilities (T, C) or (G, T, C)")
    if scores.ndim not in (2, 3) or not scores.size or not np.isfinite(scores.max(-1)).all():
        problem = f"an array of shape {scores.shape}, or NaN, inf or a frame without a candidate in it"
        raise InputError("scores", problem, "give log-probabilities (T, C) or (G, T, C)")
    number_of(penalty, "penalty", "nats, 0 or more", 0)
    if penalty == 0:
        return scores.argmax(-1)
    totals = np.array(np.moveaxis(scores, -2, 0), dtype=np.float64, order="C")  # (T, C) or (T, G, C)
    for before, row in pairwise(totals):  # frame by frame in place: from scores to the value of the best path so far
        best = before[before.argmax()] if before.ndim == 1 else before.max(-1, keepdims=True)
        row += np.maximum(before, best - penalty)
    labels = totals.argmax(-1)  # (T,) or (T, G): the class that a change after the frame comes from
    least = np.take_along_axis(totals, labels[..., None], -1)[..., 0] - penalty  # a class with less is not continued
    _trace_back(totals, least, labels)
    return np.moveaxis(labels, 0, -1)


def _trace_back(totals: NDArray[np.float64], least: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    """Write the best path over `labels`: a frame has the class of the next one where that class is continued."""
    if totals.ndim == 2:
        label, continued = int(labels[-1]), totals >= least[:, None]  # (T, C)
        for frame in range(len(labels) - 2, -1, -1):
            if continued[frame, label]:
                labels[frame] = label
            else:
                label = int(labels[frame])
        return
    ways = np.arange(totals.shape[1])
    for frame in range(len(labels) - 2, -1, -1):
        after = labels[frame + 1]  # (G,)
        labels[frame] = np.where(totals[frame, ways, after] >= least[frame], after, labels[frame])


def raise_background(scores: NDArray[np.floating], background: Sequence[int], threshold: float) -> NDArray[np.floating]:
    """Return scores (T, C) with the background at `threshold` at least: its first class, or a new last column."""
    if background:
        raised = scores.copy()
        raised[:, background[0]] = np.maximum(raised[:, background[0]], threshold)
        return raised
    return np.concatenate([scores, np.full((len(scores), 1), threshold, dtype=scores.dtype)], axis=1)


def absorb_short(labels: NDArray[np.int64], scores: NDArray[np.floating], shortest: int) -> NDArray[np.int64]:
    """Give each segment of fewer than `shortest` frames, the shortest first, to the neighbour that scores higher in it.

    Labels are (T,), scores (T, K) of every label.
    """
    labels, segments = labels.copy(), runs(labels)
    stop_of = {start: stop for start, stop, _ in segments}
    label_of = {start: label for start, _, label in segments}
    before = {stop: start for start, stop, _ in segments}
    queue = [(stop - start, start) for start, stop, _ in segments]
    heapify(queue)
    while len(stop_of) > 1:
        length, start = heappop(queue)
        stop = start + length
        if stop_of.get(start) != stop:  # it has become a part of another one
            continue
        if length >= shortest:
            break
        neighbours = [label_of[segment] for segment in (before.get(start), stop) if segment in stop_of]
        winner = max(neighbours, key=lambda label: float(scores[start:stop, label].mean()))
        labels[start:stop] = winner
        # The neighbours of the same label become one with it.
        first, after = start, stop
        if start in before and label_of[before[start]] == winner:
            first = before[start]
            del stop_of[start]
        if stop in stop_of and label_of[stop] == winner:
            after = stop_of.pop(stop)
        stop_of[first], label_of[first], before[after] = after, winner, first
        heappush(queue, (after - first, first))
    return labels
