"""Names, settings and labels: what is shown, what is kept, and what is made of it."""

from __future__ import annotations

import io
import shlex
import zipfile

import numpy as np
import pytest

import fact_clip
from fact_clip.core import BACKGROUND, Rating, Segment, Segmentation
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.datasets.dataset import Dataset
from fact_clip.formats import FORMATS
from fact_clip_app.store.project import Label
from fact_clip_app.teach.labelled_videos import _row_labels, labelled_videos, write_set
from fact_clip_app.workspace.drafts import Draft, drafts_of, overlaid, segmentation_of
from fact_clip_app.workspace.jobs import Job

from .conftest import UNSURE

NASTY = "<img src=x onerror=alert(1)>"


def segments(found):
    return [(each["start"], each["stop"], each["label"]) for each in found]


def main(shown):
    """The segments of the first track."""
    return segments(shown["tracks"][0]["segments"])


def overlaid_parts(shown):
    """The segments of the first track, with drafts between them, as the page draws them."""
    labels = [Label(*each) for each in main(shown)]
    return of(overlaid([Draft(*each) for each in segments(shown["drafts"])], labels))


def of(segmentation):
    """Segments as tuples, with the name that a project has for background."""
    background = getattr(segmentation, "background", ())
    return [(each.start, each.stop, BACKGROUND if each.label in background else each.label) for each in segmentation]


# --- labels over a prediction, by hand -----------------------------------------------------------------------

DRAFTS = [Draft(0, 4, "a", 0.5), Draft(4, 8, "b", 0.7), Draft(8, 10, "a", 0.9)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], [(0, 4, "a", 0), (4, 8, "b", 0), (8, 10, "a", 0)]),
        ([(3, 6, "c")], [(0, 3, "a", 0), (3, 6, "c", 1), (6, 8, "b", 0), (8, 10, "a", 0)]),
        ([(0, 10, "c")], [(0, 10, "c", 1)]),
        ([(0, 4, "a"), (4, 5, "c")], [(0, 4, "a", 1), (4, 5, "c", 1), (5, 8, "b", 0), (8, 10, "a", 0)]),
        ([(8, 10, "b")], [(0, 4, "a", 0), (4, 8, "b", 0), (8, 10, "b", 1)]),
        # point events divide no draft, and one within a label opens no gap
        ([(5, 5, "c")], [(0, 4, "a", 0), (4, 8, "b", 0), (5, 5, "c", 1), (8, 10, "a", 0)]),
        (
            [(2, 9, "c"), (5, 5, "d"), (9, 9, "d")],
            [(0, 2, "a", 0), (2, 9, "c", 1), (5, 5, "d", 1), (9, 9, "d", 1), (9, 10, "a", 0)],
        ),
    ],
)
def test_what_is_left_of_a_prediction_lies_between_the_labels(labels, expected):
    parts = overlaid(DRAFTS, [Label(*each) for each in labels])
    assert [(part.start, part.stop, part.label, isinstance(part, Label)) for part in parts] == expected


def test_a_file_has_no_gaps_and_joins_nothing():
    parts = [Label(2, 4, "a"), Label(3, 3, "d"), Label(4, 5, "a"), Label(8, 9, "b"), Label(9, 9, "c")]
    expected = (0, 2, "no"), (2, 4, "a"), (4, 5, "a"), (5, 8, "no"), (8, 9, "b"), (9, 10, "no")
    segmentation = segmentation_of(parts, 10, ("no",))
    assert segmentation.segments == tuple(Segment(*each) for each in expected)
    assert [(one.frame, one.label) for one in segmentation.instants] == [(3, "d"), (9, "c")]
    assert segmentation_of([], 3, ("no",)).segments == (Segment(0, 3, "no"),)
    assert segmentation_of([Draft(0, 3, "a", 0.5)], 3, ("no",)).segments[0].confidence == 0.5


