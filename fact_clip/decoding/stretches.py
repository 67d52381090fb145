"""Unlabelled stretches of partly labelled videos: what stands around them, and which names fit.

docs/method.md, "Two views of an unlabelled stretch".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from fact_clip.core import Floats, runs
from fact_clip.core.frames import IGNORED
from fact_clip.datasets.labels import Labels

SETTINGS = ((1.0, 0.5), (1.0, 1.0), (0.5, 0.5), (0.5, 1.0))
"""Weights of scores and of neighbours, over which shares are averaged."""

BEGINNING, END = -2, -3
"""What stands before or after a stretch that has no labelled action there."""

_ROUNDS = 20
_SHARED = 0.5  # stretches that are added to the contexts of each name, in equal parts
_POOLED = 2  # stretches that are added to the lengths of each name, as long as all others
_LEAST_VARIANCE = 0.01  # of log lengths, if all stretches are equally long


@dataclass(frozen=True)
class Stretch:
    """A run of frames without a label.

    Attributes:
        video: Index of its video.
        start: First frame.
        stop: Frame after the last one.
        last_action: Labelled action before it, or `BEGINNING`.
        next_action: Labelled action after it, or `END`.
    """

    video: int
    start: int
    stop: int
    last_action: int
    next_action: int


def find_stretches(labels: Labels, background: Sequence[int] = (), video: int = 0) -> list[Stretch]:
    """Find the unlabelled stretches of a video.

    Args:
        labels: (T,) classes, -1 where a frame has no label.
        background: Background classes, which do not count as neighbours.
        video: Index of the video.

    Returns:
        The stretches, in order.
    """
    stretches = []
    last_action = BEGINNING
    waiting: list[tuple[int, int, int]] = []  # start, stop and last action
    for start, stop, label in [*runs(labels), (len(labels), len(labels), END)]:
        if label == IGNORED:
            waiting.append((start, stop, last_action))
        elif label not in background:
            stretches += [Stretch(video, *stretch, next_action=label) for stretch in waiting]
            waiting = []
            last_action = label
    return stretches


def shares_of_names(
    scores: Floats, stretches: Sequence[Stretch], settings: Sequence[tuple[float, float]] = SETTINGS
) -> Floats:
    """Estimate which name each stretch has, by expectation and maximisation.

    Args:
        scores: (N, K) mean log scores of the K names in the N stretches.
        stretches: The N stretches.
        settings: Weights of the scores and of the neighbours. The shares are averaged over them.

    Returns:
        (N, K) shares, whose rows sum to 1.
    """
    last_actions = _one_hot([stretch.last_action for stretch in stretches])
    next_actions = _one_hot([stretch.next_action for stretch in stretches])
    log_length = np.log([stretch.stop - stretch.start for stretch in stretches])
    results = []
    for weight_of_scores, weight in settings:
        weighted = weight_of_scores * scores
        shares: Floats = softmax(weighted, axis=1)
        for _ in range(_ROUNDS):
            neighbours = _log_contexts(shares, last_actions) + _log_contexts(shares, next_actions)
            total = weighted + weight * neighbours + _log_density(shares, log_length)
            shares = softmax(total, axis=1)
        results.append(shares)
    mean: Floats = np.mean(results, axis=0)
    return mean


def _one_hot(contexts: Sequence[int]) -> Floats:
    """Return contexts (N,) as rows (N, M) with a single 1."""
    _, places = np.unique(contexts, return_inverse=True)
    table: Floats = np.eye(places.max() + 1)[places]
    return table


def _log_contexts(shares: Floats, contexts: Floats) -> Floats:
    """Return the log probability (N, K) of the context of each stretch, given each name."""
    counts = shares.T @ contexts  # (K, M)
    added = _SHARED / contexts.shape[1]
    given_name = (counts + added) / (counts.sum(1, keepdims=True) + _SHARED)
    logs: Floats = contexts @ np.log(given_name).T
    return logs


def _log_density(shares: Floats, log_length: Floats) -> Floats:
    """Return the log density (N, K) of the length of each stretch, given each name."""
    counts = shares.sum(0)
    mean = (shares.T @ log_length + _POOLED * log_length.mean()) / (counts + _POOLED)
    deviations = log_length[:, None] - mean
    pooled = max(float(log_length.var()), _LEAST_VARIANCE)
    variance = ((shares * deviations**2).sum(0) + _POOLED * pooled) / (counts + _POOLED)
    logs: Floats = -(deviations**2) / variance / 2 - np.log(variance) / 2
    return logs
