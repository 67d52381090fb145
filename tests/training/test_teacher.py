"""Self-training: what a teacher names, what a student learns, and what neither may see."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

from fact_clip.config import Config, merged
from fact_clip.core import InputError, runs
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.statistics import labelled_segments
from fact_clip.evaluation.scored_videos import ScoredVideos
from fact_clip.inference.scorer import Scorer
from fact_clip.runs.run import Run
from fact_clip.runs.seen import NO_RECORD
from fact_clip.training import evaluate, train
from fact_clip.training.plan import resolve
from fact_clip.training.teacher import _Namer, names_without_examples, teacher_config

from ..refusals import refused
from ..small import TINY, ZERO_SHOT, write_dataset
from .runs import log_of


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe of a tiny teacher."""
    path = tmp_path_factory.mktemp("recipe") / "teacher.yaml"
    path.write_text(yaml.safe_dump(merged(TINY, ZERO_SHOT)))
    return path


def student(root, recipe, **groups):
    tree = merged(TINY, {"data": {"root": str(root), "holdout": "zero_shot/A.json"}})
    tree = merged(tree, {"train": {"self_training": recipe if recipe is True else str(recipe), "epochs": 1}})
    return Config.from_tree(merged(tree, groups), "tests")


@pytest.fixture(scope="module")
def trained(workbench, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("student") / "run"
    train(student(workbench, recipe), out)
    return out


def test_each_stretch_has_one_of_the_names_without_examples(trained):
    dataset = Dataset.open(Run.read(trained / "teacher").config.data)
    without_examples = np.flatnonzero(dataset.training_counts == 0)
    assert {*dataset.hidden} <= {*without_examples}
    names = {dataset.vocabulary.names[index] for index in without_examples}
    n_stretches = 0
    for name in dataset.learning:
        labels = dataset.labels(name)
        lines = (trained / "drafts" / f"{name}.txt").read_text().splitlines()
        for start, stop, label in runs(np.minimum(labels, 0)):
            drafts = {*lines[start:stop]}
            assert len(drafts) == 1
            assert drafts <= ({"?"} if label == 0 else names)
            n_stretches += label != 0
    assert n_stretches > 5


def test_student_trains_drafts_and_scores_labels(trained):
    dataset = Dataset.open(Run.read(trained).config.data)
    name = dataset.train[0]
    labels = dataset.labels(name)
    is_hidden = np.isin(dataset.all_labels(name), dataset.hidden)
    assert is_hidden.any()
    assert (labels[is_hidden] == -1).all()  # labels are no drafts
    learned = dataset.training_labels(name)
    assert (learned[is_hidden] == dataset.drafts(name)[is_hidden]).all()
    assert (learned[~is_hidden] == labels[~is_hidden]).all()
    rows = dataset.training_labels(name, 4)
    assert np.isin(rows[is_hidden[::4]], dataset.drafts(name)[::4][is_hidden[::4]]).all()
    assert dataset.learned == tuple(range(len(dataset.vocabulary)))
    assert not (trained / "calibration.json").exists()


def test_evaluation_says_what_was_known(trained):
    details = evaluate(trained).details
    assert details["zero_shot"]["known"] == "names and unlabelled frames"
    assert "not purely zero-shot: training used the names and unlabelled frames" in details["cautions"]
    teacher = evaluate(trained / "teacher").details["zero_shot"]
    assert teacher["known"] == "nothing"


def test_evaluation_does_not_read_drafts(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "drafts")
    config = (run / "config.yaml").read_text().replace(str(trained), str(tmp_path / "gone"))
    (run / "config.yaml").write_text(config)
    evaluation = evaluate(run)
    assert evaluation.metrics == evaluate(trained).metrics
    assert evaluation.details["zero_shot"]["known"] == "names and unlabelled frames"
    assert len(evaluation.details["cautions"]) == 1


def test_a_run_folder_is_a_teacher_and_gives_the_same_student(trained, workbench, recipe, tmp_path):
    train(student(workbench, trained / "teacher"), tmp_path / "run")
    assert not (tmp_path / "run/teacher").exists()
    same = [(folder / "model.safetensors").read_bytes() for folder in (trained, tmp_path / "run")]
    assert same[0] == same[1]


def test_place_of_a_teacher_does_not_depend_on_the_current_folder(trained, workbench, monkeypatch):
    monkeypatch.chdir(trained.parent)
    plan = resolve(student(workbench, "run/teacher"))
    assert plan.config.train.self_training == str(trained / "teacher")
    assert resolve(student(workbench, "zero_shot")).config.train.self_training == "zero_shot"


def test_interrupted_after_the_teacher_goes_on_with_the_student(trained, workbench, recipe, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained / "teacher", out / "teacher")
    config = student(workbench, recipe)
    train(config, out, resume=True)
    assert (out / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_a_student_that_has_moved_goes_on(trained, workbench, recipe, tmp_path):
    moved = shutil.copytree(trained, tmp_path / "moved")
    before = (moved / "teacher/model.safetensors").read_bytes()
    config = student(workbench, recipe, train={"epochs": 2})
    train(config, moved, resume=True)
    assert (moved / "teacher/model.safetensors").read_bytes() == before
    assert Run.read(moved).config.data.drafts == str(moved / "drafts")
    assert log_of(moved)[:1] == log_of(trained)
    assert len(log_of(moved)) == 2


def test_what_starts_from_a_student_knows_what_the_student_knew(trained, workbench, tmp_path):
    tree = merged(TINY, {"data": {"root": str(workbench), "holdout": "zero_shot/A.json"}})
    tree = merged(tree, {"train": {"init": str(trained), "epochs": 1}})
    train(Config.from_tree(tree, "tests"), tmp_path / "run")
    assert evaluate(tmp_path / "run").details["zero_shot"]["known"] == "names and unlabelled frames"


def test_drafts_of_other_labels_are_written_again(trained, workbench, recipe, tmp_path):
    root = shutil.copytree(workbench, tmp_path / "data")
    out = tmp_path / "run"
    train(student(root, trained / "teacher"), out)
    before = {path.name: path.read_text() for path in (out / "drafts").iterdir()}
    for path in out.iterdir():
        if path.name != "drafts":
            path.unlink()
    name = Dataset.open(student(root, recipe).data).train[0]
    path = root / "groundTruth" / f"{name}.txt"
    path.write_text("\n".join(["?"] * 20 + path.read_text().splitlines()[20:]) + "\n")
    train(student(root, trained / "teacher"), out)
    after = {path.name: path.read_text() for path in (out / "drafts").iterdir()}
    assert after.keys() == before.keys()
    assert after[path.name] != before[path.name]
    assert "?" not in after[path.name].splitlines()[:20]


def test_teacher_that_learned_what_is_hidden_is_refused(workbench, tmp_path):
    tree = merged(TINY, {"data": {"root": str(workbench)}})
    train(Config.from_tree(tree, "tests"), tmp_path / "closed")
    with pytest.raises(InputError, match=r"^train.self_training: .* cannot be unseen"):
        train(student(workbench, tmp_path / "closed"), tmp_path / "run")


def test_a_teacher_learns_no_class_by_which_the_student_is_tuned(workbench, recipe, tmp_path):
    unseen, tuned = json.loads((workbench / "zero_shot/A.json").read_text())["unseen"][:2]
    data = {"holdout": [unseen], "validation_unseen": [tuned]}
    config = student(workbench, recipe, data=data)
    train(config, tmp_path / "run")
    seen = Run.read(tmp_path / "run/teacher").seen
    assert tuned in seen.hidden
    assert tuned not in seen.classes
    data["validation_unseen"] = None
    train(student(workbench, recipe, data=data), tmp_path / "other")
    assert tuned in Run.read(tmp_path / "other/teacher").seen.classes
    config = student(workbench, tmp_path / "other/teacher", data={**data, "validation_unseen": [tuned]})
    with pytest.raises(InputError, match=rf"^train.self_training: '{tuned}' cannot be unseen"):
        train(config, tmp_path / "again")


def test_members_of_a_teacher_may_learn_what_another_one_tunes_by(workbench, recipe, tmp_path):
    unseen, tuned = json.loads((workbench / "zero_shot/A.json").read_text())["unseen"][:2]
    data = {"holdout": [unseen], "validation_unseen": [tuned], "validation": 0.3}
    parts = {"train": {"members": 2, "member_parts": True}}
    tree = merged(merged(TINY, ZERO_SHOT), {"data": {**data, "root": str(workbench)}, **parts})
    train(Config.from_tree(tree, "tests"), tmp_path / "teacher")
    first, second = (Run.read(tmp_path / "teacher" / folder).seen for folder in ("", "members/2"))
    assert tuned not in first.classes
    assert tuned in second.classes
    train(student(workbench, tmp_path / "teacher", data=data), tmp_path / "run")
    assert "zero_shot" in evaluate(tmp_path / "run").details


def test_names_without_examples_are_held_out_of_the_teacher(workbench, recipe, tmp_path):
    root = shutil.copytree(workbench, tmp_path / "data")
    dataset = Dataset.open(student(workbench, recipe).data)
    name = dataset.unseen_names[0]
    for path in (root / "groundTruth").iterdir():
        path.write_text(path.read_text().replace(f"{name}\n", "?\n"))
    plan = resolve(student(root, recipe, data={"holdout": None}))
    assert name in teacher_config(plan).data.holdout
    train(plan, tmp_path / "run")
    drafts = "".join(path.read_text() for path in (tmp_path / "run/drafts").iterdir())
    assert name in drafts


def test_unlabelled_videos_get_all_names(workbench, recipe, tmp_path):
    root = shutil.copytree(workbench, tmp_path / "data")
    closed = tmp_path / "closed.yaml"
    closed.write_text(yaml.safe_dump(TINY))
    config = student(root, closed, data={"holdout": None}, model={"tokens": 60})
    name = Dataset.open(config.data).train[0]
    path = root / "groundTruth" / f"{name}.txt"
    path.write_text("?\n" * len(path.read_text().splitlines()))
    train(config, tmp_path / "run")
    run = Run.open(tmp_path / "run/teacher")
    dataset = Dataset.open(config.data)
    (labels,) = ScoredVideos(scorer := Scorer(run, "cpu"), dataset, [name]).decode(scorer.choose())
    lines = (tmp_path / "run/drafts" / f"{name}.txt").read_text().splitlines()
    assert lines == [dataset.vocabulary.names[label] for label in labels]


def test_nothing_to_name_is_refused(workbench, recipe, tmp_path):
    with pytest.raises(InputError, match=r"^train.self_training: all frames .* have a label"):
        train(student(workbench, recipe, data={"holdout": None}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_videos_without_a_label_are_learned_from_a_first_model(workbench, tmp_path):
    root = shutil.copytree(workbench, tmp_path / "data")
    tree = merged(TINY, {"data": {"root": str(root)}, "train": {"epochs": 2, "self_training": True}})
    every = Dataset.open(Config.from_tree(tree, "tests").data).learning
    path = root / "groundTruth" / f"{every[-1]}.txt"
    path.write_text("?\n" * len(path.read_text().splitlines()))
    labelled = [root / "groundTruth" / f"{name}.txt" for name in every[:-1]]
    names = sorted({name for file in labelled for name in file.read_text().splitlines()})
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(names)))
    tree = merged(tree, {"data": {"validation": 0.0}, "model": {"tokens": 200}})
    teacher = teacher_config(resolve(Config.from_tree(tree, "tests"))).train
    assert (teacher.epochs, teacher.lr_decay) == (3, 107)  # 4 videos, 3 with labels; 2 and 80 for the student
    plan = resolve(Config.from_tree(merged(tree, {"data": {"validation": 0.3}}), "tests"))
    dataset = plan.dataset
    assert {*dataset.learning} == {*every}
    assert len(dataset.validation) == 1
    assert {*dataset.labelled(dataset.learning)} == {*every[:-1]}  # validation has labels
    shown = root / "groundTruth" / f"{dataset.validation[0]}.txt"
    shown.write_text("\n".join(["taste soup", *shown.read_text().splitlines()[1:]]) + "\n")
    (root / "mapping.txt").write_text((root / "mapping.txt").read_text() + f"{len(names)} taste soup\n")
    plan = resolve(plan.config)
    assert plan.dataset.training_counts.tolist().index(0) == len(names)
    assert teacher_config(plan).data.holdout is None  # a name that validation alone shows is no new one
    train(plan.config, tmp_path / "run")
    labels = [plan.dataset.labels(name) for name in dataset.labelled(dataset.train)]
    n_segments = np.mean([len(labelled_segments(rows)) for rows in labels])
    assert Run.read(tmp_path / "run/teacher").mean_transcript_length == n_segments
    dataset = Dataset.open(Run.read(tmp_path / "run").config.data)
    assert dataset.labelled(dataset.train) == dataset.train
    drafts = (tmp_path / "run/drafts" / f"{every[-1]}.txt").read_text().splitlines()
    assert {*drafts} <= {*dataset.vocabulary.names}
    assert {*(tmp_path / "run/drafts" / f"{every[0]}.txt").read_text().splitlines()} == {"?"}


def test_what_a_teacher_has_seen_is_not_tested(workbench, tmp_path):
    root = shutil.copytree(workbench, tmp_path / "data")
    config = Config.from_tree(merged(TINY, {"data": {"root": str(root)}, "train": {"epochs": 1}}), "tests")
    train(config, tmp_path / "teacher")
    first, *others = Dataset.open(config.data).train
    (root / "splits/train.split1.bundle").write_text("".join(f"{name}\n" for name in others))
    path = root / "groundTruth" / f"{others[0]}.txt"
    path.write_text("?\n" * len(path.read_text().splitlines()))
    config = Config.from_tree(merged(config.model_dump(), {"data": {"validation": 0}}), "tests")
    train(config, tmp_path / "run", overrides=[f"train.self_training={tmp_path / 'teacher'}"])
    assert evaluate(tmp_path / "run").details["cautions"] == []

    test_list = root / "splits/test.split1.bundle"
    test_list.write_text(f"{first}\n{test_list.read_text()}")
    for build in (
        lambda: evaluate(tmp_path / "run"),
        lambda: train(config, tmp_path / "next", overrides=[f"train.init={tmp_path / 'run'}"]),
    ):
        with pytest.raises(InputError, match=f"trained on the .*video '{first}'"):
            build()


def test_a_teacher_learns_no_drafts_of_another_run(tmp_path):
    names = ("background", "stir")
    labels = {video: ["background"] * 20 + ["stir"] * 20 for video in ("a", "b", "d")} | {"c": ["?"] * 40}
    rng = np.random.default_rng(0)
    features = {video: rng.normal(size=(40, 4)).astype(np.float32) for video in labels}
    root = write_dataset(tmp_path / "data", names, labels, features, train=("a", "b", "c"), test=("d",))
    tree = merged(TINY, {"data": {"name": "folder", "root": str(root), "stride": 1, "validation": 0}})
    config = Config.from_tree(merged(tree, {"train": {"self_training": True}}), "tests")
    train(config, tmp_path / "run")
    for source, out in ((config, "same"), (tmp_path / "run/config.yaml", "again")):
        train(source, tmp_path / out, overrides=["train.seed=1"])
    assert Run.read(tmp_path / "again/teacher").config.data.drafts is None
    teachers = [(tmp_path / out / "teacher/model.safetensors").read_bytes() for out in ("same", "again")]
    assert teachers[0] == teachers[1]


def test_a_closed_teacher_gives_no_name_that_it_never_learned(workbench, tmp_path):
    root = shutil.copytree(workbench, tmp_path / "data")
    config = Config.from_tree(merged(TINY, {"data": {"root": str(root)}, "train": {"epochs": 1}}), "tests")
    dataset = Dataset.open(config.data)
    name = dataset.vocabulary.names[dataset.labels(dataset.train[0]).max()]
    for video in dataset.learning:
        path = root / "groundTruth" / f"{video}.txt"
        path.write_text("\n".join("?" if line == name else line for line in path.read_text().splitlines()) + "\n")
    train(config, tmp_path / "teacher")
    with refused("train.self_training"):
        train(config, tmp_path / "run", overrides=[f"train.self_training={tmp_path / 'teacher'}"])


def test_drafts_of_an_unknown_teacher_are_told(trained, workbench, recipe, tmp_path):
    drafts = shutil.copytree(trained / "drafts", tmp_path / "drafts")
    train(student(workbench, recipe, data={"drafts": str(drafts)}, train={"self_training": False}), tmp_path / "run")
    assert any(NO_RECORD in caution for caution in evaluate(tmp_path / "run").details["cautions"])


def test_actions_that_follow_each_other_without_a_label_keep_their_names(monkeypatch, workbench, recipe, tmp_path):
    """If most stretches have several names by the scores, each frame has the name that is decoded for it."""
    config = student(workbench, recipe)
    teacher = tmp_path / "teacher"
    train(teacher_config(resolve(config)), teacher)
    dataset = resolve(config).dataset
    scorer = Scorer(Run.open(teacher), "cpu")
    names = dataset.vocabulary.encode(names_without_examples(dataset))
    drafts = {}
    for n_divided in (0, 10):
        monkeypatch.setattr("fact_clip.training.teacher.count_divided", lambda videos, n=n_divided: (n, 20))
        namer = _Namer(scorer, dataset, names)
        for name in dataset.learning:
            namer.read(name)
        drafts[n_divided] = namer.drafts()
        decoded = {name: np.where(video.labels < 0, video.decoded, -1) for name, video in namer._open.items()}
    for name, labels in decoded.items():
        np.testing.assert_array_equal(drafts[10][name], labels)
    assert any((drafts[0][name] != drafts[10][name]).any() for name in decoded)