def test_rows_of_features_and_pictures_of_a_video():
    times, rows = np.arange(11) / 10, np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    labels = [Label(1, 3, "a"), Label(5, 5, "b"), Label(6, 10, "c")]
    parts = [(times[label.start], times[label.stop], label.label) for label in labels]
    rating = Rating.of(parts, is_complete=False, end=1.0)
    names, lost = _row_labels(rating, rows)
    assert names == ["a", "?", "c", "c"]  # middles at 0.125, 0.375, 0.625, 0.875
    assert lost == ()
    predicted = Segmentation((Segment(0, 1, "x"), Segment(1, 3, "y", 0.5), Segment(3, 4, "z")))
    assert drafts_of(predicted, rows, times) == [Draft(0, 3, "x"), Draft(3, 8, "y", 0.5), Draft(8, 10, "z")]


# --- names and settings --------------------------------------------------------------------------------------


def test_features_are_segmented_as_in_python(user, text_run, rows):
    video = user.add(rows)
    found = user.ask("GET", f"/api/videos/{video}")
    expected = fact_clip.load(text_run, "cpu").segment(rows)
    assert main(found) == []
    assert segments(found["drafts"]) == of(expected)
    assert [each["confidence"] for each in found["drafts"]] == pytest.approx([each.confidence for each in expected])
    assert found["times"] == pytest.approx(np.arange(expected.n_frames + 1) / 15, abs=1e-4)
    assert (found["media"], found["background"]) == (None, ["background"])


def test_names_change_the_result_at_once(user, text_run, rows):
    names = ["grasp shaft", NASTY, "peel apple, slowly"]
    video = user.add(rows)
    state = user.act(*(f" {name} " for name in names))
    shown = user.ask("GET", f"/api/videos/{video}")
    assert segments(shown["drafts"]) == of(fact_clip.load(text_run, "cpu").segment(rows, actions=names))
    assert [action["name"] for action in state["actions"]] == names
    assert state["unseen"] == sorted(names[1:])
    assert shown["unseen"] == sorted(names[1:])
    assert [shown["colours"][name]["number"] for name in names] == ["1", "2", "3"]


def test_settings_decode_again_and_show_their_command_line(user, text_run, rows, tmp_path, monkeypatch):
    adjust = {"threshold": 0.06, "gamma": 0.5, "switch_penalty": 0.4, "shortest": 0.7}
    video = user.add(rows)
    user.act("grasp shaft", "peel, cut", "tap shaft with mallet")
    user.ask("POST", "/api/settings", json={"adjust": adjust})
    shown = user.ask("GET", f"/api/videos/{video}")
    segmenter = fact_clip.load(text_run, "cpu")
    names = ["grasp shaft", "peel, cut", "tap shaft with mallet"]
    drafts = segments(shown["drafts"])
    assert drafts == of(segmenter.segment(rows, actions=names, settings=DecodeSettings(**adjust)))
    assert drafts != of(segmenter.segment(rows, actions=names))

    monkeypatch.chdir(rows.parent)
    from fact_clip import cli

    words = shlex.split(shown["command"])
    assert words[0] == "fact-clip"
    assert cli.main([*words[1:], "--device", "cpu", "--out", str(tmp_path), "--format", "json"]) == 0
    assert of(Segmentation.load(tmp_path / "person1_video1.json")) == drafts


def test_a_closed_head_predicts_its_own_names_and_a_person_may_use_others(opened, tiny_run, rows):
    user = opened(run=tiny_run)()
    video = user.add(rows)
    user.act("grasp shaft", "peel apple")
    shown = user.ask("GET", f"/api/videos/{video}")
    assert {label for *_, label in segments(shown["drafts"])} <= {"grasp shaft", "no action"}
    assert (0, 5, "peel apple") in main(user.label(video, (0, 5, "peel apple")))


# --- labels --------------------------------------------------------------------------------------------------


