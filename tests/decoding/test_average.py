"""The mean of several models, in which none alone excludes a class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fact_clip.core import Vocabulary
from fact_clip.decoding import (
    CandidateSet,
    DecodeSettings,
    ModelScores,
    Voters,
    decode_gammas,
    decode_scores,
)
from fact_clip.decoding.durations import Durations
from fact_clip.decoding.scores import Scoring, mean_probabilities
from fact_clip.decoding.segment_costs import SegmentCosts
from fact_clip.decoding.switching import StateCosts
from fact_clip.decoding.visits import VisitRules

NAMES = Vocabulary.from_names(["a", "b", "c"])


def scores_of(*tables) -> ModelScores:
    """Scores of models without tokens, with a table (T, C) each."""
    voters = []
    for table in tables:
        frames = torch.tensor(table)[None]
        voters.append(Voters(frames, tokens=None, has_token=torch.ones(frames.shape[:2], dtype=torch.bool)))
    return ModelScores(n_frames=len(tables[0]), voters=tuple(voters))


def test_a_sure_member_excludes_nothing():
    """Two of three models name class a, and the third one is sure that it is not."""
    two = [[0.999, 0.001, 0.0]]
    one = [[0.0, 1.0, 0.0]]
    tables = [torch.tensor(table) for table in (two, two, one)]
    for smoothing, label in ((0.0, 1), (0.1, 0)):
        assert mean_probabilities(tables, smoothing).argmax(1).tolist() == [label]


@pytest.mark.parametrize("n_models", [1, 2, 3])
def test_the_mean_by_hand(n_models):
    tables = np.random.default_rng(n_models).dirichlet([0.3, 0.3, 0.3], size=(n_models, 7)).astype(np.float32)
    smoothed = 0.85 * tables.astype(np.float64) + 0.15 / 3
    product = smoothed.prod(0) ** (1 / n_models)
    expected = product / product.sum(-1, keepdims=True)
    np.testing.assert_allclose(mean_probabilities([*map(torch.from_numpy, tables)], 0.15).numpy(), expected, atol=1e-6)


def test_gammas_are_decoded_with_the_same_mean():
    tables = np.random.default_rng(0).dirichlet([0.2, 0.2, 0.2], size=(2, 40)).astype(np.float32)
    scores = scores_of(*tables)
    trained = np.array([True, True, False])
    candidates = CandidateSet(NAMES, scoring=Scoring(trained=trained))
    settings = DecodeSettings(switch_penalty=1.0)
    gammas = (-2.0, 0.0, 1.5)
    together = decode_gammas(scores, candidates, trained, gammas, settings)
    for gamma, labels in zip(gammas, together, strict=True):
        alone = decode_scores(scores, candidates.with_gamma(gamma), settings)[0]
        assert labels.tolist() == alone.tolist()


def labels_with_each_gamma(tables, costs: SegmentCosts, gammas, penalty: float):
    """Labels with several gammas in one call, and with one call for each gamma."""
    scores = scores_of(*tables)
    trained = np.arange(tables.shape[-1]) > 0
    vocabulary = Vocabulary.from_names([f"class {index}" for index in range(tables.shape[-1])])
    candidates = CandidateSet(vocabulary, scoring=Scoring(trained=trained), costs=costs)
    settings = DecodeSettings(switch_penalty=penalty)
    together = decode_gammas(scores, candidates, trained, gammas, settings)
    one_by_one = [decode_scores(scores, candidates.with_gamma(gamma), settings)[0] for gamma in gammas]
    return together, np.stack(one_by_one)


def test_gammas_leave_out_the_classes_that_one_gamma_leaves_out():
    """Class 2 has 4 % everywhere: with a dear change it is the cheapest labelling, but it is left out."""
    first = [0.96, 0.0, 0.04]
    second = [0.0, 0.96, 0.04]
    tables = np.array([[first] * 3 + [second] * 3], np.float32)
    costs = SegmentCosts(StateCosts.plain(30 * (1 - np.eye(3))))
    together, one_by_one = labels_with_each_gamma(tables, costs, (0.0, 0.5), penalty=1.0)
    assert one_by_one.tolist() == [[0, 0, 0, 1, 1, 1]] * 2
    assert together.tolist() == one_by_one.tolist()


@pytest.mark.parametrize("seed", range(30))
def test_gammas_are_decoded_as_one_gamma_with_all_costs(seed):
    """Peaked scores and dear changes, so that classes are left out with some gammas and not with others."""
    rng = np.random.default_rng(seed)
    n_classes = 6
    tables = rng.dirichlet(np.full(n_classes, 0.15), size=(1, 25)).astype(np.float32)
    lengths = Durations(rng.uniform(1, 3, n_classes), np.full(n_classes, 0.5))
    rules = VisitRules(np.arange(n_classes) == 1, np.arange(n_classes) > 3)
    changes = StateCosts.plain(rng.uniform(0.5, 20, (n_classes, n_classes)) * (1 - np.eye(n_classes))).closed()
    gammas = np.linspace(-4, 4, 9).tolist()
    for costs in (
        SegmentCosts(changes),
        SegmentCosts(changes, lengths),
        SegmentCosts(None, lengths),
        SegmentCosts(changes, None, rules),
    ):
        together, one_by_one = labels_with_each_gamma(tables, costs, gammas, penalty=1.5)
        assert together.tolist() == one_by_one.tolist()
