"""Names of unlabelled stretches, from two views: a teacher's scores, and what stands around them.

docs/method.md, "Two views of an unlabelled stretch".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from fact_clip.core import Floats, Integers, runs
from fact_clip.datasets.labels import IGNORED, Labels
from fact_clip.decoding.switching import decode_switching

WEIGHTS = (0.5, 1.0)
"""Weights of the neighbours that are tried. The first one holds if no trial is possible."""

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
        scores: (T, K) log scores of the K names.
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
        return cls(labels, scores, decode_switching(rows, penalty))


@dataclass(frozen=True)
class Stretch:
    """A run of frames without a label.

    Attributes:
        video: Index of its video.
        start: First frame.
        stop: Frame after the last one.
        before: Labelled action before it, or `BEGINNING`.
        after: Labelled action after it, or `END`.
    """

    video: int
    start: int
    stop: int
    before: int
    after: int


def find_stretches(labels: Labels, background: Sequence[int] = (), video: int = 0) -> list[Stretch]:
    """Find the unlabelled stretches of a video.

    Args:
        labels: (T,) classes, -1 where a frame has no label.
        background: Background classes, which do not count as neighbours.
        video: Index of the video.

    Returns:
        The stretches, in order.
    """
    found = []
    before = BEGINNING
    waiting: list[tuple[int, int, int]] = []  # start, stop and action before
    for start, stop, label in [*runs(labels), (len(labels), len(labels), END)]:
        if label == IGNORED:
            waiting.append((start, stop, before))
        elif label not in background:
            found += [Stretch(video, *stretch, after=label) for stretch in waiting]
            waiting = []
            before = label
    return found


def shares_of_names(scores: Floats, stretches: Sequence[Stretch], weight: float) -> Floats:
    """Estimate which name each stretch has, by expectation and maximisation.

    Args:
        scores: (N, K) mean log scores of the K names in the N stretches.
        stretches: The N stretches.
        weight: Weight of the neighbours, compared with the scores.

    Returns:
        (N, K) shares, whose rows sum to 1.
    """
    before = _one_hot([stretch.before for stretch in stretches])
    after = _one_hot([stretch.after for stretch in stretches])
    log_length = np.log([stretch.stop - stretch.start for stretch in stretches])
    shares: Floats = softmax(scores, axis=1)
    for _ in range(_ROUNDS):
        neighbours = _log_contexts(shares, before) + _log_contexts(shares, after)
        total = scores + weight * neighbours + _log_density(shares, log_length)
        shares = softmax(total, axis=1)
    return shares


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
    videos: Sequence[OpenVideo], names: Labels, background: Sequence[int], weight: float
) -> list[Labels]:
    """Name the unlabelled frames of some videos by both views.

    Args:
        videos: The videos.
        names: (K,) classes that frames without a label may have.
        background: Background classes.
        weight: Weight of the neighbours; 0 takes the names that the scores alone give.

    Returns:
        Classes (T,) of each video; labels where there are some.
    """
    named = [video.decoded.copy() for video in videos]
    stretches = []
    for index, video in enumerate(videos):
        stretches += find_stretches(video.labels, background, index)
    if not weight or not stretches:
        return named
    means = [videos[part.video].scores[part.start : part.stop].mean(0) for part in stretches]
    best = shares_of_names(np.array(means), stretches, weight).argmax(1)
    for part, name in zip(stretches, names[best], strict=True):
        named[part.video][part.start : part.stop] = name
    return named


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

    def n_right(self, background: Sequence[int], weight: float) -> int:
        """Return how many frames of these classes get their name; see `name_stretches`."""
        named = name_stretches(self.videos, self.names, background, weight)
        return sum(
            int(((labels == truth) & np.isin(truth, self.names)).sum())
            for labels, truth in zip(named, self.truth, strict=True)
        )


def choose_weight(trials: Sequence[Trial], background: Sequence[int]) -> float:
    """Choose the weight of the neighbours by labelled classes, without any hidden label.

    Args:
        trials: Classes that a model of the teacher never learned.
        background: Background classes.

    Returns:
        The weight with the most frames that get their name. Equal ones: the first of `WEIGHTS`,
        then the next ones, then 0, the scores alone.
    """
    candidates = (*WEIGHTS, 0.0)
    counts: Integers = np.array(
        [sum(trial.n_right(background, weight) for trial in trials) for weight in candidates]
    )
    return candidates[int(counts.argmax())]
