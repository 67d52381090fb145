"""Annotations, feature files and tables of numbers to the common layout: mapping.txt, groundTruth/, features/."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import (
    MAX_FRAMES,
    Clock,
    CommandOption,
    FileLocation,
    InputError,
    Segmentation,
    Vocabulary,
    located,
)
from fact_clip.core.arguments import check_name, validated
from fact_clip.core.errors import library_errors
from fact_clip.core.io import check_file
from fact_clip.core.messages import join_names, normalize
from fact_clip.core.paths import check_place, file_name, inside, same_place, whole_file, write_lines
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_finite, open_array, read_clock
from fact_clip.formats import READERS, save
from fact_clip.formats.base import Annotation, Frames, Options, last_frame, library, to_frames
from fact_clip.formats.base import read_lines as read_cells

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
FeatureType = Literal["float16", "float32"]


@dataclass(frozen=True)
class Target:
    """The frames and classes that labels are made for."""

    fps: float | None = None  # frames per second of the features
    features: Path | None = (
        None  # folder of NAME.npy (and NAME.json); None: as many frames as the annotation has
    )
    layout: Layout | None = (
        None  # of the feature files; None: as the annotations fit, else (T, D) with a JSON file
    )
    background: str | None = (
        None  # class of frames without a segment; None: as the file says, else "background"
    )
    mapping: Path | None = (
        None  # a file with the only classes allowed; None: those of ROOT/mapping.txt, then new ones
    )

    def clock(self, name: str) -> Clock:
        """Return the frames of one video."""
        if self.features is None:
            return Clock(fps=self.fps)
        path = self.features / f"{name}.npy"
        clock = read_clock(path, self.fps, self.layout)
        if self.fps is not None and clock.fps != self.fps:
            raise InputError(
                path.with_suffix(".json"),
                f"fps is {clock.fps:g}, not {self.fps:g}",
                "leave --fps out",
            )
        return clock


@validated()
def convert_annotations(
    files: Sequence[Path], kind: str, root: Path, target: Target, options: Options | None = None
) -> dict[str, Frames]:
    """Write `root`/mapping.txt and groundTruth/NAME.txt from annotation files; return the frames of each video.

    A video whose name cannot be that of a file gets another (`file_name`), with a warning. Nothing is written before
    all files are read; label files of the same names are replaced. Classes of an existing mapping keep their numbers;
    a new mapping starts with the background, then goes by name. `kind` is of `READERS`.
    """
    if target.background is not None:
        check_name(target.background, "--background")
    annotations: dict[str, Annotation] = {}
    spellings: dict[str, Path] = {}
    for path in files:
        for annotation in READERS[kind](path, options or Options()):
            name = _file_name(path, annotation.name)
            if normalize(name) in spellings:
                problem = f"video {annotation.name!r} again, after {spellings[normalize(name)]}"
                raise InputError(
                    path, problem, "the name of a video counts without its ending and folder"
                )
            annotations[name], spellings[normalize(name)] = annotation, path
    all_files = ", ".join(map(str, files))
    if not annotations:
        raise InputError(all_files, "no annotated videos")
    target = replace(target, layout=target.layout or _layout_by_labels(target, annotations))
    videos = {
        name: to_frames(entry, target.clock(name), target.background)
        for name, entry in annotations.items()
    }
    path = root / "mapping.txt"
    before = list(Vocabulary.from_mapping(path)) if path.is_file() else []
    labels = {label for frames in videos.values() for label in frames.labels}
    background = list(dict.fromkeys(frames.background for frames in videos.values()))
    classes = _new_mapping(path, before, labels, background, target.mapping)
    with located(all_files):
        Vocabulary.from_names(classes)  # no two names look the same
    label_paths = {name: inside(root, "groundTruth", f"{name}.txt") for name in videos}
    for label_path in (*label_paths.values(), path):
        check_place(label_path)
    n_replaced = sum(label_path.exists() for label_path in label_paths.values())
    write_lines(
        inside(root, "mapping.txt"), (f"{index} {name}" for index, name in enumerate(classes))
    )
    for name, frames in videos.items():
        save(Segmentation.from_frames(frames.labels), label_paths[name], kind="txt")
    if n_replaced:
        logger.info(
            "%s: %d label files that were there are replaced", root / "groundTruth", n_replaced
        )
    if before and target.mapping is None and classes[len(before) :]:
        logger.info("%s: new classes: %s", path, join_names(classes[len(before) :]))
    return videos


def _layout_by_labels(target: Target, annotations: Mapping[str, Annotation]) -> Layout | None:
    """Return the only layout in which no annotation ends after its features and all files have as many columns."""
    paths = (
        {}
        if target.features is None
        else {name: target.features / f"{name}.npy" for name in annotations}
    )
    if target.fps is None or not paths or not all(path.is_file() for path in paths.values()):
        return None
    shapes, ends = (
        {name: open_array(path).shape for name, path in paths.items()},
        dict[str, float](),
    )
    for name, annotation in annotations.items():
        rate = (
            target.fps
            if annotation.unit == "seconds"
            else target.fps / (annotation.fps or target.fps)
        )
        ends[name] = rate * max((span.stop for span in annotation.spans), default=0)
    sides: tuple[tuple[Layout, int], ...] = (("TD", 0), ("DT", -1))
    layouts = [
        layout
        for layout, side in sides
        if all(ends[name] <= last_frame(shape[side]) for name, shape in shapes.items())
        and len({shape[-1 - side] for shape in shapes.values()}) == 1
    ]
    return layouts[0] if len(layouts) == 1 else None


def _new_mapping(
    path: Path, before: list[str], labels: Set[str], background: Sequence[str], mapping: Path | None
) -> list[str]:
    """Return the names of the mapping to be written, those `before` first, for the labels of all videos."""
    if mapping is not None:
        classes = list(Vocabulary.from_mapping(mapping))
        if before != classes[: len(before)]:
            raise InputError(
                mapping, f"its first classes are not those of {path}", "leave --mapping out"
            )
        unknown = sorted(labels - set(classes))
        if unknown:
            fix = "name the class of the gaps with --background" if unknown == background else ""
            raise InputError(mapping, f"no class {join_names(unknown)}, which the files have", fix)
        return classes
    new = labels - set(before)
    return before + [name for name in background if name in new] + sorted(new - set(background))


@validated()
def convert_features(
    files: Sequence[Path], kind: str, root: Path, axes: str = "TD", dtype: FeatureType | None = None
) -> dict[str, tuple[int, ...]]:
    """Write `root`/features/NAME.npy from feature files ("npy") or databases of frames ("lmdb"); return each (T, D).

    All are written or none, as `dtype`, by default that of the files read; a value beyond it is an InputError.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def videos() -> Iterator[tuple[Path, str, str, NDArray[Any]]]:
        for path in files:
            for name, array in (
                read_lmdb(path) if kind == "lmdb" else [(path.stem, read_array(path, axes))]
            ):
                check_finite(path, array)
                shapes[file_name(name)] = array.shape
                yield path, name, f"{array.shape[1]} columns", array

    _write_features(videos(), root, dtype, None)
    return shapes


