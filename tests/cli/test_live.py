"""`fact-clip segment --live`: lines as they become final."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

import fact_clip as package
from fact_clip.encoders import frame_encoder
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
    of_file = fact_clip("segment", "--live", features, *how, "--json")
    assert (of_file.code, of_file.out) == (0, answer.out)
    (tmp_path / "live.jsonl").write_text(answer.out)
    assert load(tmp_path / "live.jsonl").segments == result.segments


def test_an_interruption_and_a_faulty_line_keep_what_came_before(fact_clip, tiny_run, features, monkeypatch):
    rows, whole = np.load(features)[:40], command._read_parts

    def interrupted(source, model):
        yield from (row[None] for row in rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_read_parts", interrupted)
    how = ("--run", tiny_run, "--device", "cpu", "--json")
    answer = fact_clip("segment", "--live", "camera:0", *how)
    assert answer.code == 0
    assert json.loads(answer.out.splitlines()[-1])["stop"] == 40
    monkeypatch.setattr(command, "_read_parts", whole)
    lines = [json.dumps(row) for row in rows[:9].tolist()]
    for bad in ("[1, 2]", "no row", "[" + ", ".join(["NaN"] * 8) + "]"):
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*lines, bad])))
        answer = fact_clip("segment", "--live", "-", *how)
        assert json.loads(answer.out.splitlines()[-1])["stop"] == 9
        refused_line((answer.code, "", answer.err), "-:10")


def test_options_that_do_not_go_together(fact_clip, tiny_run, features):
    how = ("--run", tiny_run, "--device", "cpu")
    refused_line(fact_clip("segment", features, *how, "--delay", 4), "--delay")
    refused_line(fact_clip("segment", features, features, *how, "--live"), "--live")
    refused_line(fact_clip("segment", features, *how, "--live", "--delay", 0), "delay")
    refused_line(fact_clip("segment", features, *how, "--live", "--shard", "0/2"), "--live")
    refused_line(fact_clip("segment", features, *how, "--live", "--out", "s3://bucket/x"), "--live")
    refused_line(fact_clip("segment", features, *how, "--live", "--overwrite"), "--live")
    refused_line(fact_clip("segment", features, *how, "--live", "--with-background"), "--live")
    refused_line(fact_clip("segment", "camera:0", *how, "--live"), "camera:0")  # a run that names no encoder


def test_times_of_a_file_are_at_its_own_rate(fact_clip, open_clip_folder, tmp_path):
    """A model that no data trained has no rate; the stream ran at 5 rows per second."""
    spec = f"clip:local-dir:{open_clip_folder}"
    how = ("--training-free", "--encoder", spec, "--actions", "stir, pour milk")
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype("f4")
    path = tmp_path / "take.npy"
    np.save(path, rows)
    path.with_suffix(".json").write_text(json.dumps({"fps": 2, "encoder": frame_encoder(spec).name}))
    answer = fact_clip("segment", path, *how, "--live", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out.splitlines()[-1])["stop_seconds"] == 30


def test_features_have_even_times(fact_clip, tiny_run, features, tmp_path):
    path = tmp_path / "x.npy"
    rows = np.load(features)[:60]
    np.save(path, rows)
    times = np.arange(61) / 15
    times[30:] += 20
    path.with_suffix(".json").write_text(json.dumps({"fps": 15.0, "times": times.tolist()}))
    how = ("--run", tiny_run, "--device", "cpu", "--delay", 4)
    refused_line(fact_clip("segment", "--live", path, *how), "x.npy")
