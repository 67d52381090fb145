"""`.binary.csv`: a row for each frame of the video, and a column of 0 and 1 for each class.

BANOS, A-SOiD, DeepEthogram, lightning-action and SimBA exchange labels in this form. A cell is -1
if nobody has labelled the frame.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fact_clip.core import UNLABELLED, FileLocation, InputError, Integers, Segmentation, runs
from fact_clip.core.clock import ROUNDING
from fact_clip.core.io import read_text
from fact_clip.core.messages import join_names
from fact_clip.formats.base import OURS, Annotation, Options, Span, choose
from fact_clip.formats.boris import Behaviour, Ethogram
from fact_clip.formats.table import find_separator, read_table, without_mark, write_table
from fact_clip.formats.times import parse_seconds, picture, picture_grid, rate_of

FRAME = "frame"
"""Name of the first column, which numbers the frames from 0."""

_INDEX_COLUMNS = {"", "index", "unnamed: 0", FRAME, "frames", "time", "seconds"}
_TIME_COLUMNS = {"time", "seconds"}
_BACKGROUND = "background"  # name of a column that other programs write for frames without a class
_CELLS = {0.0, 1.0, -1.0}
_EXACT = 1e-9  # seconds by which times that were not rounded may deviate


def write_tracks(tracks: Mapping[str, Segmentation], path: Path, ethogram: Ethogram) -> None:
    """Write the tracks of a video to one table.

    A cell is 1 if any track has the class in the frame. It is -1 if no track is labelled there.

    Args:
        tracks: Segmentation of each track, by name.
        path: File to write.
        ethogram: Classes that get a column even if no track has them, in order.
    """
    omitted = {name for track in tracks.values() for name in track.background}
    names = [*ethogram]
    for track in tracks.values():
        names += track.transcript
    class_names = [name for name in dict.fromkeys(names) if name not in {UNLABELLED, *omitted}]
    tables = [_labels_of_pictures(track, class_names) for track in tracks.values()]
    lengths = {len(labels) for labels in tables}
    if len(lengths) > 1:
        counts = " and ".join(map(str, sorted(lengths)))
        raise InputError(path, f"tracks of {counts} frames", "write each to a separate file")

    is_labelled = np.any([labels >= 0 for labels in tables], axis=0)  # (T,)
    columns = [np.where(is_labelled, 0, -1) for _ in class_names]
    for labels in tables:
        for index, column in enumerate(columns):
            column[labels == index] = 1
    rows = zip(range(len(is_labelled)), *(column.tolist() for column in columns), strict=True)
    write_table(path, [(FRAME, *class_names), *rows])


def _labels_of_pictures(segmentation: Segmentation, class_names: Sequence[str]) -> Integers:
    """Return the class of each frame of the video, len(class_names) for none, -1 if unlabelled."""
    numbers = {name: index for index, name in enumerate(class_names)} | {UNLABELLED: -1}
    rate = None if segmentation.seconds(0) is None else picture_grid(segmentation)
    labels: list[int] = []
    for segment in segmentation:
        stop = segment.stop if rate is None else picture(segmentation, segment.stop, rate)
        labels += [numbers.get(segment.label, len(class_names))] * (stop - len(labels))
    return np.array(labels, dtype=np.int64)


@dataclass(frozen=True)
class _Column:
    """The cells of one class."""

    name: str
    cells: Integers  # (T,) of 0, 1 and -1


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the table of one video.

    The classes are one tier if none of them overlap. Otherwise, each class that overlaps with a
    different one is a separate tier, and the others together are the tier "action".

    Args:
        path: File.
        options: Its tier, and the frames per second of the video.

    Returns:
        The annotation. Frames in which all cells of the tier are -1 are unlabelled.

    Raises:
        InputError: A cell is not 0, 1 or -1, a frame is missing, or the file has no classes.
    """
    columns, rate = _read_columns(path)
    classes = _without_background(columns)
    if not classes:
        problem = f"no column but {columns[0].name!r}"
        raise InputError(path, problem, "give a column of 0 and 1 for each class")
    table = np.array([column.cells for column in classes])  # (C, T)
    is_overlap = (table == 1).sum(axis=0) > 1  # (T,)
    overlapping = [column for column in classes if (column.cells[is_overlap] == 1).any()]
    apart = [column for column in classes if column not in overlapping]

    tiers: dict[str, list[_Column]] = {column.name: [column] for column in overlapping}
    if any((column.cells == 1).any() for column in apart) or not tiers:
        tiers = {OURS: apart, **tiers}
    tier = OURS
    if len(tiers) > 1 or options.tier is not None:
        tier = choose(path, "column", tiers, options.tier)

    spans = list(_spans(path, tiers[tier]))
    is_background = np.array([column.cells == 1 for column in columns if column not in classes])
    is_unlabelled = np.all([column.cells == -1 for column in tiers[tier]], axis=0)
    is_unlabelled &= ~is_background.any(axis=0)
    for start, stop, flag in runs(is_unlabelled.astype(np.int64)):
        if flag:
            spans.append(Span(start, stop, UNLABELLED, FileLocation(path, start + 2)))
    return [
        Annotation(
            path=path,
            spans=spans,
            unit="frames",
            fps=options.fps or rate,
            end=table.shape[1],
            tier=tier,
        )
    ]


