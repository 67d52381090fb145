"""From the score of a frame's label to the probability that the label is right (docs/method.md, 'Confidence').

Two numbers, learned on validation videos: the sigmoid of Platt, "Probabilistic Outputs for Support Vector Machines"
(1999), section 2, here around the score itself.
The calibration error in bins is that of Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 2.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import expit, logit

from fact_clip.core import InputError, runs
from fact_clip.core.arguments import array_of, number_of
from fact_clip.core.segments import frame_labels
from fact_clip.core.values import read_value

Floats = NDArray[np.float64]

BINS = 10
"""Bins of equal width from 0 to 1."""

FOLDS = 10
"""Parts of the validation videos, each of which is asked whether a fit to the others helps it."""

_STEPS = 100  # quantiles are kept for each hundredth
_EDGE = 1e-6  # scores are kept this far from 0 and 1, where their logit is infinite
_PRIOR = 0.5  # deviation of slope and intercept around 1 and 0
_LEAST_SLOPE = 0.1  # a higher score is never a lower confidence


@dataclass(frozen=True)
class Confidence:
    """What a run learned about its scores on validation videos.

    Args:
        slope, intercept: confidence = 1 / (1 + exp(-(slope * logit(score) + intercept))).
        quantiles: (101,) of the confidences of correctly named frames, each that of its whole segment; ones where no
            frame was named correctly.
        frames: how many frames this was learned from.
    """

    slope: Annotated[float, Field(gt=0, le=1e6)]
    intercept: Annotated[float, Field(ge=-1e6, le=1e6)]
    quantiles: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    frames: Annotated[int, Field(ge=0)]

    def __post_init__(self) -> None:
        values = array_of(self.quantiles, "quantiles", "numbers from 0 to 1, in order")
        if values.shape not in ((0,), (_STEPS + 1,)):
            raise InputError("quantiles", f"an array of shape {values.shape}; expected ({_STEPS + 1},)")
        if not ((values >= 0) & (values <= 1)).all() or (np.diff(values) < 0).any():  # NaN is neither
            raise InputError("quantiles", "numbers out of order or bounds; expected numbers from 0 to 1, in order")

    @classmethod
    def learned(cls, labels: Sequence[NDArray[np.int64]], scores: Sequence[Floats], truth: Sequence[Any]) -> Confidence:
        """From videos: predicted labels (T,), their scores (T,) and true labels (T,), -1 where there is none.

        Scores stay as they are (slope 1, intercept 0) unless a fit to other videos describes a video better than its
        scores do, by the likelihood of all videos; of a single video nothing tells. An InputError without a labelled
        frame, or where lengths disagree.
        """
        if not len(labels) == len(scores) == len(truth):
            found = f"{len(labels)}, {len(scores)} and {len(truth)} videos"
            raise InputError("videos", f"{found}; expected labels, scores and true labels of the same ones")
        for place, lengths in enumerate(zip(*(map(np.shape, each) for each in (labels, scores, truth)), strict=True)):
            if len(set(lengths)) > 1:
                found = f"arrays of shape {', '.join(map(str, lengths))}"
                raise InputError(f"video {place}", f"{found}; expected labels, scores and true labels, each (T,)")
        judged = [true >= 0 for true in truth]
        videos = [
            (_logits(own[at]), (guess == true)[at], len(runs(guess[at])))
            for own, guess, true, at in zip(scores, labels, truth, judged, strict=True)
            if at.any()
        ]
        if not videos:
            raise InputError("truth", "no labelled frame; expected one at least")
        slope, intercept = 1.0, 0.0
        if len(videos) > 1 and _gain(videos) > 0:
            slope, intercept = _fitted(videos)
        right = np.concatenate([own for _, own, _ in videos])
        start = cls(slope, intercept, (), right.size)
        whole = [over_segments(own, start.calibrated(sure)) for own, sure in zip(labels, scores, strict=True)]
        kept = np.concatenate([own[at] for own, at in zip(whole, judged, strict=True)])[right]
        steps = np.linspace(0, 1, _STEPS + 1)
        quantiles = np.quantile(kept, steps) if kept.size else np.ones(_STEPS + 1)
        return cls(slope, intercept, tuple(quantiles.tolist()), right.size)

    @classmethod
    def read(cls, path: Path) -> Confidence | None:
        """Read it from a JSON file; None if there is no file, an InputError if it is damaged."""
        return read_value(cls, path, "train the run anew") if os.path.lexists(path) else None

    def calibrated(self, scores: ArrayLike) -> Floats:
        """Scores (T,) in [0, 1] as confidences (T,)."""
        values = array_of(scores, "scores", "numbers from 0 to 1, (T,)").astype(np.float64)
        if not ((values >= 0) & (values <= 1)).all():  # NaN is neither
            raise InputError("scores", "numbers out of bounds; expected numbers from 0 to 1, (T,)")
        found: Floats = expit(self.slope * _logits(values) + self.intercept)
        return found

    def least(self, share: float) -> float:
        """The confidence that this share, 0 to 1, of the correctly named validation frames does not reach."""
        number_of(share, "reject", "a share of the correctly named frames, 0 to 1", 0, 1)
        return float(np.interp(share * _STEPS, np.arange(_STEPS + 1), self.quantiles))


Video = tuple[Floats, NDArray[np.bool_], int]
"""Of the labelled frames of a video: logits of their scores, whether they are right, and the number of segments."""


def _fitted(videos: Sequence[Video]) -> tuple[float, float]:
    """Slope and intercept of highest posterior.

    Frames of a segment are right or wrong together, so the likelihood counts as that of so many segments; the prior is
    normal around slope 1 and intercept 0, where scores stay as they are.
    """
    x, right = (np.concatenate(part) for part in list(zip(*videos, strict=True))[:2])
    n_segments = sum(count for _, _, count in videos)

    def loss(values: Floats) -> tuple[float, Floats]:
        z, away = values[0] * x + values[1], values - (1.0, 0.0)
        error = expit(z) - right
        likelihood = n_segments * float((np.logaddexp(0, z) - right * z).mean())
        gradient = n_segments * np.array([(error * x).mean(), error.mean()])
        return likelihood + float((away**2).sum()) / (2 * _PRIOR**2), gradient + away / _PRIOR**2

    found = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(_LEAST_SLOPE, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def _gain(videos: Sequence[Video]) -> float:
    """By how much the fit to other videos lowers the loss of a video, over all videos; in `FOLDS` parts at most."""
    gain, folds = 0.0, min(FOLDS, len(videos))
    for fold in range(folds):
        fitted = _fitted([video for place, video in enumerate(videos) if place % folds != fold])
        gain += sum(_loss(1.0, 0.0, video) - _loss(*fitted, video) for video in videos[fold::folds])
    return gain


def _loss(slope: float, intercept: float, video: Video) -> float:
    """The sum over frames of -log p(what is so)."""
    x, right, _ = video
    z = slope * x + intercept
    return float(np.logaddexp(0, np.where(right, -z, z)).sum())


def _logits(scores: Floats) -> Floats:
    found: Floats = logit(np.clip(scores, _EDGE, 1 - _EDGE))
    return found


def over_segments(labels: NDArray[np.int64], values: Floats) -> Floats:
    """(T,) for each frame the mean of the values (T,) over the segment of `labels` that it lies in."""
    labels, values = frame_labels(labels, "labels"), array_of(values, "values", "numbers, (T,)")
    if values.shape != labels.shape:
        raise InputError("values", f"an array of shape {values.shape}; expected ({len(labels)},), as the labels are")
    means = [np.full(stop - start, values[start:stop].mean()) for start, stop, _ in runs(labels)]
    return np.concatenate(means)


def reliability(confidence: Floats, right: NDArray[np.bool_]) -> dict[str, Any]:
    """How confidences (N,) agree with what is right (N,): the expected calibration error in percent, and the bins.

    A bin has its edges, its frames, their mean confidence and the share of them that is right; an empty one has null.
    The error is the mean over frames of |confidence - share right| of their bins.
    """
    confidence = array_of(confidence, "confidence", "numbers from 0 to 1, (N,)").astype(np.float64)
    right = array_of(right, "right", "true or false, (N,)")
    if right.dtype.kind == "f":  # confidences, in the other order of arguments
        raise InputError("right", f"numbers of type {right.dtype}; expected true or false, (N,)")
    right = right.astype(np.bool_)
    if confidence.ndim != 1 or right.shape != confidence.shape:
        raise InputError("right", f"arrays of shape {confidence.shape} and {right.shape}; expected (N,) and (N,)")
    if not ((confidence >= 0) & (confidence <= 1)).all():  # NaN is neither
        raise InputError("confidence", "numbers out of bounds; expected numbers from 0 to 1")
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    rows, error = [], 0.0
    for number in range(BINS):
        own = place == number
        sure = share = None
        if own.any():
            sure, share = float(confidence[own].mean()), float(right[own].mean())
            error += 100 * float(own.mean()) * abs(sure - share)
        edges = {"from": number / BINS, "to": (number + 1) / BINS}
        rows.append({**edges, "frames": int(own.sum()), "confidence": sure, "accuracy": share})
    return {"ece": error, "bins": rows}
