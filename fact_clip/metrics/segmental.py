"""Segment metrics on maximal runs of one label: edit score, F1 at an overlap, and boundaries.

Edit score and F1@k: Lea et al., Temporal Convolutional Networks for Action Segmentation and
Detection, CVPR 2017.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from rapidfuzz.distance import Levenshtein

from fact_clip.core import runs
from fact_clip.core.arguments import number_of
from fact_clip.metrics.frame import (
    ClassCounts,
    Classes,
    Labellings,
    Labels,
    Video,
    class_set,
    paired,
    percent,
)

OVERLAPS = (10, 25, 50)
"""Values of k in F1@k that are usually reported, in percent."""

_SMOOTHING = 1e-5

Run = tuple[int, int, int]
"""Start, stop and label of a run, in half-open frames."""


def segments(
    labels: Labels, omitted: Collection[int] = (), last_ends_early: bool = False
) -> list[Run]:
    """Divide a labelling into runs.

    Args:
        labels: Class indices (T,).
        omitted: Classes whose runs are removed.
        last_ends_early: Whether the last run of the video ends one frame early (profile
            mstcn-legacy). A run of one frame remains as a segment of zero length, whose IoU is 0.

    Returns:
        The runs in order.
    """
    if not len(labels):
        return []
    all_runs = runs(labels)
    if last_ends_early:
        start, stop, label = all_runs[-1]
        all_runs[-1] = (start, stop - 1, label)
    return [run for run in all_runs if run[2] not in omitted]


def edit_of(true: Sequence[Run], predicted: Sequence[Run]) -> float:
    """Compute the edit score of one video.

    Args:
        true: True runs of the video.
        predicted: Predicted runs of the video.

    Returns:
        The score in percent: 100 if both transcripts are empty, and 0 if only one is.
    """
    transcripts = [[run[2] for run in video] for video in (true, predicted)]
    return 100.0 * Levenshtein.normalized_similarity(*transcripts)


def edit(ground_truth: Labellings, prediction: Labellings, background: Classes = ()) -> float:
    """Compute the edit score, 100 · (1 - Levenshtein / longer transcript), averaged over videos.

    Args:
        ground_truth: True labels; see `paired`.
        prediction: Predicted labels; see `paired`.
        background: Classes that are removed from the transcripts.

    Returns:
        The score in percent, or 0 if no video has a label.
    """
    background = class_set("background", background)
    scores = [
        edit_of(segments(true, background), segments(guess, background))
        for true, guess in paired(ground_truth, prediction)
        if true.size
    ]
    return float(np.mean(scores)) if scores else 0.0


@dataclass(frozen=True)
class SegmentCounts(ClassCounts):
    """Segments by class. A false alarm counts for the predicted class, a miss for the true one.

    Args:
        hits: True positives by class.
        false_alarms: False positives by class.
        misses: False negatives by class.
    """

    hits: Counter[int] = field(default_factory=Counter)
    false_alarms: Counter[int] = field(default_factory=Counter)
    misses: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, true: Sequence[Run], predicted: Sequence[Run], overlap: float) -> "SegmentCounts":
        """Match the segments of one video.

        Predicted segments are processed in order, each with its `_best_match` among the true ones.
        It is a hit if the IoU is high enough and this true segment has not been hit before, and
        otherwise a false alarm. The remaining true segments are misses.

        Args:
            true: True runs, sorted and without overlaps. Empty segments are allowed.
            predicted: Predicted runs, sorted and without overlaps.
            overlap: Minimum IoU of a hit, in percent.

        Returns:
            The counts.
        """
        counts = cls()
        matched = set()
        first = 0  # first true segment that does not end before the predicted one
        for run in predicted:
            while first < len(true) and true[first][1] <= run[0]:
                first += 1
            index, shared, union = _best_match(run, true, first)
            if shared and index not in matched and 100 * shared >= overlap * union:
                matched.add(index)
                counts.hits[run[2]] += 1
            else:
                counts.false_alarms[run[2]] += 1
        counts.misses.update(run[2] for index, run in enumerate(true) if index not in matched)
        return counts

    @classmethod
    def pooled(cls, parts: Iterable["SegmentCounts"]) -> "SegmentCounts":
        """Return the sum over videos.

        Args:
            parts: Counts of each video.

        Returns:
            Their sum.
        """
        total = cls()
        for part in parts:
            total.hits.update(part.hits)
            total.false_alarms.update(part.false_alarms)
            total.misses.update(part.misses)
        return total

    def totals(self) -> tuple[int, int, int]:
        """Return TP, FP and FN."""
        return self.hits.total(), self.false_alarms.total(), self.misses.total()


def _best_match(run: Run, true: Sequence[Run], first: int) -> tuple[int, int, int]:
    """Find the true segment with the same label and the highest IoU.

    Returns:
        The index of this segment, the number of shared frames (0 if none), and of their union.
    """
    start, stop, label = run
    best = (-1, 0, 1)
    for index in range(first, len(true)):
        true_start, true_stop, true_label = true[index]
        if true_start >= stop:
            break
        if true_label != label:
            continue
        shared = min(stop, true_stop) - max(start, true_start)
        union = max(stop, true_stop) - min(start, true_start)
        # Compare shared / union > best shared / best union in whole numbers.
        if shared > 0 and shared * best[2] > best[1] * union:
            best = (index, shared, union)
    return best


def f1_exact(hits: int, false_alarms: int, misses: int) -> float:
    """Return F1.

    Args:
        hits: Number of true positives.
        false_alarms: Number of false positives.
        misses: Number of false negatives.

    Returns:
        100 · 2TP / (2TP + FP + FN), or 0 if nothing can be counted.
    """
    return percent(2 * hits, 2 * hits + false_alarms + misses)


def f1_smoothed(hits: int, false_alarms: int, misses: int) -> float:
    """Return F1 with 1e-5 in each denominator, as in published scripts.

    Args:
        hits: Number of true positives.
        false_alarms: Number of false positives.
        misses: Number of false negatives.

    Returns:
        F1 in percent.
    """
    precision = hits / (hits + false_alarms + _SMOOTHING)
    recall = hits / (hits + misses + _SMOOTHING)
    return 100.0 * 2.0 * precision * recall / (precision + recall + _SMOOTHING)


def f1(
    ground_truth: Labellings, prediction: Labellings, overlap: float, background: Classes = ()
) -> float:
    """Compute F1 at an overlap, pooled over videos.

    Args:
        ground_truth: True labels; see `paired`.
        prediction: Predicted labels; see `paired`.
        overlap: Minimum IoU of a hit, in percent.
        background: Classes whose segments are removed.

    Returns:
        F1 in percent.
    """
    counts = count_segments(paired(ground_truth, prediction), overlap, background)
    return f1_smoothed(*counts.totals())


def count_segments(
    videos: Iterable[Video], overlap: float, background: Classes = ()
) -> SegmentCounts:
    """Match the segments of each video, and pool the counts.

    Args:
        videos: True and predicted labels of each video.
        overlap: Minimum IoU of a hit, in percent.
        background: Classes whose segments are removed.

    Returns:
        The counts of all videos.
    """
    number_of(overlap, "overlap", "percent, 1 to 100 (50, and not 0.5, is half)", 1, 100)
    background = class_set("background", background)
    return SegmentCounts.pooled(
        SegmentCounts.of(segments(true, background), segments(guess, background), overlap)
        for true, guess in videos
    )


def boundary_scores(
    ground_truth: Labellings, prediction: Labellings, tolerance: float, fps: float | None = None
) -> dict[str, float]:
    """Score the changes of label, whatever the labels are. Counts are pooled over videos.

    A boundary is the first frame of each segment except the first segment. As many true and
    predicted boundaries as possible are paired one to one.

    Args:
        ground_truth: True labels; see `paired`.
        prediction: Predicted labels; see `paired`.
        tolerance: Maximum distance within a pair in frames, or in seconds if `fps` is set.
        fps: Frames per second.

    Returns:
        "precision", "recall" and "f1" in percent. All are 100 if neither side has a boundary.
    """
    number_of(tolerance, "tolerance", "frames (or seconds, with fps), 0 or more", 0)
    if fps is not None:
        number_of(fps, "fps", "frames per second, more than 0", math.ulp(0))
        tolerance = tolerance * fps + 1e-9  # 0.29 s at 100 fps is 29 frames, not 28.999...
    reach = math.floor(min(tolerance, 1e18))

    hits = 0
    n_true = 0
    n_predicted = 0
    for true, guess in paired(ground_truth, prediction):
        true_edges = [run[0] for run in segments(true)[1:]]
        predicted_edges = [run[0] for run in segments(guess)[1:]]
        hits += _pairs_within(true_edges, predicted_edges, reach)
        n_true += len(true_edges)
        n_predicted += len(predicted_edges)
    if n_true == n_predicted == 0:
        return {"precision": 100.0, "recall": 100.0, "f1": 100.0}
    return {
        "precision": percent(hits, n_predicted),
        "recall": percent(hits, n_true),
        "f1": f1_exact(hits, n_predicted - hits, n_true - hits),
    }


def _pairs_within(left: Sequence[int], right: Sequence[int], reach: int) -> int:
    """Count the maximum number of pairs of ascending positions at most `reach` apart.

    Pairing the earliest of both is optimal.
    """
    i = 0
    j = 0
    pairs = 0
    while i < len(left) and j < len(right):
        if abs(left[i] - right[j]) <= reach:
            pairs += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return pairs
