"""Decoding with a switching price against all labellings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from fact_clip.core import Vocabulary, runs
from fact_clip.datasets.statistics import remembered, transitions
from fact_clip.decoding import CandidateSet, DecodeSettings, ModelScores, Voters, decode_scores, decode_switching
from fact_clip.decoding.durations import Durations
from fact_clip.decoding.segment_costs import SegmentCosts
from fact_clip.decoding.switching import (
    IMPOSSIBLE,
    StateCosts,
    close_costs,
    listed_counts,
    next_shares,
    shortened,
    transition_costs,
)


@pytest.mark.parametrize("penalty", [0.0, 0.4, 1.5, 9.0])
@pytest.mark.parametrize("seed", range(4))
def test_is_the_best_of_all_labellings(penalty, seed):
    scores = np.random.default_rng(seed).normal(size=(6, 3))

    def value(labels):
        labels = np.array(labels)
        return scores[np.arange(6), labels].sum() - penalty * (labels[1:] != labels[:-1]).sum()

    best = max(itertools.product(range(3), repeat=6), key=value)
    assert value(decode_switching(scores, penalty)) == pytest.approx(value(best))


def test_no_price_is_the_argmax_and_a_high_price_one_segment():
    scores = np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.9, 0.1]]))
    assert decode_switching(scores, 0.0).tolist() == [0, 1, 0]
    assert decode_switching(scores, 5.0).tolist() == [0, 0, 0]


def step_by_step(scores: np.ndarray, penalty: float) -> list[int]:
    """With a back pointer for each frame and class."""
    best, back = scores[0].astype(float).tolist(), []
    for row in scores[1:].astype(float).tolist():
        change = int(np.argmax(best))
        sources = [own if best[own] >= best[change] - penalty else change for own in range(len(row))]
        best = [max(best[own], best[change] - penalty) + row[own] for own in range(len(row))]
        back.append(sources)
    labels = [int(np.argmax(best))]
    for sources in reversed(back):
        labels.append(sources[labels[-1]])
    return labels[::-1]


@pytest.mark.parametrize("penalty", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("whole", [False, True])
def test_all_ways_at_once_are_each_alone_label_by_label(penalty, whole):
    """Whole numbers give ties; in each way another class is ruled out."""
    scores = np.random.default_rng(3).normal(scale=2, size=(5, 80, 6)).astype(np.float32)
    scores = scores.round() if whole else scores
    scores[range(5), :, range(5)] = -np.inf
    found = decode_switching(scores, penalty)
    assert found.shape == (5, 80)
    for way, labels in zip(scores, found, strict=True):
        assert labels.tolist() == decode_switching(way, penalty).tolist() == step_by_step(way, penalty)


def test_single_precision_of_the_scores_does_not_add_up():
    """Class 0 is better by 0.01 in 2,000 frames, then class 1 in 500; the sums are in the millions."""
    scores = np.full((2500, 2), -1000.0, dtype=np.float32)
    scores[:2000, 0] += np.float32(0.01)
    scores[2000:, 1] += np.float32(0.01)
    assert decode_switching(scores, 1.0).tolist() == [0] * 2000 + [1] * 500


def test_prices_of_changes_against_all_labellings():
    rng = np.random.default_rng(5)
    scores, prices = rng.normal(size=(2, 5, 3)), rng.uniform(0.2, 3, size=(3, 3))
    np.fill_diagonal(prices, 0)

    def value(labels, rows):
        labels = np.array(labels)
        return rows[np.arange(5), labels].sum() - 0.7 * prices[labels[:-1], labels[1:]].sum()

    together = decode_switching(scores, 0.7, prices)
    for rows, labels in zip(scores, together, strict=True):
        best = max(itertools.product(range(3), repeat=5), key=lambda labels, rows=rows: value(labels, rows))
        assert decode_switching(rows, 0.7, prices).tolist() == labels.tolist() == list(best)


def test_prices_by_the_order_of_the_training():
    # a is followed by b three times and by c once; b by a twice; nothing is known of d
    counts = np.array([[0, 3, 1, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    prices = transition_costs(counts, weight=1.0)
    anywhere = (np.array([4, 3, 1, 0]) + 1 / 4) / 9  # a was left four times; one segment is shared by all classes
    surprise_ab, surprise_ac = -np.log((3 + anywhere[1]) / 5), -np.log((1 + anywhere[2]) / 5)
    surprise_ba, surprise_bc = -np.log((2 + anywhere[0]) / 3), -np.log(anywhere[2] / 3)
    usual = 1 + (3 * surprise_ab + surprise_ac + 2 * surprise_ba) / 6
    assert prices[0, 1] == pytest.approx((1 + surprise_ab) / usual)
    assert prices[0, 2] == pytest.approx((1 + surprise_ac) / usual)
    # by d, which costs 1 both ways, as (1 + surprise_bc) / usual is higher
    assert (1 + surprise_bc) / usual > 2
    assert prices[1, 2] == 2
    assert prices[3, 0] == prices[0, 3] == prices[2, 1] == 1  # nothing is known of what follows c
    assert not prices.diagonal().any()
    assert (transition_costs(np.zeros((2, 2)), 1.0) == [[0, 1], [1, 0]]).all()


def prices_of_ways(prices: np.ndarray) -> np.ndarray:
    """The cheapest of all ways without a class twice, by trying each."""
    n_classes = len(prices)
    best = prices.copy()
    for first, last in itertools.permutations(range(n_classes), 2):
        between = [label for label in range(n_classes) if label not in (first, last)]
        for count in range(len(between) + 1):
            for middle in itertools.permutations(between, count):
                steps = itertools.pairwise([first, *middle, last])
                best[first, last] = min(best[first, last], sum(prices[step] for step in steps))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_closed_prices_are_those_of_the_cheapest_way(seed):
    prices = np.random.default_rng(seed).exponential(size=(5, 5))
    np.fill_diagonal(prices, 0)
    copy = prices.copy()
    np.testing.assert_allclose(close_costs(prices), prices_of_ways(prices))
    assert (prices == copy).all()


@pytest.mark.parametrize("weight", [0.3, 1.0, 20.0])
@pytest.mark.parametrize("seed", range(6))
def test_no_detour_is_cheaper_than_the_change(seed, weight):
    rng = np.random.default_rng(seed)
    n_classes = int(rng.integers(1, 30))
    counts = rng.poisson(rng.exponential(0.6, size=(n_classes, n_classes)))
    prices = transition_costs(counts, weight)
    detours = (prices[:, :, None] + prices[None]).min(1)
    assert (prices <= detours + 1e-12).all()
    assert not prices.diagonal().any()
    assert (prices + np.eye(n_classes) > 0).all()


def test_a_dear_change_makes_no_segment_between():
    """b is the usual next of a, and c of b; open prices passed b in one frame of a change from a to c."""
    counts = np.zeros((3, 3))
    counts[0, 1] = counts[1, 2] = counts[2, 0] = 20
    prices = transition_costs(counts, 1.0)
    assert prices[0, 2] == pytest.approx(prices[0, 1] + prices[1, 2])
    scores = np.log(np.array([[0.8, 0.1, 0.1]] * 4 + [[0.1, 0.09, 0.81]] * 4))
    assert decode_switching(scores, 2.0, prices).tolist() == [0] * 4 + [2] * 4


def test_the_background_of_a_threshold_is_a_class_like_any_other():
    """Its changes cost 1, and staying in it costs nothing."""
    frames = torch.tensor([[[0.9, 0.1]] * 3 + [[0.5, 0.5]] * 9 + [[0.1, 0.9]] * 3])
    voter = Voters(frames, tokens=None, has_token=torch.ones(1, 15, dtype=torch.bool))
    scores = ModelScores(n_frames=15, voters=(voter,))
    costs = np.array([[0.0, 5.0], [5.0, 0.0]])
    candidates = CandidateSet(Vocabulary.from_names(["a", "b"]), costs=SegmentCosts(StateCosts.plain(costs)))
    settings = DecodeSettings(threshold=0.6, switch_penalty=0.4)
    assert decode_scores(scores, candidates, settings)[0].tolist() == [0] * 3 + [2] * 9 + [1] * 3


# --- memory of the last action across background ------------------------------------------------------------------


def counted(videos, background=0, n_classes=3):
    counts = np.zeros((2 * n_classes, 2 * n_classes))
    for first, second, times in transitions(map(np.array, videos), (background,), n_classes):
        counts[first, second] = times
    return counts


def test_runs_of_background_are_named_by_the_action_before():
    video = [(0, 2, 0), (2, 4, 1), (4, 5, 0), (5, 6, 2), (6, 7, -1), (7, 8, 0), (8, 9, 1), (9, 10, 0)]
    states = [run[2] for run in remembered(video, (0,), 3)]
    assert states == [0, 1, 4, 2, -1, 0, 1, 4]
    assert remembered(video, (0, 2), 3) == video


def test_costs_through_background_by_hand():
    """One video: rest 1 rest 2 1. 1 is followed by 2 through background, 2 by 1 directly."""
    changes = StateCosts.remembering(counted([[0, 1, 0, 2, 1]]), 4.0, 0)
    assert changes.class_of_state.tolist() == [0, 1, 2, 0, 0]
    assert changes.last_action.tolist() == [-1, -1, -1, 1, 2]
    follows = (np.array([2, 1]) + 1 / 2) / 4  # how often 1 and 2 occur, with one segment that they share
    rests = np.array([(1 + 1 / 2) / 2, (0 + 1 / 2) / 2])
    after_1 = (np.array([0, 1]) + follows) / 2
    after_2 = (np.array([1, 0]) + follows) / 2
    start = (np.array([1, 0]) + follows) / 2
    s = {
        (0, 1): -np.log(start[0]),
        (1, 3): -np.log(rests[0]),
        (3, 2): -np.log(after_1[1]),
        (2, 1): -np.log((1 - rests[1]) * after_2[0]),
    }
    mean = np.mean([*s.values()])
    for (first, second), surprise in s.items():
        assert changes.costs[first, second] == pytest.approx((1 + 4 * surprise) / (1 + 4 * mean))
    assert changes.costs[1, 4] == changes.costs[3, 4] == IMPOSSIBLE  # background remembers the action before it


def test_each_run_of_background_remembers_the_action_before_it():
    """The cheapest labelling of all is found where its cost is that of its own memory."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        videos = [[0, *map(int, np.repeat(rng.integers(0, 4, 6), rng.integers(1, 3, 6)))] for _ in range(2)]
        changes = StateCosts.remembering(counted(videos, n_classes=4), 4.0, 0)
        state_of = {
            (int(label), int(action)): state
            for state, (label, action) in enumerate(zip(changes.class_of_state, changes.last_action, strict=True))
        }
        table = torch.from_numpy(rng.dirichlet(np.full(4, 1.0), 5))

        def value(labels, table=table, changes=changes, state_of=state_of) -> float:
            action, before = -1, None
            total = float(table.log()[np.arange(5), list(labels)].sum())
            for _, _, label in runs(np.array(labels)):
                state = state_of[label, action if label == 0 else -1]
                total -= 0.7 * changes.costs[before, state] if before is not None else 0
                action, before = (label if label else action), state
            return total

        found = SegmentCosts(changes).decode(table.clone(), np.ones(4, bool), 0.7)
        best = max(value(labels) for labels in itertools.product(range(4), repeat=5))
        assert value(found) == pytest.approx(best)


