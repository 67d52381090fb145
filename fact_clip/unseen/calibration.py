"""Gamma and the prior of a run, learned from validation videos (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from fact_clip import metrics
from fact_clip.config import DecodeConfig
from fact_clip.core import InputError, Integers, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import Calibration
from fact_clip.decoding.calibration import (
    choose_gamma_by_cost,
    estimated_log_prior,
    factor_frames,
    log_mean_posterior,
)
from fact_clip.inference.scored_videos import ScoredVideos
from fact_clip.metrics.zero_shot import ClassGroups, class_groups

# In nats. The ends are so far out that no frame changes any more, whatever the scores.
_POSITIVE = (*np.arange(0.5, 10.25, 0.5).tolist(), 12.0, 14.0, 17.0, 20.0, 25.0, 30.0, 40.0, 1000.0)
GAMMAS = (*(-gamma for gamma in reversed(_POSITIVE)), 0.0, *_POSITIVE)

_STEPS_BETWEEN = 8  # between two of `GAMMAS`, when gamma is chosen

# Share of a uniform distribution in a mean posterior: among 67 classes none has less than a frame
# in thirteen thousand.
_SMOOTHING = 0.005


class GammaCounts:
    """Frames of K classes, and how many of them are right with each of G gammas.

    A class may be seen by one model and unseen by another, so a frame is counted in a table of two
    rows: as seen or as unseen.

    Args:
        gammas: values of gamma, 0 among them.
        n_classes: K.
    """

    def __init__(self, gammas: Sequence[float], n_classes: int) -> None:
        self.gammas = gammas
        self.frames = np.zeros((2, n_classes), np.int64)
        self.right = np.zeros((len(gammas), 2, n_classes), np.int64)
        self.background: set[int] = set()

    def add(self, scored: ScoredVideos, calibration: Calibration, groups: ClassGroups) -> None:
        """Count the frames of videos.

        Args:
            scored: videos that are decoded as in use.
            calibration: of their models.
            groups: what the classes are for these models.
        """
        self.background |= groups.background
        decoded = scored.decode_each_gamma(calibration, self.gammas)
        for truth, predictions in zip(scored.truth, decoded, strict=True):
            is_counted = (truth >= 0) & ~np.isin(truth, [*groups.also_unseen])
            role = np.isin(truth, [*groups.unseen]).astype(np.int64)  # the row of each frame
            # The flat index row * K + class. Where truth is -1 it is wrong, and not counted.
            cell = role * self.frames.shape[1] + truth
            self.frames += self._table(cell[is_counted])
            for right, is_right in zip(self.right, predictions == truth, strict=True):
                right += self._table(cell[is_counted & is_right])

    def _table(self, cells: Integers) -> Integers:
        """Return how often each cell of the table occurs, (2, K)."""
        return np.bincount(cells, minlength=self.frames.size).reshape(self.frames.shape)

    def curve(self) -> metrics.SeenUnseenCurve:
        """Return the accuracy of seen and of unseen classes over gamma."""
        counts = {
            gamma: metrics.FrameCounts.of_arrays(self.frames.ravel(), right.ravel())
            for gamma, right in zip(self.gammas, self.right, strict=True)
        }
        n_classes = self.frames.shape[1]
        # The second row has the unseen classes. Background is never unseen, so only the first row
        # has frames of it.
        unseen = range(n_classes, 2 * n_classes)
        return metrics.curve_of_counts(counts, unseen, tuple(self.background))


def calibrate(scored_by_model: Sequence[ScoredVideos]) -> Calibration:
    """Learn gamma and the prior from validation videos and training labels alone.

    All classes without training frames are rivals of the seen ones, and gamma is chosen by S alone,
    which none of them is part of. A class that one member of an ensemble has learned is seen where
    all are used.

    Args:
        scored_by_model: the result of `validation_videos`.

    Raises:
        InputError: the prior needs validation videos and there are none.
    """
    datasets = [scored.dataset for scored in scored_by_model]
    config = scored_by_model[0].scorer.run.config.decode
    check_prior(config, datasets[0])
    start = uncalibrated(datasets, config.prior_weight)
    if not datasets[0].validation:
        return start
    if config.prior_weight:
        start = _with_prior(start, scored_by_model)
    return replace(start, gamma=_choose_gamma(scored_by_model, start, config.gamma_cost))


def _choose_gamma(
    scored_by_model: Sequence[ScoredVideos], start: Calibration, cost: float
) -> float:
    """Choose gamma by its cost in seen accuracy, first coarsely, then between neighbours."""
    coarse = choose_gamma_by_cost(_validation_curve(scored_by_model, start, GAMMAS), cost)
    index = GAMMAS.index(coarse)
    lower = GAMMAS[max(index - 1, 0)]
    upper = GAMMAS[min(index + 1, len(GAMMAS) - 1)]
    fine = {0.0}
    for neighbour in (lower, upper):
        fine.update(np.linspace(coarse, neighbour, _STEPS_BETWEEN + 1).tolist())
    return choose_gamma_by_cost(_validation_curve(scored_by_model, start, sorted(fine)), cost)


def _validation_curve(
    scored_by_model: Sequence[ScoredVideos], start: Calibration, gammas: Sequence[float]
) -> metrics.SeenUnseenCurve:
    """Return the curve over the validation videos of all models."""
    counts = GammaCounts(gammas, len(scored_by_model[0].classes.vocabulary))
    for scored in scored_by_model:
        dataset = scored.dataset
        of_model = replace(start, seen=uncalibrated([dataset]).seen)
        groups = groups_by_calibration(of_model, dataset.vocabulary, dataset.validation_unseen)
        counts.add(scored, of_model, groups)
    return counts.curve()


def check_prior(config: DecodeConfig, dataset: Dataset) -> None:
    """Raise an InputError if the prior needs validation videos and there are none."""
    if config.prior_weight and not dataset.validation:
        problem = "the prior needs validation videos"
        raise InputError("decode.prior_weight", problem, "set data.validation")


def uncalibrated(datasets: Sequence[Dataset], prior_weight: float = 0.0) -> Calibration:
    """Return the calibration with gamma 0 and the prior of the factors.

    Args:
        datasets: of the members; a class that one of them may see and has frames of is seen.
        prior_weight: share of the prior that is subtracted.
    """
    vocabulary = datasets[0].vocabulary
    frames = training_frames(datasets)
    # Untrained background counts as seen too: without gamma it would win frames of all actions.
    trained = {*np.flatnonzero(frames).tolist(), *vocabulary.background_indices}
    seen = trained.intersection(label for dataset in datasets for label in dataset.seen)
    names = tuple(vocabulary.names[label] for label in sorted(seen))
    return Calibration(names, factor_frames(vocabulary, frames), prior_weight)


def groups_by_calibration(
    calibration: Calibration, vocabulary: Vocabulary, unseen: Collection[int]
) -> ClassGroups:
    """Return the groups of classes. Those that are neither seen nor of U count in no group."""
    background = vocabulary.background_indices
    seen = vocabulary.encode(calibration.seen).tolist()
    also_unseen = {*range(len(vocabulary))} - {*seen, *background, *unseen}
    return class_groups(unseen=unseen, background=background, also_unseen=also_unseen)


def training_frames(datasets: Sequence[Dataset]) -> Integers:
    """Return the training frames of each class, (C,), in the data set that has most of it."""
    return np.max([dataset.training_counts for dataset in datasets], axis=0)


def _with_prior(start: Calibration, scored_by_model: Sequence[ScoredVideos]) -> Calibration:
    """Return the calibration with log p(c) of all actions, and 0 for background."""
    datasets = [scored.dataset for scored in scored_by_model]
    vocabulary = datasets[0].vocabulary
    tables = []
    for scored in scored_by_model:
        tables += scored.uncorrected_log_scores()
    expected = start.log_prior(vocabulary)
    posterior = log_mean_posterior(tables, _SMOOTHING)
    prior = estimated_log_prior(expected, training_frames(datasets), posterior)
    # Keeps the priors of other names, which come from their factors, on the scale of the estimated
    # ones. All actions and background count in it, so it is taken before background is set to 0.
    shift = float((prior - expected).mean())
    # Background gains nothing, and so loses frames to all actions: H rises by it on all sets that
    # were tried, and accuracy on some (experiments/zero_shot.md).
    prior[list(vocabulary.background_indices)] = 0.0
    prior_of_class = dict(zip(vocabulary.names, prior.tolist(), strict=True))
    return replace(start, prior=prior_of_class, shift=shift)
