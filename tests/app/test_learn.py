"""From the labels of a project to a model, and a new action taught to it; figures before and after."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from fact_clip.config import Config
from fact_clip.core import BACKGROUND, InputError, Segmentation
from fact_clip.inference.loading import load
from fact_clip.training import train
from fact_clip.video.write import write_video
from fact_clip_app.store.project import Label, VideoEntry
from fact_clip_app.teach.labelled_videos import (
    ROLES,
    Example,
    LabelledVideo,
    assign_roles,
    export_set,
    labelled_videos,
    training_videos,
    unlabelled_videos,
    write_set,
)
from fact_clip_app.teach.learning import figures_text, measure
from fact_clip_app.workspace.jobs import Job

from ..refusals import refused

FPS = 5.0
NAMES = ("stir the soup", "pour water", "cut bread")
NEW = ("wipe table", "peel carrot")


def write_features(path, plan, seed):
    """Rows that show which action it is: a direction each, and noise."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(9).standard_normal((5, 16))
    names = [*NAMES, *NEW]
    rows = [directions[names.index(name)] for length, name in plan for _ in range(length)]
    np.save(path, (np.array(rows) + 0.3 * rng.standard_normal((len(rows), 16))).astype(np.float32))
    path.with_suffix(".json").write_text(f'{{"fps": {FPS}}}')


def test_figures_in_words():
    after = {"right": 83.2, "found": 9, "segments": 10}
    text = figures_text({"before": None, "after": after})
    assert "83 % of the time right, 9 of 10 segments found; before: –." in text
    assert "before: 40 %, 2 of 10." in figures_text(
        {"before": {"right": 39.6, "found": 2, "segments": 10}, "after": after}
    )


def test_a_model_is_measured_by_hand(tiny_run, rows):
    model = load(tiny_run, "cpu")
    prediction = model.segment(rows)
    labels, times = prediction.to_frames(), np.arange(prediction.n_frames + 1) / 15
    actions = [one for one in prediction if one.label not in prediction.background]
    labels = [BACKGROUND if label in prediction.background else label for label in labels]
    whole = {"right": 100.0, "found": len(actions), "segments": len(actions)}
    assert measure(model, [LabelledVideo(np.load(rows), times, labels)], None) == whole
    first = actions[0]
    labels[first.start : first.stop] = ["peel apple"] * first.duration
    wrong = measure(model, [LabelledVideo(np.load(rows), times, labels)], None)
    assert wrong["right"] == pytest.approx(100 * (1 - first.duration / len(labels)), abs=0.06)
    assert (wrong["found"], wrong["segments"]) == (len(actions) - 1, len(actions))


def test_what_is_unlabelled_is_neither_right_nor_wrong(tiny_run, rows, monkeypatch):
    """A segment that lies half in unlabelled frames is found by its labelled half."""
    model = load(tiny_run, "cpu")
    n_rows = len(np.load(rows))
    labels = ["grasp shaft"] * 5 + ["?"] * (n_rows - 5)
    predicted = Segmentation.from_frames(["grasp shaft"] * n_rows)
    monkeypatch.setattr(model, "segment", lambda *_args, **_options: predicted)
    figures = measure(model, [LabelledVideo(np.load(rows), np.arange(n_rows + 1) / 15, labels)], None)
    assert figures == {"right": 100.0, "found": 1, "segments": 1}


def test_segments_on_both_sides_of_unlabelled_time_are_two(tiny_run, rows, monkeypatch):
    model = load(tiny_run, "cpu")
    n_rows = len(np.load(rows))
    labels = ["grasp shaft"] * 5 + ["?"] * 5 + ["grasp shaft"] * (n_rows - 10)
    video = LabelledVideo(np.load(rows), np.arange(n_rows + 1) / 15, labels)
    for n_named, n_hits in ((n_rows, 2), (5, 1)):
        names = ["grasp shaft"] * n_named + [BACKGROUND] * (n_rows - n_named)
        predicted = Segmentation.from_frames(names)
        monkeypatch.setattr(model, "segment", lambda *_args, predicted=predicted, **_options: predicted)
        figures = measure(model, [video], None)
        assert (figures["found"], figures["segments"]) == (n_hits, 2)