def read_classes(path: Path) -> Ethogram:
    """Return the classes of a table in order, including those whose column has only zeros."""
    return {column.name: Behaviour() for column in _without_background(_read_columns(path)[0])}


def _without_background(columns: Sequence[_Column]) -> list[_Column]:
    return [column for column in columns if column.name.casefold() != _BACKGROUND]


def _spans(path: Path, columns: Sequence[_Column]) -> Iterator[Span]:
    for column in columns:
        for start, stop, cell in runs(column.cells):
            if cell == 1:
                yield Span(start, stop, column.name, FileLocation(path, start + 2))


def _read_columns(path: Path) -> tuple[list[_Column], float | None]:
    """Return the columns of classes, and the rate of a column of times."""
    # Names of classes may have a semicolon, so the first row of numbers shows the separator.
    first_row = read_text(path, "a table of 0 and 1").splitlines()[1:2]
    separator = find_separator(first_row[0]) if first_row else None
    rows = list(read_table(path, separator=separator))
    if not rows:
        raise InputError(path, "no rows", "give a row for each frame of the video")
    names = list(rows[0][1])
    index_name = names[0].casefold() if names[0].casefold() in _INDEX_COLUMNS else None
    class_names = names if index_name is None else names[1:]
    if not class_names or not all(class_names):
        problem = f"columns {join_names(map(repr, names))}"
        raise InputError(path, problem, "give a column of 0 and 1 with a name for each class")
    rate = None
    if index_name is not None:
        numbers = [parse_seconds(where, row[names[0]], names[0]) for where, row in rows]
        if index_name in _TIME_COLUMNS:
            rate = _rate_of_rows(path, numbers)
        else:
            _check_numbers([where for where, _ in rows], numbers)
    cells: dict[str, list[int]] = {name: [] for name in class_names}
    for where, row in rows:
        for name in class_names:
            cell = parse_seconds(where, row[name], name)
            if cell not in _CELLS:
                problem = f"{row[name]!r} in the column {name!r}"
                fix = "give 0, 1, or -1 for a frame that nobody has labelled"
                raise InputError(where, problem, fix)
            cells[name].append(int(cell))
    columns = [_Column(without_mark(name), np.array(values)) for name, values in cells.items()]
    return columns, rate


def _rate_of_rows(path: Path, times: Sequence[float]) -> float | None:
    """Return the rate behind the times of rows, or None for a single row.

    Programs round times. The first time is the start or the end of the first frame.
    """
    rate = None
    for tolerance in (_EXACT, ROUNDING):
        is_alike = partial(math.isclose, rel_tol=0, abs_tol=tolerance)
        rate = rate or rate_of(enumerate(time - times[0] for time in times), is_alike)
    if rate is None and len(times) > 1:
        problem = "times that are not evenly spaced"
        raise InputError(path, problem, "give a row for each frame of the video")
    latest = ROUNDING if rate is None else 1 / rate + ROUNDING
    if not 0 <= times[0] <= latest:
        fix = "give a row for each frame of the video, starting at its first frame"
        raise InputError(path, f"times that begin at {times[0]:g} s", fix)
    return rate


def _check_numbers(places: Sequence[FileLocation], numbers: Sequence[float]) -> None:
    """Raise an InputError if frame numbers do not count all frames, starting at 0 or 1."""
    first = numbers[0]
    for row, (where, number) in enumerate(zip(places, numbers, strict=True)):
        if first not in (0, 1) or number != first + row:
            problem = f"frame {number:g} in row {row + 1}"
            raise InputError(where, problem, "give a row for each frame of the video, in order")
