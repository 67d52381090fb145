"""Convert annotations and features of other tools to the common layout: mapping.txt, groundTruth/, features/."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Segmentation, Vocabulary
from fact_clip.core.clock import Clock
from fact_clip.core.errors import CommandOption, FileLocation
from fact_clip.core.files import check_file, check_place, file_name, inside, same_place, whole_file
from fact_clip.core.messages import listed, normalize, spelling_key
from fact_clip.core.public import public
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_finite, lengths_agree, open_array, read_clock
from fact_clip.datasets.layout import read_lines
from fact_clip.formats import READERS, save
from fact_clip.formats.annotations import Frames, Options, check_background, to_frames
from fact_clip.formats.base import library

logger = logging.getLogger(__name__)

FeatureType = Literal["float16", "float32"]


@dataclass(frozen=True)
class Target:
    """The frames and classes that labels are made for."""

    fps: float | None = None  # frames per second of the features
    features: Path | None = None  # folder of NAME.npy (and NAME.json); None: as many frames as the annotation has
    layout: Layout | None = None  # of the feature files; None: (T, D), where there is a JSON file
    background: str | None = None  # class of frames without a segment; None: as the file says, else "background"
    mapping: Path | None = None  # a file with the only classes allowed; None: those of ROOT/mapping.txt, then new ones

    def clock(self, name: str) -> Clock:
        """The frames of one video."""
        if self.features is None:
            return Clock(fps=self.fps)
        path = self.features / f"{name}.npy"
        clock = read_clock(path, self.fps, self.layout)
        if self.fps is not None and clock.fps != self.fps:
            found, todo = f"{clock.fps:g} rows a second", "leave --fps out"
            raise InputError(path.with_suffix(".json"), f"{found}; expected {self.fps:g}, as --fps says", todo)
        return clock


@public
def convert_annotations(
    files: Sequence[Path], kind: str, root: Path, target: Target, options: Options | None = None
) -> dict[str, Frames]:
    """Write `root`/mapping.txt and groundTruth/NAME.txt from annotation files; returns the frames of each video.

    A video whose name cannot be that of a file gets another (`file_name`), with a warning. Nothing is written before
    all files are read; label files of the same names are replaced. Classes of an existing mapping keep their numbers;
    a new mapping starts with the background, then goes by name. `kind` is of `READERS`.
    """
    check_background(target.background, "--background")
    found: dict[str, Frames] = {}
    origin: dict[str, Path] = {}
    for path in files:
        for annotation in READERS[kind](path, options or Options()):
            name = file_name(annotation.name)
            same = next((other for other in found if normalize(other) == normalize(name)), None)
            if same is not None:
                called = f", called {name!r} as a file," if name != annotation.name else ""
                todo = "the name of a video counts without its ending and folder"
                raise InputError(
                    path, f"video {annotation.name!r}{called} again; expected once, as in {origin[same]}", todo
                )
            found[name], origin[name] = to_frames(annotation, target.clock(name), target.background), path
            if name != annotation.name:
                logger.warning(
                    "%s: the video %r is called %r, since its name is no file name", path, annotation.name, name
                )
    if not found:
        raise InputError(", ".join(map(str, files)), "no annotated videos; expected at least one")
    _check_looks(found, origin)
    _check_beside(root, {name: len(frames.labels) for name, frames in found.items()}, target, origin)
    there = root / "mapping.txt"
    n_before = len(Vocabulary.from_mapping(there)) if there.is_file() and target.mapping is None else 0
    classes = _classes(there, found, target)
    labels = {name: inside(root, "groundTruth", f"{name}.txt") for name in found}
    for place in labels.values():
        check_place(place)
    replaced = sum(place.exists() for place in labels.values())
    with whole_file(inside(root, "mapping.txt")) as unfinished:
        unfinished.write_text("".join(f"{index} {name}\n" for index, name in enumerate(classes)), encoding="utf-8")
    for name, frames in found.items():
        save(Segmentation.from_frames(frames.labels), labels[name], kind="txt")
    if replaced:
        logger.info("%s: %d label files that were there are replaced", root / "groundTruth", replaced)
    if n_before and classes[n_before:]:
        logger.info("%s: new classes: %s", there, listed(classes[n_before:]))
    return found


def _check_beside(root: Path, lengths: Mapping[str, int], target: Target, origin: Mapping[str, Path]) -> None:
    """An InputError where the data set has features that these labels do not fit, and nobody said which they have."""
    for name, length in lengths.items():
        path = root / "features" / f"{name}.npy"
        if target.features is None and path.is_file():
            shape = open_array(path).shape
            if not any(lengths_agree(side, length, DataConfig()) for side in shape):
                found, expected = f"{length} labels of {name!r}", f"as many as {path} has rows, of shape {shape}"
                raise InputError(origin[name], f"{found}; expected {expected}", f"give --features {path.parent}")


def _check_looks(found: dict[str, Frames], origin: dict[str, Path]) -> None:
    """An InputError of the file whose label looks the same as another one."""
    first: dict[str, str] = {}
    for video, frames in found.items():
        for label in dict.fromkeys(frames.labels):
            same = first.setdefault(normalize(label), label)
            if same != label:
                where = f"{origin[video]}, video {video!r}"
                raise InputError(where, f"the labels {same!a} and {label!a}, which look the same; expected one of them")


def _classes(there: Path, found: dict[str, Frames], target: Target) -> list[str]:
    """Names in the order of the mapping to be written."""
    used = {label for frames in found.values() for label in frames.labels}
    background = list(dict.fromkeys(frames.background for frames in found.values()))
    if target.mapping is not None:
        known = list(Vocabulary.from_mapping(target.mapping))
        before = list(Vocabulary.from_mapping(there)) if there.is_file() else []
        if before != known[: len(before)]:
            expected = f"those of {there} first, which labels there have"
            todo = "leave --mapping out, or name another --out"
            raise InputError(target.mapping, f"other classes or numbers; expected {expected}", todo)
        unknown = sorted(used - set(known))
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            todo = "name the class of the gaps with --background" if unknown == background else ""
            raise InputError(target.mapping, f"no class {unknown[0]!r}{more}; expected every label of the files", todo)
        return known
    check_place(there)
    known = list(Vocabulary.from_mapping(there)) if there.is_file() else []
    new = used - set(known)
    classes = known + [name for name in background if name in new] + sorted(new - set(background))
    twin = next((name for name in new if any(normalize(name) == normalize(one) for one in known)), None)
    if twin is not None:
        raise InputError(there, f"no class {twin!a}, but one that looks the same; expected one spelling of a name")
    spelled: dict[str, str] = {}
    for name in classes:
        same = spelled.setdefault(spelling_key(name), name)
        if same != name and not {name, same} <= set(known):
            logger.warning("%r and %r are two classes; are they two spellings of one name?", same, name)
    return classes


@public
def convert_features(
    files: Sequence[Path], kind: str, root: Path, axes: str = "TD", dtype: FeatureType | None = None
) -> dict[str, tuple[int, int]]:
    """Write `root`/features/NAME.npy from feature files (kind "npy") or databases of frames ("lmdb").

    `dtype` is that of the files written, by default that of the files read. float16 takes half the space; a value
    beyond its range, 65504, is an InputError. Returns (T, D) of each video; a video twice is an InputError.
    """
    places: dict[str, Path] = {}
    first: tuple[Path, int] | None = None
    for path, foreign, array in _arrays(files, kind, axes):  # a look at all of them before the first is written
        first = first or (path, array.shape[1])
        if array.shape[1] != first[1]:
            found, todo = f"{array.shape[1]} columns (shape {array.shape} as TD)", "see --axes" * (kind == "npy")
            raise InputError(path, f"{found}; expected {first[1]}, as in {first[0]}", todo)
        name = file_name(foreign)
        place = feature_place(root, name, path, array.shape, described=False)
        if place in places.values():
            raise InputError(path, f"video {foreign!r} again, as a file {name!r}; expected each once")
        check_finite(path, as_type(path, array, dtype))
        places[foreign] = place
    shapes: dict[str, tuple[int, int]] = {}
    for path, foreign, array in _arrays(files, kind, axes):
        with whole_file(places[foreign]) as unfinished:
            np.save(unfinished, as_type(path, array, dtype))
        shapes[places[foreign].stem] = (array.shape[0], array.shape[1])
    return shapes


def _arrays(files: Sequence[Path], kind: str, axes: str) -> Iterator[tuple[Path, str, NDArray[Any]]]:
    """(file, name of the video, features (T, D)) of each video."""
    for path in files:
        found = read_lmdb(path) if kind == "lmdb" else [(path.stem, read_array(path, axes))]
        yield from ((path, name, array) for name, array in found)


def feature_place(root: Path, name: str, source: Path, shape: tuple[int, ...], *, described: bool) -> Path:
    """Where the features of a video, (T, D), are written; an InputError where they cannot be.

    Those that are there already may be replaced by others of their width that fit the labels of the video, if there are
    some. `described` if NAME.json is written with them; else one that is there already would describe other features.
    """
    place, beside = inside(root, "features", f"{name}.npy"), inside(root, "features", f"{name}.json")
    check_place(place)
    check_place(beside)
    if same_place(place, source):
        raise InputError(source, "the file that would be written; expected another --out")
    if not described and beside.exists():
        raise InputError(beside, "what other features are; expected none", "remove it, or name another --out")
    _check_beside_labels(place, root / "groundTruth" / f"{name}.txt", source, shape)
    return place


def _check_beside_labels(place: Path, labels: Path, source: Path, shape: tuple[int, ...]) -> None:
    """An InputError where features would give way to some of another width, or do not fit the labels of the video."""
    todo, there = "remove those that are there, or name another --out", None
    with suppress(InputError):  # there are none, or damaged ones, which may be replaced
        there = open_array(place).shape
    if there is not None and shape[1] not in there:
        found = f"{shape[1]} columns (shape {shape} as TD), which would replace {place} of shape {there}"
        raise InputError(source, f"{found}; expected as many columns", todo)
    count = len(read_lines(labels, "a label file")) if labels.is_file() else None
    if count is not None and not lengths_agree(shape[0], count, DataConfig()):
        found = f"{shape[0]} frames (shape {shape} as TD)"
        raise InputError(source, f"{found}; expected about {count}, as {labels} has labels", todo)


def as_type(path: Path, array: NDArray[Any], dtype: FeatureType | None) -> NDArray[Any]:
    """Features (T, D) in another type, contiguous; an InputError where a finite value gets infinite."""
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype != out.dtype and out.dtype.kind == "f":
        lost = np.isinf(out) & np.isfinite(array)
        if lost.any():
            frame, column = map(int, np.argwhere(lost)[0])
            found, most = f"{array[frame, column]} in frame {frame}, column {column}", np.finfo(out.dtype).max
            todo = "use --dtype float32" if dtype == "float16" else "scale the values"
            raise InputError(
                path,
                f"{found}" + "; expected " + f"at most {most:g}, the range of {out.dtype}".replace("65500", "65504"),
                todo,
            )
    return out


# "P01_01/frame_0000000001.jpg", "P01_01_frame_0000000001.jpg"
_FRAME_KEY = re.compile(r"(?P<video>.+?)[/_](?:frame|img)_(?P<frame>[0-9]{1,12})(?:\.\w+)?")


def read_array(path: Path, axes: str) -> NDArray[Any]:
    """A feature array (T, D) in the type of the file, or float32 where it was averaged.

    `axes` has one letter per axis of the file: T time, D channels, C crops, which are averaged. "DT" is I3D
    as MS-TCN stores it, "CTD" has several crops per clip.
    """
    letters = axes.upper()
    if letters.count("T") != 1 or letters.count("D") != 1 or not set(letters) <= set("TDC"):
        raise InputError(
            CommandOption("--axes"),
            f"{axes}; expected one letter per axis, T and D once each, and C for crops: TD, DT, CTD",
        )
    array = open_array(path)
    if array.ndim != len(letters):
        raise InputError(
            path, f"an array of shape {array.shape}; expected {len(letters)} axes, {letters}", "set --axes"
        )
    others = tuple(place for place, letter in enumerate(letters) if letter not in "TD")
    if others:
        array = array.mean(axis=others, dtype=np.float32)
    return array if letters.index("T") < letters.index("D") else array.T


# Walks over all pages of a database. LMDB maps its file, so that a damaged one may end the process that reads it.
_WALK = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import lmdb
with lmdb.open(sys.argv[1], readonly=True, lock=False, subdir=os.path.isdir(sys.argv[1]), create=False) as store:
    with store.begin() as reading:
        for key, value in reading.cursor():
            value[-1:]
"""


