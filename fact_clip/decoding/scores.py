"""From the scores of a video to labels.

    decode_scores: one way of decoding, as in use. All predicted labels come from here.
        class_scores: the probabilities of the candidates, averaged over the models.
        _Rows: the rows that are decoded, in which a threshold has raised the background.
        SegmentCosts.decode (segment_costs.py): the best labels under the costs of segments.
    decode_gammas: the same with several gammas at once, for the curve of a calibration.

Three words keep their meaning in this file. The *scores* of a video (`ModelScores`) are what its
models computed, before any correction. *Probabilities* are corrected by a candidate set, averaged
over the models, and have one row per `stride` frames. *Labels* are indices of candidates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from fact_clip.core import (
    Clock,
    Flags,
    Floats,
    InputError,
    Integers,
    NewWord,
    Singles,
    Vocabulary,
)
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.calibration import Calibration
from fact_clip.decoding.fusion import Voters, fuse, fuse_gammas
from fact_clip.decoding.segment_costs import SegmentCosts
from fact_clip.decoding.switching import absorb_short, raise_background

DecodedFrames = tuple[Integers, Singles]
"""Index of the candidate and its probability for each frame: (T,) and (T,)."""

# Probabilities that `decode_gammas` holds at once: 32 MB in float64.
_MAX_PROBABILITIES = 4_000_000


@dataclass(frozen=True)
class Scoring:
    """How candidates are scored in a frame, and how their log-scores are corrected.

    Attributes:
        text_embeddings: Text vectors (C, S, E) for a head that reads text, or None to use the
            vectors from training.
        log_prior: Numbers that are subtracted from the log-scores, (C,), or None for no correction.
        trained: Classes from which gamma is subtracted, (C,), or None for all classes.
        gamma: Number that is subtracted from the log-scores of trained classes, in nats.
    """

    text_embeddings: Tensor | None = None
    log_prior: Floats | None = None
    trained: Flags | None = None
    gamma: float = 0.0


@dataclass(frozen=True)
class CandidateSet:
    """The classes that frames can be labelled with.

    Attributes:
        vocabulary: The C candidates. Class indices refer to it.
        allowed: Classes that may be predicted, (C,), or None for all classes.
        new_words: Words of the candidates that no trained class has.
        scoring: Rules for scoring the candidates.
        costs: Costs of their segments.
    """

    vocabulary: Vocabulary
    allowed: Flags | None = None
    new_words: tuple[NewWord, ...] = ()
    scoring: Scoring = Scoring()
    costs: SegmentCosts = field(default_factory=SegmentCosts)

    @property
    def offset(self) -> Floats | None:
        """Return the offset of the log-scores, (C,), with -inf for a class that is not allowed."""
        scoring = self.scoring
        if scoring.log_prior is None and scoring.gamma == 0 and self.allowed is None:
            return None
        trained = scoring.trained
        if trained is None:
            trained = np.ones(len(self.vocabulary), bool)
        offset: Floats = -scoring.gamma * trained.astype(np.float64)
        if scoring.log_prior is not None:
            offset = offset - scoring.log_prior
        return offset if self.allowed is None else np.where(self.allowed, offset, -np.inf)

    @property
    def is_allowed(self) -> Flags:
        """Return whether each class may be predicted, (C,)."""
        return np.ones(len(self.vocabulary), bool) if self.allowed is None else self.allowed

    def with_gamma(self, gamma: float | None) -> CandidateSet:
        """Return the candidates with a different gamma. None keeps the gamma."""
        if gamma is None:
            return self
        return replace(self, scoring=replace(self.scoring, gamma=gamma))

    def calibrated(self, calibration: Calibration) -> CandidateSet:
        """Return the candidates with the corrections of a calibration."""
        scoring = replace(
            self.scoring,
            log_prior=calibration.prior_weight * calibration.log_prior(self.vocabulary),
            trained=calibration.is_seen(self.vocabulary),
            gamma=calibration.gamma,
        )
        return replace(self, scoring=scoring)

    def uncorrected(self) -> CandidateSet:
        """Return the candidates without prior correction and gamma."""
        return replace(self, scoring=replace(self.scoring, log_prior=None, gamma=0.0))


@dataclass(frozen=True)
class ModelScores:
    """Model scores of one video for a candidate set: the input of decoding, O(T * C).

    Attributes:
        n_frames: Number of frames, T.
        voters: Voters of each model, with one row per `stride` frames.
        frame_weight: Weight of the frame branch (see `fuse`).
        stride: Number of frames per row.
        rate: Rows per second, or None if unknown.
        clock: Times of the frames.
        rivals: Scores of the same video for all classes of the run in addition to the candidates.
    """

    n_frames: int
    voters: tuple[Voters, ...]
    frame_weight: float = 1.0
    stride: int = 1
    rate: float | None = None
    clock: Clock = field(default_factory=Clock)
    rivals: ModelScores | None = None

    @property
    def row_of_frame(self) -> Integers:
        """Return the row that determines the label of each frame, (T,)."""
        return np.arange(self.n_frames) // self.stride

    @property
    def nbytes(self) -> int:
        """Return the size in main memory, in bytes."""
        parts: list[object] = [self.rivals]
        for voter in self.voters:
            parts += vars(voter).values()
        return sum(part.nbytes for part in parts if isinstance(part, Tensor | ModelScores))

    def of_model(self, model: int) -> ModelScores:
        """Return the scores of one of the models."""
        rivals = None if self.rivals is None else self.rivals.of_model(model)
        return replace(self, voters=(self.voters[model],), rivals=rivals)

    def to(self, device: torch.device | str) -> ModelScores:
        """Return the scores on a different device."""
        voters = tuple(voter.map(lambda table: table.to(device)) for voter in self.voters)
        return replace(self, voters=voters)


@torch.inference_mode()
def decode_scores(
    scores: ModelScores,
    candidates: CandidateSet,
    settings: DecodeSettings | None = None,
    final: Integers | None = None,
    probabilities: Tensor | None = None,
    history: Integers | None = None,
) -> DecodedFrames:
    """Decode the scores of a video to one label per frame.

    Args:
        scores: Scores of the video for these candidates.
        candidates: Classes that frames can be labelled with.
        settings: Decoding settings. `reject` is applied by `Segmenter.decode` instead, which has
            the confidences of the run.
        final: Fixed labels of the first frames, a multiple of `ModelScores.stride`, after which
            decoding continues.
        probabilities: Result of `class_scores` for the candidates with the gamma of the settings,
            if it is available.
        history: Labels of rows before the first scored row, as returned by `shortened`.

    Returns:
        The candidate index and the probability of each frame, (T,) and (T,). If there is a
        threshold, but no background candidate, index C is the background, and its probability is
        the threshold.
    """
    settings = settings or DecodeSettings()
    if settings.threshold is not None and any(voter.aligned for voter in scores.voters):
        problem = "the scores of a model that aligns a transcript are not probabilities"
        raise InputError("threshold", problem, "leave it out")
    if probabilities is None:
        probabilities = class_scores(scores, candidates.with_gamma(settings.gamma))
    rows = _Rows.of(probabilities, candidates, settings.threshold)

    final_labels = np.empty(0, np.int64) if final is None else final[:: scores.stride]
    n_final = len(final_labels)
    fixed_labels = final_labels if history is None else np.concatenate([history, final_labels])
    new_labels = rows.costs.decode(
        rows.decoded[n_final:].clone(),
        rows.allowed,
        penalty=settings.switch_penalty or 0.0,
        fixed=fixed_labels,
    )
    labels = np.concatenate([final_labels, new_labels])  # (T',)

    if settings.shortest:
        if scores.rate is None:
            problem = "given in seconds, but the rate of these features is unknown"
            raise InputError("shortest", problem, "set fps=, or leave it out")
        shortest_rows = math.ceil(settings.shortest * scores.rate - 1e-6)
        labels = absorb_short(labels, rows.decoded.cpu().numpy(), shortest_rows, n_final)
    label_probabilities = rows.reported.cpu().numpy()[np.arange(len(labels)), labels]
    row_of_frame = scores.row_of_frame
    # The rounding of a mean may result in a value slightly above one.
    return labels[row_of_frame], label_probabilities.clip(0, 1)[row_of_frame]


@dataclass(frozen=True)
class _Rows:
    """The rows that `decode_scores` decodes: T' rows of K classes.

    K is the number of candidates, plus 1 if a threshold adds a background class.

    Attributes:
        decoded: Probabilities to decode, (T', K). A threshold has raised the background.
        reported: Probabilities to report for the labels, (T', K).
        allowed: Classes that may be predicted, (K,).
        costs: Costs of the segments of the classes.
    """

    decoded: Tensor
    reported: Tensor
    allowed: Flags
    costs: SegmentCosts

    @classmethod
    def of(cls, probabilities: Tensor, candidates: CandidateSet, threshold: float | None) -> _Rows:
        """Return the rows of probabilities (T', C). A threshold raises the background."""
        allowed = candidates.is_allowed
        if threshold is None:
            return cls(probabilities, probabilities, allowed, candidates.costs)
        background = candidates.vocabulary.background_indices
        raised = torch.from_numpy(
            raise_background(probabilities.cpu().numpy(), background, threshold)
        )
        if background:
            return cls(raised, probabilities, allowed, candidates.costs)
        with_background = candidates.costs.with_class()
        return cls(raised, raised, np.append(allowed, True), with_background)


@torch.inference_mode()
def class_scores(scores: ModelScores, candidates: CandidateSet) -> Tensor:
    """Return the class probabilities before decoding, averaged over the models.

    Args:
        scores: Scores of a video.
        candidates: The C classes, with their corrections.

    Returns:
        Probabilities (T', C).
    """
    offset = candidates.offset
    device = scores.voters[0].frames.device
    correction = None if offset is None else torch.from_numpy(offset).float().to(device)
    tables = [fuse(voter, scores.frame_weight, correction)[0] for voter in scores.voters]
    return mean_probabilities(tables)


def voter_labels(scores: ModelScores, candidates: CandidateSet) -> dict[str, DecodedFrames]:
    """Return the labels of each branch by itself, without a switching penalty.

    Args:
        scores: Scores of a video.
        candidates: Classes that frames can be labelled with.

    Returns:
        Mapping with "frames" and, if the model has tokens, "tokens". Each value is a result of
        `decode_scores`.
    """
    candidates = replace(candidates, costs=replace(candidates.costs, durations=None, rules=None))
    labels = {"frames": decode_scores(replace(scores, frame_weight=1.0), candidates)}
    if scores.voters[0].tokens is not None:
        labels["tokens"] = decode_scores(replace(scores, frame_weight=0.0), candidates)
    return labels


@torch.inference_mode()
def decode_gammas(
    scores: ModelScores,
    candidates: CandidateSet,
    trained: Flags,
    gammas: Sequence[float],
    settings: DecodeSettings | None = None,
) -> Integers:
    """Decode a video with several gammas, each in addition to the gamma of the candidates.

    The labels with each gamma are the same as from `decode_scores` with this gamma, up to rounding.
    Neither a threshold nor short segments are considered.

    Args:
        scores: Scores of the video.
        candidates: The C classes that frames can be labelled with.
        trained: Classes from which each gamma is subtracted, (C,).
        gammas: G values in nats.
        settings: Decoding settings, of which only the switching penalty is used.

    Returns:
        Class indices (G, T).
    """
    first = scores.voters[0]
    if first.aligned:  # aligned voters have no offset
        return np.tile(decode_scores(scores, candidates, settings)[0], (len(gammas), 1))
    penalty = 0.0 if settings is None else settings.switch_penalty or 0.0
    device = first.frames.device
    n_rows, n_classes = first.frames.shape[1:]
    offset = candidates.offset
    if offset is None:
        offset = np.zeros(n_classes)
    correction = torch.from_numpy(offset).float().to(device)
    subtracted = torch.from_numpy(trained).to(device)

    labels = []
    n_at_once = max(_MAX_PROBABILITIES // (n_rows * n_classes), 1)
    for part in torch.tensor(gammas, device=device).split(n_at_once):
        tables = [
            fuse_gammas(voter, scores.frame_weight, correction, subtracted, part)
            for voter in scores.voters
        ]
        probabilities = mean_probabilities(tables)  # (G', T', C)
        labels.append(candidates.costs.decode(probabilities, candidates.is_allowed, penalty))
    return np.concatenate(labels)[:, scores.row_of_frame]


def mean_probabilities(tables: list[Tensor], smoothing: float = 0.0) -> Tensor:
    """Return the probabilities of one model, or the normalised geometric mean of several models.

    Args:
        tables: Probabilities (..., T', C) of each model.
        smoothing: Share of a uniform distribution that is mixed into each table. Without it, a
            class that one model excludes is excluded.

    Returns:
        Probabilities (..., T', C).
    """
    probabilities = torch.stack(tables)
    if smoothing:
        uniform = 1 / probabilities.shape[-1]
        probabilities = probabilities.lerp(torch.full_like(probabilities, uniform), smoothing)
    if len(tables) == 1:
        return probabilities[0]
    smallest = torch.finfo(probabilities.dtype).tiny
    return probabilities.clamp(min=smallest).log().mean(0).softmax(-1)
