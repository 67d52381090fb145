"""What is hidden leaves no trace: its labels permuted, a training gives the same run bit by bit."""

from __future__ import annotations

import hashlib
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from fact_clip.config import Config, merged, with_values
from fact_clip.core import majority_stride
from fact_clip.datasets.dataset import Dataset
from fact_clip.training import evaluate, sweep, train

from ..small import TINY, ZERO_SHOT

KINDS = {
    "own": {"decode": {"choose": True}},
    "transcript": {"model": {"transcript": True}, "loss": {"match": "seq"}},
    "clicks": {"train": {"epochs": 5}},
    "zero_shot": merged(ZERO_SHOT, {"model": {"tokens": 90}}),
    "closed with a hold-out": merged(ZERO_SHOT, {"model": {"head": "closed"}}),
    "interleaved": merged(ZERO_SHOT, {"data": {"interleave": True, "standardize": True, "context": [5]}}),
    "auto": merged(ZERO_SHOT, {"data": {"validation_unseen": "auto", "validation": 0.25}}),
    "members": merged(ZERO_SHOT, {"train": {"members": 2, "member_parts": True}, "data": {"validation": 0.25}}),
    "clicks with a hold-out": merged(ZERO_SHOT, {"train": {"epochs": 5}}),
    "self-training": merged(TINY, {"data": {"holdout": "zero_shot/A.json"}, "train": {"epochs": 1}}),
    "sweep": merged(ZERO_SHOT, {"data": {"stride": 16}, "decode": {"order": 1.0, "durations": 1.0}}),
}
WITH_HOLDOUT = [name for name, groups in KINDS.items() if "holdout" in groups.get("data", {})]


