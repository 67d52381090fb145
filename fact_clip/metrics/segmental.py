"""Figures that count segments, maximal runs of one label: edit score, F1 at an overlap, boundaries.

Edit score and F1@k: Lea et al., Temporal Convolutional Networks for Action Segmentation and Detection, CVPR 2017.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from rapidfuzz.distance import Levenshtein

from fact_clip.core import runs
from fact_clip.core.arguments import number_of
from fact_clip.metrics.frame import Classes, Labellings, Labels, Video, class_set, paired, percent

OVERLAPS = (10, 25, 50)  # The k of F1@k that the field reports, in percent

_SMOOTHING = 1e-5

Run = tuple[int, int, int]  # (start, stop, label), half-open frames


def segments(
    labels: Labels, left_out: Collection[int] = (), last_ends_early: bool = False
) -> list[Run]:
    """Runs of a labelling, class indices (T,), without those of the classes left out.

    With `last_ends_early` (profile mstcn-legacy) the last run of the video stops one frame early; of one frame, it
    stays as a segment of zero length, whose IoU is 0 with everything.
    """
    segments_ = runs(labels) if len(labels) else []
    if segments_ and last_ends_early:
        start, stop, label = segments_[-1]
        segments_[-1] = (start, stop - 1, label)
    return [run for run in segments_ if run[2] not in left_out]


def edit_of(true: Sequence[Run], predicted: Sequence[Run]) -> float:
    """Edit score of one video in percent; 100 if both transcripts are empty, 0 if only one is."""
    left, right = [run[2] for run in true], [run[2] for run in predicted]
    longest = max(len(left), len(right))
    return 100.0 * (1.0 - Levenshtein.distance(left, right) / longest) if longest else 100.0


def edit(ground_truth: Labellings, prediction: Labellings, background: Classes = ()) -> float:
    """Edit score in percent without `background`, mean over videos: 100 · (1 − Levenshtein / longer transcript)."""
    left_out = class_set("background", background)
    videos = paired(ground_truth, prediction)
    return float(
        np.mean(
            [edit_of(segments(true, left_out), segments(guess, left_out)) for true, guess in videos]
        )
    )


@dataclass(frozen=True)
class SegmentCounts:
    """Segments by the class they are charged to: a false positive to the predicted one, a miss to the true one."""

    hits: Counter[int] = field(default_factory=Counter)
    false_alarms: Counter[int] = field(default_factory=Counter)
    misses: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, true: Sequence[Run], predicted: Sequence[Run], overlap: float) -> SegmentCounts:
        """Match the segments of one video, both in order and each list without overlaps (a zero length is none).

        Predicted segments are taken in order, each with the true one of `_best_match`: a hit if the IoU is at least
        `overlap` percent and that segment was not hit before, else a false alarm. The other true ones are misses.
        """
        counts, used = cls(), set()
        first = 0  # of the true segments that do not end before the predicted one
        for run in predicted:
            while first < len(true) and true[first][1] <= run[0]:
                first += 1
            index, shared, union = _best_match(run, true, first)
            if shared and index not in used and 100 * shared >= overlap * union:
                used.add(index)
                counts.hits[run[2]] += 1
            else:
                counts.false_alarms[run[2]] += 1
        counts.misses.update(run[2] for index, run in enumerate(true) if index not in used)
        return counts

    @classmethod
    def pooled(cls, parts: Iterable[SegmentCounts]) -> SegmentCounts:
        """The sum over videos."""
        total = cls()
        for part in parts:
            total.hits.update(part.hits)
            total.false_alarms.update(part.false_alarms)
            total.misses.update(part.misses)
        return total

    def only(self, classes: Collection[int]) -> SegmentCounts:
        """The counts charged to these classes."""
        parts = self.hits, self.false_alarms, self.misses
        return SegmentCounts(
            *(Counter({key: part[key] for key in part if key in classes}) for part in parts)
        )

    def without(self, classes: Collection[int]) -> SegmentCounts:
        """The counts charged to all classes but these."""
        charged = self.hits.keys() | self.false_alarms.keys() | self.misses.keys()
        return self.only(charged - set(classes))

    def totals(self) -> tuple[int, int, int]:
        """TP, FP and FN."""
        return self.hits.total(), self.false_alarms.total(), self.misses.total()


def _best_match(run: Run, true: Sequence[Run], first: int) -> tuple[int, int, int]:
    """The true segment of the same label with the highest IoU: (its place, frames shared or 0, frames in either)."""
    start, stop, label = run
    best = (-1, 0, 1)
    for index in range(first, len(true)):
        other_start, other_stop, other_label = true[index]
        if other_start >= stop:
            break
        if other_label != label:
            continue
        shared = min(stop, other_stop) - max(start, other_start)
        union = max(stop, other_stop) - min(start, other_start)
        # shared / union > best shared / best union, in whole numbers
        if shared > 0 and shared * best[2] > best[1] * union:
            best = index, shared, union
    return best


def f1_exact(hits: int, false_alarms: int, misses: int) -> float:
    """100 · 2TP / (2TP + FP + FN); 0 if there is nothing to count."""
    return percent(2 * hits, 2 * hits + false_alarms + misses)


def f1_smoothed(hits: int, false_alarms: int, misses: int) -> float:
    """The same from precision and recall with 1e-5 in each denominator, as in the field's scripts."""
    precision = hits / (hits + false_alarms + _SMOOTHING)
    recall = hits / (hits + misses + _SMOOTHING)
    return 100.0 * 2.0 * precision * recall / (precision + recall + _SMOOTHING)


