"""Where unseen classes are lost: figures by hand, and against loops over frames and pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.metrics import auroc, seen_unseen_auroc, share_called_seen


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


def test_share_called_seen_by_hand():
    # Five of the six frames of class 4 are wrong: named 2, 3, 0, 2 and 5; then class 3 is unseen as well.
    truth = [[4, 4, 4, 4, 4, 1], [4, -1]]
    guess = [[4, 2, 3, 0, 2, 2], [5, 2]]
    assert share_called_seen(truth, guess, [4], [0, 1, 2, 3, 5]) == 100
    assert share_called_seen(truth, guess, [4], [0, 1, 2, 5]) == 80
    assert share_called_seen(truth, truth, [4], [0, 1, 2, 3, 5]) is None


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
    wrong = [g for t, g in pairs if t in unseen and t != g]
    found = share_called_seen(truth, guess, unseen, seen)
    expected = 100 * sum(g in seen for g in wrong) / len(wrong) if wrong else None
    assert found == (pytest.approx(expected) if wrong else None)
