"""Probabilities that labels are correct, computed from scores (docs/method.md, 'Confidence').

The two parameters are fitted on validation videos. Platt, "Probabilistic Outputs for Support Vector
Machines" (1999), section 2, describes the sigmoid, which is applied here to the logit of the score.
Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 2, describe the
calibration error in bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.special import expit, logit

from fact_clip.core import Flags, Floats, InputError, Integers, Json, runs

BINS = 10  # number of bins of equal width from 0 to 1
FOLDS = 10  # number of parts of the validation videos for cross-validation of the fit

_N_STEPS = 100  # quantiles are stored in steps of 1 / 100
_EDGE = 1e-6  # distance from 0 and 1, at which the logit is infinite
_PRIOR_DEVIATION = 0.5  # deviation of the slope around 1 and of the intercept around 0
_MIN_SLOPE = 0.1  # positive, so that a higher score never has a lower confidence


@dataclass(frozen=True)
class JudgedVideo:
    """The labelled frames of a video."""

    logits: Floats  # logits of the scores, (N,)
    is_right: Flags  # whether the frame is labelled correctly, (N,)
    n_segments: int


@dataclass(frozen=True)
class Confidence:
    """Calibrated confidences, learned on validation videos.

    Attributes:
        slope: Slope in confidence = 1 / (1 + exp(-(slope * logit(score) + intercept))).
        intercept: Intercept in the same formula.
        quantiles: Quantiles of the confidences of correctly labelled frames, (101,). The confidence
            of a frame is the confidence of its segment. If no frame was labelled correctly, all are
            1.
        frames: Number of frames from which this was learned.
    """

    slope: Annotated[float, Field(gt=0, le=1e6)]
    intercept: Annotated[float, Field(ge=-1e6, le=1e6)]
    quantiles: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    frames: Annotated[int, Field(ge=0)]

    def __post_init__(self) -> None:
        is_sorted = list(self.quantiles) == sorted(self.quantiles)
        if len(self.quantiles) not in (0, _N_STEPS + 1) or not is_sorted:
            raise InputError("quantiles", f"not {_N_STEPS + 1} numbers in order")

    @classmethod
    def learned(
        cls, labels: Sequence[Integers], scores: Sequence[Floats], truth: Sequence[Any]
    ) -> Confidence:
        """Learn the confidences from videos with at least one labelled frame.

        Scores are left unchanged (slope 1, intercept 0) unless cross-validation favours a fit. It
        compares the likelihood of all videos, each under a fit to the remaining videos and under
        its own scores. A single video is not enough for a fit.

        Args:
            labels: Predicted labels of each video, (T,).
            scores: Scores of these labels, 0 to 1, (T,).
            truth: True labels (T,), with -1 for frames without a label.
        """
        videos = []
        correct = []
        for guess, score, true in zip(labels, scores, truth, strict=True):
            is_judged = true >= 0
            if is_judged.any():
                video = JudgedVideo(
                    logits=_logits(score[is_judged]),
                    is_right=(guess == true)[is_judged],
                    n_segments=len(runs(guess[is_judged])),
                )
                videos.append(video)
        slope = 1.0
        intercept = 0.0
        if len(videos) > 1 and _gain(videos) > 0:
            slope, intercept = _fit(videos)

        n_frames = sum(len(video.is_right) for video in videos)
        start = cls(slope=slope, intercept=intercept, quantiles=(), frames=n_frames)
        for guess, score, true in zip(labels, scores, truth, strict=True):
            means = over_segments(guess, start.calibrated(score))
            is_correct = (true >= 0) & (guess == true)
            correct.append(means[is_correct])
        values = np.concatenate(correct)
        quantiles = np.ones(_N_STEPS + 1)
        if values.size:
            quantiles = np.quantile(values, np.linspace(0, 1, _N_STEPS + 1))
        return cls(slope, intercept, tuple(quantiles.tolist()), n_frames)

    def calibrated(self, scores: ArrayLike) -> Floats:
        """Return the confidences (T,) of scores (T,) in [0, 1]."""
        logits = _logits(np.asarray(scores, np.float64))
        return expit(self.slope * logits + self.intercept)

    def least(self, share: float) -> float:
        """Return the confidence below which a given share of the correct validation frames lies.

        Args:
            share: Share of the frames, 0 to 1.
        """
        return float(np.interp(share * _N_STEPS, np.arange(_N_STEPS + 1), self.quantiles))


def _fit(videos: Sequence[JudgedVideo]) -> tuple[float, float]:
    """Return the slope and intercept of highest posterior, with a normal prior around 1 and 0.

    All frames of a segment are correct or wrong together, so the likelihood is weighted as if there
    were one observation per segment.
    """
    from scipy.optimize import minimize  # imported here, because the import takes long

    x = np.concatenate([video.logits for video in videos])
    is_right = np.concatenate([video.is_right for video in videos])
    n_segments = sum(video.n_segments for video in videos)

    def loss(values: Floats) -> tuple[float, Floats]:
        z = values[0] * x + values[1]
        deviation = values - (1.0, 0.0)
        error = expit(z) - is_right
        likelihood = n_segments * float((np.logaddexp(0, z) - is_right * z).mean())
        gradient = n_segments * np.array([(error * x).mean(), error.mean()])
        prior = float((deviation**2).sum()) / (2 * _PRIOR_DEVIATION**2)
        return likelihood + prior, gradient + deviation / _PRIOR_DEVIATION**2

    bounds = [(_MIN_SLOPE, None), (None, None)]
    fit = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds)
    return float(fit.x[0]), float(fit.x[1])


def _gain(videos: Sequence[JudgedVideo]) -> float:
    """Return how much fits to the remaining videos lower the loss, summed over all videos."""
    gain = 0.0
    n_folds = min(FOLDS, len(videos))
    for fold in range(n_folds):
        training = [video for number, video in enumerate(videos) if number % n_folds != fold]
        slope, intercept = _fit(training)
        gain += sum(
            _loss(1.0, 0.0, video) - _loss(slope, intercept, video)
            for video in videos[fold::n_folds]
        )
    return gain


def _loss(slope: float, intercept: float, video: JudgedVideo) -> float:
    """Return the negative log-likelihood, summed over frames."""
    z = slope * video.logits + intercept
    return float(np.logaddexp(0, np.where(video.is_right, -z, z)).sum())


def _logits(scores: Floats) -> Floats:
    return logit(np.clip(scores, _EDGE, 1 - _EDGE))


def over_segments(labels: Integers, values: Floats) -> Floats:
    """Return, for each frame, the mean of `values` over its segment.

    Args:
        labels: Class indices (T,).
        values: Numbers (T,).

    Returns:
        Means (T,).
    """
    parts = [np.full(stop - start, values[start:stop].mean()) for start, stop, _ in runs(labels)]
    return np.concatenate(parts)


def reliability(confidence: Floats, right: Flags) -> Json:
    """Compare confidences with accuracies: expected calibration error and bins.

    Args:
        confidence: Confidences of frames, 0 to 1, (N,).
        right: Whether each frame is labelled correctly, (N,).

    Returns:
        Mapping with "ece", the mean of |confidence - accuracy| of bins over the frames in percent,
        and "bins", each with its edges, frames, mean confidence and accuracy (None for an empty
        bin).
    """
    bin_of_frame = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    rows: list[Json] = []
    error = 0.0
    for number in range(BINS):
        inside = bin_of_frame == number
        row: Json = {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "frames": int(inside.sum()),
            "confidence": None,
            "accuracy": None,
        }
        if inside.any():
            row["confidence"] = float(confidence[inside].mean())
            row["accuracy"] = float(right[inside].mean())
            error += 100 * float(inside.mean()) * abs(row["confidence"] - row["accuracy"])
        rows.append(row)
    return {"ece": error, "bins": rows}
