"""Segments with gaps and overlaps to one label a frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.core.clock import Clock
from fact_clip.core.errors import FileLocation
from fact_clip.datasets.features import read_clock
from fact_clip.formats.base import Annotation, Span
from fact_clip.formats.gaps import to_frames

from ..refusals import refused


def annotated(*spans: tuple[float, float, str], unit="seconds", fps=None, end=None) -> Annotation:
    return Annotation(Path("f"), tuple(Span(*span, FileLocation(Path("f"))) for span in spans), "v", unit, fps, end)


def test_gaps_become_background_by_hand():
    frames = to_frames(annotated((0.5, 1.0, "a"), (1.6, 2.0, "b")), Clock(12, fps=5), "none")
    # boundaries at 0.2 s: 0.5 lies between 0.4 and 0.6 and goes up
    assert frames.labels == ["none"] * 3 + ["a"] * 2 + ["none"] * 3 + ["b"] * 2 + ["none"] * 2
    assert (frames.gaps, frames.contested, frames.lost, frames.background) == (8, 0, 0, "none")


def test_of_two_segments_the_one_that_started_last_has_the_frame():
    frames = to_frames(annotated((0, 10, "a"), (2, 5, "b"), (4, 8, "c")), Clock(fps=1), "-")
    assert "".join(frames.labels) == "aabbccccaa"
    assert (frames.contested, frames.gaps, frames.lost) == (6, 0, 0)


def test_of_two_that_start_together_the_shorter_has_the_frame():
    frames = to_frames(annotated((0, 2, "b"), (0, 4, "a")), Clock(fps=1), "-")
    assert ("".join(frames.labels), frames.contested) == ("bbaa", 2)


def test_overlaps_of_one_label_decide_nothing():
    frames = to_frames(annotated((0, 3, "a"), (2, 5, "a")), Clock(fps=1), "-")
    assert ("".join(frames.labels), frames.contested) == ("aaaaa", 0)


def test_segments_without_a_frame_are_counted():
    frames = to_frames(
        annotated((0, 3, "a"), (3.1, 3.2, "b"), (4, 4, "c"), (5, 6, "d"), (5, 6, "e")), Clock(fps=1), "-"
    )
    assert "".join(frames.labels) == "aaa--e"
    assert frames.lost == 3


def slow(spans: list[tuple[float, float, str]], n_frames: int) -> tuple[list[str], int]:
    """The rule read word by word, frame by frame."""
    labels, contested = [], 0
    for frame in range(n_frames):
        here = [(start, -stop, label) for start, stop, label in spans if start <= frame < stop]
        contested += len({label for *_, label in here}) > 1
        labels.append(max(here)[2] if here else "-")
    return labels, contested


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.sampled_from("abcd")), min_size=1, max_size=12))
def test_the_rule_frame_by_frame(found):
    # equal start and stop: the later in the list, which the slow version tells by a tiny shift
    spans = [(start, start + length, label) for start, length, label in found]
    if len({span[:2] for span in spans}) < len(spans):
        return
    frames = to_frames(annotated(*spans), Clock(70, fps=1), "-")
    labels, contested = slow(spans, 70)
    assert (frames.labels, frames.contested) == (labels, contested)


def test_frames_of_another_rate_are_moved_onto_the_clock():
    spans = annotated((30, 60, "a"), (60, 75, "b"), unit="frames", fps=30)
    assert "".join(to_frames(spans, Clock(fps=2), "-").labels) == "--aab"  # 2.5 s are five frames


def test_frames_without_a_rate_are_those_of_the_features():
    assert "".join(to_frames(annotated((1, 3.0, "a"), unit="frames"), Clock(5, fps=9), "-").labels) == "-aa--"
    assert "".join(to_frames(annotated((1, 3, "a"), unit="frames", fps=4), Clock(), "-").labels) == "-aa"
    with refused("f"):  # of another rate, which may not be that of the features
        to_frames(annotated((1, 3, "a"), unit="frames", fps=4), Clock(5), "-")


def test_frames_of_a_rate_are_moved_onto_frame_times():
    clock = Clock(4, times=np.array([0.0, 0.1, 0.5, 0.6, 1.0]))
    assert "".join(to_frames(annotated((1, 6, "a"), unit="frames", fps=10), clock, "-").labels) == "-aa-"


def test_the_length_that_the_file_tells_counts():
    assert "".join(to_frames(annotated((0, 1, "a"), end=2.5), Clock(fps=2), "-").labels) == "aa---"


@pytest.mark.parametrize(
    ("end", "fps", "is_told"), [(60.0, 15.0, False), (60.6, 15.0, False), (60.0, 5.0, True), (60.0, 45.0, True)]
)
def test_features_of_another_length_than_the_file_tells_are_said(end, fps, is_told, caplog):
    """At a wrong rate all labels lie elsewhere."""
    frames = to_frames(annotated((1, 2, "a"), end=end), Clock(900, fps=fps))
    assert (len(frames.labels), len(caplog.records)) == (900, is_told)


@pytest.mark.parametrize(
    ("annotation", "clock"),
    [
        (annotated((0, 1, "a")), Clock()),
        (annotated((0, 30, "a")), Clock(10, fps=1)),
        (annotated(), Clock(fps=1)),
        (annotated((0, 1.5, "a"), unit="frames"), Clock(fps=1)),
    ],
)
def test_what_cannot_be_brought_to_frames(annotation, clock):
    with refused("f"):
        to_frames(annotation, clock, "-")


@pytest.mark.parametrize(("fps", "is_missing"), [(None, True), (15.0, False)])
def test_frame_numbers_without_their_rate_are_recognised(fps, is_missing):
    """Frames of a video at 25 a second, beside features at 5."""
    with refused("f") as refusal:
        to_frames(annotated((0, 250, "a"), unit="frames", fps=fps), Clock(50, fps=5), "-")
    assert refusal.value.fix.startswith("give --source-fps") == is_missing


def test_a_little_beyond_the_end_is_cut():
    assert to_frames(annotated((0, 20, "a")), Clock(10, fps=1), "-").labels == ["a"] * 10


def features(folder: Path, shape: tuple[int, int], told: object = None) -> Path:
    np.save(folder / "v.npy", np.zeros(shape, dtype=np.float16))
    if told is not None:
        (folder / "v.json").write_text(told if isinstance(told, str) else json.dumps(told))
    return folder / "v.npy"


def test_the_clock_of_a_feature_file(tmp_path):
    path = features(tmp_path, (3, 7))
    assert read_clock(path, 5.0, "TD").n_frames == 3
    assert read_clock(path, 5.0, "DT").n_frames == 7
    with refused("v.npy"):
        read_clock(path, 5.0)
    with refused("v.npy"):  # either side may be time
        read_clock(features(tmp_path, (3, 7), {"fps": 4.0}))
    clock = read_clock(features(tmp_path, (3, 7), {"fps": 4.0, "n_frames": 3}), 5.0)
    assert (clock.n_frames, clock.fps, clock.times) == (3, 4.0, None)


@pytest.mark.parametrize(("start", "media"), [(None, "take.mp4"), (0.0, "take.mp4"), (10, None)])
def test_a_part_does_not_name_the_video_whose_times_differ(start, media, tmp_path):
    path = features(tmp_path, (3, 7), {"fps": 5, "n_frames": 3, "video": "take.mp4", "start": start})
    assert read_clock(path).media == media


@pytest.mark.parametrize("times", [[0, 0.5, 0.75], [0, 0.5, 0.75, 1.125]])
def test_frame_times_beside_the_features(times, tmp_path):
    clock = read_clock(features(tmp_path, (3, 7), {"times": times}))
    assert clock.times is not None
    assert clock.times.tolist() == [0, 0.5, 0.75, 1.125]  # the last frame lasts the median step
