"""Labels from scores: a penalty for each change of action, a background threshold, segments that are too short."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import runs


def decode_switching(
    scores: NDArray[np.floating],
    penalty: float,
    prices: NDArray[np.float64] | None = None,
    previous: int | None = None,
) -> NDArray[np.int64]:
    """Return the labelling y of T frames that maximises sum_t scores[t, y_t] - penalty * (number of changes in y).

    Args:
        scores: (T, C), log-probabilities; -inf rules a class out. (G, T, C) are G videos of one length, or one video
            scored in G ways, decoded in one pass over the frames.
        penalty: price of a change, in the unit of the scores (nats); 0 is the argmax of each frame.
        prices: (C, C) of `change_prices`: a change from class c to d costs ``penalty * prices[c, d]``.
        previous: the class of the frame before the first one, a change from which costs as any; None: there is none.

    Returns:
        (T,) or (G, T) class indices. Memory O(G * T * C), time the same, or O(G * T * C^2) with prices.
    """
    if penalty == 0:
        return scores.argmax(-1)
    *_, n_frames, n_classes = scores.shape
    # frame by frame in place: from scores to the value of the best path so far, (T, G, C)
    totals = np.array(np.moveaxis(scores, -2, 0), np.float64, order="C").reshape(n_frames, -1, n_classes)
    if previous is not None:
        totals[0] -= penalty * (np.arange(n_classes) != previous) if prices is None else penalty * prices[previous]
    if prices is None:
        for before, row in pairwise(totals):
            row += np.maximum(before, before.max(-1, keepdims=True) - penalty)
        best = totals.argmax(-1)[..., None]  # what a change after the frame comes from
        continued = totals >= np.take_along_axis(totals, best, -1) - penalty
        sources = np.where(continued, np.arange(n_classes), best)  # (T, G, C) the best class before a class
    else:
        sources, costs = np.empty(totals.shape, np.int64), np.ascontiguousarray(penalty * prices.T)
        ways = np.empty((len(totals[0]), n_classes, n_classes))  # (G, to, from)
        for before, row, source in zip(totals, totals[1:], sources, strict=False):
            np.subtract(before[:, None], costs, out=ways)
            ways.argmax(-1, out=source)
            row += ways.max(-1)
    labels = totals.argmax(-1)  # (T, G)
    numbers = np.arange(labels.shape[1])
    for frame in range(n_frames - 2, -1, -1):
        labels[frame] = sources[frame, numbers, labels[frame + 1]]
    return labels.T.reshape(scores.shape[:-1])


def change_prices(transitions: Sequence[tuple[int, int, int]], n_classes: int, weight: float) -> NDArray[np.float64]:
    """Return (C, C): what a change from one class to another costs, where a usual change costs 1; 0 on the diagonal.

    A change of surprise s = -log p(next class | class) costs (1 + weight * s) / (1 + weight * S), with S the mean over
    the training. The frequencies are those of (class, next class, times), mixed with how often a class follows any
    other as if that had been seen once more. A class that no transition names costs 1 both ways.
    """
    counts = np.zeros((n_classes, n_classes))
    for before, after, times in transitions:
        counts[before, after] += times
    follows = counts.sum(0) / max(counts.sum(), 1)
    shares = (counts + follows) / (counts.sum(1, keepdims=True) + 1)
    surprise = -np.log(np.maximum(shares, 1e-6))
    mean = (counts * surprise).sum() / max(counts.sum(), 1)
    prices = (1 + weight * surprise) / (1 + weight * mean)
    unnamed = counts.sum(0) + counts.sum(1) == 0
    prices[unnamed], prices[:, unnamed] = 1, 1
    np.fill_diagonal(prices, 0)
    return prices


def raise_background(scores: NDArray[np.floating], background: Sequence[int], threshold: float) -> NDArray[np.floating]:
    """Return scores (T, C) with the background at `threshold` at least: its first class, or a new last column."""
    if background:
        raised = scores.copy()
        raised[:, background[0]] = np.maximum(raised[:, background[0]], threshold)
        return raised
    return np.concatenate([scores, np.full((len(scores), 1), threshold, dtype=scores.dtype)], axis=1)


def absorb_short(
    labels: NDArray[np.int64], scores: NDArray[np.floating], shortest: int, n_final: int = 0
) -> NDArray[np.int64]:
    """Give segments of fewer than `shortest` frames, the shortest first, to the neighbour that scores higher (T, K).

    Segments that begin in the first `n_final` frames stay, however short.
    """
    labels, segments = labels.copy(), runs(labels)
    stop_of = {start: stop for start, stop, _ in segments}
    label_of = {start: label for start, _, label in segments}
    before = {stop: start for start, stop, _ in segments}
    queue = [(stop - start, start) for start, stop, _ in segments]
    heapify(queue)
    while queue and len(stop_of) > 1:
        length, start = heappop(queue)
        stop = start + length
        if stop_of.get(start) != stop or start < n_final:  # it has become a part of another one, or is to stay
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
