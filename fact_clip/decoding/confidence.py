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
from fact_clip.core.io import read_value

Floats = NDArray[np.float64]

BINS = 10  # Bins of equal width from 0 to 1
FOLDS = 10  # Parts of the validation videos, each of which is asked whether a fit to the others helps it

_STEPS = 100  # quantiles are kept for each hundredth
_EDGE = 1e-6  # scores are kept this far from 0 and 1, where their logit is infinite
_PRIOR = 0.5  # deviation of slope and intercept around 1 and 0
_LEAST_SLOPE = 0.1  # a higher score is never a lower confidence


@dataclass(frozen=True)
class Confidence:
    """What a run learned about its scores on validation videos."""

    slope: Annotated[float, Field(gt=0, le=1e6)]  # confidence = 1 / (1 + exp(-(slope * logit(score) + intercept)))
    intercept: Annotated[float, Field(ge=-1e6, le=1e6)]
    # (101,) of the confidences of correctly named frames, each that of its whole segment; ones where no frame was
    # named correctly
    quantiles: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    frames: Annotated[int, Field(ge=0)]  # how many frames this was learned from

    def __post_init__(self) -> None:
        if len(self.quantiles) not in (0, _STEPS + 1) or list(self.quantiles) != sorted(self.quantiles):
            raise InputError("quantiles", f"not {_STEPS + 1} numbers in order")

    @classmethod
    def learned(cls, labels: Sequence[NDArray[np.int64]], scores: Sequence[Floats], truth: Sequence[Any]) -> Confidence:
        """Learn from videos: predicted labels (T,), their scores (T,) and true labels (T,), -1 where there is none.

        Scores stay as they are (slope 1, intercept 0) unless a fit to other videos describes a video better than its
        scores do, by the likelihood of all videos; of a single video nothing tells. One frame at least is labelled.
        """
        judged = [true >= 0 for true in truth]
        videos = [
            (_logits(score[at]), (guess == true)[at], len(runs(guess[at])))
            for score, guess, true, at in zip(scores, labels, truth, judged, strict=True)
            if at.any()
        ]
        slope, intercept = 1.0, 0.0
        if len(videos) > 1 and _gain(videos) > 0:
            slope, intercept = _fitted(videos)
        right = np.concatenate([hits for _, hits, _ in videos])
        start = cls(slope, intercept, (), right.size)
        means = [over_segments(guess, start.calibrated(score)) for guess, score in zip(labels, scores, strict=True)]
        correct = np.concatenate([mean[at] for mean, at in zip(means, judged, strict=True)])[right]
        quantiles = np.quantile(correct, np.linspace(0, 1, _STEPS + 1)) if correct.size else np.ones(_STEPS + 1)
        return cls(slope, intercept, tuple(quantiles.tolist()), right.size)

    @classmethod
    def read(cls, path: Path) -> Confidence | None:
        """Read it from a JSON file; None if there is no file, an InputError if it is damaged."""
        return read_value(cls, path, "train the run anew") if os.path.lexists(path) else None

    def calibrated(self, scores: ArrayLike) -> Floats:
        """Return the confidences (T,) of scores (T,) in [0, 1]."""
        confidence: Floats = expit(self.slope * _logits(np.asarray(scores, np.float64)) + self.intercept)
        return confidence

    def least(self, share: float) -> float:
        """Return the confidence that this share, 0 to 1, of the correctly named validation frames does not reach."""
        return float(np.interp(share * _STEPS, np.arange(_STEPS + 1), self.quantiles))


Video = tuple[Floats, NDArray[np.bool_], int]
"""Of the labelled frames of a video: logits of their scores, whether they are right, and the number of segments."""


def _fitted(videos: Sequence[Video]) -> tuple[float, float]:
    """Slope and intercept of highest posterior, with a normal prior around 1 and 0, where scores stay as they are.

    Frames of a segment are right or wrong together, so the likelihood counts as that of so many segments.
    """
    x, right = (np.concatenate(part) for part in list(zip(*videos, strict=True))[:2])
    n_segments = sum(count for _, _, count in videos)

    def loss(values: Floats) -> tuple[float, Floats]:
        z, away = values[0] * x + values[1], values - (1.0, 0.0)
        error = expit(z) - right
        likelihood = n_segments * float((np.logaddexp(0, z) - right * z).mean())
        gradient = n_segments * np.array([(error * x).mean(), error.mean()])
        return likelihood + float((away**2).sum()) / (2 * _PRIOR**2), gradient + away / _PRIOR**2

    fit = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(_LEAST_SLOPE, None), (None, None)])
    return float(fit.x[0]), float(fit.x[1])


def _gain(videos: Sequence[Video]) -> float:
    """By how much the fit to other videos lowers the loss of a video, over all videos; in `FOLDS` parts at most."""
    gain, folds = 0.0, min(FOLDS, len(videos))
    for fold in range(folds):
        fitted = _fitted([video for number, video in enumerate(videos) if number % folds != fold])
        gain += sum(_loss(1.0, 0.0, video) - _loss(*fitted, video) for video in videos[fold::folds])
    return gain


def _loss(slope: float, intercept: float, video: Video) -> float:
    """The sum over frames of -log p(what is so)."""
    x, right, _ = video
    z = slope * x + intercept
    return float(np.logaddexp(0, np.where(right, -z, z)).sum())


def _logits(scores: Floats) -> Floats:
    logits: Floats = logit(np.clip(scores, _EDGE, 1 - _EDGE))
    return logits


def over_segments(labels: NDArray[np.int64], values: Floats) -> Floats:
    """Return (T,) for each frame the mean of the values (T,) over the segment of `labels` that it lies in."""
    return np.concatenate([np.full(stop - start, values[start:stop].mean()) for start, stop, _ in runs(labels)])


def reliability(confidence: Floats, right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return how confidences (N,) agree with what is right (N,): the calibration error in percent, and the bins.

    A bin has its edges, its frames, their mean confidence and the share of them that is right; an empty one has null.
    The error is the mean over frames of |confidence - share right| of their bins.
    """
    bin_of_frame = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    rows, error = [], 0.0
    for number in range(BINS):
        inside = bin_of_frame == number
        mean = share = None
        if inside.any():
            mean, share = float(confidence[inside].mean()), float(right[inside].mean())
            error += 100 * float(inside.mean()) * abs(mean - share)
        edges = {"from": number / BINS, "to": (number + 1) / BINS}
        rows.append({**edges, "frames": int(inside.sum()), "confidence": mean, "accuracy": share})
    return {"ece": error, "bins": rows}
