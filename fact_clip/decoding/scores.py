"""From the scores of a video to labels. All decoding uses `decode_scores`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

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
    runs,
)
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.calibration import Calibration
from fact_clip.decoding.durations import Durations, decode_durations
from fact_clip.decoding.fusion import Voters, fuse, fuse_gammas
from fact_clip.decoding.switching import (
    IMPOSSIBLE,
    StateCosts,
    absorb_short,
    decode_switching,
    raise_background,
)
from fact_clip.decoding.visits import VisitRules

Labels = tuple[Integers, Singles]
"""Candidate index and score of each frame: (T,) and (T,)."""

# Scores that are decoded at once if a video is decoded in several ways: 32 MB in float64.
_MAX_SCORES = 4_000_000

_LIVE = float(np.log(0.05))  # a class is decoded only if it comes this close to the best of a row
_NOT_ALLOWED = -1e4  # nats per row; finite, because lengths need sums of scores


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
class SegmentCosts:
    """The costs of a labelling in addition to the scores of frames: order, lengths, rules.

    Attributes:
        transitions: Costs of changes, in units of the switching penalty, or None for costs of 1.
        durations: Lengths of the segments of the classes, or None if all lengths are equally good.
        rules: Rules about whole videos (see `VisitRules`). They are applied only if no rows are
            fixed.
    """

    transitions: StateCosts | None = None
    durations: Durations | None = None
    rules: VisitRules | None = None

    def with_class(self) -> SegmentCosts:
        """Return the costs with an additional last class, the background that a threshold adds."""
        rules = self.rules
        if rules is not None:
            rules = VisitRules(np.append(rules.always, False), np.append(rules.once, False))
        return SegmentCosts(
            transitions=None if self.transitions is None else self.transitions.with_class(),
            durations=None if self.durations is None else self.durations.with_class(),
            rules=rules,
        )

    def decode(
        self, table: Tensor, allowed: Flags, penalty: float, fixed: Integers | None = None
    ) -> Integers:
        """Decode scores to labels.

        Args:
            table: Probabilities (T', C) or (G, T', C), which are overwritten.
            allowed: Classes that may be predicted, (C,).
            penalty: Penalty of a usual change, in nats.
            fixed: Labels of the rows before the first one.

        Returns:
            Class indices (T',) or (G, T').
        """
        if penalty or self.durations is not None or self.rules is not None:
            # A score of zero must stay above the score of a class that is not allowed.
            table = table.clamp_(min=torch.finfo(table.dtype).tiny).log_()
        if not allowed.all():
            table[..., torch.from_numpy(~allowed)] = _NOT_ALLOWED
        rows = table.cpu().numpy()
        fixed = np.empty(0, np.int64) if fixed is None else fixed
        decode = partial(self._decode_rows, penalty=penalty, fixed=fixed)
        if self.rules is None or len(fixed):
            return decode(rows)
        if rows.ndim == 3:
            return np.stack([self.rules.decode(video, decode) for video in rows])
        return self.rules.decode(rows, decode)

    def _decode_rows(self, rows: Floats, penalty: float, fixed: Integers) -> Integers:
        """Decode log-scores (T', C) or (G, T', C)."""
        if self.durations is None and (self.transitions is None or not penalty):
            previous = int(fixed[-1]) if len(fixed) else None
            return decode_switching(rows, penalty, None, previous)
        return self._decode_states(rows, penalty, fixed)

    def _decode_states(self, rows: Floats, penalty: float, fixed: Integers) -> Integers:
        """Decode scores (T', C) or (G, T', C) by states (see `StateCosts`)."""
        n_classes = rows.shape[-1]
        if rows.ndim == 3 and self.durations is not None:
            return np.stack([self._decode_states(video, penalty, fixed) for video in rows])
        changes = self.transitions or StateCosts.plain(1 - np.eye(n_classes))
        # Several ways are decoded in one pass. The result of each way must not depend on the other
        # ways,
        # so no class is left out.
        is_live = np.full(n_classes, rows.ndim == 3)
        if rows.ndim == 2:
            is_live = (rows >= rows.max(-1, keepdims=True) + _LIVE).any(0)
        is_live[changes.class_of_state[changes.last_action >= 0]] = True
        is_live[fixed] = True
        changes = changes.of_live(is_live)
        classes = changes.class_of_state
        rows = rows[..., classes]
        previous = None
        n_previous = 0
        if len(fixed):
            previous = changes.state_after(fixed)
            n_previous = len(fixed) - runs(fixed)[-1][0]
        else:
            rows[..., 0, changes.last_action >= 0] = _NOT_ALLOWED
        costs = penalty * changes.costs
        costs[changes.costs >= IMPOSSIBLE] = IMPOSSIBLE
        if self.durations is None:
            return classes[decode_switching(rows, 1.0, costs, previous)]
        decoded = decode_durations(
            rows,
            costs,
            self.durations.log_scores[:, classes],
            previous,
            n_previous,
            self.durations.log_survival[:, classes],
            is_first=n_previous == len(fixed),
        )
        return classes[decoded]


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
    costs: SegmentCosts = SegmentCosts()

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
    table: Tensor | None = None,
    history: Integers | None = None,
) -> Labels:
    """Decode the scores of a video to one label per frame.

    Args:
        scores: Scores of the video for these candidates.
        candidates: Classes that frames can be labelled with.
        settings: Decoding settings. `reject` is applied by `Segmenter.decode` instead, which has
            the confidences of the run.
        final: Fixed labels of the first frames, a multiple of `ModelScores.stride`, after which
            decoding continues.
        table: Result of `class_scores` for the candidates with the gamma of the settings, if it is
            available.
        history: Labels of rows before the first scored row, as returned by `shortened`.

    Returns:
        The candidate index and the score of each frame, (T,) and (T,). If there is a threshold, but
        no background candidate, index C is the background, and its score is the threshold.
    """
    settings = settings or DecodeSettings()
    if settings.threshold is not None and any(voter.aligned for voter in scores.voters):
        problem = "the scores of a model that aligns a transcript are not probabilities"
        raise InputError("threshold", problem, "leave it out")
    if table is None:
        table = class_scores(scores, candidates.with_gamma(settings.gamma))
    rows = _Rows.of(table, candidates, settings.threshold)

    final_rows = np.empty(0, np.int64) if final is None else final[:: scores.stride]
    n_final = len(final_rows)
    fixed = final_rows if history is None else np.concatenate([history, final_rows])
    penalty = settings.switch_penalty or 0.0
    decoded = rows.costs.decode(rows.scores[n_final:].clone(), rows.allowed, penalty, fixed)
    labels = np.concatenate([final_rows, decoded])

    if settings.shortest:
        if scores.rate is None:
            problem = "given in seconds, but the rate of these features is unknown"
            raise InputError("shortest", problem, "set fps=, or leave it out")
        shortest_rows = math.ceil(settings.shortest * scores.rate - 1e-6)
        labels = absorb_short(labels, rows.scores.cpu().numpy(), shortest_rows, n_final)
    probabilities = rows.probabilities.cpu().numpy()[np.arange(len(labels)), labels]
    index = scores.row_of_frame
    # The rounding of a mean may result in a value slightly above one.
    return labels[index], probabilities.clip(0, 1)[index]


@dataclass(frozen=True)
class _Rows:
    """The rows that `decode_scores` decodes: T' rows of K classes.

    K is the number of candidates, plus 1 if a threshold adds a background class.

    Attributes:
        scores: Scores to decode, (T', K).
        probabilities: Probabilities to report for the labels, (T', K).
        allowed: Classes that may be predicted, (K,).
        costs: Costs of the segments of the classes.
    """

    scores: Tensor
    probabilities: Tensor
    allowed: Flags
    costs: SegmentCosts

    @classmethod
    def of(cls, table: Tensor, candidates: CandidateSet, threshold: float | None) -> _Rows:
        """Return the rows of probabilities (T', C). A threshold raises the background."""
        allowed = candidates.is_allowed
        if threshold is None:
            return cls(table, table, allowed, candidates.costs)
        background = candidates.vocabulary.background_indices
        raised = torch.from_numpy(raise_background(table.cpu().numpy(), background, threshold))
        if background:
            return cls(raised, table, allowed, candidates.costs)
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


def voter_labels(scores: ModelScores, candidates: CandidateSet) -> dict[str, Labels]:
    """Return the labels of each branch by itself, without a switching penalty.

    Args:
        scores: Scores of a video.
        candidates: Classes that frames can be labelled with.

    Returns:
        Mapping with "frames" and, if the model has tokens, "tokens". Each contains labels and
        scores like the result of `decode_scores`.
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
    n_at_once = max(_MAX_SCORES // (n_rows * n_classes), 1)
    for part in torch.tensor(gammas, device=device).split(n_at_once):
        tables = [
            fuse_gammas(voter, scores.frame_weight, correction, subtracted, part)
            for voter in scores.voters
        ]
        table = mean_probabilities(tables)  # (G', T', C)
        labels.append(candidates.costs.decode(table, candidates.is_allowed, penalty))
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
