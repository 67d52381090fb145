"""Confidences: the fit, the threshold and the calibration error, by hand and on made-up scores."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from fact_clip.core.io import read_value
from fact_clip.decoding import Confidence, confidence, reliability
from fact_clip.decoding.confidence import over_segments

from ..refusals import refused


def made_up(seed: int, videos: int, n_frames: int = 400) -> tuple[list, list, list]:
    """Labels, scores and truth: a frame with score p is right with probability 1 / (1 + exp(1 - logit(p) / 2))."""
    rng, labels, scores, truth = np.random.default_rng(seed), [], [], []
    for _ in range(videos):
        own = np.repeat(rng.integers(0, 5, n_frames // 20), 20)
        score = rng.uniform(0.05, 0.999, n_frames)
        right = rng.uniform(size=n_frames) < expit(0.5 * logit(score) - 1)
        labels.append(own)
        scores.append(score)
        truth.append(np.where(right, own, own + 1))
    return labels, scores, truth


def test_the_fit_finds_what_made_the_scores():
    found = Confidence.learned(*made_up(0, 60))
    assert found.slope == pytest.approx(0.5, abs=0.02)
    assert found.intercept == pytest.approx(-1, abs=0.05)
    assert found.frames == 60 * 400
    np.testing.assert_allclose(found.calibrated([0.5, 0.9]), expit([-1, 0.5 * logit(0.9) - 1]), atol=0.02)


def test_the_calibration_error_falls_on_other_videos():
    found = Confidence.learned(*made_up(0, 20))
    labels, scores, truth = map(np.concatenate, made_up(1, 20))
    before = reliability(scores, labels == truth)["ece"]
    after = reliability(found.calibrated(scores), labels == truth)["ece"]
    assert before > 20
    assert after < 3


def test_unlabelled_frames_are_left_out():
    labels, scores, truth = made_up(0, 3)
    hidden = [np.where(np.arange(len(own)) < 100, -1, own) for own in truth]
    cut = [[own[100:] for own in part] for part in (labels, scores, truth)]
    found, alone = Confidence.learned(labels, scores, hidden), Confidence.learned(*cut)
    assert (found.slope, found.intercept, found.frames) == pytest.approx((alone.slope, alone.intercept, alone.frames))


def test_videos_without_an_error_give_finite_numbers():
    """Two segments at score 1/2, so the best b makes 2 log(1 + exp(-b)) + 2 b^2 least: b = expit(-b) / 2."""
    labels, scores = [np.zeros(2, dtype=np.int64)] * 2, [np.full(2, 0.5)] * 2
    found = Confidence.learned(labels, scores, labels)
    assert found.slope == pytest.approx(1, abs=1e-4)
    assert found.intercept == pytest.approx(expit(-found.intercept) / 2, abs=1e-4)
    assert found.intercept == pytest.approx(0.2223, abs=1e-3)
    worst = Confidence.learned(labels, scores, [np.ones(2, dtype=np.int64)] * 2)
    assert worst.intercept == pytest.approx(-0.2223, abs=1e-3)
    assert worst.quantiles == (1.0,) * 101  # nothing is sure enough


def few(seed: int, videos: int) -> list[confidence.JudgedVideo]:
    """Logits, whether right, and three segments for each video: so few that the prior counts."""
    rng = np.random.default_rng(seed)
    logits = [rng.normal(2, 1, rng.integers(5, 9)) for _ in range(videos)]
    return [confidence.JudgedVideo(own, rng.uniform(size=len(own)) < expit(own / 3), 3) for own in logits]


def test_the_fit_has_the_highest_posterior():
    videos = few(0, 2)

    def loss(values):
        """Six segments' worth of the mean of -log p, and a normal prior of deviation 1/2 around 1 and 0."""
        odds = [
            (values[0] * x + values[1], right)
            for video in videos
            for x, right in zip(video.logits, video.is_right, strict=True)
        ]
        likelihood = sum(-np.log(expit(z if r else -z)) for z, r in odds) / len(odds)
        return 6 * likelihood + 2 * (values[0] - 1) ** 2 + 2 * values[1] ** 2

    best = minimize(loss, [0.5, 0.5], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12}).x
    assert abs(best - [1, 0]).min() > 0.05  # neither number stays where it began
    assert confidence._fit(videos) == pytest.approx(tuple(best), abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 10, 23])
