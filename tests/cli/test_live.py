"""`fact-clip segment --live`: lines as they become final, files at the end."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

import fact_clip as package
from fact_clip.formats import load
from fact_clip_batch.commands import live as command

from ..refusals import refused_line


@pytest.fixture(scope="module")
def features(workbench):
    return workbench / "features" / "person1_video1.npy"


def test_rows_on_stdin_and_a_file_give_the_same_lines(fact_clip, tiny_run, features, tmp_path, monkeypatch):
    how = ("--run", tiny_run, "--device", "cpu", "--delay", 4)
    rows = np.load(features)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(json.dumps(row) for row in rows.tolist())))
    answer = fact_clip("segment", "--live", "-", *how, "--json")
    assert answer.code == 0, answer.err
    lines = [json.loads(line) for line in answer.out.splitlines()]
    stream = package.load(tiny_run, "cpu").stream(delay=4)
    result = stream.segmentation([*stream.push(rows), *stream.finish()])
    assert [(line["start"], line["stop"], line["label"]) for line in lines] == [
        (segment.start, segment.stop, segment.label) for segment in result
    ]
    assert lines[-1]["stop_seconds"] == pytest.approx(len(rows) / 15)
    for name in ("person1_video1", "person1_video1-2"):
        answer = fact_clip("segment", "--live", features, *how, "--out", tmp_path, "--format", "csv")
        assert answer.code == 0, answer.err
        assert len(answer.out.splitlines()) == len(lines)
        assert load(tmp_path / f"{name}.csv").segments == result.segments
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".csv"]


def test_an_interruption_and_a_faulty_line_keep_what_came_before(fact_clip, tiny_run, features, tmp_path, monkeypatch):
    rows, whole = np.load(features)[:40], command._read_parts

    def interrupted(source, model):
        yield from (row[None] for row in rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_read_parts", interrupted)
    how = ("--run", tiny_run, "--device", "cpu", "--out", tmp_path, "--format", "csv")
    answer = fact_clip("segment", "--live", "camera:0", *how)
    assert answer.code == 0
    assert load(tmp_path / "live.csv").n_frames == 40
    monkeypatch.setattr(command, "_read_parts", whole)
    lines = [json.dumps(row) for row in rows[:9].tolist()]
    for bad in ("[1, 2]", "no row", "[" + ", ".join(["NaN"] * 8) + "]"):
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*lines, bad])))
        answer = fact_clip("segment", "--live", "-", *how, "--overwrite")
        assert load(tmp_path / "live.csv").n_frames == 9
        refused_line((answer.code, "", answer.err.splitlines(keepends=True)[-1]), "-:10")


def test_options_that_do_not_go_together(fact_clip, tiny_run, features):
    how = ("--run", tiny_run, "--device", "cpu")
    refused_line(fact_clip("segment", features, *how, "--delay", 4), "--delay")
    refused_line(fact_clip("segment", features, features, *how, "--live"), "--live")
    refused_line(fact_clip("segment", features, *how, "--live", "--delay", 0), "delay")
    refused_line(fact_clip("segment", features, *how, "--live", "--shard", "0/2"), "--shard")
    refused_line(fact_clip("segment", features, *how, "--live", "--out", "s3://bucket/x"), "--out")
    refused_line(fact_clip("segment", "camera:0", *how, "--live"), "camera:0")  # a run that names no encoder


def test_features_name_their_video_and_have_even_times(fact_clip, tiny_run, features, tmp_path):
    path = tmp_path / "x.npy"
    rows = np.load(features)[:60]
    np.save(path, rows)
    times = np.arange(61) / 15
    facts = {"fps": 15.0, "video": "/films/take.mp4", "times": times.tolist()}
    path.with_suffix(".json").write_text(json.dumps(facts))
    how = ("--run", tiny_run, "--device", "cpu", "--delay", 4, "--out", tmp_path / "out")
    assert fact_clip("segment", "--live", path, *how, "--format", "json").code == 0
    assert load(tmp_path / "out" / "x.json").media == "/films/take.mp4"
    times[30:] += 20
    path.with_suffix(".json").write_text(json.dumps({**facts, "times": times.tolist()}))
    refused_line(fact_clip("segment", "--live", path, *how), "x.npy")
