"""Videos are written here: pictures to a file, and a video with its segmentation burned in."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation
from fact_clip.core.arguments import number_of, validated
from fact_clip.core.paths import same_place, whole_file
from fact_clip.video.decode import Image, file_url, frames, probe

SUFFIXES = (".mp4", ".mkv", ".mov")
_UNIT = Fraction(1, 90_000)  # seconds; finer than any frame rate, and MPEG's own
_OTHER = "#d9d9d9"  # labels without a colour of their own


def can_write() -> bool:
    """Whether PyAV, which writes videos, is installed."""
    return importlib.util.find_spec("av") is not None


def write_video(path: Path, images: Iterable[Image], fps: float) -> Path:
    """Encode pictures (H, W, 3), uint8, RGB, with even sides, as H.264 at a constant rate; return `path`."""
    exact = Fraction(
        number_of(fps, "fps", "pictures a second, 0.001 to 1,000", 1e-3, 1000)
    ).limit_denominator(1001)
    if not can_write():
        raise InputError(path, "the package av is not installed", "pip install 'fact-clip[video]'")
    import av

    path = Path(path)
    with whole_file(path) as unfinished, av.open(file_url(unfinished), "w") as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream("libx264", rate=exact)
                stream.height, stream.width, stream.pix_fmt = (
                    image.shape[0],
                    image.shape[1],
                    "yuv420p",
                )
                stream.options = {"crf": "23", "preset": "veryfast"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
    return path


@validated()
def overlay(
    video: str | Path,
    segmentation: Segmentation,
    out: str | Path,
    colours: Mapping[str, str],
    *,
    keep_going: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write a video with the name of the current action at the top and a bar of all actions at the bottom.

    Frames keep their times; `out` is .mp4, .mkv or .mov (H.264, no sound). `colours` has "#rrggbb" for labels, others
    are grey; `progress` is called with (frames done, frames expected, name of the video).
    """
    import av

    out, video = check_suffix(out), Path(video)
    if same_place(out, video):
        raise InputError(out, "this is the video itself", "name another file")
    for label, colour in colours.items():
        if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
            raise InputError("colours", f"{colour!r} for {label!r}", "give a colour as #1f77b4")
    if segmentation.seconds(0) is None:
        raise InputError(out, "the segments have no frame rate", "set data.fps when training")
    info = probe(video)
    expected = round((info.seconds or 0) * (info.fps or 0))
    # H.264 only takes even sides
    painter = _Painter(segmentation, colours, info.width // 2 * 2, info.height // 2 * 2)
    with whole_file(out) as unfinished, av.open(file_url(unfinished), "w") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(info.fps or 25).limit_denominator(1001)
        )
        stream.width, stream.height, stream.pix_fmt = painter.width, painter.height, "yuv420p"
        stream.codec_context.time_base = _UNIT
        stream.options = {"crf": "20", "preset": "veryfast"}
        for number, frame in enumerate(frames(video, keep_going=keep_going)):
            picture = av.VideoFrame.from_ndarray(painter(frame.image, frame.time), format="rgb24")
            picture.pts, picture.time_base = round(frame.time / _UNIT), _UNIT
            container.mux(stream.encode(picture))
            if progress is not None:
                progress(number + 1, max(expected, number + 1), out.name)
        container.mux(stream.encode(None))
    return out


def check_suffix(out: str | Path) -> Path:
    """Return the path; an InputError if its suffix is not one of `SUFFIXES`."""
    path = Path(out)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            path, f"no video has the suffix {path.suffix!r}", f"use one of {', '.join(SUFFIXES)}"
        )
    return path


class _Painter:
    """Draws on pictures of one size. The bar and the strip of each name are drawn once, because they do not change."""

    def __init__(
        self, segmentation: Segmentation, colours: Mapping[str, str], width: int, height: int
    ) -> None:
        self.width, self.height = width, height
        self._segments, self._colours = segmentation, colours
        self._starts = np.array(
            [segmentation.seconds(row) for row in range(segmentation.n_frames + 1)], dtype=float
        )
        self._owner = np.repeat(
            np.arange(len(segmentation)), [segment.duration for segment in segmentation]
        )
        self._bar_height = max(height // 24, 4)
        texts = (colours.get(segment.label, _OTHER) for segment in segmentation)
        of_segment = np.array([list(bytes.fromhex(text[1:])) for text in texts], dtype=np.uint8)
        moments = (np.arange(width) + 0.5) / width * self._starts[-1]
        self._bar = np.repeat(
            of_segment[self._at(moments)][None], self._bar_height, axis=0
        )  # (bar height, W, 3)
        self._strips: dict[str, NDArray[np.uint8]] = {}

    def __call__(self, image: Image, time: float) -> Image:
        """Return a copy of (H, W, 3) with the action at `time` seconds."""
        painted = image[: self.height, : self.width].copy()
        label = self._segments.segments[self._at(np.array([time + 1e-3]))[0]].label
        if label not in self._strips:
            self._strips[label] = self._draw_strip(label)
        strip = self._strips[label]
        painted[: len(strip), : strip.shape[1]] = strip
        painted[-self._bar_height :] = self._bar
        now = min(round(time / self._starts[-1] * self.width), self.width - 1)
        painted[-2 * self._bar_height :, max(now - 1, 0) : now + 1] = 255
        return painted

    def _at(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the segment of each moment."""
        rows = np.searchsorted(self._starts, times, side="right") - 1
        return self._owner[np.clip(rows, 0, len(self._owner) - 1)]

    def _draw_strip(self, label: str) -> NDArray[np.uint8]:
        """Return the name in white on black, beside a patch of its colour."""
        from matplotlib import get_data_path
        from PIL import Image as Pictures
        from PIL import ImageDraw, ImageFont

        size = max(self.height // 16, 10)
        # comes with matplotlib and has the letters of many languages
        font = ImageFont.truetype(
            str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size
        )
        left, _, right, _ = font.getbbox(label)
        strip = Pictures.new(
            "RGB", (min(int(right - left) + 3 * size, self.width), 2 * size), "black"
        )
        draw = ImageDraw.Draw(strip)
        draw.rectangle(
            (size // 2, size // 2, 3 * size // 2, 3 * size // 2),
            fill=self._colours.get(label, _OTHER),
        )
        draw.text((2 * size, size), label, font=font, fill="white", anchor="lm")
        return np.asarray(strip)[: self.height]
