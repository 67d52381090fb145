"""Trained and training-free scores in one."""

import numpy as np
import torch

from fact_clip.decoding.similarity import mix


def test_the_geometric_mean_shares_out_what_the_actions_have():
    scores = torch.tensor([[0.2, 0.6, 0.2]])  # the background is last
    similarity = torch.tensor([[0.9, 0.1, 0.0]])
    one, two = (0.2 * 0.9) ** 0.5, (0.6 * 0.1) ** 0.5
    expected = [[0.8 * one / (one + two), 0.8 * two / (one + two), 0.2]]
    np.testing.assert_allclose(mix(scores, similarity, 0.5), expected, rtol=1e-6)
    np.testing.assert_allclose(mix(scores, similarity, 0.0), scores, rtol=1e-6)
    np.testing.assert_allclose(mix(torch.stack([scores] * 2), similarity, 0.5), [expected] * 2, rtol=1e-6)


def test_a_list_without_an_action_keeps_its_scores():
    assert mix(torch.tensor([[1.0]]), torch.tensor([[0.0]]), 0.5).tolist() == [[1.0]]


def test_a_trained_score_of_zero_stays_zero():
    """So that the largest gamma leaves the seen classes nothing, and the curve reaches its end."""
    assert mix(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1e-38]]), 0.5).tolist() == [[0.0, 1.0]]
    assert mix(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.5, 0.0]]), 0.5).tolist() == [[0.0, 0.0, 1.0]]
