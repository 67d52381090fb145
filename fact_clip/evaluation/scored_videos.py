"""Videos that are scored once and decoded with several settings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from fact_clip.config import DecodeConfig
from fact_clip.core import Floats, Integers, Names
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.progress import paced
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import (
    Calibration,
    CandidateSet,
    ModelScores,
    class_scores,
    decode_gammas,
    decode_scores,
)
from fact_clip.decoding.scores import DecodedFrames
from fact_clip.evaluation.class_map import ClassMap
from fact_clip.inference.scorer import Scorer
from fact_clip.models import FACT
from fact_clip.runs.run import LoadedRun, Run
from fact_clip.unseen.holdout import Holdout

logger = logging.getLogger(__name__)

VideoLabels = list[Integers]
"""Class indices (T,) of each video."""


class ScoredVideos:
    """Videos that are scored once, so that they can be decoded with several settings.

    Args:
        scorer: Scorer with the models.
        dataset: Data set of the videos.
        video_names: Names of the videos.
        actions: Names of the candidates, or None for the classes of the run.
        scores: Scores of the videos for these candidates, or None to compute them on first use.

    Attributes:
        candidates: Candidates with the run's corrections.
        classes: Map between candidate indices and labels.
        truth: True labels of each video.
    """

    def __init__(
        self,
        scorer: Scorer,
        dataset: Dataset,
        video_names: Sequence[str],
        actions: Sequence[str] | None = None,
        scores: list[ModelScores] | None = None,
    ) -> None:
        self.scorer = scorer
        self.dataset = dataset
        self.video_names = video_names
        self.actions = actions
        self.settings = scorer.settings
        self.candidates = scorer.choose(actions)
        self.classes = ClassMap.of(dataset.vocabulary, self.candidates)
        self.truth = [dataset.labels(name) for name in video_names]
        if scores is not None:
            self.scores = scores

    @cached_property
    def datasets(self) -> list[Dataset]:
        """Return the `member_datasets` of the run."""
        return member_datasets(self.scorer.run, self.dataset)

    @cached_property
    def scores(self) -> list[ModelScores]:
        """Return the scores of each video. They are computed on first use."""
        scores = []
        for name in paced(self.video_names, "scoring videos", logger):
            scores.append(self.scorer.score(self.dataset.features(name), self.candidates))
        return scores

    def with_decoding(self, decode: DecodeConfig, calibration: Calibration | None) -> ScoredVideos:
        """Return the videos with the same scores and models but a different decoding.

        Args:
            decode: Settings that differ from the settings of the run only in ``switch_penalty``
                and ``order``, which do not influence the scores.
            calibration: Calibration to apply, or None.

        Returns:
            The videos. Their decoding equals the decoding of a run opened with these settings.
        """
        run = self.scorer.run
        run = replace(run, config=run.config.model_copy(update={"decode": decode}))
        scorer = Scorer(LoadedRun(run, self.scorer.models, calibration), self.scorer.device)
        return ScoredVideos(scorer, self.dataset, self.video_names, self.actions, self.scores)

    def of_model(self, model: int) -> ScoredVideos:
        """Return the videos with the scores of one model, without scoring them again.

        The scorer, with its decoding and calibration, is the scorer of all models.
        """
        scores = [of_all.of_model(model) for of_all in self.scores]
        return ScoredVideos(self.scorer, self.dataset, self.video_names, self.actions, scores)

    def decode(
        self, candidates: CandidateSet | None = None, settings: DecodeSettings | None = None
    ) -> VideoLabels:
        """Decode each video.

        Args:
            candidates: Candidates with their corrections, or None for the corrections of the run.
            settings: Decoding settings, or None for the settings of the run.

        Returns:
            Labels (T,) of each video.
        """
        return [labels for labels, _ in self.decode_with_confidence(candidates, settings)]

    def decode_with_confidence(
        self, candidates: CandidateSet | None = None, settings: DecodeSettings | None = None
    ) -> list[DecodedFrames]:
        """Decode each video to its labels (T,) and their probabilities (T,); see `decode`."""
        decoded = []
        for scores in self.scores:
            indices, probabilities = decode_scores(
                scores, candidates or self.candidates, settings or self.settings
            )
            decoded.append((self.classes.labels(indices), probabilities))
        return decoded

    def decode_each_gamma(
        self, calibration: Calibration, gammas: Sequence[float]
    ) -> Iterator[Integers]:
        """Decode each video with each of G gammas, which replace the gamma of the calibration.

        Yields:
            Labels (G, T) of one video after the other.
        """
        candidates = self.candidates.calibrated(replace(calibration, gamma=0.0))
        is_seen = calibration.is_seen(candidates.vocabulary)
        for scores in paced(self.scores, "decoding with each gamma", logger):
            indices = decode_gammas(scores, candidates, is_seen, gammas, self.settings)
            yield self.classes.labels(indices)

    def decode_among(self, classes: Sequence[int]) -> VideoLabels | None:
        """Decode each video with only these classes. Return None if none of them is a candidate."""
        allowed = np.isin(self.classes.of_candidate, classes) & self.classes.is_allowed
        if not allowed.any():
            return None
        return self.decode(replace(self.candidates.uncorrected(), allowed=allowed))

    def log_score_tables(self, calibration: Calibration) -> list[Floats]:
        """Return calibrated log scores (T, K) of each video by label.

        Classes that are not allowed, or are not candidates, have -inf.
        """
        candidates = self.candidates.calibrated(calibration)
        tables = []
        for scores in self.scores:
            rows = _log_scores(scores, candidates)  # (T', C)
            tables.append(self.classes.log_scores(rows[scores.row_of_frame]))
        return tables

    def uncorrected_log_scores(self) -> list[Floats]:
        """Return log scores (T', C) of each video without corrections."""
        candidates = replace(self.candidates.uncorrected(), allowed=None)
        return [_log_scores(scores, candidates) for scores in self.scores]


def _log_scores(scores: ModelScores, candidates: CandidateSet) -> Floats:
    table = class_scores(scores, candidates).cpu().numpy()
    return np.log(np.maximum(table, np.finfo(table.dtype).tiny))


def validation_videos(
    run: Run, models: Sequence[FACT], dataset: Dataset, device: torch.device | str
) -> list[ScoredVideos]:
    """Return the validation videos, each with the models of a run that have not learned it.

    No calibration is applied to the videos; see `ScoredVideos.with_decoding`.

    Args:
        run: The trained run.
        models: Models of the run, already loaded.
        dataset: Data set of the run.
        device: Device of the models.

    Returns:
        One element if all members have the same validation videos, otherwise one for each member.
    """
    if not run.config.train.member_parts:
        scorer = Scorer(LoadedRun(run, models), device)
        return [ScoredVideos(scorer, dataset, dataset.validation)]
    scored_by_model = []
    datasets = member_datasets(run, dataset)
    for member, model, of_member in zip(run.members(), models, datasets, strict=True):
        # The decoding of the run may have been overridden.
        described = replace(member, config=run.config, lengths=member.lengths or run.lengths)
        scorer = Scorer(LoadedRun(described, [model]), device)
        scored_by_model.append(ScoredVideos(scorer, of_member, of_member.validation))
    return scored_by_model


def member_datasets(run: Run, dataset: Dataset) -> list[Dataset]:
    """Return the data sets of a run's members, which may differ in training videos and classes.

    Args:
        run: The run.
        dataset: Data set of the first member. If the configuration of the run lists no validation
            videos, the parts of the members are chosen from the training videos.

    Returns:
        One data set if all members have the same, otherwise one for each member.
    """
    if not run.config.train.member_parts:
        return [dataset]
    members = run.members()
    if run.config.data.validation_videos is None:
        hidden = _hidden_classes(members, dataset.holdout)
        parts = dataset.roles.parts.choose(hidden, first_videos=dataset.validation)
    else:
        parts = [member.validation_videos or () for member in members]
    datasets = []
    for index, (member, part) in enumerate(zip(members, parts, strict=True)):
        if index == 0:
            datasets.append(dataset)
            continue
        update = {
            "validation_videos": part,
            "validation_unseen": member.config.data.validation_unseen,
        }
        config = run.config.data.model_copy(update=update)
        datasets.append(Dataset.open(config, dataset.folder, dataset.vocabulary))
    return datasets


def _hidden_classes(members: Sequence[Run], holdout: Holdout | None) -> list[Names]:
    """Return the validation-unseen classes of each member.

    The first member, and every member that names no classes, have the classes of the hold-out.
    """
    of_holdout = () if holdout is None else holdout.validation_unseen
    hidden: list[Names] = []
    for index, member in enumerate(members):
        names = member.config.data.validation_unseen
        if index > 0 and isinstance(names, tuple):
            hidden.append(names)
        else:
            hidden.append(of_holdout)
    return hidden
