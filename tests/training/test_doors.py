"""What would give wrong figures is refused before anything is trained or scored."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

import fact_clip
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import DecodeSettings
from fact_clip.runs.hub import run_folder
from fact_clip.runs.run import Run
from fact_clip.training import build, evaluate, resolve, train
from fact_clip.training.sweep import _standard_deviation

from ..refusals import refused
from ..small import ZERO_SHOT


@pytest.fixture
def folder(workbench, tmp_path):
    return shutil.copytree(workbench, tmp_path / "data")


def clicked(folder, name):
    """Turn the labels of a video into a click in the middle of each segment."""
    path = folder / "groundTruth" / f"{name}.txt"
    lines = path.read_text().splitlines()
    edges = [0, *(i for i in range(1, len(lines)) if lines[i] != lines[i - 1]), len(lines)]
    middles = [(first + last) // 2 for first, last in pairwise(edges)]
    rows = ["frame,label", *(f"{frame},{lines[frame]}" for frame in middles)]
    (folder / "clicks").mkdir(exist_ok=True)
    (folder / "clicks" / f"{name}.csv").write_text("\n".join(rows) + "\n")
    path.unlink()
    return lines, middles


def test_clicked_test_videos_are_refused_and_validation_is_by_the_clicked_frames(tiny, folder, tmp_path):
    config = tiny(data={"root": str(folder)}, train={"epochs": 1})
    train(config, tmp_path / "run")
    dataset = Dataset.open(config.data)
    lines, middles = clicked(folder, dataset.validation[0])
    labels = Dataset.open(config.data).labels(dataset.validation[0])
    assert np.flatnonzero(labels >= 0).tolist() == middles
    assert dataset.vocabulary.decode(labels[middles]) == [lines[frame] for frame in middles]
    caution, _ = evaluate(tmp_path / "run", "validation", overrides=[f"data.root={folder}"]).details["cautions"]
    assert caution.startswith("only clicked frames are counted")
    clicked(folder, dataset.test[0])
    with refused(f"{dataset.test[0]}.csv"):
        evaluate(tmp_path / "run", overrides=[f"data.root={folder}"])


def test_features_of_another_encoder_are_not_scored_or_continued(tiny, folder, tmp_path):
    def sidecars(root, encoder):
        for path in (root / "features").glob("*.npy"):
            path.with_suffix(".json").write_text(json.dumps({"fps": 15.0, "encoder": encoder}))

    sidecars(folder, "timm:a")
    config = tiny(data={"root": str(folder)}, train={"epochs": 1})
    train(config, tmp_path / "run")
    other = shutil.copytree(folder, tmp_path / "other")
    sidecars(other, "timm:b")
    with refused("features"):
        evaluate(tmp_path / "run", overrides=[f"data.root={other}"])
    with refused("train.init"):
        train(config, tmp_path / "next", overrides=[f"data.root={other}", f"train.init={tmp_path / 'run'}"])


@pytest.mark.parametrize("name", ["ckpts/epoch9.net", "last.safetensors", "members/5", "typo"])
def test_a_path_inside_a_run_is_the_run_only_for_its_weights(tiny_run, name):
    assert run_folder(tiny_run / "model.safetensors") == tiny_run
    assert run_folder(tiny_run) == tiny_run
    with refused():
        Run.read(run_folder(tiny_run / name))


def test_a_transcript_and_hidden_classes_of_a_text_head_are_refused(tiny, tmp_path):
    groups = {**ZERO_SHOT, "model": {"head": "text", "transcript": True}, "loss": {"match": "seq"}}
    with refused("model.transcript"):
        train(tiny(**groups), tmp_path / "run")


def test_a_loop_of_ones_own_does_not_train_hidden_classes(tiny):
    with refused("data.holdout"):
        build(resolve(tiny(**ZERO_SHOT)))
    build(resolve(tiny()))


def test_a_held_out_number_is_that_of_the_mapping(folder, tiny):
    lines = (folder / "mapping.txt").read_text().splitlines()
    names = [line.split(" ", 1)[1] for line in lines]
    (folder / "mapping.txt").write_text("\n".join(f"{i} {n}" for i, n in enumerate(["unknown", *names])) + "\n")
    hidden = next(i for i, name in enumerate(names) if name != "no action")
    for ignored in ([], ["unknown"]):
        data = {"root": str(folder), "unlabelled": ignored, "holdout": [hidden + 1], "name": "folder"}
        data |= {"fps": 15.0, "layout": "TD", "background": ["no action"]}
        assert Dataset.open(tiny(data=data).data).holdout.unseen == (names[hidden],)


def test_groups_hold_for_the_videos_of_a_holdout(folder, tiny):
    names = sorted(path.stem for path in (folder / "groundTruth").glob("*.txt"))
    (folder / "h.json").write_text(
        json.dumps({"unseen": ["grasp gear"], "train_videos": names[1:], "test_videos": names[:1]})
    )
    data = {"root": str(folder), "holdout": "h.json", "groups": r"(person\d+)"}
    with refused("data.groups"):
        Dataset.open(tiny(data=data).data)
    (folder / "h.json").write_text(json.dumps({"unseen": ["grasp gear"], "test_videos": []}))
    assert Dataset.open(tiny(data={"root": str(folder), "holdout": "h.json"}).data).test == ()


def test_seconds_of_a_video_without_a_rate_are_refused(tiny_run, workbench, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "fps": None}))
    rows = np.load(next((workbench / "features").glob("*.npy")))
    short = DecodeSettings(shortest=2.0)
    with refused("shortest"):
        fact_clip.load(run).segment(rows, settings=short)
    found = fact_clip.load(run, fps=15).segment(rows, settings=short)
    assert found.fps == 15
    assert min(segment.duration for segment in found) >= 30


def test_a_sweep_averages_the_figures_that_all_runs_have():
    spread = _standard_deviation([{"H": 1.0, "auroc": 2.0}, {"H": 3.0}])
    assert spread == {"H": pytest.approx(2**0.5)}


def test_members_that_read_in_another_way_are_refused(tiny, tmp_path):
    train(tiny(train={"epochs": 1, "members": 2}), tmp_path / "run")
    member = tmp_path / "run/members/2/config.yaml"
    member.write_text(member.read_text().replace("stride: 4", "stride: 2"))
    with refused(tmp_path / "run/members/2"):
        fact_clip.load(tmp_path / "run")
