"""Features are read when their turn comes, and what is kept of them is bounded."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import Config, merged
from fact_clip.datasets import features, from_arrays
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.memory import with_data
from fact_clip.training import evaluate, train, trainer

from ..launch import begin
from ..refusals import refused
from ..small import TINY, write_dataset


@pytest.fixture
def events(monkeypatch) -> list[object]:
    """Names of videos whose values are looked through, "transformed" a pass over one, and ("step", names)."""
    seen: list[object] = []
    check, blocks, step = features.check_finite, FeatureTransform.blocks, trainer.Trainer._step
    monkeypatch.setattr(
        features, "check_finite", lambda path, rows: (seen.append(Path(str(path)).stem), check(path, rows))[1]
    )
    monkeypatch.setattr(
        FeatureTransform, "blocks", lambda self, rows, *at: (seen.append("transformed"), blocks(self, rows, *at))[1]
    )
    monkeypatch.setattr(
        trainer.Trainer,
        "_step",
        lambda self, batch, truth: (seen.append(("step", *batch.names)), step(self, batch, truth))[1],
    )
    return seen


def test_videos_are_read_once_and_no_earlier_than_needed(tiny, tmp_path, events):
    """One at a step of the first epoch, then the validation video, which also tells of confidences at the end."""
    config = tiny(data={"context": [5]}, train={"epochs": 2, "batch_size": 1})
    train(config, tmp_path / "run")
    dataset = Dataset.open(config.data)
    steps = [event[1] for event in events if isinstance(event, tuple)]
    assert set(steps) == set(dataset.train)
    assert len(steps) == 2 * len(dataset.train)
    (held,) = dataset.validation
    first = [event for name in steps[: len(dataset.train)] for event in (name, "transformed", ("step", name))]
    later = [("step", name) for name in steps[len(dataset.train) :]]
    assert events == [*first, held, "transformed", *later, "transformed", "transformed"]


def test_statistics_take_one_pass_before(tiny, tmp_path, events):
    config = tiny(data={"standardize": True}, train={"epochs": 1, "batch_size": 1})
    train(config, tmp_path / "run")
    names = Dataset.open(config.data).train
    before = events[: next(place for place, event in enumerate(events) if isinstance(event, tuple))]
    assert before == [event for name in names for event in (name, "transformed")] + ["transformed"]


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_value_that_is_not_finite_is_told_with_its_frame(tiny, workbench, tmp_path, part):
    copy = Path(shutil.copytree(workbench, tmp_path / "data"))
    config = tiny(data={"root": str(copy)}, train={"epochs": 1})
    path = copy / "features" / f"{getattr(Dataset.open(config.data), part)[0]}.npy"
    rows = np.load(path)
    rows[31, 2] = np.nan
    np.save(path, rows)
    with refused(path):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


# Two videos, then forty: 8 MB each on disk and as many in memory, of which the cache may keep 16 MB in all.
SCRIPT = """
import json, resource, sys
from fact_clip.config import Config, merged
from fact_clip.datasets import reader
from fact_clip.training import train
reader.CACHE_BYTES = 16 << 20
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
tree, root = json.loads(sys.argv[1]), sys.argv[2]
peaks = []
for split in (1, 2):
    tree["data"]["split"] = split
    train(Config.from_tree(tree, "test"), f"{root}/run{split}")
    peaks.append(peak())
