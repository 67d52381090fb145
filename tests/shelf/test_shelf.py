"""Run folders of every format that ever was: what was found with them on the day they were made is found today."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

import fact_clip
from fact_clip.cli import main
from fact_clip.run import FORMAT, Run

from ..refusals import refused, refused_line
from .make import CANDIDATES, KINDS

SHELF = Path(__file__).resolve().parent
DATA = SHELF / "data"
EVERY_RUN = sorted(path.parent for path in SHELF.glob("*/*/run.json"))
OLD_RUNS = [run for run in EVERY_RUN if run.parent.name == "0.1.0"]  # of format 1
RUNS = [run for run in EVERY_RUN if run not in OLD_RUNS]

each_run = pytest.mark.parametrize("run", RUNS, ids=lambda path: f"{path.parent.name}-{path.name}")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def copied(run: Path, to: Path) -> Path:
    """A copy of a run, to write into."""
    return Path(shutil.copytree(run, to / "run"))


def test_every_format_is_on_the_shelf_with_every_kind():
    found = {(read(run / "run.json")["format"], run.name) for run in EVERY_RUN}
    assert found == {(number, kind) for number in range(1, FORMAT + 1) for kind in KINDS}
    assert {read(run / "run.json")["format"] for run in RUNS} == {FORMAT}


@each_run
def test_the_figures_of_an_old_run(run, tmp_path, capsys):
    """Frame accuracy within a point, the others within five: another processor may change a frame or a segment."""
    copy = copied(run, tmp_path)
    assert main(["evaluate", str(copy), f"data.root={DATA}", "--device", "cpu", "--json"]) == 0
    found, recorded = json.loads(capsys.readouterr().out), read(run / "figures.json")
    # up to 0.2.0 it was the accuracy of all frames where background counted in edit and F1
    del recorded["metrics"]["frame_accuracy_foreground"]
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
def test_the_segments_of_an_old_run(run):
    """99 of 100 frames have the recorded label, also where candidates are named that the run does not know."""
    segmenter, recorded = fact_clip.load(run), read(run / "figures.json")
    asked = [(None, recorded["segments"])] + ([(CANDIDATES, recorded["candidates"])] if run.name == "text" else [])
    for actions, videos in asked:
        assert len(videos) == 2
        for name, expected in videos.items():
            found = segmenter.segment(DATA / "features" / f"{name}.npy", actions)
            assert len(expected) > 5
            assert (np.array(found.to_frames(), dtype=object) == frames(expected)).mean() > 0.99


# --- settings that were removed -----------------------------------------------------------------------------


def with_settings(to: Path, **settings: object) -> Path:
    """A copy of a run with object columns; `settings` are values of "group__key" in its configuration."""
    copy = copied(next(run for run in RUNS if run.parent.name == "0.2.0" and run.name == "text"), to)
    tree = yaml.safe_load((copy / "config.yaml").read_text())
    for name, value in settings.items():
        *groups, last = name.split("__")
        group = tree
        for each in groups:
            group = group[each]
        group[last] = value
    (copy / "config.yaml").write_text(yaml.safe_dump(tree))
    return copy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model__similarity__channels", 8),
        ("text__templates", "ensemble"),
        ("decode__overlap", 7),
        ("decode__training_free", 0.5),
        ("decode__factor_frames", 3.0),
    ],
)
def test_a_run_that_uses_what_is_gone(name, value, tmp_path):
    old = with_settings(tmp_path, **{name: value})
    with refused("config.yaml"):
        Run.read(old)


@pytest.mark.parametrize(
    ("name", "value"),
    [("train__patience", 3), ("train__select", "edit"), ("decode__gamma_rule", "harmonic"), ("data__tolerance", 0.5)],
)
def test_what_is_gone_and_had_its_effect_in_the_training_is_dropped(name, value, tmp_path):
    old = with_settings(tmp_path, **{name: value})
    assert Run.read(old).config == Run.read(old.parent / "run").config


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


@pytest.mark.parametrize("run", OLD_RUNS, ids=lambda path: path.name)
def test_a_run_of_format_1_says_which_version_reads_it(run, tmp_path, capsys):
    copy = copied(run, tmp_path)
    assert "0.2.0" in refused_line((main(["evaluate", str(copy)]), *capsys.readouterr()), "run.json")


def test_a_member_of_another_format_is_one_line(tmp_path, capsys):
    copy = copied(next(run for run in RUNS if run.name == "members"), tmp_path)
    path = copy / "members" / "2" / "run.json"
    path.write_text(json.dumps(read(path) | {"format": FORMAT + 1}))
    refused_line((main(["evaluate", str(copy), f"data.root={DATA}"]), *capsys.readouterr()), path)
