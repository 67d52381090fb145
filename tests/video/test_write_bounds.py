"""Pictures and rates that no video has are refused, and nothing is written."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip.core import InputError, Segmentation
from fact_clip.video import overlay
from fact_clip.video.decode import frames, probe
from fact_clip.video.extract import Settings, extract_all
from fact_clip.video.write import write_video

pytest.importorskip("av")
BLACK = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "fps", "told"),
    [
        ([BLACK], 0, "fps: 0; expected pictures a second, 0.001 to 1,000"),
        ([BLACK], math.nan, "fps: nan; expected pictures a second"),
        ([BLACK], "5", "fps: '5'; expected pictures a second"),
        ([BLACK, np.zeros((64, 32, 3), np.uint8)], 5, "picture 1: shape (64, 32, 3); expected (32, 32, 3), as the"),
        ([BLACK.astype(float)], 5, "picture 0: numbers of type float64; expected an array of uint8, (H, W, 3)"),
        ([BLACK[:, :, 0]], 5, "picture 0: shape (32, 32); expected (H, W, 3) with even sides"),
        ([BLACK[:31]], 5, "picture 0: shape (31, 32, 3); expected (H, W, 3) with even sides"),
        ([BLACK[:0]], 5, "picture 0: shape (0, 32, 3); expected (H, W, 3) with even sides"),
        (["x"], 5, "picture 0: str; expected an array of uint8, (H, W, 3)"),
        ([], 5, "{path}: no picture; expected at least one"),
    ],
)
def test_what_is_no_video(tmp_path, images, fps, told):
    path = tmp_path / "x.mp4"
    with pytest.raises(InputError) as error:
        write_video(path, images, fps)
    assert str(error.value).startswith(told.replace("{path}", str(path)))
    assert list(tmp_path.iterdir()) == []


def test_a_slow_video(tmp_path):
    assert probe(write_video(tmp_path / "x.mp4", [BLACK] * 3, np.float32(0.5))).fps == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda path: next(frames(path, fps="5")), "fps: '5'; expected pictures a second, more than 0"),
        (lambda path: next(frames(path, start=math.inf)), "start: inf; expected seconds, 0 or more"),
        (lambda path: next(frames(path, stop="1")), "stop: '1'; expected seconds after the start, 0"),
        (lambda path: next(frames(path, keep_going="no")), "keep_going: 'no'; expected true or false"),
        (lambda path: Settings(fps="5"), "fps: '5'; expected rows a second"),
        (lambda path: Settings(batch=2.5), "batch: 2.5; expected a whole number, 1 to 10,000"),
        (lambda path: Settings(keep_going="no"), "keep_going: 'no'; expected true or false"),
        (lambda path: extract_all("ab", None, path.parent), "videos: one text, 'ab'; expected a list of paths"),
        (lambda path: extract_all([3], None, path.parent), "videos: 3; expected a path"),
    ],
)
def test_what_cannot_be_read(tmp_path, call, told):
    with pytest.raises(InputError) as error:
        call(tmp_path / "x.mp4")
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("colour", ["red", "#12345", "#1234567", None])
def test_colours_of_an_overlay(tmp_path, colour):
    path = write_video(tmp_path / "x.mp4", [BLACK] * 3, 5)
    video = Segmentation.from_frames(["a"] * 3, fps=5.0)
    with pytest.raises(InputError) as error:
        overlay.overlay(path, video, tmp_path / "y.mp4", {"a": colour})
    assert str(error.value) == f"colours: {colour!r} for 'a'; expected a colour as #1f77b4"
