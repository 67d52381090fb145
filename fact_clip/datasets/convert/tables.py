"""Conversion of tables of numbers, such as motion sensor values, to feature files."""

import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fact_clip.core import MAX_FRAMES, FileLocation, Floats, InputError, Names
from fact_clip.datasets.convert.features import FeatureType, VideoFeatures, write_features
from fact_clip.formats.table import read_lines as read_cells

logger = logging.getLogger(__name__)

# Names of time columns. As a feature, they would reveal the time in the recording.
_TIME_NAMES = re.compile(
    r"|#|id|date|t|sec|secs|seconds|ms|(date)?time.*|unix.*|epoch.*|index|sample|n[or]\.?"
    r"|(frame|row)[ _.]?(no|nr|number|id|index|#)?\.?",
    re.IGNORECASE,
)
_FEWEST_ROWS = 20  # enough to recognise a time
_ROUNDING = 1e-6  # in frames, because times are written as decimals


@dataclass(frozen=True)
class Sampling:
    """Which columns of a table are features, and the times of its rows.

    Attributes:
        columns: Names of the features, or () for all columns except the time.
        time: Name of the time column.
        milliseconds: Whether times are in milliseconds, not seconds.
        rate: Rows per second if there is no time column, or None to use `fps`.
        fps: Rows per second of the features, or None to keep the rows.
        decimal: Decimal mark.
    """

    columns: Names = ()
    time: str | None = None
    milliseconds: bool = False
    rate: float | None = None
    fps: float | None = None
    decimal: Literal[".", ","] = "."


@dataclass(frozen=True, eq=False)
class NumberTable:
    """The numbers of a table."""

    video: str
    names: Names  # names of the D feature columns
    seconds: Floats | None  # (N,) time of each row, starting at 0, if known
    values: Floats  # (N, D)
    encoder: str | None = None  # see `VideoFeatures`


def convert_tables(
    files: Sequence[Path],
    root: Path,
    sampling: Sampling,
    dtype: FeatureType | None = None,
    read: Callable[[Path], NumberTable] | None = None,
) -> dict[str, dict[str, int]]:
    """Write `root`/features/NAME.npy from tables, and NAME.json with the frame rate if known.

    Frame n is the mean of the rows from n / fps to (n + 1) / fps seconds, where 0 is the time of
    the first row. Either all files are written, or none.

    Args:
        files: Tables.
        root: Folder of the data set.
        sampling: Columns and times.
        dtype: Type to write, or None for float32.
        read: Function that reads a file, or None for `read_numbers`.

    Returns:
        Counts of each video, by name: the "rows" of its table, and the "frames", "columns" and
        "interpolated" frames of its features. Interpolated frames have no row.
    """
    if sampling.time is not None and sampling.rate is not None:
        problem = "--time and --source-fps cannot be combined"
        raise InputError("data convert", problem, "remove one of them")
    for option, value in (("--time", sampling.time), ("--source-fps", sampling.rate)):
        if value is not None and sampling.fps is None:
            raise InputError(option, "this option needs a frame rate of the features", "give --fps")

    def videos() -> Iterator[VideoFeatures]:
        for path in files:
            table = read(path) if read else read_numbers(path, sampling)
            frames = table.values
            n_interpolated = 0
            if sampling.fps is not None and table.seconds is not None:
                if table.seconds[-1] * sampling.fps >= MAX_FRAMES:
                    problem = f"times from 0 to {table.seconds[-1]:g} seconds"
                    raise InputError(path, problem, "see --unit and --fps")
                frames, n_interpolated = resample(table.seconds, table.values, sampling.fps)
            counts = {
                "rows": len(table.values),
                "frames": len(frames),
                "columns": len(table.names),
                "interpolated": n_interpolated,
            }
            columns = f"the columns {', '.join(table.names)}"
            yield VideoFeatures(
                path, table.video, columns, frames, counts, table.encoder, table.names
            )

    return write_features(videos(), root, dtype or "float32", sampling.fps)


@dataclass(frozen=True)
class CellTable:
    """The cells of a table. All lines have the same number of cells."""

    path: Path
    names: Names  # column names from the header, or else numbers from 1
    lines: list[tuple[int, list[str]]]  # line number and cells of each line

    def column(self, name: str, option: str) -> int:
        """Return the index of a column, starting at 0."""
        if name not in self.names:
            fix = f"the columns are {', '.join(self.names)}"
            raise InputError(option, f"no column {name!r} in {self.path}", fix)
        return self.names.index(name)


