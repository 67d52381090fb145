"""Transport decoding against a dense float64 version with its full N x N and K x K matrices."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.core import Vocabulary
from fact_clip.decoding import CandidateSet, DecodeSettings, ModelScores, decode_scores
from fact_clip.decoding.similarity import TransportSettings, transport

DEFAULT = TransportSettings()


class Dense:
    """The objective and its mirror descent word by word."""

    def __init__(self, similarity, settings):
        self.settings = settings
        self.N, self.K = np.shape(similarity)
        frames = np.arange(self.N)
        distance = abs(frames[:, None] - frames)
        reach = int(Fraction(str(settings.radius)) * self.N)
        self.C_v = ((distance >= 1) & (distance <= reach)) / settings.radius
        self.C_a = np.array([[float(k != m) for m in range(self.K)] for k in range(self.K)])
        self.C = 1 - np.asarray(similarity, dtype=np.float64)
        self.uniform = np.full((self.N, self.K), 1 / (self.N * self.K))

    def objective(self, plan):
        s, actions = self.settings, plan.sum(0)
        fit = s.alpha * self.C_v @ plan @ self.C_a + (1 - s.alpha) * self.C
        kl = sum(q * np.log(q * self.K) for q in actions if q > 0)
        entropy = -sum(value * np.log(value) for value in plan.ravel() if value > 0)
        return 0.5 * (fit * plan).sum() + s.lam * kl - s.epsilon * entropy

    def gradient(self, plan):
        """Up to a constant, zero for the entropy and the KL of the uniform plan."""
        s = self.settings
        return (
            s.alpha * self.C_v @ plan @ self.C_a
            + 0.5 * (1 - s.alpha) * self.C
            + s.lam * np.log(self.K * plan.sum(0))
            + s.epsilon * np.log(plan / self.uniform)
        )

    def plan(self):
        s, plan = self.settings, self.uniform
        steepest = self.gradient(plan).max()
        step = s.step / steepest if steepest > 0 else np.inf
        if s.epsilon + s.lam > 0:
            step = min(step, 1 / (s.epsilon + s.lam))
        for _ in range(s.steps):
            plan = plan * np.exp(-step * self.gradient(plan))
            plan /= self.N * plan.sum(1, keepdims=True)
        return plan


def video(N, K, segments=4, noise=0.3, seed=0):
    """(similarity, labels) of a video whose true action stands out by less than the noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.permutation(max(K, segments))[:segments] % K, -(-N // segments))[:N]
    similarity = 0.3 + noise * rng.normal(size=(N, K))
    similarity[np.arange(N), labels] += 0.3
    return similarity, labels


@pytest.mark.parametrize(
    "settings",
    [
        DEFAULT,
        TransportSettings(alpha=0.3, epsilon=0.04, lam=0.05),
        TransportSettings(alpha=0.7, radius=0.1),
        TransportSettings(alpha=0),
        TransportSettings(alpha=1, radius=0.2),
        TransportSettings(lam=0),
        TransportSettings(radius=3.0),  # a window larger than the video
        TransportSettings(radius=0.01),  # less than a frame: no neighbour
        TransportSettings(radius=0.29, steps=5),  # .29 * 100 is 28.999999999999996
        TransportSettings(steps=0),
        TransportSettings(step=0.5, steps=60),
    ],
    ids=str,
)
@pytest.mark.parametrize(("N", "K"), [(1, 1), (1, 4), (2, 3), (9, 1), (60, 5), (100, 3)])
def test_is_the_dense_one(settings, N, K):
    similarity, _ = video(N, K, segments=min(N, 4))
    dense = Dense(similarity, settings).plan()
    plan = transport(similarity, settings)
    assert plan.shape == (N, K)
    assert plan.dtype == np.float32
    np.testing.assert_allclose(N * plan, N * dense, atol=2e-5)


@given(
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(0, 10**6),
    st.builds(
        TransportSettings,
        epsilon=st.floats(0.02, 0.5),
        alpha=st.floats(0, 1),
        radius=st.sampled_from([0.02, 0.05, 0.1, 0.5, 2.0]),
        lam=st.floats(0, 0.3),
        steps=st.integers(0, 12),
    ),
)
def test_is_the_dense_one_anywhere(N, K, seed, settings):
    similarity = np.random.default_rng(seed).uniform(-1, 1, size=(N, K))
    plan = transport(similarity, settings)
    np.testing.assert_allclose(N * plan, N * Dense(similarity, settings).plan(), atol=1e-4)
    np.testing.assert_allclose(plan.sum(1), 1 / N, rtol=1e-5)
    assert (plan >= 0).all()


def test_two_frames_by_hand():
    # No neighbour, no price of frequencies: a row minimises 1/2 <C, T> - epsilon H(T), hence softmax(S / (2 epsilon)).
    settings = TransportSettings(alpha=0, lam=0, epsilon=0.25, steps=200)
    odds = np.exp(0.6 / 0.5)
    plan = transport([[0.8, 0.2], [0.1, 0.1]], settings)
    np.testing.assert_allclose(plan, [[odds / (1 + odds) / 2, 1 / (1 + odds) / 2], [0.25, 0.25]], rtol=1e-5)


@pytest.mark.parametrize("settings", [DEFAULT, TransportSettings(alpha=0.7), TransportSettings(lam=0)])
def test_the_objective_falls_to_a_stationary_plan(settings):
    similarity, _ = video(50, 4, noise=0.1)
    dense = Dense(similarity, settings)
    values = [dense.objective(transport(similarity, replace(settings, steps=n)).astype(np.float64)) for n in range(40)]
    assert (np.diff(values) < 1e-6).all()
    assert values[25] < values[0] - 0.05
    plan = transport(similarity, replace(settings, steps=400)).astype(np.float64)
    rng = np.random.default_rng(1)
    for _ in range(20):
        other = rng.dirichlet(np.ones(4), size=50) / 50
        near = plan + 1e-3 * (other - plan)
        assert dense.objective(near) > dense.objective(plan) - 1e-6


def test_long_videos_keep_their_digits():
    similarity, _ = video(3000, 4, segments=8)
    settings = TransportSettings(radius=0.002, steps=8)
    np.testing.assert_allclose(
        3000 * transport(similarity, settings), 3000 * Dense(similarity, settings).plan(), atol=5e-6
    )


def test_noise_is_smoothed_and_the_boundary_stays():
    rng = np.random.default_rng(3)
    labels = np.repeat([1, 0, 2], [80, 40, 80])
    similarity = 0.3 + 0.25 * rng.normal(size=(200, 3))
    similarity[np.arange(200), labels] += 0.3
    before, after = similarity.argmax(1), transport(similarity).argmax(1)
    assert np.count_nonzero(np.diff(before)) > 60
    assert np.count_nonzero(np.diff(after)) == 2
    assert (before == labels).mean() < 0.8
    assert (after == labels).mean() > 0.97
    # Without the temporal term the noise is still there.
    alone = transport(similarity, TransportSettings(alpha=0)).argmax(1)
    assert np.count_nonzero(np.diff(alone)) > 60


def test_extreme_similarities_stay_finite():
    similarity = np.zeros((30, 3))
    similarity[:, 1] = 1e4
    for settings in (
        DEFAULT,
        TransportSettings(epsilon=0),
        TransportSettings(epsilon=0, lam=0),
        TransportSettings(lam=5),
    ):
        plan = transport(similarity, settings)
        assert np.isfinite(plan).all()
        assert (plan.argmax(1) == 1).all()


@pytest.mark.parametrize(("best", "threshold"), [(0.40, 0.41), (0.85, 0.5), (0.85, 1.0), (0.40, 0.3)])
@pytest.mark.parametrize("background", [(), ("rest",)])
def test_a_threshold_is_compared_with_the_probabilities_themselves(best, threshold, background):
    """Transport makes classes equally frequent; the threshold is no class of it."""
    names = (*background, "peel", "cut", "stir")
    rest = (1 - best) / (len(names) - 1)
    rows = np.full((40, len(names)), rest, np.float32)
    rows[:20, -2] = best
    rows[20:, -1] = best
    candidates = CandidateSet(Vocabulary.from_names(names, background))
    scores = ModelScores(n_frames=40, similarity=torch.from_numpy(rows), rate=1.0)
    labels, _ = decode_scores(scores, candidates, DecodeSettings(threshold=threshold))
    is_background = labels == (0 if background else len(names))
    assert is_background.all() == (threshold > best)
    if not background:
        assert is_background.any() == (threshold > best)
