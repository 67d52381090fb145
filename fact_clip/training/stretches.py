"""Names of unlabelled stretches from a teacher, and trials of whether their neighbours help.

See docs/method.md, "Two views of an unlabelled stretch".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from fact_clip.core import Floats, runs
from fact_clip.core.frames import IGNORED
from fact_clip.datasets.labels import Labels
from fact_clip.decoding.stretches import find_stretches, shares_of_names
from fact_clip.decoding.switching import decode_switching

_EXCLUDED = -1e4  # nats per frame


@dataclass(frozen=True)
class OpenVideo:
    """A partly labelled video whose unlabelled frames have one of several given names.

    Attributes:
        labels: Classes (T,), -1 for unlabelled frames.
        scores: Mean log scores (N, K) of the K names in the N unlabelled stretches.
        decoded: Class of each frame by the scores, (T,). Labelled frames keep their labels.
    """

    labels: Labels
    scores: Floats
    decoded: Labels

    @classmethod
    def scored(cls, labels: Labels, table: Floats, names: Labels, penalty: float) -> OpenVideo:
        """Return the video with the scores and names that a teacher gives.

        Args:
            labels: Classes (T,), -1 for unlabelled frames.
            table: Log scores (T, C) of all classes.
            names: Classes (K,) that unlabelled frames may have.
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


def name_stretches(
    videos: Sequence[OpenVideo], names: Labels, background: Sequence[int]
) -> list[Labels]:
    """Label the unlabelled frames of some videos by both views: scores and neighbours.

    Args:
        videos: The videos.
        names: Classes (K,) that unlabelled frames may have.
        background: Background classes.

    Returns:
        Classes (T,) of each video. Labelled frames keep their labels.
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
    """Return the number of unlabelled stretches with several decoded names, and of all."""
    n_divided = n_stretches = 0
    for video in videos:
        for start, stop, label in runs(video.labels):
            if label == IGNORED:
                n_stretches += 1
                n_divided += len(np.unique(video.decoded[start:stop])) > 1
    return n_divided, n_stretches


@dataclass(frozen=True)
class Trial:
    """Labelled classes that a model never learned, treated as unlabelled.

    Attributes:
        videos: Videos without the labels of these classes.
        names: The classes (K,).
        truth: Labels (T,) of each video.
    """

    videos: Sequence[OpenVideo]
    names: Labels
    truth: Sequence[Labels]

    def n_right(self, named: Sequence[Labels]) -> int:
        """Return how many frames of these classes get the correct name."""
        return sum(
            int(((labels == truth) & np.isin(truth, self.names)).sum())
            for labels, truth in zip(named, self.truth, strict=True)
        )


def do_neighbours_help(trials: Sequence[Trial], background: Sequence[int]) -> bool:
    """Return whether neighbours help, or at least do not harm, in naming labelled classes.

    No hidden label is read.

    Args:
        trials: Classes that a model of the teacher never learned. Without trials, the result is
            True.
        background: Background classes.
    """
    by_scores = by_both = 0
    for trial in trials:
        by_scores += trial.n_right([video.decoded for video in trial.videos])
        by_both += trial.n_right(name_stretches(trial.videos, trial.names, background))
    return by_both >= by_scores
