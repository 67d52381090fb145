"""Numbers out of bounds and lengths that disagree are refused; many segments cost little, at the same values."""

from __future__ import annotations

import math
import time
from collections import Counter

import numpy as np
import pytest

from fact_clip import metrics
from fact_clip.core import Vocabulary
from fact_clip.metrics.segmental import SegmentCounts, segments

from ..refusals import refused

THREE = Vocabulary.from_names(["a", "b", "c"])


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: metrics.f1([[0]], [[0]], 0.5), "overlap"),
        (lambda: metrics.per_class([[0]], [[0]], 2, overlap=0.5), "overlap"),
        (lambda: metrics.f1([[0]], [[0]], math.nan), "overlap"),
        (lambda: metrics.harmonic_mean(-5, 10), "seen"),
        (lambda: metrics.harmonic_mean(5, math.nan), "unseen"),
        (lambda: metrics.harmonic_mean(150, 90), "seen"),
        (lambda: metrics.openness_ratio([-1.0], [2.0]), "openness ratio"),
        (lambda: metrics.openness_ratio([math.nan], [2.0]), "openness ratio"),
        (
            lambda: metrics.confusions([[0, 1]], [[0, 2]], THREE, (1,), (0,), [1, 2]),
            "frames",
        ),
        (
            lambda: metrics.confusions([[0, 1]], [[0, 2]], THREE, (1,), (0,), [1, -2, 3]),
            "frames",
        ),
        (
            lambda: metrics.confusions([[0, 1]], [[0, 2]], THREE, (5,), (0,), [1, 2, 3]),
            "classes",
        ),
        (lambda: metrics.confusions([[0, 7]], [[0, 2]], THREE, (1,), (0,), [1, 2, 3]), "classes"),
        (lambda: metrics.confusions([[0]], [[0]], THREE, (-1,), (0,), [1, 2, 3]), "classes"),
        (lambda: metrics.compositional_gap([[0, 1]], [[0, 9]], THREE, (1,)), "classes"),
        (lambda: metrics.compositional_gap([[0, 1]], [[0, 1]], THREE, (3,)), "classes"),
        (
            lambda: metrics.SeenUnseenCurve([-1, 0, 1], [1, 2, math.nan], [3, 4, 5]),
            "seen",
        ),
        (lambda: metrics.SeenUnseenCurve([0], [1], [-4]), "unseen"),
        (
            lambda: metrics.curve_of_predictions([[0, 1]], {0.0: [[0, 1]], math.inf: [[0, 1]]}, [1]),
            "gamma",
        ),
        (
            lambda: metrics.frame_accuracy([np.ma.masked_greater([0, 1], 0)], [[0, 1]]),
            "ground truth of video 0",
        ),
        (lambda: metrics.ausuc([[0, 1]], [[["x", "y"]] * 2], [1]), "scores of video 0"),
    ],
)
def test_what_is_out_of_bounds_is_told(call, place):
    with refused(place):
        call()


def test_what_is_in_bounds_stays():
    assert metrics.harmonic_mean(0, 0) == 0
    assert metrics.harmonic_mean(100.0, 50) == pytest.approx(200 / 3)
    assert metrics.f1([[0, 1, 1]], [[0, 0, 1]], 1) > 99
    curve = metrics.SeenUnseenCurve([-1, 0, 1], [100, 50, 0], [0, 50, 100])
    assert curve.harmonic_mean.tolist() == [0, 50, 0]
    assert curve.ausuc() == 50
    assert curve.to_dict(points=3)["gamma"] == [-1, 0, 1]


def all_pairs(true, predicted, overlap):
    """Every predicted segment beside every true one, as the definition says."""
    used, hits, false = set(), Counter(), Counter()
    for start, stop, label in predicted:
        shares = [
            (len(set(range(start, stop)) & set(range(a, b))), len(set(range(start, stop)) | set(range(a, b))), place)
            for place, (a, b, name) in enumerate(true)
            if name == label and b > a
        ]
        inter, union, place = max(shares, key=lambda each: (each[0] / max(each[1], 1), -each[2]), default=(0, 1, -1))
        if inter and place not in used and 100 * inter >= overlap * union:
            used.add(place)
            hits[label] += 1
        else:
            false[label] += 1
    return hits, false, Counter(name for place, (_, _, name) in enumerate(true) if place not in used)


@pytest.mark.parametrize("last_ends_early", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_matching_neighbours_alone_is_matching_all(seed, last_ends_early):
    rng = np.random.default_rng(seed)
    labellings = [np.repeat(rng.integers(0, 3, 30), rng.integers(1, 5, 30)) for _ in range(2)]
    length = min(map(len, labellings))
    true, guess = (segments(each[:length], {2} if seed % 2 else (), last_ends_early) for each in labellings)
    for overlap in (1, 10, 25, 50, 100):
        found = SegmentCounts.of(true, guess, overlap)
        assert (found.hits, found.false_alarms, found.misses) == all_pairs(true, guess, overlap)


def test_a_flickering_prediction_of_a_long_video_costs_little():
    labels = np.arange(60_000) % 2
    begun = time.process_time()
    found = metrics.f1([labels], [labels[::-1].copy()], 50), metrics.f1([labels], [labels], 50)
    assert time.process_time() - begun < 10  # seconds; all pairs would take ten minutes
    assert found == pytest.approx((0, 100), abs=1e-3)
