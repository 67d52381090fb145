"""Shapes that disagree and numbers out of bounds are told where they come in."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from fact_clip import decoding
from fact_clip.core import InputError, Vocabulary
from fact_clip.decoding import (
    Calibration,
    Confidence,
    Known,
    TransportSettings,
    Voters,
    factor_frames,
    factor_log_shares,
    reliability,
)

EYE = np.eye(4, dtype=np.float32)
STEPS = tuple(np.linspace(0, 1, 101).tolist())
PROBABILITIES = torch.full((1, 5, 3), 1 / 3)
VOTERS = Voters(PROBABILITIES, None, torch.ones(1, 5, dtype=torch.bool))
WORDS = Vocabulary.from_names(["rest", "cut ham", "cut egg"], ["rest"])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: TransportSettings(steps=10**9), "transport.steps: 1000000000; expected a whole number, 0 to 10,000"),
        (lambda: TransportSettings(steps=2.5), "transport.steps: 2.5; expected a whole number"),
        (lambda: TransportSettings(radius="x"), "transport.radius: 'x'; expected a finite number, 0 or more"),
        (lambda: TransportSettings(alpha=math.nan), "transport.alpha: nan; expected a finite number"),
        (lambda: decoding.transport([["a"]]), "similarity: list of type <U1; expected real numbers, (N, K)"),
        (lambda: decoding.smoothed(EYE, -1), "window: -1; expected a whole number, 0 to 20,000,000"),
        (lambda: decoding.smoothed(EYE * math.nan, 1), "values: NaN or an infinity; expected finite numbers, (T, K)"),
        (
            lambda: decoding.similarity_probabilities(EYE, EYE, 1, 0),
            "temperature: 0; expected more than 0",
        ),
        (
            lambda: decoding.similarity_probabilities(EYE, EYE[:, :3], 1, 0.1),
            "texts: an array of shape (4, 3); expected (K, 4)",
        ),
        (
            lambda: decoding.similarity_probabilities(EYE * math.nan, EYE, 1, 0.1),
            "features, texts: NaN or an infinity; expected finite numbers",
        ),
        (lambda: decoding.mix(PROBABILITIES, torch.ones(4, 3), 0.5), "similarity: shape (4, 3); expected (5, 3)"),
        (lambda: decoding.mix(PROBABILITIES, torch.ones(5, 3), 1.0), "weight: 1.0; expected a share in [0, 1)"),
        (lambda: decoding.reliability([0.1, 0.2], [True]), "right: arrays of shape (2,) and (1,); expected (N,)"),
        (lambda: decoding.reliability([5.0, 0.2], [True, False]), "confidence: numbers out of bounds; expected"),
        (lambda: decoding.reliability([math.nan], [True]), "confidence: numbers out of bounds; expected"),
        (lambda: decoding.over_segments([0, 1], [0.5]), "values: an array of shape (1,); expected (2,)"),
        (lambda: Confidence(1.0, 0.0, STEPS, -1), "frames: -1; expected a whole number"),
        (lambda: Confidence(0.0, 0.0, STEPS, 1), "slope: 0.0; expected a number above 0"),
        (lambda: Confidence(1.0, math.inf, STEPS, 1), "intercept: inf; expected a number"),
        (lambda: Confidence(1.0, 0.0, (0.1,), 1), "quantiles: an array of shape (1,); expected (101,)"),
        (lambda: Confidence(1.0, 0.0, STEPS[::-1], 1), "quantiles: numbers out of order or bounds; expected"),
        (lambda: Confidence(1.0, 0.0, STEPS, 1).calibrated([1.5]), "scores: numbers out of bounds; expected"),
        (lambda: Confidence(1.0, 0.0, STEPS, 1).least(math.nan), "reject: nan; expected a share"),
        (
            lambda: Confidence.learned([np.zeros(2, int)], [np.zeros(3)], [np.zeros(2, int)]),
            "video 0: arrays of shape (2,), (3,), (2,); expected labels, scores and true labels, each (T,)",
        ),
        (lambda: Confidence.learned([], [np.zeros(3)], []), "videos: 0, 1 and 0 videos; expected labels, scores"),
        (lambda: Confidence.read(3), "path: 3; expected a path"),
        (lambda: Calibration.read(None, WORDS), "path: None; expected a path"),
        (lambda: Calibration("ab", {}), "seen: one text, 'ab'; expected a list of names"),
        (lambda: Calibration((), {}, prior_weight=-1), "prior_weight: -1; expected a number from 0"),
        (lambda: Calibration((), {}, gamma=math.nan), "gamma: nan; expected nats"),
        (lambda: Calibration((), {}, prior={"cut ham": math.inf}), "prior of 'cut ham': inf; expected nats"),
        (lambda: Calibration((), {"phrase": {"cut ham": -3}}), "frames of phrase 'cut ham': -3; expected a number of"),
        (
            lambda: Calibration((), {}).log_prior(WORDS),
            "frames of the slot 'phrase': none; expected training frames of one factor at least",
        ),
        (lambda: Known(np.zeros(3), np.array([1, 2])), "frames: an array of shape (2,); expected (3,)"),
        (lambda: Known(np.zeros(2), np.array([1, -2])), "frames: numbers below 0; expected training frames"),
        (lambda: Known(np.zeros(2), np.zeros(2, int)), "frames: none; expected training frames"),
        (lambda: Known(np.zeros(2), np.array([1, 2]), np.zeros(3)), "posterior: an array of shape (3,); expected (2,)"),
        (lambda: decoding.factor_frames(WORDS, [1, 2]), "frames: an array of shape (2,); expected (3,)"),
        (
            lambda: decoding.log_mean_posterior([np.zeros((2, 3)), np.zeros((2, 4))]),
            "log_scores: 3 and 4 columns; expected (T, C) of the same C classes",
        ),
        (lambda: decoding.log_mean_posterior([np.full((2, 3), math.nan)]), "log_scores: NaN or inf; expected finite"),
        (lambda: decoding.log_mean_posterior([np.zeros((2, 3))], 0), "smoothing: 0; expected a share in (0, 1]"),
        (
            lambda: decoding.decode_switching(np.full((2, 3), -np.inf), 1.0),
            "scores: inf, or a frame whose classes are all ruled out; expected a candidate in each frame",
        ),
        (lambda: decoding.decode_switching(EYE, math.nan), "penalty: nan; expected nats, 0 or more"),
        (lambda: decoding.fuse(VOTERS, 1.5), "frame_weight: 1.5; expected a share, 0 to 1"),
        (lambda: decoding.fuse(VOTERS, 0.5, torch.zeros(4)), "offset: shape (4,); expected one number for each of 3"),
        (lambda: decoding.fuse(VOTERS, 0.5, np.zeros(3)), "offset: ndarray; expected a Tensor"),
        (
            lambda: decoding.fuse_gammas(VOTERS, 0.5, torch.zeros(3), torch.zeros(3), torch.zeros(2)),
            "gammas: seen of torch.float32, gammas of shape (2,), 1 videos; expected true and false, (G,), and one",
        ),
        (lambda: Voters(PROBABILITIES, None, torch.ones(1, 4)), "voters: shapes (1, 5, 3), (1, 4); expected (B, T, C)"),
        (lambda: Voters.joined([]), "voters: 0 stretches, 0 with tokens; expected some, all alike"),
        (lambda: decoding.with_factors(VOTERS, WORDS, 0.5, 0), "deviation: 0; expected rows, more than 0"),
        (
            lambda: decoding.with_factors(VOTERS, Vocabulary.from_names(["a"]), 0.5, 1.0),
            "voters: shape (1, 5, 3); expected (1, T, 1)",
        ),
    ],
)
def test_what_does_not_fit_is_told(call, told):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(told)


def test_quantiles_of_a_file_rise(tmp_path):
    path = tmp_path / "confidence.json"
    path.write_text(json.dumps(asdict(Confidence(1.0, 0.0, STEPS, 1))))
    assert Confidence.read(path) == Confidence(1.0, 0.0, STEPS, 1)
    path.write_text(json.dumps({**asdict(Confidence(1.0, 0.0, STEPS, 1)), "quantiles": STEPS[::-1]}))
    with pytest.raises(InputError, match="quantiles that fall") as error:
        Confidence.read(path)
    assert error.value.where == str(path)


def test_bounds_themselves_are_in():
    assert TransportSettings(steps=10_000, alpha=1).steps == 10_000
    assert decoding.smoothed(EYE, 0).tolist() == EYE.tolist()
    assert decoding.reliability([0, 1], [False, True])["ece"] == 0
    assert Confidence(1.0, 0.0, STEPS, 0).least(1) == 1
    assert decoding.fuse(VOTERS, 1, torch.zeros(3)).shape == (1, 5, 3)


def test_counts_are_counts_and_what_is_right_is_no_confidence():
    vocabulary = Vocabulary.from_names(["a", "b"])
    with pytest.raises(InputError, match=r"^frames: -1; expected counts"):
        factor_frames(vocabulary, np.array([3, -1]))
    with pytest.raises(InputError, match=r"^frames of 'a': -2"):
        factor_log_shares(vocabulary, {"phrase": {"a": -2, "b": 3}})
    with pytest.raises(InputError, match=r"^right: numbers of type float64"):
        reliability(np.array([1.0, 0.0]), np.array([0.3, 0.4]))