def test_background_of_another_name_is_background(tiny_run, rows, monkeypatch):
    """A model that was trained elsewhere calls it otherwise than the labels of the page."""
    model = load(tiny_run, "cpu")
    (own_name,) = model.vocabulary.background
    assert own_name != BACKGROUND
    n_rows = len(np.load(rows))
    labels = [BACKGROUND] * 10 + ["grasp shaft"] * (n_rows - 10)
    predicted = Segmentation.from_frames([own_name] * 6 + ["grasp shaft"] * (n_rows - 6))
    monkeypatch.setattr(model, "segment", lambda *_args, **_options: predicted)
    video = LabelledVideo(np.load(rows), np.arange(n_rows + 1) / 15, labels)
    figures = measure(model, [video], None)
    assert figures["right"] == pytest.approx(100 * (1 - 4 / n_rows), abs=0.06)
    assert (figures["found"], figures["segments"]) == (1, 1)


def test_features_with_their_video_need_no_encoder(opened, tiny_run, rows, tmp_path):
    """A run of features whose encoder is unknown is taught by features and their film."""
    user = opened(run=tiny_run)()
    films = []
    for number in range(2):
        film = tmp_path / f"take{number}.mp4"
        write_video(film, np.zeros((len(np.load(rows)), 16, 16, 3), np.uint8), 15.0)
        features = tmp_path / f"take{number}.npy"
        np.save(features, np.load(rows) + number)
        features.with_suffix(".json").write_text('{"fps": 15}')
        films.append(user.add(film, features))
    for video in films:
        user.label(video, (0, 5, "grasp shaft"))
    with pytest.raises(InputError, match="encoder"):
        user.page.engine.model().sources.encoder_for(tmp_path / "take0.mp4")
    examples = labelled_videos(user.page, "main")
    write_set(
        user.page,
        examples,
        tmp_path / "set",
        user.page.engine.model(),
        {}.get,
        (BACKGROUND,),
        Job("export", lambda job: None),
    )
    written = sorted(path.stem for path in (tmp_path / "set/groundTruth").glob("take*.txt"))
    assert written == ["take0", "take1"]
    assert (tmp_path / "set/groundTruth/take0.txt").read_text().splitlines()[:5] == ["grasp shaft"] * 5


def test_two_labelled_videos_are_needed(opened, tiny_run, rows):
    user = opened(run=tiny_run)()
    user.label(user.add(rows), (0, 5, "grasp shaft"))
    assert user.ask("POST", "/api/train", 400, json={})["error"].startswith("train: only 1 video is labelled")
    with refused("train"):
        from fact_clip_app.teach.labelled_videos import training_videos

        training_videos(user.page, "left hand", {}.get)


def test_a_training_asks_what_the_unlabelled_rest_is(opened, rows, workbench):
    user = opened(run=None)()
    videos = [user.add(rows), user.add(workbench / "features" / "person2_video1.npy")]
    for video in videos:
        user.label(video, (0, 5, "stir"), (5, 12, "pour"))
    duration = float(len(np.load(rows)))
    incomplete = user.ask("GET", "/api/train", params={"track": "main"})["videos"]
    assert [video["id"] for video in incomplete] == videos
    assert incomplete[0]["labelled_to"] == 12.0  # features without a rate have a row a second
    assert incomplete[0]["duration"] == pytest.approx(duration, abs=1e-3)
    error = user.ask("POST", "/api/train", 400, json={})["error"]
    assert error == (
        f"person1_video1: labelled to 12.0 s of {duration:.1f} s. "
        "Say whether the rest is background or unlabelled, or skip the video."
    )
    unlabelled = {videos[0]: "background", videos[1]: "skip"}
    assert "only 1 video" in user.ask("POST", "/api/train", 400, json={"unlabelled": unlabelled})["error"]
    user.ask("PATCH", f"/api/videos/{videos[0]}", json={"complete": True})
    incomplete = user.ask("GET", "/api/train", params={"track": "main"})["videos"]
    assert [video["id"] for video in incomplete] == videos[1:]