def test_labels_outlive_new_names_and_follow_a_new_one(user, rows):
    video = user.add(rows)
    shown = user.label(video, (10, 25, NASTY), (25, 40, "grasp shaft"))
    fixed = [(10, 25, NASTY), (25, 40, "grasp shaft")]
    assert main(shown) == fixed
    assert [each["origin"] for each in shown["tracks"][0]["segments"]] == ["drawn", "drawn"]
    assert NASTY in [action["name"] for action in user.ask("GET", "/api/state")["actions"]]  # a new name joins the list

    user.act("rotate gear", "grasp shaft")
    other = user.ask("GET", f"/api/videos/{video}")
    assert main(other) == fixed
    assert {label for *_, label in segments(other["drafts"])} <= {"rotate gear", "grasp shaft", "background"}

    user.ask("POST", "/api/actions", json={"do": "change", "name": "grasp shaft", "to": "grip shaft"})
    third = user.ask("GET", f"/api/videos/{video}")
    assert main(third) == [fixed[0], (25, 40, "grip shaft")]
    assert user.ask("GET", "/api/state")["videos"][0]["labels"] == 2
    back = user.ask("POST", f"/api/videos/{video}/undo", json={})
    assert main(back) == fixed


def test_two_browsers_are_told_of_a_conflict(opened, rows):
    enter = opened()
    one, other = enter(), enter()
    video = one.add(rows)
    shown = other.ask("GET", f"/api/videos/{video}")
    one.label(video, (0, 5, "grasp shaft"))
    revision = shown["tracks"][0]["revision"]
    body = {"track": shown["tracks"][0]["id"], "revision": revision, "segments": []}
    error = other.ask("PUT", f"/api/videos/{video}/segments", 409, json=body)["error"]
    assert error == "Somebody else changed track main a moment ago. Your last edit was not stored; please repeat it."
    body |= {
        "revision": revision + 1,
        "segments": [{"start": 7, "stop": 9, "label": "peel"}],
        "annotator": "Bernd",
    }
    one.ask("PUT", f"/api/videos/{video}/segments", json=body)
    body["annotator"] = "Anna"
    assert other.ask("PUT", f"/api/videos/{video}/segments", 409, json=body)["error"].startswith(
        "Bernd changed track main"
    )
    assert (7, 9, "peel") in main(other.ask("GET", f"/api/videos/{video}"))


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        ([{"start": 0, "stop": 10**6, "label": "a"}], "segments 1"),
        ([{"start": 0, "stop": 2, "label": "a\nb"}], "segments, 1, label"),
        ([{"start": -1, "stop": 2, "label": "a"}], "segments, 1, start"),
        ([{"start": 0, "stop": 3, "label": "a"}, {"start": 2, "stop": 4, "label": "a"}], "segments"),
    ],
)
def test_a_segment_that_cannot_be_is_refused(user, rows, entries, place):
    video = user.add(rows)
    body = {"track": 1, "revision": None, "segments": entries}
    error = user.ask("PUT", f"/api/videos/{video}/segments", 400, json=body)["error"]
    assert error.replace(" 1,", ", 1,").startswith(f"{place}: ")


def test_without_a_model_the_page_labels(opened, rows, tmp_path):
    user = opened(run=None)()
    video = user.add(rows)
    state = user.ask("GET", "/api/state")
    assert (state["model"]["exists"], state["actions"], state["videos"][0]["complete"]) == (False, [], False)
    shown = user.label(video, (3, 9, "stir"), (20, 20, "beep"))
    assert main(shown) == [(3, 9, "stir"), (20, 20, "beep")]
    assert (shown["drafts"], shown["command"], shown["undo"], shown["redo"]) == ([], "", "label 2 segments", None)
    track = user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "left hand"})["tracks"][1]
    user.label(video, (5, 30, "hold"), track=1)
    assert user.ask("DELETE", f"/api/videos/{video}/tracks/{track['id']}", 400)["error"].startswith("track: ")

    answer = user.client.get("/api/export", params={"format": ["json", "eaf"]})
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    stem = f"labels/{rows.stem}"
    assert set(archive.namelist()) == {f"{stem}.{name}" for name in ("main.json", "left hand.json", "eaf")}
    archive.extractall(tmp_path)
    np.save(tmp_path / "again.npy", np.load(rows) + 1)
    again = user.add(tmp_path / "again.npy")  # the tiers of one file are its tracks
    body = {"file": user.upload(tmp_path / f"{stem}.eaf")}
    tracks = user.ask("POST", f"/api/videos/{again}/labels", json=body)["tracks"]
    assert [(track["name"], [part["label"] for part in track["segments"]]) for track in tracks] == [
        ("main", ["stir", "beep"]), ("left hand", ["hold"]),
    ]  # fmt: skip
    training = {"track": "left hand", "unlabelled": "background"}
    answer = user.client.get("/api/export/training", params=training)
    names = {*zipfile.ZipFile(io.BytesIO(answer.content)).namelist()}
    assert {"training/mapping.txt", "training/splits/test.split1.bundle", f"training/features/{rows.name}"} < names
    user.ask("DELETE", f"/api/videos/{again}")
    frames = Segmentation.load(tmp_path / f"{stem}.left hand.json").to_frames()
    assert frames == ["?"] * 5 + ["hold"] * 25 + ["?"] * (len(frames) - 30)  # it is not marked as complete

    user.ask("DELETE", f"/api/videos/{video}")
    state = user.ask("GET", "/api/state")
    assert state["videos"] == []
    assert {"id": video, "name": rows.stem} in state["removed"]
    user.ask("GET", f"/api/videos/{video}", 404)
    user.ask("POST", f"/api/videos/{video}/restore")
    assert main(user.ask("GET", f"/api/videos/{video}")) == [(3, 9, "stir"), (20, 20, "beep")]