print(json.dumps(peaks))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_many_videos_train_in_little_memory(tiny, tmp_path):
    """320 MB of features add less than 100 MB to the peak of a training on 16 MB of them."""
    actions, names = ([f"action {index}" for index in range(8)], [f"v{number}" for number in range(41)])
    labels = [actions[frame // 128] for frame in range(1024)]
    root = write_dataset(tmp_path / "data", actions, dict.fromkeys(names, labels))
    for name in names:
        # a file with a hole for its zeros: nothing is written, all of it can be read
        rows = np.lib.format.open_memmap(
            root / "features" / f"{name}.npy", mode="w+", dtype=np.float32, shape=(1024, 2048)
        )
        rows[0] = 1
        rows.flush()
    for split, count in ((1, 2), (2, 40)):
        (root / f"splits/train.split{split}.bundle").write_text("\n".join(names[:count]))
        (root / f"splits/test.split{split}.bundle").write_text(names[40])
    config = tiny(data={"name": "folder", "root": str(root), "stride": 1, "validation": 0.0}, train={"epochs": 1})
    out, err = tmp_path / "out", tmp_path / "err"
    process = begin("-c", SCRIPT, config.model_dump_json(), tmp_path, out=out, err=err)
    process.join(300)
    assert process.exitcode == 0, err.read_text()
    few, many = json.loads(out.read_text())
    assert many - few < 100


def test_numbers_of_a_published_background_are_not_those_of_names_in_memory():
    source = from_arrays({"v": np.zeros((4, 2))}, {"v": ["stir", "stir", "add milk", "wash cup"]})
    with refused("data.background"):
        with_data(Config.load("egoprocel", []), source)
    config = Config.load("egoprocel", ["data.background=[]"])
    assert with_data(config, source).data.background == ()
    marked = from_arrays({"v": np.zeros((4, 2))}, {"v": ["action_start", "cut", "cut", "action_end"]})
    assert with_data(Config.load("50salads", []), marked).data.background == ("action_start", "action_end")


def test_data_in_memory_have_the_background_of_the_run(tmp_path):
    """Egoprocel has it by its number in the mapping of the files."""
    names = ["z idle", "cut", "stir"]
    labels = {f"v{number}": ["z idle"] * 10 + ["cut"] * 20 + ["z idle"] * 10 + ["stir"] * 20 for number in range(3)}
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(60, 3)).astype(np.float32) for name in labels}
    root = write_dataset(tmp_path / "data", names, labels, features, train=["v0", "v1"], test=["v2"])
    data = {"name": "egoprocel", "root": str(root), "layout": "TD", "validation": 0.0}
    groups = {"data": data, "train": {"epochs": 1}, "evaluation": {"count_background": False}}
    train(Config.from_tree(merged(TINY, groups), "tests"), tmp_path / "run")
    expected = evaluate(tmp_path / "run")
    assert expected.details["background_counted"] is False
    arguments = {"train": ["v0", "v1"], "test": ["v2"], "class_names": names}
    same = evaluate(tmp_path / "run", data=from_arrays(features, labels, **arguments))
    assert same.details == expected.details
    before = (tmp_path / "run/evaluation.json").read_bytes()
    other = evaluate(tmp_path / "run", data=from_arrays(features, labels, **arguments, background=["cut"]))
    assert "evaluation.json is unchanged" in other.details["cautions"][0]
    assert (tmp_path / "run/evaluation.json").read_bytes() == before


def test_other_test_videos_of_the_same_names_are_not_those_of_the_run(tmp_path):
    rng = np.random.default_rng(0)
    labels = {f"v{number}": ["cut"] * 30 + ["stir"] * 30 for number in range(3)}
    features = {name: rng.normal(size=(60, 3)).astype(np.float32) for name in labels}
    arguments = {"train": ["v0", "v1"], "test": ["v2"], "fps": 5}
    own = from_arrays(features, labels, **arguments)
    config = Config.from_tree(merged(TINY, {"train": {"epochs": 1}, "data": {"validation": 0.0}}), "tests")
    train(config, tmp_path / "run", data=own)
    other = from_arrays({**features, "v2": features["v2"] + 1}, labels, **arguments)
    (caution,) = evaluate(tmp_path / "run", data=other).details["cautions"]
    assert "evaluation.json is unchanged" in caution
    assert not (tmp_path / "run/evaluation.json").exists()
    assert evaluate(tmp_path / "run", data=own).details["cautions"] == []
    assert (tmp_path / "run/evaluation.json").is_file()
