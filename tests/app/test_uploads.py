"""What comes in: sizes, kinds, names, and the queue."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fact_clip.video.frames import frame_times, frames
from fact_clip_app.workspace.jobs import Job
from fact_clip_app.workspace.uploads import Limits, base_name, ending_of

from ..films import numbered, write_video
from ..refusals import refused
from ..small import write_dataset


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a.npy", "a.npy"),
        ("../../etc/a.npy", "a.npy"),
        ("C:\\videos\\a.MP4", "a.MP4"),
        ("a\x00b\nc.npy", "abc.npy"),
        ("\u202ea\u200e.npy", "a.npy"),
        ("می\u200cخورد.npy", "می\u200cخورد.npy"),
        ("..npy.npy", "npy.npy"),
        ("x" * 400 + ".label-studio.json", "x" * 150 + ".label-studio.json"),
    ],
)
def test_a_name_is_never_a_path(given, shown):
    assert base_name(given) == shown


@pytest.mark.parametrize("name", ["", "a", "a.exe", "a.npy.sh", "../..", ".npy", "a.html", "a.pickle"])
def test_other_kinds_of_files_are_refused(user, name):
    with refused():
        ending_of(name)
    answer = user.ask("POST", "/api/files", 400, params={"name": name}, content=b"x")
    assert "\n" not in answer["error"]


def test_a_file_lies_in_the_project_under_a_name_of_ours(user, rows):
    user.upload(rows, "../../../tmp/../x.npy")
    (path,) = (user.page.project.folder / "incoming").iterdir()
    assert path.suffix == ".npy"
    assert "x" not in path.name.removesuffix(".npy")


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_file_that_is_too_large_is_refused_and_removed(opened, is_declared):
    user = opened(limits=Limits(file_bytes=100_000))()
    part, taken = bytes(10_000), []

    def parts():
        for number in range(100):
            taken.append(number)
            yield part

    content = bytes(1_000_000) if is_declared else parts()
    answer = user.ask("POST", "/api/files", 413, params={"name": "a.mp4"}, content=content)
    assert answer["error"].startswith("a.mp4: ")
    assert list((user.page.project.folder / "incoming").iterdir()) == []


def test_a_feature_file_may_not_be_too_long(opened, rows):
    n_rows = len(np.load(rows))
    user = opened(limits=Limits(minutes=n_rows / 15 / 60 - 0.001))()
    answer = user.ask("POST", "/api/videos", 400, json={"files": [user.upload(rows)]})
    assert answer["error"].startswith("person1_video1.npy: ")
    refusal = user.client.post("/api/segment", params={"name": "clip.npy"}, content=rows.read_bytes())
    assert refusal.status_code == 400
    assert refusal.json()["error"].startswith("clip.npy: ")
    assert "minutes" in refusal.json()["error"]


@pytest.mark.parametrize(
    "content",
    [b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n", bytes(range(256)) * 40],
)
def test_what_is_no_video_is_told_in_one_line_without_paths(user, tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    answer = user.ask("POST", "/api/videos", 400, json={"files": [user.upload(tmp_path / "a.mp4")]})
    assert answer["error"].startswith("a.mp4: ")
    assert str(user.page.project.folder) not in answer["error"]
    assert user.ask("GET", "/api/state")["videos"] == []


def test_features_that_do_not_fit_are_refused(user, tmp_path):
    np.save(tmp_path / "narrow.npy", np.zeros((20, 3), dtype=np.float32))
    answer = user.ask("POST", "/api/videos", 400, json={"files": [user.upload(tmp_path / "narrow.npy")]})
    assert answer["error"].startswith("narrow.npy: ")
    assert list((user.page.project.folder / "incoming").iterdir()) == []


def test_a_video_that_the_json_beside_features_names_is_not_opened(user, rows, tmp_path):
    facts = {"fps": 15.0, "video": "/etc/passwd", "encoder": "grid", "anything": 1}
    (tmp_path / f"{rows.stem}.json").write_text(json.dumps(facts))
    video = user.add(rows, tmp_path / f"{rows.stem}.json")
    features = user.page.project.video(video).features
    assert json.loads(features.with_suffix(".json").read_text()) == {"encoder": "grid", "fps": 15.0}
    user.ask("GET", f"/api/videos/{video}")
    assert user.page.engine.work(video).prediction.media is None


@pytest.fixture(scope="module")
def pixel_run(tiny, tmp_path_factory):
    """A run on features of the encoder `grid`, and a film."""
    import fact_clip
    from fact_clip.encoders import frame_encoder
    from fact_clip.video.extract import Settings, extract

    labels = dict.fromkeys(("one", "two", "three"), ["rest"] * 8 + ["wander"] * 12)
    root = tmp_path_factory.mktemp("pixels")
    write_dataset(root, ("rest", "wander"), labels, train=("one", "two"), test=("three",))
    for name in labels:
        film = write_video(root / f"{name}.mp4", numbered(60), rate=15)
        extract(film, frame_encoder("grid"), root / "features", Settings(fps=5.0))
    data = {"name": "folder", "root": str(root), "fps": 5.0, "layout": "TD", "stride": 1}
    fact_clip.training.train(tiny(data=data, train={"epochs": 1}), root / "run")
    return root / "run", root / "one.mp4"


def test_a_video_is_encoded_and_segmented_as_on_the_command_line(opened, pixel_run):
    import fact_clip

    run, path = pixel_run
    user = opened(run=run)()
    video = user.add(path)
    row = user.settle()["videos"][0]
    assert (row["name"], row["job"]["state"], row["job"]["done"]) == ("one", "done", 20)
    shown = user.ask("GET", f"/api/videos/{video}")
    expected = fact_clip.load(run, "cpu").segment(path)  # in rows, 5 a second; the page has the 15 pictures of it
    assert [(each["start"], each["stop"], each["label"]) for each in shown["drafts"]] == [
        (3 * each.start, 3 * each.stop, each.label) for each in expected
    ]
    assert shown["times"] == pytest.approx(np.arange(61) / 15, abs=1e-4)
    assert shown["command"].startswith("fact-clip segment one.mp4 --run ")


def test_times_are_those_of_the_pictures(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(60), rate=15)
    assert frame_times(path) == pytest.approx(np.append([frame.time for frame in frames(path)], 4.0), abs=1e-6)


def test_the_player_gets_the_part_of_the_video_that_it_asks_for(opened, pixel_run):
    run, path = pixel_run
    user = opened(run=run)()
    address = f"/api/videos/{user.add(path)}/media"
    whole = path.read_bytes()
    answer = user.client.get(address)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "video/mp4", whole)
    part = user.client.get(address, headers={"range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole)}"
    assert user.client.get(address, headers={"range": f"bytes={len(whole)}-"}).status_code == 416


def test_a_video_may_not_be_too_long(opened, pixel_run):
    run, path = pixel_run
    user = opened(run=run, limits=Limits(minutes=0.05))()
    answer = user.ask("POST", "/api/videos", 400, json={"files": [user.upload(path)]})
    assert answer["error"].startswith("one.mp4: ")


def test_a_run_that_knows_no_encoder_says_so(user, pixel_run):
    video = user.add(pixel_run[1])
    job = user.settle()["videos"][0]["job"]
    assert "the encoder of the run's training features" in job["error"]
    assert user.ask("GET", f"/api/videos/{video}")["drafts"] == []  # it can be labelled nevertheless


def test_who_comes_too_late_is_encoded_later(opened, pixel_run):
    run, path = pixel_run
    user = opened(run=run, limits=Limits(waiting=1))()
    free, began = threading.Event(), threading.Event()

    def block(job):
        began.set()
        free.wait(20)

    user.page.queue.add(Job("nobody", block))
    assert began.wait(20)
    first, second, third = (user.add(path) for _ in range(3))
    rows = user.ask("GET", "/api/state")["videos"]
    assert [row["job"] and row["job"]["place"] for row in rows] == [2, None, None]
    user.ask("DELETE", f"/api/videos/{first}")  # what waits can be taken back
    assert user.ask("GET", "/api/state")["videos"][0]["job"]["place"] == 2
    free.set()
    while not all(user.ask("GET", f"/api/videos/{video}")["drafts"] for video in (second, third)):
        user.settle()


def test_a_removed_video_that_comes_back_is_encoded(opened, pixel_run):
    run, path = pixel_run
    user = opened(run=run)()
    free, began = threading.Event(), threading.Event()

    def block(job):
        began.set()
        free.wait(20)

    user.page.queue.add(Job("nobody", block))
    assert began.wait(20)
    video = user.add(path)
    user.ask("DELETE", f"/api/videos/{video}")
    user.ask("POST", f"/api/videos/{video}/restore")
    free.set()
    assert user.settle()["videos"][0]["job"]["state"] == "done"
    assert user.ask("GET", f"/api/videos/{video}")["drafts"]


def test_another_model_encodes_what_the_first_could_not(user, pixel_run):
    run, path = pixel_run
    video = user.add(path)
    assert user.settle()["videos"][0]["job"]["state"] == "failed"
    user.ask("POST", "/api/settings", json={"model": user.page.project.add_run(run, "main", {})})
    assert user.settle()["videos"][0]["job"]["state"] == "done"
    assert user.ask("GET", f"/api/videos/{video}")["drafts"]
    user.ask("POST", "/api/settings", json={"model": ""})
    failed = user.settle()["videos"][0]["job"]
    assert failed["state"] == "failed"
    job = user.page.engine.work(video).job
    user.settle()
    assert user.page.engine.work(video).job is job  # it is not tried again and again


def test_uploads_that_nobody_uses_do_not_fill_the_disk(opened):
    user = opened(limits=Limits(file_bytes=1000))()

    def send(status):
        return user.ask("POST", "/api/files", status, params={"name": "a.npy"}, content=bytes(1000))

    keys = [send(200)["file"] for _ in range(10)]
    assert send(507)["error"].startswith("a.npy: ")
    assert user.ask("POST", "/api/files", 507, params={"name": "a.npy"}, content=b"x")
    old = user.page.incoming / keys[0]
    os.utime(old, (0, 0))
    send(200)
    assert not old.exists()
    error = user.ask("POST", "/api/videos", 400, json={"files": [keys[0]]})["error"]
    assert error.startswith("files: ")
    assert user.page.upload(keys[1]).path.is_file()


@pytest.mark.parametrize("facts", [{"format": 99}, {"format": None}])
def test_facts_of_features_that_nobody_wrote_are_refused(user, rows, tmp_path, facts):
    (tmp_path / "take.json").write_text(json.dumps(facts))
    np.save(tmp_path / "take.npy", np.load(rows))
    keys = [user.upload(tmp_path / name) for name in ("take.npy", "take.json")]
    assert user.ask("POST", "/api/videos", 400, json={"files": keys})["error"].startswith("take.json: ")


def test_features_of_another_width_do_not_tell_where_the_run_lies(user, text_run, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((20, 9), np.float32))
    error = user.ask("POST", "/api/videos", 400, json={"files": [user.upload(tmp_path / "wide.npy")]})["error"]
    assert error.startswith("wide.npy: ")
    assert text_run.name in error
    assert "/" not in error


def test_videos_that_the_copy_of_the_project_does_not_know_keep_their_files(opened, rows):
    user = opened(run=None)()
    user.add(rows)
    user.page.close()
    user = opened(run=None)()  # which copies the project
    features = user.page.project.video(user.add(rows)).features
    user.page.close()
    folder = user.page.project.folder
    (folder / "project.backup.sqlite").replace(folder / "project.sqlite")
    user = opened(run=None)()
    assert len(user.ask("GET", "/api/state")["videos"]) == 1
    assert features.is_file()


def test_the_file_of_a_pose_tracker_becomes_features_of_its_film(opened, tmp_path):
    pytest.importorskip("movement")
    from movement.io import load_poses, save_poses

    film = write_video(tmp_path / "take.mp4", numbered(60), rate=15)
    positions = np.random.default_rng(0).uniform(0, 100, (60, 2, 3, 1))
    data = load_poses.from_numpy(positions, np.ones((60, 3, 1)), ["mouse"], ["nose", "ear", "tail"], fps=15)
    name = "takeDLC_resnet50_mouse.csv"
    save_poses.to_dlc_file(data, tmp_path / name, split_individuals=False)
    user = opened(run=None)()
    key = user.upload(tmp_path / name)
    video = user.page.project.video(user.ask("POST", "/api/videos", json={"files": [user.upload(film), key]})["video"])
    assert (video.name, video.n_frames, video.fps) == ("take", 60, 10.0)
    rows = np.load(video.features)
    assert rows.shape == (40, 16)  # 10 a second
    distances = np.linalg.norm(positions[:, :, 0, 0] - positions[:, :, 1, 0], axis=1)  # nose to ear
    assert any(np.allclose(column[1::2], distances[2::3], atol=1e-3) for column in rows.T)
    error = user.ask("POST", "/api/videos", 400, json={"files": [user.upload(tmp_path / name)]})["error"]
    assert error.startswith(f"{name}: ")
    (tmp_path / "take.csv").write_text("scorer,a\n")
    keys = [user.upload(film), user.upload(tmp_path / "take.csv")]
    assert user.ask("POST", "/api/videos", 400, json={"files": keys})["error"].startswith("take.csv: ")
    folder = user.page.project.folder / "videos"
    assert {path.stem for path in folder.iterdir()} == {video.features.stem}
    user.ask("POST", "/api/files", 400, params={"name": "takeDLC.h5"}, content=b"x")  # which may hold code


def points_of(path, n_rows, speed=1.0):
    """A file of DeepLabCut whose points part by `speed` in each row."""
    rows = ["scorer" + ",net" * 6, "bodyparts" + ",nose" * 3 + ",tail" * 3, "coords" + ",x,y,likelihood" * 2]
    rows += [f"{row},{speed * row},5,1,0,5,1" for row in range(n_rows)]
    path.write_text("\n".join(rows) + "\n")
    return path


def added(user, *paths, status=200):
    """The answer to files of one video."""
    return user.ask("POST", "/api/videos", status, json={"files": [user.upload(path) for path in paths]})


@pytest.mark.parametrize("name", ["take10DLC_net.csv", "taken.csv", "other.csv"])
def test_points_of_another_film_are_refused(opened, tmp_path, name):
    pytest.importorskip("movement")
    film = write_video(tmp_path / "take.mp4", numbered(30), rate=15)
    user = opened(run=None)()
    error = added(user, film, points_of(tmp_path / name, 30), status=400)["error"]
    assert error.startswith(f"{name}: ")
    assert error.endswith("points of take. Give its film.")
    for fitting in ("take.csv", "take_filtered.csv"):
        added(user, film, points_of(tmp_path / fitting, 30))


def test_points_of_some_pictures_are_refused(opened, tmp_path):
    pytest.importorskip("movement")
    film = write_video(tmp_path / "take.mp4", numbered(30), rate=15)
    error = added(opened(run=None)(), film, points_of(tmp_path / "take.csv", 20), status=400)["error"]
    assert error.startswith("take.csv: ")
    assert "20" in error
    assert "30" in error


@pytest.mark.parametrize("kind", ["varying", "rounded"])
def test_features_of_points_have_the_times_of_the_pictures(opened, tmp_path, kind):
    pytest.importorskip("movement")
    times = [200 * row for row in range(20)] + [4000 + 50 * row for row in range(80)]
    if kind == "rounded":
        times = [round(1000 * row / 10.0) + (-1) ** row * (row > 0) for row in range(100)]
    film = write_video(tmp_path / "take.mkv", numbered(100), rate=30, times=times)
    user = opened(run=None)()
    video = user.page.project.video(added(user, film, points_of(tmp_path / "take.csv", 100))["video"])
    rows = np.load(video.features)
    facts = json.loads(video.features.with_suffix(".json").read_text())
    assert facts["fps"] == 10.0
    assert facts["encoder"].startswith("pose:")
    spread = next(column for column in rows.T if np.isclose(column[-1], 99, atol=1))  # nose to tail
    expected = np.interp(np.arange(len(rows)) / 10, np.array(times) / 1000, np.arange(100))
    assert spread == pytest.approx(expected, abs=0.6 if kind == "varying" else 0.05)


def test_points_of_other_columns_do_not_fit_a_run(opened, tmp_path, text_run, monkeypatch):
    pytest.importorskip("movement")
    film = write_video(tmp_path / "take.mp4", numbered(30), rate=15)
    user = opened()()
    run = user.page.engine.base.run
    run = replace(run, encoder="pose:tail, nose@0")
    monkeypatch.setattr(user.page.engine.base.scorer, "run", run)
    error = added(user, film, points_of(tmp_path / "take.csv", 30), status=400)["error"]
    assert error.startswith("take.csv: features by pose:@")
    assert "pose:tail, nose@0" in error


def test_a_waiting_segmentation_that_is_cancelled_leaves_no_file(user, rows):
    free = threading.Event()
    user.page.queue.add(Job("nobody", lambda job: free.wait(20)))
    how = {"params": {"name": "a.npy", "wait": 0}, "content": rows.read_bytes()}
    job = user.ask("POST", "/api/segment", 202, **how)["job"]
    assert len(list(user.page.incoming.iterdir())) == 1
    user.ask("DELETE", f"/api/segment/{job}")
    assert list(user.page.incoming.iterdir()) == []
    free.set()


def test_a_run_in_this_folder_leaves_figures_of_errors_as_they_are(opened, text_run, tmp_path, monkeypatch, rows):
    monkeypatch.chdir(text_run)
    user = opened(run=Path())()
    np.save(tmp_path / "a.npy", np.load(rows))
    (tmp_path / "a.json").write_text('{"fps": 12.5}')
    assert "12.5 rows" in added(user, tmp_path / "a.npy", tmp_path / "a.json", status=400)["error"]


def test_a_film_is_added_beside_a_damaged_model(opened, tmp_path):
    """Only tracked points ask the model for its rate."""
    user = opened(run=None)()
    (tmp_path / "model-1").mkdir()
    (tmp_path / "model-1" / "run.json").write_text("{")
    user.page.project.add_run(tmp_path / "model-1", "main", {})
    user.page.project.set("model", "model-1")
    key = user.upload(write_video(tmp_path / "take.mp4", numbered(60), rate=15))
    user.client.post("/api/videos", json={"files": [key]})
    (video,) = user.page.project.videos()
    assert video.media.is_file()
