"""Agreement of two raters in continuous time, and what it excludes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from fact_clip.core import (
    BACKGROUND,
    Floats,
    InputError,
    Integers,
    Json,
    Names,
    Rating,
    State,
    runs,
)
from fact_clip.core.ratings import Interval, shared
from fact_clip.metrics.frame import percent
from fact_clip.metrics.segmental import OVERLAPS, Run, SegmentCounts, edit_of, f1_smoothed

_TICK = 1e-9  # seconds; times are compared as multiples of this
_SLACK = 1e-3  # percent of an overlap that may be missing because times are rounded


@dataclass(frozen=True)
class Omissions:
    """Times and events that an agreement excludes."""

    unrated_seconds: float = 0.0  # time of the videos that not both raters have rated
    points: int = 0  # events of both raters, which have no duration
    one_sided: Names = ()  # names that one rater uses, but only the other calls background

    @classmethod
    def total(cls, omissions: Iterable["Omissions"]) -> "Omissions":
        """Add up the omissions of several videos."""
        parts = list(omissions)
        return cls(
            unrated_seconds=sum(part.unrated_seconds for part in parts),
            points=sum(part.points for part in parts),
            one_sided=tuple(sorted({name for part in parts for name in part.one_sided})),
        )


@dataclass(frozen=True)
class Agreement:
    """Agreement of two raters in time, which does not depend on the frames of their labels."""

    figures: Json  # in percent, but kappa and ICC are at most 1; None if undefined
    names: Names  # names of the actions; the first one, "", is background
    confusion: Floats  # (K, K) seconds by action of the first and of the second rater
    seconds: float  # compared time
    omissions: Omissions


@dataclass(frozen=True)
class Pair:
    """Two ratings of one video, cut to the time that both have rated."""

    first: tuple[State, ...]  # without background, as if the video had only the common time
    second: tuple[State, ...]
    seconds: float  # compared time
    omissions: Omissions

    @classmethod
    def of(cls, first: Rating, second: Rating) -> "Pair":
        """Cut two ratings. A name that one of them calls background is background in both."""
        ends = [rating.end for rating in (first, second) if rating.end is not None]
        end = max(ends or [first.last, second.last])
        common = shared(first.rated_until(end), second.rated_until(end))
        seconds = sum(stop - start for start, stop in common)
        background = {*first.background, *second.background}
        one_sided = _foreign_background(first, second) | _foreign_background(second, first)
        omissions = Omissions(
            unrated_seconds=max(end - min(first.start, second.start) - seconds, 0.0),
            points=_count_actions(first, background) + _count_actions(second, background),
            one_sided=tuple(sorted(one_sided)),
        )
        return cls(
            first=_cut(first, common, background),
            second=_cut(second, common, background),
            seconds=seconds,
            omissions=omissions,
        )

    @property
    def states(self) -> tuple[State, ...]:
        """Return the states of both raters."""
        return (*self.first, *self.second)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing can be compared: no time, or only point events."""
        return self.seconds < _TICK or (self.omissions.points > 0 and not self.states)


def _foreign_background(rating: Rating, other: Rating) -> set[str]:
    """Return the names in a rating that only the other rating calls background."""
    labels = {state.label for state in rating.states} | {point.label for point in rating.points}
    return (labels & {*other.background}) - {*rating.background, BACKGROUND}


def _count_actions(rating: Rating, background: set[str]) -> int:
    """Count the point events of a rating that are not background."""
    return sum(point.label not in background for point in rating.points)