@pytest.mark.parametrize(("unlabelled", "other"), [("background", "background"), ("ignore", "?")])
def test_the_answer_becomes_the_label_of_the_rest(opened, rows, workbench, tmp_path, unlabelled, other):
    from fact_clip_app.teach.labelled_videos import export_set

    user = opened(run=None)()
    for path in (rows, workbench / "features" / "person2_video1.npy"):
        user.label(user.add(path), (0, 5, "stir"))
    with refused("person1_video1"):
        export_set(user.page, "main", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    export_set(user.page, "main", tmp_path / "set", unlabelled)
    labels = (tmp_path / "set/groundTruth/person1_video1.txt").read_text().splitlines()
    assert labels == ["stir"] * 5 + [other] * (len(labels) - 5)


def test_skip_leaves_out_only_videos_that_are_not_complete(opened, rows, workbench, tmp_path):
    from fact_clip_app.teach.labelled_videos import export_set

    user = opened(run=None)()
    for name in ("person1_video1", "person2_video1", "person3_video1"):
        video = user.add(workbench / "features" / f"{name}.npy")
        user.label(video, (0, 5, "stir"))
        if name != "person3_video1":
            user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    export_set(user.page, "main", tmp_path / "set", "skip")
    names = sorted(path.stem for path in (tmp_path / "set/groundTruth").iterdir())
    assert names == ["person1_video1", "person2_video1"]


def test_videos_of_point_events_are_trained_on_as_clicks(opened, rows, workbench, tmp_path):
    from fact_clip_app.teach.labelled_videos import export_set

    user = opened(run=None)()
    clicked = user.add(rows)
    user.label(clicked, (3, 3, "stir"), (9, 9, "pour, slowly"))
    other = user.add(workbench / "features" / "person2_video1.npy")
    user.label(other, (2, 2, "stir"))
    error = user.ask("POST", "/api/train", 400, json={})["error"]
    assert error.startswith("train: no video has segments. Label one with segments")
    user.label(user.add(workbench / "features" / "person3_video1.npy"), (0, 5, "stir"))
    export_set(user.page, "main", tmp_path / "set", "background")
    text = (tmp_path / "set/clicks/person1_video1.csv").read_text()
    assert text == 'frame,label\n3,stir\n9,"pour, slowly"\n'
    labelled = [path.name for path in (tmp_path / "set/groundTruth").iterdir()]
    assert labelled == ["person3_video1.txt"]  # the video with segments is tested on
    tested = (tmp_path / "set/splits/test.split1.bundle").read_text().split()
    assert tested == ["person3_video1"]


def test_videos_without_labels_are_training_videos_that_a_first_model_names(opened, rows, workbench, tmp_path):
    user = opened(run=None)()
    helpers = [user.add(workbench / f"features/person3_video{number}.npy") for number in (1, 2)]
    for path in (rows, workbench / "features" / "person2_video1.npy"):
        user.label(user.add(path), (0, 5, "stir"), (5, 12, "pour"))
    page = user.page
    empty = user.add(workbench / "features" / "person1_video2.npy")
    track = user.ask("GET", f"/api/videos/{empty}")["tracks"][0]["id"]
    user.ask("PATCH", f"/api/videos/{empty}/tracks/{track}", json={"complete": True})  # in which nobody does anything
    assert [video.id for video in unlabelled_videos(page)] == helpers
    examples = training_videos(page, "main", lambda video: "background")
    write_set(
        page,
        examples,
        tmp_path / "set",
        None,
        lambda video: "background",
        (BACKGROUND,),
        Job("test"),
        unlabelled_videos(page),
    )
    lists = {part: (tmp_path / f"set/splits/{part}.split1.bundle").read_text().split() for part in ("train", "test")}
    assert {*lists["train"]} > {"person3_video1", "person3_video2"}
    assert len(lists["train"]) == 4  # with the complete one
    assert {*(tmp_path / "set/groundTruth/person3_video1.txt").read_text().split()} == {"?"}
    assert page.project.setting(ROLES, {}).keys() == {example.video.id for example in examples}
    user.label(examples[1].video.id, (0, 5, "stir"), (5, 12, "taste"))
    examples = training_videos(page, "main", lambda video: "ignore")
    with refused("train") as refusal:
        write_set(
            page,
            examples,
            tmp_path / "b",
            None,
            lambda video: "ignore",
            (BACKGROUND,),
            Job("test"),
            unlabelled_videos(page),
        )
    assert "'taste'" in refusal.message
    error = user.ask("POST", "/api/train", 400, json={"teach": True, "helpers": True})["error"]
    assert error.startswith("train: videos without labels help a new model alone")


def example(name: str, is_clicked: bool = False) -> Example:
    labels = [Label(0, 0 if is_clicked else 5, "stir")]
    return Example(cast(VideoEntry, SimpleNamespace(id=name)), labels, complete=True, track=1)


def that_test(names, stored=(), clicked=()):
    """The names of the videos that test, of those named."""
    roles = assign_roles([example(name, name in clicked) for name in names], dict(stored))
    return "".join(name for name in names if roles[name])


def test_one_video_of_four_tests_a_model_and_no_model_has_learned_from_it():
    assert [that_test("abcdefghij"[:number]) for number in (2, 3, 5, 6, 9, 10)] == ["b", "b", "b", "bf", "bf", "bfj"]
    first = assign_roles([example("b"), example("c")], {})
    assert first == {"b": False, "c": True}
    assert that_test("abc", first) == "c"  # a video before them takes nobody's place
    assert that_test("abcdef", first) == "cf"
    assert that_test("bd", first) == "d"  # the tested one is gone
    assert that_test("ab", {"a": False, "b": False}) == "b"  # no other is left
    assert that_test("ab", {"a": True, "b": True}) == "b"  # one must be trained on
    assert that_test("abc", clicked="ab") == "c"
    assert that_test("ab", {"a": True}, clicked="a") == "b"


def test_the_roles_of_videos_are_stored(opened, rows, workbench, tmp_path):
    user = opened(run=None)()
    for path in (rows, workbench / "features" / "person2_video1.npy"):
        user.label(user.add(path), (0, 5, "stir"))
    examples = labelled_videos(user.page, "main")
    job = Job("export", lambda job: None)
    assert len(write_set(user.page, examples, tmp_path / "first", None, {}.get, (BACKGROUND,), job)) == 1
    second = examples[1].video.id
    assert user.page.project.setting(ROLES) == {examples[0].video.id: False, second: True}


def plans(rng, number, *more):
    """Each name twice, in two random orders; with `more`, these instead of a second time."""
    names = [*rng.permutation(NAMES), *rng.permutation(NAMES)]
    names[4 : 4 + len(more)] = more
    return [[(int(rng.integers(15, 30)), str(name)) for name in names] for _ in range(number)]


def edges_of(plan):
    edges = np.cumsum([0, *(length for length, _ in plan)]).tolist()
    return [(start, stop, name) for start, stop, (_, name) in zip(edges, edges[1:], plan, strict=False)]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_new_model_learns_from_videos_that_nobody_labelled(opened, tmp_path):
    user = opened(run=None)()
    rng = np.random.default_rng(1)
    for number, plan in enumerate(plans(rng, 5)):
        write_features(tmp_path / f"v{number}.npy", plan, number)
        video = user.add(tmp_path / f"v{number}.npy", tmp_path / f"v{number}.json")
        if number < 3:
            user.label(video, *edges_of(plan))
    unlabelled = {video["id"]: "background" for video in user.ask("GET", "/api/state")["videos"]}
    user.ask("POST", "/api/train", json={"minutes": 0.04, "helpers": True, "unlabelled": unlabelled})
    state = user.settle()
    assert state["training"]["state"] == "done", state["training"]
    (folder, _) = user.page.project.runs()["model-1"]
    assert {path.name for path in (folder / "drafts").glob("*.txt")} >= {"v3.txt", "v4.txt"}
    assert "?" not in (folder / "drafts" / "v3.txt").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_run_is_taught_two_new_actions(opened, tmp_path):
    """Old actions lose at most two points, on videos that nobody trained; figures before and after are of one test."""
    rng, root, videos = np.random.default_rng(1), tmp_path / "data", []
    for folder in ("features", "groundTruth", "splits"):
        (root / folder).mkdir(parents=True)
    for number, plan in enumerate([*plans(rng, 10), *plans(rng, 6, *NEW)]):
        write_features(root / f"features/v{number}.npy", plan, number)
        labels = "".join(f"{name}\n" * length for length, name in plan)
        (root / f"groundTruth/v{number}.txt").write_text(labels if number < 10 else "")
        videos.append(plan)
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(NAMES)))
    for part, numbers in (("train", range(4)), ("test", range(4, 10))):
        (root / f"splits/{part}.split1.bundle").write_text("".join(f"v{number}\n" for number in numbers))
    values = [f"data.root={root}", "data.fps=5", "model.head=closed", "data.validation=0", "data.standardize=true"]
    train(Config.load("own", [*values, "train.epochs=40"]), tmp_path / "run")

    user = opened(run=tmp_path / "run")()
    for number in range(10, 16):
        video = user.add(root / f"features/v{number}.npy", root / f"features/v{number}.json")
        user.label(video, *edges_of(videos[number]))
    user.ask("POST", "/api/train", json={"minutes": 0.04, "teach": True})
    state = user.settle()
    assert state["training"]["state"] == "done", state["training"]
    figures = state["runs"]["model-1"]
    assert figures["after"]["right"] > max(80, figures["before"]["right"])
    taught = user.page.project.runs()["model-1"][0]
    assert set(load(taught, "cpu").vocabulary) == {*NAMES, *NEW}
    features = [np.load(root / f"features/v{number}.npy") for number in range(10)]
    held = [LabelledVideo(features[number], np.arange(sum(n for n, _ in videos[number]) + 1) / FPS,
             [name for length, name in videos[number] for _ in range(length)]) for number in range(4, 10)]  # fmt: skip
    before, after = (measure(load(run, "cpu"), held, NAMES)["right"] for run in (tmp_path / "run", taught))
    assert after >= before - 2


