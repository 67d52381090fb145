"""Segments whose times are rough to the frames of clicks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.core import Clock, FileLocation
from fact_clip.formats.base import Annotation, Span
from fact_clip.formats.middles import to_middles

from ..refusals import refused

FILE = Path("f")


def annotated(*spans: tuple[float, float, str], unit="seconds") -> Annotation:
    rows = []
    for number, span in enumerate(spans):
        rows.append(Span(*span, FileLocation(FILE, number + 2)))
    return Annotation(FILE, rows, "v", unit)


def lines(spans: list[Span]) -> list[int]:
    return [span.where.line for span in spans]


def test_middles_by_hand():
    """Five frames per second: the boundaries are 2 and 5, 8 and 10, 10 and 11."""
    middles = to_middles(annotated((1.6, 2.0, "b"), (0.5, 1.0, "a"), (2.0, 2.2, "a")), Clock(12, fps=5))
    assert middles.clicks == [(4, "a"), (9, "b"), (10, "a")]
    assert (middles.empty, middles.inside, middles.shared) == ([], [], [])


def test_times_of_frames_that_are_not_evenly_spaced():
    times = np.array([0.0, 1.0, 4.0, 5.0, 9.0])
    assert to_middles(annotated((0, 9, "a"), (4.2, 4.9, "b")), Clock(4, times=times)).clicks == [(2, "b")]


def test_of_segments_with_one_middle_the_shortest_gets_it():
    middles = to_middles(annotated((0, 8, "long"), (2, 6, "short"), (0, 10, "longest")), Clock(fps=1))
    assert middles.clicks == [(4, "short"), (5, "longest")]
    assert lines(middles.shared) == [2]
    assert lines(middles.inside) == [2, 3]


def test_a_segment_inside_another_one_and_an_empty_one():
    middles = to_middles(annotated((0, 10, "a"), (7, 9, "b"), (12, 12, "c"), (9, 13, "d")), Clock(fps=1))
    assert middles.clicks == [(5, "a"), (8, "b"), (11, "d"), (12, "c")]
    assert (lines(middles.empty), lines(middles.inside), middles.shared) == ([4], [3, 4], [])


def test_labels_of_a_longer_video_are_reported(caplog):
    """A table of 600 frames, of which the features have every sixth one."""
    table = replace(annotated((60, 80, "a"), unit="frames"), end=600)
    assert to_middles(table, Clock(100, fps=5)).clicks == [(70, "a")]
    assert "a video of 600 frames, but 100 feature rows" in caplog.text
    caplog.clear()
    to_middles(replace(table, fps=30), Clock(100, fps=5))
    assert not caplog.text


def test_a_middle_may_be_a_little_after_the_end():
    """Eleven frames, and ten more at most."""
    assert to_middles(annotated((10, 32, "a")), Clock(11, fps=1)).clicks == [(10, "a")]
    with refused("f:3"):
        to_middles(annotated((0, 1, "b"), (11, 33, "a")), Clock(11, fps=1))


def test_a_stop_may_be_long_after_the_end():
    assert to_middles(annotated((0, 99, "a")), Clock(60, fps=1)).clicks == [(49, "a")]


def test_without_a_rate_seconds_are_rejected():
    with refused("f"):
        to_middles(annotated((0, 1, "a")), Clock(20))
    assert to_middles(annotated((0, 7, "a"), unit="frames"), Clock(20)).clicks == [(3, "a")]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), min_size=1, max_size=12))
def test_each_segment_is_a_click_or_counted(found):
    spans = [(start, start + length, f"{start} {length}") for start, length in dict.fromkeys(found)]
    middles = to_middles(annotated(*spans), Clock(fps=1))
    assert len(middles.clicks) + len(middles.shared) == len(spans)
    frames = {(start + stop) // 2 for start, stop, _ in spans}
    assert [frame for frame, _ in middles.clicks] == sorted(frames)
    for start, stop, _ in spans:
        rest = [span for span in spans if span[:2] != (start, stop)]
        is_inside = any(other[0] <= start and stop <= other[1] for other in rest)
        assert is_inside == any((span.start, span.stop) == (start, stop) for span in middles.inside)


@pytest.mark.parametrize("labels", ["ab", "ba"])
def test_of_equal_segments_the_first_one_counts(labels):
    middles = to_middles(annotated((0, 4, labels[0]), (0, 4, labels[1])), Clock(fps=1))
    assert middles.clicks == [(2, labels[0])]
    assert (lines(middles.shared), lines(middles.inside)) == ([3], [3])
