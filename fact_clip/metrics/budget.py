"""Time budgets of ratings: duration, number and time of each action, and what follows it."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise

import numpy as np

from fact_clip.core import Floats, InputError, Json, Names, Rating, State

_ROUNDING = 1e-9  # seconds

COLUMNS = (
    "video",
    "label",
    "seconds",
    "share",
    "labelled",
    "duration",
    "count",
    "mean",
    "deviation",
    "first",
)

BIN_COLUMNS = ("video", "start", "stop", "label", "seconds", "share", "labelled", "count")

MOST_BIN_ROWS = 1_000_000


def time_budget(ratings: Mapping[str, Rating]) -> list[Json]:
    """Return a row for each video and action, and for each action in all videos (video "all").

    A video has rows of zeros for actions that occur only in other videos, so that the mean over the
    rows of an action is a mean over videos.

    Args:
        ratings: Rating of each video.

    Returns:
        Rows with `COLUMNS`, sorted by the total time of actions. Times are in seconds. The duration
        of a video is None if it is unknown, the deviation of durations is None for a single segment
        or point event, and the start of the first one is None for "all".
    """
    rows = []
    actions = actions_of(ratings.values())
    total_times = dict.fromkeys(actions, 0.0)
    for video, rating in ratings.items():
        times = dict.fromkeys(actions, 0.0) | _action_times(rating)
        for action, seconds in times.items():
            total_times[action] += seconds
        name = "all (video)" if video == "all" else video
        rows += _budget(name, [rating], times)
    if len(ratings) > 1:
        for row in _budget("all", list(ratings.values()), total_times):
            rows.append({**row, "first": None})
    return rows


def group_budget(
    ratings: Mapping[str, Rating], groups: Mapping[str, str], ids: Mapping[str, str]
) -> list[Json]:
    """Return a row for each group and action, like the rows of `time_budget` for all videos.

    A group has zeros for the actions of different groups.

    Args:
        ratings: Rating of each video, or of each track.
        groups: Group of each video.
        ids: ID of each video, which its tracks share.
    """
    rows = []
    actions = actions_of(ratings.values())
    for group in sorted(set(groups.values())):
        members = [video for video in ratings if groups[video] == group]
        times = dict.fromkeys(actions, 0.0)
        for video in members:
            for action, seconds in _action_times(ratings[video]).items():
                times[action] += seconds
        count = len({ids[video] for video in members})
        name = f"{group} ({count})"
        for row in _budget(name, [ratings[video] for video in members], times):
            rows.append({**row, "first": None})
    return rows


def binned_budget(ratings: Mapping[str, Rating], width: float) -> list[Json]:
    """Return a row for each video, bin of time and action.

    Consecutive bins start at the first frame. The last bin ends with the video, so it may be
    shorter. For an action that crosses an edge, each bin counts the seconds in it, and only the bin
    in which the action starts counts the occurrence.

    Args:
        ratings: Rating of each video.
        width: Duration of a bin in seconds.

    Returns:
        Rows with `BIN_COLUMNS`: start and stop of the bin, seconds of the action in it, percent of
        the rated time in it (None without rated time), rated seconds, and number of segments and
        point events that start in it. All videos have rows for the actions of all videos.

    Raises:
        InputError: The bins are so short that there would be more than `MOST_BIN_ROWS` rows.
    """
    actions = actions_of(ratings.values())
    n_bins = {video: _bins(rating, width) for video, rating in ratings.items()}
    if sum(n_bins.values()) * len(actions) > MOST_BIN_ROWS:
        problem = f"{width:g} s, which would give more than {MOST_BIN_ROWS:,} rows"
        raise InputError("bins", problem, "use longer bins")
    rows = []
    for video, rating in ratings.items():
        count = n_bins[video]
        rated = np.zeros(count)
        for start, stop in rating.rated_until(rating.last):
            _add_to_bins(rated, start - rating.start, stop - rating.start, width)
        seconds = {action: np.zeros(count) for action in actions}
        counts = {action: np.zeros(count, dtype=np.int64) for action in actions}
        ends: dict[str, float] = {}
        for start, stop, action in _occurrences(rating):
            first_bin = min(int((start - rating.start) / width + _ROUNDING), count - 1)
            counts[action][max(first_bin, 0)] += 1
            begin = max(start, ends.get(action, start))  # count overlapping segments once
            ends[action] = max(stop, begin)
            _add_to_bins(seconds[action], begin - rating.start, ends[action] - rating.start, width)
        for number in range(count):
            start = rating.start + number * width
            for action in actions:
                share = None
                if rated[number] > _ROUNDING:
                    share = 100 * seconds[action][number] / rated[number]
                rows.append(
                    {
                        "video": video,
                        "start": start,
                        "stop": min(start + width, rating.last),
                        "label": action,
                        "seconds": float(seconds[action][number]),
                        "share": None if share is None else float(share),
                        "labelled": float(rated[number]),
                        "count": int(counts[action][number]),
                    }
                )
    return rows


def _bins(rating: Rating, width: float) -> int:
    """Return the number of bins of a video."""
    return max(math.ceil((rating.last - rating.start) / width - _ROUNDING), 0)


def _add_to_bins(seconds: Floats, start: float, stop: float, width: float) -> None:
    """Add to each bin the part of a time interval that lies in it."""
    edges = width * np.arange(len(seconds) + 1)
    seconds += np.diff(np.clip(edges, start, max(start, stop)))


def actions_of(ratings: Iterable[Rating]) -> Names:
    """Return the names of the actions in ratings, without background."""
    names: dict[str, None] = {}
    for rating in ratings:
        names |= dict.fromkeys(state.label for state in _occurrences(rating))
    return tuple(names)


def _occurrences(rating: Rating) -> list[State]:
    """Return the actions of a rating in order. Point events are states without a duration."""
    points = [State(point.time, point.time, point.label) for point in rating.events]
    return sorted([*rating.actions, *points])


def _action_times(rating: Rating) -> dict[str, float]:
    """Return the seconds of each action in a video. Overlapping segments count once."""
    times: dict[str, float] = defaultdict(float)
    ends: dict[str, float] = {}
    for start, stop, action in _occurrences(rating):
        begin = max(start, ends.get(action, start))
        ends[action] = max(stop, begin)
        times[action] += ends[action] - begin
    return times


def rated_time(ratings: Iterable[Rating]) -> tuple[float, float | None]:
    """Return the rated seconds of videos, and their duration, or None if one is unknown."""
    ratings = list(ratings)
    durations = [rating.duration for rating in ratings if rating.duration is not None]
    duration = sum(durations) if len(durations) == len(ratings) else None
    return sum(rating.rated_seconds for rating in ratings), duration


def _budget(video: str, ratings: Sequence[Rating], times: Mapping[str, float]) -> list[Json]:
    lengths: dict[str, list[float]] = {action: [] for action in times}
    starts: dict[str, float] = {}
    for start, stop, action in chain.from_iterable(map(_occurrences, ratings)):
        lengths[action].append(stop - start)
        starts[action] = min(start, starts.get(action, start))

    rows = []
    labelled, duration = rated_time(ratings)
    for action in sorted(lengths, key=lambda action: (-times[action], action)):
        durations = lengths[action]
        total = times[action]
        rows.append(
            {
                "video": video,
                "label": action,
                "seconds": total,
                "share": 100 * total / labelled if labelled else 0.0,
                "labelled": labelled,
                "duration": duration,
                "count": len(durations),
                "mean": float(np.mean(durations)) if durations else None,
                "deviation": float(np.std(durations, ddof=1)) if len(durations) > 1 else None,
                "first": starts.get(action),
            }
        )
    return rows


def transitions(ratings: Iterable[Rating]) -> list[Json]:
    """Count how often an action follows a different one within a video, most frequent first.

    Nothing is counted across unrated time, because other actions may have occurred in it.
    A point event during a state neither interrupts the state nor follows it, so it is left out.

    Args:
        ratings: Rating of each video.

    Returns:
        Rows with the keys from, to and count.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for rating in ratings:
        for first, second in pairwise(_sequence(rating)):
            if _is_rated(rating, first.stop, second.start):
                counts[first.label, second.label] += 1
    return [
        {"from": action, "to": follower, "count": count}
        for (action, follower), count in counts.most_common()
    ]


def _sequence(rating: Rating) -> list[State]:
    """Return the occurrences of a rating without the point events that lie within a state."""
    sequence = []
    end = -math.inf  # of the states so far
    for state in _occurrences(rating):
        is_within = state.start == state.stop and state.start < end
        if not is_within:
            sequence.append(state)
            end = max(end, state.stop)
    return sequence


def _is_rated(rating: Rating, start: float, stop: float) -> bool:
    """Return whether all time between two moments is rated."""
    if stop - start <= _ROUNDING:
        return True
    spans: Floats = np.array(rating.rated).reshape(-1, 2)
    is_within = (spans[:, 0] <= start + _ROUNDING) & (stop - _ROUNDING <= spans[:, 1])
    return bool(is_within.any())
