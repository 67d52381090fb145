"""Curves of a video: columns of its features, or of a table with times, as numbers over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fact_clip.core import Floats, InputError, Names, Singles
from fact_clip.core.io import read_mapping, read_text
from fact_clip.core.paths import whole_file
from fact_clip.formats.table import find_separator
from fact_clip_app.store.project import VideoEntry
from fact_clip_app.workspace.engine import row_starts
from fact_clip_app.workspace.uploads import Upload
from fact_clip_app.workspace.workspace import Workspace

MOST_CURVES = 8
"""Most curves of a video that are shown at once."""

CURVES = "curves"
"""Setting of a project: the names of the curves that are shown of each video, by its id."""

_TIMES = ("time", "times", "second", "seconds", "timestamp")
_MOST_COLUMNS = 2000
_TABLE = ".npz"  # ending of stored tables


@dataclass(frozen=True)
class Signals:
    """The columns that a video can show as curves.

    Attributes:
        names: Names of the columns.
        starts: Seconds at which the rows start, and the end, (N + 1,).
        path: File with an array (N, D), or (D, N) if `is_transposed`: features, or a stored table.
        version: Time of change of the file, so that another content is read again.
        is_transposed: Whether the rows are in the second axis.
    """

    names: Names
    starts: Floats
    path: Path
    version: int
    is_transposed: bool

    def values(self, name: str) -> Singles:
        """Return the values (N,) of a column."""
        column = self.names.index(name)
        return _column(self.path, self.version, column, self.is_transposed)


@dataclass(frozen=True)
class Outline:
    """The smallest and the largest value of a curve in each of some bins of time.

    Attributes:
        name: Name of the curve.
        low: Smallest value of each bin, NaN if the curve has no value there.
        high: Largest value of each bin.
        least: Smallest value of the whole curve.
        most: Largest value of the whole curve.
    """

    name: str
    low: Singles
    high: Singles
    least: float
    most: float


def signals_of(workspace: Workspace, video: VideoEntry) -> list[Signals]:
    """Return the columns of the table and of the features of a video, as far as there are any."""
    signals = []
    table = _table_path(workspace, video)
    if table.is_file():
        stored = np.load(table)
        signals.append(_signals(table, tuple(stored["names"].tolist()), stored["starts"]))
    features = workspace.engine.features(video)
    if features is not None and features.is_file():
        rows, clock = workspace.engine.open_features(video, features, workspace.engine.model())
        starts = row_starts(features, clock, len(rows))
        names = _column_names(features, rows.shape[1])
        taken = {name for signal in signals for name in signal.names}
        names = tuple(f"{name} (features)" if name in taken else name for name in names)
        is_transposed = np.load(features, mmap_mode="r").shape != rows.shape
        signals.append(_signals(features, names, starts, is_transposed=is_transposed))
    return signals


def _signals(path: Path, names: Names, starts: Floats, *, is_transposed: bool = False) -> Signals:
    return Signals(names, starts, path, path.stat().st_mtime_ns, is_transposed)


def _column_names(features: Path, width: int) -> Names:
    """Return the names of feature columns in the JSON file next to them, or their numbers."""
    names: list[str] = []
    sidecar = features.with_suffix(".json")
    if sidecar.is_file():
        stored = read_mapping(sidecar, "facts of the features").get("columns")
        if isinstance(stored, list) and len(stored) == width:
            names = [str(name) for name in stored]
    if len(set(names)) < width:
        names = [f"column {number}" for number in range(1, width + 1)]
    return tuple(names[:_MOST_COLUMNS])


@lru_cache(maxsize=4 * MOST_CURVES)
def _column(path: Path, version: int, column: int, is_transposed: bool) -> Singles:
    """Read a column of a file. `version` is part of the key of the cache."""
    array = np.load(path)["values"] if path.suffix == _TABLE else np.load(path, mmap_mode="r")
    values = array[column] if is_transposed else array[:, column]
    return np.array(values, dtype=np.float32)


def shown_curves(workspace: Workspace, video: VideoEntry) -> list[str]:
    """Return the names of the curves that are shown of a video."""
    stored_names = workspace.project.setting(CURVES, {}).get(video.id, [])
    available = [name for signal in signals_of(workspace, video) for name in signal.names]
    return [name for name in stored_names if name in available]


def choose_curves(workspace: Workspace, video: VideoEntry, names: Sequence[str]) -> None:
    """Choose the curves that are shown of a video.

    Raises:
        InputError: There are too many, or the video has no column of a name.
    """
    if len(names) > MOST_CURVES:
        raise InputError("curves", f"{len(names)}, but at most {MOST_CURVES} are shown")
    available = {name for signal in signals_of(workspace, video) for name in signal.names}
    for name in names:
        if name not in available:
            raise InputError("curves", f"{video.name} has no column {name!r}")
    names_of_videos = workspace.project.setting(CURVES, {})
    workspace.project.set(CURVES, {**names_of_videos, video.id: list(dict.fromkeys(names))})


def outlines(
    signals: Sequence[Signals], names: Sequence[str], start: float, stop: float, n_bins: int
) -> list[Outline]:
    """Return the outlines of curves between two times of the video.

    Args:
        signals: Columns of the video.
        names: Names of the curves.
        start: Seconds at which the first bin starts.
        stop: Seconds at which the last bin ends.
        n_bins: Number of bins, such as the pixels of a screen.
    """
    edges = np.linspace(start, stop, n_bins + 1)
    curve_outlines = []
    for name in names:
        signal = next(signal for signal in signals if name in signal.names)
        values = signal.values(name)
        low, high = _extremes(values, signal.starts, edges)
        curve_outlines.append(Outline(name, low, high, float(values.min()), float(values.max())))
    return curve_outlines


def _extremes(values: Singles, starts: Floats, edges: Floats) -> tuple[Singles, Singles]:
    """Return the smallest and the largest value in each bin, NaN outside of the rows.

    A bin that is shorter than a row has the value of the row that lasts.
    """
    first = np.searchsorted(starts, edges[:-1], side="right") - 1
    last = np.searchsorted(starts, edges[1:], side="left")
    is_outside = (edges[1:] <= starts[0]) | (edges[:-1] >= starts[-1])
    first = first.clip(0, len(values) - 1)
    last = np.maximum(last.clip(0, len(values)), first + 1)
    pairs = np.column_stack([first, last]).ravel()
    padded = np.append(values, values[-1])  # `reduceat` takes no place behind the end
    low = np.minimum.reduceat(padded, pairs)[::2]
    high = np.maximum.reduceat(padded, pairs)[::2]
    low[is_outside] = np.nan
    high[is_outside] = np.nan
    return low, high


def load_table(workspace: Workspace, video: VideoEntry, upload: Upload) -> None:
    """Store the columns of a table with times, which replaces an earlier one of the video.

    The table has a header. One column is named time or seconds and has seconds of the video, which
    rise. All others are numbers.

    Raises:
        InputError: The file is not such a table, or its times are not those of the video.
    """
    names, seconds, values = _read_table(upload.path)
    end = float(video.times[-1])
    if seconds[0] > end or seconds[-1] < video.times[0]:
        problem = f"times from {seconds[0]:g} to {seconds[-1]:g} s, but the video ends at {end:g} s"
        raise InputError(upload.path, problem, "give seconds of the video")
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    starts = np.append(seconds, seconds[-1] + step)
    with whole_file(_table_path(workspace, video)) as unfinished:
        np.savez(unfinished, names=np.array(names), starts=starts, values=values)


def _read_table(path: Path) -> tuple[Names, Floats, Singles]:
    """Return the names of the columns, the seconds (N,) and the values (N, D) of a table."""
    header, _, rows = read_text(path, "a table of numbers over time").partition("\n")
    header = header.strip("\ufeff\r ")
    separator = find_separator(header) or ","
    names = [name.strip().strip('"') for name in header.split(separator)]
    times = [number for number, name in enumerate(names) if name.casefold() in _TIMES]
    if len(times) != 1 or len(names) < 2 or len(set(names)) < len(names) or not all(names):
        problem = f"columns {', '.join(map(repr, names[:6]))}"
        fix = "give a header with different names, one of which is time, and a column of numbers"
        raise InputError(path, problem, fix)
    if len(names) > _MOST_COLUMNS:
        raise InputError(path, f"{len(names)} columns", f"give at most {_MOST_COLUMNS}")
    if not rows.strip():
        raise InputError(path, "no rows", "give a row of numbers for each time")
    try:
        table = np.loadtxt(path, delimiter=separator, skiprows=1, ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        fix = "give a number with a decimal point in each cell"
        raise InputError(path, str(error).split(";")[0], fix) from None
    if table.shape[1] != len(names):
        problem = f"rows of {table.shape[1]} numbers for {len(names)} columns"
        raise InputError(path, problem, "give a number in each column")
    seconds = table[:, times[0]]
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise InputError(
            path, "times that do not increase", "give seconds of the video, row by row"
        )
    columns = [number for number in range(len(names)) if number != times[0]]
    values = table[:, columns].astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(path, "values that are not finite", "leave these rows out")
    return tuple(names[number] for number in columns), seconds, values


def _table_path(workspace: Workspace, video: VideoEntry) -> Path:
    return workspace.project.folder / "curves" / f"{video.id}{_TABLE}"