def test_a_project_is_there_after_a_restart(opened, rows, tmp_path):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (3, 9, "stir"))
    user.act("stir", "pour")
    before = user.ask("GET", f"/api/videos/{video}")
    user.page.close()
    again = opened(run=None)()
    assert again.ask("GET", f"/api/videos/{video}") == before
    back = again.ask("POST", f"/api/videos/{video}/undo", json={})
    assert (main(back), back["undo"]) == ([(3, 9, "stir")], "label stir")
    assert [action["name"] for action in again.ask("GET", "/api/state")["actions"]] == ["stir"]
    back = again.ask("POST", f"/api/videos/{video}/undo", json={})
    assert (main(back), back["undo"], back["redo"]) == ([], None, "label stir")
    assert again.ask("GET", "/api/state")["actions"] == []  # what the edit brought


def test_the_least_certain_drafts_come_first_and_labels_are_certain(user, rows, workbench):
    videos = [user.add(rows), user.add(workbench / "features" / "person2_video1.npy")]
    listed = user.ask("GET", "/api/clips", params=UNSURE)["segments"]
    assert {each["video"] for each in listed} <= set(videos)
    every = [each for video in videos for each in user.ask("GET", f"/api/videos/{video}")["drafts"]]
    assert [each["confidence"] for each in listed] == sorted(each["confidence"] for each in every)[:30]
    first = listed[0]
    user.label(first["video"], (first["start"], first["stop"], "grasp shaft"))
    assert first not in user.ask("GET", "/api/clips", params=UNSURE)["segments"]


def test_drafts_are_for_the_track_that_the_model_was_trained_on(user, rows, text_run):
    video = user.add(rows)
    tracks = user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "right hand"})["tracks"]
    left, right = (track["id"] for track in tracks)
    assert user.ask("GET", f"/api/videos/{video}")["draft_track"] == left
    run = user.page.project.add_run(text_run, "right hand", {})
    user.ask("POST", "/api/settings", json={"model": run})
    user.settle()
    user.ask("PATCH", f"/api/videos/{video}/tracks/{left}", json={"complete": True})
    shown = user.ask("GET", f"/api/videos/{video}")
    assert shown["draft_track"] == right
    assert shown["drafts"]
    user.ask("PATCH", f"/api/videos/{video}/tracks/{right}", json={"complete": True})
    assert user.ask("GET", f"/api/videos/{video}")["drafts"] == []
    assert user.ask("GET", "/api/clips", params=UNSURE)["segments"] == []


def test_clips_of_a_class_come_by_duration(opened, rows, workbench):
    user = opened(run=None)()
    videos = [user.add(rows), user.add(workbench / "features" / "person2_video1.npy")]
    user.act("stir", "grasp shaft")
    user.label(videos[0], (0, 4, "stir"), (6, 7, "stir"), (9, 9, "stir"))
    user.label(videos[1], (0, 9, "stir"))

    def clips(**query):
        rows = user.ask("GET", "/api/clips", params=query)["segments"]
        return [(row["video"], row["start"], row["stop"]) for row in rows]

    everything = [(videos[1], 0, 9), (videos[0], 0, 4), (videos[0], 6, 7)]
    assert clips(label="stir") == everything
    assert clips(label="stir", order="shortest") == everything[::-1]
    assert clips(label="stir", order="surest") == []
    assert {*clips()} >= {*everything}


