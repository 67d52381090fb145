"""Decoding with lengths of segments against all labellings, and the lengths by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fact_clip.core import runs
from fact_clip.decoding import decode_switching
from fact_clip.decoding.durations import Durations, decode_durations


@pytest.mark.parametrize("n_lengths", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("seed", range(6))
def test_is_the_best_of_all_labellings(n_lengths, seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(7, 3))
    costs = rng.uniform(0.1, 2, size=(3, 3))
    lengths = rng.normal(size=(n_lengths, 3))

    def value(labels) -> float:
        total = scores[np.arange(7), list(labels)].sum()
        total -= sum(costs[pair] for pair in itertools.pairwise(labels) if pair[0] != pair[1])
        for start, stop, label in runs(np.array(labels)):
            total += lengths[min(stop - start, n_lengths) - 1, label]
        return float(total)

    best = max(itertools.product(range(3), repeat=7), key=value)
    labels = decode_durations(scores, costs, lengths)
    assert value(labels.tolist()) == pytest.approx(value(best))


@pytest.mark.parametrize("seed", range(3))
def test_without_a_preference_it_is_the_switching_penalty(seed):
    scores = np.random.default_rng(seed).normal(scale=2, size=(90, 5))
    labels = decode_durations(scores, 1.5 * (1 - np.eye(5)), np.zeros((30, 5)))
    assert labels.tolist() == decode_switching(scores, 1.5).tolist()


@pytest.mark.parametrize("n_lengths", [1, 4, 12])
@pytest.mark.parametrize("seed", range(6))
def test_goes_on_from_the_segment_before(n_lengths, seed):
    """As the best labelling of all rows, of which the first ones are fixed."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(6, 3))
    costs = rng.uniform(0.1, 2, size=(3, 3))
    lengths = rng.normal(size=(n_lengths, 3))
    fixed = np.array([2, 1, 1])

    def value(labels) -> float:
        total = scores[np.arange(6), list(labels)].sum()
        whole = np.array([*fixed, *labels])
        total -= sum(costs[pair] for pair in itertools.pairwise(whole) if pair[0] != pair[1])
        for start, stop, label in runs(whole):
            total += lengths[min(stop - start, n_lengths) - 1, label]
        return float(total)

    best = max(itertools.product(range(3), repeat=6), key=value)
    labels = decode_durations(scores, costs, lengths, previous=1, n_previous=2)
    assert value(labels.tolist()) == pytest.approx(value(best))


@pytest.mark.parametrize("n_lengths", [1, 2, 3, 12])
@pytest.mark.parametrize("fixed", [(), (1,), (1, 1), (2, 1), (2, 1, 1)])
@pytest.mark.parametrize("seed", range(6))
def test_segments_that_the_recording_cuts_have_a_law_of_their_own(n_lengths, fixed, seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(6, 3))
    costs = rng.uniform(0.1, 2, size=(3, 3))
    lengths, cut = rng.normal(size=(2, n_lengths, 3))

    def value(labels) -> float:
        total = scores[np.arange(6), list(labels)].sum()
        whole = np.array([*fixed, *labels])
        total -= sum(costs[pair] for pair in itertools.pairwise(whole) if pair[0] != pair[1])
        for start, stop, label in runs(whole):
            law = cut if start == 0 or stop == len(whole) else lengths
            total += law[min(stop - start, n_lengths) - 1, label]
        return float(total)

    best = max(itertools.product(range(3), repeat=6), key=value)
    options = {"cut": cut}
    if fixed:
        n_previous = sum(label == 1 for label in fixed)
        options |= {"previous": 1, "n_previous": n_previous, "is_first": n_previous == len(fixed)}
    labels = decode_durations(scores, costs, lengths, **options)
    assert value(labels.tolist()) == pytest.approx(value(best))


def test_survival_by_hand():
    law = Durations(np.log(np.array([8.0, 100.0])), np.array([0.5, 0.3]), 2.0)
    assert law.log_survival.shape == law.log_scores.shape
    assert law.log_survival[0, 1] == pytest.approx(0, abs=1e-6)
    assert law.log_survival[7, 0] == pytest.approx(2 * np.log(0.5))  # half of them last longer
    assert (np.diff(law.log_survival, axis=0) <= 0).all()


def test_one_class_and_one_row():
    assert decode_durations(np.zeros((4, 1)), np.zeros((1, 1)), np.zeros((2, 1))).tolist() == [0] * 4
    assert decode_durations(np.array([[0.0, 1.0]]), np.zeros((2, 2)), np.zeros((9, 2))).tolist() == [1]


def test_lengths_by_hand():
    """The mean variance of both classes counts as three segments of each."""
    step = np.log(2)
    durations = Durations.learned([[8, 8], [2, 0.5, 8, 2], []], weight=2.0)
    logs = [np.log([8, 8]), np.log([2, 1, 8, 2])]
    pooled = (0 + np.var(logs[1])) / 2
    np.testing.assert_allclose(durations.mean[:2], [3 * step, 5 / 4 * step])
    expected = [3 * pooled / 5, (4 * np.var(logs[1]) + 3 * pooled) / 7]
    np.testing.assert_allclose(durations.deviation[:2] ** 2, expected)
    everything = np.concatenate(logs)
    assert durations.mean[2] == pytest.approx(everything.mean())
    assert durations.deviation[2] ** 2 == pytest.approx(pooled + np.var(everything))
    scores = durations.log_scores
    longest = np.exp((durations.mean + 3 * durations.deviation).max())
    assert scores.shape == (round(longest), 3)
    assert scores[7, 0] == pytest.approx(0)
    assert scores[3, 0] == pytest.approx(-2 * step**2 / (2 * expected[0]))


def test_equal_lengths_leave_a_deviation():
    assert Durations.learned([[5, 5], [5]]).deviation.min() == pytest.approx(0.3)


def test_names_that_nobody_trained_have_the_lengths_of_all_classes():
    trained = [(1.0, 0.5), (3.0, 0.5)]
    known = Durations.of_classes([trained[0], None], trained, 2, 1.0)
    assert known.mean.tolist() == pytest.approx([1 - np.log(2), 1 - np.log(2)])
    unknown = Durations.of_classes([None], trained, 2, 1.0)
    assert unknown.mean.tolist() == pytest.approx([2 - np.log(2)])
    assert unknown.deviation.tolist() == pytest.approx([np.sqrt(0.25 + 1)])


def test_a_class_that_lasts_longer_than_the_table_is_not_charged_for_it():
    mean = np.log(np.array([8000.0, 100.0, 1500.0]))
    law = Durations(mean, np.array([0.3, 0.3, 0.3]), 2.0).log_scores
    assert len(law) == 2000
    assert law[-1, 0] == 0
    assert law[-1, 1] < -50
    assert law[-1, 2] == pytest.approx(-(((np.log(2000 / 1500)) / 0.3) ** 2))
