"""Pictures and rates that no video has are refused, and nothing is written."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip.core import Segmentation
from fact_clip.video import overlay
from fact_clip.video.decode import frames, probe
from fact_clip.video.extract import Settings, extract_all
from fact_clip.video.write import write_video

from ..refusals import refused

pytest.importorskip("av")
BLACK = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "fps", "place"),
    [
        ([BLACK], 0, "fps"),
        ([BLACK], math.nan, "fps"),
        ([BLACK], "5", "fps"),
        ([BLACK, np.zeros((64, 32, 3), np.uint8)], 5, "picture 1"),
        ([BLACK.astype(float)], 5, "picture 0"),
        ([BLACK[:, :, 0]], 5, "picture 0"),
        ([BLACK[:31]], 5, "picture 0"),
        ([BLACK[:0]], 5, "picture 0"),
        (["x"], 5, "picture 0"),
        ([], 5, "x.mp4"),
    ],
)
def test_what_is_no_video(tmp_path, images, fps, place):
    path = tmp_path / "x.mp4"
    with refused(place):
        write_video(path, images, fps)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_video(tmp_path):
    assert probe(write_video(tmp_path / "x.mp4", [BLACK] * 3, np.float32(0.5))).fps == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda path: next(frames(path, fps="5")), "fps"),
        (lambda path: next(frames(path, start=math.inf)), "start"),
        (lambda path: next(frames(path, stop="1")), "stop"),
        (lambda path: next(frames(path, keep_going="no")), "keep_going"),
        (lambda path: Settings(fps="5"), "fps"),
        (lambda path: Settings(batch=2.5), "batch"),
        (lambda path: Settings(keep_going="no"), "keep_going"),
        (lambda path: extract_all("ab", None, path.parent), "videos"),
        (lambda path: extract_all([3], None, path.parent), "videos"),
    ],
)
def test_what_cannot_be_read(tmp_path, call, place):
    with refused(place):
        call(tmp_path / "x.mp4")


@pytest.mark.parametrize("colour", ["red", "#12345", "#1234567", None])
def test_colours_of_an_overlay(tmp_path, colour):
    path = write_video(tmp_path / "x.mp4", [BLACK] * 3, 5)
    video = Segmentation.from_frames(["a"] * 3, fps=5.0)
    with refused("colours"):
        overlay.overlay(path, video, tmp_path / "y.mp4", {"a": colour})
