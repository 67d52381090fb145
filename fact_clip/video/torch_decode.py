"""Decode the pictures of a video file with torchcodec, at the times of `decode.frames`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fact_clip.core import Floats, InputError, Size, library_errors
from fact_clip.core.extras import require
from fact_clip.video.pictures import (
    ROUNDING,
    DamagedVideoError,
    Frame,
    Span,
    picture_times,
    probe,
    scaled,
)

_PICTURES_AT_ONCE = 32


def torchcodec_frames(path: Path, *, fps: float, size: Size, span: Span) -> Iterator[Frame]:
    """Yield the pictures shown at n / fps seconds; see `decode.frames`.

    Args:
        path: video file.
        fps: pictures per second.
        size: (width, height) to scale to. None: that of the file.
        span: the part of the video.

    Yields:
        The pictures.

    Raises:
        InputError: torchcodec is missing, or has another count of pictures than the file.
        DamagedVideoError: the file has faults, after the part before them was yielded.
    """
    require("--decoder", "torchcodec", "torchcodec")
    with library_errors("--decoder", "torchcodec cannot be loaded", RuntimeError, OSError):
        from torchcodec.decoders import VideoDecoder

    origin = probe(path).origin
    starts = picture_times(path)[:-1]
    with library_errors(path, "torchcodec cannot open it", RuntimeError, ValueError):
        decoder = VideoDecoder(str(path), dimension_order="NHWC", seek_mode="exact")
    if len(decoder) != len(starts):
        problem = f"torchcodec has {len(decoder)} pictures of {len(starts)}"
        raise InputError(path, problem, "--decoder pyav decodes what there is")
    problem = "pictures that do not decode"
    fix = "--decoder pyav takes what there is"
    try:
        last = decoder.get_frame_at(len(starts) - 1)
        rows = _grid(starts, starts[-1] + last.duration_seconds, fps, span)
        if not len(rows):
            raise InputError(path, f"no picture from {span.start:g} s on")
        for first in range(0, len(rows), _PICTURES_AT_ONCE):
            indices = rows[first : first + _PICTURES_AT_ONCE].tolist()
            batch = decoder.get_frames_at(indices)
            images = batch.data.numpy()
            for shown_at, image in zip(batch.pts_seconds.tolist(), images, strict=True):
                yield Frame(shown_at - origin - span.start, scaled(image, size))
    except RuntimeError as error:
        raise DamagedVideoError(path, f"{problem} ({str(error).splitlines()[0]})", fix) from None


def _grid(starts: Floats, end: float, fps: float, span: Span) -> np.ndarray:
    """Return the index of the picture that is shown in each row."""
    stop = end if span.stop is None else min(end, span.stop)
    count = max(int(np.ceil((stop - span.start - ROUNDING) * fps)), 0)
    times = span.start + np.arange(count) / fps
    return np.maximum(np.searchsorted(starts, times + ROUNDING, side="right") - 1, 0)
