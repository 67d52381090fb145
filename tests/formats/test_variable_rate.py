"""A film with a variable frame rate, recorded here: every format has the frames where they really are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fact_clip.core import BACKGROUND, Clock, Segment, Segmentation
from fact_clip.formats import FORMATS, READERS
from fact_clip.formats.base import Options
from fact_clip.formats.gaps import to_frames
from fact_clip.formats.table import read_table
from fact_clip.video.frames import frame_times

from ..films import numbered, write_video

EDGES = (0, 7, 23, 24, 61, 90, 118, 119, 140, 160)
NAMES = (BACKGROUND, "groom", "eat", BACKGROUND, "rear", "groom", BACKGROUND, "eat", "groom")
LABELS = [name for (start, stop), name in zip(pairwise(EDGES), NAMES, strict=True) for _ in range(start, stop)]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """160 pictures: as a phone takes them, 50 a second in light, 12 in the dark, with jitter and a pause."""
    rng = np.random.default_rng(5)
    steps = np.where(np.arange(160) % 60 < 30, 20, 83) + rng.integers(0, 9, 160)
    steps[70] = 900
    times = np.concatenate([[0], np.cumsum(steps)[:-1]]).tolist()
    path = tmp_path_factory.mktemp("variable") / "phone.mkv"
    return write_video(path, numbered(160), times=times)


@pytest.fixture(scope="module")
def times(film) -> np.ndarray:
    """Seconds at which the pictures of the film start, and the end; no even rate is near them."""
    times = frame_times(film)
    assert len(times) == 161
    assert np.abs(times - np.arange(161) * times[-1] / 160).max() > 0.5
    return times


@pytest.fixture(params=["", "fps", "fps and video"])
def video(request, times) -> Segmentation:
    """The labels with the times of the film: without a rate, with its mean, or with that of the film, too."""
    mean = round(160 / float(times[-1]), 6)
    found = Segmentation.from_frames(LABELS, times=times.tolist())
    if request.param:
        found = replace(found, fps=mean, video_fps=mean if "video" in request.param else None)
    return replace(found, background=(BACKGROUND,))


def loaded(path: Path, name: str, times: np.ndarray) -> list[str]:
    """The labels of the frames of a film, by a file."""
    clock = Clock(160, times=times)
    if name == "frames.csv":
        return [row["label"] for _, row in read_table(path)]
    if name in READERS:
        (annotation,) = READERS[name](path, Options(unit="seconds" if name == "csv" else None))
        return to_frames(annotation, clock).labels
    return Segmentation.load(path).to_frames()


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_the_frames_of_the_film(video, times, name, tmp_path):
    if not FORMATS[name].is_installed:
        pytest.skip(f"{FORMATS[name].module} is not installed")
    path = video.save(tmp_path / f"phone{FORMATS[name].ending}")
    assert loaded(path, name, times) == LABELS


def test_a_row_for_each_picture_has_the_time_of_its_picture(video, times, tmp_path):
    path = video.save(tmp_path / "phone.frames.csv")
    rows = [row for _, row in read_table(path)]
    assert [float(row["seconds"]) for row in rows] == times[:-1].tolist()
    assert [row["label"] for row in rows] == LABELS


def test_boris_numbers_the_pictures_as_they_come(video, tmp_path):
    project = json.loads(video.save(tmp_path / "phone.boris").read_text())
    numbers = [event[-1] for event in project["observations"]["phone"]["events"]]
    events = [edge for (start, stop), name in zip(pairwise(EDGES), NAMES, strict=True) if name != BACKGROUND
              for edge in (start, stop)]  # fmt: skip
    assert sorted(numbers) == sorted(events)


def test_label_studio_counts_milliseconds(video, times, tmp_path):
    (task,) = json.loads(video.save(tmp_path / "phone.label-studio.json").read_text())
    assert task["data"]["fps"] == 1000
    ranges = [region["value"]["ranges"][0] for region in task["predictions"][0]["result"]]
    milliseconds = np.round(1000 * times).astype(int)
    assert (ranges[0]["start"], ranges[0]["end"]) == (milliseconds[7] + 1, milliseconds[23])


def test_rows_sampled_from_an_even_film_count_its_pictures(tmp_path):
    """As before: each sampled row starts with the picture that it shows."""
    starts = [round(number * 29.97 / 5) / 29.97 for number in range(50)]
    rows = Segmentation((Segment(0, 20, "a"), Segment(20, 50, "b")), 5.0, (*starts, 10.0), video_fps=29.97)
    path = rows.save(tmp_path / "even.frames.csv")
    assert len(list(read_table(path))) == 300
    labels = [row["label"] for _, row in read_table(path)]
    assert labels.index("b") == 120
    (task,) = json.loads(rows.save(tmp_path / "even.label-studio.json").read_text())
    assert task["data"]["fps"] == 29.97


def test_rows_sampled_from_the_film_have_their_real_times(times, tmp_path):
    """Numbers of pictures are not known there, so the rows are those of the features."""
    starts = [times[np.searchsorted(times, number / 5, side="right") - 1] for number in range(40)]
    starts = [start for start, after in pairwise([*starts, np.inf]) if start < after]
    labels = ["a"] * 12 + ["b"] * (len(starts) - 12)
    rows = Segmentation.from_frames(labels, 5.0, times=(*starts, 8.1))
    path = replace(rows, video_fps=160 / times[-1]).save(tmp_path / "rows.frames.csv")
    assert [float(row["seconds"]) for _, row in read_table(path)] == starts
    assert re.match("frame,seconds,label", path.read_text())