def _file_name(path: Path, video: str) -> str:
    if (name := file_name(video)) != video:
        logger.warning("%s: the video %r is called %r, as a file can be", path, video, name)
    return name


def _write_features(
    videos: Iterable[tuple[Path, str, str, NDArray[Any]]],
    root: Path,
    dtype: str | None,
    fps: float | None,
) -> None:
    """Write NAME.npy, and NAME.json with a rate, of all (file, name, columns in words, features (T, D)), or none."""
    targets: dict[Path, Path] = {}
    first: tuple[str, Path] | None = None
    with ExitStack() as all_or_none:
        for path, video, columns, array in videos:
            name = _file_name(path, video)
            target, sidecar = (
                inside(root, "features", f"{name}{ending}") for ending in (".npy", ".json")
            )
            first = first or (columns, path)
            if columns != first[0]:
                raise InputError(
                    path, f"{columns}, but {first[0]} in {first[1]}", "see --axes and --columns"
                )
            if target in targets:
                raise InputError(path, f"video {video!r} again, after {targets[target]}")
            if same_place(target, path):
                raise InputError(path, "this file would be replaced", "name another --out")
            if fps is None and sidecar.exists():
                raise InputError(
                    sidecar, "it describes other features", "remove it, or name another --out"
                )
            with np.errstate(over="ignore"):
                converted = np.ascontiguousarray(array, dtype=dtype)
            if not np.isfinite(converted).all():
                raise InputError(
                    path,
                    f"values that are too large for {dtype}",
                    "use --dtype float32, or scale them",
                )
            targets[target] = path
            np.save(all_or_none.enter_context(whole_file(target)), converted)
            if fps is not None:
                text = json.dumps({"fps": fps}) + "\n"
                all_or_none.enter_context(whole_file(sidecar)).write_text(text, encoding="utf-8")


