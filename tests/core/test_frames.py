from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fact_clip.core import majority_stride, row_times, runs, stretch

LABELS = st.lists(st.integers(-1, 3), min_size=1, max_size=60)
SEEDED = settings(derandomize=True, deadline=None, max_examples=150)


def test_runs_by_hand() -> None:
    assert runs(np.array([4, 4, 0, 4, 4, 4])) == [(0, 2, 4), (2, 3, 0), (3, 6, 4)]
    assert runs(np.array([7], dtype=np.int16)) == [(0, 1, 7)]
    assert all(type(value) is int for run in runs(np.array([1, 2])) for value in run)


@SEEDED
@given(LABELS)
def test_runs_cover_every_frame_and_differ_from_their_neighbours(labels: list[int]) -> None:
    found = runs(np.array(labels))
    assert [label for start, stop, label in found for _ in range(stop - start)] == labels
    assert [start for start, _, _ in found] == [0, *(stop for _, stop, _ in found[:-1])]
    assert all(left[2] != right[2] for left, right in pairwise(found))


def test_majority_stride_by_hand() -> None:
    #          majority 1 | tie: 2 came first | all ignored | ignored has no vote | short last stride
    labels = [0, 1, 1, 2, 0, -1, -1, -1, -1, -1, -1, 5, 3]
    assert majority_stride(np.array(labels), 3).tolist() == [1, 2, -1, 5, 3]
    assert majority_stride(np.array([3, 1, 3, 1]), 4).tolist() == [3]


def slow_majority(labels: list[int], stride: int) -> list[int]:
    result = []
    for start in range(0, len(labels), stride):
        counts = Counter(label for label in labels[start : start + stride] if label != -1)
        # a Counter keeps the order of first sight, and most_common is stable
        result.append(counts.most_common(1)[0][0] if counts else -1)
    return result


@SEEDED
@given(LABELS, st.integers(1, 70))
def test_majority_stride_equals_slow_version(labels: list[int], stride: int) -> None:
    assert majority_stride(np.array(labels), stride).tolist() == slow_majority(labels, stride)


@SEEDED
@given(LABELS, st.integers(1, 70))
def test_stretch_puts_each_frame_into_its_own_stride(labels: list[int], stride: int) -> None:
    reduced = majority_stride(np.array(labels), stride)
    full = stretch(reduced, stride, len(labels))
    assert full.tolist() == [reduced[frame // stride] for frame in range(len(labels))]
    assert majority_stride(full, stride).tolist() == reduced.tolist()


def test_stride_one_changes_nothing() -> None:
    labels = np.array([2, -1, 0])
    assert majority_stride(labels, 1).tolist() == [2, -1, 0]
    assert stretch(labels, 1, 3).tolist() == [2, -1, 0]


def test_rows_start_with_the_picture_that_they_show():
    """5 rows a second of pictures at 0.04, 0.15 and 0.401 s; files round to ms, so the last is that of 0.4."""
    found = row_times(np.array([0.04, 0.15, 0.401, 0.401]), 5.0)
    np.testing.assert_allclose(found, [0.0, 0.15, 0.401, 0.6, 0.8])
    np.testing.assert_allclose(row_times(np.array([0.0, 0.0, 0.0, 0.55]), 5.0, end=0.7), [0.0, 0.2, 0.4, 0.55, 0.7])
    np.testing.assert_allclose(row_times(np.zeros(1), 5.0, end=9.0), [0.0, 0.2])
    np.testing.assert_allclose(row_times(np.zeros(1), 5.0, end=0.0), [0.0, 0.2])  # an end that cannot be


@given(st.lists(st.integers(1, 900), min_size=1, max_size=40), st.sampled_from([1.0, 5.0, 14.985, 30.0, 100.0]))
def test_rows_of_any_clock_rise(gaps, fps):
    pictures = np.cumsum(gaps) / 1000
    grid = np.arange(int(pictures[-1] * fps) + 1) / fps
    place = np.searchsorted(pictures, grid + 1e-3, side="right") - 1
    shown = pictures[np.maximum(place, 0)]
    times = row_times(shown, fps, end=pictures[-1] + 0.04)
    assert (np.diff(times) > 0).all()
    assert (np.abs(times[:-1] - grid) <= 1 / fps).all()