def f1(
    ground_truth: Labellings, prediction: Labellings, overlap: float, background: Classes = ()
) -> float:
    """F1 in percent without `background`, pooled over videos; `overlap` is the least IoU of a hit, in percent."""
    return f1_smoothed(
        *count_segments(paired(ground_truth, prediction), overlap, background).totals()
    )


def count_segments(
    videos: Iterable[Video], overlap: float, background: Classes = ()
) -> SegmentCounts:
    """Match the segments of each video and pool the counts; arguments as in `f1`."""
    number_of(overlap, "overlap", "percent, 1 to 100 (50, and not 0.5, is half)", 1, 100)
    left_out = class_set("background", background)
    return SegmentCounts.pooled(
        SegmentCounts.of(segments(true, left_out), segments(guess, left_out), overlap)
        for true, guess in videos
    )


def boundary_scores(
    ground_truth: Labellings, prediction: Labellings, tolerance: float, fps: float | None = None
) -> dict[str, float]:
    """How well the changes of label are found, whatever the labels are; counts pooled over videos.

    A boundary is the first frame of each segment but the first. True and predicted ones are paired one to one, as many
    as possible, at a distance of at most `tolerance` frames, or seconds if `fps` (frames per second) is given. Returns
    "precision", "recall" and "f1" in percent; all 100 if neither side has a boundary.
    """
    number_of(tolerance, "tolerance", "frames (or seconds, with fps), 0 or more", 0)
    if fps is not None:
        number_of(fps, "fps", "frames per second, more than 0", math.ulp(0))
    # 0.29 s at 100 fps are 29 frames, not 28.999...
    reach = math.floor(min(tolerance if fps is None else tolerance * fps + 1e-9, 1e18))
    hits = n_true = n_predicted = 0
    for true, guess in paired(ground_truth, prediction):
        edges, guesses = ([run[0] for run in segments(labels)[1:]] for labels in (true, guess))
        hits += _pairs_within(edges, guesses, reach)
        n_true, n_predicted = n_true + len(edges), n_predicted + len(guesses)
    if n_true == n_predicted == 0:
        return {"precision": 100.0, "recall": 100.0, "f1": 100.0}
    f1_score = f1_exact(hits, n_predicted - hits, n_true - hits)
    return {
        "precision": percent(hits, n_predicted),
        "recall": percent(hits, n_true),
        "f1": f1_score,
    }


def _pairs_within(left: Sequence[int], right: Sequence[int], reach: int) -> int:
    """The most pairs of ascending positions at most `reach` apart; pairing the earliest of both is optimal."""
    i = j = count = 0
    while i < len(left) and j < len(right):
        if abs(left[i] - right[j]) <= reach:
            i, j, count = i + 1, j + 1, count + 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return count
