"""Rules about whole videos, on scores whose best labelling is known by hand."""

import numpy as np
import torch

from fact_clip.datasets.statistics import visit_shares
from fact_clip.decoding.segment_costs import SegmentCosts
from fact_clip.decoding.visits import VisitRules


def best(rows):
    return rows.argmax(1)


def rows_of(labels, n_classes, margin=0.5):
    """Return log scores that prefer some labels by a margin."""
    return margin * np.eye(n_classes)[labels] + np.zeros((len(labels), n_classes))


def test_learned_takes_actions_that_nearly_always_occur_or_hardly_ever_return():
    visits = [(1.0, 0.9), (0.95, 0.0), (0.5, 0.05), None, (0.0, 0.0)]
    rules = VisitRules.learned(visits, np.array([True, False, False, False, False]))
    assert rules.always.tolist() == [False, True, False, False, False]
    assert rules.once.tolist() == [False, True, True, False, False]


def test_frames_without_a_label_are_no_visits():
    """Two videos have labels; in the second one all three classes come back."""
    unknown = [-1] * 3
    videos = [[0, 0, *unknown, 0, 1, 1], [*unknown, 0, 1, 2, 1, *unknown, 2, 0], unknown, unknown]
    shares = visit_shares([np.array(labels) for labels in videos], 4)
    assert shares == ((1.0, 0.5), (1.0, 0.5), (0.5, 1.0), (0.0, 0.0))
    assert visit_shares([np.array(unknown)], 1) == ((0.0, 0.0),)


def test_a_hidden_class_parts_two_visits():
    """-2 marks its frames, -1 others without a label."""
    assert visit_shares([np.array([0, 0, -1, 0])], 1) == ((1.0, 0.0),)
    assert visit_shares([np.array([0, 0, -2, 0])], 1) == ((1.0, 1.0),)


def test_missing_action_gets_a_nat_a_row_at_most_twice():
    rules = VisitRules(always=np.array([False, True, True]), once=np.zeros(3, bool))
    rows = np.zeros((4, 3))
    rows[:, 1] = [-3, -0.8, -3, -3]
    rows[:, 2] = -1.5
    rows[[1, 3], 2] = -2.5
    # class 1 comes with the first nat in row 1; class 2 with the second one in rows 0 and 2
    assert rules.decode(rows, best).tolist() == [2, 1, 2, 0]
    rows[:, 2] = -2.5
    assert rules.decode(rows, best).tolist() == [0, 1, 0, 0]


def test_visit_with_the_largest_margin_stays():
    rules = VisitRules(always=np.zeros(3, bool), once=np.array([False, True, False]))
    rows = rows_of([1, 1, 0, 1, 2, 0, 1], 3)
    rows[3, 1] += 1  # one row of margin 1.5 against two of .5
    assert rules.decode(rows, best).tolist() == [0, 0, 0, 1, 2, 0, 0]


def test_scores_are_not_changed():
    rules = VisitRules(always=np.array([True, True]), once=np.array([True, True]))
    rows = rows_of([1, 0, 1], 2)
    before = rows.copy()
    rules.decode(rows, best)
    assert (rows == before).all()


def test_actions_that_all_come_once_end():
    rules = VisitRules(always=np.zeros(2, bool), once=np.ones(2, bool))
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels = rules.decode(rng.standard_normal((12, 2)), best)
        assert labels.shape == (12,)


def test_ways_to_score_a_video_obey_the_rules_as_each_alone():
    rng = np.random.default_rng(0)
    ways = torch.from_numpy(rng.dirichlet(np.ones(4), size=(3, 60))).float()  # (G, T, C)
    actions = np.array([False, True, True, True])
    costs = SegmentCosts(rules=VisitRules(always=actions, once=actions))
    allowed = np.ones(4, bool)
    alone = [costs.decode(way.clone(), allowed, 1.5) for way in ways]
    assert (costs.decode(ways.clone(), allowed, 1.5) == np.stack(alone)).all()
