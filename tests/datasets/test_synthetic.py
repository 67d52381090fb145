"""The workbench: its files, what they hold, and its films."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.core import Vocabulary, runs
from fact_clip.datasets.benchmarks import BENCHMARKS
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.synthetic import FACTORS, WORKBENCH, draw_actions, write_workbench
from fact_clip.unseen.choice import lost_factors


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    root = tmp_path_factory.mktemp("workbench")
    start = time.perf_counter()
    write_workbench(root)
    assert time.perf_counter() - start < 3
    return Dataset.open(DataConfig(name="workbench", root=str(root), validation=0.0))


def test_layout_and_sizes(dataset):
    dataset.check()
    assert Dataset.splits(dataset.config) == ["1", "2", "3"]
    assert (len(dataset.train), len(dataset.test)) == (16, 8)
    assert (dataset.fps, dataset.layout, dataset.input_dim) == (15.0, "TD", 64)
    assert dataset.features(dataset.train[0]).dtype == np.float16
    assert len(dataset.vocabulary) == 23
    assert dataset.vocabulary.background == ("no action",)
    lengths = [len(dataset.labels(name)) for name in dataset.train + dataset.test]
    assert min(lengths) > 300
    assert max(lengths) < 1100
    for names in (dataset.train, dataset.test):
        assert dataset.class_counts(names).min() > 0


def test_persons_stay_on_one_side_and_every_video_is_tested_once(dataset):
    tested = []
    for split in (1, 2, 3):
        part = Dataset.open(dataset.config.model_copy(update={"split": split}))
        persons = [{name.split("_")[0] for name in names} for names in (part.train, part.test)]
        assert not persons[0] & persons[1]
        tested += part.test
    assert sorted(tested) == sorted(dataset.train + dataset.test)


def test_names_and_factors():
    assert all(BENCHMARKS["kscgr"].factors(name) == factors for name, factors in FACTORS.items())
    benchmark = BENCHMARKS["workbench"]
    vocabulary = Vocabulary.from_names(FACTORS, benchmark.background, benchmark.factors, benchmark.slots)
    assert vocabulary.slots == ("verb", "object", "tool")
    assert "screw hex screw with hex screwdriver" in vocabulary
    both = (*WORKBENCH["unseen"], *WORKBENCH["validation_unseen"])
    assert len(WORKBENCH["unseen"]) == 3
    assert len(set(both)) == 5
    assert lost_factors(vocabulary, both) == dict.fromkeys(both, ())


def test_hold_out_file(dataset):
    setting = json.loads((dataset.root / "zero_shot" / "A.json").read_text())
    assert setting["unseen"] == WORKBENCH["unseen"]
    assert setting["validation_unseen"] == WORKBENCH["validation_unseen"]
    assert (tuple(setting["train_videos"]), tuple(setting["test_videos"])) == (dataset.train, dataset.test)


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_determined_by_the_seed(tmp_path):
    one, again, other = (
        files_of(write_workbench(tmp_path / name, videos=3, seed=seed)) for name, seed in (("1", 1), ("2", 1), ("3", 2))
    )
    assert one == again
    assert one["mapping.txt"] == other["mapping.txt"]
    assert one["features/person1_video1.npy"] != other["features/person1_video1.npy"]
    # fewer videos are the first of more
    more = files_of(write_workbench(tmp_path / "4", videos=5, seed=1))
    assert more["features/person3_video1.npy"] == one["features/person3_video1.npy"]


def test_other_sizes(tmp_path):
    root = write_workbench(tmp_path, videos=2, dim=16, fps=10.0)
    dataset = Dataset.open(DataConfig(name="workbench", root=str(root), fps=10.0, validation=0.0))
    dataset.check()
    assert (dataset.train, dataset.test) == (("person2_video1",), ("person1_video1",))
    assert dataset.input_dim == 16
    assert min(stop - start for start, stop, _ in runs(dataset.labels("person1_video1"))) >= 10


def test_pictures_show_the_action():
    labels = ["no action"] * 3 + ["tap shaft with mallet"] * 6 + ["grasp gear"] * 4
    pictures = list(draw_actions(labels, 15.0, 1))
    assert [picture.shape for picture in pictures] == [(120, 160, 3)] * 13
    assert pictures[0].dtype == np.uint8

    def has(picture, colour):
        return bool((picture[30:] == colour).all(axis=2).any())  # below the boxes of parts

    shaft, mallet, gear = (200, 60, 50), (95, 60, 30), (60, 160, 75)
    for picture, name in zip(pictures, labels, strict=True):
        assert (has(picture, shaft), has(picture, mallet), has(picture, gear)) == (
            "shaft" in name, "mallet" in name, "gear" in name,
        )  # fmt: skip
    again = list(draw_actions(labels, 15.0, 1))
    assert all((one == other).all() for one, other in zip(pictures, again, strict=True))
