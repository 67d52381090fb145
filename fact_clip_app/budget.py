"""Time budgets: how long, how often and when each action is done; agreement in time."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.core import Floats, InputError, Integers, Json, Names, Segmentation, runs
from fact_clip.core.extras import require
from fact_clip.core.paths import whole_file
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.formats.table import write_table
from fact_clip.formats.times import timed
from fact_clip.metrics.frame import percent
from fact_clip.metrics.segmental import OVERLAPS, Run, SegmentCounts, edit_of, f1_smoothed

Stretch = tuple[float, float, str]  # start and stop in seconds, and the action

_TICK = 1e-9  # seconds; times are compared in whole ticks
_ROUNDING = 0.04  # seconds by which segments of a file may overlap, less than most frames last
_SLACK = 1e-3  # percent of an overlap that rounded times may lack

Rows = Sequence[Mapping[str, Any]]

SEGMENT_COLUMNS = ("track", "start", "stop", "label", "origin", "annotator", "comment")
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


def timed_parts(segmentation: Segmentation, background: Iterable[str]) -> list[Stretch]:
    """Return the segments of a segmentation in seconds.

    Args:
        segmentation: the segmentation, with times or a rate.
        background: labels that are left out.

    Returns:
        The other segments, by the times that files get, and the instants.
    """
    labelled = replace(segmentation, background=tuple(background))
    parts = [(start, stop, segment.label) for start, stop, segment in timed(labelled)]
    for instant in segmentation.instants:
        time = segmentation.seconds(instant.frame) or 0.0
        parts.append((time, time, instant.label))
    return parts


def check_apart(where: str, parts: Iterable[Stretch]) -> None:
    """Raise an InputError if segments overlap, so that a frame has more than one label."""
    segments = sorted(part for part in parts if part[0] < part[1] and part[2] != UNLABELLED)
    for first, second in pairwise(segments):
        if second[0] < first[1] - _ROUNDING:
            problem = f"{first[2]!r} and {second[2]!r} overlap, so they are not one labelling"
            raise InputError(where, problem, "compare single tracks")


@dataclass(frozen=True)
class Extent:
    """How much of a video is labelled, in seconds."""

    labelled: float  # with the time that is known to be background
    duration: float | None  # of the video; None if unknown
    start: float = 0.0  # the time of its first frame


def time_budget(
    videos: Mapping[str, Sequence[Stretch]], extents: Mapping[str, Extent]
) -> list[Json]:
    """Return a row for each video and action, and for each action in all videos (video "all").

    Args:
        videos: the segments of each video. Stretches that are UNLABELLED are left out.
        extents: how much of it is labelled.

    Returns:
        Rows of `COLUMNS`: total time, percent of the labelled time, labelled time, duration (None
        if unknown), number of segments, mean and standard deviation of their durations (None for
        one segment), and start of the first one (None for "all"). In seconds; actions by their
        total time.
    """
    rows = []
    total_times: dict[str, float] = defaultdict(float)
    for video, parts in videos.items():
        times = _action_times(parts)
        for action, seconds in times.items():
            total_times[action] += seconds
        name = "all (video)" if video == "all" else video
        rows += _budget(name, parts, times, extents[video])
    if len(videos) > 1:
        all_parts = list(chain.from_iterable(videos.values()))
        for row in _budget("all", all_parts, total_times, total_extent(extents.values())):
            rows.append({**row, "first": None})
    return rows


def group_budget(
    videos: Mapping[str, Sequence[Stretch]],
    extents: Mapping[str, Extent],
    groups: Mapping[str, str],
    ids: Mapping[str, str],
) -> list[Json]:
    """Return a row for each group and action, as `time_budget` returns for all videos.

    A group has zeros for the actions of other groups.

    Args:
        videos: the segments of each video, or of each of its tracks.
        extents: how much of it is labelled.
        groups: the group of each video.
        ids: its id, which its tracks share.
    """
    rows = []
    actions = [action for _, _, action in chain.from_iterable(videos.values())]
    for group in sorted(set(groups.values())):
        members = [video for video in videos if groups[video] == group]
        parts = list(chain.from_iterable(videos[video] for video in members))
        times = dict.fromkeys(actions, 0.0)
        for video in members:
            for action, seconds in _action_times(videos[video]).items():
                times[action] += seconds
        extent = total_extent(extents[video] for video in members)
        count = len({ids[video] for video in members})
        for row in _budget(f"{group} ({count})", parts, times, extent):
            rows.append({**row, "first": None})
    return rows


def _action_times(parts: Iterable[Stretch]) -> dict[str, float]:
    """Return the seconds of each action in a video, once where its segments overlap."""
    parts = [part for part in parts if part[2] != UNLABELLED]
    times: dict[str, float] = defaultdict(float)
    ends: dict[str, float] = {}
    for start, stop, action in sorted(parts):
        begin = max(start, ends.get(action, start))
        ends[action] = max(stop, begin)
        times[action] += ends[action] - begin
    return times


def total_extent(extents: Iterable[Extent]) -> Extent:
    """Return the labelled time and the duration of several videos together."""
    extents = list(extents)
    labelled = sum(extent.labelled for extent in extents)
    durations = [extent.duration for extent in extents if extent.duration is not None]
    is_known = len(durations) == len(extents)
    return Extent(labelled, sum(durations) if is_known else None)


def _budget(
    video: str, parts: Sequence[Stretch], times: Mapping[str, float], extent: Extent
) -> list[Json]:
    lengths: dict[str, list[float]] = {action: [] for action in times}
    starts: dict[str, float] = {}
    for start, stop, action in parts:
        if action == UNLABELLED:
            continue
        lengths[action].append(stop - start)
        starts[action] = min(start, starts.get(action, start))

    rows = []
    for action in sorted(lengths, key=lambda action: (-times[action], action)):
        durations = lengths[action]
        total = times[action]
        rows.append(
            {
                "video": video,
                "label": action,
                "seconds": total,
                "share": 100 * total / extent.labelled if extent.labelled else 0.0,
                "labelled": extent.labelled,
                "duration": extent.duration,
                "count": len(durations),
                "mean": float(np.mean(durations)) if durations else None,
                "deviation": float(np.std(durations, ddof=1)) if len(durations) > 1 else None,
                "first": starts.get(action),
            }
        )
    return rows


def transitions(videos: Iterable[Sequence[Stretch]]) -> list[Json]:
    """Count how often an action follows another within a video, most frequent first.

    Stretches that are UNLABELLED part a video, as other actions may have happened there.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for parts in videos:
        actions = [action for _, _, action in sorted(parts)]
        counts.update(pair for pair in pairwise(actions) if UNLABELLED not in pair)
    return [
        {"from": action, "to": follower, "count": count}
        for (action, follower), count in counts.most_common()
    ]