def test_clips_of_a_class_come_by_confidence(user, rows):
    video = user.add(rows)
    user.act("stir", "grasp shaft")
    drafts = user.ask("GET", "/api/clips", params={"label": "grasp shaft", "order": "least sure"})["segments"]
    confidences = [draft["confidence"] for draft in drafts]
    assert confidences == sorted(confidences)
    assert confidences
    user.label(video, (drafts[0]["start"], drafts[0]["stop"], "stir"))
    assert drafts[0] not in user.ask("GET", "/api/clips", params={"label": "grasp shaft"})["segments"]


# --- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_downloaded_and_read_back(user, rows, tmp_path, name):
    video = user.add(rows)
    user.label(video, (10, 25, "peel apple"))
    other = "?" if name == "txt" else BACKGROUND
    user.ask("PATCH", f"/api/videos/{video}", json={"complete": other == BACKGROUND})
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": name, "background": "1"})
    assert answer.status_code == 200, answer.text
    ending = FORMATS[name].ending
    assert answer.headers["content-disposition"] == f'attachment; filename="person1_video1{ending}"'
    path = tmp_path / f"x{ending}"
    path.write_bytes(answer.content)
    if FORMATS[name].read is not None:
        n_frames = len(np.load(rows))
        labels = [other] * 10 + ["peel apple"] * 15 + [other] * (n_frames - 25)
        assert Segmentation.load(path).to_frames() == labels
    assert b"peel" in answer.content
    assert str(user.page.project.folder).encode() not in answer.content
    if FORMATS[name].annotations is not None:  # what was downloaded can be loaded
        body = {"file": user.upload(path), "replace": True}
        assert main(user.ask("POST", f"/api/videos/{video}/labels", json=body)) == [(10, 25, "peel apple")]


@pytest.mark.parametrize("name", ["csv", "json", "eaf", "nwb", "boris"])
def test_comments_are_downloaded_and_loaded(user, rows, tmp_path, name):
    video = user.add(rows)
    shown = user.ask("GET", f"/api/videos/{video}")
    body = {"track": shown["tracks"][0]["id"], "revision": shown["tracks"][0]["revision"]}
    comments = ['Mühe, "laut"; 手\nleise', ""]
    body["segments"] = [
        {"start": 10, "stop": 25, "label": "peel apple", "comment": comments[0]},
        {"start": 25, "stop": 30, "label": "peel apple", "comment": comments[1]},
    ]
    user.ask("PUT", f"/api/videos/{video}/segments", json=body)
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": name})
    path = tmp_path / f"x{FORMATS[name].ending}"
    path.write_bytes(answer.content)
    again = user.add(rows)
    loaded = user.ask("POST", f"/api/videos/{again}/labels", json={"file": user.upload(path)})
    labels = loaded["tracks"][0]["segments"]
    assert segments(labels) == [(10, 25, "peel apple"), (25, 30, "peel apple")]
    assert [each["comment"] for each in labels] == comments


def test_a_file_with_a_comment_that_is_too_long_stores_nothing(user, rows, tmp_path):
    video = user.add(rows)
    n_frames = len(np.load(rows))
    path = tmp_path / "x.json"
    Segmentation((Segment(0, 5, "stir"), Segment(5, n_frames, "pour", comment="x" * 2001))).save(path)
    error = user.ask("POST", f"/api/videos/{video}/labels", 400, json={"file": user.upload(path)})["error"]
    assert error.startswith("x.json")
    assert main(user.ask("GET", f"/api/videos/{video}")) == []


