"""Names of unlabelled stretches by a teacher, and trials of whether their neighbours help.

docs/method.md, "Two views of an unlabelled stretch".
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
