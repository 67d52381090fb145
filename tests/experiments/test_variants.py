"""Variants of data sets with fewer labels."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from fact_clip import InputError
from fact_clip.config import DataConfig
from fact_clip.core import FileLocation
from fact_clip.datasets.convert import Target, convert_to_clicks
from fact_clip.datasets.dataset import Dataset
from fact_clip.formats.base import Options

from ..scripts import load_script

variants = load_script("experiments/variants.py")

TRAIN = tuple("abcdefg")
SEGMENTS = ((0, 3, "idle"), (3, 8, "pour"), (8, 12, "idle"))
LABELS = ["idle"] * 3 + ["pour"] * 5 + ["idle"] * 4


@pytest.fixture
def root(tmp_path):
    """A data set of seven training videos and one test video, in its split 2."""
    folder = tmp_path / "data"
    for name in ("features", "groundTruth", "splits"):
        (folder / name).mkdir(parents=True)
    (folder / "mapping.txt").write_text("0 idle\n1 pour\n")
    (folder / "splits/train.split2.bundle").write_text("".join(f"{video}.txt\n" for video in TRAIN))
    (folder / "splits/test.split2.bundle").write_text("t\n")
    for video in (*TRAIN, "t"):
        np.save(folder / f"features/{video}.npy", np.eye(12, 2, dtype=np.float32))
        (folder / f"groundTruth/{video}.txt").write_text("".join(f"{label}\n" for label in LABELS))
    return folder


def labels(root, video):
    return (root / f"groundTruth/{video}.txt").read_text().split()


@pytest.mark.parametrize(
    ("kind", "train"), [("five", "abcde"), ("half", "aceg"), ("rest", "abcdefg"), ("clicks", "abcdefg")]
)
def test_training_videos(tmp_path, root, kind, train):
    out = tmp_path / "out"
    assert variants.main([kind, str(root), str(out), "--split", "2"]) == 0
    assert (out / "splits/train.split1.bundle").read_text().split() == list(train)
    assert (out / "splits/test.split1.bundle").read_text().split() == ["t"]
    assert labels(out, "t") == LABELS
    Dataset.open(DataConfig(name="folder", root=str(out), layout="TD", fps=1.0)).check()


def test_labels_of_the_rest_are_unknown(tmp_path, root):
    variants.write_variant("rest", root, tmp_path / "out", "2")
    assert [set(labels(tmp_path / "out", video)) for video in TRAIN] == [{"idle", "pour"}] * 5 + [{"?"}] * 2
    assert len(labels(tmp_path / "out", "f")) == 12


def test_one_click_in_each_segment(tmp_path, root):
    variants.write_variant("clicks", root, tmp_path / "out", "2")
    rng = np.random.default_rng(0)
    for video in TRAIN:
        with (tmp_path / f"out/clicks/{video}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["frame", "label"]
        expected = []
        for start, stop, name in SEGMENTS:
            expected.append([str(rng.integers(start, stop)), name])
        assert rows == expected
    assert [path.name for path in (tmp_path / "out/groundTruth").iterdir()] == ["t.txt"]


def test_rough_segments_without_faults_are_the_true_ones(monkeypatch):
    for name in ("MOVED", "WRONG", "MISSING"):
        monkeypatch.setattr(variants, name, 0.0)
    rows, counts = variants.roughen(LABELS, ["idle", "pour"], np.random.default_rng(0))
    assert (rows, counts) == (list(SEGMENTS), {"segments": 3})


@pytest.mark.parametrize("fault", ["WRONG", "MISSING"])
def test_all_rough_segments_have_the_fault(fault, monkeypatch):
    monkeypatch.setattr(variants, "MOVED", 0.0)
    monkeypatch.setattr(variants, "WRONG", float(fault == "WRONG"))
    monkeypatch.setattr(variants, "MISSING", float(fault == "MISSING"))
    rows, counts = variants.roughen(LABELS, ["idle", "pour"], np.random.default_rng(0))
    if fault == "MISSING":
        assert (rows, counts) == ([], {"missing": 3})
    else:
        assert rows == [(0, 3, "pour"), (3, 8, "idle"), (8, 12, "pour")]
        assert counts == {"segments": 3, "wrong name": 3}


@pytest.mark.parametrize("seed", range(5))
def test_ends_of_rough_segments_move_by_half_of_the_length_at_most(seed):
    labels = np.repeat(["idle", "pour", "stir"], (200, 300, 100)).tolist() * 5
    rows, counts = variants.roughen(labels, ["idle", "pour", "stir"], np.random.default_rng(seed))
    assert len(rows) == counts["segments"] == 15 - counts["missing"]
    lengths = {0: 200, 200: 300, 500: 100}
    for start, stop, _ in rows:
        middle = (start + stop) // 2
        true_start = max(edge for edge in lengths if edge <= middle % 600)
        length = lengths[true_start]
        true_start += middle // 600 * 600
        assert abs(start - true_start) <= length / 2
        assert abs(stop - true_start - length) <= length / 2


def test_rough_segments_become_clicks(tmp_path, root, capsys):
    out = tmp_path / "out"
    assert variants.main(["rough", str(root), str(out), "--split", "2", "--seed", "1"]) == 0
    assert "segments: " in capsys.readouterr().out
    target = Target(features=out / "features", layout="TD")
    convert_to_clicks([out / "rough.csv"], "csv", out, target, Options(unit="frames"))
    assert [path.name for path in (out / "groundTruth").iterdir()] == ["t.txt"]
    assert (root / "mapping.txt").read_text() == (out / "mapping.txt").read_text() == "0 idle\n1 pour\n"
    Dataset.open(DataConfig(name="folder", root=str(out), layout="TD", fps=1.0)).check()


def test_unknown_split_and_full_folder_are_errors(tmp_path, root, capsys):
    with pytest.raises(InputError) as error:
        variants.write_variant("five", root, tmp_path / "out", "1")
    assert error.value.where == FileLocation(root / "splits/train.split1.bundle")
    with pytest.raises(InputError) as error:
        variants.write_variant("five", root, root, "2")
    assert error.value.where == FileLocation(root)
    assert variants.main(["five", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
