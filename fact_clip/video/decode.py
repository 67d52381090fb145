"""Frames of a video file by the time at which they are shown. Needs PyAV (extra `video`)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.video.source import Source, opened

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Image = NDArray[np.uint8]

SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".wmv",
    ".flv",
    ".ogv",
    ".3gp",
)
"""What counts as a video where a folder is searched."""

_ROUNDING = 1e-3  # seconds; Matroska rounds times to milliseconds


@dataclass(frozen=True)
class Frame:
    """One picture.

    Args:
        time: seconds from the start of the file at which it is shown.
        image: (H, W, 3) uint8, RGB, turned as the file says.
    """

    time: float
    image: Image


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of itself.

    Args:
        width, height: of a picture as it is shown.
        fps: mean frames a second, None where the file has none.
        seconds: declared duration, None where the file has none.
    """

    width: int
    height: int
    fps: float | None
    seconds: float | None


def probe(path: str | Path) -> VideoInfo:
    """What a video file says of itself; decodes its first frame.

    Raises:
        InputError: see `frames`.
    """
    with opened(Path(path)) as (container, stream):
        source = Source(Path(path), container, stream, 0.0)
        for _, frame in source:
            height, width = _Converter(None)(frame).shape[:2]
            return VideoInfo(width, height, source.rate, source.declared)
        raise source.nothing()


def frames(
    path: str | Path,
    *,
    fps: float | None = None,
    stride: int = 1,
    start: float = 0.0,
    stop: float | None = None,
    size: tuple[int, int] | None = None,
    keep_going: bool = False,
) -> Iterator[Frame]:
    """Pictures of a video in order, one in memory at a time.

    With `fps`, picture n is the one that is shown at n / fps seconds, whatever the rate of the file and however it
    varies; ranges take their part of that same grid. Without it, every `stride`-th frame of the range comes.

    Args:
        path: video file.
        fps: pictures a second, also above the rate of the file.
        stride: every how many frames, where `fps` is not given.
        start, stop: range [start, stop) in seconds; reached by a seek.
        size: (width, height) to scale to; None: as it is.
        keep_going: a damaged file ends with a warning that says how much was decoded, in place of the error.

    Raises:
        InputError: PyAV is missing; no file, no video in it, not one frame that decodes, or frames without a time; a
            rate, stride or range that cannot be.
        DamagedVideoError: once all that decodes was given out, of a file that is cut or has faults.
    """
    _check(fps, stride, start, stop)
    with opened(Path(path)) as (container, stream):
        source = Source(Path(path), container, stream, start)
        convert = _Converter(size)
        chosen = _strided(source, stride, start, stop) if fps is None else _on_grid(source, fps, start, stop)
        for time, frame in chosen:
            yield Frame(time, convert(frame))
        damage = source.damage()
    if damage is not None and not keep_going:
        raise damage
    if damage is not None:
        warnings.warn(f"{damage.where}: {damage.found}", stacklevel=2)


def _check(fps: float | None, stride: int, start: float, stop: float | None) -> None:
    if fps is not None and not (math.isfinite(fps) and 0 < fps <= 1 / _ROUNDING):
        raise InputError("fps", str(fps), f"pictures a second, more than 0 and at most {1 / _ROUNDING:.0f}")
    if stride < 1:
        raise InputError("stride", str(stride), "a whole number of frames, 1 or more")
    if not (math.isfinite(start) and start >= 0):
        raise InputError("start", str(start), "seconds, 0 or more")
    if stop is not None and not stop > start:
        raise InputError("stop", str(stop), f"seconds after the start, {start:g}")


class _Converter:
    """Decoded frames to RGB arrays: scaled and turned."""

    def __init__(self, size: tuple[int, int] | None) -> None:
        from av.video.reformatter import VideoReformatter

        # one for all frames: it keeps its tables
        self._reformatter, self._size = VideoReformatter(), size
        self._last: tuple[VideoFrame, Image] | None = None

    def __call__(self, frame: VideoFrame) -> Image:
        if self._last is not None and self._last[0] is frame:
            return self._last[1]
        turns = round(frame.rotation / 90)  # counter-clockwise
        width, height = self._size or (None, None)
        if turns % 2:
            width, height = height, width
        scaled = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
        image: Image = np.ascontiguousarray(np.rot90(scaled.to_ndarray(), turns), dtype=np.uint8)
        self._last = frame, image
        return image


def _strided(source: Source, stride: int, start: float, stop: float | None) -> Iterator[tuple[float, VideoFrame]]:
    number = 0
    for time, frame in source:
        if time < start - _ROUNDING / 2:
            continue
        if stop is not None and time >= stop - _ROUNDING / 2:
            return
        if number % stride == 0:
            yield time, frame
        number += 1


def _on_grid(source: Source, fps: float, start: float, stop: float | None) -> Iterator[tuple[float, VideoFrame]]:
    row = math.ceil((start - _ROUNDING) * fps) if start > 0 else 0
    held: tuple[float, VideoFrame] | None = None
    for time, frame in source:
        # what was shown before is shown until now
        while held is not None and row / fps < time - _ROUNDING:
            if stop is not None and row / fps >= stop - _ROUNDING:
                return
            yield held
            row += 1
        held = time, frame
    while held is not None and row / fps < source.end - _ROUNDING:
        if stop is not None and row / fps >= stop - _ROUNDING:
            return
        yield held
        row += 1