def test_a_complete_video_without_labels_is_trained_on_as_background(opened, rows, workbench, tmp_path):
    """It tests no model, as it has nothing to be found."""
    user = opened(run=None)()
    videos = [user.add(workbench / f"features/person{number}_video1.npy") for number in (1, 2, 3)]
    for video in videos:
        user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    user.ask("POST", "/api/train", 400, json={})
    user.label(videos[0], (0, 5, "stir"))
    answer = user.ask("POST", "/api/train", 400, json={})
    assert "only 1 video is labelled" in answer["error"]
    user.label(videos[2], (0, 5, "stir"))
    assert user.ask("GET", "/api/train", params={"track": "main"})["videos"] == []
    export_set(user.page, "main", tmp_path / "set")
    assert {*(tmp_path / "set/groundTruth/person2_video1.txt").read_text().split()} == {BACKGROUND}
    tested = (tmp_path / "set/splits/test.split1.bundle").read_text().split()
    assert tested == ["person3_video1"]


def test_a_call_without_the_test_video_makes_no_other_one_a_test_video_for_good(opened, rows, workbench, tmp_path):
    user = opened(run=None)()
    features = sorted((workbench / "features").glob("*.npy"))
    videos = [user.add(path) for path in (rows, *features) if path.name != rows.name][:3]
    for video in videos:
        user.label(video, (0, 5, "stir"))
    examples = labelled_videos(user.page, "main")
    export_set(user.page, "main", tmp_path / "download", "ignore")
    assert user.page.project.setting(ROLES) is None  # a download trains nothing

    def written(name, examples):
        job = Job("export", lambda job: None)
        write_set(user.page, examples, tmp_path / name, None, {}.get, (BACKGROUND,), job)
        return user.page.project.setting(ROLES)

    roles = written("all", examples)
    assert sum(roles.values()) == 1
    rest = [example for example in examples if not roles[example.video.id]]
    assert written("rest", rest) == roles
    assert (tmp_path / "rest/splits/test.split1.bundle").read_text().split()  # one of them tests, this time
    (tested,) = [example.video.id for example in examples if roles[example.video.id]]
    user.page.project.change_video(tested, removed=1.0)
    assert sum(written("gone", rest)[example.video.id] for example in rest) == 1


