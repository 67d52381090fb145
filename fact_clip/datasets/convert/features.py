"""Conversion of databases of frame features to feature files of the common layout."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fact_clip.core import Array, FileLocation, InputError, Json, Names, Singles
from fact_clip.core.arguments import validated
from fact_clip.core.io import check_file
from fact_clip.core.paths import inside, whole_file
from fact_clip.datasets.convert.annotations import video_file_name
from fact_clip.datasets.features import check_finite
from fact_clip.formats.base import library

FeatureType = Literal["float16", "float32"]


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """The features of one video, to be written."""

    path: Path  # source file
    video: str
    columns: str  # description of the columns, which must be the same for all videos
    rows: Array  # (T, D)
    counts: dict[str, int]  # counts to report
    encoder: str | None = None  # source of the columns, if other columns may look the same
    names: Names = ()  # names of the columns, if known


@validated()
def convert_features(
    files: Sequence[Path], root: Path, dtype: FeatureType | None = None
) -> dict[str, dict[str, int]]:
    """Write `root`/features/NAME.npy for all videos in databases of frames, or for none.

    Args:
        files: Databases; see `read_lmdb`.
        root: Folder of the data set.
        dtype: Type to write, or None for float32. A value outside its range is an InputError.

    Returns:
        The numbers of "frames" and "columns" of each video's features, by name.
    """

    def videos() -> Iterator[VideoFeatures]:
        for path in files:
            for name, array in read_lmdb(path):
                check_finite(path, array)
                n_frames, n_columns = array.shape
                counts = {"frames": n_frames, "columns": n_columns}
                yield VideoFeatures(path, name, f"{n_columns} columns", array, counts)

    return write_features(videos(), root, dtype)


def write_features(
    videos: Iterable[VideoFeatures], root: Path, dtype: str | None, fps: float | None = None
) -> dict[str, dict[str, int]]:
    """Write NAME.npy, and NAME.json if there is a rate, of all videos or none. Return counts."""
    counts = {}
    path_of: dict[Path, Path] = {}
    first: tuple[str, Path] | None = None  # columns and file of the first video
    with ExitStack() as all_or_none:
        for video in videos:
            name = video_file_name(video.path, video.video)
            target = inside(root, "features", f"{name}.npy")
            sidecar = inside(root, "features", f"{name}.json")
            first = first or (video.columns, video.path)
            if video.columns != first[0]:
                problem = f"{video.columns}, but {first[0]} in {first[1]}"
                raise InputError(video.path, problem, "see --columns")
            if target in path_of:
                problem = f"video {video.video!r} is repeated, after {path_of[target]}"
                raise InputError(video.path, problem)
            if fps is None and sidecar.exists():
                problem = "it describes other features"
                raise InputError(sidecar, problem, "remove it, or name a different --out")

            path_of[target] = video.path
            counts[name] = video.counts
            with np.errstate(over="ignore"):
                rows = np.ascontiguousarray(video.rows, dtype=dtype)
            if not np.isfinite(rows).all():
                problem = f"values that are too large for {dtype}"
                raise InputError(video.path, problem, "use --dtype float32, or scale them")
            np.save(all_or_none.enter_context(whole_file(target)), rows)
            if fps is not None:
                facts: Json = {"fps": fps, "n_frames": len(rows)}
                if video.encoder is not None:
                    facts["encoder"] = video.encoder
                if video.names:
                    facts["columns"] = list(video.names)
                content = json.dumps(facts) + "\n"
                unfinished = all_or_none.enter_context(whole_file(sidecar))
                unfinished.write_text(content, encoding="utf-8")
    return counts


_FEWEST_VALUES = 128  # enough to show their type

# Such as "P01_01/frame_0000000001.jpg" or "P01_01_frame_0000000001.jpg" of Epic-Kitchens.
_FRAME_KEY = re.compile(r"(?P<video>.+?)[/_](?:frame|img)_(?P<frame>[0-9]{1,12})(?:\.\w+)?")


# Reading a damaged database may end the process, so a separate process reads it first.
_READ_ALL = """
import os, sys, lmdb
path = sys.argv[1]
store = lmdb.open(path, readonly=True, lock=False, subdir=os.path.isdir(path), create=False)
with store.begin() as transaction:
    for key, value in transaction.cursor():
        pass
"""


def read_lmdb(path: Path) -> Iterator[tuple[str, Singles]]:
    """Yield name and features (T, D) of each video in an LMDB of float32 frame vectors."""
    lmdb = library(path, "lmdb", "lmdb")
    check_file(path / "data.mdb" if path.is_dir() else path, "a database of frame features")
    command = [sys.executable, "-c", _READ_ALL, str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise InputError(path, "not an LMDB of frame features, or cut off", "copy it again")
    store = lmdb.open(str(path), readonly=True, lock=False, subdir=path.is_dir(), create=False)
    with store, store.begin() as transaction:
        videos: dict[str, dict[int, bytes]] = {}  # keys by video and frame number
        for key in transaction.cursor().iternext(values=False):
            match = _FRAME_KEY.fullmatch(key.decode("utf-8", errors="replace"))
            if match is None:
                problem = f"the key {key!r} is not a frame, such as VIDEO/frame_0000000001.jpg"
                raise InputError(path, problem)
            videos.setdefault(match["video"], {})[int(match["frame"])] = key
        if not videos:
            raise InputError(path, "no frames", "give a database of frame features")
        for video, key_of_frame in videos.items():
            location = FileLocation(path, part=repr(video))
            order = sorted(key_of_frame)
            if order != list(range(order[0], order[-1] + 1)) or order[0] > 1:
                problem = f"not every frame from 0 or 1 to {order[-1]} is present"
                raise InputError(location, problem)

            vectors = [transaction.get(key_of_frame[frame], b"") for frame in order]
            sizes = {len(vector) for vector in vectors}
            size = len(vectors[0])
            if len(sizes) > 1 or size == 0 or size % 4:
                raise InputError(location, "its frames are not float32 vectors of one length")
            values = np.frombuffer(b"".join(vectors), dtype=np.float32)
            likely = _likely_type(values)
            columns, remainder = divmod(size, np.dtype(likely).itemsize)
            if likely != "float32" and not remainder:
                problem = f"its vectors look like {columns} columns of {likely}"
                raise InputError(location, problem, "write them as float32, or as NAME.npy")
            yield video, values.reshape(len(vectors), -1)


def _likely_type(values: Singles) -> str:
    """Return the most likely type of values that were read as float32.

    If they are pairs of float16 numbers, both halves are finite and mostly nonzero. The first half
    of a true float32 holds its lower bits, which are either random, and so not always finite, or
    zero. For a float64 that was converted from float32, the first half holds three bits and zeros.
    """
    lower = values[::2].view(np.uint32)
    halves = values.view(np.float16)
    was_half = not (values.view(np.uint32) << 19).any()  # float32 with the mantissas of float16
    if len(values) >= _FEWEST_VALUES:
        if values.any() and not (lower << 3).any():
            return "float64"
        is_half = np.count_nonzero(halves[::2]) * 2 > np.count_nonzero(halves[1::2])
        if is_half and not was_half and np.isfinite(halves).all():
            return "float16"
    return "float32"
