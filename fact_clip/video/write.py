"""Pictures to a video file."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from fact_clip.core import InputError
from fact_clip.core.arguments import number_of, path_of
from fact_clip.core.paths import whole_file
from fact_clip.video.decode import Image, file_url


def can_write() -> bool:
    """Whether PyAV, which writes videos, is installed."""
    return importlib.util.find_spec("av") is not None


def write_video(path: Path, images: Iterable[Image], fps: float) -> Path:
    """Encode pictures (H, W, 3), RGB, with even sides, as H.264 at a constant rate.

    Returns `path`, whose suffix says which container. Raises InputError without PyAV, without a picture, for a rate out
    of bounds, and for pictures of other numbers, of odd sides or of several sizes.
    """
    path = path_of(path, "path")
    rate = number_of(fps, "fps", f"pictures a second, {1 / _LONGEST:.2g} to 1,000", 1 / _LONGEST, 1000)
    if not can_write():
        raise InputError(path, "the package av is not installed", "pip install 'fact-clip[video]'")
    import av

    exact = Fraction(rate).limit_denominator(1001)
    with whole_file(path) as unfinished, av.open(file_url(unfinished), "w") as container:
        stream = None
        for number, image in enumerate(images):
            _check(image, number, None if stream is None else (stream.height, stream.width, 3))
            if stream is None:
                stream = container.add_stream("libx264", rate=exact)
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
                stream.options = {"crf": "23", "preset": "veryfast"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is None:
            raise InputError(path, "no picture; expected at least one")
        container.mux(stream.encode(None))
    return path


_LONGEST = 1001  # seconds that a picture may be shown; a longer time is no fraction that files hold


def _check(image: Image, number: int, shape: tuple[int, int, int] | None) -> None:
    """An InputError where a picture is none, or has not the shape of the first one."""
    where = f"picture {number}"
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"numbers of type {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(where, f"{kind}; expected an array of uint8, (H, W, 3)")
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[0] % 2 or image.shape[1] % 2 or not image.size:
        raise InputError(where, f"shape {image.shape}; expected (H, W, 3) with even sides")
    if shape is not None and image.shape != shape:
        raise InputError(where, f"shape {image.shape}; expected {shape}, as the first one has")
