"""Background is a property of the project: whatever a model calls it, figures and files agree."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from fact_clip import cli
from fact_clip.core import BACKGROUND, NONE_OF_THESE, Vocabulary
from fact_clip.formats import FORMATS
from fact_clip.inference.loading import load
from fact_clip_app.commands.app import _add_actions
from fact_clip_app.store.project import Project
from fact_clip_app.teach import learning
from fact_clip_app.teach.labelled_videos import export_set, labelled_videos, write_set
from fact_clip_app.teach.learning import continue_command, measure
from fact_clip_app.workspace.jobs import Job

from ..refusals import refused
from .test_editing import main

OWN = "no action"  # the name of the models of these tests


def drafts(user, video):
    return user.ask("GET", f"/api/videos/{video}")["drafts"]


def test_drafts_of_any_model_have_the_background_of_the_project(user, rows):
    video = user.add(rows)
    assert BACKGROUND in {draft["label"] for draft in drafts(user, video)}
    assert OWN not in {draft["label"] for draft in drafts(user, video)}
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["rest"], "background": True})
    shown = user.ask("GET", f"/api/videos/{video}")
    assert shown["background"] == ["rest", BACKGROUND]
    assert "rest" in {draft["label"] for draft in shown["drafts"]}
    assert not {OWN, BACKGROUND} & {draft["label"] for draft in shown["drafts"]}


@pytest.mark.parametrize("is_marked", [True, False])
def test_figures_and_files_leave_out_what_the_project_calls_background(opened, rows, tmp_path, is_marked):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (0, 10, "stir"), (10, 20, OWN), (20, 30, "pour"))
    user.ask("POST", "/api/actions", json={"do": "change", "name": OWN, "background": is_marked})
    summary = user.ask("GET", "/api/summary")
    assert (OWN in {row["label"] for row in summary["time"]}) is not is_marked
    assert ({"from": "stir", "to": "pour", "count": 1} in summary["transitions"]) is is_marked
    content = user.client.get(f"/api/videos/{video}/export", params={"format": "csv"}).text
    assert (f",{OWN},,?,866,yes" in content) is is_marked
    state = user.ask("GET", "/api/state")
    assert state["videos"][0]["labels"] == (2 if is_marked else 3)


def test_a_training_set_has_one_background(opened, rows, workbench, tmp_path, text_run):
    user = opened(run=None)()
    for path in (rows, workbench / "features" / "person2_video1.npy"):
        user.label(user.add(path, fps=15), (0, 10, "stir"), (10, 20, OWN))
    user.ask("POST", "/api/actions", json={"do": "change", "name": OWN, "background": True})
    export_set(user.page, "main", tmp_path / "new", "background")
    n_rows = len(np.load(rows))
    labels = (tmp_path / "new/groundTruth/person1_video1.txt").read_text().splitlines()
    assert labels == ["stir"] * 10 + [BACKGROUND] * (n_rows - 10)  # which `data init` knows
    user.ask("POST", "/api/actions", json={"do": "change", "name": OWN, "to": "rest"})
    videos = labelled_videos(user.page, "main")
    model = load(text_run, "cpu")
    background = user.page.project.background
    tested = write_set(user.page, videos, tmp_path / "taught", model, lambda _: "background", background, Job("export"))
    labels = (tmp_path / "taught/groundTruth/person1_video1.txt").read_text().splitlines()
    assert labels == ["stir"] * 10 + [OWN] * (n_rows - 10)  # as the run that is taught calls it
    assert set(tested[0].labels) == {"stir", BACKGROUND}


def test_a_class_that_a_model_takes_for_background_stays_an_action(opened, rows, text_run):
    user = opened()()
    video = user.add(rows)
    user.act("stir", OWN)
    assert OWN in {draft["label"] for draft in drafts(user, video)}
    assert user.ask("GET", "/api/state")["background"] == [BACKGROUND]


def test_labels_of_the_background_of_a_model_are_loaded_and_counted(user, rows, tmp_path):
    video = user.add(rows)
    path = tmp_path / "take.csv"
    path.write_text(f"start,stop,label\n0,1,{OWN}\n1,2,grasp bolt\n2,3,{OWN}\n")
    body = {"file": user.upload(path), "track": main_track(user, video)}
    answer = user.ask("POST", f"/api/videos/{video}/labels", json=body)
    assert answer["imported"] == {"main": 3}
    marked = {action["name"]: action["background"] for action in user.ask("GET", "/api/state")["actions"]}
    assert marked == {OWN: True, "grasp bolt": False}
    assert len(main(answer)) == 3


def main_track(user, video):
    return user.ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]


def test_the_classes_of_a_run_bring_its_background(tmp_path, text_run):
    project = Project(tmp_path / "p")
    _add_actions(project, None, text_run, load(text_run, "cpu"))
    assert project.background == (OWN, BACKGROUND)
    assert [action.name for action in project.actions() if action.background] == [OWN]
    assert project.actions()[-1].name == OWN  # actions get the first keys
    project.close()


def test_models_are_measured_with_the_classes_of_the_project(tiny_run, rows, monkeypatch):
    """One without training knows no others, so that the answers must not be its candidates."""
    from fact_clip_app.teach.labelled_videos import LabelledVideo

    model = load(tiny_run, "cpu")
    candidates = []

    def segment(_features, actions):
        candidates.append(actions)
        return prediction

    prediction = model.segment(rows)
    monkeypatch.setattr(model, "segment", segment)
    n_rows = prediction.n_frames
    videos = [LabelledVideo(np.load(rows), np.arange(n_rows + 1) / 15, [name] * n_rows) for name in ("cut", BACKGROUND)]
    measure(model, videos, ("stir", "cut", "pour"))
    assert candidates == [("stir", "cut", "pour")] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_model_that_is_trained_on_the_page_has_the_background_of_the_project(opened, workbench):
    """Its name is told to the training, which would guess another one."""
    user = opened(run=None)()
    for name in ("person1_video1", "person2_video1", "person3_video1"):
        video = user.add(workbench / "features" / f"{name}.npy")
        user.label(video, (0, 100, "stir"), (100, 200, "idle"), (200, 300, 'a "rest", long'))
        user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    user.ask("POST", "/api/actions", json={"do": "change", "name": 'a "rest", long', "background": True})
    user.ask("POST", "/api/train", json={"minutes": 0.02})
    state = user.settle()
    assert state["training"]["state"] == "done", state["training"]
    run = load(user.page.project.runs()["model-1"][0], "cpu").run
    assert run.vocabulary.background == ('a "rest", long',)
    assert not run.config.evaluation.count_background


@pytest.mark.parametrize(("values", "is_background"), [({}, True), ({"background": False}, False)])
def test_a_typed_class_that_the_model_calls_background_is_that(user, values, is_background):
    body = {"do": "add", "names": ["stir", OWN] if not values else [OWN], **values}
    action = user.ask("POST", "/api/actions", json=body)["actions"][-1]
    assert (action["name"], action["background"]) == (OWN, is_background)


def test_a_class_of_an_imported_file_that_the_model_calls_background_is_that(rows, text_run, tmp_path):
    folder = tmp_path / "p"
    with closing(Project(folder)) as project:
        project.set("model", project.add_run(text_run, "main", {}))
    path = tmp_path / f"{rows.stem}.csv"
    path.write_text(f"start,stop,label\n0,1,stir\n1,2,{OWN}\n")
    assert cli.main(["project", "import", str(folder), str(rows), str(path)]) == 0
    with closing(Project(folder)) as project:
        assert [(action.name, action.background) for action in project.actions()] == [("stir", False), (OWN, True)]


def test_an_action_that_a_run_calls_background_is_refused_in_its_training(user, workbench, tmp_path):
    user.act("stir", OWN)
    with refused("person1_video1") as refusal:
        write_taught_set(user, workbench, OWN, tmp_path)
    assert "is an action here, and background of the run" in refusal.message


def write_taught_set(user, workbench, label, root):
    """Write two videos with a label as a set for the run in use."""
    for name in ("person1_video1", "person2_video1"):
        user.label(user.add(workbench / f"features/{name}.npy"), (0, 10, "stir"), (10, 30, label))
    page = user.page
    examples = labelled_videos(page, "main")
    write_set(page, examples, root, page.engine.model(), lambda _: "ignore", page.project.background, Job("export"))


@pytest.mark.parametrize("names", [(), (OWN,)])
def test_a_run_without_background_learns_that_of_new_labels(text_run, tmp_path, names):
    (tmp_path / "mapping.txt").write_text(f"0 stir\n1 {BACKGROUND}\n")
    run = load(text_run, "cpu").run
    run = run if names else replace(run, vocabulary=Vocabulary.from_names(["stir"]))
    command = continue_command(run, tmp_path, tmp_path / "out", 7)
    assert (f'data.background=["{BACKGROUND}"]' in command) is not bool(names)


def test_a_background_that_was_an_action_of_the_run_is_refused_in_its_training(user, workbench, tmp_path):
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["grasp shaft"], "background": True})
    with refused("person1_video1") as refusal:
        write_taught_set(user, workbench, "grasp shaft", tmp_path)
    assert "is background here, and an action of the run" in refusal.message


def test_a_training_keeps_the_background_of_the_time_when_it_was_asked_for(opened, rows, workbench, monkeypatch):
    user = opened(run=None)()
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["idle"], "background": True})
    for path in (rows, workbench / "features" / "person2_video1.npy"):
        user.label(user.add(path, fps=15), (0, 10, "stir"), (10, 20, "idle"))
    trainings = []
    monkeypatch.setattr(user.page, "begin_training", trainings.append)
    user.ask("POST", "/api/train", json={"unlabelled": {video.id: "ignore" for video in user.page.project.videos()}})
    user.ask("POST", "/api/actions", json={"do": "change", "name": "idle", "to": "rest"})
    commands = []

    def run(command, *_, **__):
        commands.append(command)
        raise RuntimeError

    monkeypatch.setattr(learning, "run_command", run)
    with pytest.raises(RuntimeError):
        trainings[0](Job("training", lambda job: None))
    assert commands[0][-2:] == ["--background", "idle"]


def test_what_a_model_rejects_is_background_in_a_comparison(user, rows):
    video = user.add(rows)
    user.act("pour milk", "stir milk")
    user.ask("POST", "/api/settings", json={"adjust": {"reject": 0.9999}})
    assert {draft["label"] for draft in drafts(user, video)} == {NONE_OF_THESE}
    user.label(video, (0, 10, "pour milk"))
    user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    body = {"first": "track main", "second": "predicted"}
    compared = user.ask("POST", f"/api/videos/{video}/compare", json=body)
    n_frames = len(user.ask("GET", f"/api/videos/{video}")["times"]) - 1
    assert compared["figures"]["frame_accuracy"] == pytest.approx(100 * (1 - 10 / n_frames))
    assert [(part["start"], part["stop"]) for part in compared["rows"][2]["segments"]] == [(0, 10)]


@pytest.mark.parametrize("kind", ["json", "csv", "eaf", "boris", "label-studio", "via"])
def test_background_of_an_unfinished_track_comes_back_from_a_file(opened, rows, tmp_path, kind):
    user = opened(run=None)()
    videos = [user.add(rows, fps=15) for _ in range(2)]
    n_frames = len(user.ask("GET", f"/api/videos/{videos[0]}")["times"]) - 1
    user.label(videos[0], (0, 10, "stir"), (10, n_frames, BACKGROUND))
    answer = user.client.get(f"/api/videos/{videos[0]}/export", params={"format": kind})
    assert answer.status_code == 200, answer.text
    path = tmp_path / f"{rows.stem}{FORMATS[kind].ending}"
    path.write_bytes(answer.content)
    user.ask("POST", f"/api/videos/{videos[1]}/labels", json={"file": user.upload(path)})
    (track,) = user.ask("GET", f"/api/videos/{videos[1]}")["tracks"]
    assert [(part["start"], part["stop"], part["label"]) for part in track["segments"]] == [
        (0, 10, "stir"),
        (10, n_frames, BACKGROUND),
    ]
