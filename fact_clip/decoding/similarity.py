"""Scores without training: similarities of frames and names in one space, and their mixture with trained scores."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from torch import Tensor

from fact_clip.core import InputError
from fact_clip.core.arguments import number_of, table_of, whole_of
from fact_clip.core.segments import MOST_FRAMES

_ROWS = 4096  # compared at once, so that a long file is never in memory whole


def similarity_probabilities(
    features: NDArray[np.floating], texts: NDArray[np.float32], window: int, temperature: float
) -> NDArray[np.float32]:
    """Softmax over K actions of the cosines, smoothed over `window` rows: (T, D) and (K, D) in unit rows -> (T, K).

    An InputError for widths that differ, numbers that are not finite, or a temperature of 0 or less.
    """
    features = table_of(features, "features", ("T", "D"), finite=False)
    texts = table_of(texts, "texts", ("K", features.shape[1]), finite=False)
    number_of(temperature, "temperature", "more than 0", math.ulp(0))
    cosines = np.empty((len(features), len(texts)), dtype=np.float32)
    for start in range(0, len(features), _ROWS):
        rows = features[start : start + _ROWS].astype(np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
        cosines[start : start + _ROWS] = rows @ texts.T
    if not np.isfinite(cosines).all():
        raise InputError("features, texts", "NaN or an infinity; expected finite numbers")
    share = smoothed(cosines, window) / temperature
    share -= share.max(axis=1, keepdims=True)
    np.exp(share, out=share)
    found: NDArray[np.float32] = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def smoothed(values: NDArray[np.floating], window: int) -> NDArray[np.float64]:
    """Centred mean of (T, K) over `window` rows, an even number rounded up; near an end, over the rows that exist."""
    values = table_of(values, "values", ("T", "K"))
    size = 2 * (whole_of(window, "window", 0, MOST_FRAMES) // 2) + 1
    total = uniform_filter1d(values.astype(np.float64), size, axis=0, mode="constant")
    existing = uniform_filter1d(np.ones(len(values)), size, mode="constant")
    mean: NDArray[np.float64] = total / existing[:, None]
    return mean


def mix(scores: Tensor, similarity: Tensor, weight: float) -> Tensor:
    """Trained class probabilities (..., T, C) and training-free ones (T, C) to their mixture, (..., T, C).

    What the trained scores give to the actions together is shared out anew, by p^(1 - weight) * q^weight of each. A
    class without text (the background) has q = 0: it keeps its trained probability. A class with p = 0 keeps it too.
    The weight is 0 or more and below 1.
    """
    if number_of(weight, "weight", "a share in [0, 1)", 0, 1) == 1:
        raise InputError("weight", f"{weight}; expected a share in [0, 1)")
    if scores.shape[-2:] != similarity.shape:
        raise InputError(
            "similarity", f"shape {tuple(similarity.shape)}; expected {tuple(scores.shape[-2:])}, as the scores"
        )
    action = similarity > 0  # (T, C)
    logs = (1 - weight) * scores.log() + weight * similarity.clamp(min=torch.finfo(similarity.dtype).tiny).log()
    share = logs.masked_fill(~action, -torch.inf).softmax(-1).nan_to_num(0.0)  # a list without an action has no shares
    total = (scores * action).sum(-1, keepdim=True)
    return torch.where(action, share * total, scores)
