"""The synthetic joint space."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.core import Vocabulary
from fact_clip.encoders import text_encoder
from fact_clip.encoders.vectors import embed

from ..scripts import load_script

joint = load_script("experiments/joint.py")


def shown(root, name):
    """The first frame of the data set with a label."""
    for path in sorted((root / "groundTruth").glob("*.txt")):
        labels = path.read_text().splitlines()
        if name in labels:
            return np.load(root / "features" / f"{path.stem}.npy")[labels.index(name)].astype(np.float64)
    raise AssertionError(name)


@pytest.mark.parametrize("rotated", [False, True])
def test_frames_are_objects_and_actions_in_the_space_of_texts(rotated, tmp_path):
    bare = {"gap": 0.0, "nuisance": 1e-4, "encoder": "hash:32"}
    root = joint.write_joint_space(tmp_path, joint.JointSpace(0.0, rotated, **bare), videos=6)
    names = ["grasp shaft", "grasp gear"]
    texts = embed(text_encoder("hash:32"), Vocabulary.from_names([*names, "shaft", "gear"])).classes.astype(np.float64)
    expected = [part + 0.6 * whole for whole, part in zip(texts[:2], texts[2:], strict=True)]
    expected = [row / np.linalg.norm(row) for row in expected]
    found = [shown(root, name) for name in names]
    assert [np.linalg.norm(row) for row in found] == pytest.approx([1, 1], abs=1e-3)
    assert found[0] @ found[1] == pytest.approx(expected[0] @ expected[1], abs=2e-3)
    assert np.allclose(found, expected, atol=2e-3) == (not rotated)


def test_the_gap_is_in_all_frames_and_a_vector_in_those_of_a_video(tmp_path):
    space = joint.JointSpace(0.0, True, gap=3.0, nuisance=1.0, encoder="hash:32")
    root = joint.write_joint_space(tmp_path, space, videos=6)
    idle = []
    for path in sorted((root / "groundTruth").glob("*.txt")):
        labels = np.array(path.read_text().splitlines())
        own = np.load(root / "features" / f"{path.stem}.npy")[labels == "no action"].astype(np.float64)
        np.testing.assert_allclose(own, np.broadcast_to(own[0], own.shape), atol=1e-3)  # g + v, scaled
        idle.append(own[0])
    between = np.stack(idle) @ np.stack(idle).T
    assert 0.8 < between[~np.eye(6, dtype=bool)].mean() < 0.97  # 9 / (9 + 1), up to the chance of the draw


def test_the_table_has_means_and_deviations():
    base = {"space": "given", "noise": 2.0, "U": 1.0, "H": 2.0, "unseen labels only": 3.0, "edit": 4.0}
    rows = [{**base, "seed": seed, "method": "text head", "S": value} for seed, value in ((0, 40.0), (1, 50.0))]
    last = joint.table(rows).splitlines()[-1]
    assert last == "| given | 2 | text head | 45.0 ± 5.0 | 1.0 ± 0.0 | 2.0 ± 0.0 | 3.0 ± 0.0 |  | 4.0 ± 0.0 |"
    assert joint.summary([*rows, {**rows[0], "noise": 8.0, "method": "similarity"}], "S").splitlines() == [
        "| S | R given, noise 2 | R given, noise 8 |",
        "|---|---|---|",
        "| text head | 45.0 ± 5.0 |  |",
        "| similarity |  | 40.0 ± 0.0 |",
    ]
