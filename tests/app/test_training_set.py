"""Data sets of labelled videos: nothing is lost, and no two videos share a name."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from fact_clip.cli import main
from fact_clip.config import DataConfig
from fact_clip.core.paths import whole_file
from fact_clip.datasets.layout import DataFolder
from fact_clip.inference.loading import load
from fact_clip_app.teach.learning import new_folder
from fact_clip_app.teach.training_set import TrainingSet

from ..refusals import refused

LABELS = ["stir"] * 6 + ["pour"] * 4


@pytest.fixture
def training_set(tmp_path):
    return TrainingSet(tmp_path, None)


def features(number: int, width: int = 4) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((10, width)).astype(np.float32)


def test_videos_of_one_name_are_all_there(training_set, tmp_path):
    names = [training_set.add("a video", features(number), [f"own {number}"] * 10, {}) for number in range(3)]
    training_set.finish(names[:1], names[1:])
    assert names == ["a_video", "a_video-2", "a_video-3"]
    assert (tmp_path / "mapping.txt").read_text() == "0 own 0\n1 own 1\n2 own 2\n"
    assert (tmp_path / "splits/train.split1.bundle").read_text() == "a_video-2\na_video-3\n"
    assert (tmp_path / "splits/test.split1.bundle").read_text() == "a_video\n"
    for number, name in enumerate(names):
        assert np.array_equal(np.load(tmp_path / "features" / f"{name}.npy"), features(number))
        assert (tmp_path / "groundTruth" / f"{name}.txt").read_text() == f"own {number}\n" * 10


def test_features_of_another_encoder_are_refused(training_set):
    training_set.add("take", features(1), LABELS, {"fps": 5.0})
    with refused("wide") as width:
        training_set.add("wide", features(2, 6), LABELS, {})
    with refused("fast") as rate:
        training_set.add("fast", features(2), LABELS, {"fps": 25.0})
    assert "6 columns, but the previous videos have 4" in width.message
    assert "25 rows per second, but the previous videos have 5" in rate.message


def test_clicks_are_written_as_clicks(training_set, tmp_path):
    clicked = ["?", "stir", *["?"] * 6, "pour", "?"]
    training_set.add("video", features(1), clicked, {"fps": 5.0}, is_clicked=True)
    training_set.finish([], ["video"])
    config = DataConfig(root=str(tmp_path), fps=5.0, layout="TD")
    assert [(click.frame, click.label) for click in DataFolder(config).clicks("video")] == [(1, "stir"), (8, "pour")]


def test_a_new_set_passes_its_check(training_set, tmp_path, capsys):
    training_set.add("long", np.ones((20, 4), np.float32), LABELS * 2, {"fps": 5.0})
    training_set.add("video", features(1), LABELS, {"fps": 5.0})
    training_set.finish([], ["long", "video"])
    assert main(["data", "check", str(tmp_path)]) == 0, capsys.readouterr()


def test_a_folder_gets_no_name_that_a_deleted_run_had(tmp_path):
    assert new_folder(tmp_path / "model", ["model-1"]).name == "model-2"


def test_everybody_gets_a_run_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_folder(tmp_path / "model"), range(16)))
    assert {folder.name for folder in folders} == {f"model-{number}" for number in range(1, 17)}


def test_two_writers_of_one_file_do_not_share_a_name(tmp_path):
    with whole_file(tmp_path / "a.txt") as first, whole_file(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert (tmp_path / "a.txt").read_text() == "first"  # the outer one ends last


def test_features_of_runs_with_columns_first_keep_their_facts(text_run, tmp_path):
    """Such sets had no JSON files, so that the next run knew neither rate nor encoder."""
    run = load(text_run, "cpu").run
    columns_first = replace(run, layout="DT")
    training_set = TrainingSet(tmp_path, columns_first)
    name = training_set.add("take", features(1), LABELS, {"fps": 15.0, "encoder": "mine"})
    (path,) = tmp_path.glob(f"**/{name}.json")
    assert json.loads(path.read_text())["fps"] == 15.0
