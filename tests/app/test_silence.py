"""Odd files, requests and moments: nothing is wrong in silence, and nothing ends the page."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from types import SimpleNamespace

import av
import numpy as np
import pytest

from fact_clip import cli
from fact_clip.core import Point, Segment, Segmentation
from fact_clip.inference.loading import load
from fact_clip.inference.scorer import FeatureSpec
from fact_clip.video.write import write_video
from fact_clip_app.commands.app import app as app_command
from fact_clip_app.store.database import Database
from fact_clip_app.store.history import Person
from fact_clip_app.store.project import Project
from fact_clip_app.teach.labelled_videos import export_set
from fact_clip_app.web.segment_routes import segmented
from fact_clip_app.workspace import engine
from fact_clip_app.workspace.drafts import click_labels
from fact_clip_app.workspace.jobs import Job

from ..refusals import refused, refused_line
from .conftest import UNSURE
from .test_editing import main


def write_film(path, n_pictures=60, grey=0):
    write_video(path, np.full((n_pictures, 16, 16, 3), grey, np.uint8), 15.0)
    return path


def write_rows(path, n_rows, **facts):
    np.save(path, np.random.default_rng(0).standard_normal((n_rows, 8)).astype(np.float32))
    if facts:
        path.with_suffix(".json").write_text(json.dumps(facts))
    return path


# --- files of videos -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "facts", "is_taken"),
    [
        (20, {}, 0),
        (20, {"fps": 5}, 1),
        (40, {"fps": 5}, 0),
        (22, {"fps": 5}, 1),
        (20, {"fps": 5, "start": 0.0}, 1),
        (20, {"fps": 5, "start": 1.5}, 0),  # of a part
    ],
)
def test_features_beside_a_video_must_last_as_long(opened, tmp_path, n_rows, facts, is_taken):
    user = opened(run=None)()
    rows = write_rows(tmp_path / "take.npy", n_rows, **facts)
    files = [write_film(tmp_path / "take.mp4"), rows, *tmp_path.glob("*.json")]
    keys = [user.upload(path) for path in files]
    answer = user.ask("POST", "/api/videos", 200 if is_taken else 400, json={"files": keys})
    assert is_taken or answer["error"].startswith("take.npy: ")
    assert len(user.ask("GET", "/api/state")["videos"]) == is_taken


@pytest.mark.parametrize(("name", "codec"), [("one.webm", "libvpx-vp9"), ("one.mp4", "libx264")])
def test_a_film_of_one_picture_is_a_video(opened, tmp_path, name, codec):
    if codec not in av.codecs_available:
        pytest.skip(codec)
    with av.open(str(tmp_path / name), "w") as target:
        stream = target.add_stream(codec, rate=15)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(picture), *stream.encode(None)]:
            target.mux(packet)
    user = opened(run=None)()
    video = user.add(tmp_path / name)
    assert [one["id"] for one in user.ask("GET", "/api/state")["videos"]] == [video]


def test_a_file_that_was_cut_anew_is_said(opened, tmp_path):
    user = opened(run=None)()
    film = write_film(tmp_path / "take.mp4")
    video = user.page.refer("take", film, None)
    assert user.ask("GET", f"/api/videos/{video.id}")["problem"] == ""
    shutil.copyfile(film, tmp_path / "copy.mp4")
    shutil.move(tmp_path / "copy.mp4", film)  # another time, the same content
    assert user.ask("GET", f"/api/videos/{video.id}")["problem"] == ""
    write_film(film, 30, grey=99)
    assert "has changed since it was added" in user.ask("GET", f"/api/videos/{video.id}")["problem"]
    with refused(film):
        user.page.engine.encode(video, None, Job("export"))


def test_changed_features_are_neither_compared_nor_trained_on(opened, rows, tmp_path):
    user = opened()()
    path = tmp_path / "take.npy"
    shutil.copyfile(rows, path)
    video = user.page.refer("take", None, path)
    user.label(video.id, (0, 10, "stir"))
    np.save(path, np.load(path)[::-1])
    sides = {"first": "track main", "second": "predicted"}
    error = user.ask("POST", f"/api/videos/{video.id}/compare", 400, json=sides)["error"]
    assert error.startswith("take.npy: has changed since it was added")
    with refused(path):
        user.page.engine.encode(video, None, Job("training"))
    assert user.ask("GET", "/api/clips", params=UNSURE)["segments"] == []


def test_clicks_in_one_row_of_features_are_counted(caplog):
    points = [Point(0.0, "peck"), Point(0.1, "call"), Point(0.3, "call")]
    assert click_labels(points, np.arange(4) / 5) == ["call", "call", "?"]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["1"]


def imports(tmp_path, *files):
    return cli.main(["project", "import", str(tmp_path / "p"), *map(str, files)])


def test_imports_in_two_calls_join_features_and_refuse_a_second_video_of_a_name(tmp_path, capsys):
    film = write_film(tmp_path / "take.mp4")
    rows = write_rows(tmp_path / "take.npy", 20, fps=5)
    (tmp_path / "other").mkdir()
    other = write_film(tmp_path / "other" / "take.mp4", grey=50)
    for files in ([film], [rows], [film], [film, rows]):
        assert imports(tmp_path, *files) == 0
    assert capsys.readouterr().err.endswith("p: 1 video\n")
    refused_line((imports(tmp_path, other), *capsys.readouterr()), other)
    project = Project(tmp_path / "p")
    (video,) = project.videos()
    assert (video.media, video.features) == (film, rows)
    project.add_video("take", None, rows, np.arange(21) / 5)  # as the page adds a second one
    project.close()
    (tmp_path / "take.csv").write_text("start,stop,label\n1,2,stir\n")
    refused_line((imports(tmp_path, tmp_path / "take.csv"), *capsys.readouterr()), tmp_path / "take.csv")


def test_labels_beside_features_are_imported(tmp_path, capsys):
    rows = write_rows(tmp_path / "take.npy", 20)
    Segmentation((Segment(0, 5, "cut"), Segment(5, 20, "stir")), 5.0).save(tmp_path / "take.json")
    assert imports(tmp_path, rows, tmp_path / "take.json") == 0
    assert capsys.readouterr().out.endswith("take.json: 2 on track main\n")


def test_drafts_without_a_model_are_refused(tmp_path, capsys):
    assert imports(tmp_path, write_rows(tmp_path / "take.npy", 20, fps=5)) == 0
    capsys.readouterr()
    words = ["project", "export", str(tmp_path / "p"), "--out", str(tmp_path / "out"), "--with-drafts"]
    refused_line((cli.main(words), *capsys.readouterr()), "--with-drafts")


# --- people and figures ----------------------------------------------------------------------------------------------


def test_people_who_share_a_track_are_not_compared(opened, rows, workbench):
    user = opened(run=None)()
    videos = {name: user.add(workbench / "features" / f"person{name}_video1.npy") for name in "12"}

    def label(video, person, *segments, track=0):
        shown = user.ask("GET", f"/api/videos/{video}")
        body = {"track": shown["tracks"][track]["id"], "revision": None, "annotator": person}
        body["segments"] = [{"start": start, "stop": stop, "label": label} for start, stop, label in segments]
        user.ask("PUT", f"/api/videos/{video}/segments", json=body)

    for video in videos.values():
        user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
        label(video, "Ann", (0, 9, "cut"), (9, 20, "stir"))
    label(videos["1"], "Bob", (0, 9, "cut"), (9, 20, "stir"), track=1)
    label(videos["2"], "Bob", (0, 9, "cut"), (9, 21, "stir"))  # Bob moved an edge of Ann's label
    answer = user.ask("GET", "/api/agreement", params={"first": "annotator Ann", "second": "annotator Bob"})
    assert [video["name"] for video in answer["videos"]] == ["person1_video1"]
    assert (answer["figures"]["kappa"], answer["shared"]) == (1.0, ["person2_video1"])
    body = {"first": "annotator Ann", "second": "annotator Bob"}
    user.ask("POST", f"/api/videos/{videos['1']}/compare", json=body)
    user.ask("POST", f"/api/videos/{videos['2']}/compare", 400, json=body)


def test_a_prediction_that_does_not_exist_is_not_compared(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (0, 9, "cut"))
    body = {"first": "track main", "second": "predicted"}
    user.ask("POST", f"/api/videos/{video}/compare", 400, json=body)


def test_labels_of_removed_videos_are_counted_before_their_class_is_deleted(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (0, 9, "cut"), (9, 12, "cut"))
    user.ask("DELETE", f"/api/videos/{video}")
    (action,) = user.ask("GET", "/api/state")["actions"]
    assert (action["count"], action["videos"], action["removed"]) == (0, 0, 2)


def test_unlabelled_time_is_left_out_of_budget_and_agreement(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("cut\n" * 10 + "?\n" * 10 + "stir\n" * 10)
    (tmp_path / "b.txt").write_text("cut\n" * 15 + "stir\n" * 15)
    words = ["summary", str(tmp_path / "a.txt"), "--against", str(tmp_path / "b.txt"), "--fps", "1", "--json"]
    assert cli.main(words) == 0
    tables = json.loads(capsys.readouterr().out)
    assert {row["label"]: row["share"] for row in tables["time"]} == {"cut": 50.0, "stir": 50.0}
    (figures,) = tables["agreement"]
    assert [figures[key] for key in ("kappa", "accuracy", "edit", "edges_s", "duration")] == [
        1.0,
        100.0,
        100.0,
        0.0,
        20.0,
    ]


# --- the page --------------------------------------------------------------------------------------------------------


def test_a_model_that_is_gone_does_not_stop_the_page(opened, rows, text_run, tmp_path):
    user = opened(run=None)()
    video = user.add(rows, fps=15)
    shutil.copytree(text_run, tmp_path / "model-1")
    user.page.project.add_run(tmp_path / "model-1", "main", {})
    user.ask("POST", "/api/settings", json={"model": "model-1"})
    assert user.ask("GET", f"/api/videos/{video}")["drafts"]
    shutil.rmtree(tmp_path / "model-1")
    user.page.project.set("adjust", {"a key of another version": 1})
    assert user.ask("GET", "/api/state")["model"]["chosen"] == ""
    assert main(user.label(video, (0, 5, "stir")))


def test_a_refused_second_start_changes_nothing(opened, text_run, monkeypatch):
    user = opened(run=None)()
    token = user.page.project.token
    choice = SimpleNamespace(
        names=["wave"], run=text_run, trust_encoder=False, command=lambda: ("fact-clip", "segment")
    )
    monkeypatch.setattr("fact_clip_app.commands.app._open_model", lambda _: load(text_run, "cpu"))
    with refused("project"):
        app_command(user.page.project.folder, model=choice, port=0, new_token=True)
    assert (user.page.project.token, user.page.project.actions()) == (token, [])


def test_a_full_disk_lets_a_project_be_opened(opened, monkeypatch, caplog):
    def fail(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Database, "_copy", fail)
    assert opened(run=None)().ask("GET", "/api/state")["videos"] == []
    assert "no copy" in caplog.text


def test_a_video_that_goes_meanwhile_is_no_internal_error(opened, rows):
    from fact_clip_app.web import project_answers as views

    user = opened(run=None)()
    video = user.add(rows)
    user.ask("DELETE", f"/api/videos/{video}")
    with refused("video"):
        views.video(user.page, video, Person())
    with refused("video"):
        user.page.history.replace(video, 1, [])


def test_one_job_may_be_asked_for_twice(user):
    job = Job("x", state="failed", error="stopped")
    for _ in range(2):  # the second one has found the job before the first one forgot it
        with pytest.raises(Exception, match="stopped"):
            segmented(user.page, job)


@pytest.mark.parametrize("number", [10**30, -(10**30)])
def test_numbers_of_tracks_have_a_limit(user, rows, number):
    video = user.add(rows)
    body = {"track": number, "revision": None, "segments": []}
    user.ask("PUT", f"/api/videos/{video}/segments", 400, json=body)
    user.ask("POST", f"/api/videos/{video}/edits", 400, json={"track": number, "removed": [], "added": []})


@pytest.mark.parametrize("rest", ["../secret.npy", "%2e%2e/secret.npy", "a/../../secret.npy", "..\\secret.npy"])
def test_a_store_is_not_left(opened, tmp_path, rest):
    (tmp_path / "in").mkdir()
    write_rows(tmp_path / "secret.npy", 20)
    store = f"file://{tmp_path}/in/"
    user = opened(stores=(store,))()
    assert user.ask("POST", "/api/segment", 400, params={"uri": store + rest})["error"].startswith("uri: ")


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_store_is_not_left_by_a_link_nor_by_a_longer_name(opened, tmp_path, ending):
    inside, other = tmp_path / "in", tmp_path / "inner"
    for folder in (inside, other):
        folder.mkdir()
        write_rows(folder / "take.npy", 20)
    (inside / "link.npy").symlink_to(other / "take.npy")
    (inside / "circle.npy").symlink_to(inside / "circle.npy")
    (inside / "folder").symlink_to(other)
    write_rows(inside / "beside.npy", 20)
    (tmp_path / "secret.json").write_text("{}")
    (inside / "beside.json").symlink_to(tmp_path / "secret.json")
    (inside / "again.npy").symlink_to(inside / "take.npy")
    user = opened(stores=(f"file://{inside}{ending}",))()
    for name in ("in/link.npy", "in/folder/take.npy", "in/beside.npy", "inner/take.npy", "in/circle.npy", "in/a\0.npy"):
        error = user.ask("POST", "/api/segment", 400, params={"uri": f"file://{tmp_path}/{name}"})["error"]
        assert error.startswith(("uri: ", "file:")), name
    for name in ("take.npy", "again.npy"):
        answer = user.ask("POST", "/api/segment", params={"uri": f"file://{inside}/{name}"})
        assert answer["n_frames"] == 20


def test_an_empty_token_lets_nobody_in(tmp_path):
    project = Project(tmp_path / "p")
    project.set("token", "")
    with project.change():
        project.execute("UPDATE setting SET value = '' WHERE key = 'token'")
    project.close()
    assert Project(tmp_path / "p").token


@pytest.mark.parametrize("change", ["UPDATE setting SET value = ''", "DELETE FROM setting"])
def test_a_token_that_goes_while_the_page_is_open_lets_nobody_in(opened, change):
    user = opened(run=None)()
    with user.page.project.change():
        user.page.project.execute(f"{change} WHERE key = 'token'")
    cookie = hashlib.sha256(b"cookie ").hexdigest()
    user.client.cookies.clear()
    user.ask("GET", "/api/state", 401, headers={"cookie": f"fact_clip_8000={cookie}"})
    assert user.client.get("/", params={"token": ""}).status_code == 403


def test_an_edit_does_not_bring_a_class_back_that_somebody_else_has_renamed(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    track = user.label(video, (0, 5, "stir"))["tracks"][0]["id"]
    rename = {"do": "change", "name": "stir", "to": "mix", "annotator": "Ann", "browser": "a"}
    user.ask("POST", "/api/actions", json=rename)
    added = [{"start": 6, "stop": 9, "label": "stir"}]
    body = {"track": track, "removed": [], "added": added, "annotator": "Bob", "browser": "b"}
    user.ask("POST", f"/api/videos/{video}/edits", 409, json=body)
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["stir"], "browser": "b"})  # meant as another one
    user.ask("POST", f"/api/videos/{video}/edits", json=body)


def test_points_that_are_not_trained_on_are_counted(opened, rows, workbench, tmp_path, caplog):
    user = opened(run=None)()
    user.label(user.add(rows), (0, 5, "stir"), (9, 9, "tap"), (12, 12, "tap"))
    user.label(user.add(workbench / "features" / "person2_video1.npy"), (5, 5, "tap"))
    assert user.ask("GET", "/api/train", params={"track": "main"})["points"] == 2
    export_set(user.page, "main", tmp_path / "set", "ignore")
    assert "2 point events" in caplog.text


def test_a_changed_file_has_no_drafts_and_is_not_trained_on(opened, rows, tmp_path):
    user = opened()()
    video = user.add(rows)
    user.label(video, (0, 10, "stir"))
    user.settle()
    path = user.page.project.video(video).features
    np.save(path, np.load(path) + 1)
    body = {"first": "track main", "second": "predicted"}
    error = user.ask("POST", f"/api/videos/{video}/compare", 400, json=body)["error"]
    assert error.startswith("person1_video1.npy: has changed since it was added")
    with refused(path):
        user.page.engine.encode(user.page.project.video(video), None, Job("training"))


def test_features_are_exported_by_the_layout_that_the_run_in_use_read(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "needs_of", lambda model: FeatureSpec("", "DT"))
    user = opened(run=None)()
    for number in range(2):
        path = tmp_path / f"take{number}.npy"
        np.save(path, np.random.default_rng(number).standard_normal((8, 20)).astype(np.float32))
        user.label(user.add(path), (0, 4, "stir"))
    monkeypatch.undo()
    export_set(user.page, "main", tmp_path / "set", "background")
    assert np.load(tmp_path / "set/features/take0.npy").shape == (20, 8)


def test_a_training_keeps_the_names_that_classes_had_when_it_was_asked_for(opened, rows):
    user = opened()()
    user.act("stir", "pour")
    before = user.page.project.actions()
    user.ask("POST", "/api/actions", json={"do": "change", "name": "stir", "to": "mix"})
    names = user.page.engine.names
    model = user.page.engine.model()
    assert (names(model), names(model, before)) == (("mix", "pour"), ("stir", "pour"))