def test_a_change_that_was_not_seen_is_rarer_the_more_was_seen():
    few, many = (next_shares(np.array([[0, times, 0]]), np.array([times, times, 0])) for times in (1, 40))
    anywhere = (1 + 1 / 3) / 3  # of the first class, after one segment of each of two
    assert few[0, 0] == pytest.approx(anywhere / 2)
    assert many[0, 0] == pytest.approx((40 + 1 / 3) / 81 / 41)
    assert (few > 0).all()
    assert (many > 0).all()
    assert few.sum() == many.sum() == pytest.approx(1)


def test_what_is_not_listed_is_passed_over_by_hand():
    """a x b, a x b, a x c: without x, a is followed by b twice and by c once, each less the share that ends."""
    counts = np.zeros((8, 8))
    a, b, c, x = range(4)
    counts[a, x] = 3
    counts[x, b], counts[x, c] = 2, 1
    listed = listed_counts(counts, [a, b, c], ())
    assert listed[:3, :3] == pytest.approx(np.array([[0, 3 * 2 / 4, 3 / 4], [0, 0, 0], [0, 0, 0]]))
    assert (listed_counts(counts, [a, b, c, x], ()) == counts).all()
    assert (listed_counts(counts, [c, a, x, b], ())[1, 2] == 3).all()


