"""Write videos: pictures to a file, and a video with its segmentation burned in."""

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.core import Floats, Image, InputError, Integers, Progress, Segmentation
from fact_clip.core.arguments import number_of, validated
from fact_clip.core.extras import require
from fact_clip.core.paths import same_place, whole_file
from fact_clip.video.pictures import check_av, file_url, frames, probe

SUFFIXES = (".mp4", ".mkv", ".mov")
_UNIT = Fraction(1, 90_000)  # seconds; finer than any frame rate, and MPEG's own
_OTHER = "#d9d9d9"  # labels without a colour of their own


def can_write() -> bool:
    """Return whether PyAV, which writes videos, is installed."""
    return importlib.util.find_spec("av") is not None


def write_video(path: Path, images: Iterable[Image], fps: float) -> Path:
    """Encode pictures as H.264 at a constant rate.

    Args:
        path: the file to write.
        images: (H, W, 3), uint8, RGB, with even sides.
        fps: pictures a second.

    Returns:
        The file.
    """
    rate = number_of(fps, "fps", "pictures a second, 0.001 to 1,000", 1e-3, 1000)
    return _encode(Path(path), ((image, None) for image in images), rate, "23")


def _encode(
    path: Path, pictures: Iterable[tuple[Image, float | None]], rate: float, crf: str
) -> Path:
    """Write an H.264 video of pictures with their times. The higher `crf`, the smaller the file."""
    check_av(path)
    import av

    stream: Any = None
    with whole_file(path) as unfinished, av.open(file_url(unfinished), "w") as container:
        for image, shown_at in pictures:
            if stream is None:
                exact_rate = Fraction(rate).limit_denominator(1001)
                stream = container.add_stream("libx264", rate=exact_rate)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": crf, "preset": "veryfast"}
                if shown_at is not None:
                    stream.codec_context.time_base = _UNIT
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            if shown_at is not None:
                picture.pts = round(shown_at / _UNIT)
                picture.time_base = _UNIT
            container.mux(stream.encode(picture))
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
    progress: Progress | None = None,
) -> Path:
    """Write a video with the current action at the top and a bar of all actions at the bottom.

    Frames keep their times. There is no sound.

    Args:
        video: the video file.
        segmentation: its segments, with times.
        out: the file to write, .mp4, .mkv or .mov (H.264).
        colours: label -> "#rrggbb". Other labels are grey.
        keep_going: take the decodable part of a damaged file.
        progress: called with (frames done, frames expected, name of the video).

    Returns:
        The file.
    """
    check_av(video)
    require("overlay", "matplotlib", "plots")
    out = check_suffix(out)
    video = Path(video)
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

    def paint() -> Iterator[tuple[Image, float]]:
        for number, frame in enumerate(frames(video, keep_going=keep_going), start=1):
            yield painter(frame.image, frame.time), frame.time
            if progress is not None:
                progress(number, max(expected, number), out.name)

    return _encode(out, paint(), info.fps or 25, "20")


def check_suffix(out: str | Path) -> Path:
    """Check that the suffix is one of `SUFFIXES`. Return the path."""
    path = Path(out)
    if path.suffix.lower() not in SUFFIXES:
        problem = f"no video has the suffix {path.suffix!r}"
        raise InputError(path, problem, f"use one of {', '.join(SUFFIXES)}")
    return path


class _Painter:
    """Draws on pictures of one size. The bar and the strip of each name are drawn once."""

    def __init__(
        self, segmentation: Segmentation, colours: Mapping[str, str], width: int, height: int
    ) -> None:
        self.width = width
        self.height = height
        self._segments = segmentation.segments
        starts = [segmentation.seconds(segment.start) for segment in segmentation]
        self._starts = np.array(starts, dtype=float)
        self._end = segmentation.seconds(segmentation.n_frames) or 0.0
        self._colours = colours
        self._bar_height = max(height // 24, 4)
        self._bar = self._draw_bar()  # (bar height, W, 3)
        self._strips: dict[str, Image] = {}

    def _draw_bar(self) -> Image:
        colours = []
        for segment in self._segments:
            colour = self._colours.get(segment.label, _OTHER)
            colours.append(list(bytes.fromhex(colour[1:])))
        moments = (np.arange(self.width) + 0.5) / self.width * self._end
        line = np.array(colours, dtype=np.uint8)[self._segment_at(moments)]  # (W, 3)
        return np.repeat(line[None], self._bar_height, axis=0)

    def __call__(self, image: Image, time: float) -> Image:
        """Return a copy of (H, W, 3) with the action at `time` seconds."""
        painted = image[: self.height, : self.width].copy()
        number = self._segment_at(np.array([time + 1e-3]))[0]
        label = self._segments[number].label
        if label not in self._strips:
            self._strips[label] = self._draw_strip(label)
        strip = self._strips[label]
        painted[: len(strip), : strip.shape[1]] = strip
        painted[-self._bar_height :] = self._bar
        now = min(round(time / self._end * self.width), self.width - 1)
        painted[-2 * self._bar_height :, max(now - 1, 0) : now + 1] = 255
        return painted

    def _segment_at(self, times: Floats) -> Integers:
        """Return the segment of each moment."""
        return np.maximum(np.searchsorted(self._starts, times, side="right") - 1, 0)

    def _draw_strip(self, label: str) -> Image:
        """Return the name in white on black, beside a patch of its colour."""
        from matplotlib import get_data_path
        from PIL import Image as Pictures
        from PIL import ImageDraw, ImageFont

        size = max(self.height // 16, 10)
        # comes with matplotlib and has the letters of many languages
        font_path = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
        font = ImageFont.truetype(str(font_path), size)
        left, _, right, _ = font.getbbox(label)
        width = min(int(right - left) + 3 * size, self.width)
        strip = Pictures.new("RGB", (width, 2 * size), "black")
        draw = ImageDraw.Draw(strip)
        patch = (size // 2, size // 2, 3 * size // 2, 3 * size // 2)
        draw.rectangle(patch, fill=self._colours.get(label, _OTHER))
        draw.text((2 * size, size), label, font=font, fill="white", anchor="lm")
        return np.asarray(strip)[: self.height]
