"""What a run learns about its scores: corrections for those trained on seen classes alone, and confidences.

Calibrated stacking subtracts gamma from the scores of seen classes: Chao et al., "An Empirical Study and Analysis of
Generalized Zero-Shot Learning" (ECCV 2016). The prior correction subtracts a share of log p(c): Menon et al.,
"Long-tail Learning via Logit Adjustment" (ICLR 2021). See docs/protocol.md, 'Calibration'.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import expit, logit

from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.core.io import read_value
from fact_clip.core.messages import join_names
from fact_clip.metrics import SeenUnseenCurve

Floats = NDArray[np.float64]


def factor_frames(vocabulary: Vocabulary, frames: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Return by slot the training frames of each factor, "" for classes without one, from frames per class (C,)."""
    counts: dict[str, dict[str, int]] = {slot: {} for slot in vocabulary.slots}
    for entry, count in zip(vocabulary.factors, frames.tolist(), strict=True):
        for slot, factor in zip(vocabulary.slots, entry, strict=True):
            counts[slot][factor or ""] = counts[slot].get(factor or "", 0) + count
    return counts


def factor_log_shares(vocabulary: Vocabulary, frames: Mapping[str, Mapping[str, int]]) -> Floats:
    """Return (C,) log of the product of the shares of frames of a class's factors; a new one has the mean of logs."""
    total = np.zeros(len(vocabulary))
    for position, slot in enumerate(vocabulary.slots):
        counts = {factor: count for factor, count in frames[slot].items() if count}
        shares = {
            factor: math.log(count / sum(counts.values())) for factor, count in counts.items()
        }
        unknown = sum(shares.values()) / len(shares)
        total += [shares.get(entry[position] or "", unknown) for entry in vocabulary.factors]
    return total


def log_mean_posterior(
    log_scores: Sequence[NDArray[np.floating]], smoothing: float = 1e-4
) -> Floats:
    """Return (C,) log of the mean class distribution over all frames of some videos, (T, C) log scores each.

    `smoothing` is the share, in (0, 1], of an even distribution in the mean, so that no class has probability 0.
    """
    posterior = torch.cat(
        [torch.from_numpy(table.astype(np.float64)) for table in log_scores]
    ).softmax(-1)
    mean = posterior.mean(0)  # (C,)
    return ((1 - smoothing) * mean + smoothing / len(mean)).log().numpy()


ASKS_MODEL = (
    "posterior",
    "frames+posterior",
)  # rules that need the mean posterior on the validation videos


def log_prior(
    rule: str, expected: Floats, frames: NDArray[np.int64], posterior: Floats | None = None
) -> Floats:
    """Return (C,) log p(c) by a rule, the name in ``decode.prior``; "frames+posterior" is the mean of both.

    `expected` (C,) is that of `factor_log_shares`, which a class without training `frames` (C,) gets, on the same
    scale; `posterior` (C,) that of `log_mean_posterior` on validation videos, for the rules in `ASKS_MODEL`.
    """
    if rule == "factors":
        return expected
    learned = frames > 0
    shares = np.log(np.maximum(frames, 1) / frames.sum())
    of_frames = np.where(learned, shares, expected + (shares - expected)[learned].mean())
    if rule == "frames":
        return of_frames
    assert posterior is not None
    return posterior if rule == "posterior" else (of_frames + posterior) / 2


_Nats = Annotated[float, Field(ge=-1e9, le=1e9)]


@dataclass(frozen=True)
class Calibration:
    """What a run with classes held out subtracts from its scores, for any candidates."""

    # names of the classes that training may see, background among them
    seen: Annotated[tuple[str, ...], Field(min_length=1)]
    # for each slot the training frames of each factor; "" counts the frames without one
    frames: Mapping[str, Mapping[str, Annotated[int, Field(ge=0)]]]
    prior_weight: Annotated[float, Field(ge=0, le=1e6)] = (
        0.0  # share of log p(c) that is subtracted
    )
    gamma: _Nats = 0.0  # what is subtracted from the scores of seen classes, in nats
    # name -> `log_prior`; names that it lacks get the product of their factors' shares
    prior: Mapping[str, _Nats] = field(default_factory=dict)
    shift: _Nats = 0.0  # added to that product where `prior` is given

    def __post_init__(self) -> None:
        if not all(any(counts.values()) for counts in self.frames.values()):
            raise InputError("frames", "a slot without training frames")

    @classmethod
    def read(cls, path: Path, vocabulary: Vocabulary) -> Calibration | None:
        """Read the calibration of a vocabulary from a JSON file; None if there is no file."""
        if not os.path.lexists(path):
            return None
        calibration = read_value(cls, path, "train the run anew")
        if tuple(calibration.frames) != vocabulary.slots:
            problem = f"frames of the slots {join_names(calibration.frames)}, not of {join_names(vocabulary.slots)}"
            raise InputError(path, problem, "train the run anew")
        unknown = {*calibration.seen, *calibration.prior} - {*vocabulary.names}
        if unknown:
            raise InputError(
                path, f"{min(unknown)!r} is not in vocabulary.json", "train the run anew"
            )
        return calibration

    def log_prior(self, vocabulary: Vocabulary) -> Floats:
        """Return (C,) log p(c)."""
        expected = factor_log_shares(vocabulary, self.frames) + self.shift
        return np.array(
            [
                self.prior.get(name, value)
                for name, value in zip(vocabulary.names, expected, strict=True)
            ]
        )

    def offset(self, vocabulary: Vocabulary) -> Floats:
        """Return (C,) what is added to the log scores of these candidates."""
        seen = np.array([name in self.seen for name in vocabulary.names])
        return -self.gamma * seen - self.prior_weight * self.log_prior(vocabulary)


