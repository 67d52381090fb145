"""Point events are a layer above the segments of a track: neither cuts, hides or delays the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from fact_clip.formats import FORMATS
from fact_clip.metrics.budget import binned_budget
from fact_clip_app.results.charts import ethogram
from fact_clip_app.results.ratings import rated_rows
from fact_clip_app.store.project import Label
from fact_clip_app.teach.labelled_videos import labelled_videos

STATES = (0, 30, "walk"), (40, 60, "rest")
POINTS = (10, 10, "lick"), (20, 20, "lick"), (35, 35, "call"), (40, 40, "lick"), (60, 60, "call")
LABELS = sorted([*STATES, *POINTS])


@pytest.fixture
def user(opened: Any) -> Any:
    return opened(run=None)()


@pytest.fixture
def video(user: Any, rows: Path) -> str:
    """A video whose track has point events over, between and at the edges of states; a frame a second."""
    video = user.add(rows)
    user.label(video, *LABELS)
    return video


def labels(user: Any, video: str, track: int = 0) -> list[tuple[int, int, str]]:
    """The labels of a track."""
    shown = user.ask("GET", f"/api/videos/{video}")["tracks"][track]["segments"]
    return [(each["start"], each["stop"], each["label"]) for each in shown]


def edit(user: Any, video: str, removed: tuple = (), added: tuple = (), status: int = 200) -> Any:
    track = user.ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]
    parts = {}
    for name, some in (("removed", removed), ("added", added)):
        parts[name] = [{"start": start, "stop": stop, "label": label} for start, stop, label in some]
    body = {"track": track, "browser": "b", "annotator": "", "edit": "", **parts}
    return user.ask("POST", f"/api/videos/{video}/edits", status, json=body)


# --- the store -----------------------------------------------------------------------------------------------


def test_points_lie_over_states(user, video):
    assert labels(user, video) == LABELS
    edit(user, video, added=((15, 15, "call"),))
    edit(user, video, added=((30, 40, "run"),))  # a segment over a point
    assert labels(user, video) == sorted([*LABELS, (15, 15, "call"), (30, 40, "run")])


def test_undo_and_redo_keep_points(user, video):
    edit(user, video, removed=((0, 30, "walk"),), added=((0, 15, "walk"), (15, 30, "run")))
    after = labels(user, video)
    assert [part for part in after if part[0] == part[1]] == sorted(POINTS)
    edit(user, video, removed=((10, 10, "lick"),))
    for way, expected in (("undo", after), ("undo", LABELS), ("redo", after)):
        user.ask("POST", f"/api/videos/{video}/{way}", json={"browser": "b", "annotator": ""})
        assert labels(user, video) == expected


def test_segments_do_not_overlap_and_a_frame_has_one_point(user, video):
    for added, below in (((29, 35, "run"), "walk"), ((20, 20, "call"), "lick")):
        answer = edit(user, video, added=(added,), status=409)
        assert f'changed "{below}" on track main' in answer["error"]
    assert labels(user, video) == LABELS


# --- figures -------------------------------------------------------------------------------------------------


def test_a_budget_counts_points_but_no_time(user, video):
    rows = {row["label"]: row for row in user.ask("GET", "/api/summary")["time"]}
    assert {name: (row["seconds"], row["count"]) for name, row in rows.items()} == {
        "walk": (30, 1),
        "rest": (20, 1),
        "lick": (0, 3),
        "call": (0, 2),
    }
    assert {row["labelled"] for row in rows.values()} == {50}


def test_a_point_during_a_state_is_no_transition(user, rows):
    video = user.add(rows)
    user.label(video, (0, 30, "walk"), (10, 10, "lick"), (30, 60, "rest"), (50, 50, "lick"))
    assert user.ask("GET", "/api/summary")["transitions"] == [{"from": "walk", "to": "rest", "count": 1}]


def test_bins_count_points_where_they_are(user, video):
    rows = binned_budget(rated_rows(user.page).ratings, 20)
    counts = {(row["start"], row["label"]): (row["seconds"], row["count"]) for row in rows if row["count"]}
    assert counts == {
        (0, "walk"): (20, 1),
        (0, "lick"): (0, 1),
        (20, "lick"): (0, 1),
        (20, "call"): (0, 1),
        (40, "lick"): (0, 1),
        (40, "rest"): (20, 1),
        (60, "call"): (0, 1),
    }


def test_points_are_drawn_above_states(user, video):
    rows = rated_rows(user.page)
    colours = {"lick": "#ff0000", "call": "#00ff00", "walk": "#0000ff", "rest": "#888888"}
    (axes,) = ethogram(rows.ratings, colours).axes
    lines = [each for each in axes.collections if isinstance(each, LineCollection)]
    drawn = {round(path.vertices[0, 0], 6) for each in lines for path in each.get_paths()}
    assert drawn == {point[0] for point in POINTS}
    states = [each.get_zorder() for each in axes.collections if each not in lines]
    assert max(states) < min(each.get_zorder() for each in lines)


def test_a_comparison_shows_points_over_states(user, video):
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    user.label(video, *STATES, track=1)
    body = {"first": "track main", "second": "track second"}
    answer = user.ask("POST", f"/api/videos/{video}/compare", json=body)
    shown = [(part["start"], part["stop"], part["label"]) for part in answer["rows"][0]["segments"]]
    assert [part for part in shown if part[0] == part[1]] == sorted(POINTS)
    assert [part for part in shown if part[2] == "walk"] == [(0, 30, "walk")]
    assert answer["figures"]["frame_accuracy"] == 100
    assert answer["omissions"]["points"] == 5


def test_stretches_are_not_cut_at_points_and_get_a_label_below_them(user, rows):
    video = user.add(rows)
    user.label(video, (0, 10, "walk"), (15, 15, "lick"), (30, 40, "rest"))
    found = user.ask("GET", "/api/groups")["groups"]
    stretches = [one for group in found for one in group["stretches"]]
    assert (10, 30) in [(one["start"], one["stop"]) for one in stretches]
    body = {"stretches": [{"track": stretches[0]["track"], "start": 10, "stop": 30}], "label": "run"}
    filled = user.ask("POST", "/api/groups", json={**body, "browser": "b", "annotator": ""})
    assert filled["labelled"] == 1
    assert (15, 15, "lick") in labels(user, video)


def test_points_over_states_are_counted_before_training(user, video, rows):
    user.label(user.add(rows.with_name("person2_video1.npy")), (0, 30, "walk"))
    answer = user.ask("GET", "/api/train", params={"track": "main", "annotator": ""})
    assert answer["points"] == 5
    example = next(each for each in labelled_videos(user.page, "main") if each.video.id == video)
    assert not example.is_clicked


# --- files ---------------------------------------------------------------------------------------------------


def exported(user: Any, video: str, kind: str, folder: Path) -> Path:
    """A file of the labels, which loses nothing."""
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": kind})
    assert answer.status_code == 200, answer.text
    path = folder / f"take{FORMATS[kind].ending}"
    path.write_bytes(answer.content)
    assert answer.headers["x-warnings"] == ""
    return path


@pytest.mark.parametrize("kind", ["csv", "json", "eaf", "boris"])
def test_files_with_points_come_back_on_one_track(user, video, opened, rows, tmp_path, kind):
    if not FORMATS[kind].is_installed:
        pytest.skip("the extra is not installed")
    path = exported(user, video, kind, tmp_path)
    other = opened(run=None, project=tmp_path / "other")()
    again = other.add(rows)
    loaded = other.ask("POST", f"/api/videos/{again}/labels", json={"file": other.upload(path)})
    assert [track["name"] for track in loaded["tracks"] if track["segments"]] == ["main"]
    assert labels(other, again) == LABELS


@pytest.mark.parametrize("kind", ["txt", "jsonl", "srt", "vtt", "via", "label-studio", "frames.csv", "binary.csv"])
def test_other_files_keep_the_states_whole_and_count_the_points(user, video, tmp_path, kind):
    answer = user.client.get("/api/export", params={"format": kind})
    assert answer.status_code == 200, answer.text
    text = unquote(answer.headers["x-warnings"])
    assert "3 point events are left out, as this format cannot store them" in text
    assert "2 point events become segments of one frame" in text


def test_a_boris_file_with_points_over_states_fills_one_track(user, rows, tmp_path):
    video = user.add(rows)
    kinds = {"walk": "State event", "lick": "Point event"}
    times = (0, "walk"), (10, "lick"), (20, "lick"), (30, "walk")
    tree = {
        "behaviors_conf": {name: {"code": name, "type": kind} for name, kind in kinds.items()},
        "observations": {"take": {"events": [[time, "mouse", name, ""] for time, name in times]}},
    }
    path = tmp_path / "take.boris"
    path.write_text(json.dumps(tree))
    loaded = user.ask("POST", f"/api/videos/{video}/labels", json={"file": user.upload(path)})
    tracks = {track["name"]: len(track["segments"]) for track in loaded["tracks"] if track["segments"]}
    assert tracks == {"mouse": 3}


def test_two_points_of_a_file_in_one_frame_are_on_two_tracks(user, rows, tmp_path):
    video = user.add(rows)
    path = tmp_path / "take.csv"
    path.write_text("start_seconds,stop_seconds,label\n0,30,walk\n10,10,lick\n10,10,call\n20,40,rest\n")
    loaded = user.ask("POST", f"/api/videos/{video}/labels", json={"file": user.upload(path)})
    tracks = [
        [(each["start"], each["stop"], each["label"]) for each in track["segments"]] for track in loaded["tracks"]
    ]
    assert tracks == [
        [(0, 30, "walk"), (10, 10, "call")],
        [(10, 10, "lick"), (20, 40, "rest")],
    ]


def test_points_divide_no_gap():
    from fact_clip_app.store.project import gaps_between

    gaps = gaps_between([Label(2, 4, "a"), Label(3, 3, "b"), Label(6, 6, "b")], 9)
    assert [(gap.start, gap.stop) for gap in gaps] == [(0, 2), (4, 9)]
    assert np.all([gap.label == "?" for gap in gaps])
