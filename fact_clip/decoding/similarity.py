"""Scores without training: similarities of frames and names in one space, and their decoding.

The decoder is the unbalanced optimal transport with a temporal term of Xu and Gould, "Temporally
Consistent Unbalanced Optimal Transport for Unsupervised Action Segmentation" (ASOT, CVPR 2024).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d
from scipy.special import softmax

from fact_clip.core import Floats, Reals, Singles

TEMPERATURE = 0.01  # divides cosines before the softmax over actions; CLIP was trained with it

_ROWS = 4096  # compared at once, so that a long file is never in memory as a whole
_RARE = 1e-30  # smallest share of frames of an action, so that its logarithm stays finite


def similarity_probabilities(
    features: Reals, texts: Singles, window: int, temperature: float = TEMPERATURE
) -> Singles:
    """Compute action probabilities from the cosines of frames and names.

    Args:
        features: (T, D) features of frames.
        texts: (K, D) unit vectors of names.
        window: rows over which cosines are averaged.
        temperature: divides the cosines before the softmax.

    Returns:
        (T, K) probabilities.
    """
    cosines = np.empty((len(features), len(texts)), dtype=np.float32)
    for start in range(0, len(features), _ROWS):
        rows = features[start : start + _ROWS].astype(np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.maximum(norms, np.float32(1e-12))
        cosines[start : start + _ROWS] = rows @ texts.T
    return softmax(smoothed(cosines, window) / temperature, axis=1).astype(np.float32)


def smoothed(values: Reals, window: int) -> Floats:
    """Return the centred moving average of (T, K) values.

    Args:
        values: (T, K) numbers.
        window: rows, an even number rounded up. Near an end the average is over fewer rows.

    Returns:
        (T, K) averages.
    """
    size = 2 * (window // 2) + 1
    total = uniform_filter1d(values.astype(np.float64), size, axis=0, mode="constant")
    existing = uniform_filter1d(np.ones(len(values)), size, mode="constant")
    return total / existing[:, None]


@dataclass(frozen=True)
class TransportSettings:
    """Objective and optimiser of `transport`.

    The objective, over plans T (N, K) with row sums 1/N, is 1/2 <alpha * C_v T C_a +
    (1 - alpha) * C, T> + lam * KL(T^T 1 || 1/K) - epsilon * H(T), where C = 1 - similarity; C_v is
    1/radius for frames 1 <= |i - j| <= radius * N and 0 elsewhere; C_a is 1 for two different
    actions and 0 for one. The list of actions has no order.

    Attributes:
        epsilon: weight of the entropy H; the larger, the softer the plan.
        alpha: weight of the temporal term, in [0, 1]; 0 assigns every frame alone.
        radius: reach of the temporal term, as a share of the video.
        lam: cost of departing from equally frequent actions; 0 leaves the frequencies free.
        steps: steps of mirror descent.
        step: length of a step times the largest entry of the gradient at the start.
    """

    epsilon: float = 0.07
    alpha: float = 0.5
    radius: float = 0.04
    lam: float = 0.1
    steps: int = 25
    step: float = 4.0


def transport(similarity: ArrayLike, settings: TransportSettings = TransportSettings()) -> Singles:
    """Compute the transport plan of a video between frames and actions.

    Mirror descent from the uniform plan: a multiplicative step, then a scaling of the rows. It
    works on log(N * T), up to a constant of each row, and the box filter C_v T is a difference of
    cumulative sums: time and memory O(N * K), deterministic. The authors' code has twice the weight
    on C: their (alpha, epsilon, lam) are those / (2 - alpha) here.

    Args:
        similarity: (N, K), such as probabilities or cosines. It is compared with ``epsilon``, so
            stretch cosines that differ by hundredths first.
        settings: objective and optimiser.

    Returns:
        (N, K) float32; a row, with sum 1/N, is the soft assignment of a frame.
    """
    # (K, N): sums over actions and filters over time run along rows
    linear = 1 - np.asarray(similarity).T.astype(np.float32, order="C")
    linear *= 0.5 * np.float32(1 - settings.alpha)
    n_actions, n_frames = linear.shape
    temporal = _TemporalTerm(n_actions, n_frames, settings)

    share = np.full_like(linear, 1 / n_actions)  # N * T, (K, N), columns sum to 1
    log_share = np.log(share)
    step = _step_size(float((linear + temporal(share)).max()), settings)
    for _ in range(settings.steps):
        log_share *= np.float32(1 - step * settings.epsilon)
        log_share -= np.float32(step) * linear
        log_share -= np.float32(step) * temporal(share)
        frequency = share.mean(axis=1, dtype=np.float64)  # (K,), the plan's T^T 1
        pull = step * settings.lam * np.log(n_actions * np.maximum(frequency, _RARE))
        log_share -= pull.astype(np.float32)[:, None]
        log_share -= log_share.max(axis=0)
        np.exp(log_share, out=share)
        share /= share.sum(axis=0)
    share /= np.float32(n_frames)
    return np.ascontiguousarray(share.T)


class _TemporalTerm:
    """The gradient of the temporal term, alpha * C_v T C_a, of plans (K, N)."""

    def __init__(self, n_actions: int, n_frames: int, settings: TransportSettings) -> None:
        # Neighbours on each side. 0.29 * 100 is 28.999999999999996 in floating point; 29 is meant.
        reach = math.floor(settings.radius * n_frames + 1e-9)
        self.window = min(reach, n_frames - 1)
        self.n_frames = n_frames
        self.scale = settings.alpha / (settings.radius * n_frames)
        frames = np.arange(n_frames)
        left = np.minimum(frames, self.window)
        right = np.minimum(frames[::-1], self.window)
        self.constant = (self.scale * (left + right)).astype(np.float32)  # (N,)
        # Cumulative sums with a margin on each side. In float32, a sum over thousands of frames
        # would lose the digits that the difference of two sums consists of.
        width = n_frames + 1 + 2 * self.window
        self.sums = np.zeros((n_actions, width), dtype=np.float64)

    def __call__(self, share: Singles) -> Singles:
        """Return the gradient (K, N): T C_a is rowsum(T) - T, and the rows of T sum to 1/N."""
        if not (self.scale and self.window):
            return np.zeros_like(share)
        first = self.window + 1
        inner = self.sums[:, first : first + self.n_frames]
        np.cumsum(share, axis=1, dtype=np.float64, out=inner)
        self.sums[:, first + self.n_frames :] = inner[:, -1:]
        difference = self.sums[:, 2 * self.window + 1 :] - self.sums[:, : self.n_frames]
        result = difference.astype(np.float32)
        result -= share
        result *= np.float32(-self.scale)
        result += self.constant
        return result


def _step_size(largest: float, settings: TransportSettings) -> float:
    """Return ``step`` / largest entry of the gradient at the start, at most 1 / (epsilon + lam).

    Beyond that the entropy and the KL overshoot (a short video, without temporal term, would
    oscillate). Their constants are left out of the gradient: they would make the largest entry
    negative in a long video.
    """
    curvature = settings.epsilon + settings.lam
    longest = 1 / curvature if curvature > 0 else math.inf
    # Similarities above 1 can leave no positive entry.
    scaled = settings.step / largest if largest > 0 else math.inf
    step = min(scaled, longest)
    return step if math.isfinite(step) else settings.step
