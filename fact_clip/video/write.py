"""Pictures to a video file."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.core.arguments import public
from fact_clip.core.files import whole_file
from fact_clip.video.decode import Image, file_url


def can_write() -> bool:
    """Whether PyAV, which writes videos, is installed."""
    return importlib.util.find_spec("av") is not None


@public
def write_video(path: Path, images: Iterable[Image], fps: float) -> Path:
    """Encode pictures (H, W, 3), RGB, with even sides, as H.264 at a constant rate.

    Returns `path`, whose suffix says which container. Raises InputError without PyAV or without a picture.
    """
    if not can_write():
        raise InputError(path, "the package av is not installed", todo="pip install 'fact-clip[video]'")
    import av

    rate = Fraction(fps).limit_denominator(1001)
    with whole_file(path) as unfinished, av.open(file_url(unfinished), "w") as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
                stream.options = {"crf": "23", "preset": "veryfast"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is None:
            raise InputError(path, "no picture", "at least one")
        container.mux(stream.encode(None))
    return path
