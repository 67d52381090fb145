"""When the frames of a video's features start, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core.arguments import table_of
from fact_clip.core.errors import InputError
from fact_clip.core.segments import Segmentation

_ROUNDING = 1.5e-3  # seconds; files round times to milliseconds


def row_times(shown: ArrayLike, fps: float, end: float | None = None) -> NDArray[np.float64]:
    """When rows that were sampled from a video at n / fps seconds start, and when the last one ends: (T,) -> (T + 1,).

    A row starts with the picture that it shows, which came up at n / fps or a moment before (`shown`, in seconds);
    where that would not rise, at n / fps. The last row ends with the video, at `end` seconds, or at T / fps if that is
    sooner.
    """
    times = table_of(shown, "shown", ("T",)).astype(np.float64)
    grid = np.arange(len(times) + 1) / fps
    new = np.append(True, times[1:] > times[:-1]) & (times <= grid[:-1] + _ROUNDING)
    starts = np.where(new, np.maximum(times, 0.0), grid[:-1])
    last = grid[-1] if end is None or not starts[-1] + _ROUNDING < end else min(end, grid[-1])
    return np.append(starts, last)


@dataclass(frozen=True, eq=False)
class Clock:
    """The frames of one video's features."""

    n_frames: int | None = None  # None: as many as the annotation has
    fps: float | None = None  # frames per second; None if unknown
    times: NDArray[np.float64] | None = None  # seconds at the start of each frame and at the end, (n_frames + 1,)
    media: str | None = None  # path of the video
    video_fps: float | None = None  # pictures per second of the video; None if unknown

    def put_on(self, segmentation: Segmentation) -> Segmentation:
        """The segmentation with these rates and video, and with frame times unless they are those of the rate."""
        times = self.times
        if times is not None and self.fps and np.abs(times - np.arange(len(times)) / self.fps).max() < _ROUNDING:
            times = None
        seconds = None if times is None else tuple(times.tolist())
        return replace(segmentation, fps=self.fps, times=seconds, media=self.media, video_fps=self.video_fps)

    def frames(self, seconds: Sequence[float], where: str | Path) -> NDArray[np.int64]:
        """The frame boundary nearest to each time; of two equally near the later."""
        values = np.asarray(seconds, dtype=np.float64)
        if self.times is not None:
            # the count continues after the end, so that labels of another video are noticed
            step = float(np.median(np.diff(self.times)))
            beyond = np.maximum(values - self.times[-1], 0) / step
            middles = (self.times[1:] + self.times[:-1]) / 2
            within = np.searchsorted(middles, values, side="right").astype(np.int64)
            frames: NDArray[np.int64] = within + np.floor(beyond + 0.5).astype(np.int64)
            return frames
        if self.fps is None:
            raise InputError(where, "times in seconds, but no frame rate is known", "set --fps or --features")
        # the rounding of a rate and of its division must not decide on a half
        return np.floor(values * self.fps + 0.5 + 1e-9).astype(np.int64)
