"""Bad input is answered in one plain line on stderr and exit code 2, before anything is written.

The lines themselves are tested where they are written; `tests/attacks` asks every command for many more of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

VIDEO = "person2_video1"  # trained on in split 1


@pytest.fixture
def broken(workbench, tmp_path) -> Path:
    """A copy of the data set, to be broken."""
    return Path(shutil.copytree(workbench, tmp_path / "broken"))


def refused(answer, *parts: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr that holds every part."""
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("fact-clip: ")
    assert answer.err.count("\n") == 1
    assert answer.err.endswith("\n")
    for part in parts:
        assert part in answer.err


def unknown_label(root: Path) -> tuple[str, ...]:
    path = root / "groundTruth" / f"{VIDEO}.txt"
    lines = path.read_text().splitlines()
    lines[4] = "juggle nut"
    path.write_text("\n".join(lines))
    return f"{path}:5", "'juggle nut'"


def length_mismatch(root: Path) -> tuple[str, ...]:
    path = root / "features" / f"{VIDEO}.npy"
    features = np.load(path)
    np.save(path, features[:-50])
    return path.name, str(len(features)), str(len(features) - 50)


def not_a_number(root: Path) -> tuple[str, ...]:
    path = root / "features" / f"{VIDEO}.npy"
    features = np.load(path)
    features[123, 4] = np.nan
    features[200, 0] = np.inf
    np.save(path, features)
    return path.name, "123"


@pytest.mark.parametrize("fault", [unknown_label, length_mismatch, not_a_number], ids=lambda fault: fault.__name__)
def test_training_stops_at_what_data_check_lists(fault, broken, recipe, fact_clip, tmp_path):
    parts = fault(broken)
    answer = fact_clip("data", "check", recipe, f"data.root={broken}", "data.split=1")
    assert answer.code == 1
    assert any(all(part in line for part in parts) for line in answer.out.splitlines())
    refused(fact_clip("train", recipe, f"data.root={broken}", "--out", tmp_path / "run"), *parts)
    # also where a value is looked at when its video is first read
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("data.root=nowhere", ["nowhere"]),
        ("data.split=9", ["no such split", "1, 2, 3"]),
        ("train.epoch=2", ["unknown key train.epoch", "did you mean train.epochs?"]),
        ("model.tokens=4", ["model.tokens"]),
    ],
)
def test_train_refuses_settings_before_it_writes(override, parts, recipe, fact_clip, tmp_path):
    refused(fact_clip("train", recipe, override, "--out", tmp_path / "run"), *parts)
    assert list(tmp_path.iterdir()) == []


def test_train_does_not_touch_a_folder_in_use(recipe, fact_clip, tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    refused(fact_clip("train", recipe, "--out", tmp_path), str(tmp_path), "not empty", "--resume")
    refused(fact_clip("train", recipe, "--out", tmp_path / "thesis.tex"), "thesis.tex", "a file")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


def test_resume_needs_a_run(recipe, fact_clip, tmp_path):
    refused(fact_clip("train", recipe, "--out", tmp_path / "none", "--resume"), "run.json")


def test_evaluate_needs_a_run_and_a_split(tiny_run, fact_clip, tmp_path):
    refused(fact_clip("evaluate", tmp_path), str(tmp_path), "run.json")
    refused(fact_clip("evaluate", tiny_run, "--split", "tests"), "'tests'", "test, validation, train")
    refused(fact_clip("evaluate", tiny_run, f"data.root={tmp_path}/moved"), "moved")


def test_evaluate_refuses_another_vocabulary(tiny_run, broken, fact_clip):
    mapping = broken / "mapping.txt"
    mapping.write_text(mapping.read_text() + "23 polish gear\n")
    refused(fact_clip("evaluate", tiny_run, f"data.root={broken}"), "classes", "23")


def test_segment_refuses_features_before_it_writes(tiny_run, fact_clip, tmp_path):
    path = tmp_path / "video.npy"
    np.save(path, np.zeros((40, 7), np.float32))
    answer = fact_clip("segment", "--run", tiny_run, path, "--out", tmp_path / "out", "--plot", tmp_path / "p.png")
    refused(answer, str(path), "7", "8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["video.npy"]


def test_segment_refuses_arguments(tiny_run, workbench, fact_clip, tmp_path):
    video = workbench / "features" / f"{VIDEO}.npy"
    same = tmp_path / video.name
    shutil.copy(video, same)
    refused(fact_clip("segment", video, "--run", tmp_path), str(tmp_path), "run.json")
    refused(fact_clip("segment", video, "--run", tiny_run, "--actions", "screw nutt"), "'screw nutt'")
    refused(
        fact_clip("segment", video, "--run", tiny_run, "--out", tmp_path / "o", "--format", "csv,xls"), "'xls'", "csv"
    )
    refused(fact_clip("segment", video, "--run", tiny_run, "--plot", tmp_path / "p.gif"), "'.gif'", ".png")
    refused(fact_clip("segment", video, same, "--run", tiny_run, "--out", tmp_path / "o"), "the same name")
    refused(fact_clip("segment", video, "--run", tiny_run, "--out", same), str(same), "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == [same.name]


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["trian"], ["trian", "train"]),
        (["train"], ["CONFIG", "fact-clip train --help"]),
        (["train", "kscgr"], ["--out"]),
        (["data"], ["fact-clip data --help"]),
        (["segment", "--run", "r"], ["INPUT"]),
        (["demo", "--loud"], ["--loud"]),
        (["data", "init", "d", "--fps", "15fps"], ["'--fps': '15fps'; expected a valid number"]),
        (["data", "sample", "d", "--videos", "5"], ["'--videos': '5'; expected greater than or equal to 6"]),
        (["data", "init", "d", "--layout", "td"], ["'--layout': 'td' is not one of 'TD', 'DT'; see"]),
    ],
)
def test_faults_of_usage(argv, parts, fact_clip):
    refused(fact_clip(*argv), *parts)
