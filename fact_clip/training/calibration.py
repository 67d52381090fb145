"""Calibration and confidences of a run, learned from validation videos (docs/protocol.md)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.config import DecodeConfig
from fact_clip.core import InputError
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.progress import paced
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import (
    Calibration,
    CandidateSet,
    Confidence,
    ModelScores,
    class_scores,
    decode_gammas,
    decode_scores,
)
from fact_clip.decoding.calibration import (
    choose_gamma_by_cost,
    factor_frames,
    log_mean_posterior,
    log_prior,
)
from fact_clip.inference.scorer import Scorer
from fact_clip.metrics.zero_shot import ClassGroups, class_groups
from fact_clip.run import LoadedRun, Run, member_folders

logger = logging.getLogger(__name__)

# In nats. The ends are so far out that no frame changes any more, whatever the scores.
_POSITIVE = (*np.arange(0.5, 10.25, 0.5).tolist(), 12.0, 14.0, 17.0, 20.0, 25.0, 30.0, 40.0, 1000.0)
GAMMAS = (*(-gamma for gamma in reversed(_POSITIVE)), 0.0, *_POSITIVE)

_STEPS_BETWEEN = 8  # between two of `GAMMAS`, when gamma is chosen

# Of a mean posterior: among 67 classes none has less than a frame in thirteen thousand.
_SMOOTHING = 0.005

VideoLabels = list[NDArray[np.int64]]
"""Class indices (T,) of each video."""


class ScoredVideos:
    """Videos that a model has scored once, so that they can be decoded with several settings.

    Args:
        scorer: the model.
        dataset: of the videos.
        video_names: the videos.
        actions: names of the candidates; None: the classes of the run.
        scores: of the videos, if they are known already.

    Attributes:
        vocabulary: the classes of the data set and the candidates that it lacks.
        class_of_candidate: (C,) the index of each candidate in `vocabulary`.
        truth: true labels of each video.
    """

    def __init__(
        self,
        scorer: Scorer,
        dataset: Dataset,
        video_names: Sequence[str],
        actions: Sequence[str] | None = None,
        scores: Sequence[ModelScores] | None = None,
    ) -> None:
        self.settings = scorer.settings
        self.candidates = scorer.choose(actions)
        self.vocabulary, self.class_of_candidate = self.candidates.extend(dataset.vocabulary)
        if not scores:
            scores = [scorer.score(dataset.features(name), self.candidates) for name in video_names]
        self.scores = scores
        self.truth = [dataset.labels(name) for name in video_names]

    def decoded(
        self, candidates: CandidateSet, settings: DecodeSettings | None = None
    ) -> VideoLabels:
        """Decode each video with these corrections of the candidates; None: the run's settings."""
        settings = settings or self.settings
        return [
            self.class_of_candidate[decode_scores(scores, candidates, settings)[0]]
            for scores in self.scores
        ]

    def corrected(self, calibration: Calibration) -> CandidateSet:
        """Return the candidates with the corrections of a calibration."""
        vocabulary = self.candidates.vocabulary
        return replace(
            self.candidates,
            log_prior=calibration.weighted_log_prior(vocabulary),
            trained=calibration.is_seen(vocabulary),
            gamma=calibration.gamma,
        )

    def calibrated(self, calibration: Calibration) -> VideoLabels:
        """Decode each video with a calibration."""
        return self.decoded(self.corrected(calibration))

    def with_gammas(
        self, calibration: Calibration, gammas: Sequence[float] = GAMMAS
    ) -> Iterator[NDArray[np.int64]]:
        """Decode each video with each of G gammas in place of that of the calibration.

        Yields:
            (G, T) class indices, one video after the other.
        """
        candidates = self.corrected(replace(calibration, gamma=0.0))
        seen = calibration.is_seen(candidates.vocabulary)
        for scores in paced(self.scores, "decoding with each gamma", logger):
            labels = decode_gammas(scores, candidates, seen, gammas, self.settings)
            yield self.class_of_candidate[labels]

    def among(self, classes: Sequence[int]) -> VideoLabels | None:
        """Decode each video with these classes alone; None if none of them is a candidate."""
        allowed = np.isin(self.class_of_candidate, classes) & self.candidates.is_allowed
        if not allowed.any():
            return None
        return self.decoded(replace(self.candidates, log_prior=None, gamma=0.0, allowed=allowed))

    def log_score_tables(self, calibration: Calibration) -> list[NDArray[np.float64]]:
        """Return calibrated log scores (T, C) of each video over `vocabulary`.

        A class that is not allowed, or no candidate, has -inf.
        """
        candidates = self.corrected(calibration)
        not_allowed = self.class_of_candidate[~candidates.is_allowed]
        tables = []
        for scores in self.scores:
            table = np.full((scores.n_frames, len(self.vocabulary)), -np.inf)
            rows = _log_scores(scores, candidates)  # (T', C)
            table[:, self.class_of_candidate] = rows[scores.row_of_frame]
            table[:, not_allowed] = -np.inf
            tables.append(table)
        return tables

    def uncorrected_log_scores(self) -> list[NDArray[np.float64]]:
        """Return log scores (T', C) of each video without a correction."""
        candidates = replace(self.candidates, log_prior=None, gamma=0.0, allowed=None)
        return [_log_scores(scores, candidates) for scores in self.scores]


