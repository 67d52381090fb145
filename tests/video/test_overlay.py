from __future__ import annotations

import numpy as np
import pytest

from fact_clip.core import Segment, Segmentation
from fact_clip.video.overlay import overlay
from fact_clip.video.pictures import frames, probe

from ..films import write_video
from ..refusals import refused

COLOURS = {"stir": "#ff0000", "pour milk": "#0000ff"}
SEGMENTS = Segmentation((Segment(0, 4, "stir"), Segment(4, 8, "pour milk"), Segment(8, 10, "idle")), fps=5.0)


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """Two seconds of grey at a variable rate; an odd width."""
    path = tmp_path_factory.mktemp("grey") / "grey.mkv"
    times = [n * 80 + 30 * (n % 2) for n in range(25)]
    images = (np.full((240, 322, 3), 90, dtype=np.uint8) for _ in times)
    return write_video(path, images, times=times)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_every_moment_has_its_name_and_bar(grey, tmp_path, name):
    out = overlay(grey, SEGMENTS, tmp_path / name, COLOURS)
    before, after = list(frames(grey)), list(frames(out))
    assert [each.time for each in after] == pytest.approx([each.time for each in before], abs=1.5e-3)
    for frame in after:
        assert frame.image.shape == (240, 322, 3)
        bar = frame.image[-4].astype(int)
        assert bar[20] == pytest.approx([255, 0, 0], abs=40) or frame.time < 0.2
        assert bar[200] == pytest.approx([0, 0, 255], abs=40) or 1.1 < frame.time < 1.4
        assert bar[300] == pytest.approx([217, 217, 217], abs=30) or frame.time > 1.8
        patch = frame.image[15, 15].astype(int)  # the name's colour
        wanted = [255, 0, 0] if frame.time < 0.799 else [0, 0, 255] if frame.time < 1.599 else [217, 217, 217]
        assert patch == pytest.approx(wanted, abs=40)
        assert frame.image[120, 100] == pytest.approx([90] * 3, abs=12)  # the picture itself
        now = round(frame.time / 2 * 322)
        assert frame.image[-15, max(now - 1, 0)].mean() > 180  # the moment, above the bar
        assert frame.image[-15, (now + 30) % 300].mean() < 110
    names = [after[place].image[2:26, 30:110] for place in (0, -1)]
    assert all((part > 200).any() for part in names)  # letters
    assert np.abs(names[0].astype(int) - names[1]).max() > 150


def test_frame_times_say_which_moment_a_segment_means(grey, tmp_path):
    """The second action starts with the picture at 1.31 s, though its row would be that of 1.4 s at 5 rows a second."""
    found = Segmentation(
        (Segment(0, 7, "stir"), Segment(7, 10, "pour milk")), 5.0, (*(n / 5 for n in range(7)), 1.31, 1.6, 1.8, 2.0)
    )
    for frame in frames(overlay(grey, found, tmp_path / "o.mkv", COLOURS)):
        wanted = [255, 0, 0] if frame.time < 1.305 else [0, 0, 255]
        assert frame.image[15, 15].astype(int) == pytest.approx(wanted, abs=40)
        bar = frame.image[-4].astype(int)
        assert bar[205] == pytest.approx([255, 0, 0], abs=40) or 1.1 < frame.time < 1.4
        assert bar[217] == pytest.approx([0, 0, 255], abs=40) or 1.1 < frame.time < 1.5


def test_what_cannot_be_is_an_error_and_leaves_nothing(grey, tmp_path):
    with refused("out.gif"):
        overlay(grey, SEGMENTS, tmp_path / "out.gif", COLOURS)
    with refused("out.mp4"):
        overlay(grey, Segmentation(SEGMENTS.segments), tmp_path / "out.mp4", COLOURS)
    with refused("grey.mkv"):
        overlay(grey, SEGMENTS, grey, COLOURS)
    broken = tmp_path / "cut.mkv"
    broken.write_bytes(grey.read_bytes()[:900])
    with refused("cut.mkv"):
        overlay(broken, SEGMENTS, tmp_path / "out.mp4", COLOURS)
    assert [path.name for path in tmp_path.iterdir()] == ["cut.mkv"]
    assert probe(grey).width == 322


@pytest.mark.parametrize("colour", ["red", "#12345", None])
def test_colours_are_numbers(grey, tmp_path, colour):
    with refused("colours"):
        overlay(grey, SEGMENTS, tmp_path / "y.mp4", {"stir": colour})
