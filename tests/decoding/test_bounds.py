"""Shapes that disagree and numbers out of bounds are told where they come in."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from fact_clip import decoding
from fact_clip.core import Vocabulary
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

from ..refusals import refused

EYE = np.eye(4, dtype=np.float32)
STEPS = tuple(np.linspace(0, 1, 101).tolist())
PROBABILITIES = torch.full((1, 5, 3), 1 / 3)
VOTERS = Voters(PROBABILITIES, None, torch.ones(1, 5, dtype=torch.bool))
WORDS = Vocabulary.from_names(["rest", "cut ham", "cut egg"], ["rest"])


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: TransportSettings(steps=10**9), "transport.steps"),
        (lambda: TransportSettings(steps=2.5), "transport.steps"),
        (lambda: TransportSettings(radius="x"), "transport.radius"),
        (lambda: TransportSettings(alpha=math.nan), "transport.alpha"),
        (lambda: decoding.transport([["a"]]), "similarity"),
        (lambda: decoding.smoothed(EYE, -1), "window"),
        (lambda: decoding.smoothed(EYE * math.nan, 1), "values"),
        (
            lambda: decoding.similarity_probabilities(EYE, EYE, 1, 0),
            "temperature",
        ),
        (
            lambda: decoding.similarity_probabilities(EYE, EYE[:, :3], 1, 0.1),
            "texts",
        ),
        (
            lambda: decoding.similarity_probabilities(EYE * math.nan, EYE, 1, 0.1),
            "features, texts",
        ),
        (lambda: decoding.mix(PROBABILITIES, torch.ones(4, 3), 0.5), "similarity"),
        (lambda: decoding.mix(PROBABILITIES, torch.ones(5, 3), 1.0), "weight"),
        (lambda: decoding.reliability([0.1, 0.2], [True]), "right"),
        (lambda: decoding.reliability([5.0, 0.2], [True, False]), "confidence"),
        (lambda: decoding.reliability([math.nan], [True]), "confidence"),
        (lambda: decoding.over_segments([0, 1], [0.5]), "values"),
        (lambda: Confidence(1.0, 0.0, (0.1,), 1), "quantiles"),
        (lambda: Confidence(1.0, 0.0, STEPS[::-1], 1), "quantiles"),
        (lambda: Confidence(1.0, 0.0, STEPS, 1).calibrated([1.5]), "scores"),
        (lambda: Confidence(1.0, 0.0, STEPS, 1).least(math.nan), "reject"),
        (
            lambda: Confidence.learned([np.zeros(2, int)], [np.zeros(3)], [np.zeros(2, int)]),
            "video 0",
        ),
        (lambda: Confidence.learned([], [np.zeros(3)], []), "videos"),
        (lambda: Confidence.read(3), "path"),
        (lambda: Calibration.read(None, WORDS), "path"),
        (lambda: Calibration("ab", {}), "seen"),
        (
            lambda: Calibration((), {}).log_prior(WORDS),
            "frames of the slot 'phrase'",
        ),
        (lambda: Known(np.zeros(3), np.array([1, 2])), "frames"),
        (lambda: Known(np.zeros(2), np.array([1, -2])), "frames"),
        (lambda: Known(np.zeros(2), np.zeros(2, int)), "frames"),
        (lambda: Known(np.zeros(2), np.array([1, 2]), np.zeros(3)), "posterior"),
        (lambda: decoding.factor_frames(WORDS, [1, 2]), "frames"),
        (
            lambda: decoding.log_mean_posterior([np.zeros((2, 3)), np.zeros((2, 4))]),
            "log_scores",
        ),
        (lambda: decoding.log_mean_posterior([np.full((2, 3), math.nan)]), "log_scores"),
        (lambda: decoding.log_mean_posterior([np.zeros((2, 3))], 0), "smoothing"),
        (
            lambda: decoding.decode_switching(np.full((2, 3), -np.inf), 1.0),
            "scores",
        ),
        (lambda: decoding.decode_switching(EYE, math.nan), "penalty"),
        (lambda: decoding.fuse(VOTERS, 1.5), "frame_weight"),
        (lambda: decoding.fuse(VOTERS, 0.5, torch.zeros(4)), "offset"),
        (lambda: decoding.fuse(VOTERS, 0.5, np.zeros(3)), "offset"),
        (
            lambda: decoding.fuse_gammas(VOTERS, 0.5, torch.zeros(3), torch.zeros(3), torch.zeros(2)),
            "gammas",
        ),
        (lambda: Voters(PROBABILITIES, None, torch.ones(1, 4)), "voters"),
        (lambda: Voters.joined([]), "voters"),
        (lambda: decoding.with_factors(VOTERS, WORDS, 0.5, 0), "deviation"),
        (
            lambda: decoding.with_factors(VOTERS, Vocabulary.from_names(["a"]), 0.5, 1.0),
            "voters",
        ),
    ],
)
def test_what_does_not_fit_is_told(call, place):
    with refused(place):
        call()


def test_quantiles_of_a_file_rise(tmp_path):
    path = tmp_path / "confidence.json"
    path.write_text(json.dumps(asdict(Confidence(1.0, 0.0, STEPS, 1))))
    assert Confidence.read(path) == Confidence(1.0, 0.0, STEPS, 1)
    path.write_text(json.dumps({**asdict(Confidence(1.0, 0.0, STEPS, 1)), "quantiles": STEPS[::-1]}))
    with refused("confidence.json"):
        Confidence.read(path)


def test_bounds_themselves_are_in():
    assert TransportSettings(steps=10_000, alpha=1).steps == 10_000
    assert decoding.smoothed(EYE, 0).tolist() == EYE.tolist()
    assert decoding.reliability([0, 1], [False, True])["ece"] == 0
    assert Confidence(1.0, 0.0, STEPS, 0).least(1) == 1
    assert decoding.fuse(VOTERS, 1, torch.zeros(3)).shape == (1, 5, 3)


def test_counts_are_counts_and_what_is_right_is_no_confidence():
    vocabulary = Vocabulary.from_names(["a", "b"])
    with refused("frames"):
        factor_frames(vocabulary, np.array([3, -1]))
    with refused("frames of 'a'"):
        factor_log_shares(vocabulary, {"phrase": {"a": -2, "b": 3}})
    with refused("right"):
        reliability(np.array([1.0, 0.0]), np.array([0.3, 0.4]))
