"""Tables of the page: time budgets, and each segment."""

from __future__ import annotations

import csv

import pytest

from fact_clip_app.results.table_files import write_tables

from ..refusals import refused


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


def test_time_in_bins_is_a_table_of_its_own(opened, rows):
    user = opened(run=None)()
    user.act("stir")
    video = user.add(rows, fps=10)
    user.label(video, (0, 15, "stir"))
    assert "bins" not in user.ask("GET", "/api/summary")
    table = user.ask("GET", "/api/summary", params={"bins": 1})["bins"]
    assert [(row["start"], row["seconds"], row["count"]) for row in table[:3]] == [(0, 1, 1), (1, 0.5, 0), (2, 0, 0)]
    answer = user.client.get("/api/summary", params={"bins": 1, "format": "csv", "table": "bins"})
    assert answer.text.splitlines()[1].startswith(f"{user.page.project.video(video).name},0.0,1.0,stir,1.0,")
    user.ask("GET", "/api/summary", 400, params={"table": "bins"})
    user.ask("GET", "/api/summary", 400, params={"bins": 0})
