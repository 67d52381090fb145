"""Which video to label next, by hand."""

from __future__ import annotations

from fact_clip.inference.what_next import Prediction, most_useful


def test_the_least_certain_video_comes_first():
    predictions = [Prediction("a", "cut", 0.9), Prediction("b", "cut", 0.2), Prediction("c", "cut", 0.5)]
    assert most_useful(predictions, {}) == ["b", "c", "a"]
    assert most_useful([], {}) == []


def test_actions_with_many_labelled_segments_are_worth_less():
    predictions = [Prediction("a", "cut", 0.4), Prediction("b", "stir", 0.6)]
    assert most_useful(predictions, {}) == ["a", "b"]  # .6, .4
    assert most_useful(predictions, {"cut": 3}) == ["b", "a"]  # .6 / 2, .4


def test_a_video_of_other_actions_follows():
    """After "a" was chosen its three segments count as labelled: .5 / 2 for "b" against .4 for "c"."""
    predictions = [Prediction("a", "cut", 0.4)] * 3 + [Prediction("b", "cut", 0.5), Prediction("c", "stir", 0.6)]
    assert most_useful(predictions, {}) == ["a", "c", "b"]
