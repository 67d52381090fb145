"""Statistics of the labels of videos."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from fact_clip.core import Integers, runs
from fact_clip.core.frames import IGNORED
from fact_clip.datasets.labels import Labels

Run = tuple[int, int, int]  # start, stop and class of a segment


def labelled_segments(labels: Labels) -> list[Run]:
    """Return the segments of a video with class indices (T,), without ignored segments."""
    return [run for run in runs(labels) if run[2] >= 0]


def whole_segments(labels: Labels) -> list[Run]:
    """Return the labelled segments that are not next to an unlabelled frame."""
    segments = labelled_segments(labels)
    return [run for run in segments if IGNORED not in labels[max(run[0] - 1, 0) : run[1] + 1]]


def segment_lengths(
    videos: Iterable[Labels], n_classes: int, whole_only: bool = False
) -> list[list[int]]:
    """Return the segment lengths of each class in frames, without ignored segments.

    Args:
        videos: Labels (T,) of each video.
        n_classes: Number of classes, C.
        whole_only: Whether to use only `whole_segments`, because others may continue.
    """
    segments_of = whole_segments if whole_only else labelled_segments
    lengths: list[list[int]] = [[] for _ in range(n_classes)]
    for labels in videos:
        for start, stop, label in segments_of(labels):
            lengths[label].append(stop - start)
    return lengths


def segment_counts(videos: Iterable[Labels], n_classes: int) -> Integers:
    """Count the segments of each class, (C,), without ignored segments."""
    counts = [len(lengths) for lengths in segment_lengths(videos, n_classes)]
    return np.array(counts, dtype=np.int64)


def visit_shares(videos: Iterable[Labels], n_classes: int) -> tuple[tuple[float, float], ...]:
    """Return how often each class occurs and recurs in the labelled frames of videos.

    Args:
        videos: Labels (T,) of each video.
        n_classes: Number of classes, C.

    Returns:
        For each class, the share of labelled videos in which it occurs, and the share of these in
        which it has several segments. Unlabelled frames (-1) do not divide a segment.
    """
    labelled = [labels[labels != IGNORED] for labels in videos if labels.max() >= 0]
    counts = np.array([segment_counts([labels], n_classes) for labels in labelled])
    counts = counts.reshape(-1, n_classes)  # (V, C)
    occurs = (counts > 0).sum(0)
    returns = (counts > 1).sum(0) / np.maximum(occurs, 1)
    return tuple(zip((occurs / max(len(counts), 1)).tolist(), returns.tolist(), strict=True))


def mean_transcript_length(videos: Iterable[Labels]) -> float:
    """Return the mean number of segments per video, without ignored segments."""
    lengths = [len(labelled_segments(labels)) for labels in videos]
    return sum(lengths) / len(lengths)


def median_frames(videos: Iterable[Labels]) -> float:
    """Return the median number of frames per video."""
    return statistics.median(len(labels) for labels in videos)


def count_transitions(videos: Iterable[Sequence[Run]]) -> Counter[tuple[int, int]]:
    """Count pairs (class, next class) of neighbouring segments that are not ignored."""
    pairs = Counter[tuple[int, int]]()
    for video in videos:
        for first, second in pairwise(video):
            if IGNORED not in (first[2], second[2]):
                pairs[first[2], second[2]] += 1
    return pairs


def remembered(video: Sequence[Run], background: Sequence[int], n_classes: int) -> list[Run]:
    """Return the runs of a video, in which background after action a is the state n_classes + a.

    An ignored run resets the memory. With several background classes, nothing is remembered.
    """
    if len(background) != 1:
        return list(video)
    states = []
    last_action = None
    for start, stop, label in video:
        state = label
        if label not in background:
            last_action = None if label == IGNORED else label
        elif last_action is not None:
            state = n_classes + last_action
        states.append((start, stop, state))
    return states


def transitions(
    videos: Iterable[Labels], background: Sequence[int], n_classes: int
) -> tuple[tuple[int, int, int], ...]:
    """Return (state, next state, count) of neighbouring segments, sorted by states.

    Args:
        videos: Labels (T,) of each video.
        background: Background classes.
        n_classes: Number of classes, C.

    Returns:
        The transitions. States are classes and the additional states of `remembered`.
    """
    pairs = count_transitions(remembered(runs(labels), background, n_classes) for labels in videos)
    return tuple((first, second, times) for (first, second), times in sorted(pairs.items()))
