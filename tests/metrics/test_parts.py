"""The single figures: segments, matching, boundaries, groups, per class, table."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fact_clip.metrics import (
    boundary_scores,
    class_means,
    cohen_kappa,
    edit,
    evaluate,
    f1,
    frame_accuracy,
    harmonic_mean,
    per_class,
)
from fact_clip.metrics.frame import FrameCounts
from fact_clip.metrics.report import figure_name
from fact_clip.metrics.segmental import SegmentCounts, f1_exact, f1_smoothed

from ..refusals import refused

SEEDED = settings(derandomize=True, deadline=None, max_examples=150)


def counts(true: list[tuple[int, int, int]], predicted: list[tuple[int, int, int]], overlap: float) -> tuple[int, ...]:
    return SegmentCounts.of(true, predicted, overlap).totals()


def test_single_figures_are_those_of_evaluate() -> None:
    truth, guess = [[0, 1, 1, 2, 2], [3, 3, 0]], [[0, 1, 2, 2, 2], [3, 1, 0]]
    whole = evaluate(truth, guess, background=[0], unseen=[2])
    assert frame_accuracy(truth, guess) == whole["frame_accuracy"] == 75
    assert frame_accuracy(truth, guess, [0]) == whole["frame_accuracy_foreground"] == pytest.approx(100 * 4 / 6)
    assert edit(truth, guess, [0]) == whole["edit"] == 75
    assert edit([*truth, [-1]], [*guess, [1]], [0]) == 75  # a video without a label has no edit
    assert edit([[-1]], [[1]]) == 0
    assert f1(truth, guess, 50, [0]) == whole["f1@50"]
    # class 1: 1 of 2, class 3: 1 of 2; class 2: 2 of 2
    assert class_means(truth, guess, [2], [0]) == (50, 100)


def test_overlap_is_inclusive_and_exact() -> None:
    assert counts([(0, 10, 1)], [(0, 5, 1)], 50) == (1, 0, 0)
    assert counts([(0, 10, 1)], [(0, 1, 1)], 10) == (1, 0, 0)
    assert counts([(0, 100, 1)], [(0, 29, 1)], 29) == (1, 0, 0)  # 100 * 0.29 is below 29 in floats
    assert counts([(0, 100, 1)], [(0, 28, 1)], 29) == (0, 1, 1)
    assert counts([(0, 400, 1)], [(0, 199, 1)], 50) == (0, 1, 1)


def test_no_frame_is_added_to_the_ranges() -> None:
    # [0, 2) and [1, 3) share one frame of three: 33 %, where inclusive ranges would say 2 of 4
    assert counts([(0, 2, 1)], [(1, 3, 1)], 50) == (0, 1, 1)
    assert counts([(0, 2, 1)], [(1, 3, 1)], 33) == (1, 0, 0)
    assert counts([(0, 2, 1)], [(2, 4, 1)], 1) == (0, 1, 1)


def test_a_true_segment_is_used_once() -> None:
    # both halves reach 50 %; the second comes too late and is a false positive
    assert counts([(0, 10, 1)], [(0, 5, 1), (5, 10, 1)], 50) == (1, 1, 0)
    # the best true segment is taken, even though it is used and another would reach the overlap
    true = [(0, 10, 1), (12, 30, 1)]
    assert counts(true, [(0, 8, 1), (8, 14, 1)], 9) == (1, 1, 1)  # 2/14 of the first, 2/22 = 9.1 % of the second
    assert counts(true, [(0, 8, 1), (8, 20, 1)], 9) == (2, 0, 0)  # 2/20 of the first, 8/22 of the second


def test_the_first_of_equal_overlaps_is_taken() -> None:
    true = [(0, 4, 1), (6, 10, 1)]
    assert counts(true, [(2, 8, 1), (8, 9, 1)], 25) == (2, 0, 0)  # 2/8 twice: the first; then 1/4 of the second
    assert counts(true, [(0, 2, 1), (2, 8, 1)], 25) == (1, 1, 1)  # the first is used already


def test_a_label_matches_its_own_only() -> None:
    result = SegmentCounts.of([(0, 10, 1)], [(0, 10, 2)], 10)
    assert (dict(result.hits), dict(result.false_alarms), dict(result.misses)) == ({}, {2: 1}, {1: 1})


def test_f1_formulas() -> None:
    assert f1_exact(0, 0, 0) == f1_smoothed(0, 0, 0) == 0
    assert f1_exact(3, 1, 2) == pytest.approx(100 * 6 / 9)
    assert f1_smoothed(3, 1, 2) == pytest.approx(100 * 6 / 9, abs=0.002)
    assert f1_smoothed(0, 4, 4) == 0


def test_edit_by_hand() -> None:
    assert edit([[1, 2, 3, 4, 5]], [[1, 2, 9, 4, 5]]) == pytest.approx(80)
    assert edit([[1, 2, 1, 2]], [[2, 1, 2, 1]]) == pytest.approx(50)
    assert edit([[1, 1, 0, 1]], [[1, 0, 0, 0]], [0]) == pytest.approx(50)  # 1 1 against 1
    assert edit([[1, 1], [1, 2]], [[1, 1], [3, 3]]) == pytest.approx(50)  # mean over videos


def test_overlaps_at_both_ends() -> None:
    truth, guess = [[0] * 200 + [1] * 200], [[2] * 198 + [0] * 2 + [1] * 200]
    assert f1(truth, guess, 100) == pytest.approx(40, abs=0.01)  # class 1 alone: TP 1, FP 2, FN 1
    assert f1(truth, guess, 1) == pytest.approx(80, abs=0.01)  # 2 frames of 200 are 1 %: TP 2, FP 1


def test_counts_of_frames_from_arrays() -> None:
    counts = FrameCounts.of_arrays(np.array([3, 0, 2]), np.array([1, 0, 2]))
    assert counts == FrameCounts.of([(np.array([0, 0, 0, 2, 2]), np.array([0, 1, 1, 2, 2]))])
    assert (counts.accuracy(), counts.class_mean()) == (60, pytest.approx((100 / 3 + 100) / 2))  # class 1 has no frame


def test_boundaries_by_hand() -> None:
    truth = [[0] * 10 + [1] * 10 + [2] * 10]  # boundaries 10 and 20
    guess = [[0] * 8 + [1] * 4 + [2] * 6 + [1] * 12]  # boundaries 8, 12 and 18
    assert boundary_scores(truth, guess, 0) == {"precision": 0, "recall": 0, "f1": 0}
    near = boundary_scores(truth, guess, 2)  # 10 goes to 8 or 12, not to both
    assert near == {"precision": pytest.approx(200 / 3), "recall": 100, "f1": pytest.approx(80)}
    assert boundary_scores(truth, guess, 1.9)["recall"] == 0
    assert boundary_scores(truth, guess, 0.2, fps=10) == near
    assert boundary_scores(truth, guess, 0.19, fps=10)["recall"] == 0
    assert boundary_scores(truth, guess, 4, fps=0.5) == near


def test_boundaries_in_seconds_meet_whole_frames() -> None:
    truth, guess = [[0] * 50 + [1] * 50], [[0] * 79 + [1] * 21]
    assert boundary_scores(truth, guess, 0.29, fps=100)["f1"] == 100  # 0.29 * 100 is below 29 in floats


def test_boundaries_that_are_not_there() -> None:
    assert boundary_scores([[0, 0]], [[1, 1]], 1) == {"precision": 100, "recall": 100, "f1": 100}
    assert boundary_scores([[0, 1]], [[1, 1]], 1) == {"precision": 0, "recall": 0, "f1": 0}
    assert boundary_scores([[-1, -1]], [[1, 1]], 1)["f1"] == 100
    pooled = boundary_scores([[0, 1], [0, 0]], [[0, 1], [0, 1]], 0)
    assert pooled == {"precision": 50, "recall": 100, "f1": pytest.approx(200 / 3)}


def most_pairs(left: list[int], right: list[int], reach: int) -> int:
    """The largest one-to-one pairing, by trying them all."""
    small, large = sorted((left, right), key=len)
    return max(
        sum(abs(a - b) <= reach for a, b in zip(small, chosen, strict=True))
        for chosen in itertools.permutations(large, len(small))
    )


@SEEDED
@given(
    st.sets(st.integers(1, 11), min_size=1, max_size=5),
    st.sets(st.integers(1, 11), min_size=1, max_size=5),
    st.integers(0, 4),
)
def test_boundaries_are_paired_as_many_as_can_be(true: set[int], guess: set[int], reach: int) -> None:
    labels = [[sum(edge <= frame for edge in edges) for frame in range(12)] for edges in (true, guess)]
    got = boundary_scores([labels[0]], [labels[1]], reach)
    pairs = most_pairs(sorted(true), sorted(guess), reach)
    assert got["precision"] == pytest.approx(100 * pairs / len(guess))
    assert got["recall"] == pytest.approx(100 * pairs / len(true))
    assert got["f1"] == pytest.approx(200 * pairs / (len(true) + len(guess)))


def test_harmonic_mean() -> None:
    assert harmonic_mean(60, 30) == pytest.approx(40)
    assert harmonic_mean(0, 80) == harmonic_mean(0, 0) == 0


def test_an_unseen_false_alarm_is_charged_to_the_unseen() -> None:
    # class 2 is unseen and nowhere true; predicting it must not leave the unseen figure untouched
    clean = evaluate([[1, 1, 2, 2]], [[1, 1, 2, 2]], unseen=[2])
    alarm = evaluate([[1, 1, 2, 2], [1, 1]], [[1, 1, 2, 2], [2, 2]], unseen=[2])
    assert clean["unseen_f1@50"] == 100
    assert alarm["unseen_f1@50"] == pytest.approx(100 * 2 / 3)  # TP 1, FP 1
    assert alarm["seen_f1@50"] == pytest.approx(100 * 2 / 3)  # TP 1, FN 1


def test_per_class_by_hand() -> None:
    truth, guess = [[0, 0, 1, 1, 1, 1], [1, 1, -1]], [[0, 0, 0, 1, 1, 1], [2, 2, 2]]
    keys = ("class", "frames", "accuracy", "segments", "predicted_segments", "f1")
    assert [tuple(row[key] for key in keys) for row in per_class(truth, guess, 4)] == [
        (0, 2, 100, 1, 1, 100),  # IoU 2/3
        (1, 6, 50, 2, 1, pytest.approx(200 / 3)),
        (2, 0, 0, 0, 1, 0),
        (3, 0, 0, 0, 0, 0),
    ]
    assert per_class([[-1]], [[0]], 1) == [dict.fromkeys(keys, 0)]  # nothing to judge
    assert per_class([[0, 0]], [[0, 1]], 2)[0]["f1"] == 100  # an IoU of one half is enough
    with refused("labels"):
        per_class(truth, guess, 2)


def test_names_of_figures() -> None:
    assert [figure_name(key) for key in ("ausuc", "unseen_f1@10")] == ["AUSUC", "unseen F1@10"]


def test_cohen_kappa_is_agreement_beyond_chance():
    """20 and 15 of 50 agree on yes and no; marginals 25:25 and 30:20, as in the textbooks: .7 against .5."""
    first = [1] * 25 + [0] * 25
    second = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa([first], [second]) == pytest.approx(0.4)
    assert cohen_kappa([second[:20], second[20:]], [first[:20], first[20:]]) == pytest.approx(0.4)
    assert cohen_kappa([[0, 1]], [[1, 0]]) == -1
    assert cohen_kappa([[3, 3]], [[4, 4]]) == 0
    assert np.isnan(cohen_kappa([[3, 3]], [[3, 3]]))  # one class: undefined, as in scikit-learn
    assert np.isnan(cohen_kappa([[-1]], [[0]]))  # no frame
    assert cohen_kappa([[-1, 1, 0]], [[5, 1, 0]]) == 1  # an ignored frame


def test_a_flickering_prediction_of_a_long_video_costs_little():
    labels = np.arange(60_000) % 2
    begun = time.process_time()
    found = f1([labels], [labels[::-1].copy()], 50), f1([labels], [labels], 50)
    assert time.process_time() - begun < 10  # seconds; all pairs would take ten minutes
    assert found == pytest.approx((0, 100), abs=1e-3)
