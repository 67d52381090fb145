"""Decoding with a switching price against all labellings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fact_clip.decoding import decode_switching


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


def test_a_class_that_is_ruled_out_is_never_taken():
    scores = np.array([[-np.inf, -1.0], [-np.inf, -9.0]])
    assert decode_switching(scores, 1.0).tolist() == [1, 1]


def test_one_frame():
    assert decode_switching(np.array([[0.1, 0.3, 0.2]]), 1.0).tolist() == [1]