def test_labels_are_exported_and_compared_without_the_model(user, rows, monkeypatch):
    video = user.add(rows)
    track = user.label(video, (10, 25, "peel apple"))["tracks"][0]["id"]

    def fail(*_):
        raise AssertionError("the model was run")

    monkeypatch.setattr(user.page.engine, "drafts", fail)
    for path in (f"/api/videos/{video}/export?format=csv&track={track}", "/api/export"):
        assert user.client.get(path).status_code == 200
    monkeypatch.undo()
    body = {"first": "track main", "second": "predicted"}
    assert user.ask("POST", f"/api/videos/{video}/compare", json=body)["rows"][0]["name"] == "track main"


def test_labels_are_exported_alone_and_drafts_only_by_name(user, rows, tmp_path):
    """Each model cuts differently; files, totals and agreement of labels stay the same."""
    video = user.add(rows)
    user.add(rows)  # a video without labels
    hand_made = [(10, 25, "peel apple"), (25, 30, "peel apple"), (60, 70, "grasp shaft")]
    shown = user.label(video, *hand_made)
    assert main(shown) == hand_made
    assert len(overlaid_parts(shown)) > len(hand_made)

    def read(path="export", **parameters):
        answer = user.client.get(f"/api/videos/{video}/{path}", params={"format": "json", **parameters})
        assert answer.status_code == 200, answer.text
        return answer.content

    (tmp_path / "x.json").write_bytes(read())
    saved = Segmentation.load(tmp_path / "x.json")
    assert [each for each in of(saved) if each[2] != BACKGROUND] == hand_made
    rows_of_budget = user.ask("GET", "/api/summary")["time"]
    assert {row["video"] for row in rows_of_budget} == {"person1_video1"}
    assert {row["label"]: row["count"] for row in rows_of_budget} == {"peel apple": 2, "grasp shaft": 1}
    archive = zipfile.ZipFile(io.BytesIO(user.client.get("/api/export").content))
    assert archive.namelist() == ["labels/person1_video1.json"]

    archive = zipfile.ZipFile(io.BytesIO(read(drafts="1")))
    stem = "person1_video1/person1_video1"
    assert sorted(archive.namelist()) == [f"{stem}.drafts.json", f"{stem}.main.json"]
    archive.extractall(tmp_path)
    assert Segmentation.load(tmp_path / f"{stem}.main.json").to_frames() == saved.to_frames()
    drafts = Segmentation.load(tmp_path / f"{stem}.drafts.json")
    assert [each for each in of(drafts) if each[2] != BACKGROUND] == [
        each for each in overlaid_parts(shown) if each not in hand_made and each[2] != BACKGROUND
    ]

    body = {"first": "track main", "second": "track main"}
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    user.label(video, (10, 30, "peel apple"), track=1)
    body["second"] = "track second"
    user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    kappa = user.ask("POST", f"/api/videos/{video}/compare", json=body)["figures"]["kappa"]
    first = ["peel apple"] * 20 + ["grasp shaft"] * 10
    second = ["peel apple"] * 20 + ["-"] * 10
    n_frames = len(np.load(rows))
    first += ["-"] * (n_frames - 30)
    second += ["-"] * (n_frames - 30)
    agree = np.mean([a == b for a, b in zip(first, second, strict=True)])
    chance = sum(first.count(name) * second.count(name) for name in {*first}) / n_frames**2
    assert kappa == pytest.approx((agree - chance) / (1 - chance))

    complete = user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    assert (main(complete), complete["drafts"]) == (hand_made, [])
    assert read(drafts="1", track=shown["tracks"][0]["id"]) == read(track=shown["tracks"][0]["id"])
    uncertain = user.ask("GET", "/api/clips", params=UNSURE)["segments"]
    assert video not in {each["video"] for each in uncertain}


def taught_set(user, model, root):
    """Write the labelled videos as a set for a run to learn from, and open it as the run does."""
    examples = labelled_videos(user.page, "main")
    write_set(user.page, examples, root, model, lambda _: "ignore", (BACKGROUND,), Job("export"))
    data = model.run.config.data.model_copy(update={"root": str(root), "split": "1", "validation": 0.0})
    dataset = Dataset.open(data)
    dataset.check()
    return dataset


