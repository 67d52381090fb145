"""Scores without training: similarities of frames and names in one space, mixed with trained scores, or decoded alone.

The decoder is the unbalanced optimal transport with a temporal term of Xu and Gould, "Temporally Consistent Unbalanced
Optimal Transport for Unsupervised Action Segmentation" (ASOT, CVPR 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d
from torch import Tensor

Matrix = NDArray[np.float32]

TEMPERATURE = 0.01  # Divides cosines before the softmax over actions; CLIP was trained at it

_ROWS = 4096  # compared at once, so that a long file is never in memory whole
_RARE = (
    1e-30  # share of frames below which a class counts as gone, so that its logarithm stays finite
)


def similarity_probabilities(
    features: NDArray[np.floating], texts: Matrix, window: int, temperature: float = TEMPERATURE
) -> Matrix:
    """Return (T, K) softmax over K actions of the cosines of (T, D) and (K, D) in unit rows, smoothed over `window`."""
    cosines = np.empty((len(features), len(texts)), dtype=np.float32)
    for start in range(0, len(features), _ROWS):
        rows = features[start : start + _ROWS].astype(np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
        cosines[start : start + _ROWS] = rows @ texts.T
    share = smoothed(cosines, window) / temperature
    share -= share.max(axis=1, keepdims=True)
    np.exp(share, out=share)
    return (share / share.sum(axis=1, keepdims=True)).astype(np.float32)


def smoothed(values: NDArray[np.floating], window: int) -> NDArray[np.float64]:
    """Return the centred mean of (T, K) over `window` rows, an even number rounded up; near an end, over fewer rows."""
    size = 2 * (window // 2) + 1
    total = uniform_filter1d(values.astype(np.float64), size, axis=0, mode="constant")
    existing = uniform_filter1d(np.ones(len(values)), size, mode="constant")
    return total / existing[:, None]


def mix(scores: Tensor, similarity: Tensor, weight: float) -> Tensor:
    """Mix trained class probabilities (..., T, C) with training-free ones (T, C) to (..., T, C), weight 0 to below 1.

    What the trained scores give to the actions together is shared out anew, by p^(1 - weight) * q^weight of each. A
    class without text (the background) has q = 0: it keeps its trained probability. A class with p = 0 keeps it too.
    """
    action = similarity > 0  # (T, C)
    logs = (1 - weight) * scores.log() + weight * similarity.clamp(
        min=torch.finfo(similarity.dtype).tiny
    ).log()
    share = (
        logs.masked_fill(~action, -torch.inf).softmax(-1).nan_to_num(0.0)
    )  # a list without an action has no shares
    total = (scores * action).sum(-1, keepdim=True)
    return torch.where(action, share * total, scores)


@dataclass(frozen=True)
class TransportSettings:
    """What is minimised over plans T (N, K) with row sums 1/N, and how.

    The objective is 1/2 <alpha * C_v T C_a + (1 - alpha) * C, T> + lam * KL(T^T 1 || 1/K) - epsilon * H(T), where
    C = 1 - similarity; C_v is 1/radius for frames 1 <= |i - j| <= radius * N and 0 elsewhere; C_a is 1 for two
    different actions and 0 for one. The list of actions has no order.
    """

    epsilon: float = 0.07  # weight of the entropy H; the larger, the softer the plan
    alpha: float = 0.5  # weight of the temporal term, in [0, 1]; 0 judges every frame alone
    radius: float = 0.04  # reach of the temporal term, as a share of the video; below one frame there are no neighbours
    lam: float = (
        0.1  # price of departing from equally frequent actions; 0 leaves the frequencies free
    )
    steps: int = 25  # steps of mirror descent
    step: float = 4.0  # the step's length times the largest entry of the gradient at the start


def transport(similarity: ArrayLike, settings: TransportSettings | None = None) -> Matrix:
    """Return the transport plan of a video, (N, K) float32; a row, with sum 1/N, is the soft assignment of a frame.

    Mirror descent from the uniform plan: a multiplicative step, then a scaling of the rows. It works on log(N * T), up
    to a constant of each row, and the box filter C_v T is a difference of cumulative sums: time and memory O(N * K),
    deterministic. The authors' code has twice the weight on C: their (alpha, epsilon, lam) are those / (2 - alpha)
    here.

    `similarity` (N, K), such as probabilities or cosines, is compared with ``epsilon``, so stretch cosines that differ
    by hundredths first.
    """
    chosen = settings or TransportSettings()
    # (K, N): sums over actions and filters over time run along rows
    linear = 1 - np.asarray(similarity).T.astype(np.float32, order="C")
    linear *= 0.5 * np.float32(1 - chosen.alpha)
    n_actions, n_frames = linear.shape
    # the neighbours on each side; .29 * 100 is 28.999999999999996 in floating point, and 29 are meant
    window = min(math.floor(chosen.radius * n_frames + 1e-9), n_frames - 1)
    scale = chosen.alpha / (chosen.radius * n_frames)
    frames = np.arange(n_frames)
    neighbours = np.minimum(frames, window) + np.minimum(frames[::-1], window)  # (N,)
    constant = (scale * neighbours).astype(np.float32)
    # Cumulative sums with a margin on each side. In float32, a sum over thousands of frames would lose the digits that
    # the difference of two sums consists of.
    sums = np.zeros((n_actions, n_frames + 1 + 2 * window), dtype=np.float64)
    inner = sums[:, window + 1 : window + 1 + n_frames]

    def temporal(share: Matrix) -> Matrix:
        """(K, N) alpha * C_v T C_a: T C_a is rowsum(T) - T, and the rows of T sum to 1/N."""
        if not (scale and window):
            return np.zeros_like(share)
        np.cumsum(share, axis=1, dtype=np.float64, out=inner)
        sums[:, window + 1 + n_frames :] = inner[:, -1:]
        result = (sums[:, 2 * window + 1 :] - sums[:, :n_frames]).astype(np.float32)
        result -= share
        result *= np.float32(-scale)
        result += constant
        return result

    share = np.full_like(linear, 1 / n_actions)  # N * T, (K, N), columns sum to 1
    log_share = np.log(share)
    step = _step_size(float((linear + temporal(share)).max()), chosen)
    for _ in range(chosen.steps):
        log_share *= np.float32(1 - step * chosen.epsilon)
        log_share -= np.float32(step) * linear
        log_share -= np.float32(step) * temporal(share)
        frequency = share.mean(axis=1, dtype=np.float64)  # (K,), the plan's T^T 1
        pull = step * chosen.lam * np.log(n_actions * np.maximum(frequency, _RARE))
        log_share -= pull.astype(np.float32)[:, None]
        log_share -= log_share.max(axis=0)
        np.exp(log_share, out=share)
        share /= share.sum(axis=0)
    share /= np.float32(n_frames)
    return np.ascontiguousarray(share.T)


def _step_size(largest: float, settings: TransportSettings) -> float:
    """``step`` / largest entry of the gradient at the start, and at most 1 / (epsilon + lam).

    Beyond that the entropy and the KL overshoot (a short video, without temporal term, would oscillate). Their
    constants are left out of the gradient: they would make the largest entry negative in a long video.
    """
    curvature = settings.epsilon + settings.lam
    longest = 1 / curvature if curvature > 0 else math.inf
    # Similarities above 1 can leave no positive entry.
    step = min(settings.step / largest if largest > 0 else math.inf, longest)
    return step if math.isfinite(step) else settings.step
