"""A model is never tested on a video that it, or a run that it started from, has seen, whatever its name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fact_clip.core import BACKGROUND, InputError
from fact_clip.datasets.clicks import FOLDER
from fact_clip.inference.loading import load
from fact_clip.runs.seen import features_digest
from fact_clip_app.teach.labelled_videos import LabelledVideo, _add_first_videos, labelled_videos, write_set
from fact_clip_app.teach.learning import may_have_seen
from fact_clip_app.teach.training_set import TrainingSet
from fact_clip_app.workspace.jobs import Job

from ..refusals import refused

LABELS = ((0, 5, "grasp shaft"), (5, 20, "wave"))


def lists(root):
    return [(root / f"splits/{part}.split1.bundle").read_text().split() for part in ("train", "test")]


def write(user, root, model):
    examples = labelled_videos(user.page, "main")
    return write_set(user.page, examples, root, model, lambda _: "background", (BACKGROUND,), Job("export"))


@pytest.fixture
def trained(text_run):
    """The names of videos of the workbench that the run trained on, and of others."""
    seen = load(text_run, "cpu").run.seen
    return sorted(video.name for video in seen.videos if video.role == "trained")


def add(user, workbench, name, tmp_path, new_name=None):
    rows = np.load(workbench / "features" / f"{name}.npy")
    path = tmp_path / f"{new_name or name}.npy"
    np.save(path, rows)
    user.label(user.add(path), *LABELS)


def test_a_video_of_the_run_trains_with_its_corrected_labels_under_any_name(
    opened, workbench, text_run, trained, tmp_path
):
    user = opened()()
    model = load(text_run, "cpu")
    (other, *_) = sorted({path.stem for path in (workbench / "features").glob("*.npy")} - {*names_of(model)})
    add(user, workbench, other, tmp_path)
    add(user, workbench, trained[0], tmp_path, "renamed")  # every fourth one, from the second on, tests
    tested = write(user, tmp_path / "set", model)
    train, test = lists(tmp_path / "set")
    assert test == [other]
    assert "renamed" in train
    assert trained[0] not in train  # its old labels
    assert set(trained[1:]) <= set(train)
    assert not may_have_seen(model, tested)


def names_of(model):
    return {video.name for video in model.run.seen.videos}


def test_a_run_that_has_seen_all_videos_is_not_taught(opened, workbench, text_run, trained, tmp_path):
    user = opened()()
    for name in trained[:2]:
        add(user, workbench, name, tmp_path)
    with refused("train"):
        write(user, tmp_path / "set", load(text_run, "cpu"))
    assert not (tmp_path / "set").exists()
    tested = write(user, tmp_path / "new", None)  # a new model has seen nothing
    assert may_have_seen(load(text_run, "cpu"), tested)  # the one before is not measured on them
    assert not may_have_seen(None, tested)


def test_a_run_without_a_record_may_have_seen_anything(text_run, rows, monkeypatch):
    model = load(text_run, "cpu")
    monkeypatch.setattr(type(model.run), "seen_by_all", lambda self: None)
    video = LabelledVideo(np.load(rows), np.arange(3.0), [BACKGROUND] * 2)
    assert may_have_seen(model, [video])


def test_one_video_twice_is_refused(opened, workbench, rows, tmp_path):
    user = opened(run=None)()
    for name in ("a", "b", "b"):
        source = "person2_video1" if name == "a" else rows.stem
        add(user, workbench, source, tmp_path, name)
    with refused("b"):
        write(user, tmp_path / "set", None)


def test_clicks_of_a_run_stay_clicks(opened, workbench, text_run, tmp_path):
    """One click of a class is not a video of this class."""
    user = opened()()
    model = load(text_run, "cpu")
    names = sorted(names_of(model))
    root = tmp_path / "data"
    first_set = TrainingSet(root, model.run)
    for name in names[:2]:
        array = np.load(workbench / "features" / f"{name}.npy")
        labels = ["?"] * len(array)
        labels[5], labels[50] = "grasp shaft", "no action"
        first_set.add(name, array, labels, {"fps": 15.0}, is_clicked=True)
    first_set.finish([], names[:2])
    config = model.run.config
    data = config.data.model_copy(update={"root": str(root), "split": "1", "validation": 0.0})
    object.__setattr__(model.run, "config", config.model_copy(update={"data": data}))
    add(user, workbench, names[2], tmp_path)
    object.__setattr__(model.run, "seen", None)
    add(user, workbench, names[3], tmp_path)
    write(user, tmp_path / "set", model)
    for name in names[:2]:
        assert not (tmp_path / "set/groundTruth" / f"{name}.txt").exists()
        assert (tmp_path / "set" / FOLDER / f"{name}.csv").read_text() == "frame,label\n5,grasp shaft\n50,no action\n"


def test_labels_of_videos_kept_aside_leave_no_trace_in_the_training_set(opened, workbench, tmp_path):
    """The training reads this folder alone; tests/unseen shows that it does not look at test videos."""
    names = sorted(path.stem for path in (workbench / "features").glob("*.npy"))[:4]
    user = opened(run=None)()
    for name in names:
        add(user, workbench, name, tmp_path)
    roots = [tmp_path / "one", tmp_path / "other"]
    write(user, roots[0], None)
    tested = user.page.project.videos()[1]
    user.label(tested.id, (20, 25, "wave"))
    write(user, roots[1], None)
    files = []
    for root in roots:
        assert lists(root)[1] == [names[1]]
        files.append({str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()})
    differing = [path for path in files[0] if files[0][path] != files[1][path]]
    assert differing == [f"groundTruth/{names[1]}.txt"]
    assert files[0].keys() == files[1].keys()


def test_labels_that_were_deleted_do_not_come_back_from_the_run(opened, workbench, text_run, trained, tmp_path):
    """Of a video of the project the run adds nothing: one without labels, a removed one, one without its file."""
    user = opened()()
    model = load(text_run, "cpu")
    (other, *_) = sorted({path.stem for path in (workbench / "features").glob("*.npy")} - {*names_of(model)})
    for name in (other, *trained[:3]):
        add(user, workbench, name, tmp_path)
    videos = user.page.project.videos()
    user.label(videos[2].id)
    user.ask("DELETE", f"/api/videos/{videos[3].id}")
    removed = user.page.project.videos(removed=True)[0]
    write(user, tmp_path / "set", model)
    train, test = lists(tmp_path / "set")
    assert {*train, *test} == {other, *trained} - {*trained[1:3]}
    removed.features.unlink()
    write(user, tmp_path / "second", model)
    train, test = lists(tmp_path / "second")
    assert {*train, *test} == {other, *trained} - {trained[1]}


def test_a_training_without_the_videos_of_the_run_says_so(opened, workbench, text_run, trained, tmp_path, monkeypatch):
    user = opened()()
    for name in trained[:1]:
        add(user, workbench, name, tmp_path)
    (other, *_) = sorted({path.stem for path in (workbench / "features").glob("*.npy")} - {*names_of(load(text_run))})
    add(user, workbench, other, tmp_path)

    def no_data(config):
        raise InputError("data.root", "gone")

    def copied(command, job, out=None, epochs=0, note=""):
        if command[1] == "train":
            shutil.copytree(text_run, out, dirs_exist_ok=True)
        else:
            Path(command[command.index("--out") + 1]).write_text("{}")

    monkeypatch.setattr("fact_clip_app.teach.labelled_videos.Dataset.open", no_data)
    monkeypatch.setattr("fact_clip_app.teach.learning.run_command", copied)
    answers = {video.id: "background" for video in user.page.project.videos()}
    user.ask("POST", "/api/train", json={"teach": True, "unlabelled": answers})
    training = user.settle()["training"]
    assert training["state"] == "done", training["error"]
    assert "are not there; what it learns now may replace the old" in training["note"]


def test_a_video_of_the_project_is_known_though_its_labels_are_a_row_shorter(text_run, workbench, tmp_path):
    """The features that a data set returns are cut to its labels; those of the project are whole."""
    root = tmp_path / "data"
    shutil.copytree(workbench, root)
    for path in (root / "groundTruth").glob("*.txt"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    run = load(text_run, "cpu").run
    data = run.config.data.model_copy(update={"root": str(root)})
    run = replace(run, config=run.config.model_copy(update={"data": data}))
    whole = {features_digest(np.load(path)) for path in (root / "features").glob("*.npy")}
    assert _add_first_videos(TrainingSet(tmp_path / "other", run), run, set())
    assert _add_first_videos(TrainingSet(tmp_path / "set", run), run, whole) == []