def choose_gamma_by_cost(curve: SeenUnseenCurve, cost: float = 0.15) -> float:
    """Return the largest gamma that costs at most a share `cost` of S(0); needs no frame of an unseen class."""
    at_zero = curve.seen[curve.start]
    if at_zero == 0:
        return 0.0
    within = curve.seen >= (1 - cost) * at_zero - 1e-9  # sums of shares are rounded
    return float(curve.gamma[within].max())


def choose_gamma_by_harmonic_mean(curve: SeenUnseenCurve) -> float:
    """Return the gamma with the highest H on held-out training videos; of equally good ones that nearest to 0."""
    means = curve.harmonic_mean
    best = curve.gamma[means >= means.max() - 1e-9]
    return float(best[np.abs(best).argmin()])


# From the score of a frame's label to the probability that the label is right (docs/method.md, 'Confidence'): two
# numbers, learned on validation videos. The sigmoid is that of Platt, "Probabilistic Outputs for Support Vector
# Machines" (1999), section 2, here around the score itself; the calibration error in bins is that of Guo et al., "On
# Calibration of Modern Neural Networks" (ICML 2017), section 2.

BINS = 10  # Bins of equal width from 0 to 1
FOLDS = 10  # Parts of the validation videos, each of which is asked whether a fit to the others helps it

_STEPS = 100  # quantiles are kept for each hundredth
_EDGE = 1e-6  # scores are kept this far from 0 and 1, where their logit is infinite
_PRIOR = 0.5  # deviation of slope and intercept around 1 and 0
_LEAST_SLOPE = 0.1  # a higher score is never a lower confidence


@dataclass(frozen=True)
class Confidence:
    """What a run learned about its scores on validation videos."""

    slope: Annotated[
        float, Field(gt=0, le=1e6)
    ]  # confidence = 1 / (1 + exp(-(slope * logit(score) + intercept)))
    intercept: Annotated[float, Field(ge=-1e6, le=1e6)]
    # (101,) of the confidences of correctly named frames, each that of its whole segment; ones where no frame was
    # named correctly
    quantiles: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    frames: Annotated[int, Field(ge=0)]  # how many frames this was learned from

    def __post_init__(self) -> None:
        if len(self.quantiles) not in (0, _STEPS + 1) or list(self.quantiles) != sorted(
            self.quantiles
        ):
            raise InputError("quantiles", f"not {_STEPS + 1} numbers in order")

    @classmethod
    def learned(
        cls, labels: Sequence[NDArray[np.int64]], scores: Sequence[Floats], truth: Sequence[Any]
    ) -> Confidence:
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
        means = [
            over_segments(guess, start.calibrated(score))
            for guess, score in zip(labels, scores, strict=True)
        ]
        correct = np.concatenate([mean[at] for mean, at in zip(means, judged, strict=True)])[right]
        quantiles = (
            np.quantile(correct, np.linspace(0, 1, _STEPS + 1))
            if correct.size
            else np.ones(_STEPS + 1)
        )
        return cls(slope, intercept, tuple(quantiles.tolist()), right.size)

    def calibrated(self, scores: ArrayLike) -> Floats:
        """Return the confidences (T,) of scores (T,) in [0, 1]."""
        return expit(self.slope * _logits(np.asarray(scores, np.float64)) + self.intercept)

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

    fit = minimize(
        loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(_LEAST_SLOPE, None), (None, None)]
    )
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
    return logit(np.clip(scores, _EDGE, 1 - _EDGE))


def over_segments(labels: NDArray[np.int64], values: Floats) -> Floats:
    """Return (T,) for each frame the mean of the values (T,) over the segment of `labels` that it lies in."""
    return np.concatenate(
        [np.full(stop - start, values[start:stop].mean()) for start, stop, _ in runs(labels)]
    )


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
