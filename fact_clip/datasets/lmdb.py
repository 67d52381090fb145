"""Frame features in an LMDB, as those of Epic-Kitchens are published."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.core.errors import FileLocation
from fact_clip.core.io import check_file
from fact_clip.formats.base import library

# "P01_01/frame_0000000001.jpg", "P01_01_frame_0000000001.jpg"
_FRAME_KEY = re.compile(r"(?P<video>.+?)[/_](?:frame|img)_(?P<frame>[0-9]{1,12})(?:\.\w+)?")


def read_lmdb(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Read the videos of an LMDB with one float32 vector per frame.

    Yields the name of a video and its features (T, D); one video at a time is in memory.
    """
    lmdb = library(path, "lmdb", "lmdb", "lmdb")
    check_file(path / "data.mdb" if path.is_dir() else path, "a database of frame features")
    try:
        store = lmdb.open(str(path), readonly=True, lock=False, subdir=path.is_dir(), create=False)
    except lmdb.Error as error:
        raise InputError(path, f"not an LMDB of frame features ({error})") from None
    with store, store.begin() as transaction:
        videos: dict[str, dict[int, bytes]] = {}
        for key in transaction.cursor().iternext(values=False):
            match = _FRAME_KEY.fullmatch(key.decode("utf-8", errors="replace"))
            if match is None:
                raise InputError(path, f"the key {key!r} is not a frame, as VIDEO/frame_0000000001.jpg")
            frames, frame = videos.setdefault(match["video"], {}), int(match["frame"])
            if frame in frames:
                raise InputError(path, f"frame {frame} of {match['video']!r} twice")
            frames[frame] = key
        if not videos:
            raise InputError(path, "no frames", "give a database of frame features")
        for video, frames in videos.items():
            where, order = FileLocation(path, part=repr(video)), sorted(frames)
            missing = next((before + 1 for before, after in pairwise(order) if after != before + 1), None)
            if missing is not None:
                raise InputError(where, f"frame {missing} of {order[0]} to {order[-1]} is missing")
            values = [transaction.get(frames[frame], b"") for frame in order]
            widths = sorted({len(value) for value in values})
            if len(widths) > 1 or widths[0] == 0 or widths[0] % 4:
                raise InputError(where, f"vectors of {', '.join(map(str, widths))} bytes, not float32 of one length")
            yield video, np.frombuffer(b"".join(values), dtype=np.float32).reshape(len(values), -1)