def test_the_gain_is_that_of_fits_to_the_other_parts(n, monkeypatch):
    """Every tenth video is a part; a stand-in for the fit says which videos it was given."""
    videos = few(1, n)
    numbers = {id(video): place for place, video in enumerate(videos)}

    def stand_in(others):
        seen = [numbers[id(video)] for video in others]
        return 1 + sum(seen) / 100, len(seen) / 100

    monkeypatch.setattr(confidence, "_fit", stand_in)
    expected = 0.0
    for place, video in enumerate(videos):
        others = [other for other in range(n) if other % min(10, n) != place % min(10, n)]
        slope, intercept = 1 + sum(others) / 100, len(others) / 100
        for x, r in zip(video.logits, video.is_right, strict=True):
            before, after = expit(x if r else -x), expit((slope * x + intercept) * (1 if r else -1))
            expected += np.log(after) - np.log(before)
    assert confidence._gain(videos) == pytest.approx(expected)


def test_scores_stay_where_nothing_tells_that_a_fit_helps():
    """A single video, or two that say the opposite of each other."""
    labels, scores, truth = made_up(0, 1)
    found = Confidence.learned(labels, scores, truth)
    assert (found.slope, found.intercept) == (1.0, 0.0)
    np.testing.assert_allclose(found.calibrated(scores[0]), scores[0])
    whole = over_segments(labels[0], scores[0])
    assert found.least(0.5) == pytest.approx(np.median(whole[labels[0] == truth[0]]))
    n_frames = 100
    own = [np.zeros(n_frames, dtype=np.int64)] * 2
    found = Confidence.learned(own, [np.full(n_frames, 0.5)] * 2, [own[0], own[0] + 1])
    assert (found.slope, found.intercept) == (1.0, 0.0)


def test_a_higher_score_is_never_a_lower_confidence():
    score = np.linspace(0.05, 0.95, 50)
    labels, truth = [np.zeros(50, dtype=np.int64)] * 2, (score > 0.5).astype(np.int64)
    found = Confidence.learned(labels, [score] * 2, [truth] * 2)  # the surer the more often wrong
    assert found.slope > 0
    assert (np.diff(found.calibrated(score)) > 0).all()


def test_a_share_of_the_correctly_named_frames_is_below_the_threshold():
    labels, scores, truth = made_up(3, 10)
    found = Confidence.learned(labels, scores, truth)
    whole = [over_segments(own, found.calibrated(sure)) for own, sure in zip(labels, scores, strict=True)]
    kept = np.concatenate(whole)[np.concatenate([a == b for a, b in zip(labels, truth, strict=True)])]
    for share in (0.05, 0.333, 0.8):
        assert (kept < found.least(share)).mean() == pytest.approx(share, abs=0.02)
    assert found.least(0) == kept.min()
    assert found.least(1) == kept.max()


def test_scores_at_their_ends_and_in_single_precision():
    as_they_are = Confidence(1.0, 0.0, (), 0)
    np.testing.assert_allclose(as_they_are.calibrated([0.0, 1e-7, 0.5]), [1e-6, 1e-6, 0.5])
    np.testing.assert_allclose(1 - as_they_are.calibrated([1.0, 1 - 1e-7]), [1e-6, 1e-6])
    single = np.array([0.1, 0.7], dtype=np.float32)
    np.testing.assert_allclose(as_they_are.calibrated(single), single.astype(np.float64), rtol=1e-14)
    assert as_they_are.calibrated(single).dtype == np.float64


def test_means_over_segments():
    labels, values = np.array([2, 2, 1, 1, 1, 2]), np.array([0.0, 1.0, 0.3, 0.6, 0.9, 0.5])
    np.testing.assert_allclose(over_segments(labels, values), [0.5, 0.5, 0.6, 0.6, 0.6, 0.5])


def test_bins_by_hand():
    """Two bins: .25 twice with one right (off by .25), 1.0 twice, both right (off by 0), so the error is 12.5 %."""
    found = reliability(np.array([0.25, 0.25, 1.0, 1.0]), np.array([True, False, True, True]))
    assert found["ece"] == pytest.approx(12.5)
    assert found["bins"][2] == {"from": 0.2, "to": 0.3, "frames": 2, "confidence": 0.25, "accuracy": 0.5}
    assert found["bins"][9] == {"from": 0.9, "to": 1.0, "frames": 2, "confidence": 1.0, "accuracy": 1.0}
    assert found["bins"][0] == {"from": 0.0, "to": 0.1, "frames": 0, "confidence": None, "accuracy": None}
    assert len(found["bins"]) == 10


def test_a_file_and_damaged_ones(tmp_path):
    path, found = tmp_path / "confidence.json", Confidence.learned(*made_up(0, 1))
    path.write_text(json.dumps(asdict(found)))
    assert read_value(Confidence, path) == found
    path.write_text(json.dumps(asdict(found) | {"quantiles": [0.5]}))
    with refused("confidence.json"):
        read_value(Confidence, path)
