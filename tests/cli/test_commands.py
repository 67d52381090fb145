"""What each command prints and writes."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

from fact_clip import training
from fact_clip.cli import COMMANDS
from fact_clip.cli.arguments import read_names
from fact_clip.cli.console import table
from fact_clip.formats import load


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, fact_clip):
    answer = fact_clip(*command.split(), "--help")
    assert answer.code == 0
    assert f"Example:\n    fact-clip {command}" in answer.out
    assert answer.err == ""


def test_no_argument_shows_help(fact_clip):
    answer = fact_clip()
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == fact_clip("--help").out
    assert all(command.split()[0] in answer.out for command in COMMANDS)


def test_train_says_where_the_model_is(recipe, fact_clip, tmp_path):
    answer = fact_clip("train", recipe, "train.epochs=2", "--out", tmp_path / "r")
    assert answer.code == 0
    first, second = answer.err.splitlines()  # no bars where stderr is no terminal, but a line an epoch
    assert first.startswith("epoch 1 of 2: loss ")
    assert second.startswith("epoch 2 of 2: loss ")
    assert answer.out.startswith("2 epochs in ")
    assert f"fact-clip evaluate {tmp_path / 'r'}" in answer.out
    assert len((tmp_path / "r" / "log.jsonl").read_text().splitlines()) == 2
    more = fact_clip("train", recipe, "train.epochs=3", "--out", tmp_path / "r", "--resume")
    assert more.out.startswith("3 epochs in ")
    assert len((tmp_path / "r" / "log.jsonl").read_text().splitlines()) == 3


def test_evaluate_prints_a_table_or_json(tiny_run, fact_clip, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    text = fact_clip("evaluate", run)
    assert "test split, 2 videos" in text.out
    result = json.loads(fact_clip("evaluate", run, "--json").out)
    assert result == json.loads((run / "evaluation.json").read_text())
    assert f"{result['metrics']['frame_accuracy']:.1f}" in text.out
    assert len(result["per_class"]) == 23
    fact_clip("evaluate", run, "--split", "validation")
    assert (run / "evaluation_validation.json").is_file()


def test_segment_prints_every_segment(tiny_run, workbench, fact_clip, tmp_path):
    video = workbench / "features" / "person1_video1.npy"
    answer = fact_clip("segment", "--run", tiny_run, video, "--out", tmp_path / "o")
    assert answer.code == 0
    assert answer.err == f"written: {tmp_path / 'o/person1_video1.csv'}, {tmp_path / 'o/person1_video1.json'}\n"
    title, header, *rows = answer.out.splitlines()
    n_frames = len(np.load(video))
    assert title == f"{video}: {n_frames} frames"
    assert header.split() == ["start", "stop", "seconds", "label", "confidence"]
    spans = [(int(row.split()[0]), int(row.split()[1])) for row in rows]
    assert spans[0][0] == 0
    assert spans[-1][1] == n_frames
    assert all(left[1] == right[0] for left, right in pairwise(spans))
    start, stop = spans[0]
    assert f"{start / 15:.2f} - {stop / 15:.2f}" in rows[0]


def test_segment_writes_into_the_run_unless_told_where(tiny_run, workbench, fact_clip, tmp_path, monkeypatch):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fact_clip("segment", "--run", run, workbench / "features" / "person1_video1.npy", "--format", "txt")
    assert [path.name for path in (run / "segments").glob("p*")] == ["person1_video1.txt"]
    assert list((tmp_path / "here").iterdir()) == []


def test_segment_writes_files_that_agree_with_its_json(tiny_run, workbench, fact_clip, tmp_path):
    videos = [workbench / "features" / f"person{person}_video1.npy" for person in (1, 2)]
    answer = fact_clip(
        "segment", "--run", tiny_run, *videos, "--json", "--with-background", "--out", tmp_path / "o",
        "--format", "csv,json,txt",
    )  # fmt: skip
    trees = json.loads(answer.out)
    assert [tree["input"] for tree in trees] == [str(video) for video in videos]
    assert len(list((tmp_path / "o").glob("p*"))) == 6
    for video, tree in zip(videos, trees, strict=True):
        read = [load(tmp_path / "o" / f"{video.stem}{suffix}") for suffix in (".csv", ".json", ".txt")]
        assert read[0] == read[1]
        assert read[0].to_frames() == read[2].to_frames()
        assert read[0].fps == 15
        written = [(s.start, s.stop, s.label, s.confidence) for s in read[0]]
        assert written == [(s["start"], s["stop"], s["label"], s["confidence"]) for s in tree["segments"]]
        assert all(0 <= confidence <= 1 for *_, confidence in written)


def test_interrupt_says_how_to_go_on(recipe, fact_clip, tmp_path, monkeypatch):
    def interrupted(config, out, **_):
        out.mkdir()
        (out / "last.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    answer = fact_clip("train", recipe, "train.epochs=2", "--out", tmp_path / "my run")
    assert answer.code == 130
    again = f"fact-clip train {recipe} train.epochs=2 --out '{tmp_path / 'my run'}' --resume"
    assert answer.err == f"fact-clip: interrupted; continue with: {again}\n"


def test_table_and_names():
    rows = [{"n": 7, "name": "a", "%": 1.25}, {"n": 12, "name": ["bc", "d"], "%": None}]
    assert table(rows) == " n  name     %\n 7  a      1.2\n12  bc, d    -"
    assert read_names(None, "--x") == ()
    assert read_names('a, b b ,"cut,onion", ', "--x") == ("a", "b b", "cut,onion")
    assert read_names("", "--x") == ()
