"""What is hidden leaves no trace: its labels permuted, a training gives the same run bit by bit."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import Config, merged
from fact_clip.datasets.dataset import Dataset
from fact_clip.training import evaluate, train

from ..small import TINY, ZERO_SHOT

KINDS = {
    "own": {"decode": {"choose": True}},
    "zero_shot": ZERO_SHOT,
    "closed with a hold-out": merged(ZERO_SHOT, {"model": {"head": "closed"}}),
    "interleaved": merged(ZERO_SHOT, {"data": {"interleave": True, "standardize": True, "context": [5]}}),
    "members": merged(ZERO_SHOT, {"train": {"members": 2, "member_parts": True}}),
}


def without_paths(folder: Path, root: Path) -> dict[str, str]:
    """The files of a run by a digest of their content, without what names its place or its time."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".json", ".yaml") and path.is_file():
            content = path.read_bytes().replace(str(root).encode(), b"ROOT").replace(str(folder).encode(), b"RUN")
            digests[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return digests


def relabelled(root: Path, names, change) -> None:
    for name in names:
        path = root / "groundTruth" / f"{name}.txt"
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def permuted(hidden, rng):
    """Each hidden frame shows another hidden class."""

    def change(lines):
        return [str(rng.choice(hidden)) if line in hidden else line for line in lines]

    return change


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "own"])
def test_labels_of_unseen_classes_leave_no_trace(kind, workbench, tmp_path):
    runs = []
    for copy in ("one", "other"):
        root = Path(shutil.copytree(workbench, tmp_path / copy))
        config = Config.from_tree(merged(merged(TINY, KINDS[kind]), {"data": {"root": str(root)}}), "tests")
        dataset = Dataset.open(config.data)
        if copy == "other":
            relabelled(root, dataset.learning, permuted(dataset.holdout.unseen, np.random.default_rng(0)))
        train(config, tmp_path / copy / "run")
        runs.append(without_paths(tmp_path / copy / "run", root))
    assert runs[0] == runs[1]
    assert "model.safetensors" in runs[0]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_test_videos_change_nothing_but_the_score(kind, workbench, tmp_path):
    runs, figures = [], []
    for copy in ("one", "other"):
        root = Path(shutil.copytree(workbench, tmp_path / copy))
        config = Config.from_tree(merged(merged(TINY, KINDS[kind]), {"data": {"root": str(root)}}), "tests")
        dataset = Dataset.open(config.data)
        if copy == "other":
            relabelled(root, dataset.test, lambda lines: np.random.default_rng(1).permutation(lines).tolist())
        train(config, tmp_path / copy / "run")
        runs.append(without_paths(tmp_path / copy / "run", root))
        figures.append(evaluate(tmp_path / copy / "run").details)
    assert runs[0] == runs[1]
    assert figures[0]["metrics"] != figures[1]["metrics"]
    predictions = [(tmp_path / copy / "run/predictions/test").glob("*.txt") for copy in ("one", "other")]
    for one, other in zip(*map(sorted, predictions), strict=True):
        assert one.read_text() == other.read_text()
    assert json.dumps(figures[0]["weights"]) == json.dumps(figures[1]["weights"])
