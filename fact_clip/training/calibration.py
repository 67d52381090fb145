"""Calibration and confidences of a run, learned from validation videos (docs/protocol.md)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

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
from fact_clip.training.class_map import ClassMap

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
    """Videos that some models score once, so that they can be decoded with several settings.

    Args:
        scorer: the models.
        dataset: of the videos.
        video_names: the videos.
        actions: names of the candidates; None: the classes of the run.
        scores: of the videos, if they are known already.

    Attributes:
        candidates: as the run scores and corrects them.
        classes: what their indices are among the labels of the data set.
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
        self.scorer = scorer
        self.dataset = dataset
        self.video_names = video_names
        self.settings = scorer.settings
        self.candidates = scorer.choose(actions)
        self.classes = ClassMap.of(dataset.vocabulary, self.candidates)
        self.truth = [dataset.labels(name) for name in video_names]
        if scores:
            self.scores = list(scores)  # instead of the cached property

    @cached_property
    def scores(self) -> list[ModelScores]:
        """Return the scores of each video, which are computed when they are first needed."""
        features = map(self.dataset.features, self.video_names)
        return [self.scorer.score(rows, self.candidates) for rows in features]

    def decoded(
        self, candidates: CandidateSet, settings: DecodeSettings | None = None
    ) -> VideoLabels:
        """Decode each video with these corrections of the candidates; None: the run's settings."""
        labels = []
        for scores in self.scores:
            indices, _ = decode_scores(scores, candidates, settings or self.settings)
            labels.append(self.classes.labels(indices))
        return labels

    def calibrated(self, calibration: Calibration) -> VideoLabels:
        """Decode each video with a calibration."""
        return self.decoded(self.candidates.calibrated(calibration))

    def with_gammas(
        self, calibration: Calibration, gammas: Sequence[float] = GAMMAS
    ) -> Iterator[NDArray[np.int64]]:
        """Decode each video with each of G gammas instead of that of the calibration.

        Yields:
            (G, T) labels, one video after the other.
        """
        candidates = self.candidates.calibrated(replace(calibration, gamma=0.0))
        seen = calibration.is_seen(candidates.vocabulary)
        for scores in paced(self.scores, "decoding with each gamma", logger):
            indices = decode_gammas(scores, candidates, seen, gammas, self.settings)
            yield self.classes.labels(indices)

    def among(self, classes: Sequence[int]) -> VideoLabels | None:
        """Decode each video with these classes alone; None if none of them is a candidate."""
        allowed = self.classes.allowed_among(classes)
        if not allowed.any():
            return None
        return self.decoded(replace(self.candidates.uncorrected(), allowed=allowed))

    def log_score_tables(self, calibration: Calibration) -> list[NDArray[np.float64]]:
        """Return calibrated log scores (T, K) of each video by label.

        A class that is not allowed, or no candidate, has -inf.
        """
        candidates = self.candidates.calibrated(calibration)
        tables = []
        for scores in self.scores:
            rows = _log_scores(scores, candidates)  # (T', C)
            tables.append(self.classes.log_scores(rows[scores.row_of_frame]))
        return tables

    def uncorrected_log_scores(self) -> list[NDArray[np.float64]]:
        """Return log scores (T', C) of each video without a correction."""
        candidates = replace(self.candidates.uncorrected(), allowed=None)
        return [_log_scores(scores, candidates) for scores in self.scores]