def test_what_is_not_listed_is_background_by_hand():
    """rest a x rest b, three times: without x, a is followed by background, and that by b."""
    counts = counted([[0, 1, 3, 0, 2]] * 3, n_classes=4)
    listed = listed_counts(counts, [0, 1, 2], (0,))
    changes = {(first, second): listed[first, second] for first, second in np.argwhere(listed)}
    # x is left three times for its background, with a share of 3/4, and that three times for b
    assert changes == {(0, 1): 3, (1, 4): 3, (4, 2): pytest.approx(3 * (3 / 4) ** 2)}
    everything = listed_counts(counts, [0, 1, 2, 3], (0,))
    assert (everything == counts).all()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("with_lengths", [False, True])
def test_the_memory_is_that_of_the_best_of_all_labellings(seed, with_lengths):
    """All labellings of five rows, with the last action written out beside each."""
    rng = np.random.default_rng(seed)
    videos = [[0, *np.repeat(rng.integers(0, 3, 6), rng.integers(1, 3, 6))] for _ in range(3)]
    changes = StateCosts.remembering(counted([list(map(int, video)) for video in videos]), 4.0, 0)
    table = torch.from_numpy(rng.dirichlet(np.full(3, 2.0), 5))
    law = Durations(rng.normal(1, 0.3, 3), np.full(3, 0.5), 1.0)
    segment_costs = SegmentCosts(changes, law if with_lengths else None)

    def value(labels, n_fixed) -> float:
        """The best over all memories of its runs; those that begin in the fixed rows remember the truth."""
        total = float(table.log()[np.arange(5), list(labels)].sum())
        paths = {None: 0.0}  # state -> the best so far
        last_action = -1
        for start, stop, label in runs(np.array(labels)):
            if with_lengths:
                scores = law.log_survival if start == 0 or stop == 5 else law.log_scores
                total += scores[min(stop - start, len(scores)) - 1, label]
            following = {}
            for state in np.flatnonzero(changes.class_of_state == label):
                memory = changes.last_action[state]
                if start == 0 and memory >= 0:
                    continue
                if 0 < start < n_fixed and label == 0 and memory != last_action:
                    continue
                costs = [
                    path - (0.7 * changes.costs[before, state] if before is not None else 0)
                    for before, path in paths.items()
                ]
                following[state] = max(costs)
            paths = following
            last_action = label if label else last_action
        return total + max(paths.values())

    for fixed in ((), (0,), (1, 0), (2, 2), (1, 2, 0)):
        rest = itertools.product(range(3), repeat=5 - len(fixed))
        best = max(value((*fixed, *labels), len(fixed)) for labels in rest)
        labels = np.array(fixed, dtype=np.int64)
        found = segment_costs.decode(table[len(fixed) :].clone(), np.ones(3, bool), 0.7, labels)
        assert value([*fixed, *found], len(fixed)) == pytest.approx(best), (fixed, found, table)


