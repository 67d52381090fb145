"""How frequent a class is by its frames, its factors' frames, and the model's own posterior: all by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip.decoding.calibration import estimated_log_prior, factor_frames, factor_log_shares, log_mean_posterior

from .words import FRAMES, WORDS

INF = float("inf")


def test_frames_of_each_factor_by_hand():
    assert factor_frames(WORDS, FRAMES) == {
        "verb": {"": 10, "cut": 50, "hold": 0},
        "object": {"": 10, "ham": 30, "egg": 20},
        "tool": {"": 40, "knife": 20},
    }


def test_factors_give_the_product_of_shares():
    prior = factor_log_shares(WORDS, factor_frames(WORDS, FRAMES))
    shares = np.array(
        [
            (1 / 6) * (1 / 6) * (2 / 3),
            (5 / 6) * (1 / 2) * (2 / 3),
            (5 / 6) * (1 / 3) * (1 / 3),
            # "hold" has no frames: the geometric mean of the shares of "" and "cut"
            math.sqrt(1 / 6 * 5 / 6) * (1 / 3) * (2 / 3),
        ]
    )
    np.testing.assert_allclose(prior, np.log(shares))


def test_mean_posterior_by_hand():
    # Two frames in two videos: (.8, .2) and (.4, .6), however the scores are shifted.
    videos = [np.log([[0.8, 0.2]]) + 7, np.log([[0.4, 0.6]]).astype(np.float32)]
    np.testing.assert_allclose(np.exp(log_mean_posterior(videos, smoothing=1e-9)), [0.6, 0.4], rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_mean_posterior(videos, smoothing=0.5)), [0.55, 0.45], rtol=1e-6)
    assert log_mean_posterior(videos, smoothing=1).tolist() == pytest.approx([math.log(1 / 2)] * 2)
    single = np.array([[0.1, 0.7]], dtype=np.float32)  # of which the mean is taken in double precision
    exact = math.log(1e-4 / 2 + (1 - 1e-4) / (1 + math.exp(float(single[0, 1]) - float(single[0, 0]))))
    assert log_mean_posterior([single])[0] == pytest.approx(exact, rel=1e-14)
    gone = log_mean_posterior([np.array([[0.0, -INF]])])
    np.testing.assert_allclose(np.exp(gone), [1 - 5e-5, 5e-5])
    # Frames count, not videos.
    np.testing.assert_allclose(
        np.exp(log_mean_posterior([videos[0].repeat(3, 0), videos[1]], 1e-9)), [0.7, 0.3], rtol=1e-6
    )


def test_frames_count_for_a_trained_class_and_factors_on_the_same_scale_for_another():
    expected = np.log([0.2, 0.4, 0.1, 0.3])
    posterior = np.log([0.5, 0.1, 0.1, 0.3])
    trained = np.log([1 / 6, 3 / 6, 2 / 6])  # of 60 frames
    shift = np.mean(trained - expected[:3])
    of_frames = np.array([*trained, expected[3] + shift])
    np.testing.assert_allclose(estimated_log_prior(expected, FRAMES, posterior), (of_frames + posterior) / 2)
    # A constant in what the factors suggest changes nothing: only the class without frames has it, on another scale.
    np.testing.assert_allclose(estimated_log_prior(expected + 7, FRAMES, posterior), (of_frames + posterior) / 2)


def test_a_class_of_one_frame_is_trained():
    log_shares = estimated_log_prior(np.zeros(2), np.array([1, 3]), np.zeros(2))
    np.testing.assert_allclose(log_shares, np.log([1 / 4, 3 / 4]) / 2)
