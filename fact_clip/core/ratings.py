"""Ratings: what one person or one model states about one video, in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fact_clip.core.arrays import Floats
from fact_clip.core.errors import InputError, Location
from fact_clip.core.types import BACKGROUND, UNLABELLED, Names

Interval = tuple[float, float]
"""Start and stop in seconds."""


class State(NamedTuple):
    """An action that has a duration, with times in seconds."""

    start: float
    stop: float
    label: str


class Point(NamedTuple):
    """An event without a duration."""

    time: float
    label: str


@dataclass(frozen=True)
class Rating:
    """What one person or one model states about one video.

    Durations, agreement, comparisons, plots and training data are computed from ratings,
    independent of the format in which labels are stored. A time without a state has two meanings:
    within `rated`, nothing happens, and outside of it, nobody has looked.

    Args:
        states: Actions with a duration, in order. States whose label is in `background` mean no
            action.
        points: Events without a duration, in order.
        rated: Intervals in which the rater would have labelled an action, in order and disjoint.
            The last one ends at infinity if the rest of a video of unknown length is rated.
        start: Time of the first frame.
        end: Time at which the video ends, or None if it is unknown.
        background: Names that mean no action.
        owner: Name of the rater, or "".
        source: Origin of the labels, for messages.
    """

    states: tuple[State, ...] = ()
    points: tuple[Point, ...] = ()
    rated: tuple[Interval, ...] = ()
    start: float = 0.0
    end: float | None = None
    background: Names = (BACKGROUND,)
    owner: str = ""
    source: str = ""

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[float, float, str]],
        *,
        is_complete: bool,
        start: float = 0.0,
        end: float | None = None,
        background: Iterable[str] = (BACKGROUND,),
        owner: str = "",
        source: str = "",
    ) -> Rating:
        """Create a rating from labelled parts of a video.

        Args:
            parts: Start, stop and label of each part. A part without a duration becomes a point. A
                part with the label UNLABELLED is not rated.
            is_complete: Whether the rater has looked at the whole video. If not, only the states
                are rated.
            start: Time of the first frame.
            end: Time at which the video ends, or None if it is unknown.
            background: Names that mean no action.
            owner: Name of the rater.
            source: Origin of the labels.

        Returns:
            The rating.
        """
        states = []
        points = []
        unrated: list[Interval] = []
        for first, last, label in sorted(parts):
            if label == UNLABELLED:
                unrated.append((first, last))
            elif first < last:
                states.append(State(first, last, label))
            else:
                points.append(Point(first, label))
        rated = [(state.start, state.stop) for state in states]
        if is_complete:
            rated = [(start, math.inf if end is None else end)]
        return cls(
            states=tuple(states),
            points=tuple(points),
            rated=subtracted(joined(rated), joined(unrated)),
            start=start,
            end=end,
            background=tuple(dict.fromkeys(name for name in background if name != UNLABELLED)),
            owner=owner,
            source=source,
        )

    @classmethod
    def union(cls, ratings: Sequence[Rating]) -> Rating:
        """Join the ratings of one video by one rater, such as ratings of several tracks.

        Args:
            ratings: One or more ratings of the same video, with the same times.

        Returns:
            One rating. A time is rated if any of the ratings covers it.

        Raises:
            InputError: States overlap, so that a moment has more than one label.
        """
        first = ratings[0]
        union = cls(
            states=tuple(sorted(state for rating in ratings for state in rating.states)),
            points=tuple(sorted(point for rating in ratings for point in rating.points)),
            rated=joined(interval for rating in ratings for interval in rating.rated),
            start=first.start,
            end=first.end,
            background=tuple(
                dict.fromkeys(name for rating in ratings for name in rating.background)
            ),
            owner=first.owner,
            source=first.source,
        )
        check_apart(union.source, union.states)
        return union

    @property
    def actions(self) -> tuple[State, ...]:
        """Return the states that are not background."""
        return tuple(state for state in self.states if state.label not in self.background)

    @property
    def events(self) -> tuple[Point, ...]:
        """Return the points that are not background."""
        return tuple(point for point in self.points if point.label not in self.background)

    @property
    def last(self) -> float:
        """Return the end of the video or, if it is unknown, the end of the last label."""
        if self.end is not None:
            return self.end
        stops = [state.stop for state in self.states]
        return max([self.start, *stops, *(point.time for point in self.points)])

    @property
    def duration(self) -> float | None:
        """Return the duration of the video, or None if it is unknown."""
        return None if self.end is None else self.end - self.start

    @property
    def rated_seconds(self) -> float:
        """Return the number of rated seconds."""
        return sum(stop - start for start, stop in self.rated_until(self.last))

    def rated_until(self, end: float) -> tuple[Interval, ...]:
        """Return the rated intervals, cut at `end`."""
        clipped = [(start, min(stop, end)) for start, stop in self.rated]
        return tuple(interval for interval in clipped if interval[0] < interval[1])

    def labels_at(self, moments: Floats) -> list[str]:
        """Return a label for each moment, (T,) in seconds and in rising order.

        The first name of `background` stands for no action, and UNLABELLED for moments that are not
        rated. If states overlap, the one that starts last counts.
        """
        labels = np.full(len(moments), self.background[0], dtype=object)
        for state in self.states:
            first, last = np.searchsorted(moments, [state.start, state.stop])
            labels[first:last] = state.label
        for start, stop in subtracted([(-math.inf, math.inf)], self.rated):
            first, last = np.searchsorted(moments, [start, stop])
            labels[first:last] = UNLABELLED
        return labels.tolist()


def joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return the union of intervals, in order and disjoint. Empty intervals are left out."""
    union: list[Interval] = []
    for start, stop in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], stop))
        else:
            union.append((start, stop))
    return tuple(union)


def subtracted(intervals: Sequence[Interval], holes: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the intervals without the holes. Both lists are in order and disjoint."""
    edges = [-math.inf, *(edge for hole in holes for edge in hole), math.inf]
    return shared(intervals, list(zip(edges[::2], edges[1::2], strict=True)))


def shared(first: Sequence[Interval], second: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the intersection of two lists of intervals, each in order and disjoint."""
    common = []
    position = 0
    other = 0
    while position < len(first) and other < len(second):
        start = max(first[position][0], second[other][0])
        stop = min(first[position][1], second[other][1])
        if start < stop:
            common.append((start, stop))
        if first[position][1] < second[other][1]:
            position += 1
        else:
            other += 1
    return tuple(common)


def check_apart(where: Location, states: Sequence[State], tolerance: float = 1e-9) -> None:
    """Raise an InputError if states overlap, so that a moment has more than one label.

    Args:
        where: Location, for an error.
        states: States in order.
        tolerance: Seconds of overlap that are allowed.
    """
    for first, second in pairwise(states):
        if second.start < first.stop - tolerance:
            problem = f"{first.label!r} and {second.label!r} overlap, so they are not one labelling"
            raise InputError(where, problem, "compare single tracks")
