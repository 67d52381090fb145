"""How well the changes of label are found, whatever the labels are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from numpy.typing import ArrayLike

from fact_clip.core import InputError
from fact_clip.metrics.segmental import f1_exact, segments
from fact_clip.metrics.videos import paired, percent


def boundary_scores(
    ground_truth: Sequence[ArrayLike],
    prediction: Sequence[ArrayLike],
    tolerance: float,
    fps: float | None = None,
) -> dict[str, float]:
    """How well the changes of label are found, whatever the labels are; counts pooled over videos.

    A boundary is the first frame of each segment but the first. True and predicted ones are paired one to
    one within the tolerance, as many as can be.

    Args:
        ground_truth: class indices (T,) a video; frames with negative ones are cut out of both labellings.
        prediction: class indices (T,) a video.
        tolerance: the largest distance of a pair, in frames; in seconds where `fps` is given.
        fps: frames a second.

    Returns:
        "precision", "recall" and "f1" in percent; all 100 where neither side has a boundary.

    Raises:
        InputError: a tolerance that is negative or not finite, or fps that is not positive; see `videos.paired`.
    """
    reach = _reach(tolerance, fps)
    hits = n_true = n_predicted = 0
    for true, guess in paired(ground_truth, prediction):
        edges, guesses = ([run[0] for run in segments(labels)[1:]] for labels in (true, guess))
        hits += _pairs_within(edges, guesses, reach)
        n_true, n_predicted = n_true + len(edges), n_predicted + len(guesses)
    if n_true == n_predicted == 0:
        return {"precision": 100.0, "recall": 100.0, "f1": 100.0}
    return {
        "precision": percent(hits, n_predicted),
        "recall": percent(hits, n_true),
        "f1": f1_exact(hits, n_predicted - hits, n_true - hits),
    }


def _reach(tolerance: float, fps: float | None) -> int:
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError("tolerance", str(tolerance), "frames (or seconds, with fps), 0 or more")
    if fps is None:
        return math.floor(tolerance)
    if not (math.isfinite(fps) and fps > 0):
        raise InputError("fps", str(fps), "frames a second, more than 0")
    return math.floor(tolerance * fps + 1e-9)  # 0.29 s at 100 fps are 29 frames, not 28.999...


def _pairs_within(left: Sequence[int], right: Sequence[int], reach: int) -> int:
    """Most pairs of ascending positions at most `reach` apart; taking the earliest of both is optimal."""
    i = j = count = 0
    while i < len(left) and j < len(right):
        if abs(left[i] - right[j]) <= reach:
            i, j, count = i + 1, j + 1, count + 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return count
