"""Stored run folders give the figures and segments that were stored with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fact_clip
from fact_clip.cli import main
from fact_clip.runs.facts import FORMAT

from ..refusals import refused_line
from .make import CANDIDATES, KINDS

SHELF = Path(__file__).resolve().parent
DATA = SHELF / "data"
RUNS = sorted(path.parent for path in SHELF.glob("*/*/run.json"))

each_run = pytest.mark.parametrize("run", RUNS, ids=lambda path: f"{path.parent.name}-{path.name}")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def copied(run: Path, to: Path) -> Path:
    """A copy of a run, to write into."""
    return Path(shutil.copytree(run, to / "run"))


def test_the_format_is_on_the_shelf_with_every_kind():
    assert {(read(run / "run.json")["format"], run.name) for run in RUNS} == {(FORMAT, kind) for kind in KINDS}


@each_run
def test_the_figures_of_a_stored_run(run, tmp_path, capsys):
    """Frame accuracy within a point, the others within five: another processor may change a frame or a segment."""
    copy = copied(run, tmp_path)
    assert main(["evaluate", str(copy), f"data.root={DATA}", "--device", "cpu", "--json"]) == 0
    found, recorded = json.loads(capsys.readouterr().out), read(run / "figures.json")
    for name, figure in recorded["metrics"].items():
        assert found["metrics"][name] == pytest.approx(figure, abs=1.0 if "accuracy" in name else 5.0), name
    assert found["metrics"]["frame_accuracy"] > 50.0  # by chance 4
    assert ("zero_shot" in found) == (run.name == "text")
    for name, figure in recorded.get("zero_shot", {}).items():
        assert found["zero_shot"]["ways"]["in use"][name] == pytest.approx(figure, abs=5.0), name


def frames(segments: list[tuple[str, int, int]]) -> NDArray[np.object_]:
    """The label of each frame, (T,)."""
    return np.concatenate([np.full(stop - start, label, dtype=object) for label, start, stop in segments])


@each_run
def test_the_segments_of_a_stored_run(run):
    """99 of 100 frames have the recorded label, also where candidates are named that the run does not know."""
    segmenter, recorded = fact_clip.load(run), read(run / "figures.json")
    asked = [(None, recorded["segments"])] + ([(CANDIDATES, recorded["candidates"])] if run.name == "text" else [])
    for actions, videos in asked:
        assert len(videos) == 2
        for name, expected in videos.items():
            found = segmenter.segment(DATA / "features" / f"{name}.npy", actions)
            assert len(expected) > 5
            assert (np.array(found.to_frames(), dtype=object) == frames(expected)).mean() > 0.99


# --- what is not read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, FORMAT + 1, 99, "2", True, 2.0, None, [2], {}])
def test_a_run_of_another_format_is_one_line(number, tmp_path, capsys):
    """What the format is counts, before anything that a newer one may call otherwise."""
    copy = copied(RUNS[0], tmp_path)
    facts = {"format": number, "fact_clip": "9.8.7", "new": [1]}
    (copy / "run.json").write_text(json.dumps(facts))
    video = str(next((DATA / "features").iterdir()))
    for command in (["evaluate", str(copy)], ["segment", video, "--run", str(copy)], ["report", str(copy)]):
        assert "9.8.7" in refused_line((main(command), *capsys.readouterr()), "run.json")


def test_a_member_of_another_format_is_one_line(tmp_path, capsys):
    copy = copied(next(run for run in RUNS if run.name == "members"), tmp_path)
    path = copy / "members" / "2" / "run.json"
    path.write_text(json.dumps(read(path) | {"format": FORMAT + 1}))
    refused_line((main(["evaluate", str(copy), f"data.root={DATA}"]), *capsys.readouterr()), path)
