from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fact_clip.core import Segment, Segmentation
from fact_clip.core.colours import class_colours
from fact_clip.core.scores import Scores
from fact_clip.core.segments import Alternative

from ..refusals import refused

FRAMES = st.lists(st.sampled_from(["SIL", "pour milk", "stir"]), min_size=1, max_size=50)
SEEDED = settings(derandomize=True, deadline=None, max_examples=150)


def test_from_frames_by_hand() -> None:
    video = Segmentation.from_frames(["a", "a", "b", "a"], fps=15, confidence=[0.5, 0.7, 1.0, 0.25])
    assert video.segments == (Segment(0, 2, "a"), Segment(2, 3, "b"), Segment(3, 4, "a"))
    assert [segment.confidence for segment in video] == pytest.approx([0.6, 1.0, 0.25])
    assert (video.fps, video.n_frames, len(video), video.transcript) == (15, 4, 3, ("a", "b", "a"))
    assert [segment.duration for segment in video] == [2, 1, 1]
    assert replace(video, background=("b",)).foreground == (Segment(0, 2, "a"), Segment(3, 4, "a"))


def test_a_segmentation_is_a_sequence_of_its_segments() -> None:
    video = Segmentation.from_frames(["a", "a", "b", "a"])
    assert video[0] == Segment(0, 2, "a")
    assert video[-1] == Segment(3, 4, "a")
    assert list(reversed(video)) == list(video.segments)[::-1]
    with pytest.raises(IndexError):
        video[3]


def test_one_frame() -> None:
    video = Segmentation.from_frames(["a"])
    assert video.segments == (Segment(0, 1, "a"),)
    assert video.to_frames() == ["a"]


@SEEDED
@given(FRAMES)
def test_frames_to_segments_and_back(frames: list[str]) -> None:
    video = Segmentation.from_frames(frames, fps=6)
    assert video.to_frames() == frames
    assert Segmentation.from_frames(video.to_frames(), fps=6) == video
    assert sum(segment.duration for segment in video) == len(frames)
    assert all(left != right for left, right in pairwise(video.transcript))


def test_segments_given_by_hand_may_repeat_a_label() -> None:
    video = Segmentation((Segment(0, 2, "pour"), Segment(2, 3, "pour")))
    assert video.transcript == ("pour", "pour")
    assert Segmentation.from_frames(video.to_frames()).transcript == ("pour",)


def test_segments_are_ordered_by_time() -> None:
    late, early, longer = Segment(3, 4, "a", 0.1), Segment(0, 1, "b", 0.9), Segment(0, 2, "a")
    assert sorted([late, longer, early]) == [early, longer, late]
    assert Segment(0, 1, "a", 0.2) == Segment(0, 1, "a", 0.8)


def test_numpy_frame_numbers_become_plain() -> None:
    segment = Segment(np.int64(0), np.int32(3), "a")  # type: ignore[arg-type]
    assert json.dumps([segment.start, segment.stop]) == "[0, 3]"


def test_bad_segmentations_are_errors() -> None:
    with refused("segments"):
        Segmentation(())
    with refused("segment 'b'"):
        Segmentation((Segment(0, 2, "a"), Segment(3, 4, "b")))
    with refused("fps"):
        Segmentation((Segment(0, 1, "a"),), float("nan"))


UNEVEN = (0.0, 0.1, 0.5, 0.6, 1.0)


def test_frame_times_tell_seconds() -> None:
    video = Segmentation.from_frames(["a", "a", "b", "b"], fps=10, times=list(UNEVEN))
    assert [video.seconds(frame) for frame in range(5)] == list(UNEVEN)
    assert Segmentation.from_frames(["a", "a"], fps=4).seconds(1) == 0.25
    assert Segmentation.from_frames(["a", "a"]).seconds(1) is None
    assert video != Segmentation.from_frames(["a", "a", "b", "b"], fps=10)


def test_the_name_of_the_video_does_not_part_equals() -> None:
    segments = (Segment(0, 1, "a"),)
    assert Segmentation(segments, media="a.mp4") == Segmentation(segments, media="b.mp4")


@pytest.mark.parametrize("times", [(0.0, 1.0), (0.0, 1.0, 1.0), (-1.0, 1.0, 2.0), (0.0, 1.0, math.inf)])
def test_bad_frame_times_are_errors(times: tuple[float, ...]) -> None:
    with refused("times"):
        Segmentation.from_frames(["a", "b"], times=times)


