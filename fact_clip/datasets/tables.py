"""Numeric text (CSV, TSV, TXT) of sensors and trackers, as feature files of the common layout."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.core.errors import CommandOption, FileLocation
from fact_clip.core.files import file_name, read_text, whole_file
from fact_clip.core.messages import suggest
from fact_clip.core.segments import MOST_FRAMES
from fact_clip.datasets.convert import FeatureType, as_type, feature_place

Floats = NDArray[np.float64]

# Columns that say when, and not what; as a feature they would give away the place in the recording.
_WHEN = re.compile(
    r"|#|id|date|t|sec|secs|seconds|ms|(date)?time.*|unix.*|epoch.*|index|sample|n[or]\.?"
    r"|(frame|row)[ _.]?(no|nr|number|id|index|#)?\.?",
    re.IGNORECASE,
)
_ROUNDING = 1e-6  # of a frame; times are written in decimals


@dataclass(frozen=True)
class Sampling:
    """Which columns are features, and when the rows of a table are."""

    columns: tuple[str, ...] = ()  # by name, or by number from 1; empty: all but the time
    time: str | None = None  # the column of times, by name or number
    milliseconds: bool = False  # unit of the times; else seconds
    rate: float | None = None  # rows per second, where there is no such column; None: `fps`
    fps: float | None = None  # rows per second of the features; None: as the rows are


@dataclass(frozen=True)
class Converted:
    """What a table gave."""

    rows: int  # of the table
    frames: int  # T
    columns: int  # D
    interpolated: int  # frames without a row, which lie on the line between their neighbours


def convert_tables(
    files: Sequence[Path], root: Path, how: Sampling, dtype: FeatureType | None = None
) -> dict[str, Converted]:
    """Write `root`/features/NAME.npy, (T, D), from tables, and NAME.json with the frame rate where it is known.

    Frame n is the mean of the rows from n / fps to (n + 1) / fps seconds, where 0 is the time of the first row.
    `dtype` is float32 unless given. Nothing is written before all files are read; a cell that is no finite number, a
    time that goes back, and tables of different columns are an InputError with file and line.
    """
    if how.time is not None and how.rate is not None:
        raise InputError("data convert", "--time and --source-fps; expected one of them")
    if how.time is not None and how.fps is None:
        raise InputError(
            CommandOption("--time"), "no --fps; expected the frames per second that the features shall have"
        )
    if how.rate is not None and how.fps is None:
        raise InputError(
            CommandOption("--source-fps"), "no --fps; expected the frames per second that the features shall have"
        )
    features: dict[str, NDArray[np.float32 | np.float16]] = {}
    found: dict[str, Converted] = {}
    sources: dict[str, Path] = {}
    first: tuple[Path, tuple[str, ...]] | None = None
    for path in files:
        video = file_name(path.stem)
        if video in found:
            raise InputError(path, f"video {video!r} again; expected each once")
        names, times, values = read_table(path, how)
        if first is None:
            first = path, names
        elif names != first[1]:
            expected = f"{', '.join(first[1])}, as in {first[0]}"
            raise InputError(path, f"the columns {', '.join(names)}; expected {expected}", "choose some with --columns")
        rows, between = len(values), 0
        if how.fps is not None and times is not None:
            try:
                values, between = resample(times, values, how.fps)
            except InputError as error:
                raise InputError(FileLocation(path, part=f"{error.where}"), error.problem, error.fix) from None
        features[video], sources[video] = as_type(path, values, dtype or "float32"), path
        found[video] = Converted(rows, len(values), len(names), between)
    described = how.fps is not None
    places = {
        name: feature_place(root, name, sources[name], array.shape, described=described)
        for name, array in features.items()
    }
    for name, array in features.items():
        with whole_file(places[name]) as unfinished:
            np.save(unfinished, array)
        if how.fps is not None:
            with whole_file(places[name].with_suffix(".json")) as unfinished:
                unfinished.write_text(json.dumps({"fps": how.fps}) + "\n", encoding="utf-8")
    return found


def read_table(path: Path, how: Sampling) -> tuple[tuple[str, ...], Floats | None, Floats]:
    """The names of the feature columns, the seconds of the rows (N,) from the first on, and their values (N, D).

    Columns are parted by tabs, else semicolons, else commas, else white space. A first line without any number names
    the columns; without it they are called by their number. Blank lines and those that begin with # are skipped. There
    are no seconds if no column and no rate tells them.
    """
    lines = _cells(path)
    names = tuple(str(number + 1) for number in range(len(lines[0][1])))
    if not any(map(_is_number, lines[0][1])):
        names = tuple(lines.pop(0)[1])
    if not lines:
        raise InputError(path, "no rows; expected a line of numbers for each time")
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        raise InputError(path, f"the column {twice!r} twice; expected each name once")
    time = None if how.time is None else _column(path, names, how.time, "--time")
    if how.columns:
        chosen = [_column(path, names, name, "--columns") for name in how.columns]
        counts = Counter(chosen if time is None else [time, *chosen])
        again = next((names[place] for place, count in counts.items() if count > 1), None)
        if again is not None:
            raise InputError(
                CommandOption("--columns"), f"the column {again!r} twice, or as --time too; expected each column once"
            )
    else:
        chosen = [place for place in range(len(names)) if place != time]
        for place in chosen:
            if _WHEN.fullmatch(names[place]):
                found = f"column {place + 1} ({names[place]!r}) looks like a time or an index, which is no feature"
                todo = f"name it with --time {place + 1}, or the features with --columns"
                raise InputError(path, f"{found}; expected a column of values", todo)
    if not chosen:
        raise InputError(path, "no column of values; expected at least one")
    used = [*chosen, *([] if time is None else [time])]
    table = _numbers(path, lines, names, used)
    seconds = None
    if time is not None:
        seconds = table[:, -1] / (1000 if how.milliseconds else 1)
        back = np.flatnonzero(np.diff(seconds) < 0)
        if back.size:
            number, row = lines[back[0] + 1]
            found = f"time {row[time]} after {lines[back[0]][1][time]}"
            raise InputError(FileLocation(path, number), f"{found}; expected times that do not go back")
        seconds = seconds - seconds[0]
    elif how.rate is not None:
        seconds = np.arange(len(table)) / how.rate
    return tuple(names[place] for place in chosen), seconds, table[:, : len(chosen)]


def _cells(path: Path) -> list[tuple[int, list[str]]]:
    """The lines of a table with their numbers, cut into cells; an InputError where their counts differ."""
    text = read_text(path, "a table of numbers", latin=True)
    kept = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    kept = [(number, line) for number, line in kept if not line.lstrip().startswith("#")]
    if not kept:
        raise InputError(path, "no rows; expected a line of numbers for each time")
    delimiter = next((each for each in "\t;," if each in kept[0][1]), None)
    lines = []
    for number, line in kept:
        try:
            cells = line.split() if delimiter is None else next(csv.reader([line], delimiter=delimiter))
        except csv.Error as error:
            raise InputError(FileLocation(path, number), f"not a row ({error}); expected numbers") from None
        lines.append((number, [cell.strip() for cell in cells]))
        if len(cells) != len(lines[0][1]):
            expected = f"{len(lines[0][1])}, as in line {lines[0][0]}"
            raise InputError(FileLocation(path, number), f"{len(cells)} cells; expected {expected}")
    return lines


def _number(cell: str) -> float:
    """A cell as a number; a ValueError for what Python alone takes for one (1_000)."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _is_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def _column(path: Path, names: Sequence[str], asked: str, option: str) -> int:
    """The place of a column, by name, or by number from 1."""
    if asked in names:
        return names.index(asked)
    if asked.isascii() and asked.isdecimal() and len(asked) < 8 and 1 <= int(asked) <= len(names):
        return int(asked) - 1
    hint = f"columns count from 1 to {len(names)}" if asked.isdecimal() else suggest(asked, names)
    raise InputError(option, f"no column {asked!r} in {path}; expected one of {', '.join(names)}", hint)


