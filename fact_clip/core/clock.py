"""The times at which the frames of a video start."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fact_clip.core.arrays import Floats, Integers
from fact_clip.core.errors import InputError
from fact_clip.core.segmentation import Segmentation

ROUNDING = 1.5e-3
"""Seconds by which times in files may deviate, because files round times to milliseconds."""


def row_times(frame_times: Floats, fps: float, end: float | None = None) -> Floats:
    """Return the start times of rows that were sampled from a video at n / fps seconds.

    A row shows the video frame that is on screen at n / fps, and starts when that frame starts. If
    this time does not rise, or is after n / fps, the row starts at n / fps.

    Args:
        frame_times: Start times of the video frames that the rows show, in seconds, (T,).
        fps: Rows per second.
        end: Time at which the video ends, in seconds, or None if unknown.

    Returns:
        Start times of the rows and the end of the last row, in seconds, (T + 1,). The last row ends
        with the video, or at T / fps if that is earlier, if the end is unknown, or if the end is
        not after the start of the last row.
    """
    grid = np.arange(len(frame_times) + 1) / fps
    rises = np.append(True, np.diff(frame_times) > 0)
    is_usable = rises & (frame_times <= grid[:-1] + ROUNDING)
    starts = np.where(is_usable, np.maximum(frame_times, 0.0), grid[:-1])

    last = grid[-1]
    if end is not None and starts[-1] + ROUNDING < end:
        last = min(end, last)
    return np.append(starts, last)


@dataclass(frozen=True, eq=False)
class Clock:
    """The number of frames of a video's features, and their start times."""

    n_frames: int | None = None  # None: the number of frames that the annotation has
    fps: float | None = None  # frames per second; None if unknown
    # Seconds at the start of each frame and at the end, (n_frames + 1,); None if fps determines
    # them.
    times: Floats | None = None
    media: str | None = None  # path of the video
    video_fps: float | None = None  # video frames per second; None if unknown

    @property
    def rate(self) -> float | None:
        """Return the frames per second, from the times if no rate is set, or None if unknown."""
        if self.fps is None and self.times is not None:
            return 1 / float(np.median(np.diff(self.times)))
        return self.fps

    def apply_to(self, segmentation: Segmentation) -> Segmentation:
        """Return the segmentation with this clock. Frame times are kept only if they are
        irregular."""
        times = None
        if self.times is not None:
            even_times = np.arange(len(self.times)) / (self.fps or np.nan)
            # `not <` is also true if the rate is unknown, because `even_times` are then NaN.
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
            seconds: Times (N,).
            where: Location of the times, for an error.

        Returns:
            Frame boundaries (N,). If two boundaries are equally near, the later one is returned.
        """
        values = np.asarray(seconds, dtype=np.float64)
        if self.times is not None:
            # The count continues after the end, so that labels of a different video are noticed.
            beyond = np.maximum(values - self.times[-1], 0) * (self.rate or 1.0)
            middles = (self.times[1:] + self.times[:-1]) / 2
            within = np.searchsorted(middles, values, side="right").astype(np.int64)
            frames: Integers = within + np.floor(beyond + 0.5).astype(np.int64)
            return frames
        if self.fps is None:
            problem = "times in seconds, but the frame rate is unknown"
            raise InputError(where, problem, "set --fps or --features")
        # Rounding may move times of exactly half a frame slightly below it, so 1e-9 is added.
        return np.floor(values * self.fps + 0.5 + 1e-9).astype(np.int64)
