"""Scores without training: similarities of frames and names in a joint space."""

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.special import softmax

from fact_clip.core import Floats, Reals, Singles

TEMPERATURE = 0.01  # divides cosines before the softmax over actions, as in the training of CLIP

_ROWS = 4096  # rows compared at once, so that a long file is never loaded as a whole


def similarity_probabilities(
    features: Reals, texts: Singles, window: int, temperature: float = TEMPERATURE
) -> Singles:
    """Compute action probabilities from the cosines of frames and names.

    Args:
        features: Features of frames, (T, D).
        texts: Unit vectors of names, (K, D).
        window: Number of rows over which cosines are averaged.
        temperature: Divisor of the cosines before the softmax.

    Returns:
        Probabilities, (T, K).
    """
    cosines = np.empty((len(features), len(texts)), dtype=np.float32)
    for start in range(0, len(features), _ROWS):
        rows = features[start : start + _ROWS].astype(np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.maximum(norms, np.float32(1e-12))
        cosines[start : start + _ROWS] = rows @ texts.T
    return softmax(smoothed(cosines, window) / temperature, axis=1).astype(np.float32)


def smoothed(values: Reals, window: int) -> Floats:
    """Return the centred moving average of values.

    Args:
        values: Numbers, (T, K).
        window: Number of rows. An even number is rounded up. Near an end, fewer rows are averaged.

    Returns:
        Averages, (T, K).
    """
    size = 2 * (window // 2) + 1
    total = uniform_filter1d(values.astype(np.float64), size, axis=0, mode="constant")
    existing = uniform_filter1d(np.ones(len(values)), size, mode="constant")
    return total / existing[:, None]