def _log_scores(scores: ModelScores, candidates: CandidateSet) -> NDArray[np.float64]:
    table = class_scores(scores, candidates).cpu().numpy()
    return np.log(np.maximum(table, np.finfo(table.dtype).tiny))


@dataclass(frozen=True)
class CalibrationVideos:
    """Videos that some models have not learned, with what applies to these models.

    Attributes:
        scored: the videos.
        calibration: of the models.
        groups: classes by role.
    """

    scored: ScoredVideos
    calibration: Calibration
    groups: ClassGroups


def curve_over_gammas(
    parts: Sequence[CalibrationVideos], gammas: Sequence[float] = GAMMAS
) -> metrics.SeenUnseenCurve:
    """Compute the accuracy of seen and of unseen classes over gamma.

    Args:
        parts: videos, which are decoded as in use.
        gammas: values of gamma, 0 among them.

    Returns:
        The curve over all videos of the parts.
    """
    n_classes = max(len(part.scored.vocabulary) for part in parts)
    # An unseen class is counted at its index + n_classes.
    total = np.zeros(2 * n_classes, np.int64)
    right = np.zeros((len(gammas), 2 * n_classes), np.int64)
    background: set[int] = set()
    for part in parts:
        groups = part.groups
        background |= {*groups.background}
        decoded = part.scored.with_gammas(part.calibration, gammas)
        for truth, predictions in zip(part.scored.truth, decoded, strict=True):
            is_counted = (truth >= 0) & ~np.isin(truth, [*groups.also_unseen])
            is_unseen = np.isin(truth, [*groups.unseen])
            index = np.where(is_unseen, truth + n_classes, truth)
            total += np.bincount(index[is_counted], minlength=2 * n_classes)
            for number, is_right in enumerate(predictions == truth):
                hits = index[is_counted & is_right]
                right[number] += np.bincount(hits, minlength=2 * n_classes)
    counts = {
        gamma: metrics.FrameCounts.of_arrays(total, hits)
        for gamma, hits in zip(gammas, right, strict=True)
    }
    return metrics.curve_of_counts(counts, range(n_classes, 2 * n_classes), tuple(background))


@dataclass(frozen=True)
class CalibrationPair:
    """A scorer, and the data set whose validation videos it decodes."""

    scorer: Scorer
    dataset: Dataset


def calibration_pairs(
    run: Run,
    dataset: Dataset,
    device: torch.device | str,
    calibration: Calibration | None = None,
) -> list[CalibrationPair]:
    """Return the scorers for calibration, each with a data set whose validation videos it decodes.

    Args:
        run: the trained run.
        dataset: its data set.
        device: where the models run.
        calibration: a calibration to apply, or None to learn one.

    Returns:
        One pair for a run whose members share their validation videos, otherwise one pair for each
        member.
    """
    if not run.config.train.member_parts:
        loaded = LoadedRun(run, run.models(), calibration)
        return [CalibrationPair(Scorer(loaded, device), dataset)]
    loaded = LoadedRun(run, [run.model()], calibration)
    pairs = [CalibrationPair(Scorer(loaded, device), dataset)]
    for folder in member_folders(run.path, run.config.train.members):
        member = Run.read(folder)
        # The configuration of the run, whose decoding may have been overridden, with the
        # validation videos of the member.
        update = {
            "validation_part": member.config.data.validation_part,
            "validation_unseen": member.config.data.validation_unseen,
        }
        data = run.config.data.model_copy(update=update)
        config = run.config.model_copy(update={"data": data})
        loaded = LoadedRun(replace(member, config=config), [member.model()], calibration)
        pairs.append(CalibrationPair(Scorer(loaded, device), Dataset.open(data, dataset.folder)))
    return pairs


def calibrate(pairs: Sequence[CalibrationPair]) -> Calibration:
    """Learn gamma and the prior from validation videos and training labels alone.

    Where no validation video has a frame of a validation-unseen class, all classes without training
    frames are rivals of the seen ones, since gamma is chosen by S alone. A class that one member of
    an ensemble has learned is seen where all are used.

    Args:
        pairs: those of `calibration_pairs`.

    Raises:
        InputError: the prior needs validation videos and there are none.
    """
    datasets = [pair.dataset for pair in pairs]
    config = pairs[0].scorer.run.config.decode
    check_posterior(config, datasets[0])
    start = uncalibrated(datasets, config.prior_weight)
    if not datasets[0].validation:
        return start
    scored = [ScoredVideos(pair.scorer, pair.dataset, pair.dataset.validation) for pair in pairs]
    if config.prior_weight:
        start = _with_prior(start, datasets, scored)
    parts = _calibration_videos(scored, datasets, start)
    return replace(start, gamma=_choose_gamma(parts, config.gamma_cost))


