"""Figures of seen and unseen classes apart (generalised zero-shot recognition)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from numpy.typing import ArrayLike

from fact_clip.core import InputError
from fact_clip.metrics.frame import FrameCounts, class_set, paired
from fact_clip.metrics.segmental import OVERLAPS, SegmentCounts, count_segments, f1_exact


def class_groups(unseen: Iterable[int], background: Iterable[int] = ()) -> tuple[frozenset[int], frozenset[int]]:
    """Check the unseen and the background classes. All others are seen, and background counts as seen too.

    Raises:
        InputError: a class that is both; see `videos.class_set`.
    """
    held_out, left_out = class_set("unseen", unseen), class_set("background", background)
    both = held_out & left_out
    if both:
        raise InputError("unseen", f"class {min(both)}, which is background too", "unseen actions only")
    return held_out, left_out


def harmonic_mean(seen: float, unseen: float) -> float:
    """2SU / (S + U); 0 where both are 0. One weak group cannot hide behind the other."""
    return 2.0 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def frame_figures(counts: FrameCounts, unseen: frozenset[int], background: frozenset[int]) -> dict[str, float]:
    """Frame accuracy and class-mean accuracy a group, and the harmonic mean of the two class means."""
    seen_mean = counts.without(unseen | background).class_mean()
    unseen_mean = counts.only(unseen).class_mean()
    return {
        "seen_frame_accuracy": counts.without(unseen).accuracy(),
        "unseen_frame_accuracy": counts.only(unseen).accuracy(),
        "seen_class_mean_accuracy": seen_mean,
        "unseen_class_mean_accuracy": unseen_mean,
        "harmonic_mean": harmonic_mean(seen_mean, unseen_mean),
    }


def segment_figures(counts: SegmentCounts, unseen: frozenset[int], overlap: int) -> dict[str, float]:
    """Exact F1 a group: a false positive belongs to the group of the predicted class, a miss to the true one's."""
    return {
        f"seen_f1@{overlap}": f1_exact(*counts.without(unseen).totals()),
        f"unseen_f1@{overlap}": f1_exact(*counts.only(unseen).totals()),
    }


def class_means(
    ground_truth: Sequence[ArrayLike],
    prediction: Sequence[ArrayLike],
    unseen: Iterable[int],
    background: Iterable[int] = (),
) -> tuple[float, float]:
    """S and U: mean accuracy in percent over the seen and over the unseen classes that have a true frame.

    Args:
        ground_truth: class indices (T,) a video; negative ones are ignored frames.
        prediction: class indices (T,) a video.
        unseen: classes that were never trained on.
        background: classes that are left out of the means.

    Raises:
        InputError: see `class_groups` and `videos.paired`.
    """
    figures = frame_figures(FrameCounts.of(paired(ground_truth, prediction)), *class_groups(unseen, background))
    return figures["seen_class_mean_accuracy"], figures["unseen_class_mean_accuracy"]


def group_f1(
    ground_truth: Sequence[ArrayLike],
    prediction: Sequence[ArrayLike],
    unseen: Iterable[int],
    background: Iterable[int] = (),
    overlaps: Sequence[int] = OVERLAPS,
) -> dict[str, float]:
    """F1 in percent a group and overlap: "seen_f1@10", "unseen_f1@10", ...; arguments as in `class_means`.

    Raises:
        InputError: an overlap that is not in (0, 100]; see `class_groups` and `videos.paired`.
    """
    held_out, left_out = class_groups(unseen, background)
    videos = paired(ground_truth, prediction)
    figures: dict[str, float] = {}
    for overlap in overlaps:
        figures |= segment_figures(count_segments(videos, overlap, left_out), held_out, overlap)
    return figures
