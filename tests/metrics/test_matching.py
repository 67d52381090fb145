"""Segments are matched as if every pair was looked at, and many of them cost little."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from fact_clip import metrics
from fact_clip.metrics.segmental import SegmentCounts, segments


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