def test_labelled_videos_become_training_videos(user, text_run, rows, tmp_path):
    model = fact_clip.load(text_run, "cpu")
    user.label(user.add(rows), (10, 25, "peel apple"))
    np.save(tmp_path / rows.name, np.load(rows)[:80])  # another video of that name
    user.label(user.add(tmp_path / rows.name), (0, 80, "peel apple"))
    dataset = taught_set(user, model, tmp_path / "set")
    assert dataset.test == ("person1_video1-2",)
    assert dataset.train[-1] == "person1_video1"
    labels = (tmp_path / "set/groundTruth/person1_video1.txt").read_text().splitlines()
    assert labels == ["?"] * 10 + ["peel apple"] * 15 + ["?"] * (len(labels) - 25)
    assert np.array_equal(np.load(tmp_path / "set/features/person1_video1.npy"), np.load(rows))
    names = [line.split(maxsplit=1)[1] for line in (tmp_path / "set/mapping.txt").read_text().splitlines()]
    assert names == [*model.vocabulary, "peel apple"]
    assert (dataset.labels("person1_video1") >= 0).sum() == 15


def test_a_name_that_does_not_parse_is_a_phrase_in_the_training_set(user, text_run, rows, tmp_path):
    model = fact_clip.load(text_run, "cpu")
    user.label(user.add(rows), (10, 25, "peel apple"), (25, 40, "wave"))
    np.save(tmp_path / "other.npy", np.load(rows)[:80])
    user.label(user.add(tmp_path / "other.npy"), (0, 80, "peel apple"))
    dataset = taught_set(user, model, tmp_path / "set")
    lines = (tmp_path / "set/factors.csv").read_text().splitlines()
    assert lines[0] == "class,verb,object,tool"
    assert {"no action,,,", "tap shaft with mallet,tap,shaft,mallet", "peel apple,peel,apple,"} <= set(lines)
    factors = dict(zip(dataset.vocabulary.names, dataset.vocabulary.factors, strict=True))
    assert factors["wave"] == ("wave", None, None)
    # a run that has learned the phrase is taught again
    object.__setattr__(model.run, "vocabulary", dataset.vocabulary)
    again = taught_set(user, model, tmp_path / "again")
    assert (tmp_path / "again/factors.csv").read_text().splitlines() == lines
    assert again.vocabulary == dataset.vocabulary


# --- blind, and without a model -------------------------------------------------------------------------------


def test_a_hidden_track_gets_no_drafts_and_no_edits(user, rows):
    video = user.add(rows)
    tracks = user.ask("GET", f"/api/videos/{video}")["tracks"]
    path = f"/api/videos/{video}"
    user.ask("PATCH", f"{path}/tracks/{tracks[0]['id']}", json={"annotator": "Anna"})
    user.ask("POST", "/api/settings", json={"blind": True, "annotator": "Anna"})
    edit = {"track": tracks[0]["id"], "removed": [], "added": [{"start": 3, "stop": 9, "label": "stir"}]}
    segments = {"track": edit["track"], "revision": None, "segments": edit["added"]}
    for name, count in (("Anna", 1), ("Bernd", 0)):
        person = {"annotator": name}
        assert bool(user.ask("GET", path, params=person)["drafts"]) == bool(count)
        assert bool(user.ask("GET", "/api/clips", params={**person, **UNSURE})["segments"]) == bool(count)
        status = 200 if count else 403
        answers = [
            user.ask("POST", f"{path}/edits", status, json=edit | person),
            user.ask("PUT", f"{path}/segments", status, json=segments | person),
        ]
        assert count or {answer["error"] for answer in answers} == {"this track is hidden from you"}
    assert main(user.ask("GET", path, params={"annotator": "Anna"})) == [(3, 9, "stir")]


