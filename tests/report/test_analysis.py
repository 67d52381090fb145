"""Confusions, boundaries and uncertain segments, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.core import Vocabulary
from fact_clip.datasets.statistics import labelled_segments
from fact_clip.evaluation.record import Video
from fact_clip.report.analysis import (
    boundaries,
    confusion,
    factor_confusions,
    least_certain,
    step_of,
)


def labels(text: str) -> np.ndarray:
    """One digit a frame; "." is a frame without a label."""
    return np.array([-1 if letter == "." else int(letter) for letter in text])


def video(truth: str, prediction: str, confidence: float = 0.5, times=None) -> Video:
    true, guess = labels(truth), labels(prediction)
    shares = np.full(len(guess), confidence, np.float16)
    return Video("one", {"truth": true, "prediction": guess}, {"prediction": shares}, times)


def test_confusions_are_counted_and_unlabelled_frames_are_left_out():
    truth, prediction = [labels("0011."), labels("12")], [labels("01112"), labels("22")]
    assert confusion(truth, prediction) == [(1, 1, 2, 3), (0, 0, 1, 2), (0, 1, 1, 2), (1, 2, 1, 3), (2, 2, 1, 1)]


def test_shares_are_of_all_frames_of_a_true_class_though_few_cells_are_left(monkeypatch):
    monkeypatch.setattr("fact_clip.report.analysis.MOST_CELLS", 1)
    names = Vocabulary.from_names(
        ["cut ham", "cut egg"], factors={"cut ham": ("cut", "ham"), "cut egg": ("cut", "egg")}, slots=["verb", "object"]
    )
    confusions = factor_confusions(names, [labels("0000")], [labels("0001")])
    assert confusions["object"]["cells"] == [(0, 0, 3, 4)]


def test_confusions_by_factor():
    names = Vocabulary.from_names(
        ["rest", "cut ham", "cut egg", "move egg with turner"],
        background=["rest"],
        factors={
            "cut ham": ("cut", "ham", None),
            "cut egg": ("cut", "egg", None),
            "move egg with turner": ("move", "egg", "turner"),
        },
        slots=["verb", "object", "tool"],
    )
    found = factor_confusions(names, [labels("1123.")], [labels("2330.")])
    assert found["verb"] == {
        "names": ["cut", "move", "none"],
        "cells": [(0, 1, 2, 3), (0, 0, 1, 3), (1, 2, 1, 1)],  # cut as move twice, cut as cut, move as background
    }
    assert found["object"]["names"] == ["ham", "egg", "none"]
    assert found["object"]["cells"] == [(0, 1, 2, 2), (1, 1, 1, 2), (1, 2, 1, 2)]
    # Neither cut ham nor background has a tool.
    assert found["tool"] == {"names": ["turner", "none"], "cells": [(1, 0, 2, 3), (0, 1, 1, 1), (1, 1, 1, 3)]}
    assert factor_confusions(Vocabulary.from_names(["a", "b"]), [labels("0")], [labels("1")]) == {}


def test_boundaries_of_evenly_timed_videos_are_in_seconds():
    """At 2 frames a second: true changes at 2 s and 4 s, predicted ones at 2.5 s and 3 s."""
    times = np.arange(13) / 2
    found = boundaries([video("000011112222", "000001222222", times=times)])
    assert found["unit"] == "s"
    # The nearest to 2 s is half a second late, that to 4 s a second early.
    assert found["median"] == 0.75


def test_boundaries_of_other_videos_are_in_frames():
    assert boundaries([video("0011", "0111"), video("0000", "0000")]) == {"unit": "frames", "median": 1.0}
    assert boundaries([video("0000", "0000")])["median"] is None
    uneven = video("0011", "0001", times=np.array([0, 0.2, 0.5, 0.9, 1.0]))
    assert boundaries([uneven]) == {"unit": "s", "median": pytest.approx(0.4)}


def test_boundaries_of_videos_without_a_predicted_one_are_infinitely_far():
    hit, missed = video("0011", "0011"), video("0101", "0000")
    assert boundaries([hit, missed])["median"] == "infinite"
    assert boundaries([hit, hit, hit, hit, missed])["median"] == 0.0


def test_times_that_are_even_have_a_step():
    even, uneven = np.arange(5) / 5, np.array([0, 0.2, 0.5, 0.6, 0.8])
    assert (step_of(even), step_of(uneven), step_of(None)) == (0.2, None, None)


def test_least_certain_segments_come_first():
    sure, unsure = video("0011", "0001", 0.75), video("00..", "1122", 0.25)
    rows = least_certain([sure, unsure], most=3)
    assert rows == [
        {"video": 1, "index": 0, "start": 0, "stop": 2, "label": 1, "confidence": 0.25, "true": 0},
        {"video": 1, "index": 1, "start": 2, "stop": 4, "label": 2, "confidence": 0.25, "true": -1},
        {"video": 0, "index": 0, "start": 0, "stop": 3, "label": 0, "confidence": 0.75, "true": 0},
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_boundary_is_that_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    rows = {row: np.repeat(rng.integers(0, 3, 12), 5)[rng.integers(0, 4) :][:50] for row in ("truth", "prediction")}
    rows = {row: np.where(rng.random(50) < 0.1, 3, own[:50]) for row, own in rows.items()}
    edges, guesses = ([run[0] for run in labelled_segments(rows[row])[1:]] for row in ("truth", "prediction"))
    expected = []
    for edge in edges:
        expected.append(min(abs(guess - edge) for guess in guesses))
    assert boundaries([Video("v", rows, {}, None)])["median"] == np.median(expected)


def test_the_edge_of_a_gap_in_the_labels_is_no_boundary():
    assert boundaries([video("0000...000", "0000000000")])["median"] is None
    found = boundaries([video("0000...1122", "00000011122")])
    assert found["median"] == 0  # of 1 and 2 alone