def _check_lmdb(path: Path) -> None:
    """An InputError for a database that cannot be read to its end: another process tries it first."""
    expected = "a database of frame features"
    file = path / "data.mdb" if path.is_dir() else path
    check_file(file, expected)
    with file.open("rb") as stream:
        start = stream.read(152)
    if len(start) < 152 or start[16:20] not in (b"\xde\xc0\xef\xbe", b"\xbe\xef\xc0\xde"):
        raise InputError(file, f"not an LMDB (it does not begin as one); expected {expected}")
    walked = subprocess.run([sys.executable, "-c", _WALK, str(path)], capture_output=True, text=True, check=False)
    if walked.returncode:
        last = (walked.stderr.strip().splitlines() or ["it ended the process that read it"])[-1]
        raise InputError(file, f"a damaged LMDB ({last}); expected {expected}", "copy it again")


def read_lmdb(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The videos of an LMDB with one float32 vector per frame, as the Epic-Kitchens features are published.

    Yields the name of a video and its features (T, D); one video at a time is in memory.
    """
    lmdb = library(path, "lmdb", "lmdb", "lmdb")
    _check_lmdb(path)
    try:
        store = lmdb.open(str(path), readonly=True, lock=False, subdir=path.is_dir(), create=False)
    except lmdb.Error as error:
        raise InputError(path, f"not an LMDB ({error}); expected a database of frame features") from None
    with store, store.begin() as reading:
        frames: dict[str, dict[int, bytes]] = {}
        for key in reading.cursor().iternext(values=False):
            match = _FRAME_KEY.fullmatch(key.decode("utf-8", errors="replace"))
            if match is None:
                raise InputError(path, f"key {key!r}; expected VIDEO/frame_0000000001.jpg")
            listed = frames.setdefault(match["video"], {})
            if int(match["frame"]) in listed:
                raise InputError(path, f"frame {int(match['frame'])} of {match['video']!r} twice; expected each once")
            listed[int(match["frame"])] = key
        if not frames:
            raise InputError(path, "no frames; expected a database of frame features")
        for video, keys in frames.items():
            order = sorted(keys)
            missing = next((before + 1 for before, after in pairwise(order) if after != before + 1), None)
            if missing is not None:
                raise InputError(path, f"{video!r} without frame {missing}; expected frames {order[0]} to {order[-1]}")
            values = [reading.get(keys[frame], b"") for frame in order]
            widths = sorted({len(value) for value in values})
            if len(widths) > 1 or widths[0] == 0 or widths[0] % 4:
                found = f"vectors of {', '.join(map(str, widths))} bytes"
                raise InputError(FileLocation(path, part=f"{video!r}"), f"{found}; expected float32 of one length")
            yield video, np.frombuffer(b"".join(values), dtype=np.float32).reshape(len(values), -1)
