"""Segments from the frame scores of any model, with the order and durations of training labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from scipy.special import logsumexp, softmax

from fact_clip.core import (
    Floats,
    InputError,
    Location,
    Segmentation,
    Vocabulary,
    library_errors,
    located,
)
from fact_clip.core.arguments import array_of, names_of, number_of, validated
from fact_clip.core.frames import IGNORED
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.datasets.statistics import transitions, visit_shares, whole_segments
from fact_clip.decoding.durations import Durations
from fact_clip.decoding.scores import mean_probabilities
from fact_clip.decoding.segment_costs import SegmentCosts
from fact_clip.decoding.switching import SHORT, StateCosts, short_segment_penalty
from fact_clip.decoding.visits import VisitRules

Kind = Literal["probabilities", "logits", "log-probabilities"]

MEMBER_SMOOTHING = 0.03  # chosen in docs/results.md, "Scores of other networks"

_TOLERANCE = 0.02  # deviation of a sum from 1 that rounding of probabilities may cause
_FEWEST_DIGITS, _MOST_DIGITS = 2, 6  # digits of rounded probabilities; one digit counts as two
_ROUNDED = 1e-3  # deviation of a rounded number from a multiple of its last digit
_NAME_KIND = "set kind="


@validated("scores")
def decode(
    scores: Any,
    names: Sequence[str],
    *,
    training_segments: Sequence[Segmentation] = (),
    fps: float | None = None,
    background: Sequence[str] | None = None,
    kind: Kind | None = None,
    switch_penalty: float | None = None,
    order: float = 4.0,
    durations: float = 1.0,
    always: bool = False,
    returns: bool = False,
) -> Segmentation:
    """Segment a video by the frame scores of any model.

    Args:
        scores: Scores (T, C) or (C, T) of one model, or a list of such arrays of several models,
            whose logarithms are averaged.
        names: Names of the C classes, in the order of the columns.
        training_segments: Labelled training videos, from which the cost of each change of class and
            the switching penalty are learned. Do not include the video that is decoded.
        fps: Rows per second of the scores. If it is given, training segments need `fps` or `times`,
            which may have a different rate.
        background: Classes that mean no action. The default is the background of the training
            segments.
        kind: Kind of the scores. The default is inferred from the values.
        switch_penalty: Penalty of a usual change, in nats. The default follows from the length of
            short training segments (docs/decode.md).
        order: Weight of how often a change occurs in the training segments. 0 ignores it.
        durations: Weight of the log-normal lengths of the training segments of each class. 0
            ignores them.
        always: Whether each action that nearly every training video has must occur.
        returns: Whether each action that rarely recurs in training videos may occur at most once.

    Returns:
        The segmentation of all T rows. The confidence of a segment is its mean score.

    Raises:
        InputError: An argument is wrong, or arguments do not fit each other.
    """
    decoder = ScoreDecoder.learned(
        names,
        training_segments,
        fps=fps,
        background=background,
        switch_penalty=switch_penalty,
        order=order,
        durations=durations,
        always=always,
        returns=returns,
    )
    models = [scores]
    if isinstance(scores, list | tuple) and scores:
        with library_errors("scores", "rows of different lengths", ValueError):
            if np.ndim(scores[0]) == 2:
                models = list(scores)
    n_classes = len(decoder.vocabulary)
    tables = [
        probabilities(table, f"scores of model {number}", n_classes, kind)
        for number, table in enumerate(models, start=1)
    ]
    return decoder.segmentation(tables)


@dataclass(frozen=True)
class ScoreDecoder:
    """Decode scores with statistics that were learned from training labels.

    Attributes:
        vocabulary: The C classes.
        costs: Costs of changes and lengths.
        penalty: Penalty of a usual change, in nats.
        fps: Rows per second of the scores, or None if unknown.
        smoothing: Share of a uniform distribution in the scores of each of several models.
    """

    vocabulary: Vocabulary
    costs: SegmentCosts
    penalty: float
    fps: float | None = None
    smoothing: float = MEMBER_SMOOTHING

    @classmethod
    def learned(
        cls,
        names: Sequence[str],
        training_segments: Sequence[Segmentation] = (),
        *,
        fps: float | None = None,
        background: Sequence[str] | None = None,
        switch_penalty: float | None = None,
        order: float = 4.0,
        durations: float = 1.0,
        always: bool = False,
        returns: bool = False,
    ) -> ScoreDecoder:
        """Learn the costs of changes, the lengths, and the switching penalty (see `decode`)."""
        if fps is not None:
            fps = number_of(fps, "fps", "rows per second", 1e-6, 1e6)
        weights = {"switch_penalty": switch_penalty, "order": order, "durations": durations}
        for name, weight in weights.items():
            if weight is not None:
                number_of(weight, name, "a weight", 0, 1e6)
        class_names = names_of(names, "names")
        if background is None:
            marked = {name for video in training_segments for name in video.background}
            background = [name for name in class_names if name in marked]
        unknown = [name for name in background if name not in class_names]
        if unknown:
            raise InputError("background", f"no class {unknown[0]!r}", "name some of the classes")
        vocabulary = Vocabulary.from_names(class_names, background)

        n_classes = len(vocabulary)
        videos = []
        lengths: list[list[float]] = [[] for _ in vocabulary]  # of the segments of each class
        for video in training_segments:
            names_of_video = [label for label in video.transcript if label != UNLABELLED]
            with located("training_segments"):
                indices = dict(zip(names_of_video, vocabulary.encode(names_of_video), strict=True))
            labels = [indices.get(label, IGNORED) for label in video.transcript]
            frames = np.repeat(labels, [segment.duration for segment in video])  # (T,)
            edges = _edges(video, fps)
            for start, stop, label in whole_segments(frames):
                lengths[label].append(float(edges[stop] - edges[start]))
            videos.append(frames)
        if switch_penalty is None:
            switch_penalty = _learned_penalty(lengths, vocabulary)

        background_labels = vocabulary.background_indices
        counts = np.zeros((2 * n_classes, 2 * n_classes))
        for first, second, times in transitions(videos, background_labels, n_classes):
            counts[first, second] = times
        changes = StateCosts.learned(counts, order, background_labels)
        law = None
        if durations and any(lengths):
            law = Durations.learned(lengths, durations)
        rules = None
        if videos:
            is_background = np.isin(np.arange(n_classes), background_labels)
            visits = visit_shares(videos, n_classes)
            rules = VisitRules.learned(visits, is_background, use_always=always, use_once=returns)
        return cls(vocabulary, SegmentCosts(changes, law, rules), switch_penalty, fps)

    def segmentation(
        self, tables: Sequence[Floats], allowed: Sequence[bool] | None = None
    ) -> Segmentation:
        """Return the segmentation of a video.

        Args:
            tables: Result (T, C) of `probabilities` for each model.
            allowed: Whether frames may have each class, (C,), or None to allow all classes but "?".
        """
        n_rows = {len(table) for table in tables}
        if len(n_rows) > 1:
            counts = " and ".join(map(str, sorted(n_rows)))
            raise InputError(
                "scores", f"{counts} rows of one video", "give the same rows for each model"
            )
        tensors = [torch.from_numpy(table) for table in tables]
        share = self.smoothing if len(tables) > 1 else 0.0
        mean = mean_probabilities(tensors, share)
        flags = np.array(allowed or [name != UNLABELLED for name in self.vocabulary])
        labels = self.costs.decode(mean.clone(), flags, self.penalty)
        confidence = mean.numpy()[np.arange(len(labels)), labels].clip(0, 1)
        names = [self.vocabulary.names[label] for label in labels]
        result = Segmentation.from_frames(names, self.fps, confidence.tolist())
        return replace(result, background=self.vocabulary.background)


def _edges(video: Segmentation, fps: float | None) -> Floats:
    """Return the edges of the frames of a training video in rows of the scores, (T + 1,)."""
    frames = np.arange(video.n_frames + 1, dtype=np.float64)
    if fps is None:
        return frames
    if video.times is not None:
        return np.array(video.times) * fps
    if video.fps is None:
        fix = "set fps= of each of them, or leave fps= out if rows are frames of the labels"
        raise InputError("training_segments", "their rate is unknown, but fps is given", fix)
    return frames * (fps / video.fps)


def _learned_penalty(lengths: Sequence[Sequence[float]], vocabulary: Vocabulary) -> float:
    """Return the switching penalty for the short actions of the training videos."""
    of_actions: list[float] = []
    for label, class_lengths in enumerate(lengths):
        if label not in vocabulary.background_indices:
            of_actions += class_lengths
    if not of_actions:
        fix = "give labelled training videos, or the switching penalty"
        raise InputError("training_segments", "no action with a label before and after it", fix)
    return short_segment_penalty(float(np.quantile(of_actions, SHORT)))


def probabilities(
    scores: Any,
    where: Location,
    n_classes: int,
    kind: Kind | None = None,
    square: bool = False,
) -> Floats:
    """Convert scores to probabilities.

    Args:
        scores: Scores (T, C) or (C, T).
        where: Location, for an error.
        n_classes: Number of classes, C.
        kind: Kind of the scores. By default, they are probabilities if no number is negative and
            all rows sum to 1 or to 100, log-probabilities if their exponentials sum to 1, and
            logits otherwise.
        square: Whether an array (C, C) is known to be (T, C), which also allows logits.

    Returns:
        Probabilities (T, C), each row with sum 1. A probability that was rounded to 0 becomes half
        of the last digit.

    Raises:
        InputError: The shape or the values are wrong, or the kind cannot be inferred.
    """
    stored = array_of(scores, where, f"numbers, (T, {n_classes})")
    table = stored.astype(np.float64)
    if table.ndim == 2 and table.shape[0] == n_classes != table.shape[1]:
        table = table.T
    if table.ndim != 2 or table.shape[1] != n_classes or not len(table):
        problem = f"an array of shape {table.shape}, but there are {n_classes} classes"
        raise InputError(where, problem, f"give (T, {n_classes}), one column per class")
    if np.isnan(table).any() or (table.max(axis=1) == -np.inf).any() or np.isposinf(table).any():
        raise InputError(where, "rows that are not finite")
    kind = kind or _kind_of(table, where)
    if kind == "logits" and len(table) == n_classes and not square:
        problem = "rows may be frames or classes, because there are as many of them"
        raise InputError(where, problem, "give probabilities, whose rows sum to 1")
    if kind != "probabilities":
        return softmax(table, axis=1)
    sums = table.sum(axis=1, keepdims=True)
    if table.min() < 0 or not sums.all():
        raise InputError(where, "not probabilities: negative numbers, or rows of zeros", _NAME_KIND)
    if not table.all():
        table = np.maximum(table, _half_digit(table, stored.dtype))
    return table / table.sum(axis=1, keepdims=True)


def _half_digit(table: Floats, dtype: np.dtype[Any]) -> float:
    """Return half of the last digit of rounded numbers that were stored in a data type."""
    largest = float(table.max())
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS + 1):
        unit = 10.0**-digits * (100 if largest > 1 + _TOLERANCE else 1)
        is_multiple = np.isclose(table / unit, np.round(table / unit), rtol=0, atol=_ROUNDED)
        if is_multiple.all():
            return unit / 2
    # Arrays of whole numbers were handled above.
    return float(np.finfo(dtype).smallest_subnormal) / 2


def _kind_of(table: Floats, where: Location) -> Kind:
    """Infer the kind of scores from the sums of rows."""
    if table.min() >= 0:
        sums = table.sum(axis=1)
        if any(np.abs(sums / total - 1).max() <= _TOLERANCE for total in (1, 100)):
            return "probabilities"
        if table.max() <= 1:
            problem = "numbers from 0 to 1 whose rows do not sum to 1"
            raise InputError(where, problem, _NAME_KIND)
    elif np.abs(logsumexp(table, axis=1)).max() <= _TOLERANCE:
        return "log-probabilities"
    return "logits"