def write_tables(path: Path, tables: Mapping[str, Rows]) -> list[Path]:
    """Write tables to one .xlsx file, a sheet each, or to .csv files.

    Args:
        path: the .xlsx file, or the .csv file of the first table. The others are named
            NAME-TABLE.csv.
        tables: name of a table -> its rows.

    Returns:
        The files.
    """
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        _write_workbook(path, tables)
        return [path]
    if suffix != ".csv":
        raise InputError(path, f"no table in {path.suffix!r}", "name a .csv or .xlsx file")
    paths: list[Path] = []
    for name, rows in tables.items():
        file = path.with_name(f"{path.stem}-{name}.csv") if paths else path
        with whole_file(file) as unfinished:
            write_table(unfinished, _cells(rows), "\n")
        paths.append(file)
    return paths


def _write_workbook(path: Path, tables: Mapping[str, Rows]) -> None:
    require(path, "openpyxl", "app")
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    def without_controls(value: Any) -> Any:
        return ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else value

    book = Workbook()
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name[:31])
        for row in _cells(rows):
            # Names that a person typed may hold characters that no sheet can.
            sheet.append([without_controls(value) for value in row])
            for cell in sheet[sheet.max_row]:
                if isinstance(cell.value, str):
                    cell.data_type = "s"  # so that a name is not read as a formula
    with whole_file(path) as unfinished:
        book.save(unfinished)


def _cells(rows: Rows) -> Iterable[list[Any]]:
    """Yield the header and the rows, with numbers to a millisecond."""
    yield list(rows[0]) if rows else ["nothing"]
    for row in rows:
        yield [round(cell, 3) if isinstance(cell, float) else cell for cell in row.values()]


@dataclass(frozen=True)
class Pair:
    """Two labellings of one video, whose unlabelled time is background."""

    first: Sequence[Stretch]
    second: Sequence[Stretch]
    seconds: float  # duration of the video

    @property
    def known(self) -> "Pair":
        """Return the labellings as if the time that either has as UNLABELLED were cut out."""
        parts = (*self.first, *self.second)
        return self.without(part for part in parts if part[2] == UNLABELLED)

    def without(self, holes: Iterable[Stretch]) -> "Pair":
        """Return the labellings as if the time of `holes` were cut out of the video."""
        ordered = sorted(holes)

        def moved(time: float) -> float:
            lost = 0.0
            end = 0.0  # of the holes before
            for start, stop, _ in ordered:
                lost += max(min(stop, time) - max(start, end), 0.0)
                end = max(stop, end)
            return time - lost

        def kept(parts: Iterable[Stretch]) -> list[Stretch]:
            moved_parts = [(moved(start), moved(stop), label) for start, stop, label in parts]
            return [part for part in moved_parts if part[0] < part[1]]

        return Pair(kept(self.first), kept(self.second), moved(self.seconds))


@dataclass(frozen=True)
class TimeAgreement:
    """How far two labellings of some videos agree in time, whatever their frames are."""

    figures: Json  # in percent, but kappa and ICC are at most 1; None where there is nothing
    names: Names  # of the actions; the first one, "", is background
    confusion: Floats  # (K, K) seconds with an action in the first and in the second labelling


