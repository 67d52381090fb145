"""Annotations, feature files and tables of numbers to the common layout: mapping.txt, groundTruth/, features/."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Segmentation, Vocabulary
from fact_clip.core.arguments import checked
from fact_clip.core.clock import Clock
from fact_clip.core.errors import CommandOption, FileLocation
from fact_clip.core.messages import listed, normalize, spelling_key, suggest
from fact_clip.core.paths import check_place, file_name, inside, same_place, whole_file
from fact_clip.core.segments import MOST_FRAMES
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_finite, lengths_agree, open_array, read_clock
from fact_clip.datasets.layout import read_lines
from fact_clip.datasets.lmdb import read_lmdb
from fact_clip.formats import READERS, save
from fact_clip.formats.annotations import Annotation, Frames, Options, check_background, last_frame, to_frames
from fact_clip.formats.table import Line
from fact_clip.formats.table import read_lines as read_cells

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
FeatureType = Literal["float16", "float32"]


# --- annotations --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """The frames and classes that labels are made for."""

    fps: float | None = None  # frames per second of the features
    features: Path | None = None  # folder of NAME.npy (and NAME.json); None: as many frames as the annotation has
    layout: Layout | None = None  # of the feature files; None: as the annotations fit, else (T, D) with a JSON file
    background: str | None = None  # class of frames without a segment; None: as the file says, else "background"
    mapping: Path | None = None  # a file with the only classes allowed; None: those of ROOT/mapping.txt, then new ones

    def clock(self, name: str) -> Clock:
        """Return the frames of one video."""
        if self.features is None:
            return Clock(fps=self.fps)
        path = self.features / f"{name}.npy"
        clock = read_clock(path, self.fps, self.layout)
        if self.fps is not None and clock.fps != self.fps:
            problem = f"{clock.fps:g} rows a second, but --fps says {self.fps:g}"
            raise InputError(path.with_suffix(".json"), problem, "leave --fps out")
        return clock


@checked
def convert_annotations(
    files: Sequence[Path], kind: str, root: Path, target: Target, options: Options | None = None
) -> dict[str, Frames]:
    """Write `root`/mapping.txt and groundTruth/NAME.txt from annotation files; return the frames of each video.

    A video whose name cannot be that of a file gets another (`file_name`), with a warning. Nothing is written before
    all files are read; label files of the same names are replaced. Classes of an existing mapping keep their numbers;
    a new mapping starts with the background, then goes by name. `kind` is of `READERS`.
    """
    check_background(target.background, "--background")
    annotations: dict[str, Annotation] = {}
    for path in files:
        for annotation in READERS[kind](path, options or Options()):
            name = file_name(annotation.name)
            same = next((other for other in annotations if normalize(other) == normalize(name)), None)
            if same is not None:
                problem = f"video {annotation.name!r} again, after {annotations[same].path}"
                raise InputError(path, problem, "the name of a video counts without its ending and folder")
            annotations[name] = annotation
            if name != annotation.name:
                logger.warning("%s: the video %r is called %r, as a file can be", path, annotation.name, name)
    if not annotations:
        raise InputError(", ".join(map(str, files)), "no annotated videos")
    target = replace(target, layout=target.layout or _layout_by_labels(target, annotations))
    sources = {name: annotation.path for name, annotation in annotations.items()}
    videos = {
        name: to_frames(annotation, target.clock(name), target.background) for name, annotation in annotations.items()
    }
    if target.features is None:
        _check_lengths(root, videos, sources)
    path = root / "mapping.txt"
    before = list(Vocabulary.from_mapping(path)) if path.is_file() else []
    classes = _new_mapping(path, before, videos, sources, target)
    label_paths = {name: inside(root, "groundTruth", f"{name}.txt") for name in videos}
    for label_path in (*label_paths.values(), path):
        check_place(label_path)
    n_replaced = sum(label_path.exists() for label_path in label_paths.values())
    with whole_file(inside(root, "mapping.txt")) as unfinished:
        unfinished.write_text("".join(f"{index} {name}\n" for index, name in enumerate(classes)), encoding="utf-8")
    for name, frames in videos.items():
        save(Segmentation.from_frames(frames.labels), label_paths[name], kind="txt")
    if n_replaced:
        logger.info("%s: %d label files that were there are replaced", root / "groundTruth", n_replaced)
    if before and target.mapping is None and classes[len(before) :]:
        logger.info("%s: new classes: %s", path, listed(classes[len(before) :]))
    return videos


def _layout_by_labels(target: Target, annotations: Mapping[str, Annotation]) -> Layout | None:
    """Return the only layout in which no annotation ends after its features and all files have as many columns."""
    paths = {} if target.features is None else {name: target.features / f"{name}.npy" for name in annotations}
    if target.fps is None or not paths or not all(path.is_file() for path in paths.values()):
        return None
    shapes, ends = {name: open_array(path).shape for name, path in paths.items()}, dict[str, float]()
    for name, annotation in annotations.items():
        rate = target.fps if annotation.unit == "seconds" else target.fps / (annotation.fps or target.fps)
        ends[name] = rate * max((span.stop for span in annotation.spans), default=0)
    sides: tuple[tuple[Layout, int], ...] = (("TD", 0), ("DT", -1))
    layouts = [
        layout
        for layout, side in sides
        if all(ends[name] <= last_frame(shape[side]) for name, shape in shapes.items())
        and len({shape[-1 - side] for shape in shapes.values()}) == 1
    ]
    return layouts[0] if len(layouts) == 1 else None


def _check_lengths(root: Path, videos: Mapping[str, Frames], sources: Mapping[str, Path]) -> None:
    """Raise an InputError where the data set has features that these labels do not fit."""
    for name, frames in videos.items():
        path, n_labels = root / "features" / f"{name}.npy", len(frames.labels)
        if path.is_file():
            shape = open_array(path).shape
            if not any(lengths_agree(side, n_labels, DataConfig()) for side in shape):
                problem = f"{n_labels} labels of {name!r}, but {path} has shape {shape}"
                raise InputError(sources[name], problem, f"give --features {path.parent}")


def _new_mapping(
    path: Path, before: list[str], videos: Mapping[str, Frames], sources: Mapping[str, Path], target: Target
) -> list[str]:
    """Return the names of the mapping to be written, those `before` first."""
    source_of = {label: sources[name] for name, frames in videos.items() for label in frames.labels}
    background = list(dict.fromkeys(frames.background for frames in videos.values()))
    if target.mapping is not None:
        classes = list(Vocabulary.from_mapping(target.mapping))
        if before != classes[: len(before)]:
            fix = "leave --mapping out, or name another --out"
            raise InputError(target.mapping, f"its first classes are not those of {path}, which has labels", fix)
        unknown = sorted(source_of.keys() - set(classes))
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            fix = "name the class of the gaps with --background" if unknown == background else ""
            raise InputError(target.mapping, f"no class {unknown[0]!r}{more}, which the files have", fix)
        return classes
    new = source_of.keys() - set(before)
    classes = before + [name for name in background if name in new] + sorted(new - set(background))
    same_look, same_spelling = dict[str, str](), dict[str, str]()
    for name in classes:
        first = same_look.setdefault(normalize(name), name)
        if first != name:
            raise InputError(source_of[name], f"the labels {first!a} and {name!a} look the same", "use one of them")
        first = same_spelling.setdefault(spelling_key(name), name)
        if first != name and not {name, first} <= set(before):
            logger.warning("%r and %r are two classes; are they two spellings of one name?", first, name)
    return classes


# --- feature files ------------------------------------------------------------------------------------


@checked
def convert_features(
    files: Sequence[Path], kind: str, root: Path, axes: str = "TD", dtype: FeatureType | None = None
) -> dict[str, tuple[int, int]]:
    """Write `root`/features/NAME.npy from feature files (kind "npy") or databases of frames ("lmdb").

    `dtype` is that of the files written, by default that of the files read. float16 takes half the space; a value
    beyond its range, 65504, is an InputError. Returns (T, D) of each video; a video twice is an InputError.
    """
    targets: dict[str, Path] = {}
    first: tuple[Path, int] | None = None
    for path, video, array in _arrays(files, kind, axes):  # all of them before the first is written
        first = first or (path, array.shape[1])
        if array.shape[1] != first[1]:
            problem = f"{array.shape[1]} columns of {array.shape} as TD, but {first[1]} in {first[0]}"
            raise InputError(path, problem, "see --axes" * (kind == "npy"))
        target = _feature_target(root, file_name(video), path, array.shape, has_sidecar=False)
        if target in targets.values():
            raise InputError(path, f"video {video!r} again, as a file {target.name!r}")
        check_finite(path, _as_type(path, array, dtype))
        targets[video] = target
    shapes: dict[str, tuple[int, int]] = {}
    for path, video, array in _arrays(files, kind, axes):
        with whole_file(targets[video]) as unfinished:
            np.save(unfinished, _as_type(path, array, dtype))
        shapes[targets[video].stem] = (array.shape[0], array.shape[1])
    return shapes


def _arrays(files: Sequence[Path], kind: str, axes: str) -> Iterator[tuple[Path, str, NDArray[Any]]]:
    """Yield (file, name of the video, features (T, D)) of each video."""
    for path in files:
        videos = read_lmdb(path) if kind == "lmdb" else [(path.stem, read_array(path, axes))]
        yield from ((path, name, array) for name, array in videos)


def read_array(path: Path, axes: str) -> NDArray[Any]:
    """Return a feature array (T, D) in the type of the file, or float32 where it was averaged.

    `axes` has one letter per axis of the file: T time, D channels, C crops, which are averaged. "DT" is I3D
    as MS-TCN stores it, "CTD" has several crops per clip.
    """
    letters = axes.upper()
    if letters.count("T") != 1 or letters.count("D") != 1 or not set(letters) <= set("TDC"):
        fix = "use one letter per axis, T and D once each, and C for crops: TD, DT, CTD"
        raise InputError(CommandOption("--axes"), f"{axes} are not axes", fix)
    array = open_array(path)
    if array.ndim != len(letters):
        raise InputError(path, f"an array of shape {array.shape} has not the axes {letters}", "set --axes")
    crops = tuple(axis for axis, letter in enumerate(letters) if letter == "C")
    if crops:
        array = array.mean(axis=crops, dtype=np.float32)
    return array if letters.index("T") < letters.index("D") else array.T


def _feature_target(root: Path, name: str, source: Path, shape: tuple[int, ...], *, has_sidecar: bool) -> Path:
    """Return where the features of a video, (T, D), are written; an InputError where they cannot be.

    Existing ones may be replaced by others of their width that fit the labels of the video, if there are some. Without
    a NAME.json of their own, an existing one would describe other features.
    """
    target, json_path = inside(root, "features", f"{name}.npy"), inside(root, "features", f"{name}.json")
    label_path, fix = root / "groundTruth" / f"{name}.txt", "remove the existing ones, or name another --out"
    for path in (target, json_path):
        check_place(path)
    if same_place(target, source):
        raise InputError(source, "this file would be replaced", "name another --out")
    if not has_sidecar and json_path.exists():
        raise InputError(json_path, "it describes other features", "remove it, or name another --out")
    existing = None
    with suppress(InputError):  # there are none, or damaged ones, which may be replaced
        existing = open_array(target).shape
    if existing is not None and shape[1] not in existing:
        raise InputError(source, f"{shape[1]} columns would replace {target} of shape {existing}", fix)
    n_labels = len(read_lines(label_path, "a label file")) if label_path.is_file() else shape[0]
    if not lengths_agree(shape[0], n_labels, DataConfig()):
        raise InputError(source, f"{shape[0]} frames (shape {shape} as TD) for {n_labels} labels in {label_path}", fix)
    return target


def _as_type(path: Path, array: NDArray[Any], dtype: FeatureType | None) -> NDArray[Any]:
    """Return features (T, D) in another type, contiguous; an InputError where a finite value gets infinite."""
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype != converted.dtype and converted.dtype.kind == "f":
        lost = np.isinf(converted) & np.isfinite(array)
        if lost.any():
            frame, column = map(int, np.argwhere(lost)[0])
            fix = "use --dtype float32" if dtype == "float16" else "scale the values"
            problem = f"{array[frame, column]} in frame {frame}, column {column} is too large for {converted.dtype}"
            raise InputError(path, problem, fix)
    return converted


# --- tables of numbers --------------------------------------------------------------------------------

# Columns that say when, and not what; as a feature they would give away the time in the recording.
_TIME_NAMES = re.compile(
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
    decimal: Literal[".", ","] = "."


@dataclass(frozen=True)
class TableCounts:
    """Sizes of a table and of its features."""

    rows: int  # of the table
    frames: int  # T
    columns: int  # D
    interpolated: int  # frames without a row, which lie on the line between their neighbours


def convert_tables(
    files: Sequence[Path], root: Path, sampling: Sampling, dtype: FeatureType | None = None
) -> dict[str, TableCounts]:
    """Write `root`/features/NAME.npy, (T, D), from tables, and NAME.json with the frame rate where it is known.

    Frame n is the mean of the rows from n / fps to (n + 1) / fps seconds, where 0 is the time of the first row.
    `dtype` is float32 unless given. Nothing is written before all files are read; a cell that is no finite number, a
    time that goes back, and tables of different columns are an InputError with file and line.
    """
    if sampling.time is not None and sampling.rate is not None:
        raise InputError("data convert", "--time and --source-fps exclude each other", "leave one out")
    for option, value in (("--time", sampling.time), ("--source-fps", sampling.rate)):
        if value is not None and sampling.fps is None:
            raise InputError(CommandOption(option), "the features need a frame rate with it", "give --fps")
    features: dict[str, NDArray[np.float32 | np.float16]] = {}
    counts: dict[str, TableCounts] = {}
    targets: dict[str, Path] = {}
    first: tuple[Path, tuple[str, ...]] | None = None
    for path in files:
        video = file_name(path.stem)
        if video in features:
            raise InputError(path, f"video {video!r} again")
        names, times, values = read_numbers(path, sampling)
        first = first or (path, names)
        if names != first[1]:
            problem = f"the columns {', '.join(names)}, but {', '.join(first[1])} in {first[0]}"
            raise InputError(path, problem, "choose some with --columns")
        rows, interpolated = len(values), 0
        if sampling.fps is not None and times is not None:
            if times[-1] * sampling.fps >= MOST_FRAMES:
                fix = "check its unit, --unit, and --fps"
                raise InputError(FileLocation(path, part="--time"), f"times from 0 to {times[-1]:g} seconds", fix)
            values, interpolated = resample(times, values, sampling.fps)
        features[video] = _as_type(path, values, dtype or "float32")
        counts[video] = TableCounts(rows, len(values), len(names), interpolated)
        targets[video] = _feature_target(root, video, path, values.shape, has_sidecar=sampling.fps is not None)
    for video, array in features.items():
        with whole_file(targets[video]) as unfinished:
            np.save(unfinished, array)
        if sampling.fps is not None:
            with whole_file(targets[video].with_suffix(".json")) as unfinished:
                unfinished.write_text(json.dumps({"fps": sampling.fps}) + "\n", encoding="utf-8")
    return counts


def read_numbers(path: Path, sampling: Sampling) -> tuple[tuple[str, ...], Floats | None, Floats]:
    """Return the names of the feature columns, the seconds of the rows (N,) from the first on, and their values (N, D).

    Columns are separated by tabs, else semicolons, else commas, else white space. A first line without any number names
    the columns; without it they are called by their number. Blank lines and those that begin with # are skipped. There
    are no seconds if no column and no rate tells them.
    """
    lines = read_cells(path, "a table of numbers", latin=True, comment="#")
    if sampling.decimal == ",":
        lines = [(number, [cell.replace(",", ".") for cell in cells]) for number, cells in lines]
    names = tuple(str(column + 1) for column in range(len(lines[0][1]) if lines else 0))
    if lines and not any(map(_is_number, lines[0][1])):
        names = tuple(lines.pop(0)[1])
    if not lines:
        raise InputError(path, "no rows", "write a line of numbers for each time")
    for number, cells in lines:
        if len(cells) != len(names):
            raise InputError(FileLocation(path, number), f"{len(cells)} cells, but {len(names)} in the first line")
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        raise InputError(path, f"the column {twice!r} twice", "name each once")
    time = None if sampling.time is None else _column(path, names, sampling.time, "--time")
    chosen = [_column(path, names, name, "--columns") for name in sampling.columns]
    again = next(
        (names[column] for column, count in Counter([*chosen, time]).items() if count > 1 and column is not None), None
    )
    if again is not None:
        raise InputError(CommandOption("--columns"), f"the column {again!r} twice, or as --time too", "name it once")
    if not chosen:
        chosen = [column for column in range(len(names)) if column != time]
        for column in chosen:
            if _TIME_NAMES.fullmatch(names[column]):
                problem = f"column {column + 1} ({names[column]!r}) looks like a time or an index, not a feature"
                fix = f"name it with --time {column + 1}, or the features with --columns"
                raise InputError(path, problem, fix)
    if not chosen:
        raise InputError(path, "no column of values")
    table = _numbers(path, lines, names, [*chosen, *([] if time is None else [time])])
    seconds = None if sampling.rate is None else np.arange(len(table)) / sampling.rate
    if time is not None:
        seconds = table[:, -1] / (1000 if sampling.milliseconds else 1)
        back = np.flatnonzero(np.diff(seconds) < 0)
        if back.size:
            number, cells = lines[back[0] + 1]
            problem = f"the time goes back from {lines[back[0]][1][time]} to {cells[time]}"
            raise InputError(FileLocation(path, number), problem, "sort the rows")
        seconds = seconds - seconds[0]
    return tuple(names[column] for column in chosen), seconds, table[:, : len(chosen)]


def _number(cell: str) -> float:
    """Return a cell as a number; NaN for what is none, also for what Python alone takes for one (1_000)."""
    try:
        return np.nan if "_" in cell else float(cell)
    except ValueError:
        return np.nan


def _is_number(cell: str) -> bool:
    return not np.isnan(_number(cell)) or cell.lower() in ("nan", "+nan", "-nan")


def _column(path: Path, names: Sequence[str], name: str, option: str) -> int:
    """Return the number of a column, from 0, by its name, or by its number from 1."""
    if name in names:
        return names.index(name)
    if name.isascii() and name.isdecimal() and 1 <= int(name[:8]) <= len(names):
        return int(name) - 1
    fix = f"columns count from 1 to {len(names)}" if name.isdecimal() else suggest(name, names)
    problem = f"no column {name!r} in {path}; the columns are {', '.join(names)}"
    raise InputError(CommandOption(option), problem, fix)


def _numbers(path: Path, lines: Sequence[Line], names: Sequence[str], columns: Sequence[int]) -> Floats:
    """Return the cells of some columns as numbers, (N, columns); an InputError names the first that is none."""
    table = np.array([[_number(cells[column]) for column in columns] for _, cells in lines])
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        (number, cells), column = lines[bad[0][0]], columns[bad[0][1]]
        name = "" if names[column] == str(column + 1) else f" ({names[column]})"
        more = f", and {len(bad) - 1} more cells are" if len(bad) > 1 else " is"
        where = FileLocation(path, number, f"column {column + 1}{name}")
        fix = "write numbers with a decimal point, or name the other columns with --columns"
        raise InputError(where, f"{cells[column]!r}{more} not a finite number", fix)
    return table


def resample(times: Floats, values: Floats, fps: float) -> tuple[Floats, int]:
    """Return rows (N, D) at `times` (N,), from 0 on, as frames (T, D), and how many frames have no row.

    Frame n is the mean of the rows from n / fps to (n + 1) / fps seconds. One without rows lies on the line between the
    nearest frames that have some. The last row lasts as long as rows usually do.
    """
    frame = np.floor(times * fps + _ROUNDING).astype(np.int64)  # (N,)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    n_frames = max(int(frame[-1]) + 1, int(np.floor((times[-1] + step) * fps + _ROUNDING)))
    shown, starts, counts = np.unique(frame, return_index=True, return_counts=True)
    means = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    frames = np.stack([np.interp(np.arange(n_frames), shown, column) for column in means.T], axis=1)
    return frames, n_frames - len(shown)