# --- in a notebook ------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """The widths, colours and titles of the bars, and all tags, of which each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.bars, self.tags, self.open = list[tuple[float, str, str]](), set[str](), list[str]()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        if "title" in (values := dict(attrs)):
            width, colour = re.fullmatch(r"width:([\d.]+)%;background:(.+)", values["style"]).groups()
            self.bars.append((float(width), colour, values["title"]))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_notebook_shows_the_timeline():
    segments = (Segment(0, 2, "idle", 0.5), Segment(2, 5, "<script>&"), Segment(5, 8, "pour"), Segment(8, 10, "idle"))
    page = _Page(Segmentation(segments, 5.0, background=("idle",))._repr_html_())
    assert [width for width, *_ in page.bars] == [20, 30, 30, 20]
    colours = [colour for _, colour, _ in page.bars]
    assert colours[1:3] == [class_colours(["<script>&", "pour"])[name]["colour"] for name in ("<script>&", "pour")]
    assert colours[0] == colours[3] != colours[1]
    assert page.bars[0][2] == "idle: 0 to 0.4 s, confidence 0.50"
    assert page.bars[1][2] == "<script>&: 0.4 to 1 s"
    assert page.tags == {"div", "span"}
    times = _Page(Segmentation(segments[:2], times=(1.0, 2.0, 3.0, 4.0, 4.5, 5.0))._repr_html_())
    assert [width for width, *_ in times.bars] == [50, 50]
    assert _Page(Segmentation(segments)._repr_html_()).bars[0][2].startswith("idle: 0 to 2 frames")


def test_a_table_of_pandas(monkeypatch):
    video = Segmentation((Segment(0, 2, "idle", 0.5), Segment(2, 5, "pour")), 5.0)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with refused("to_dataframe"):
        video.to_dataframe()
    monkeypatch.undo()
    pytest.importorskip("pandas")
    table = video.to_dataframe()
    assert table.columns.tolist() == ["start", "stop", "start_seconds", "stop_seconds", "label", "confidence"]
    assert table.iloc[0].tolist() == [0, 2, 0.0, 0.4, "idle", 0.5]
    assert table["confidence"].isna().tolist() == [False, True]
    assert Segmentation(video.segments).to_dataframe()["stop_seconds"].isna().all()


def test_plain_values_and_back() -> None:
    video = Segmentation((Segment(0, 2, "a", 0.5), Segment(2, 3, "b", comment="x")), 5.0, background=("a",))
    tree = video.to_dict()
    assert (tree["format"], tree["fps"], [row["label"] for row in tree["segments"]]) == (2, 5.0, ["a", "b"])
    for copy in (Segmentation.from_dict(tree), Segmentation.from_dict(json.loads(json.dumps(tree)))):
        assert (copy, copy.background) == (video, ("a",))
        assert [(each.confidence, each.comment) for each in copy] == [(0.5, ""), (None, "x")]
    for wrong in ({}, {"segments": [{"start": 0, "stop": 2}]}, {"segments": "x"}):
        with refused():
            Segmentation.from_dict(wrong)


def test_support_joins_neighbours_of_one_label() -> None:
    segments = (Segment(0, 1, "a", 0.2), Segment(1, 4, "a", 0.6), Segment(4, 5, "b", 1.0), Segment(5, 6, "b"))
    joined = Segmentation(segments, 5.0).joined()
    assert joined == Segmentation((Segment(0, 4, "a"), Segment(4, 6, "b")), 5.0)
    assert [each.confidence for each in joined] == [pytest.approx(0.5), None]


def test_support_joins_the_alternatives_that_all_parts_list() -> None:
    first = Segment(0, 1, "a", 0.2, alternatives=(Alternative("b", 0.5), Alternative("c", 0.3)))
    second = Segment(1, 4, "a", 0.6, alternatives=(Alternative("c", 0.3), Alternative("d", 0.2), Alternative("b", 0.1)))
    (joined,) = Segmentation((first, second)).joined()
    assert [label for label, _ in joined.alternatives] == ["c", "b"]
    assert [score for _, score in joined.alternatives] == pytest.approx([0.3, (0.5 + 3 * 0.1) / 4])


def test_support_leaves_lone_segments_alone() -> None:
    lone = Segment(0, 3, "a", 0.1, alternatives=(Alternative("b", 0.05),))
    (same,) = Segmentation((lone,)).joined()
    assert (same.confidence, same.alternatives) == (0.1, lone.alternatives)


def test_a_tree_with_other_values_is_refused():
    video = Segmentation((Segment(0, 2, "a", 0.5), Segment(2, 3, "b")), 4.0)
    tree = video.to_dict()
    tree["segments"][0]["start"] = {1, 2}
    with refused("tree"):
        Segmentation.from_dict(tree)


def test_reprs_are_short():
    segments = [Segment(n, n + 1, f"class {n}", 0.5, alternatives=[Alternative("x", 0.1)] * 5) for n in range(30)]
    whole = Segmentation(tuple(segments), fps=10.0)
    assert repr(whole) == "Segmentation(30 segments, 3 s, 'class 0' 'class 1' 'class 2' 'class 3' …)"
    assert repr(replace(whole, segments=whole.segments[:2])) == "Segmentation(2 segments, 0.2 s, 'class 0' 'class 1')"
    assert repr(replace(whole, segments=whole.segments[:1])) == "Segmentation(1 segment, 0.1 s, 'class 0')"
    assert "alternatives" not in repr(segments[0])
    assert repr(Scores(np.zeros((9, 2), np.float32), ("a", "b"))) == "Scores(9 × 2)"