def read_numbers(path: Path, sampling: Sampling) -> NumberTable:
    """Read a table of numbers.

    If the first line contains no number, it names the columns. Lines that begin with # are skipped.

    Args:
        path: Path of the table.
        sampling: Columns and times.

    Returns:
        The numbers of the feature columns, and the times of the rows.
    """
    decimal = sampling.decimal
    lines = read_cells(path, "a table of numbers", latin=True, comment="#", decimal=decimal)
    if decimal == ",":
        lines = [(number, [cell.replace(",", ".") for cell in row]) for number, row in lines]
    first = lines[0][1] if lines else []
    names = tuple(str(column + 1) for column in range(len(first)))
    has_header = all(
        cell.lower().lstrip("+-") != "nan" and np.isnan(_number(cell)) for cell in first
    )
    if has_header:
        names = tuple(first)
        lines = lines[1:]
    elif len(first) > 2 and first in ([str(number) for number in range(len(first))], [*names]):
        problem = f"{', '.join(first[:3])}, ... look like column numbers"
        fix = "remove this line, or name the columns"
        raise InputError(FileLocation(path, lines[0][0]), problem, fix)
    if not lines:
        raise InputError(path, "no rows", "write one line of numbers per time")
    for number, row in lines:
        if len(row) != len(names):
            problem = f"{len(row)} cells, but {len(names)} in the first line"
            raise InputError(FileLocation(path, number), problem)

    cells = CellTable(path, names, lines)
    time = None if sampling.time is None else cells.column(sampling.time, "--time")
    features = choose_columns(cells, sampling.columns, time)
    values = parse_columns(cells, features)
    if not sampling.columns:
        _check_no_time(cells, features, values)
    seconds = None
    if sampling.rate is not None:
        seconds = np.arange(len(values)) / sampling.rate
    if time is not None:
        seconds = parse_columns(cells, [time])[:, 0] / (1000 if sampling.milliseconds else 1)
        back = np.flatnonzero(np.diff(seconds) < 0)
        if back.size:
            number, row = lines[back[0] + 1]
            problem = f"the time goes back to {row[time]}"
            raise InputError(FileLocation(path, number), problem, "sort the rows")
        if seconds[0] != 0:
            logger.info("%s: times start at %g s, which becomes frame 0", path, seconds[0])
        seconds = seconds - seconds[0]
    return NumberTable(path.stem, tuple(names[column] for column in features), seconds, values)


def _check_no_time(cells: CellTable, columns: Sequence[int], values: Floats) -> None:
    """Reject a column that always rises, because it is probably a time."""
    rises = np.diff(values, axis=0) > 0
    for number, column in enumerate(columns):
        if len(values) >= _FEWEST_ROWS and rises[:, number].all():
            name = cells.names[column]
            problem = f"column {column + 1} ({name!r}) rises in every row, as a time does"
            fix = "name it with --time, or the features with --columns"
            raise InputError(cells.path, problem, fix)


def choose_columns(cells: CellTable, columns: Sequence[str], time: int | None) -> list[int]:
    """Return the feature columns: the named ones, or else all except the time."""
    features = [cells.column(name, "--columns") for name in columns]
    if not columns:
        features = [column for column in range(len(cells.names)) if column != time]
        for column in features:
            if _TIME_NAMES.fullmatch(cells.names[column]):
                name = cells.names[column]
                problem = f"column {column + 1} ({name!r}) looks like a time or an index"
                fix = "name it with --time, or the features with --columns"
                raise InputError(cells.path, f"{problem}, not a feature", fix)

    names = [cells.names[column] for column in features]
    if time is not None:
        names.append(cells.names[time])
    if not features or len(set(names)) < len(names):
        problem = f"{', '.join(names)}: not different columns of values"
        raise InputError(cells.path, problem, "name the features with --columns")
    return features


def parse_columns(cells: CellTable, columns: Sequence[int]) -> Floats:
    """Parse columns of a table as finite numbers (N, D)."""
    rows = []
    for number, line in cells.lines:
        row = [_number(line[column]) for column in columns]
        rows.append(row)
        for column, value in zip(columns, row, strict=True):
            if not math.isfinite(value):
                name = cells.names[column]
                title = "" if name == str(column + 1) else f" ({name})"
                location = FileLocation(cells.path, number, f"column {column + 1}{title}")
                fix = "use a decimal point, or choose different --columns"
                raise InputError(location, f"{line[column]!r} is not a finite number", fix)
    return np.array(rows)


def _number(cell: str) -> float:
    """Return a cell as a number, or NaN if invalid. Unlike Python, reject "1_000"."""
    try:
        return np.nan if "_" in cell else float(cell)
    except ValueError:
        return np.nan


def resample(times: Floats, values: Floats, fps: float) -> tuple[Floats, int]:
    """Resample rows as frames; see `convert_tables`. The last row has the median duration.

    Args:
        times: Seconds of the rows (N,), starting at 0.
        values: Values (N, D).
        fps: Frames per second.

    Returns:
        The frames (T, D), and how many of them have no row and are interpolated.
    """
    frame = np.floor(times * fps + _ROUNDING).astype(np.int64)  # (N,)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    n_frames = max(int(frame[-1]) + 1, int(np.floor((times[-1] + step) * fps + _ROUNDING)))
    occupied, starts, counts = np.unique(frame, return_index=True, return_counts=True)
    means = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    grid = np.arange(n_frames)
    frames = np.stack([np.interp(grid, occupied, column) for column in means.T], axis=1)
    return frames, n_frames - len(occupied)
