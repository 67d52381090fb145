"""The folds that the recipe of `data init` is chosen on."""

from __future__ import annotations

import numpy as np

from ..scripts import load_script

folds = load_script("experiments/folds.py")


def made(root, *videos):
    """A data set of videos without rows."""
    for folder in ("features", "groundTruth", "splits"):
        (root / folder).mkdir(parents=True)
    (root / "mapping.txt").write_text("0 idle\n")
    for video in videos:
        np.save(root / f"features/{video}.npy", np.zeros((1, 1), dtype=np.float16))
    return root


def split(root, part):
    return (root / f"splits/{part}.split1.bundle").read_text().split()


def test_subject_5_takes_no_part(tmp_path):
    folds.write_kscgr(made(tmp_path / "kscgr", *(f"subj{subject}_egg" for subject in range(1, 8))), tmp_path / "out")
    assert split(tmp_path / "out/kf", "train") == ["subj4_egg", "subj6_egg", "subj7_egg"]
    assert split(tmp_path / "out/kf", "test") == ["subj1_egg", "subj2_egg", "subj3_egg"]
    assert split(tmp_path / "out/kb", "train") == ["subj1_egg", "subj3_egg", "subj4_egg", "subj6_egg"]
    assert split(tmp_path / "out/kb", "test") == ["subj2_egg", "subj7_egg"]
    assert (tmp_path / "out/kb/features/subj2_egg.npy").is_file()


def test_only_training_boxes_are_used(tmp_path):
    root = made(tmp_path / "openpack", *"abcdef")
    (root / "splits/train.split1.bundle").write_text("a\nb\nc\nd\ne\n")
    (root / "splits/test.split1.bundle").write_text("f\n")
    folds.write_openpack(root, tmp_path / "out")
    assert (split(tmp_path / "out/op1", "train"), split(tmp_path / "out/op1", "test")) == (["b", "c", "e"], ["a", "d"])
    assert (split(tmp_path / "out/op2", "train"), split(tmp_path / "out/op2", "test")) == (["a", "c", "d"], ["b", "e"])


def test_hands_are_the_same_each_time():
    rows, labels = folds.Hands(100).recorded()
    assert rows.shape == (len(labels), 15)
    assert np.array_equal(rows, folds.Hands(100).recorded()[0])
    assert not np.array_equal(rows[:100], folds.Hands(101).recorded()[0][:100])
    assert {label.split()[0] for label in labels} == {"idle", "reach", "lift", "turn", "shake", "place"}
    # an object is lifted after it was reached for
    assert all(
        labels[t - 1] == f"reach {labels[t].split()[1]}"
        for t in range(1, len(labels))
        if labels[t].startswith("lift") and labels[t - 1] != labels[t]
    )