def time_agreement(pairs: Sequence[Pair]) -> TimeAgreement:
    """Compare pairs of labellings in continuous time, without sampling.

    Args:
        pairs: the two labellings of each video. Of overlapping segments, the later one counts.

    Returns:
        Cohen's kappa, accuracy, F1 at the usual overlaps, edit score, distance of edges and ICC.
        All videos are pooled, but the edit score and the distance are means over videos.

    Raises:
        InputError: there is no time to compare.
    """
    if not any(pair.seconds >= _TICK for pair in pairs):
        fix = "label more of them, or mark tracks as fully labelled"
        raise InputError("compare", "nothing that both have labelled", fix)
    labels = {part[2] for pair in pairs for part in (*pair.first, *pair.second)}
    names = ("", *sorted(labels))
    ticks = np.zeros((len(names), len(names)))
    runs_of_pairs = []
    for pair in pairs:
        times = [0.0, max(pair.seconds, _TICK)]
        for start, stop, _ in (*pair.first, *pair.second):
            times += [start, stop]
        edges = np.unique(_ticks(times))  # (P + 1,)
        first, second = (_piece_labels(parts, edges, names) for parts in (pair.first, pair.second))
        np.add.at(ticks, (first, second), np.diff(edges))
        runs_of_pairs.append((_piece_runs(first, edges), _piece_runs(second, edges)))

    shares = ticks / ticks.sum()
    observed = float(shares.trace())
    expected = float(shares.sum(0) @ shares.sum(1))
    figures: Json = {
        # as `fact_clip.metrics.cohen_kappa`
        "kappa": 1.0 if expected >= 1 else (observed - expected) / (1 - expected),
        "accuracy": percent(float(ticks.trace()), float(ticks.sum())),
    }
    for overlap in OVERLAPS:
        counts = [SegmentCounts.of(*both, overlap - _SLACK) for both in runs_of_pairs]
        f1 = f1_smoothed(*SegmentCounts.pooled(counts).totals())
        figures[f"f1@{overlap}"] = f1 if any(map(any, runs_of_pairs)) else None
    figures["edit"] = _mean(edit_of(*both) for both in runs_of_pairs if any(both))

    firsts = [_stretches(first, names) for first, _ in runs_of_pairs]
    seconds = [_stretches(second, names) for _, second in runs_of_pairs]
    figures["edges_s"] = _mean(map(boundary_distance, firsts, seconds))
    figures["icc"] = duration_icc(list(chain(*firsts)), list(chain(*seconds)))
    return TimeAgreement(figures, names, ticks * _TICK)


def _ticks(seconds: Sequence[float]) -> Integers:
    ticks: Integers = np.round(np.array(seconds) / _TICK).astype(np.int64)
    return ticks


def _piece_labels(parts: Iterable[Stretch], edges: Integers, names: Names) -> Integers:
    """Return the index of the action on each piece between two edges, (P,)."""
    labels = np.zeros(len(edges) - 1, dtype=np.int64)
    for start, stop, name in sorted(parts):
        first, last = np.searchsorted(edges, _ticks([start, stop]))
        labels[first:last] = names.index(name)
    return labels


def _piece_runs(labels: Integers, edges: Integers) -> list[Run]:
    """Return the runs of pieces in ticks, without background."""
    times = edges.tolist()
    return [(times[start], times[stop], label) for start, stop, label in runs(labels) if label]


def _stretches(parts: Iterable[Run], names: Names) -> list[Stretch]:
    return [(start * _TICK, stop * _TICK, names[label]) for start, stop, label in parts]


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None


def boundary_distance(first: Sequence[Stretch], second: Sequence[Stretch]) -> float | None:
    """Return the mean distance from each edge of a labelling to the nearest one of the other.

    Args:
        first: segments of one labelling.
        second: segments of the other.

    Returns:
        Seconds, or None if either has no segments.
    """
    first_edges = _edge_times(first)
    second_edges = _edge_times(second)
    if not len(first_edges) or not len(second_edges):
        return None
    distances = np.abs(first_edges[:, None] - second_edges[None])  # (E, F)
    return float(np.concatenate([distances.min(1), distances.min(0)]).mean())


def _edge_times(parts: Sequence[Stretch]) -> Floats:
    times = [part[:2] for part in parts]
    return np.unique(np.array(times, dtype=np.float64))


def duration_icc(first: Sequence[Stretch], second: Sequence[Stretch]) -> float | None:
    """Return the agreement on the total time of each action: ICC(A,1) of McGraw and Wong (1996).

    Args:
        first: segments of one labelling.
        second: segments of the other.

    Returns:
        The coefficient, or None with fewer than two actions or if the times do not vary.
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


def _total(parts: Sequence[Stretch], action: str) -> float:
    return sum(stop - start for start, stop, name in parts if name == action)
