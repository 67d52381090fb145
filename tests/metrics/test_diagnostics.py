"""Where unseen classes are lost: figures by hand, and against loops over frames and pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.core import Vocabulary
from fact_clip.metrics import auroc, compositional_gap, confusions, seen_unseen_auroc
from fact_clip.metrics.diagnostics import frequent_classes

NAMES = {
    "idle": (None, None),
    "cut ham": ("cut", "ham"),
    "cut egg": ("cut", "egg"),
    "hold ham": ("hold", "ham"),
    "hold egg": ("hold", "egg"),
    "wave": ("wave", None),
}
KITCHEN = Vocabulary.from_names(NAMES, ["idle"], NAMES, ("verb", "object"))


def test_auroc_by_hand():
    assert auroc([3, 2], [1, 0]) == 100
    assert auroc([1, 0], [3, 2]) == 0
    assert auroc([2, 0], [1]) == 50
    assert auroc([1, 1, 5], [1]) == pytest.approx(100 * (0.5 + 0.5 + 1) / 3)
    assert auroc([], [1]) is None
    assert auroc([1], []) is None


numbers = st.lists(st.integers(-3, 3), min_size=1, max_size=8)


@given(numbers, numbers)
def test_auroc_is_the_share_of_pairs(high, low):
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert auroc(high, low) == pytest.approx(100 * sum(pairs) / len(pairs))


def test_seen_and_unseen_frames_are_told_apart_by_their_margin():
    # classes: 0 background, 1 seen, 2 unseen, 3 validation-unseen, whose score counts as an unseen one
    truth = [[0, 1, 1, 2], [2, 3, -1]]
    scores = [
        [[0, 0, 9, 0], [0, 5, 1, 2], [0, 2, 1, 4], [0, 3, 6, 0]],  # unseen minus seen: 9 (left out), -3, 2, 3
        [[0, 4, 5, 1], [0, 0, 0, 0], [0, 0, 9, 0]],  # 1
    ]
    # unseen frames have 3 and 1, seen frames -3 and 2: of four pairs three are in order
    assert seen_unseen_auroc(truth, scores, [2], [0], [3]) == 75
    assert seen_unseen_auroc([[0, 1]], [[[9.0, 0, 0], [0, 5, 1]]], [2], [0]) is None


def test_the_frequent_quarter():
    assert frequent_classes([50, 7, 9, 3, 0, 9], [1, 2, 3, 4, 5]) == {2}  # one of four with frames; the first of two
    assert frequent_classes([0, 7, 9, 3, 1, 8], [1, 2, 3, 4, 5]) == {2, 5}
    assert frequent_classes([4, 0], [1]) == frozenset()


def test_confusions_by_hand():
    # unseen: hold egg (4). seen with frames: cut ham 10, cut egg 90, hold ham 20, wave 5; frequent: cut egg
    frames = [500, 10, 90, 20, 0, 5]
    truth = [[4, 4, 4, 4, 4, 1]]
    guess = [[4, 2, 3, 0, 2, 2]]
    found = confusions(truth, guess, KITCHEN, [4], [0, 1, 2, 3, 5], frames)
    assert found == {"called_seen": 100, "collapsed": 50}
    two = confusions(truth, guess, KITCHEN, [4], [0, 1, 2, 5], frames)  # hold ham is unseen as well
    assert two == {"called_seen": 75, "collapsed": 50}
    none = confusions(truth, truth, KITCHEN, [4], [0, 1, 2, 3, 5], frames)
    assert none == {"called_seen": None, "collapsed": None}


def test_compositional_gap_by_hand():
    # hold egg: 2 of 4 right. "hold" 3 of 4 (hold, hold, hold, cut); "egg": 2 of 4 and 2 of 2 in cut egg, 4 of 6
    truth = [[4, 4, 4, 4], [2, 2]]
    guess = [[4, 4, 3, 1], [2, 2]]
    assert compositional_gap(truth, guess, KITCHEN, [4]) == pytest.approx(100 * (1 / 2 - 3 / 4 * 4 / 6))
    # cut egg: all right; "cut" 2 of 2
    gap = compositional_gap(truth, guess, KITCHEN, [2, 4])
    assert gap == pytest.approx(50 * (1 / 2 - 3 / 4 * 4 / 6) + 50 * (1 - 4 / 6))
    assert compositional_gap(truth, guess, KITCHEN, [1]) is None
    # a class without an object has one factor
    assert compositional_gap([[5, 5]], [[5, 0]], KITCHEN, [5]) == 0


labellings = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-1, 5), min_size=n, max_size=n), st.lists(st.integers(0, 5), min_size=n, max_size=n)
    )
)


@given(st.lists(labellings, min_size=1, max_size=3), st.sets(st.integers(1, 5), min_size=1))
def test_against_loops(videos, unseen):
    truth, guess = [each[0] for each in videos], [each[1] for each in videos]
    pairs = [(t, g) for true, said in videos for t, g in zip(true, said, strict=True) if t >= 0]
    seen = set(range(6)) - unseen
    frames = [60, 50, 40, 30, 20, 10]
    trained = sorted(seen - {0})  # most frames first
    top = set(trained[: -(-len(trained) // 4)])
    rows = list(NAMES.values())
    wrong = [(t, g) for t, g in pairs if t in unseen and t != g]
    near = [(t, g) for t, g in wrong if g in top and ({*rows[t]} & {*rows[g]}) - {None}]
    found = confusions(truth, guess, KITCHEN, unseen, seen, frames)
    assert (found["called_seen"] is None) == (not wrong)
    if wrong:
        assert found["called_seen"] == pytest.approx(100 * sum(g in seen for _, g in wrong) / len(wrong))
        assert found["collapsed"] == pytest.approx(100 * len(near) / len(wrong))

    gaps = []
    for label in unseen:
        own = [g for t, g in pairs if t == label]
        product = 1.0
        for slot in (0, 1):
            factor = rows[label][slot]
            having = [g for t, g in pairs if factor is not None and rows[t][slot] == factor]
            if own and having:
                product *= sum(rows[g][slot] == factor for g in having) / len(having)
        if own:
            gaps.append(100 * (sum(g == label for g in own) / len(own) - product))
    assert compositional_gap(truth, guess, KITCHEN, unseen) == (pytest.approx(np.mean(gaps)) if gaps else None)
