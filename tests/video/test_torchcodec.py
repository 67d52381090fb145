"""torchcodec instead of PyAV: the same pictures at the same times, also where the rate varies."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from fact_clip.core import extras
from fact_clip.video.grid import Grid
from fact_clip.video.pictures import Span, frames
from fact_clip.video.torch_decode import torchcodec_frames
from fact_clip_batch.isolated import IsolatedDecoder, Limits

from ..films import described, number_of, numbered, write_video
from ..refusals import refused

has_torchcodec = pytest.mark.skipif(
    importlib.util.find_spec("torchcodec") is None, reason="the package torchcodec is not installed"
)
TIMES = [0, 40, 80, 500, 520, 560, 1400, 1440, 1480, 1520, 1900, 2600, 2640]


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch) -> None:
    """Let child processes find the FFmpeg that comes with PyAV, as they find that of a system."""
    import av

    folder = Path(av.__file__).parents[1] / "av.libs"
    links = tmp_path / "ffmpeg"
    links.mkdir()
    for path in folder.glob("lib*.so*"):
        match = re.match(r"(lib[a-z]+)-[0-9a-f]+\.so\.(\d+)", path.name)
        if match is not None:
            (links / f"{match[1]}.so.{match[2]}").symlink_to(path)
    if not list(links.iterdir()):
        pytest.skip("this PyAV has no shared FFmpeg")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{links}:{folder}")


@has_torchcodec
@pytest.mark.slow
def test_the_same_pictures_at_the_same_times(ffmpeg, tmp_path):
    uneven = write_video(tmp_path / "uneven.mkv", numbered(13), times=TIMES)
    even = write_video(tmp_path / "even.mp4", numbered(50))
    decoder = IsolatedDecoder(Limits(60, 16))
    spans = (Span(), Span(0.45), Span(0.3, 1.45))
    try:
        for path in (uneven, even):
            for fps in (3.0, 25.0):
                for span in spans:
                    _, pictures = decoder.open(path, Grid(fps, None, span, "torchcodec"))
                    found = [(frame.time, number_of(frame.image)) for frame in pictures]
                    direct = frames(path, fps=fps, start=span.start, stop=span.stop)
                    expected = [(frame.time, number_of(frame.image)) for frame in direct]
                    assert [number for _, number in found] == [number for _, number in expected], (path.name, fps, span)
                    assert [time for time, _ in found] == pytest.approx([time for time, _ in expected], abs=1e-6)
        damaged = tmp_path / "cut.mp4"
        damaged.write_bytes(even.read_bytes()[:-100])
        with refused("cut.mp4"):
            list(decoder.open(damaged, Grid(5.0, None, Span(), "torchcodec"))[1])
    finally:
        decoder.close()


@has_torchcodec
@pytest.mark.slow
def test_features_name_their_decoder(ffmpeg, tmp_path):
    from fact_clip.cli import main

    film = write_video(tmp_path / "uneven.mkv", numbered(13), times=TIMES)
    how = ["extract", str(film), "--encoder", "grid", "--memory", "16", "--out"]
    assert main([*how, str(tmp_path / "torchcodec"), "--decoder", "torchcodec"]) == 0
    assert main([*how, str(tmp_path / "pyav")]) == 0
    first, second = (described(tmp_path / name / "uneven.npy") for name in ("torchcodec", "pyav"))
    assert (first["decoder"], "decoder" in second) == ("torchcodec", False)
    assert first["times"] == second["times"]
    rows, expected = (np.load(tmp_path / name / "uneven.npy") for name in ("torchcodec", "pyav"))
    assert rows.shape == expected.shape
    np.testing.assert_allclose(rows, expected, atol=0.1)  # another conversion of colours


def test_a_missing_torchcodec_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with refused("--decoder"):
        list(torchcodec_frames(tmp_path / "x.mp4", fps=1.0, size=None, span=Span()))
