"""Which video a person should label next, so that a model learns most from an hour of work."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """A predicted segment that nobody has looked at."""

    video: str
    label: str
    confidence: float  # of the label, in [0, 1]


def most_useful(predictions: Sequence[Prediction], labelled: Mapping[str, int]) -> list[str]:
    """Return the videos in the order in which to label them.

    A video is worth the mean of its segments: 1 - confidence, less the more labelled segments the action has, where
    those of the videos before it in the list count as labelled. docs/results.md says what that is worth.

    Args:
        predictions: the segments of all videos.
        labelled: number of labelled segments of each action.
    """
    segments, counts, order = defaultdict[str, list[Prediction]](list), Counter(labelled), list[str]()
    for prediction in predictions:
        segments[prediction.video].append(prediction)

    def worth(video: str) -> float:
        return float(
            np.mean([(1 - segment.confidence) / (1 + counts[segment.label]) ** 0.5 for segment in segments[video]])
        )

    while len(order) < len(segments):
        order.append(max((video for video in segments if video not in order), key=worth))
        counts.update(segment.label for segment in segments[order[-1]])
    return order