def _cut(rating: Rating, common: Sequence[Interval], background: set[str]) -> tuple[State, ...]:
    """Return the actions of a rating as if the video had only the common time.

    If the common time is 0 to 2 s and 5 to 9 s, the edges 0, 2, 5 and 9 move to 0, 2, 2 and 6.
    Thus, a state from 1 to 6 s becomes 1 to 3 s. A state from 3 to 4 s is left out, since it has
    no length in the common time.
    """
    states = [state for state in rating.states if state.label not in background]
    if not common or not states:
        return ()
    edges = np.array(common)  # (H, 2)
    lengths = edges[:, 1] - edges[:, 0]
    stops = lengths.cumsum()
    positions = np.stack([stops - lengths, stops], axis=1)  # (H, 2) edges after the cut
    times = np.array([(state.start, state.stop) for state in states])  # (S, 2)
    moved = np.interp(times, edges.ravel(), positions.ravel())  # (S, 2)
    return tuple(
        State(start, stop, state.label)
        for state, (start, stop) in zip(states, moved.tolist(), strict=True)
        if start < stop
    )


def time_agreement(ratings: Sequence[tuple[Rating, Rating]]) -> Agreement:
    """Compare two ratings of each video in continuous time, without sampling.

    Only time that both raters have rated is compared. A name that one of them calls background is
    background for both. Point events have no duration, so they are counted but not compared.

    Args:
        ratings: The two ratings of each video. If states overlap, the later one counts.

    Returns:
        Cohen's kappa, accuracy, F1 at the usual overlaps, edit score, distance of edges and ICC,
        with the omissions. Videos are pooled, except that the edit score and the distance are
        means over videos. If nothing in a video can be compared, it only adds to the omissions.

    Raises:
        InputError: Nothing can be compared in any video.
    """
    return agreement_of_pairs([Pair.of(first, second) for first, second in ratings])


def agreement_of_pairs(pairs: Sequence[Pair]) -> Agreement:
    """Return the agreement of ratings that are cut to the time that both have rated."""
    omissions = Omissions.total(pair.omissions for pair in pairs)
    full_pairs = [pair for pair in pairs if not pair.is_empty]
    if not full_pairs:
        problem = "nothing that both have labelled"
        fix = "label more of them, or mark tracks as fully labelled"
        if omissions.points:
            problem += f" but {omissions.points} point events, which have no duration to compare"
            fix = "label states, or compare how often each event occurs"
        raise InputError("compare", problem, fix)
    labels = {state.label for pair in full_pairs for state in pair.states}
    names = ("", *sorted(labels))
    ticks = np.zeros((len(names), len(names)))  # by action of the first and of the second rater
    runs_of_pairs = []
    for pair in full_pairs:
        edges = _edges(pair)
        first = _piece_labels(pair.first, edges, names)
        second = _piece_labels(pair.second, edges, names)
        np.add.at(ticks, (first, second), np.diff(edges))
        runs_of_pairs.append((_piece_runs(first, edges), _piece_runs(second, edges)))
    return Agreement(
        figures=_figures(ticks, runs_of_pairs, names),
        names=names,
        confusion=ticks * _TICK,
        seconds=sum(pair.seconds for pair in full_pairs),
        omissions=omissions,
    )


def _figures(
    ticks: Floats, runs_of_pairs: Sequence[tuple[list[Run], list[Run]]], names: Names
) -> Json:
    """Return the figures of all pairs together, or None for a figure that is undefined.

    ``kappa`` and ``icc`` are at most 1, ``edges_s`` is in seconds, and all others are in percent.
    """
    shares = ticks / ticks.sum()
    observed = float(shares.trace())
    expected = float(shares.sum(0) @ shares.sum(1))
    figures: Json = {
        # With a single class, agreement cannot exceed chance, so kappa is undefined.
        "kappa": None if expected >= 1 else (observed - expected) / (1 - expected),
        "accuracy": percent(float(ticks.trace()), float(ticks.sum())),
    }
    for overlap in OVERLAPS:
        counts = [SegmentCounts.of(*both, overlap - _SLACK) for both in runs_of_pairs]
        f1 = f1_smoothed(*SegmentCounts.pooled(counts).totals())
        figures[f"f1@{overlap}"] = f1 if any(map(any, runs_of_pairs)) else None
    figures["edit"] = _mean(edit_of(*both) for both in runs_of_pairs if any(both))

    firsts = [_states(first, names) for first, _ in runs_of_pairs]
    seconds = [_states(second, names) for _, second in runs_of_pairs]
    figures["edges_s"] = _mean(map(boundary_distance, firsts, seconds))
    figures["icc"] = duration_icc(list(chain(*firsts)), list(chain(*seconds)))
    return figures


