"""Time budgets and agreement of ratings, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.core import Rating, State
from fact_clip.metrics import time_agreement, time_budget, transitions
from fact_clip.metrics.agreement import boundary_distance, duration_icc

from ..refusals import refused

A = [(0.0, 2.0, "stir"), (2.0, 3.0, "pour"), (5.0, 9.0, "stir")]
B = [(1.0, 2.0, "pour")]


def rating(parts, end: float | None = 10.0, *, is_complete: bool = True, **values) -> Rating:
    return Rating.of(parts, is_complete=is_complete, end=end, **values)


def test_a_row_for_each_video_and_action_and_for_all():
    rows = time_budget({"a": rating(A), "b": rating(B)})
    values = [tuple(row.values()) for row in rows]
    assert values == [
        ("a", "stir", 6.0, 60.0, 10.0, 10.0, 2, 3.0, pytest.approx(2**0.5), 0.0),
        ("a", "pour", 1.0, 10.0, 10.0, 10.0, 1, 1.0, None, 2.0),
        ("b", "pour", 1.0, 10.0, 10.0, 10.0, 1, 1.0, None, 1.0),
        ("b", "stir", 0.0, 0.0, 10.0, 10.0, 0, None, None, None),
        ("all", "stir", 6.0, 30.0, 20.0, 20.0, 2, 3.0, pytest.approx(2**0.5), None),
        ("all", "pour", 2.0, 10.0, 20.0, 20.0, 2, 1.0, 0.0, None),
    ]
    assert transitions([rating(A), rating(B)]) == [
        {"from": "stir", "to": "pour", "count": 1},
        {"from": "pour", "to": "stir", "count": 1},
    ]


def test_the_mean_of_the_rows_of_a_class_is_the_mean_over_videos():
    """Fully labelled videos of 10 s: groom for 5 s, never, and nothing at all."""
    videos = {"a": [(0.0, 5.0, "groom")], "b": [(0.0, 1.0, "eat")], "c": []}
    rows = time_budget({name: rating(parts) for name, parts in videos.items()})
    seconds = [row["seconds"] for row in rows if row["label"] == "groom" and row["video"] != "all"]
    assert np.mean(seconds) == pytest.approx(5 / 3)
    assert [row["seconds"] for row in rows if row["video"] == "c"] == [0.0, 0.0]


def test_no_action_follows_another_over_unlabelled_time():
    pair = [{"from": "stir", "to": "pour", "count": 1}]
    assert transitions([rating([*A, (3.0, 5.0, "?")])]) == pair
    assert transitions([rating(A, is_complete=False)]) == pair
    # a point event in time that nobody has labelled follows nothing
    assert transitions([rating([*A, (4.0, 4.0, "lick")], is_complete=False)]) == pair


def test_shares_are_of_the_labelled_time():
    rows = time_budget({"a": rating(A, is_complete=False), "b": rating(B, end=None)})
    shares = {(row["video"], row["label"]): (row["share"], row["labelled"], row["duration"]) for row in rows}
    assert shares["a", "stir"] == (pytest.approx(100 * 6 / 7), 7.0, 10.0)
    assert shares["b", "pour"] == (50.0, 2.0, None)
    assert shares["all", "pour"] == (pytest.approx(100 * 2 / 9), 9.0, None)
    (row,) = time_budget({"instants": rating([(1.0, 1.0, "blink")], is_complete=False)})
    assert (row["share"], row["count"]) == (0.0, 1)


def test_agreement_by_hand():
    a, b = ([State(*part) for part in parts] for parts in (A, B))
    assert boundary_distance(b, [State(1.5, 2.0, "pour")]) == pytest.approx((0.5 + 0 + 0.5 + 0) / 4)
    assert boundary_distance(b, []) is None
    assert duration_icc(a, a) == pytest.approx(1.0)
    # times (6, 1) against (4, 3): means 5 and 2 of rows, 3.5 and 3.5 of columns
    other = [State(0.0, 4.0, "stir"), State(4.0, 7.0, "pour")]
    rows, rest = 2 * (1.5**2 + 1.5**2), 4 * 1.0**2
    assert duration_icc(a, other) == pytest.approx((rows - rest) / (rows + rest - 2 * rest / 2))
    assert duration_icc(b, b) is None


def test_agreement_in_time_by_hand():
    first = [(0.0, 2.5, "stir"), (2.5, 4.0, "stir"), (4.0, 10.0, "pour")]
    second = [(0.0, 6.0, "stir"), (6.0, 8.0, "pour")]
    result = time_agreement([(rating(first), rating(second))])
    assert result.names == ("", "pour", "stir")
    assert result.confusion == pytest.approx(np.array([[0, 0, 0], [2, 2, 2], [0, 0, 4.0]]))
    figures = result.figures
    assert figures["accuracy"] == pytest.approx(60)
    chance = 0.6 * 0.2 + 0.4 * 0.6
    assert figures["kappa"] == pytest.approx((0.6 - chance) / (1 - chance))
    assert figures["f1@25"] == pytest.approx(100, abs=0.01)  # IoU 2/6 and 4/6
    assert figures["f1@50"] == pytest.approx(50, abs=0.01)
    assert figures["edit"] == 100
    assert figures["edges_s"] == pytest.approx((0 + 2 + 2 + 0 + 2 + 2) / 6)
    times = [State(0.0, 4.0, "stir"), State(4.0, 10.0, "pour")]
    assert figures["icc"] == duration_icc(times, [State(*part) for part in second])


def test_agreement_of_several_videos_is_pooled():
    same = rating([(0.0, 10.0, "stir")], 20.0)
    both = time_agreement([(same, same), (same, rating([], 20.0))])
    assert both.figures["accuracy"] == pytest.approx(75)
    chance = 0.5 * 0.25 + 0.5 * 0.75
    assert both.figures["kappa"] == pytest.approx((0.75 - chance) / (1 - chance))
    assert both.figures["f1@50"] == pytest.approx(100 * 2 / 3, abs=0.01)
    assert both.figures["edit"] == 50
    assert both.figures["edges_s"] == 0


def test_nothing_labelled_agrees():
    nothing = rating([], 9.0)
    untouched = rating([], 9.0, is_complete=False)
    b = rating(B, 9.0)
    with refused("compare"):  # not even time
        time_agreement([(untouched, untouched)])
    figures = time_agreement([(nothing, nothing)]).figures
    assert (figures["kappa"], figures["accuracy"]) == (None, 100)  # there is only one class
    assert {figures[name] for name in ("edit", "f1@10", "f1@50", "edges_s", "icc")} == {None}
    nothing_and_something = time_agreement([(nothing, nothing), (b, b)]).figures
    figures = time_agreement([(untouched, untouched), (b, b)]).figures
    assert (figures["kappa"], figures["accuracy"]) == (1, 100)
    assert (nothing_and_something["edit"], round(nothing_and_something["f1@50"])) == (100, 100)


def test_point_events_are_counted_and_not_compared():
    licks = [(1.0, 1.0, "lick"), (4.0, 4.0, "lick")]
    bites = [(3.0, 3.0, "bite")]
    with refused("compare"):  # nothing else is there
        time_agreement([(rating(licks), rating(bites))])
    result = time_agreement([(rating([*A, *licks]), rating([*A, *bites]))])
    assert (result.figures["kappa"], result.omissions.points) == (pytest.approx(1), 3)


def test_time_that_one_has_not_rated_is_counted():
    result = time_agreement([(rating(A), rating([*B, (2.0, 6.0, "?")]))])
    assert (result.seconds, result.omissions.unrated_seconds) == (6.0, 4.0)


def test_background_of_either_is_background_of_both():
    quiet = rating([(0.0, 4.0, "stir"), (4.0, 10.0, "idle")])
    gaps = rating([(0.0, 4.0, "stir")], background=("idle", "background"))
    for pair in ((quiet, gaps), (gaps, quiet)):
        result = time_agreement([pair])
        assert (result.figures["accuracy"], result.omissions.one_sided) == (100, ("idle",))


def test_tracks_of_a_rater_are_one_rating():
    """Only what no track has rated stays unrated, and only overlapping states are refused."""
    complete = rating([(0.0, 2.0, "stir")])
    points = rating([(1.0, 1.0, "lick")], is_complete=False)
    union = Rating.union([complete, points])
    assert (union.rated, len(union.points)) == (((0.0, 10.0),), 1)
    with refused("left"):
        Rating.union([rating([(1.0, 3.0, "pour")], source="left"), complete])


def test_labels_at_moments():
    part = rating([(0.0, 2.0, "stir"), (5.0, 6.0, "?"), (6.0, 8.0, "idle")], background=("idle", "background"))
    labels = part.labels_at(np.array([0.0, 1.9, 2.0, 5.5, 6.0, 9.0, 10.0]))
    assert labels == ["stir", "stir", "idle", "?", "idle", "idle", "?"]


def test_time_in_two_segments_of_an_action_counts_once():
    twice = [(0.0, 4.0, "stir"), (2.0, 5.0, "stir"), (4.0, 6.0, "pour")]
    rows = time_budget({"a": rating(twice), "b": rating(B)})
    assert [(row["label"], row["seconds"], row["count"]) for row in rows[:2]] == [("stir", 5.0, 2), ("pour", 2.0, 1)]
    assert [(row["label"], row["seconds"]) for row in rows[4:]] == [("stir", 5.0), ("pour", 3.0)]


def test_a_video_named_all_is_not_all_videos():
    rows = time_budget({"a": rating(A), "all": rating(B)})
    assert [row["video"] for row in rows] == ["a", "a", "all (video)", "all (video)", "all", "all"]
