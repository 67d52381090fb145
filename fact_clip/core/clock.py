"""The times at which the frames of a video start."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fact_clip.core.arrays import Floats, Integers
from fact_clip.core.errors import InputError
from fact_clip.core.segments import Segmentation

ROUNDING = 1.5e-3
"""Seconds by which times in files may deviate, since these round them to milliseconds."""


def row_times(picture_times: Floats, fps: float, end: float | None = None) -> Floats:
    """Return the start times of rows that were sampled from a video at n / fps seconds.

    A row starts with the picture that it shows, which came up at n / fps or a moment before. If
    that time does not rise, or lies after n / fps, the row starts at n / fps.

    Args:
        picture_times: seconds at which the picture of each row came up, (T,).
        fps: rows per second.
        end: seconds at which the video ends, or None if unknown.

    Returns:
        Seconds at the start of each row, and at the end of the last one, (T + 1,). The last row
        ends with the video, or at T / fps if that is sooner, or if the end is unknown or not after
        the start of the last row.
    """
    grid = np.arange(len(picture_times) + 1) / fps
    rises = np.append(True, np.diff(picture_times) > 0)
    is_usable = rises & (picture_times <= grid[:-1] + ROUNDING)
    starts = np.where(is_usable, np.maximum(picture_times, 0.0), grid[:-1])

    last = grid[-1]
    if end is not None and starts[-1] + ROUNDING < end:
        last = min(end, last)
    return np.append(starts, last)


@dataclass(frozen=True, eq=False)
class Clock:
    """The frames of one video's features: how many, and when each starts."""

    n_frames: int | None = None  # None: as many as the annotation has
    fps: float | None = None  # frames per second; None if unknown
    # seconds at the start of each frame and at the end, (n_frames + 1,); None: they follow from fps
    times: Floats | None = None
    media: str | None = None  # path of the video
    video_fps: float | None = None  # pictures per second of the video; None if unknown

    @property
    def rate(self) -> float | None:
        """Return the frames per second, by the times if no rate is set; None if unknown."""
        if self.fps is None and self.times is not None:
            return 1 / float(np.median(np.diff(self.times)))
        return self.fps

    def apply_to(self, segmentation: Segmentation) -> Segmentation:
        """Return the segmentation with this clock. Frame times are kept only if irregular."""
        times = None
        if self.times is not None:
            even_times = np.arange(len(self.times)) / (self.fps or np.nan)
            # `not <` is also true where no fps is known, so that `even_times` are NaN.
            if not np.abs(self.times - even_times).max() < ROUNDING:
                times = tuple(self.times.tolist())
        return replace(
            segmentation, fps=self.fps, times=times, media=self.media, video_fps=self.video_fps
        )

    def starts(self, n_frames: int) -> Floats | None:
        """Return the seconds at which frames start, (n_frames,), or None if they are unknown."""
        if self.times is not None:
            return self.times[:n_frames]
        return None if self.fps is None else np.arange(n_frames) / self.fps

    def frames(self, seconds: Sequence[float], where: str | Path) -> Integers:
        """Return the frame boundary nearest to each time.

        Args:
            seconds: times (N,).
            where: the location of the times, for an error.

        Returns:
            Frame boundaries (N,); of two equally near ones the later.
        """
        values = np.asarray(seconds, dtype=np.float64)
        if self.times is not None:
            # the count continues after the end, so that labels of another video are noticed
            beyond = np.maximum(values - self.times[-1], 0) * (self.rate or 1.0)
            middles = (self.times[1:] + self.times[:-1]) / 2
            within = np.searchsorted(middles, values, side="right").astype(np.int64)
            frames: Integers = within + np.floor(beyond + 0.5).astype(np.int64)
            return frames
        if self.fps is None:
            problem = "times in seconds, but no frame rate is known"
            raise InputError(where, problem, "set --fps or --features")
        # the rounding of a rate and of its division must not decide on a half
        return np.floor(values * self.fps + 0.5 + 1e-9).astype(np.int64)