def _log_scores(scores: ModelScores, candidates: CandidateSet) -> NDArray[np.float64]:
    table = class_scores(scores, candidates).cpu().numpy()
    return np.log(np.maximum(table, np.finfo(table.dtype).tiny))


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

    def add(self, videos: ScoredVideos, calibration: Calibration, groups: ClassGroups) -> None:
        """Count the frames of videos.

        Args:
            videos: which are decoded as in use.
            calibration: of their models.
            groups: what the classes are for these models.
        """
        self.background |= groups.background
        decoded = videos.with_gammas(calibration, self.gammas)
        for truth, predictions in zip(videos.truth, decoded, strict=True):
            is_counted = (truth >= 0) & ~np.isin(truth, [*groups.also_unseen])
            role = np.isin(truth, [*groups.unseen]).astype(np.int64)  # the row of each frame
            cell = role * self.frames.shape[1] + truth
            self.frames += self._table(cell[is_counted])
            for right, is_right in zip(self.right, predictions == truth, strict=True):
                right += self._table(cell[is_counted & is_right])

    def _table(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often each cell of the table occurs, (2, K)."""
        return np.bincount(cells, minlength=self.frames.size).reshape(self.frames.shape)

    def curve(self) -> metrics.SeenUnseenCurve:
        """Return the accuracy of seen and of unseen classes over gamma."""
        counts = {
            gamma: metrics.FrameCounts.of_arrays(self.frames.ravel(), right.ravel())
            for gamma, right in zip(self.gammas, self.right, strict=True)
        }
        n_classes = self.frames.shape[1]
        unseen = range(n_classes, 2 * n_classes)
        return metrics.curve_of_counts(counts, unseen, tuple(self.background))


def validation_videos(
    run: Run,
    dataset: Dataset,
    device: torch.device | str,
    calibration: Calibration | None = None,
) -> list[ScoredVideos]:
    """Return the validation videos, with the models of a run that have not learned them.

    Args:
        run: the trained run.
        dataset: its data set.
        device: where the models run.
        calibration: a calibration to apply, or None to learn one.

    Returns:
        One element for a run whose members share their validation videos, otherwise one for each
        member.
    """
    if not run.config.train.member_parts:
        loaded = LoadedRun(run, run.models(), calibration)
        return [ScoredVideos(Scorer(loaded, device), dataset, dataset.validation)]
    loaded = LoadedRun(run, [run.model()], calibration)
    videos = [ScoredVideos(Scorer(loaded, device), dataset, dataset.validation)]
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
        of_member = Dataset.open(data, dataset.folder)
        videos.append(ScoredVideos(Scorer(loaded, device), of_member, of_member.validation))
    return videos


def calibrate(videos: Sequence[ScoredVideos], config: DecodeConfig) -> Calibration:
    """Learn gamma and the prior from validation videos and training labels alone.

    Where no validation video has a frame of a validation-unseen class, all classes without training
    frames are rivals of the seen ones, since gamma is chosen by S alone. A class that one member of
    an ensemble has learned is seen where all are used.

    Args:
        videos: the result of `validation_videos`.
        config: of the run, for its prior and the cost of gamma.

    Raises:
        InputError: the prior needs validation videos and there are none.
    """
    datasets = [part.dataset for part in videos]
    check_posterior(config, datasets[0])
    start = uncalibrated(datasets, config.prior_weight)
    if not datasets[0].validation:
        return start
    if config.prior_weight:
        start = _with_prior(start, videos)
    return replace(start, gamma=_choose_gamma(videos, start, config.gamma_cost))


def _choose_gamma(videos: Sequence[ScoredVideos], start: Calibration, cost: float) -> float:
    """Choose gamma by its cost in seen accuracy, first coarsely, then between neighbours."""
    coarse = choose_gamma_by_cost(_validation_curve(videos, start, GAMMAS), cost)
    index = GAMMAS.index(coarse)
    lower = GAMMAS[max(index - 1, 0)]
    upper = GAMMAS[min(index + 1, len(GAMMAS) - 1)]
    fine = {0.0}
    for neighbour in (lower, upper):
        fine.update(np.linspace(coarse, neighbour, _STEPS_BETWEEN + 1).tolist())
    return choose_gamma_by_cost(_validation_curve(videos, start, sorted(fine)), cost)


def _validation_curve(
    videos: Sequence[ScoredVideos], start: Calibration, gammas: Sequence[float]
) -> metrics.SeenUnseenCurve:
    """Return the curve over the validation videos of all models."""
    counts = GammaCounts(gammas, len(videos[0].classes.vocabulary))
    has_unseen_frames = any(_has_unseen_frames(part.dataset) for part in videos)
    for part in videos:
        dataset = part.dataset
        unseen = dataset.validation_unseen
        also_unseen = dataset.unseen
        if not has_unseen_frames:
            unseen, also_unseen = also_unseen, unseen
        groups = class_groups(unseen, dataset.vocabulary.background_indices, also_unseen)
        seen_by_model = uncalibrated([dataset]).seen
        counts.add(part, replace(start, seen=seen_by_model), groups)
    return counts.curve()


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
    return np.max([dataset.training_counts for dataset in datasets], axis=0)


def _with_prior(start: Calibration, videos: Sequence[ScoredVideos]) -> Calibration:
    """Return the calibration with log p(c) of all actions, and 0 for background."""
    datasets = [part.dataset for part in videos]
    vocabulary = datasets[0].vocabulary
    tables = []
    for part in videos:
        tables += part.uncorrected_log_scores()
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
    for videos in validation_videos(run, dataset, device, calibration):
        for name in paced(videos.video_names, "confidences of validation videos", logger):
            indices, score = videos.scorer.predict(videos.dataset.features(name))
            labels.append(videos.classes.labels(indices))
            scores.append(score.astype(np.float64))
        truth += videos.truth
    if not any((true >= 0).any() for true in truth):
        return None
    return Confidence.learned(labels, scores, truth)