def test_a_threshold_adds_a_class_without_a_memory():
    changes = StateCosts.remembering(counted([[0, 1, 0, 2, 1]]), 4.0, 0).with_class()
    assert changes.class_of_state[-1] == 3
    assert changes.last_action[-1] == -1
    assert (changes.costs[-1, :-1] <= 1).all()


def test_impossible_changes_stay_impossible_without_a_penalty():
    """Background of the lengths 5 is not priced as many segments, whatever the penalty."""
    changes = StateCosts.remembering(counted([[0, 1, 0, 2, 0, 1, 0]] * 3), 4.0, 0)
    law = Durations(np.log(np.array([5.0, 20.0, 20.0])), np.full(3, 0.3), 1.0)
    table = torch.full((60, 3), 0.3, dtype=torch.float64)
    table[:, 0] = 0.4
    everything = np.ones(3, bool)
    for penalty in (0.0, 1e-9):
        found = SegmentCosts(changes, law).decode(table.clone(), everything, penalty)
        plain = SegmentCosts(None, law).decode(table.clone(), everything, penalty)
        lengths = [stop - start for start, stop, label in runs(found) if label == 0]
        assert max(lengths) <= 12
        assert (found == 0).sum() == (plain == 0).sum()


def test_what_goes_on_from_shortened_labels_is_what_goes_on_from_all():
    rng = np.random.default_rng(0)
    changes = StateCosts.remembering(counted([[0, 1, 0, 2, 0, 1, 0, 2]] * 3), 4.0, 0)
    law = Durations(np.log(np.array([5.0, 9.0, 9.0])), np.full(3, 0.3), 1.0)
    costs = SegmentCosts(changes, law)
    for _ in range(40):
        labels = np.repeat(rng.integers(0, 3, 5), rng.integers(1, 30, 5))
        table = torch.from_numpy(rng.dirichlet(np.ones(3), 30))
        whole = costs.decode(table.clone(), np.ones(3, bool), 1.0, labels)
        kept = shortened(labels)
        assert len(kept) <= 1 + len(labels) - runs(labels)[-1][0]
        np.testing.assert_array_equal(costs.decode(table.clone(), np.ones(3, bool), 1.0, kept), whole)
