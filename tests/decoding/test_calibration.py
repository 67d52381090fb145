"""Calibration, and the choice of gamma."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from fact_clip.decoding import Calibration, CandidateSet
from fact_clip.decoding.calibration import choose_gamma_by_cost, factor_frames
from fact_clip.metrics import FrameCounts, SeenUnseenCurve, class_means, curve_of_counts
from fact_clip.metrics.frame import paired

from .words import FRAMES, WORDS


def curve(gamma, seen, unseen):
    return SeenUnseenCurve(*(np.array(values, dtype=float) for values in (gamma, seen, unseen)))


def offset(calibration: Calibration, vocabulary) -> np.ndarray:
    return CandidateSet(vocabulary).calibrated(calibration).offset


def less(scores, seen, gamma):
    """(T, C) scores with gamma subtracted from those of seen classes."""
    return scores - gamma * seen


def test_largest_gamma_within_the_cost_by_hand():
    falling = curve([-1, 0, 1, 2, 3], [90, 80, 70, 68, 0], [0, 0, 10, 20, 50])
    assert choose_gamma_by_cost(falling) == 2  # 68 is 85 % of 80
    assert choose_gamma_by_cost(falling, cost=0.14) == 1
    assert choose_gamma_by_cost(falling, cost=0) == 0
    assert choose_gamma_by_cost(curve([0, 1], [0, 0], [0, 90])) == 0


def biased_videos(seed=0):
    """Scores (T, 6) of a model that favours its seen classes 0 to 3 by 2 nats."""
    rng = np.random.default_rng(seed)
    truth = [rng.integers(0, 6, 150) for _ in range(3)]
    scores = [rng.normal(size=(150, 6)) + 2.0 * np.eye(6)[labels] + 2.0 * (np.arange(6) < 4) for labels in truth]
    return truth, scores


def test_rules_hold_for_what_is_decoded():
    truth, scores = biased_videos()
    seen = np.arange(6) < 4

    def means(gamma):
        return class_means(truth, [less(table, seen, gamma).argmax(1) for table in scores], [4, 5])

    whole = grid_curve(truth, scores, np.arange(-800, 1800) / 200)
    gamma = choose_gamma_by_cost(whole)
    floor = 0.85 * means(0)[0]
    assert gamma > 0
    assert means(gamma)[0] >= floor
    later = whole.gamma[whole.gamma > gamma]
    assert max(means(value)[0] for value in later[:5]) < floor
    assert whole.gamma[0] < 0 < whole.gamma[-1]


def grid_curve(truth, scores, gammas):
    """The curve of the argmax of each frame on a grid of gammas."""
    seen = np.arange(6) < 4
    counts = {}
    for gamma in gammas:
        counts[float(gamma)] = FrameCounts.of(paired(truth, [less(table, seen, gamma).argmax(1) for table in scores]))
    return curve_of_counts(counts, [4, 5])


def test_a_coarse_grid_is_near_a_fine_one():
    truth, scores = biased_videos()
    coarse = grid_curve(truth, scores, np.arange(-80, 180) / 20)
    fine = grid_curve(truth, scores, np.arange(-800, 1800) / 200)
    assert coarse.ausuc() == pytest.approx(fine.ausuc(), abs=1)
    assert choose_gamma_by_cost(coarse) == pytest.approx(choose_gamma_by_cost(fine), abs=0.06)


def test_a_factor_that_nobody_has_heard_of_is_as_one_without_frames():
    more = WORDS.extended(["hold jar"], factors={"hold jar": ("hold", "jar", None)})
    prior = Calibration((), factor_frames(WORDS, FRAMES)).log_prior(more)
    jar = math.log(1 / 6 * 1 / 2 * 1 / 3) / 3
    hold = math.log(1 / 6 * 5 / 6) / 2
    assert prior[4] == pytest.approx(hold + jar + math.log(2 / 3))
    np.testing.assert_allclose(prior[:4], Calibration((), factor_frames(WORDS, FRAMES)).log_prior(WORDS))


def test_offset_takes_gamma_from_seen_names_wherever_they_stand():
    calibration = Calibration(("rest", "cut ham"), factor_frames(WORDS, FRAMES), prior_weight=0.5, gamma=2.0)
    half = -0.5 * calibration.log_prior(WORDS)
    np.testing.assert_allclose(offset(calibration, WORDS), half - [2, 2, 0, 0])
    turned = WORDS.subset(["hold egg", "cut ham", "rest"])
    np.testing.assert_allclose(offset(calibration, turned), half[[3, 1, 0]] - [0, 2, 2])
    assert offset(dataclasses.replace(calibration, prior_weight=0.0, gamma=0.0), WORDS).tolist() == [0, 0, 0, 0]


def test_a_class_has_the_prior_that_is_written_and_a_new_name_that_of_its_factors():
    frames = factor_frames(WORDS, FRAMES)
    calibration = Calibration((), frames, 0.4, 0.0, {"rest": -1.0, "hold egg": -4.0}, 0.5)
    of_factors = Calibration((), frames).log_prior(WORDS)
    expected = [-1.0, of_factors[1] + 0.5, of_factors[2] + 0.5, -4.0]
    np.testing.assert_allclose(calibration.log_prior(WORDS), expected)
    np.testing.assert_allclose(offset(calibration, WORDS), -0.4 * np.array(expected))


def test_calibration_there_and_back(tmp_path):
    path = tmp_path / "calibration.json"
    assert Calibration.read(path, WORDS) is None
    calibration = Calibration(("rest", "cut ham"), factor_frames(WORDS, FRAMES), 0.5, 1.25, {"rest": -0.25}, 0.1)
    path.write_text(json.dumps(dataclasses.asdict(calibration)))
    assert Calibration.read(path, WORDS) == calibration