def _numbers(path: Path, lines: Sequence[tuple[int, list[str]]], names: Sequence[str], used: Sequence[int]) -> Floats:
    """The cells of some columns as numbers, (N, columns); an InputError names the first that is none, and how many."""
    table = np.empty((len(lines), len(used)))
    for row, (_, cells) in enumerate(lines):
        try:
            table[row] = [_number(cells[place]) for place in used]
        except ValueError:
            table[row] = [_number(cells[place]) if _is_number(cells[place]) else np.nan for place in used]
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        number, cells = lines[bad[0][0]]
        place = used[bad[0][1]]
        named = "" if names[place] == str(place + 1) else f" ({names[place]})"
        more = f", and {len(bad) - 1} more cells" if len(bad) > 1 else ""
        todo = "mend them, or name the columns that are whole with --columns"
        where = f"{path}:{number}, column {place + 1}{named}"
        raise InputError(where, f"{cells[place]!r}{more}; expected a finite number, with a decimal point", todo)
    return table


def resample(times: Floats, values: Floats, fps: float) -> tuple[Floats, int]:
    """Rows (N, D) at `times` (N,), which begin with 0 and do not fall, as frames (T, D); and frames without a row.

    Frame n is the mean of the rows from n / fps to (n + 1) / fps seconds. One without rows lies on the line between the
    nearest frames that have some. The last row lasts as long as rows usually do.
    """
    if times[-1] * fps >= MOST_FRAMES:
        found = f"times from 0 to {times[-1]:g} seconds"
        raise InputError(
            CommandOption("--time"),
            f"{found}; expected {MOST_FRAMES:,} frames at most",
            "check its unit, --unit, and --fps",
        )
    frame = np.floor(times * fps + _ROUNDING).astype(np.int64)  # (N,)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    n_frames = max(int(frame[-1]) + 1, int(np.floor((times[-1] + step) * fps + _ROUNDING)))
    shown, starts, counts = np.unique(frame, return_index=True, return_counts=True)
    means = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    frames = np.stack([np.interp(np.arange(n_frames), shown, column) for column in means.T], axis=1)
    return frames, n_frames - len(shown)
