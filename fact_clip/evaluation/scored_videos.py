"""Videos that are scored once and decoded with several settings, and the map of their classes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from fact_clip.config import DecodeConfig
from fact_clip.core import Flags, Floats, Integers, Names, Vocabulary
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
from fact_clip.inference.scorer import Scorer
from fact_clip.models import FACT
from fact_clip.runs.run import LoadedRun, Run

logger = logging.getLogger(__name__)

VideoLabels = list[Integers]
"""Class indices (T,) of each video."""


@dataclass(frozen=True)
class ClassMap:
    """Map between the classes of a data set, which are also the run's classes, and candidates.

    Labels are indices of `vocabulary`: the K classes of the data set, then the candidates that it
    lacks. Decoding instead gives each frame an index among the C candidates. Only this class
    converts between the two.

    Attributes:
        vocabulary: Vocabulary of the labels.
        n_classes: Number of classes of the data set.
        of_candidate: Label of each candidate, (C,).
        is_allowed: Whether each candidate may be predicted, (C,).
    """

    vocabulary: Vocabulary
    n_classes: int
    of_candidate: Integers
    is_allowed: Flags

    @classmethod
    def of(cls, dataset: Vocabulary, candidates: CandidateSet) -> ClassMap:
        """Return the map between a run's candidates and the classes of its data set."""
        names = candidates.vocabulary.names
        factors = dict(zip(names, candidates.vocabulary.factors, strict=True))
        new = [name for name in names if name not in dataset]
        vocabulary = dataset.extended(new, factors=factors)
        return cls(vocabulary, len(dataset), vocabulary.encode(names), candidates.is_allowed)

    @property
    def added(self) -> range:
        """Return the labels of candidates that the data set lacks."""
        return range(self.n_classes, len(self.vocabulary))

    @property
    def allowed(self) -> Integers:
        """Return the labels that may be predicted."""
        return self.of_candidate[self.is_allowed]

    def labels(self, candidate_indices: Integers) -> Integers:
        """Return the labels for candidate indices."""
        return self.of_candidate[candidate_indices]

    def log_scores(self, rows: Floats) -> Floats:
        """Return log scores (T, C) of candidates by label, -inf for labels that are not allowed."""
        table = np.full((len(rows), len(self.vocabulary)), -np.inf)
        table[:, self.allowed] = rows[:, self.is_allowed]
        return table

    def counts(self, of_classes: Integers) -> Integers:
        """Return counts of the data set's classes by label, with 0 for added candidates."""
        counts = np.zeros(len(self.vocabulary), np.int64)
        counts[: self.n_classes] = of_classes
        return counts


class ScoredVideos:
    """Videos that are scored once, so that they can be decoded with several settings.

    Args:
        scorer: Scorer with the models.
        dataset: Data set of the videos.
        video_names: Names of the videos.
        actions: Names of the candidates, or None for the classes of the run.

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
    ) -> None:
        self.scorer = scorer
        self.dataset = dataset
        self.video_names = video_names
        self.actions = actions
        self.settings = scorer.settings
        self.candidates = scorer.choose(actions)
        self.classes = ClassMap.of(dataset.vocabulary, self.candidates)
        self.truth = [dataset.labels(name) for name in video_names]

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
        videos = ScoredVideos(scorer, self.dataset, self.video_names, self.actions)
        videos.scores = self.scores
        return videos

    def of_model(self, model: int) -> ScoredVideos:
        """Return the videos with the scores of one model, without scoring them again."""
        of_model = copy(self)
        parts = [replace(scores, voters=(scores.voters[model],)) for scores in self.scores]
        of_model.__dict__["scores"] = parts
        return of_model

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
        hidden = [() if dataset.holdout is None else dataset.holdout.validation_unseen]
        hidden += [_hidden_names(member, hidden[0]) for member in members[1:]]
        parts = dataset.roles.parts.choose(hidden, first_videos=dataset.validation)
    else:
        parts = [member.validation_videos or () for member in members]
    datasets = [dataset]
    for member, part in zip(members[1:], parts[1:], strict=True):
        update = {
            "validation_videos": part,
            "validation_unseen": member.config.data.validation_unseen,
        }
        config = run.config.data.model_copy(update=update)
        datasets.append(Dataset.open(config, dataset.folder, dataset.vocabulary))
    return datasets


def _hidden_names(member: Run, default: Names) -> Names:
    """Return the validation-unseen classes of a member, by default the hold-out's."""
    names = member.config.data.validation_unseen
    return names if isinstance(names, tuple) else default