def _calibration_videos(
    scored: Sequence[ScoredVideos], datasets: Sequence[Dataset], start: Calibration
) -> list[CalibrationVideos]:
    """Return the validation videos with the class groups that gamma is chosen with."""
    has_unseen_frames = any(_has_unseen_frames(dataset) for dataset in datasets)
    parts = []
    for videos, dataset in zip(scored, datasets, strict=True):
        unseen = dataset.validation_unseen
        also_unseen = dataset.unseen
        if not has_unseen_frames:
            unseen = dataset.unseen
            also_unseen = dataset.validation_unseen
        part = CalibrationVideos(
            scored=videos,
            calibration=replace(start, seen=uncalibrated([dataset]).seen),
            groups=class_groups(unseen, dataset.vocabulary.background_indices, also_unseen),
        )
        parts.append(part)
    return parts


def _choose_gamma(parts: Sequence[CalibrationVideos], cost: float) -> float:
    """Choose gamma by its cost in seen accuracy, first coarsely, then between neighbours."""
    coarse = choose_gamma_by_cost(curve_over_gammas(parts, GAMMAS), cost)
    index = GAMMAS.index(coarse)
    lower = GAMMAS[max(index - 1, 0)]
    upper = GAMMAS[min(index + 1, len(GAMMAS) - 1)]
    fine = {0.0}
    for neighbour in (lower, upper):
        fine.update(np.linspace(coarse, neighbour, _STEPS_BETWEEN + 1).tolist())
    return choose_gamma_by_cost(curve_over_gammas(parts, sorted(fine)), cost)


def check_posterior(config: DecodeConfig, dataset: Dataset) -> None:
    """Raise an InputError if the prior needs validation videos and there are none."""
    if config.prior_weight and not dataset.validation:
        problem = "the prior needs validation videos"
        raise InputError("decode.prior_weight", problem, "set data.validation")


def _has_unseen_frames(dataset: Dataset) -> bool:
    """Return whether a validation video has a frame of a validation-unseen class."""
    return any(
        np.isin(dataset.labels(name), dataset.validation_unseen).any()
        for name in dataset.validation
    )


def uncalibrated(datasets: Sequence[Dataset], prior_weight: float = 0.0) -> Calibration:
    """Return the calibration with gamma 0 and the prior of the factors.

    Args:
        datasets: of the members; a class that one of them may see is seen.
        prior_weight: share of the prior that is subtracted.
    """
    vocabulary = datasets[0].vocabulary
    seen = {label for dataset in datasets for label in dataset.seen}
    names = tuple(vocabulary.names[label] for label in sorted(seen))
    return Calibration(names, factor_frames(vocabulary, _training_frames(datasets)), prior_weight)


def _training_frames(datasets: Sequence[Dataset]) -> NDArray[np.int64]:
    """Return the training frames of each class, (C,), in the data set that has most of it."""
    return np.max([dataset.class_counts() for dataset in datasets], axis=0)


def _with_prior(
    start: Calibration, datasets: Sequence[Dataset], scored: Sequence[ScoredVideos]
) -> Calibration:
    """Return the calibration with log p(c) of all actions, and 0 for background."""
    vocabulary = datasets[0].vocabulary
    tables = []
    for videos in scored:
        tables += videos.uncorrected_log_scores()
    expected = start.log_prior(vocabulary)
    posterior = log_mean_posterior(tables, _SMOOTHING)
    prior = log_prior(expected, _training_frames(datasets), posterior)
    shift = float((prior - expected).mean())
    # Background is no rival of rare actions: frames that it lost would go to any of them.
    prior[list(vocabulary.background_indices)] = 0.0
    prior_of_class = dict(zip(vocabulary.names, prior.tolist(), strict=True))
    return replace(start, prior=prior_of_class, shift=shift)


def learn_confidence(
    run: Run, dataset: Dataset, device: torch.device | str, calibration: Calibration | None
) -> Confidence | None:
    """Fit the confidences of a run to its validation videos.

    Args:
        run: the trained run.
        dataset: its data set.
        device: where the models run.
        calibration: of the run.

    Returns:
        The confidences, or None without a labelled validation frame, or with transcripts.
    """
    if run.config.model.transcript or not dataset.validation:
        return None
    labels: VideoLabels = []
    scores: list[NDArray[np.float64]] = []
    truth: VideoLabels = []
    for pair in calibration_pairs(run, dataset, device, calibration):
        videos = pair.dataset.validation
        for name in paced(videos, "confidences of validation videos", logger):
            predicted, score = pair.scorer.predict(pair.dataset.features(name))
            labels.append(predicted)
            scores.append(score.astype(np.float64))
            truth.append(pair.dataset.labels(name))
    if not any((true >= 0).any() for true in truth):
        return None
    return Confidence.learned(labels, scores, truth)
