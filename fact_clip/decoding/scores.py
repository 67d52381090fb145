"""From the scores of a video to labels: `decode_scores`, which everything decodes with."""

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
"""Index among the candidates, and its score, of each frame: (T,) and (T,)."""

# Scores decoded at once where one video is decoded in several ways: 32 MB in float64.
_MAX_SCORES = 4_000_000

_LIVE = float(np.log(0.05))  # a class that is never so near the best of a row is not decoded
_NOT_ALLOWED = -1e4  # nats a row; finite, because lengths need sums of scores


@dataclass(frozen=True)
class Scoring:
    """How candidates are scored in a frame, and how their log scores are corrected.

    Attributes:
        text_embeddings: (C, S, E) for a head that reads text; None: those of the training.
        log_prior: (C,) subtracted from the log scores; None: no correction.
        trained: (C,) the classes from which gamma is subtracted; None: all.
        gamma: subtracted from the log scores of trained classes, in nats.
    """

    text_embeddings: Tensor | None = None
    log_prior: Floats | None = None
    trained: Flags | None = None
    gamma: float = 0.0


@dataclass(frozen=True)
class SegmentCosts:
    """What a labelling costs beside the scores of its frames: order, lengths, rules.

    Attributes:
        transitions: of changes, in units of the switching penalty; None: 1.
        durations: lengths of the segments of the classes; None: any length is as good.
        rules: about whole videos, see `VisitRules`; they hold where no rows are fixed.
    """

    transitions: StateCosts | None = None
    durations: Durations | None = None
    rules: VisitRules | None = None

    def with_class(self) -> SegmentCosts:
        """Return the costs with a last class more, the background that a threshold adds."""
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
            table: (T', C) or (G, T', C) probabilities, which are overwritten.
            allowed: (C,) the classes that may be predicted.
            penalty: of a usual change, in nats.
            fixed: labels of the rows before the first one.

        Returns:
            (T',) or (G, T') class indices.
        """
        if penalty or self.durations is not None or self.rules is not None:
            # A score of zero must stay above a class that is not allowed.
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
        """Decode log scores (T', C) or (G, T', C)."""
        if self.durations is None and (self.transitions is None or not penalty):
            previous = int(fixed[-1]) if len(fixed) else None
            return decode_switching(rows, penalty, None, previous)
        return self._decode_states(rows, penalty, fixed)

    def _decode_states(self, rows: Floats, penalty: float, fixed: Integers) -> Integers:
        """Decode scores (T', C) or (G, T', C) by states, see `StateCosts`."""
        n_classes = rows.shape[-1]
        if rows.ndim == 3 and self.durations is not None:
            return np.stack([self._decode_states(video, penalty, fixed) for video in rows])
        changes = self.transitions or StateCosts.plain(1 - np.eye(n_classes))
        # Several ways in one pass, each decoded as if it were alone: none leaves a class out.
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
    """The classes that frames may be named with.

    Attributes:
        vocabulary: the C candidates; class indices refer to it.
        allowed: (C,) the classes that may be predicted; None: all.
        new_words: words of the candidates that no trained class has.
        scoring: how they are scored.
        costs: what their segments cost.
    """

    vocabulary: Vocabulary
    allowed: Flags | None = None
    new_words: tuple[NewWord, ...] = ()
    scoring: Scoring = Scoring()
    costs: SegmentCosts = SegmentCosts()

    @property
    def offset(self) -> Floats | None:
        """Return what is added to the log scores, (C,), -inf for a class that is not allowed."""
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
        """Return the candidates with another gamma; None changes nothing."""
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
        n_frames: T.
        voters: of each model, with a row for each `stride` frames.
        frame_weight: of the frame branch, see `fuse`.
        stride: frames that a row stands for.
        rate: rows a second, or None if unknown.
        clock: times of the frames.
        rivals: scores of the same video for all classes of the run beside the candidates.
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
        """Return the row that names each frame, (T,)."""
        return np.arange(self.n_frames) // self.stride

    @property
    def nbytes(self) -> int:
        """Return the size in main memory, in bytes."""
        parts: list[object] = [self.rivals]
        for voter in self.voters:
            parts += vars(voter).values()
        return sum(part.nbytes for part in parts if isinstance(part, Tensor | ModelScores))

    def to(self, device: torch.device | str) -> ModelScores:
        """Return the scores on another device."""
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
    """Decode the scores of a video to a label for each frame.

    Args:
        scores: of the video, for these candidates.
        candidates: the classes that frames may be named with.
        settings: of decoding. `reject` is not applied here: `Segmenter.decode` does, since it
            knows the confidences of the run.
        final: labels of the first frames, a multiple of `ModelScores.stride`, which are fixed
            and from which decoding continues.
        table: `class_scores` of the candidates with the gamma of the settings, if they are there.
        history: labels of rows before the first one that is scored, as `shortened` keeps them.

    Returns:
        The index among the candidates and its score for each frame, (T,) and (T,). With a
        threshold and no background among the candidates, index C is the background, whose score is
        the threshold.
    """
    settings = settings or DecodeSettings()
    if settings.threshold is not None and any(voter.aligned for voter in scores.voters):
        problem = "the scores of a model that aligns a transcript are no probabilities"
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
            problem = "seconds, but the rate of these features is not known"
            raise InputError("shortest", problem, "set fps=, or leave it out")
        shortest_rows = math.ceil(settings.shortest * scores.rate - 1e-6)
        labels = absorb_short(labels, rows.scores.cpu().numpy(), shortest_rows, n_final)
    probabilities = rows.probabilities.cpu().numpy()[np.arange(len(labels)), labels]
    index = scores.row_of_frame
    # The rounding of a mean may end a little above one.
    return labels[index], probabilities.clip(0, 1)[index]


@dataclass(frozen=True)
class _Rows:
    """What `decode_scores` decodes: T' rows of K classes.

    K is the number of candidates, plus 1 if a threshold adds a background class.

    Attributes:
        scores: (T', K) scores that are decoded.
        probabilities: (T', K) probabilities that are reported for the labels.
        allowed: (K,) classes that may be predicted.
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
        scores: of a video.
        candidates: the C classes, with their corrections.

    Returns:
        (T', C) probabilities.
    """
    offset = candidates.offset
    device = scores.voters[0].frames.device
    correction = None if offset is None else torch.from_numpy(offset).float().to(device)
    tables = [fuse(voter, scores.frame_weight, correction)[0] for voter in scores.voters]
    return mean_probabilities(tables)


def voter_labels(scores: ModelScores, candidates: CandidateSet) -> dict[str, Labels]:
    """Return the labels of each branch alone, without switching penalty.

    Args:
        scores: of a video.
        candidates: the classes that frames may be named with.

    Returns:
        "frames" and, where the model has tokens, "tokens", each with labels and scores as of
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
    """Decode a video with each of several gammas, subtracted beside the gamma of the candidates.

    Args:
        scores: of the video.
        candidates: the C classes that frames may be named with.
        trained: (C,) the classes from which each gamma is subtracted.
        gammas: G values in nats.
        settings: of decoding; only the switching penalty is used.

    Returns:
        (G, T) class indices.
    """
    first = scores.voters[0]
    if first.aligned:  # no offset is applied to them
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
    """Return probabilities (..., T', C) of one model, or the normalised mean of several logs.

    Args:
        tables: probabilities (..., T', C) of each model.
        smoothing: share of a uniform distribution that is mixed into each. Without it, a class that
            one model excludes is excluded.

    Returns:
        (..., T', C) probabilities.
    """
    probabilities = torch.stack(tables)
    if smoothing:
        uniform = 1 / probabilities.shape[-1]
        probabilities = probabilities.lerp(torch.full_like(probabilities, uniform), smoothing)
    if len(tables) == 1:
        return probabilities[0]
    smallest = torch.finfo(probabilities.dtype).tiny
    return probabilities.clamp(min=smallest).log().mean(0).softmax(-1)