def files_of(folder: Path, root: Path) -> dict[str, str]:
    """The files of a run by a digest of their content, without what names their place."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        is_of_a_run = path.suffix in (".safetensors", ".json", ".yaml") and not path.name.startswith("evaluation")
        if is_of_a_run and path.is_file():
            content = path.read_bytes().replace(str(folder).encode(), b"RUN").replace(str(root).encode(), b"ROOT")
            digests[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return digests


def relabelled(root: Path, names, change) -> None:
    for name in names:
        path = root / "groundTruth" / f"{name}.txt"
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def clicked(root: Path, names) -> None:
    (root / "clicks").mkdir()
    for name in names:
        path = root / "groundTruth" / f"{name}.txt"
        lines = path.read_text().splitlines()
        edges = [0, *(frame for frame in range(1, len(lines)) if lines[frame] != lines[frame - 1]), len(lines)]
        rows = [f"{(first + last) // 2},{lines[first]}" for first, last in pairwise(edges)]
        (root / "clicks" / f"{name}.csv").write_text("\n".join(["frame,label", *rows]) + "\n")
        path.unlink()


def train_kind(kind: str, root: Path, out: Path) -> dict[str, str]:
    config = Config.from_tree(merged(merged(TINY, KINDS[kind]), {"data": {"root": str(root)}}), "tests")
    if kind == "self-training":
        teacher = root / "teacher.yaml"
        teacher.write_text(yaml.safe_dump(merged(TINY, ZERO_SHOT)))
        config = with_values(config, {"train.self_training": str(teacher)})
    if kind == "sweep":
        sweep(config, out, {"train.seed": [0, 1]})
    else:
        train(config, out)
    return files_of(out, root)


def trained_twice(kind: str, workbench: Path, folder: Path, change_copy) -> list[dict[str, str]]:
    """The files of a run, and of the run on a copy of its data whose labels were changed."""
    runs = []
    for copy in ("one", "other"):
        root = Path(shutil.copytree(workbench, folder / copy))
        config = Config.from_tree(merged(merged(TINY, KINDS[kind]), {"data": {"root": str(root)}}), "tests")
        dataset = Dataset.open(config.data)
        if copy == "other":
            change_copy(root, dataset)
        if kind.startswith("clicks"):
            clicked(root, dataset.train)
        runs.append(train_kind(kind, root, folder / copy / "run"))
    return runs


def permute_unseen(root: Path, dataset: Dataset) -> None:
    """Let each unseen frame of the learning videos show another unseen class."""
    rng = np.random.default_rng(0)
    unseen = dataset.holdout.unseen

    def change(lines):
        return [str(rng.choice(unseen)) if line in unseen else line for line in lines]

    relabelled(root, dataset.learning, change)


def exchange_unseen(root: Path, dataset: Dataset) -> None:
    """Exchange the names of unseen classes; segments stay, and so do the frames of clicks."""
    unseen = dataset.holdout.unseen
    other = dict(zip(unseen, [*unseen[1:], unseen[0]], strict=True))
    relabelled(root, dataset.learning, lambda lines: [other.get(line, line) for line in lines])


def permute_tested(root: Path, dataset: Dataset) -> None:
    rng = np.random.default_rng(1)
    relabelled(root, dataset.test, lambda lines: rng.permutation(lines).tolist())


@pytest.mark.parametrize("kind", WITH_HOLDOUT)
def test_labels_of_unseen_classes_leave_no_trace(kind, workbench, tmp_path):
    change = exchange_unseen if kind.startswith("clicks") else permute_unseen
    one, other = trained_twice(kind, workbench, tmp_path, change)
    assert one == other
    assert any(name.endswith("model.safetensors") for name in one)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_test_videos_change_nothing_but_the_score(kind, workbench, tmp_path):
    one, other = trained_twice(kind, workbench, tmp_path, permute_tested)
    if kind == "sweep":  # its table has the scores
        one, other = ({name: value for name, value in run.items() if "/" in name} for run in (one, other))
    assert one == other
    if kind in ("sweep", "transcript"):
        return
    figures = [evaluate(tmp_path / copy / "run").details for copy in ("one", "other")]
    assert figures[0]["metrics"] != figures[1]["metrics"]
    assert figures[0]["weights"] == figures[1]["weights"]
    predictions = [(tmp_path / copy / "run/predictions/test").glob("*.txt") for copy in ("one", "other")]
    for path, same in zip(*map(sorted, predictions), strict=True):
        assert path.read_text() == same.read_text()


def test_an_estimator_of_scikit_learn_does_not_see_hidden_labels(workbench, tmp_path):
    sklearn = pytest.importorskip("fact_clip.integrations.sklearn")
    config = Config.from_tree(merged(TINY, {"data": {"root": str(workbench), "holdout": "zero_shot/A.json"}}), "tests")
    weights = []
    for copy in ("one", "other"):
        root = Path(shutil.copytree(workbench, tmp_path / copy))
        dataset = Dataset.open(with_values(config, {"data.root": str(root)}).data)
        if copy == "other":
            permute_unseen(root, dataset)
            dataset = Dataset.open(dataset.config)
        features = [dataset.features(name) for name in dataset.learning]
        labels = [dataset.vocabulary.decode(dataset.all_labels(name)) for name in dataset.learning]
        recipe = root / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(merged(TINY, ZERO_SHOT) | {"data": {"stride": 4}}))
        hidden = f"data.holdout={list(dataset.holdout.unseen)}"
        sklearn.FactSegmenter(str(recipe), settings=[hidden], out=root / "run").fit(features, labels)
        weights.append((root / "run/model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def plant_in_statistics(patch):
    """Costs of changes and lengths of segments are learned from all labels."""
    from fact_clip.training import description

    new_run = description._new_run

    def leaky(plan, out, world):
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Dataset, "training_labels", Dataset.all_labels)
            return new_run(plan, out, world)

    patch.setattr(description, "_new_run", leaky)


def plant_in_validation(patch):
    """Validation videos keep the labels of test-unseen classes."""
    patch.setattr(Dataset, "_hidden_in", lambda self, name: () if name in self.validation else self.hidden)


def plant_in_rows(patch):
    """The majority of a stride is taken among hidden classes one by one."""

    def rows(self, name, stride=1):
        labels = self.all_labels(name)
        majority = majority_stride(labels, stride)
        is_hidden = np.isin(majority, self.hidden) | np.isin(labels[::stride], self.hidden)
        return np.where(is_hidden, -1, majority)

    patch.setattr(Dataset, "training_labels", rows)


@pytest.mark.parametrize("plant", [plant_in_statistics, plant_in_validation, plant_in_rows])
def test_a_planted_leak_leaves_a_trace(plant, workbench, tmp_path, monkeypatch):
    plant(monkeypatch)
    one, other = trained_twice("zero_shot", workbench, tmp_path, permute_unseen)
    assert one != other


@pytest.mark.slow
def test_kscgr_zero_shot_leaves_no_trace(kscgr, tmp_path):
    runs = []
    for copy in ("one", "other"):
        root = tmp_path / copy / "data"
        shutil.copytree(kscgr, root)
        settings = [f"data.root={root}", "data.holdout=zero_shot/A.json", "train.members=1", "train.epochs=1"]
        config = Config.load("kscgr_zero_shot", [*settings, "train.device=cpu"])
        if copy == "other":
            dataset = Dataset.open(config.data)
            permute_unseen(root, dataset)
            permute_tested(root, dataset)
        train(config, tmp_path / copy / "run")
        runs.append(files_of(tmp_path / copy / "run", root))
    assert runs[0] == runs[1]
