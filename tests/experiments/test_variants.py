"""Variants of data sets with fewer labels."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from fact_clip import InputError
from fact_clip.config import DataConfig
from fact_clip.core import FileLocation
from fact_clip.datasets.dataset import Dataset

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


def test_unknown_split_and_full_folder_are_errors(tmp_path, root, capsys):
    with pytest.raises(InputError) as error:
        variants.write_variant("five", root, tmp_path / "out", "1")
    assert error.value.where == FileLocation(root / "splits/train.split1.bundle")
    with pytest.raises(InputError) as error:
        variants.write_variant("five", root, root, "2")
    assert error.value.where == FileLocation(root)
    assert variants.main(["five", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
