"""Write frames to a video file."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from fact_clip.core import Image
from fact_clip.core.arguments import number_of
from fact_clip.core.paths import whole_file
from fact_clip.video.frames import check_av, file_url


def write_video(path: Path, images: Iterable[Image], fps: float) -> Path:
    """Encode frames as H.264 at a constant rate.

    Args:
        path: File to write.
        images: Frames (H, W, 3), uint8, RGB, with even height and width.
        fps: Frames per second.

    Returns:
        The file.
    """
    rate = number_of(fps, "fps", "frames per second, 0.001 to 1,000", 1e-3, 1000)
    check_av(path)
    import av

    stream: Any = None
    with whole_file(path) as unfinished, av.open(file_url(unfinished), "w") as container:
        for image in images:
            if stream is None:
                exact_rate = Fraction(rate).limit_denominator(1001)
                options = {"crf": "23", "preset": "veryfast"}
                stream = container.add_stream("libx264", rate=exact_rate, options=options)
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return path