def read_array(path: Path, axes: str) -> NDArray[Any]:
    """Return features (T, D) in the type of the file, or float32 where crops were averaged.

    `axes` has one letter per axis of the file: T time, D channels, C crops. "DT" is I3D as MS-TCN stores it.
    """
    letters = axes.upper()
    if letters.count("T") != 1 or letters.count("D") != 1 or not set(letters) <= set("TDC"):
        raise InputError(
            CommandOption("--axes"),
            f"{axes} are not axes",
            "use a letter for each, as in TD, DT, CTD",
        )
    array = open_array(path)
    if array.ndim != len(letters):
        raise InputError(
            path, f"an array of shape {array.shape} has not the axes {letters}", "set --axes"
        )
    crops = tuple(axis for axis, letter in enumerate(letters) if letter == "C")
    if crops:
        array = array.mean(axis=crops, dtype=np.float32)
    return array if letters.index("T") < letters.index("D") else array.T


# "P01_01/frame_0000000001.jpg", "P01_01_frame_0000000001.jpg", as those of Epic-Kitchens are published
_FRAME_KEY = re.compile(r"(?P<video>.+?)[/_](?:frame|img)_(?P<frame>[0-9]{1,12})(?:\.\w+)?")


def read_lmdb(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name and the features (T, D) of each video of an LMDB with one float32 vector per frame."""
    lmdb = library(path, "lmdb", "lmdb", "lmdb")
    check_file(path / "data.mdb" if path.is_dir() else path, "a database of frame features")
    with library_errors(path, "not an LMDB of frame features", lmdb.Error):
        store = lmdb.open(str(path), readonly=True, lock=False, subdir=path.is_dir(), create=False)
    with store, store.begin() as transaction:
        videos: dict[str, dict[int, bytes]] = {}
        for key in transaction.cursor().iternext(values=False):
            match = _FRAME_KEY.fullmatch(key.decode("utf-8", errors="replace"))
            if match is None:
                raise InputError(
                    path, f"the key {key!r} is not a frame, as VIDEO/frame_0000000001.jpg"
                )
            videos.setdefault(match["video"], {})[int(match["frame"])] = key
        if not videos:
            raise InputError(path, "no frames", "give a database of frame features")
        for video, frames in videos.items():
            where, order = FileLocation(path, part=repr(video)), sorted(frames)
            if order != list(range(order[0], order[-1] + 1)):
                raise InputError(where, f"not every frame of {order[0]} to {order[-1]} is there")
            values = [transaction.get(frames[frame], b"") for frame in order]
            if len({len(value) for value in values}) > 1 or not values[0] or len(values[0]) % 4:
                raise InputError(where, "its frames are not float32 vectors of one length")
            yield video, np.frombuffer(b"".join(values), dtype=np.float32).reshape(len(values), -1)


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


def convert_tables(
    files: Sequence[Path], root: Path, sampling: Sampling, dtype: FeatureType | None = None
) -> dict[str, dict[str, int]]:
    """Write `root`/features/NAME.npy, (T, D), from tables, and NAME.json with the frame rate where it is known.

    Frame n is the mean of the rows from n / fps to (n + 1) / fps seconds, where 0 is the time of the first row. All
    files are written (float32 unless `dtype` is given), or none. Returns the "rows" of each table, and of its features
    the "frames", "columns" and "interpolated" frames, which have no row and lie on the line between their neighbours.
    """
    if sampling.time is not None and sampling.rate is not None:
        raise InputError(
            "data convert", "--time and --source-fps exclude each other", "leave one out"
        )
    for option, value in (("--time", sampling.time), ("--source-fps", sampling.rate)):
        if value is not None and sampling.fps is None:
            raise InputError(
                CommandOption(option), "the features need a frame rate with it", "give --fps"
            )
    counts: dict[str, dict[str, int]] = {}

    def videos() -> Iterator[tuple[Path, str, str, NDArray[Any]]]:
        for path in files:
            names, times, values = read_numbers(path, sampling)
            sizes = {
                "rows": len(values),
                "frames": len(values),
                "columns": len(names),
                "interpolated": 0,
            }
            if sampling.fps is not None and times is not None:
                if times[-1] * sampling.fps >= MAX_FRAMES:
                    raise InputError(
                        path, f"times from 0 to {times[-1]:g} seconds", "see --unit and --fps"
                    )
                values, interpolated = resample(times, values, sampling.fps)
                sizes |= {"frames": len(values), "interpolated": interpolated}
            counts[file_name(path.stem)] = sizes
            yield path, path.stem, f"the columns {', '.join(names)}", values

    _write_features(videos(), root, dtype or "float32", sampling.fps)
    return counts


def read_numbers(path: Path, sampling: Sampling) -> tuple[tuple[str, ...], Floats | None, Floats]:
    """Return the names of the feature columns, the seconds of the rows (N,) if they are known, and their values (N, D).

    A first line without any number names the columns, else their numbers do. Lines that begin with # are skipped.
    """
    lines = read_cells(path, "a table of numbers", latin=True, comment="#")
    if sampling.decimal == ",":
        lines = [(number, [cell.replace(",", ".") for cell in cells]) for number, cells in lines]
    first = lines[0][1] if lines else []
    names = tuple(str(column + 1) for column in range(len(first)))
    if not any(cell.lower().lstrip("+-") == "nan" or not np.isnan(_number(cell)) for cell in first):
        names, lines = tuple(first), lines[1:]
    if not lines:
        raise InputError(path, "no rows", "write a line of numbers for each time")
    for number, cells in lines:
        if len(cells) != len(names):
            raise InputError(
                FileLocation(path, number),
                f"{len(cells)} cells, but {len(names)} in the first line",
            )
    time = None if sampling.time is None else _column(path, names, sampling.time, "--time")
    chosen = [_column(path, names, name, "--columns") for name in sampling.columns]
    chosen = chosen or [column for column in range(len(names)) if column != time]
    for column in () if sampling.columns else chosen:
        if _TIME_NAMES.fullmatch(names[column]):
            problem = f"column {column + 1} ({names[column]!r}) looks like a time or an index, not a feature"
            raise InputError(path, problem, "name it with --time, or the features with --columns")
    columns = [*chosen, *([] if time is None else [time])]
    if not chosen or len({names[column] for column in columns}) < len(columns):
        problem = (
            f"{', '.join(names[column] for column in columns)}: not columns of values, each once"
        )
        raise InputError(path, problem, "name the features with --columns")
    table = np.array([[_number(cells[column]) for column in columns] for _, cells in lines])
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        (number, cells), column = lines[bad[0][0]], columns[bad[0][1]]
        name = "" if names[column] == str(column + 1) else f" ({names[column]})"
        where = FileLocation(path, number, f"column {column + 1}{name}")
        fix = "write it with a decimal point, or name other --columns"
        raise InputError(where, f"{cells[column]!r} is not a finite number", fix)
    seconds = None if sampling.rate is None else np.arange(len(table)) / sampling.rate
    if time is not None:
        seconds = table[:, -1] / (1000 if sampling.milliseconds else 1)
        back = np.flatnonzero(np.diff(seconds) < 0)
        if back.size:
            number, cells = lines[back[0] + 1]
            raise InputError(
                FileLocation(path, number), f"the time goes back to {cells[time]}", "sort the rows"
            )
        seconds = seconds - seconds[0]
    return tuple(names[column] for column in chosen), seconds, table[:, : len(chosen)]


def _number(cell: str) -> float:
    """Return a cell as a number; NaN for what is none, also for what Python alone takes for one (1_000)."""
    try:
        return np.nan if "_" in cell else float(cell)
    except ValueError:
        return np.nan


def _column(path: Path, names: Sequence[str], name: str, option: str) -> int:
    """Return the number of a column, from 0, by its name, or by its number from 1."""
    if name in names:
        return names.index(name)
    if name.isascii() and name.isdecimal() and 1 <= int(name) <= len(names):
        return int(name) - 1
    raise InputError(
        CommandOption(option),
        f"no column {name!r} in {path}",
        f"the columns are {', '.join(names)}",
    )


def resample(times: Floats, values: Floats, fps: float) -> tuple[Floats, int]:
    """Return rows (N, D) at `times` (N,), from 0 on, as frames (T, D), and how many of them have no row.

    Frames are as in `convert_tables`. The last row lasts as long as rows usually do.
    """
    frame = np.floor(times * fps + _ROUNDING).astype(np.int64)  # (N,)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    n_frames = max(int(frame[-1]) + 1, int(np.floor((times[-1] + step) * fps + _ROUNDING)))
    shown, starts, counts = np.unique(frame, return_index=True, return_counts=True)
    means = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    frames = np.stack([np.interp(np.arange(n_frames), shown, column) for column in means.T], axis=1)
    return frames, n_frames - len(shown)
