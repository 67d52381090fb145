"""When the frames of a video's features start, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fact_clip.core.errors import InputError
from fact_clip.core.segments import Segmentation

_SAME = 1.5e-3  # seconds; files round times to milliseconds


@dataclass(frozen=True, eq=False)
class Clock:
    """The frames of one video's features.

    Args:
        n_frames: how many; None: as many as the annotation reaches.
        fps: frames a second; None where nobody said.
        times: seconds at the start of each frame and at the end, (n_frames + 1,), read in place of `fps`.
        media: path of the video.
    """

    n_frames: int | None = None
    fps: float | None = None
    times: NDArray[np.float64] | None = None
    media: str | None = None

    def put_on(self, segmentation: Segmentation) -> Segmentation:
        """The segmentation with this rate and video, and with frame times where they are not those of the rate."""
        times = self.times
        if times is not None and self.fps and np.abs(times - np.arange(len(times)) / self.fps).max() < _SAME:
            times = None
        seconds = None if times is None else tuple(times.tolist())
        return replace(segmentation, fps=self.fps, times=seconds, media=self.media)

    def frames(self, seconds: Sequence[float], where: str) -> NDArray[np.int64]:
        """The frame boundary nearest to each time; of two equally near the later."""
        values = np.asarray(seconds, dtype=np.float64)
        if self.times is not None:
            # past the end the count goes on, so that labels of another video are noticed
            step = float(np.median(np.diff(self.times)))
            beyond = np.maximum(values - self.times[-1], 0) / step
            middles = (self.times[1:] + self.times[:-1]) / 2
            within = np.searchsorted(middles, values, side="right").astype(np.int64)
            found: NDArray[np.int64] = within + np.floor(beyond + 0.5).astype(np.int64)
            return found
        if self.fps is None:
            raise InputError(where, "times in seconds and no frame rate", "frames a second", "set --fps or --features")
        # what a rate and its division lose must not decide on a half
        return np.floor(values * self.fps + 0.5 + 1e-9).astype(np.int64)
