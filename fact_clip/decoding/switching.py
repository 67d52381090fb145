"""Exact decoding with a price for every change of action (a Potts chain, by dynamic programming)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]


def decode_switching(scores: Scores, penalty: float) -> NDArray[np.int64]:
    """The labelling y of T frames that maximises sum_t scores[t, y_t] - penalty * (number of changes in y).

    Args:
        scores: (T, C), log-probabilities; -inf rules a class out.
        penalty: price of a change, in the unit of the scores (nats); 0 is the argmax of each frame.

    Returns:
        (T,) class indices. Time O(T * C), memory O(T * C) bytes.
    """
    n_frames, n_classes = scores.shape
    stayed = np.ones((n_frames, n_classes), dtype=bool)
    source = np.zeros(n_frames, dtype=np.int64)
    total = scores[0].astype(np.float64)
    for frame in range(1, n_frames):
        source[frame] = total.argmax()
        switched = total[source[frame]] - penalty
        stayed[frame] = total >= switched
        total = np.maximum(total, switched) + scores[frame]
    labels = np.empty(n_frames, dtype=np.int64)
    labels[-1] = total.argmax()
    for frame in range(n_frames - 1, 0, -1):
        label = labels[frame]
        labels[frame - 1] = label if stayed[frame, label] else source[frame]
    return labels
