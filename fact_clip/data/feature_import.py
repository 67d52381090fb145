"""Other people's feature files to (T, D) arrays: turned, with crops, or in an LMDB of frames."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError

# "P01_01/frame_0000000001.jpg", "P01_01_frame_0000000001.jpg"
_FRAME_KEY = re.compile(r"(?P<video>.+?)[/_](?:frame|img)_(?P<frame>\d+)(?:\.\w+)?")


def read_array(path: Path, axes: str) -> NDArray[Any]:
    """A feature array as (T, D).

    Args:
        path: .npy file.
        axes: a letter an axis of the file: T time, D channels, any other is averaged over (crops). "DT" is I3D as
            MS-TCN keeps it, "CTD" ten crops a clip.

    Returns:
        (T, D) in the type of the file; float32 where it was averaged.

    Raises:
        InputError: unreadable, another number of axes, not numbers, empty, or axes without one T and one D.
    """
    letters = axes.upper()
    if letters.count("T") != 1 or letters.count("D") != 1 or not letters.isalpha():
        raise InputError("--axes", axes, "a letter an axis, T and D once each: TD, DT, CTD")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(path, "no such file", "a feature file") from None
    except (ValueError, OSError, EOFError, SyntaxError, OverflowError, tokenize.TokenError) as error:
        reason = " ".join(str(error).split())
        raise InputError(path, f"not readable as .npy ({reason})", "an array saved by numpy.save") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise InputError(path, "no array of numbers", "an array saved by numpy.save")
    if array.ndim != len(letters) or array.size == 0:
        raise InputError(path, f"an array of shape {array.shape}", f"{len(letters)} axes, {letters}", "set --axes")
    others = tuple(place for place, letter in enumerate(letters) if letter not in "TD")
    if others:
        array = array.mean(axis=others, dtype=np.float32)
    return array if letters.index("T") < letters.index("D") else array.T


def read_lmdb(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Videos of an LMDB that keeps a float32 vector a frame, as the Epic-Kitchens features come.

    Yields:
        Name of a video and its features (T, D) in the order of frames, one video after another in memory.

    Raises:
        InputError: not an LMDB, keys that name no frame, vectors of different length, a frame that is missing, or lmdb
            is not installed.
    """
    try:
        import lmdb
    except ImportError:
        raise InputError(path, "lmdb is not installed", "", "pip install 'fact-clip[lmdb]'") from None
    try:
        store = lmdb.open(str(path), readonly=True, lock=False, subdir=path.is_dir(), create=False)
    except lmdb.Error as error:
        raise InputError(path, f"not an LMDB ({error})", "a database of frame features") from None
    with store, store.begin() as reading:
        frames: dict[str, dict[int, bytes]] = {}
        for key in reading.cursor().iternext(values=False):
            match = _FRAME_KEY.fullmatch(key.decode("utf-8", errors="replace"))
            if match is None:
                raise InputError(path, f"key {key!r}", "VIDEO/frame_0000000001.jpg")
            frames.setdefault(match["video"].replace("/", "_"), {})[int(match["frame"])] = key
        if not frames:
            raise InputError(path, "no frames", "a database of frame features")
        for video, keys in frames.items():
            order = sorted(keys)
            missing = next((frame for frame in range(order[0], order[-1]) if frame not in keys), None)
            if missing is not None:
                raise InputError(path, f"{video!r} without frame {missing}", f"frames {order[0]} to {order[-1]}")
            yield video, _stacked(f"{path}, {video!r}", [reading.get(keys[frame], b"") for frame in order])


def _stacked(where: str, values: list[bytes]) -> NDArray[np.float32]:
    widths = sorted({len(value) for value in values})
    if len(widths) > 1 or widths[0] == 0 or widths[0] % 4:
        raise InputError(where, f"vectors of {', '.join(map(str, widths))} bytes", "float32 of one length")
    return np.frombuffer(b"".join(values), dtype=np.float32).reshape(len(values), -1)