def test_clicks_and_videos_without_labels_are_refused_at_once(opened, rows, workbench):
    user = opened(run=None)()
    features = sorted((workbench / "features").glob("*.npy"))
    first, second, clicked, _ = [user.add(path) for path in features[:4]]
    for video in (first, second):
        user.label(video, (0, 5, "stir"))
        user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    user.label(clicked, (3, 3, "stir"))
    name = user.page.project.video(clicked).name
    error = user.ask("POST", "/api/train", 400, json={"helpers": True})["error"]
    assert error.startswith(f"train: {name} has clicks")


@pytest.mark.parametrize(
    ("n_renamed", "n_removed", "name"), [(1, 0, "main"), (2, 0, "left hand"), (1, 1, "left hand"), (0, 2, "main")]
)
def test_a_track_that_is_renamed_while_its_training_runs(
    opened, workbench, text_run, monkeypatch, n_renamed, n_removed, name
):
    """The run gets the new name once no track of its training has the old one, unless all are gone."""
    user = opened()()
    videos = [user.add(path) for path in sorted((workbench / "features").glob("*.npy"))[:2]]
    for video in videos:
        user.label(video, (0, 5, "grasp shaft"), (5, 10, "stir"))
        user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})

    def rename(command, job, out=None, epochs=0, note=""):
        if command[1] == "data":
            Path(command[command.index("--out") + 1]).write_text("{}")
            return
        shutil.copytree(text_run, out, dirs_exist_ok=True)
        for video in videos[:n_renamed]:
            (track,) = user.page.project.tracks(video)
            user.page.project.change_track(video, track, name="left hand")
        for video in videos[len(videos) - n_removed :]:
            (track,) = user.page.project.tracks(video)
            user.label(video)
            user.page.project.add_track(video, "other")
            user.page.project.remove_track(video, track)

    monkeypatch.setattr("fact_clip_app.teach.learning.run_command", rename)
    user.ask("POST", "/api/train", json={})
    state = user.settle()
    assert state["training"]["state"] == "done", state["training"]
    (run,) = state["runs"]
    assert user.page.project.track_of_run(run) == name
