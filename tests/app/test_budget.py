"""Time budgets and agreement, by hand."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from fact_clip_app.budget import (
    Extent,
    Pair,
    boundary_distance,
    duration_icc,
    time_agreement,
    time_budget,
    transitions,
    write_tables,
)

from ..refusals import refused

A = [(0.0, 2.0, "stir"), (2.0, 3.0, "pour"), (5.0, 9.0, "stir")]
B = [(1.0, 2.0, "pour")]


def test_a_row_for_each_video_and_action_and_for_all():
    rows = time_budget({"a": A, "b": B}, dict.fromkeys("ab", Extent(10.0, 10.0)))
    values = [tuple(row.values()) for row in rows]
    assert values[0] == ("a", "stir", 6.0, 60.0, 10.0, 10.0, 2, 3.0, pytest.approx(2**0.5), 0.0)
    assert values[1] == ("a", "pour", 1.0, 10.0, 10.0, 10.0, 1, 1.0, None, 2.0)
    assert values[3:] == [
        ("all", "stir", 6.0, 30.0, 20.0, 20.0, 2, 3.0, pytest.approx(2**0.5), None),
        ("all", "pour", 2.0, 10.0, 20.0, 20.0, 2, 1.0, 0.0, None),
    ]
    assert transitions([A, B]) == [
        {"from": "stir", "to": "pour", "count": 1},
        {"from": "pour", "to": "stir", "count": 1},
    ]


def test_no_action_follows_another_over_unlabelled_time():
    assert transitions([[*A, (3.0, 5.0, "?")]]) == [
        {"from": "stir", "to": "pour", "count": 1},
    ]


def test_shares_are_of_the_labelled_time():
    rows = time_budget({"a": A, "b": B}, {"a": Extent(9.0, 75.0), "b": Extent(3.0, None)})
    assert [(row["share"], row["labelled"], row["duration"]) for row in rows] == [
        (pytest.approx(100 * 6 / 9), 9.0, 75.0),
        (pytest.approx(100 / 9), 9.0, 75.0),
        (pytest.approx(100 / 3), 3.0, None),
        (50.0, 12.0, None),
        (pytest.approx(100 * 2 / 12), 12.0, None),
    ]
    (row,) = time_budget({"instants": [(1.0, 1.0, "blink")]}, {"instants": Extent(0.0, 10.0)})
    assert (row["share"], row["count"]) == (0.0, 1)


def test_tables_are_written_and_names_are_no_formulas(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    tables = {"time": [{"action": "=1+1", "seconds": 0.12345, "first": None}], "transitions": []}
    assert [path.name for path in write_tables(tmp_path / "t.csv", tables)] == ["t.csv", "t-transitions.csv"]
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["action", "seconds", "first"], ["'=1+1", "0.123", ""]]
    (path,) = write_tables(tmp_path / "t.xlsx", tables)
    sheet = openpyxl.load_workbook(path)["time"]
    assert [[cell.value for cell in row] for row in sheet] == [["action", "seconds", "first"], ["=1+1", 0.123, None]]
    assert sheet["A2"].data_type == "s"
    with refused(tmp_path / "t.txt"):
        write_tables(tmp_path / "t.txt", tables)


def test_agreement_by_hand():
    assert boundary_distance(B, [(1.5, 2.0, "pour")]) == pytest.approx((0.5 + 0 + 0.5 + 0) / 4)
    assert boundary_distance(B, []) is None
    assert duration_icc(A, A) == pytest.approx(1.0)
    # times (6, 1) against (4, 3): means 5 and 2 of rows, 3.5 and 3.5 of columns
    other = [(0.0, 4.0, "stir"), (4.0, 7.0, "pour")]
    rows, rest = 2 * (1.5**2 + 1.5**2), 4 * 1.0**2
    assert duration_icc(A, other) == pytest.approx((rows - rest) / (rows + rest - 2 * rest / 2))
    assert duration_icc(B, B) is None


def test_agreement_in_time_by_hand():
    first = [(0.0, 2.5, "stir"), (2.5, 4.0, "stir"), (4.0, 10.0, "pour")]
    second = [(0.0, 6.0, "stir"), (6.0, 8.0, "pour")]
    result = time_agreement([Pair(first, second, 10.0)])
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
    assert figures["icc"] == duration_icc([(0.0, 4.0, "stir"), (4.0, 10.0, "pour")], second)


def test_agreement_of_several_videos_is_pooled():
    same = [(0.0, 10.0, "stir")]
    both = time_agreement([Pair(same, same, 20.0), Pair(same, [], 20.0)])
    assert both.figures["accuracy"] == pytest.approx(75)
    chance = 0.5 * 0.25 + 0.5 * 0.75
    assert both.figures["kappa"] == pytest.approx((0.75 - chance) / (1 - chance))
    assert both.figures["f1@50"] == pytest.approx(100 * 2 / 3, abs=0.01)
    assert both.figures["edit"] == 50
    assert both.figures["edges_s"] == 0


def test_nothing_labelled_agrees():
    with refused("compare"):  # not even time
        time_agreement([Pair([], [], 0.0)])
    figures = time_agreement([Pair([], [], 9.0)]).figures
    assert (figures["kappa"], figures["accuracy"]) == (1, 100)
    assert {figures[name] for name in ("edit", "f1@10", "f1@50", "edges_s", "icc")} == {None}
    nothing_and_something = time_agreement([Pair([], [], 9.0), Pair(B, B, 9.0)]).figures
    figures = time_agreement([Pair([], [], 0.0), Pair(B, B, 9.0)]).figures
    assert (figures["kappa"], figures["accuracy"]) == (1, 100)
    assert (nothing_and_something["edit"], round(nothing_and_something["f1@50"])) == (100, 100)


def test_time_in_two_segments_of_an_action_counts_once():
    twice = [(0.0, 4.0, "stir"), (2.0, 5.0, "stir"), (4.0, 6.0, "pour")]
    rows = time_budget({"a": twice, "b": B}, dict.fromkeys("ab", Extent(10.0, 10.0)))
    assert [(row["label"], row["seconds"], row["count"]) for row in rows[:2]] == [("stir", 5.0, 2), ("pour", 2.0, 1)]
    assert [(row["label"], row["seconds"]) for row in rows[3:]] == [("stir", 5.0), ("pour", 3.0)]


def test_a_video_named_all_is_not_all_videos():
    rows = time_budget({"a": A, "all": B}, dict.fromkeys(("a", "all"), Extent(10.0, 10.0)))
    assert [row["video"] for row in rows] == ["a", "a", "all (video)", "all", "all"]


def test_a_table_has_each_segment_with_its_origin_and_its_person(opened, rows, tmp_path):
    user = opened(run=None)()
    video = user.add(rows)
    shown = user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "left", "annotator": "Ann"})
    added = [
        {"start": 15, "stop": 30, "label": "stir", "origin": "drawn", "comment": "=slow"},
        {"start": 45, "stop": 60, "label": "pour", "origin": "predicted"},
    ]
    body = {"track": shown["tracks"][1]["id"], "annotator": "Bob", "removed": [], "added": added}
    user.ask("POST", f"/api/videos/{video}/edits", json=body)
    (tmp_path / "fields.csv").write_text("video,sex\nperson1_video1,f\n")
    user.ask("POST", "/api/fields", json={"file": user.upload(tmp_path / "fields.csv")})
    (tmp_path / "wrong.csv").write_text("video,origin\nperson1_video1,Kenya\n")
    user.ask("POST", "/api/fields", 400, json={"file": user.upload(tmp_path / "wrong.csv")})
    answer = user.client.get("/api/summary", params={"format": "csv", "table": "segments"})
    assert answer.headers["content-disposition"].endswith('filename="segments.csv"')
    assert answer.text.splitlines() == [
        "video,track,start,stop,label,origin,annotator,comment,sex",
        '"person1_video1, left",left,15.0,30.0,stir,drawn,Bob,\'=slow,f',
        '"person1_video1, left",left,45.0,60.0,pour,predicted,Bob,,f',
    ]


TWICE = "video,sex\nperson1_video1,f\nperson1_video1,m\n"


def test_fields_of_videos_group_the_budget(opened, rows, workbench, tmp_path):
    user = opened(run=None)()
    for number, path in enumerate((rows, workbench / "features" / "person2_video1.npy")):
        user.label(user.add(path), (0, 10 + 10 * number, "stir"))
    table = tmp_path / "fields.csv"

    def load(content, status=200):
        table.write_text(content)
        return user.ask("POST", "/api/fields", status, json={"file": user.upload(table)})

    assert load("video,treatment,sex\nperson1_video1,drug,f\nperson2_video1,drug,m\n")["fields"] == ["treatment", "sex"]
    grouped = user.ask("GET", "/api/summary", params={"by": "treatment"})["time"]
    assert [(row["video"], row["seconds"]) for row in grouped] == [
        ("treatment: drug (2)", 30.0), ("person1_video1", 10.0), ("person2_video1", 20.0), ("all", 30.0),
    ]  # fmt: skip
    assert [row.get("sex") for row in grouped] == ["", "f", "m", ""]
    lines = user.client.get("/api/summary", params={"format": "csv", "by": "sex"}).text.splitlines()
    assert lines[0].endswith(",treatment,sex")
    assert lines[1].endswith(",,")  # the group
    assert lines[3].endswith(",drug,f")
    load("video,treatment\nperson1_video1,none\n")
    grouped = user.ask("GET", "/api/summary", params={"by": "treatment"})["time"]
    assert [row["video"] for row in grouped][:2] == ["treatment: drug (1)", "treatment: none (1)"]
    (one,) = {row["sex"] for row in grouped if row["video"] == "person1_video1"}
    assert one == "f"  # of the first table
    assert load("video, day \nperson1_video1, 2\n")["fields"] == ["treatment", "sex", "day"]
    assert "day: 2 (1)" in [row["video"] for row in user.ask("GET", "/api/summary", params={"by": "day"})["time"]]
    first, second = user.ask("GET", "/api/state")["videos"]
    user.label(second["id"], (0, 20, "pour"))
    user.ask("POST", f"/api/videos/{first['id']}/tracks", json={"name": "again"})
    user.label(first["id"], (0, 5, "stir"), track=1)
    grouped = user.ask("GET", "/api/summary", params={"by": "treatment"})["time"]
    assert [(row["video"], row["label"], row["count"], row["share"], row["mean"]) for row in grouped[:4]] == [
        ("treatment: drug (1)", "pour", 1, 100.0, 20.0), ("treatment: drug (1)", "stir", 0, 0.0, None),
        ("treatment: none (1)", "stir", 2, 100.0, 7.5), ("treatment: none (1)", "pour", 0, 0.0, None),
    ]  # fmt: skip
    for content in ("name,sex\na,f\n", "video,sex\nnobody,f\n", "video,count\nperson1_video1,1\n", TWICE):
        load(content, 400)


def test_fields_of_a_video_named_all_are_not_those_of_all_videos(opened, rows, tmp_path):
    user = opened(run=None)()
    for name in ("other", "all"):
        video = user.add(rows)
        user.ask("PATCH", f"/api/videos/{video}", json={"name": name})
        user.label(video, (0, 10, "stir"))
    (tmp_path / "fields.csv").write_text("video,sex\nall,m\nother,f\n")
    user.ask("POST", "/api/fields", json={"file": user.upload(tmp_path / "fields.csv")})
    summary = user.ask("GET", "/api/summary", params={"by": "sex"})["time"]
    assert [(row["video"], row["sex"]) for row in summary if row["sex"]] == [("other", "f"), (f"all ({video})", "m")]
    assert [row["sex"] for row in summary if row["video"] == "all"] == [""]
    segments = user.client.get("/api/summary", params={"format": "csv", "table": "segments"}).text
    assert f"all ({video})" in segments


def test_an_empty_field_is_the_group_of_a_missing_one(opened, rows, workbench, tmp_path):
    user = opened(run=None)()
    for path in (rows, workbench / "features/person2_video1.npy"):
        user.label(user.add(path), (0, 10, "stir"))
    table = tmp_path / "fields.csv"
    table.write_text(f"video,treatment\n{rows.stem},\n")
    user.ask("POST", "/api/fields", json={"file": user.upload(table)})
    summary = user.ask("GET", "/api/summary", params={"by": "treatment"})["time"]
    groups = [row["video"] for row in summary if row["video"].startswith("treatment")]
    assert groups == ["treatment: – (2)"]
