"""Time budgets in bins of time: by hand, and against counting small steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.core import UNLABELLED, Rating
from fact_clip.metrics import binned_budget, time_budget
from fact_clip.metrics.budget import BIN_COLUMNS

from ..refusals import refused


def cells(rows, *columns):
    return [tuple(row[column] for column in columns) for row in rows]


def test_bins_by_hand():
    # 1 to 3 s stir, 3 to 4 not rated, 5 s a point, 6 to 6.5 pour; a video of 7 s in bins of 3 s
    parts = [(1, 3.5, "stir"), (3.5, 4, UNLABELLED), (5, 5, "tap"), (6, 6.5, "pour")]
    rows = binned_budget({"take": Rating.of(parts, is_complete=True, end=7)}, 3)
    assert {tuple(row) for row in rows} == {BIN_COLUMNS}
    assert cells(rows, "start", "stop")[::3] == [(0, 3), (3, 6), (6, 7)]
    assert cells(rows, "label", "seconds", "count") == [
        ("stir", 2, 1), ("tap", 0, 0), ("pour", 0, 0),
        ("stir", 0.5, 0), ("tap", 0, 1), ("pour", 0, 0),
        ("stir", 0, 0), ("tap", 0, 0), ("pour", 0.5, 1),
    ]  # fmt: skip
    assert [row["labelled"] for row in rows[::3]] == [3, 2.5, 1]
    assert [row["share"] for row in rows[::3]] == pytest.approx([200 / 3, 20, 0])


def test_bins_begin_with_the_first_frame_and_an_unrated_one_has_no_share():
    rating = Rating.of([(12, 13, "stir"), (22, 23, "stir")], is_complete=False, start=10, end=25)
    rows = binned_budget({"late": rating}, 5)
    assert cells(rows, "start", "stop", "seconds", "share", "labelled") == [
        (10, 15, 1, 100, 1), (15, 20, 0, None, 0), (20, 25, 1, 100, 1),
    ]  # fmt: skip


def test_videos_have_the_same_actions_and_bins_are_not_too_many():
    two = {
        "a": Rating.of([(0, 1, "stir")], is_complete=True, end=2),
        "b": Rating.of([(0, 1, "pour")], is_complete=True, end=1),
    }
    assert cells(binned_budget(two, 1), "video", "start", "label") == [
        ("a", 0, "stir"), ("a", 0, "pour"), ("a", 1, "stir"), ("a", 1, "pour"), ("b", 0, "stir"), ("b", 0, "pour"),
    ]  # fmt: skip
    with refused("bins"):
        binned_budget(two, 1e-7)


@pytest.mark.parametrize("start", [0.0, 0.033])
def test_what_starts_at_an_edge_counts_in_the_bin_that_begins_there(start):
    """As floating-point numbers, 1.2 / 0.4 and 60.033 - 0.033 are below 3 and 60."""
    parts = [(start + 1.2, start + 1.6, "stir"), (start + 2.4, start + 2.4, "tap")]
    rows = binned_budget({"v": Rating.of(parts, is_complete=True, start=start, end=start + 4)}, 0.4)
    counts = {row["label"]: round((row["start"] - start) / 0.4) for row in rows if row["count"]}
    assert counts == {"stir": 3, "tap": 6}
    (seconds,) = (row["seconds"] for row in rows if row["count"] and row["label"] == "stir")
    assert seconds == pytest.approx(0.4)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.sampled_from("abc" + UNLABELLED)), max_size=8),
    st.integers(1, 17),
    st.integers(53, 60),
)
def test_bins_add_up_and_equal_small_steps(parts, width, end):
    spans = [(start, start + length, label) for start, length, label in parts]
    rating = Rating.of(spans, is_complete=True, end=end)
    rows = binned_budget({"v": rating}, width)
    for whole in time_budget({"v": rating}):
        mine = [row for row in rows if row["label"] == whole["label"]]
        assert sum(row["seconds"] for row in mine) == pytest.approx(whole["seconds"])
        assert sum(row["count"] for row in mine) == whole["count"]
        assert sum(row["labelled"] for row in mine) == pytest.approx(whole["labelled"])
        for row in mine:
            steps = np.arange(row["start"], row["stop"])  # all edges are whole seconds
            active = [
                any(start <= step < stop for start, stop, label in spans if label == row["label"]) for step in steps
            ]
            assert row["seconds"] == pytest.approx(sum(active))
