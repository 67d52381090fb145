"""Names of unlabelled stretches, from two views: a teacher's scores, and what stands around them.

docs/method.md, "Two views of an unlabelled stretch".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from fact_clip.core import Floats, runs
from fact_clip.core.frames import IGNORED
from fact_clip.datasets.labels import Labels
from fact_clip.decoding.switching import decode_switching

SETTINGS = ((1.0, 0.5), (1.0, 1.0), (0.5, 0.5), (0.5, 1.0))
"""Weights of scores and of neighbours, over which shares are averaged."""

BEGINNING, END = -2, -3
"""What stands before or after a stretch that has no labelled action there."""

_EXCLUDED = -1e4  # nats per frame
_ROUNDS = 20
_SHARED = 0.5  # stretches that are added to the contexts of each name, in equal parts
_POOLED = 2  # stretches that are added to the lengths of each name, as long as all others
_LEAST_VARIANCE = 0.01  # of log lengths, if all stretches are equally long


@dataclass(frozen=True)
class OpenVideo:
    """A partly labelled video whose other frames have one of some names.

    Attributes:
        labels: (T,) classes, -1 where a frame has no label.
        scores: (N, K) mean log scores of the K names in its N stretches without a label.
        decoded: (T,) class of each frame by the scores; labels where there are some.
    """

    labels: Labels
    scores: Floats
    decoded: Labels

    @classmethod
    def scored(cls, labels: Labels, table: Floats, names: Labels, penalty: float) -> OpenVideo:
        """Return the video with the names that a teacher's scores give.

        Args:
            labels: (T,) classes, -1 where a frame has no label.
            table: (T, C) log scores of all classes.
            names: (K,) classes that frames without a label may have.
            penalty: Penalty of a change of name, in nats.
        """
        scores = log_softmax(table[:, names], axis=1)
        rows = np.full(table.shape, _EXCLUDED)
        rows[:, names] = scores
        is_known = labels != IGNORED
        rows[is_known] = _EXCLUDED
        rows[is_known, labels[is_known]] = 0.0
        means = [
            scores[start:stop].mean(0) for start, stop, label in runs(labels) if label == IGNORED
        ]
        means_by_name = np.array(means).reshape(-1, len(names))
        return cls(labels, means_by_name, decode_switching(rows, penalty))


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


def name_stretches(
    videos: Sequence[OpenVideo], names: Labels, background: Sequence[int]
) -> list[Labels]:
    """Find the names of the unlabelled frames of some videos by both views.

    Args:
        videos: The videos.
        names: (K,) classes that frames without a label may have.
        background: Background classes.

    Returns:
        Classes (T,) of each video; labels where there are some.
    """
    named = [video.labels.copy() for video in videos]
    stretches = []
    for index, video in enumerate(videos):
        stretches += find_stretches(video.labels, background, index)
    if not stretches:
        return named
    scores = np.concatenate([video.scores for video in videos])
    best = shares_of_names(scores, stretches).argmax(1)
    for part, name in zip(stretches, names[best], strict=True):
        named[part.video][part.start : part.stop] = name
    return named


def count_divided(videos: Sequence[OpenVideo]) -> tuple[int, int]:
    """Return how many unlabelled stretches have several names by the scores, and how many exist."""
    n_divided = n_stretches = 0
    for video in videos:
        for start, stop, label in runs(video.labels):
            if label == IGNORED:
                n_stretches += 1
                n_divided += len(np.unique(video.decoded[start:stop])) > 1
    return n_divided, n_stretches


@dataclass(frozen=True)
class Trial:
    """Labelled classes that a model never learned, as if they had no label.

    Attributes:
        videos: The videos without the labels of these classes.
        names: (K,) the classes.
        truth: Labels (T,) of each video.
    """

    videos: Sequence[OpenVideo]
    names: Labels
    truth: Sequence[Labels]

    def n_right(self, named: Sequence[Labels]) -> int:
        """Return how many frames of these classes get their name."""
        return sum(
            int(((labels == truth) & np.isin(truth, self.names)).sum())
            for labels, truth in zip(named, self.truth, strict=True)
        )


def do_neighbours_help(trials: Sequence[Trial], background: Sequence[int]) -> bool:
    """Return whether neighbours name labelled classes as well as the scores alone, or better.

    No hidden label is read.

    Args:
        trials: Classes that a model of the teacher never learned. Without any, the result is True.
        background: Background classes.
    """
    by_scores = by_both = 0
    for trial in trials:
        by_scores += trial.n_right([video.decoded for video in trial.videos])
        by_both += trial.n_right(name_stretches(trial.videos, trial.names, background))
    return by_both >= by_scores
