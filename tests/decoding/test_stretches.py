"""Unlabelled stretches: what stands around them, and which names fit by two views."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip.decoding import stretches as module
from fact_clip.decoding.stretches import (
    BEGINNING,
    END,
    SETTINGS,
    Stretch,
    find_stretches,
    shares_of_names,
)

OPEN = -1


def test_stretches_know_the_labelled_actions_around_them():
    labels = np.array([OPEN, OPEN, 0, OPEN, 1, 1, OPEN, 0, OPEN, 2, 0, OPEN])
    assert find_stretches(labels, background=[0], video=7) == [
        Stretch(7, 0, 2, BEGINNING, 1),
        Stretch(7, 3, 4, BEGINNING, 1),
        Stretch(7, 6, 7, 1, 2),
        Stretch(7, 8, 9, 1, 2),
        Stretch(7, 11, 12, 2, END),
    ]
    assert find_stretches(np.array([OPEN, OPEN])) == [Stretch(0, 0, 2, BEGINNING, END)]
    assert find_stretches(np.array([3, 3])) == []


def test_one_round_by_hand(monkeypatch):
    """Three stretches of equal length, two names; the third one has even scores."""
    monkeypatch.setattr(module, "_ROUNDS", 1)
    stretches = [Stretch(0, 0, 10, 5, 6), Stretch(0, 20, 30, 5, 8), Stretch(0, 40, 50, 7, 6)]
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    found = shares_of_names(np.log(shares), stretches, [(1.0, 1.0)])
    n = [1.6, 1.4]  # stretches of each name
    after_5 = [(0.9 + 0.2 + 0.25) / (n[0] + 0.5), (0.1 + 0.8 + 0.25) / (n[1] + 0.5)]
    after_7 = [(0.5 + 0.25) / (n[0] + 0.5), (0.5 + 0.25) / (n[1] + 0.5)]
    before_6 = [(0.9 + 0.5 + 0.25) / (n[0] + 0.5), (0.1 + 0.5 + 0.25) / (n[1] + 0.5)]
    before_8 = [(0.2 + 0.25) / (n[0] + 0.5), (0.8 + 0.25) / (n[1] + 0.5)]
    for row, (score, before, after) in enumerate(
        zip(shares, (after_5, after_5, after_7), (before_6, before_8, before_6), strict=True)
    ):
        # Lengths are equal; the more stretches a name has, the more certain its length is.
        product = [score[k] * before[k] * after[k] * math.sqrt(n[k] + 2) for k in range(2)]
        assert found[row] == pytest.approx(np.array(product) / sum(product))


def slow_shares(scores, stretches, weight_of_scores, weight):
    """The formula of docs/method.md, number by number."""
    scores = [[weight_of_scores * score for score in row] for row in scores]
    n_names = len(scores[0])
    logs = [math.log(part.stop - part.start) for part in stretches]
    mean_of_all = sum(logs) / len(logs)
    variance_of_all = max(sum((x - mean_of_all) ** 2 for x in logs) / len(logs), 0.01)
    z = [[math.exp(s) / sum(map(math.exp, row)) for s in row] for row in scores]
    for _ in range(20):
        total = [list(row) for row in scores]
        for k in range(n_names):
            count = sum(row[k] for row in z)
            mean = (sum(row[k] * x for row, x in zip(z, logs, strict=True)) + 2 * mean_of_all) / (count + 2)
            spread = sum(row[k] * (x - mean) ** 2 for row, x in zip(z, logs, strict=True))
            variance = (spread + 2 * variance_of_all) / (count + 2)
            for i, part in enumerate(stretches):
                for side in ("last_action", "next_action"):
                    contexts = {getattr(other, side) for other in stretches}
                    same = sum(
                        row[k]
                        for row, other in zip(z, stretches, strict=True)
                        if getattr(other, side) == getattr(part, side)
                    )
                    share = (same + 0.5 / len(contexts)) / (count + 0.5)
                    total[i][k] += weight * math.log(share)
                total[i][k] -= (logs[i] - mean) ** 2 / (2 * variance) + math.log(variance) / 2
        z = []
        for row in total:
            top = max(row)
            weights = [math.exp(value - top) for value in row]
            z.append([value / sum(weights) for value in weights])
    return np.array(z)


@pytest.mark.parametrize("seed", range(6))
def test_against_a_slow_version(seed):
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(rng.integers(1, 12)):
        start, length = rng.integers(0, 50), rng.integers(1, 40)
        parts.append(Stretch(0, start, start + length, rng.integers(4), rng.integers(4)))
    scores = np.log(rng.dirichlet(np.ones(3), len(parts)))
    slow = np.mean([slow_shares(scores, parts, *weights) for weights in SETTINGS], axis=0)
    np.testing.assert_allclose(shares_of_names(scores, parts), slow, atol=1e-9)
