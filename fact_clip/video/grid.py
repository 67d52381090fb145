"""The pictures of a video that are encoded, and what decodes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fact_clip.core import Size
from fact_clip.video.pictures import Frame, Span, VideoInfo, frames


@dataclass(frozen=True)
class Grid:
    """Which pictures of a video are decoded, and how.

    Attributes:
        fps: pictures per second.
        size: (width, height) to scale to, or None for that of the file.
        span: the part of the video.
    """

    fps: float
    size: Size
    span: Span

    def frames(self, video: Path) -> Iterator[Frame]:
        """Yield the pictures of a video."""
        start = self.span.start
        return frames(video, fps=self.fps, size=self.size, start=start, stop=self.span.stop)


class Decoder(Protocol):
    """Decodes videos outside this process, as `IsolatedDecoder` of fact_clip_batch does."""

    def open(self, video: Path, grid: Grid) -> tuple[VideoInfo, Iterator[Frame]]:
        """Return the properties of a video and its pictures, which are read as they are needed."""
