"""Seconds and frames, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.core import Segmentation
from fact_clip.core.clock import Clock

UNEVEN = np.array([0.0, 0.2, 0.5, 0.6, 1.0])
VIDEO = Segmentation.from_frames(["a", "a", "b", "b"])


def test_times_are_put_on_unless_the_rate_says_them():
    on = Clock(4, 5.0, UNEVEN, "v.mp4", 30.0).apply_to(VIDEO)
    assert (on.fps, on.times, on.media, on.video_fps) == (5.0, tuple(UNEVEN.tolist()), "v.mp4", 30.0)
    assert on.to_frames() == VIDEO.to_frames()
    rounded = np.array([0.0, 0.2, 0.4, 0.6014, 0.8])  # within 1.5 ms
    assert Clock(4, 5.0, rounded).apply_to(VIDEO).times is None
    assert Clock(4, 5.0, np.array([0.0, 0.2, 0.4, 0.6016, 0.8])).apply_to(VIDEO).times is not None
    assert Clock(4, None, rounded).apply_to(VIDEO).times == tuple(rounded.tolist())


@pytest.mark.parametrize("fps", [5, 15, 29.97, 30000 / 1001, 59.94])
def test_times_of_frames_are_those_frames(fps):
    frames = np.arange(20000)
    assert (Clock(fps=fps).frames(frames / fps, "f") == frames).all()
    assert (Clock(fps=fps).frames(np.round(frames / fps, 3), "f") == frames).all()
    assert (Clock(times=np.arange(20001) / fps).frames(frames / fps, "f") == frames).all()


def test_the_nearest_boundary_of_two_the_later():
    assert Clock(fps=5.0).frames([0, 0.09, 0.1, 0.29, 2.0], "f").tolist() == [0, 0, 1, 1, 10]
    times = Clock(4, times=UNEVEN)
    # middles lie at 0.1, 0.35, 0.55 and 0.8; after the end the count goes on by the median step, 0.25 s
    found = times.frames([0.09, 0.1, 0.34, 0.36, 0.79, 0.81, 1.1, 1.13, 2.0], "f")
    assert found.tolist() == [0, 1, 1, 2, 3, 4, 4, 5, 8]