def test_a_video_that_the_model_cannot_read_is_labelled(opened, rows, workbench, tmp_path):
    copy = tmp_path / rows.name
    copy.write_bytes(rows.read_bytes())
    user = opened()()
    video, other = user.add(copy), user.add(min(path for path in rows.parent.glob("*.npy") if path != rows))
    path = user.page.project.video(video).features
    shape = np.load(path).shape
    np.save(path, np.zeros((len(np.load(path)), shape[1] + 1), np.float32))
    shown = user.ask("GET", f"/api/videos/{video}")
    assert shown["drafts"] == []
    assert shown["problem"].startswith(f"{rows.stem}.npy: ")
    assert main(user.label(video, (3, 9, "stir"))) == [(3, 9, "stir")]
    assert {draft["video"] for draft in user.ask("GET", "/api/clips", params=UNSURE)["segments"]} == {other}
    path.unlink()
    assert user.ask("GET", f"/api/videos/{video}")["problem"]


# --- two labellings ------------------------------------------------------------------------------------------


def test_two_label_files_are_compared(user, rows, tmp_path):
    video = user.add(rows)
    n_frames = len(np.load(rows))
    first = ["stir"] * 40 + [NASTY] * 20 + ["pour"] * (n_frames - 60)
    second = ["stir"] * 50 + [NASTY] * 10 + ["pour"] * (n_frames - 60)
    keys = []
    for name, labels in (("one.txt", first), ("two.csv", second)):
        Segmentation.from_frames(labels, 15.0).save(tmp_path / name, with_background=True)
        keys.append(user.upload(tmp_path / name))
    found = user.ask("POST", f"/api/videos/{video}/compare", json={"first": keys[0], "second": keys[1]})
    assert found["rows"][2]["segments"] == [{"start": 40, "stop": 50, "label": f"{NASTY} / stir"}]
    assert [row["name"] for row in found["rows"]] == ["one.txt", "two.csv", "differences"]
    rest = (n_frames - 60) / n_frames
    agreed, chance = 1 - 10 / n_frames, (40 * 50 + 20 * 10) / n_frames**2 + rest**2
    assert found["figures"]["frame_accuracy"] == pytest.approx(100 * agreed)
    assert found["figures"]["kappa"] == pytest.approx((agreed - chance) / (1 - chance))
    assert found["figures"]["edit"] == 100
    assert found["figures"]["edges_s"] == pytest.approx(20 / 8 / 15)  # two of eight edges are ten rows off
    assert 0.9 < found["figures"]["icc"] < 1
    assert found["figures"]["f1@25"] == pytest.approx(100, abs=1e-2)
    assert found["figures"]["f1@50"] == pytest.approx(100, abs=1e-2)  # 10 of 20 frames are just enough
    same = user.ask("POST", f"/api/videos/{video}/compare", json={"first": "shown", "second": "predicted"})
    assert (same["figures"]["kappa"], same["rows"][2]["segments"]) == (1, [])


def test_files_of_another_video_cannot_be_compared(user, rows, tmp_path):
    video = user.add(rows)
    (tmp_path / "short.txt").write_text("stir\n" * 7)
    (tmp_path / "bad.eaf").write_text("<not xml")
    (tmp_path / "x.srt").write_text("1\n")
    for name in ("short.txt", "bad.eaf", "x.srt"):
        request = {"first": user.upload(tmp_path / name), "second": "shown"}
        assert user.ask("POST", f"/api/videos/{video}/compare", 400, json=request)["error"].startswith(f"{name}: ")


def test_a_side_without_labels_in_this_video_is_named(user, rows):
    video = user.add(rows)
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "left"})
    for key in ("track left", "annotator Anna"):
        request = {"first": key, "second": "shown"}
        error = user.ask("POST", f"/api/videos/{video}/compare", 400, json=request)["error"]
        assert error.startswith(f"{key}: no labels in {rows.stem}")


def test_a_renamed_track_keeps_its_drafts(user, rows, text_run):
    videos = [user.add(rows) for _ in range(2)]
    user.page.project.add_run(text_run, "left", {})
    user.ask("POST", "/api/settings", json={"model": text_run.name})
    lefts = []
    for video in videos:
        tracks = user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "left"})["tracks"]
        lefts.append(next(track["id"] for track in tracks if track["name"] == "left"))
    for video, left in zip(videos, lefts, strict=True):
        user.ask("PATCH", f"/api/videos/{video}/tracks/{left}", json={"name": "left hand"})
    for video, left in zip(videos, lefts, strict=True):
        assert user.ask("GET", f"/api/videos/{video}")["draft_track"] == left
