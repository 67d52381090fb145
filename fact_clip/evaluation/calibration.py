"""Gamma and the prior of a run, learned from validation videos (docs/protocol.md).

calibrate
  check_prior, uncalibrated: the calibration with gamma 0, only from training labels.
  _with_prior: adds log p(c), estimated on validation videos.
  _choose_gamma: uses the accuracy of seen classes at each gamma, which `GammaCounts` counts.

`GammaCounts` and `groups_by_calibration` also compute figures of test videos (`zero_shot.py`).
`decoding/calibration.py` describes what a calibration corrects.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from fact_clip import metrics
from fact_clip.config import DecodeConfig
from fact_clip.core import Flags, InputError, Integers, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import Calibration
from fact_clip.decoding.calibration import (
    choose_gamma_by_cost,
    estimated_log_prior,
    factor_frames,
    log_mean_posterior,
)
from fact_clip.evaluation.scored_videos import ScoredVideos
from fact_clip.metrics.zero_shot import ClassGroups, class_groups

# Values of gamma, in nats. The outermost values are so extreme that no further change of gamma
# affects any frame.
_POSITIVE = (*np.arange(0.5, 10.25, 0.5).tolist(), 12.0, 14.0, 17.0, 20.0, 25.0, 30.0, 40.0, 1000.0)
GAMMAS = (*(-gamma for gamma in reversed(_POSITIVE)), 0.0, *_POSITIVE)

_STEPS_BETWEEN = 8  # steps from the best of `GAMMAS` to each neighbour for the choice of gamma

# Share of a uniform distribution in a mean posterior. With 67 classes, each class gets a
# probability of at least one frame in about thirteen thousand.
_SMOOTHING = 0.005


def calibrate(scored_by_model: Sequence[ScoredVideos]) -> Calibration:
    """Learn gamma and the prior, using only validation videos and training labels.

    All classes without training frames compete with the seen classes. Only S, the accuracy of seen
    classes, determines gamma, so labels of unseen classes have no influence. In the calibration of
    an ensemble, a class is seen if at least one member has learned it.

    Args:
        scored_by_model: Result of `validation_videos`: one element if all models have the same
            validation videos, otherwise one for each model.

    Returns:
        The calibration. Without validation videos, it has gamma 0 and the prior of the factors.

    Raises:
        InputError: The prior needs validation videos, but there are none.
    """
    datasets = [scored.dataset for scored in scored_by_model]
    config = scored_by_model[0].scorer.run.config.decode
    check_prior(config, datasets[0])
    at_gamma_0 = uncalibrated(datasets, config.prior_weight)
    if not datasets[0].validation:
        return at_gamma_0
    if config.prior_weight:
        # The prior comes first, because gamma is chosen on scores with this correction.
        at_gamma_0 = _with_prior(at_gamma_0, scored_by_model)
    return replace(at_gamma_0, gamma=_choose_gamma(scored_by_model, at_gamma_0, config.gamma_cost))


def check_prior(config: DecodeConfig, dataset: Dataset) -> None:
    """Raise an InputError if the prior needs validation videos, but there are none."""
    if config.prior_weight and not dataset.validation:
        problem = "the prior needs validation videos"
        raise InputError("decode.prior_weight", problem, "set data.validation")


def uncalibrated(datasets: Sequence[Dataset], prior_weight: float = 0.0) -> Calibration:
    """Return the calibration with gamma 0 and the prior of the factors.

    Args:
        datasets: Data sets of the members. A class is seen if a member may see it and it has
            training frames.
        prior_weight: Share of the prior that is subtracted.
    """
    vocabulary = datasets[0].vocabulary
    frames = training_frames(datasets)
    # Background counts as seen even if it was not trained. Without the subtraction of gamma, it
    # would win frames of all actions.
    trained = {*np.flatnonzero(frames).tolist(), *vocabulary.background_indices}
    seen = trained.intersection(label for dataset in datasets for label in dataset.seen)
    names = tuple(vocabulary.names[label] for label in sorted(seen))
    return Calibration(names, factor_frames(vocabulary, frames), prior_weight)


def training_frames(datasets: Sequence[Dataset]) -> Integers:
    """Return the largest number of training frames of each class over the data sets, (C,)."""
    return np.max([dataset.training_counts for dataset in datasets], axis=0)


def _with_prior(at_gamma_0: Calibration, scored_by_model: Sequence[ScoredVideos]) -> Calibration:
    """Return the calibration with log p(c) for all actions and 0 for background."""
    datasets = [scored.dataset for scored in scored_by_model]
    vocabulary = datasets[0].vocabulary
    tables = []  # (T', C) for each video of each model
    for scored in scored_by_model:
        tables += scored.uncorrected_log_scores()
    expected = at_gamma_0.log_prior(vocabulary)  # (C,)
    for scored in scored_by_model:
        # `expected` and `prior` are in the order of the vocabulary, `posterior` in the order of the
        # candidates.
        assert scored.candidates.vocabulary.names == vocabulary.names
    posterior = log_mean_posterior(tables, _SMOOTHING)  # (C,)
    prior = estimated_log_prior(expected, training_frames(datasets), posterior)  # (C,)
    # Candidates outside the vocabulary get a prior from their factors. The shift moves it to the
    # scale of the estimated priors. Its mean includes background, so it is computed before
    # background becomes 0.
    shift = float((prior - expected).mean())
    # Background is not corrected. The correction raises the scores of actions, so background
    # loses frames to them. This raised H on all tested data sets, and accuracy on some
    # (experiments/zero_shot.md).
    prior[list(vocabulary.background_indices)] = 0.0
    prior_of_class = dict(zip(vocabulary.names, prior.tolist(), strict=True))
    return replace(at_gamma_0, prior=prior_of_class, shift=shift)


def _choose_gamma(
    scored_by_model: Sequence[ScoredVideos], at_gamma_0: Calibration, cost: float
) -> float:
    """Choose gamma by its cost in seen accuracy, first on a coarse and then on a fine grid."""
    coarse = choose_gamma_by_cost(_validation_curve(scored_by_model, at_gamma_0, GAMMAS), cost)
    index = GAMMAS.index(coarse)
    lower = GAMMAS[max(index - 1, 0)]
    upper = GAMMAS[min(index + 1, len(GAMMAS) - 1)]
    fine = {0.0}  # `choose_gamma_by_cost` compares with S at gamma 0, so the curve must have it
    for neighbour in (lower, upper):
        fine.update(np.linspace(coarse, neighbour, _STEPS_BETWEEN + 1).tolist())
    return choose_gamma_by_cost(_validation_curve(scored_by_model, at_gamma_0, sorted(fine)), cost)


def _validation_curve(
    scored_by_model: Sequence[ScoredVideos], at_gamma_0: Calibration, gammas: Sequence[float]
) -> metrics.SeenUnseenCurve:
    """Return the curve over the validation videos of all models.

    The videos of each model are decoded with the classes that this model has seen as seen classes.
    """
    counts = GammaCounts(gammas, len(scored_by_model[0].classes.vocabulary))
    for scored in scored_by_model:
        dataset = scored.dataset
        calibration = replace(at_gamma_0, seen=uncalibrated([dataset]).seen)
        groups = groups_by_calibration(calibration, dataset.vocabulary, dataset.validation_unseen)
        counts.add(scored, calibration, groups)
    return counts.curve()


def groups_by_calibration(
    calibration: Calibration, vocabulary: Vocabulary, unseen: Collection[int]
) -> ClassGroups:
    """Return the groups of classes.

    Args:
        calibration: Calibration with the names of the seen classes.
        vocabulary: The classes.
        unseen: Indices of the classes of U.

    Returns:
        The groups. `also_unseen` contains the classes that count for neither S nor U: all that are
        not seen, background or in U.
    """
    background = vocabulary.background_indices
    seen = vocabulary.encode(calibration.seen).tolist()
    also_unseen = {*range(len(vocabulary))} - {*seen, *background, *unseen}
    return class_groups(unseen=unseen, background=background, also_unseen=also_unseen)


class _RoleCounts:
    """Counts of frames of K classes in one role, and of correct ones with each of G gammas.

    Args:
        n_gammas: Number of gammas, G.
        n_classes: Number of classes, K.

    Attributes:
        frames: Number of frames of each class, (K,).
        correct: Number of correctly labelled frames, (G, K).
    """

    def __init__(self, n_gammas: int, n_classes: int) -> None:
        self.frames = np.zeros(n_classes, np.int64)
        self.correct = np.zeros((n_gammas, n_classes), np.int64)

    def add(self, truth: Integers, is_correct: Flags) -> None:
        """Count the frames of a video.

        Args:
            truth: True classes (T,) of the frames in this role.
            is_correct: Whether a frame has the correct label, (G, T).
        """
        n_classes = len(self.frames)
        self.frames += np.bincount(truth, minlength=n_classes)
        for counts, is_correct_with_gamma in zip(self.correct, is_correct, strict=True):
            counts += np.bincount(truth[is_correct_with_gamma], minlength=n_classes)


class GammaCounts:
    """Counts of correct frames of seen and of unseen classes with each of G gammas.

    A class may be seen by one model and unseen by a different model, so each role has its own
    counts.

    Args:
        gammas: Values of gamma, including 0.
        n_classes: Number of classes.

    Attributes:
        seen: Counts of seen classes and of background.
        unseen: Counts of unseen classes.
        background: Indices of the background classes.
    """

    def __init__(self, gammas: Sequence[float], n_classes: int) -> None:
        self.gammas = gammas
        self.seen = _RoleCounts(len(gammas), n_classes)
        self.unseen = _RoleCounts(len(gammas), n_classes)
        self.background: set[int] = set()

    def add(self, scored: ScoredVideos, calibration: Calibration, groups: ClassGroups) -> None:
        """Count the frames of videos.

        Args:
            scored: The videos, which are decoded with each gamma and otherwise as in use.
            calibration: Calibration of their models.
            groups: Roles of the classes for these models.
        """
        self.background |= groups.background
        decoded = scored.decode_each_gamma(calibration, self.gammas)
        # For each video, truth is (T,) and predictions are (G, T).
        for truth, predictions in zip(scored.truth, decoded, strict=True):
            is_correct = predictions == truth  # (G, T)
            is_counted = (truth >= 0) & ~np.isin(truth, [*groups.also_unseen])
            is_unseen = np.isin(truth, [*groups.unseen])
            for counts, has_role in ((self.seen, ~is_unseen), (self.unseen, is_unseen)):
                frames = is_counted & has_role
                counts.add(truth[frames], is_correct[:, frames])

    def curve(self) -> metrics.SeenUnseenCurve:
        """Return the accuracy of seen and of unseen classes at each gamma."""
        n_classes = len(self.seen.frames)
        # The metric allows one role per class, so class k has index k if it is seen and K + k if it
        # is unseen. With K = 10, a frame of class 3 counts for class 13 if its model has not seen
        # class 3. Background is never unseen and keeps its index.
        frames = np.concatenate([self.seen.frames, self.unseen.frames])  # (2 K,)
        correct = np.concatenate([self.seen.correct, self.unseen.correct], axis=1)  # (G, 2 K)
        counts = {
            gamma: metrics.FrameCounts.of_arrays(frames, correct_with_gamma)
            for gamma, correct_with_gamma in zip(self.gammas, correct, strict=True)
        }
        unseen = range(n_classes, 2 * n_classes)
        return metrics.curve_of_counts(counts, unseen, tuple(self.background))
