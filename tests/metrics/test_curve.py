"""The S-U curve and its area against a slow version that decodes every frame at every gamma."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.metrics import FrameCounts, SeenUnseenCurve, class_means, curve_of_counts
from fact_clip.metrics.frame import paired


def decoded(scores: list[list[list[float]]], gamma: float, free: set[int]) -> list[list[int]]:
    """Argmax of each frame with gamma off the classes that are not free."""
    guess = []
    for table in scores:
        rows = [[value - (0 if c in free else gamma) for c, value in enumerate(row)] for row in table]
        guess.append([row.index(max(row)) for row in rows])
    return guess


def slow_means(
    truth: list[list[int]], guess: list[list[int]], unseen: set[int], left_out: set[int]
) -> tuple[float, float]:
    pairs = [pair for video in zip(truth, guess, strict=True) for pair in zip(*video, strict=True) if pair[0] >= 0]
    means = []
    for classes in ({t for t, _ in pairs} - unseen - left_out, unseen - left_out):
        shares = []
        for label in sorted(classes):
            own = [p == t for t, p in pairs if t == label]
            if own:
                shares.append(100 * sum(own) / len(own))
        means.append(sum(shares) / len(shares) if shares else 0.0)
    return means[0], means[1]


def slow_curve(
    truth: list[list[int]],
    scores: list[list[list[float]]],
    unseen: set[int],
    background: set[int],
    others: set[int],
    gammas: list[float],
) -> list[tuple[float, float]]:
    free = unseen | others
    return [slow_means(truth, decoded(scores, gamma, free), unseen, background | others) for gamma in gammas]


def on_grid(
    truth: list[list[int]],
    scores: list[list[list[float]]],
    unseen: set[int],
    background: set[int],
    others: set[int],
    gammas: list[float],
) -> SeenUnseenCurve:
    counts = {gamma: FrameCounts.of(paired(truth, decoded(scores, gamma, unseen | others))) for gamma in gammas}
    return curve_of_counts(counts, unseen, background, others)


def slow_area(points: list[tuple[float, float]]) -> float:
    return sum((u1 - u0) * (s0 + s1) / 2 for (s0, u0), (s1, u1) in pairwise(points)) / 100


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[list[int]], list[list[list[float]]], set[int], set[int], set[int]]:
    truth, scores = [], []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 8))
        truth.append(draw(st.lists(st.integers(-1, 5), min_size=length, max_size=length)))
        # Whole numbers: shared margins and equal scores are frequent.
        row = st.lists(st.integers(-3, 3).map(float), min_size=6, max_size=6)
        scores.append(draw(st.lists(row, min_size=length, max_size=length)))
    roles = ["s", "u", *draw(st.lists(st.sampled_from("subo"), min_size=4, max_size=4))]
    groups = {role: {label for label in range(6) if roles[label] == role} for role in "ubo"}
    return truth, scores, groups["u"], groups["b"], groups["o"]


# Margins are whole numbers from -6 to 6, so nothing happens between these.
HALVES = [-7.5, *(value + 0.5 for value in range(-7, 8))]


@given(problems())
def test_is_the_slow_curve(
    problem: tuple[list[list[int]], list[list[list[float]]], set[int], set[int], set[int]],
) -> None:
    truth, scores, unseen, background, others = problem
    gammas = sorted([*HALVES, 0.0])
    curve = on_grid(truth, scores, unseen, background, others, gammas)
    expected = slow_curve(truth, scores, unseen, background, others, gammas)
    assert curve.gamma.tolist() == gammas
    assert np.stack([curve.seen, curve.unseen], 1) == pytest.approx(np.array(expected), abs=1e-9)
    assert curve.ausuc() == pytest.approx(slow_area(expected), abs=1e-9)


def test_real_valued_scores() -> None:
    rng = np.random.default_rng(4)
    truth = [rng.integers(-1, 7, 60).tolist() for _ in range(3)]
    scores = [rng.normal(size=(60, 7)) for _ in range(3)]
    nested = [table.tolist() for table in scores]
    gammas = np.linspace(-4, 4, 41).round(1).tolist()
    curve = on_grid(truth, nested, {4, 5}, {0}, {6}, gammas)
    expected = slow_curve(truth, nested, {4, 5}, {0}, {6}, gammas)
    assert np.stack([curve.seen, curve.unseen], 1) == pytest.approx(np.array(expected), abs=1e-9)
    assert curve.ausuc() == pytest.approx(slow_area(expected), abs=1e-9)
    assert curve.harmonic_mean == pytest.approx(
        np.array([2 * s * u / (s + u) if s + u else 0 for s, u in expected]), abs=1e-9
    )
    # gamma = 0 is plain argmax, and its figures those of the metrics (where a left-out class is passed as background).
    plain = [table.argmax(1) for table in scores]
    assert (curve.seen[curve.start], curve.unseen[curve.start]) == pytest.approx(
        class_means(truth, plain, [4, 5], background=[0, 6])
    )


def test_by_hand() -> None:
    # Classes 0, 1 seen, 2 unseen. Margins 3 (class 0, right), 1 (class 2), -1 (class 1, right among seen), 2 (class 2).
    truth = [[0, 2, 1, 2]]
    scores = [[[3.0, 0, 0], [1.0, 0, 0], [0, 0.5, 1.5], [2.0, 0, 0]]]
    curve = on_grid(truth, scores, {2}, set(), set(), [-2, 0, 1.5, 2.5, 4])
    assert curve.seen.tolist() == [100, 50, 50, 50, 0]
    assert curve.unseen.tolist() == [0, 0, 50, 100, 100]
    assert curve.ausuc() == 50
    assert curve.start == 1
    assert curve.harmonic_mean.tolist() == pytest.approx([0, 0, 50, 200 / 3, 0])


def test_flawless_and_hopeless() -> None:
    truth = [[0, 0, 1]]
    for rows, area in (
        ([[2.0, 0], [3.0, 0], [0, 1.0]], 100),  # all frames of class 0 stay when class 1 is given its own
        ([[0, 1.0], [0, 1.0], [1.0, 0]], 0),  # S is gone when U comes
        ([[1.0, 0], [1.0, 0], [1.0, 0]], 50),  # one margin for all: the chord
    ):
        assert on_grid(truth, [rows], {1}, set(), set(), [-2, 0, 0.5, 1.5, 2.5, 4]).ausuc() == area


def test_no_frame_of_a_group_is_no_area() -> None:
    curve = on_grid([[0, 0]], [[[1.0, 0], [2.0, 0]]], {1}, set(), set(), [0, 1.5, 3])
    assert curve.seen.tolist() == [100, 50, 0]
    assert curve.unseen.tolist() == [0, 0, 0]
    assert curve.ausuc() == 0


def test_a_short_curve_is_spread_evenly_over_the_way() -> None:
    # nine points, each half a percent of S further; gamma is 0 at place 2
    even = SeenUnseenCurve(np.arange(-2.0, 7), np.arange(4, -0.5, -0.5), np.zeros(9))
    places = {points: [gamma + 2 for gamma in even.to_dict(points)["gamma"]] for points in (1, 3, 6, 10)}
    assert places == {1: [0, 2, 8], 3: [0, 2, 8], 6: [0, 2, 4, 6, 8], 10: list(range(9))}
    # the way is that of S and of U together
    both = SeenUnseenCurve(np.arange(5.0), np.array([3.0, 2, 2, 2, 0]), np.array([0.0, 0, 1, 5, 5]))
    assert both.to_dict(6)["gamma"] == [0, 2, 3, 4]  # 0, 1, 2, 6, 8 of the way; asked for 0, 2, 4, 6, 8
    long = SeenUnseenCurve(np.arange(-1.0, 1999), np.linspace(100, 0, 2000), np.zeros(2000))
    assert len(long.to_dict()["gamma"]) == 101
