"""Faults that are answered in one line, and lose nothing."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip_app.store.database import BACKUP, DATABASE
from fact_clip_app.store.label_files import MAX_OVERLAPS, plan, read_label_file
from fact_clip_app.store.project import MAX_NAME, Action, Project
from fact_clip_app.teach.learning import run_command
from fact_clip_app.workspace.jobs import Job
from fact_clip_app.workspace.uploads import Limits, Upload
from fact_clip_app.workspace.workspace import TRAINING

from ..refusals import refused
from .test_editing import main


def test_a_second_page_is_refused_and_commands_keep_uploads(opened, rows, tmp_path, capsys):
    from fact_clip import cli

    user = opened(run=None)()
    np.save(tmp_path / "take.npy", np.load(rows))
    (tmp_path / "take.json").write_text('{"fps": 1}')
    files = [tmp_path / "take.npy", tmp_path / "take.json"]
    keys = [user.upload(path) for path in files]
    with refused("project") as refusal:
        opened(run=None)
    assert "another page of this project" in refusal.message
    (tmp_path / "take.csv").write_text("start,stop,label\n1,2,stir\n")
    project = str(user.page.project.folder)
    assert cli.main(["project", "import", project, *map(str, files)]) == 0
    assert cli.main(["project", "export", project, "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert user.ask("POST", "/api/videos", json={"files": keys})["video"]
    user.page.close()
    assert opened(run=None)().ask("GET", "/api/state")["videos"]


def test_no_name_is_lost_when_many_add_actions(opened):
    enter = opened(run=None)
    user = enter()
    user.act("stir")

    def add(number):
        names = [f"action {number} {step}" for step in range(5)]
        enter().ask("POST", "/api/actions", json={"do": "add", "names": names})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(16)))
    names = [action["name"] for action in user.ask("GET", "/api/state")["actions"]]
    assert set(names) == {"stir", *(f"action {number} {step}" for number in range(16) for step in range(5))}
    user.act("pour")  # PUT replaces all
    assert [action["name"] for action in user.ask("GET", "/api/state")["actions"]] == ["pour"]


def test_programs_that_replace_the_actions_lose_no_name_that_was_stored(opened):
    """Each program adds its own name to the list that it has read; a refused one reads the list again."""
    user = opened(run=None)()
    user.act("stir")

    def add(number):
        stored = []
        for step in range(3):
            name = f"action {number} {step}"
            state = user.ask("GET", "/api/state")
            actions = [{"name": action["name"]} for action in state["actions"]]
            body = {"actions": [*actions, {"name": name}], "revision": state["actions_revision"]}
            answer = user.client.put("/api/actions", json=body)
            assert answer.status_code in (200, 409)
            if answer.status_code == 200:
                stored.append(name)
        return stored

    with ThreadPoolExecutor(12) as pool:
        stored = [name for names in pool.map(add, range(12)) for name in names]
    assert {action["name"] for action in user.ask("GET", "/api/state")["actions"]} == {"stir", *stored}
    assert "actions_revision" in user.ask("PUT", "/api/actions", 409, json={"actions": []})["error"]


def test_an_action_that_stays_keeps_its_colour_and_key(opened):
    user = opened(run=None)()
    user.ask("PUT", "/api/actions", json={"actions": [{"name": "stir"}, {"name": "pour", "key": "p"}]})
    user.act("cut", "pour")
    assert user.page.project.actions() == [Action("cut", 0, "1"), Action("pour", 1, "p")]


def test_a_file_is_used_once(user, rows):
    key = user.upload(rows)
    assert user.ask("POST", "/api/videos", 400, json={"files": [key, key]})["error"].startswith("files: one file twice")

    def add(_):
        return user.client.post("/api/videos", json={"files": [key]}).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(add, range(2))) == [200, 400]


@pytest.mark.parametrize(
    ("adjust", "place"),
    [({"\ud800": 1}, "settings"), ({"self": 1}, "self"), ({"threshold": "\ud800"}, "threshold"), ([], "adjust")],
)
def test_odd_keys_of_settings_are_refused(user, adjust, place):
    content = json.dumps({"adjust": adjust})
    answer = user.ask("POST", "/api/settings", 400, content=content, headers={"content-type": "application/json"})
    assert answer["error"].startswith(f"{place}: ")


@pytest.mark.parametrize(
    "error", [sqlite3.OperationalError("database or disk is full"), OSError(errno.ENOSPC, "No space left on device")]
)
def test_a_full_disk_has_its_own_status(user, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(user.page.history, "set_actions", fail)
    revision = user.ask("GET", "/api/state")["actions_revision"]
    answer = user.ask("PUT", "/api/actions", 507, json={"actions": [], "revision": revision})
    assert answer["error"].startswith("not stored (")


def test_tracks_come_and_go_while_they_are_read(opened, rows):
    enter = opened(run=None)
    user = enter()
    video = user.add(rows)

    def change(_):
        for _ in range(20):
            track = user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "left"})["tracks"][-1]["id"]
            user.ask("DELETE", f"/api/videos/{video}/tracks/{track}")

    def read(_):
        other = enter()
        for _ in range(30):
            other.ask("GET", f"/api/videos/{video}")
            other.ask("GET", "/api/summary")

    with ThreadPoolExecutor(3) as pool:
        writing = pool.submit(change, 0)
        for reading in [pool.submit(read, number) for number in range(2)]:
            reading.result()
        writing.result()


def test_overlaps_of_a_label_file_are_limited(tmp_path):
    times = np.arange(101) / 10
    path = tmp_path / "many.csv"
    rows = [f"{number / 1000},{9 + number / 1000},label" for number in range(MAX_OVERLAPS + 1)]
    path.write_text("\n".join(["start,stop,label", *rows[:-1]]))
    assert len(read_label_file(path, times).tracks) == MAX_OVERLAPS
    path.write_text("\n".join(["start,stop,label", *rows]))
    with refused(path) as refusal:
        read_label_file(path, times)
    assert f"more than {MAX_OVERLAPS} segments overlap" in refusal.message


def test_overlaps_and_tiers_of_one_name_are_tracks_of_their_own(tmp_path):
    path = tmp_path / "take.boris"
    Segmentation((Segment(0, 50, "run"), Segment(50, 100, "eat")), fps=10.0).save(path)
    project = json.loads(path.read_text())
    (observation,) = project["observations"].values()
    spans = {"run": ("rat", 0, 5), "eat": ("rat", 4, 8), "sit": ("rat 2", 1, 2)}
    spans |= {"dig": ("", 1, 2), "hop": ("main", 3, 4)}
    observation["events"] = []
    for name, (subject, *seconds) in spans.items():
        observation["events"] += [[second, subject, name, "", ""] for second in seconds]
    path.write_text(json.dumps(project))
    tracks = read_label_file(path, np.arange(101) / 10).tracks
    assert {name: [label.label for label in labels] for name, labels in tracks.items()} == {
        "rat": ["run"], "rat 3": ["eat"], "rat 2": ["sit"], "main": ["hop"], "main 2": ["dig"],
    }  # fmt: skip


@pytest.mark.parametrize("ending", [".csv", ".json", ".txt"])
def test_names_that_no_edit_could_have_are_refused(ending, tmp_path):
    times = np.arange(61) / 15
    path = tmp_path / f"take{ending}"
    for length, is_allowed in ((MAX_NAME, True), (MAX_NAME + 1, False)):
        Segmentation((Segment(0, 30, "stir"), Segment(30, 60, "x" * length)), fps=15.0).save(path)
        if is_allowed:
            assert [label.stop for label in read_label_file(path, times).tracks["main"]] == [30, 60]
            continue
        with refused(f"{path}:3" if ending == ".csv" else path) as refusal:
            read_label_file(path, times)
        assert f"at most {MAX_NAME} " in str(refusal.message)


def test_frames_that_nobody_has_labelled_are_no_class(tmp_path):
    path = tmp_path / "take.txt"
    path.write_text("stir\n" * 20 + "?\n" * 20 + "pour\n" * 20)
    times = np.arange(61) / 15
    project = Project(tmp_path / "p")
    video = project.video(project.add_video("take", None, None, times))
    loading = plan(project, video, path)
    (labels,) = loading.tracks.values()
    assert [(label.start, label.stop, label.label) for label in labels] == [(0, 20, "stir"), (40, 60, "pour")]
    assert [action.name for action in loading.actions] == ["stir", "pour"]


def test_runs_of_one_name_are_both_kept(opened):
    project = opened(run=None)().page.project
    names = [project.add_run(project.folder / part / "adapted-1", "main", {}) for part in ("one", "two")]
    assert names == ["adapted-1", "adapted-1 2"]
    assert [path.parent.name for path, _ in project.runs().values()] == ["one", "two"]


def test_a_damaged_database_names_the_good_copy(opened, rows, tmp_path):
    user = opened(run=None)()
    user.label(user.add(rows), (3, 9, "stir"))
    user.page.close()
    folder = tmp_path / "project"
    opened(run=None)().page.close()  # copies the database
    for content in (b"", b"not a database" * 100):
        (folder / DATABASE).write_bytes(content)
        with refused(folder / DATABASE) as refusal:
            Project(folder)
        assert BACKUP in refusal.message
    shutil.copy(folder / BACKUP, folder / DATABASE)
    again = opened(run=None)()
    (video,) = again.ask("GET", "/api/state")["videos"]
    assert main(again.ask("GET", f"/api/videos/{video['id']}")) == [(3, 9, "stir")]


def test_a_page_of_a_damaged_database_keeps_the_good_copy(tmp_path):
    project = Project(tmp_path / "p")
    project.set("x", "y" * 50_000)
    project.back_up()
    project.close()
    good = (tmp_path / "p" / BACKUP).read_bytes()
    content = bytearray((tmp_path / "p" / DATABASE).read_bytes())
    middle = slice(len(content) // 2, len(content))
    content[middle] = b"\xff" * len(content[middle])
    (tmp_path / "p" / DATABASE).write_bytes(content)
    project = Project(tmp_path / "p")
    with refused(project.folder / DATABASE) as refusal:
        project.back_up()
    assert "damaged" in refusal.message
    project.close()
    assert (tmp_path / "p" / BACKUP).read_bytes() == good


def test_an_empty_token_lets_nobody_in_and_a_token_can_be_renewed(user, rows):
    store = user.page.project
    old = store.token
    store.renew_token()
    assert store.token != old
    for value, token, status in ((store.token, old, 401), (store.token, store.token, 200), ("", "", 401)):
        with closing(sqlite3.connect(store.folder / DATABASE)) as base, base:
            base.execute("UPDATE setting SET value = ? WHERE key = 'token'", (value,))
        headers = {"Authorization": f"Bearer {token}"}
        user.client.cookies.clear()
        assert user.client.get("/api/state", headers=headers).status_code == status
        page_status = 200 if status == 200 else 403
        assert user.client.get("/", params={"token": token}).status_code == page_status
        user.client.cookies.clear()


def test_a_training_whose_folder_is_gone_ends(tmp_path):
    job = Job("training", lambda job: None)
    with refused(tmp_path / "gone") as refusal:
        run_command(["fact-clip", "bench", "--help"], job, tmp_path / "gone" / "run")
    assert "the folder of the training is gone" in refusal.message


def test_a_training_can_be_cancelled_while_it_waits_or_runs(opened):
    user = opened(run=None)()
    free, began = threading.Event(), threading.Event()

    def train(job):
        began.set()
        while not free.wait(0.01):
            job.report(0, 1)

    user.page.begin_training(train)
    assert began.wait(10)
    assert user.page.project.setting(TRAINING) is True
    assert user.ask("DELETE", "/api/train") == {}
    assert user.settle()["training"]["error"] == "stopped"
    assert user.page.project.setting(TRAINING) is False

    user.page.queue.add(Job("a video", lambda job: free.wait(10)))
    user.page.begin_training(train)
    user.ask("DELETE", "/api/train")
    assert user.ask("GET", "/api/state")["training"]["error"] == "stopped"
    free.set()


def test_a_training_that_was_killed_with_its_server_is_reported(opened):
    page = opened(run=None)().page
    page.project.set(TRAINING, True)  # as SIGKILL leaves it
    page.close()
    training = opened(run=None)().ask("GET", "/api/state")["training"]
    assert training["state"] == "failed"
    assert "start the training again" in training["error"]


def test_teach_reads_no_encoder_that_a_run_names_by_a_path(opened, text_run, rows, workbench, tmp_path):
    user = opened()()
    for path in (rows, workbench / "features" / "person2_video1.npy"):
        video = user.add(path)
        user.label(video, (0, 5, "grasp shaft"))
        user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    run = user.page.engine.base.run
    text = run.config.text.model_copy(update={"encoder": "open_clip:local-dir:/some/folder"})
    object.__setattr__(run, "config", run.config.model_copy(update={"text": text}))
    error = user.ask("POST", "/api/train", 400, json={"teach": True})["error"]
    assert "trust_encoder" in error


def test_the_answer_to_a_surrogate_is_utf_8():
    from fact_clip_app.web.guard import error_line

    assert error_line(400, "\ud800").body == b'{"error":"\\\\ud800"}'


class Forgetful(dict):
    """What another request removes between a look and the use."""

    def __contains__(self, key):
        return super().__contains__(key) and bool(self.pop(key, None) or True)


def test_a_job_or_file_that_another_request_takes_meanwhile_is_gone(user, rows):
    user.page.segmentings = Forgetful(job=Job("job"))
    user.ask("DELETE", "/api/segment/job")
    user.ask("GET", "/api/segment/job", 404)
    key = user.upload(rows)
    user.page.files = Forgetful(user.page.files)
    assert user.ask("POST", "/api/videos", json={"files": [key]})["video"]
    assert user.ask("POST", "/api/videos", 400, json={"files": [key]})["error"].startswith("files: ")


def test_jobs_that_end_while_another_begins(opened):
    page = opened(limits=Limits(results=1))().page

    class Ended(Job):
        """A job that another request takes at the moment."""

        @property
        def is_over(self):
            page.segmentings.pop(self.owner, None)
            return True

    page.segmentings = {name: Ended(name) for name in "abc"}
    job = page.segment(None, "memory://lab/clip.npy", None)
    assert page.segmentings == {job.owner: job}


def test_an_upload_while_an_error_is_worded(user, rows):
    page = user.page

    class Arriving:
        """A file beside which another one arrives."""

        name = "take.npy"
        ending = ".npy"

        @property
        def path(self):
            page.files[str(len(page.files))] = Upload(rows, "other.npy")
            return rows

    page.files = {"a": Arriving(), "b": Arriving()}
    assert str(page.named(InputError(rows, "odd"))).startswith("take.npy: ")


def damaged(user, column, value):
    with user.page.project.change():
        user.page.project.execute(f"UPDATE video SET {column} = ?", value)
    user.page.project._durations.clear()


NAN = np.array([0.0, np.nan, 1.0]).tobytes()
EQUAL = np.array([0.0, 1e-320, 2e-320]).tobytes()


@pytest.mark.parametrize("column_value", [("times", bytes(7)), ("times", b""), ("times", "x"), ("times", bytes(8)),
    ("times", NAN), ("times", NAN[8:]), ("times", EQUAL), ("identity", "{"), ("identity", "[]")])  # fmt: skip
def test_odd_values_of_a_video_are_told_in_one_line(opened, rows, column_value):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (0, 5, "stir"))
    damaged(user, *column_value)
    paths = [f"/api/videos/{video}", "/api/summary", "/api/overview", f"/api/videos/{video}/export?format=csv"]
    for path in [*paths, "/api/state"]:
        answer = user.client.get(path)
        assert answer.status_code in ((200, 400) if path == "/api/state" else (400,)), (path, answer.text)
        if answer.status_code == 400:
            assert answer.json()["error"].startswith((f"{rows.stem}: its times ", f"identity of {rows.stem}: "))


@pytest.mark.parametrize("column", ["run.figures", "video.identity"])
def test_an_error_is_worded_beside_odd_values(opened, rows, text_run, tmp_path, column):
    user = opened(run=None)()
    user.page.project.add_run(text_run, "main", {})
    user.add(rows)
    np.save(tmp_path / "flat.npy", np.zeros(3))
    key = user.upload(tmp_path / "flat.npy")
    table, name = column.split(".")
    with user.page.project.change():
        user.page.project.execute(f"UPDATE {table} SET {name} = '{{'")
    for answer in (user.client.get("/api/state"), user.client.post("/api/videos", json={"files": [key]})):
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("key", ["adjust", "fields", "tested videos", "model", "blind", "max minutes"])
@pytest.mark.parametrize("value", ["{", "[1]", '{"gamma": "x"}', b"\xff"])
def test_odd_settings_are_told_in_one_line(opened, rows, key, value):
    user = opened()()
    video = user.add(rows)
    user.label(video, (0, 5, "stir"))
    with user.page.project.change():
        user.page.project.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", key, value)
    for path in ("/api/state", f"/api/videos/{video}", "/api/summary", "/api/overview"):
        answer = user.client.get(path)
        assert answer.status_code in (200, 400), (path, answer.text)
        if answer.status_code == 400:
            assert answer.json()["error"].startswith((f"{key}: ", "gamma: "))
