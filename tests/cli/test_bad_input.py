"""Bad input is answered in one plain line on stderr and exit code 2, before anything is written."""

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


def empty_labels(root: Path) -> tuple[str, ...]:
    path = root / "groundTruth" / f"{VIDEO}.txt"
    path.write_text("")
    return str(path), "no labels"


def empty_features(root: Path) -> tuple[str, ...]:
    path = root / "features" / f"{VIDEO}.npy"
    np.save(path, np.zeros((0, 8), np.float16))
    return str(path), "empty"


def missing_video(root: Path) -> tuple[str, ...]:
    split = root / "splits" / "train.split1.bundle"
    split.write_text(split.read_text().rstrip("\n") + "\nperson9_video9.txt\n")
    return "person9_video9", split.name


def missing_features(root: Path) -> tuple[str, ...]:
    (root / "features" / f"{VIDEO}.npy").unlink()
    return (f"{VIDEO}.npy",)


def not_an_array(root: Path) -> tuple[str, ...]:
    path = root / "features" / f"{VIDEO}.npy"
    path.write_bytes(b"PK, but no archive")
    return str(path), ".npy"


def double_id(root: Path) -> tuple[str, ...]:
    path = root / "mapping.txt"
    path.write_text(path.read_text() + "0 one more\n")
    return f"{path}:", "id 0 twice"


FAULTS = [
    unknown_label, length_mismatch, not_a_number, empty_labels, empty_features, missing_video, missing_features,
    not_an_array, double_id,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_faults_of_data(fault, broken, recipe, fact_clip, tmp_path):
    parts = fault(broken)
    answer = fact_clip("data", "check", recipe, f"data.root={broken}", "data.split=1")
    assert answer.code == 1
    assert any(all(part in line for part in parts) for line in answer.out.splitlines())
    refused(fact_clip("train", recipe, f"data.root={broken}", "--out", tmp_path / "run"), *parts)
    # a value is looked at when its video is first read; the rest before anything is written
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert (tmp_path / "run").exists() == (fault is not_a_number)


@pytest.mark.parametrize("command", [("train", "--out", "{tmp}/run"), ("data", "check")], ids=["train", "data check"])
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["kscg"], ["kscg: no such recipe", "did you mean 'kscgr'?"]),
        (["{tmp}/none.yaml"], ["none.yaml: no such file"]),
        (["{recipe}", "data.root={tmp}/nowhere"], ["nowhere"]),
        (["{recipe}", "data.split=9"], ["no such split", "1, 2, 3"]),
        (["{recipe}", "train.epoch=2"], ["unknown key train.epoch", "did you mean train.epochs?"]),
        (["{recipe}", "epochs"], ["no '=' in the override"]),
        (["{recipe}", "train.epochs=soon"], ["train.epochs = 'soon'"]),
        (["{recipe}", "train.epochs=0"], ["train.epochs = 0"]),
        (["{recipe}", "data.name=workbanch"], ["workbanch", "workbench"]),
    ],
)
def test_faults_of_settings(command, arguments, parts, recipe, fact_clip, tmp_path):
    argv = [part.format(tmp=tmp_path, recipe=recipe) for part in (*command, *arguments)]
    refused(fact_clip(*argv), *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("model.input.hidden=16", ["model.input.hidden"]),
        ("model.tokens=4", ["model.tokens"]),
        ("train.device=cuda:99", ["train.device", "cuda:99"]),
        ("train.select=beauty", ["train.select", "'beauty'"]),
        ("train.loggers=[paper]", ["paper"]),
    ],
)
def test_train_refuses_settings_that_fit_no_data_before_it_writes(override, parts, recipe, fact_clip, tmp_path):
    refused(fact_clip("train", recipe, override, "--out", tmp_path / "run"), *parts)
    assert list(tmp_path.iterdir()) == []


def test_train_does_not_touch_a_folder_in_use(recipe, fact_clip, tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    refused(fact_clip("train", recipe, "--out", tmp_path), str(tmp_path), "not empty", "--resume")
    refused(fact_clip("train", recipe, "--out", tmp_path / "thesis.tex"), "thesis.tex", "not empty")
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


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda path: None, ["no such file"]),
        (lambda path: path.write_bytes(b"GIF89a"), [".npy"]),
        (lambda path: np.save(path, np.zeros((40, 7), np.float32)), ["7", "8"]),
        (lambda path: np.save(path, np.full((40, 8), np.nan, np.float32)), ["nan in frame 0"]),
        (lambda path: np.save(path, np.zeros((0, 8), np.float32)), ["empty"]),
        (lambda path: np.save(path, np.zeros(40, np.float32)), ["(40,)"]),
        (lambda path: np.save(path, np.array([["a"]])), ["numbers"]),
    ],
    ids=["missing", "no array", "width", "NaN", "empty", "one dimension", "text"],
)
def test_segment_refuses_features(make, parts, tiny_run, fact_clip, tmp_path):
    path = tmp_path / "video.npy"
    make(path)
    answer = fact_clip("segment", "--run", tiny_run, path, "--out", tmp_path / "out", "--plot", tmp_path / "p.png")
    refused(answer, str(path), *parts)
    assert {entry.name for entry in tmp_path.iterdir()} <= {"video.npy"}


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


def test_convert_refuses_what_is_no_checkpoint(workbench, fact_clip, tmp_path):
    checkpoint = tmp_path / "a.pth"
    settings = tmp_path / "a.yaml"
    settings.write_text("Bi: {hid_dim: 48}\n")
    rest = ["--config", settings, "--mapping", workbench / "mapping.txt", "--out", tmp_path / "run"]
    refused(fact_clip("convert", checkpoint, *rest), str(checkpoint))
    checkpoint.write_bytes(b"not torch's")
    refused(fact_clip("convert", checkpoint, *rest), str(checkpoint))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["trian"], ["trian", "train"]),
        (["train"], ["CONFIG", "fact-clip train --help"]),
        (["train", "kscgr"], ["--out"]),
        (["data"], ["fact-clip data --help"]),
        (["segment", "--run", "r"], ["INPUT"]),
        (["demo", "--loud"], ["--loud"]),
    ],
)
def test_faults_of_usage(argv, parts, fact_clip):
    refused(fact_clip(*argv), *parts)
