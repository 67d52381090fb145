"""fact-clip data sample: a data set with videos."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from ..refusals import refused_line


def test_the_sample_is_real_and_found_by_its_recipes(fact_clip, tmp_path, monkeypatch):
    root = tmp_path / "data/kscgr"
    answer = fact_clip("data", "sample", root)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"{root}: KSCGR, 30 real recordings")
    assert json.loads(fact_clip("data", "check", root, "data.name=kscgr", "--json").out)["errors"] == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACT_CLIP_DATA", raising=False)
    for recipe in ("kscgr", "kscgr_zero_shot", "demo"):
        assert json.loads(fact_clip("data", "summary", recipe, "--json").out)["videos"] == 30
    refused_line(fact_clip("data", "sample", tmp_path / "b", "--videos", 6), "--videos")
    refused_line(fact_clip("data", "sample", root), "kscgr")


def test_a_sample_is_a_data_set_with_its_videos(fact_clip, tmp_path):
    av = pytest.importorskip("av")
    root = tmp_path / "sample"
    answer = fact_clip("data", "sample", root, "--name", "assembly", "--videos", 6)
    lines = [line for line in answer.err.splitlines() if not line.startswith("drawing: ")]  # on a slow machine
    assert (answer.code, lines) == (0, [])
    assert answer.out.splitlines()[0] == (
        f"{root}: SYNTHETIC data, 6 videos in {root}/videos, with features at 15 rows per second, labels and 3 splits"
    )
    assert json.loads(fact_clip("data", "check", root, "--json").out)["errors"] == 0
    for path in (root / "groundTruth").glob("*.txt"):
        with av.open(str(root / "videos" / f"{path.stem}.mp4")) as container:
            stream = container.streams.video[0]
            assert (stream.frames, stream.average_rate) == (len(path.read_text().splitlines()), 15)
    # features of the videos have a row for each label
    name = "person2_video1"
    command = ("extract", root / "videos" / f"{name}.mp4", "--encoder", "grid", "--fps", 15, "--out", tmp_path / "grid")
    assert fact_clip(*command).code == 0
    assert len(np.load(tmp_path / f"grid/{name}.npy")) == len(
        (root / f"groundTruth/{name}.txt").read_text().splitlines()
    )
    answer = fact_clip("data", "sample", root)
    refused_line(answer, "sample")


def test_without_the_package_features_are_written_alone(fact_clip, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "av" else found(name, *rest))
    answer = fact_clip("data", "sample", tmp_path / "sample", "--name", "assembly", "--videos", 6)
    assert answer.code == 0
    assert answer.err.startswith("no videos are written, because the package av is missing; run ")
    assert answer.err.endswith("pip install -e '.[video]'\n")
    assert "6 videos as features at 15 rows per second" in answer.out
    assert len(list((tmp_path / "sample/features").iterdir())) == 6
    assert not (tmp_path / "sample/videos").exists()