def _ticks(seconds: Sequence[float]) -> Integers:
    ticks: Integers = np.round(np.array(seconds) / _TICK).astype(np.int64)
    return ticks


def _edges(pair: Pair) -> Integers:
    """Return the times at which a state of either rater starts or stops, in nanoseconds, (P + 1,).

    They divide the common time into P pieces, in which neither rating changes.
    """
    times = [0.0, max(pair.seconds, _TICK)]
    for state in pair.states:
        times += [state.start, state.stop]
    return np.unique(_ticks(times))


def _piece_labels(states: Iterable[State], edges: Integers, names: Names) -> Integers:
    """Return the index of the action in each piece between two edges, (P,)."""
    labels = np.zeros(len(edges) - 1, dtype=np.int64)
    indices = {name: index for index, name in enumerate(names)}
    ordered = sorted(states)
    firsts = np.searchsorted(edges, _ticks([state.start for state in ordered])).tolist()
    lasts = np.searchsorted(edges, _ticks([state.stop for state in ordered])).tolist()
    for state, first, last in zip(ordered, firsts, lasts, strict=True):
        labels[first:last] = indices[state.label]
    return labels


def _piece_runs(labels: Integers, edges: Integers) -> list[Run]:
    """Return the runs of pieces as whole multiples of `_TICK`, without background."""
    times = edges.tolist()
    return [(times[start], times[stop], label) for start, stop, label in runs(labels) if label]


def _states(parts: Iterable[Run], names: Names) -> list[State]:
    return [State(start * _TICK, stop * _TICK, names[label]) for start, stop, label in parts]


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None


def boundary_distance(first: Sequence[State], second: Sequence[State]) -> float | None:
    """Return the mean distance from each edge in a labelling to the nearest edge in the other.

    Args:
        first: States of one rater.
        second: States of the other rater.

    Returns:
        The distance in seconds, or None if a rater has no states.
    """
    first_edges = _edge_times(first)
    second_edges = _edge_times(second)
    if not len(first_edges) or not len(second_edges):
        return None
    distances = np.abs(first_edges[:, None] - second_edges[None])  # (E, F)
    return float(np.concatenate([distances.min(1), distances.min(0)]).mean())


def _edge_times(states: Sequence[State]) -> Floats:
    times = [state[:2] for state in states]
    return np.unique(np.array(times, dtype=np.float64))


def duration_icc(first: Sequence[State], second: Sequence[State]) -> float | None:
    """Return the agreement on the total time of each action: ICC(A,1) of McGraw and Wong (1996).

    Args:
        first: States of one rater.
        second: States of the other rater.

    Returns:
        The coefficient, or None if there are fewer than two actions or the times do not vary.
    """
    names = sorted({name for _, _, name in (*first, *second)})
    times = np.array([[_total(first, name), _total(second, name)] for name in names])  # (N, 2)
    n_names = len(names)
    if n_names < 2 or np.ptp(times) == 0:
        return None
    mean = times.mean()
    row_means = times.mean(1)
    column_means = times.mean(0)
    residuals = times - row_means[:, None] - column_means + mean
    rows = 2 * ((row_means - mean) ** 2).sum() / (n_names - 1)
    columns = n_names * ((column_means - mean) ** 2).sum()
    error = (residuals**2).sum() / (n_names - 1)
    total = rows + error + 2 * (columns - error) / n_names
    if total == 0:
        return None
    return float((rows - error) / total)


def _total(states: Sequence[State], action: str) -> float:
    return sum(state.stop - state.start for state in states if state.label == action)
