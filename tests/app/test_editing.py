"""Names, settings and corrections: what is shown, what is kept, and what is made of it."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

import fact_clip
from fact_clip.app.edits import Shown, frame_names, joined, overlaid
from fact_clip.app.requests import Corrections, parse
from fact_clip.core import Segment, Segmentation
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.datasets.dataset import Dataset
from fact_clip.formats import FORMATS

from ..refusals import refused

NASTY = "<img src=x onerror=alert(1)>"


def segments(found):
    return [(each["start"], each["stop"], each["label"]) for each in found]


def of(segmentation):
    return [(each.start, each.stop, each.label) for each in segmentation]


# --- corrections over a prediction, by hand ------------------------------------------------------------------

PREDICTED = Segmentation((Segment(0, 4, "a", 0.5), Segment(4, 8, "b", 0.7), Segment(8, 10, "a", 0.9)))


def shown(*entries):
    return [Shown(Segment(start, stop, label), is_corrected) for start, stop, label, is_corrected in entries]


@pytest.mark.parametrize(
    ("corrected", "expected"),
    [
        ([], [(0, 4, "a", 0), (4, 8, "b", 0), (8, 10, "a", 0)]),
        ([(3, 6, "c")], [(0, 3, "a", 0), (3, 6, "c", 1), (6, 8, "b", 0), (8, 10, "a", 0)]),
        ([(0, 10, "c")], [(0, 10, "c", 1)]),
        ([(0, 4, "a"), (4, 5, "c")], [(0, 4, "a", 1), (4, 5, "c", 1), (5, 8, "b", 0), (8, 10, "a", 0)]),
        ([(8, 10, "b")], [(0, 4, "a", 0), (4, 8, "b", 0), (8, 10, "b", 1)]),
    ],
)
def test_what_is_left_of_a_prediction_lies_between_the_corrections(corrected, expected):
    found = overlaid(PREDICTED, [Segment(*each) for each in corrected])
    assert found == shown(*expected)


def test_a_file_joins_what_nobody_cut():
    found = shown((0, 2, "a", 0), (2, 4, "a", 1), (4, 5, "a", 1), (5, 6, "a", 0), (6, 7, "b", 0))
    assert joined(found) == (Segment(0, 4, "a"), Segment(4, 6, "a"), Segment(6, 7, "b"))
    assert frame_names(found[3:]) == ["a", "b"]
    assert frame_names(found[1:4], "?") == ["a", "a", "a", "?"]


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        ([{"start": 0, "stop": 11, "label": "a"}], "segments 1"),
        ([{"start": 2, "stop": 2, "label": "a"}], "segments 1"),
        ([{"start": 0, "stop": 2, "label": "a\nb"}], "segments 1, label"),
        ([{"start": 0, "stop": 3, "label": "a"}, {"start": 2, "stop": 4, "label": "a"}], "segments"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(entries, place):
    with refused(place):
        parse(Corrections, json.dumps({"segments": entries})).in_video(10)


# --- names and settings --------------------------------------------------------------------------------------


def test_features_are_segmented_as_in_python(user, text_run, rows):
    video = user.add(rows)
    found = user.ask("GET", f"/api/videos/{video}")
    expected = fact_clip.load(text_run, "cpu").segment(rows)
    assert segments(found["shown"]) == segments(found["predicted"]) == of(expected)
    assert [each["confidence"] for each in found["shown"]] == pytest.approx([each.confidence for each in expected])
    assert found["times"] == pytest.approx(np.arange(expected.n_frames + 1) / 15, abs=1e-4)
    assert (found["media"], found["background"]) == (False, ["no action"])


def test_names_change_the_result_at_once(user, text_run, rows):
    names = ["grasp shaft", NASTY, "peel apple, slowly"]
    video = user.add(rows)
    answer = user.ask("POST", "/api/settings", json={"actions": [f" {name} " for name in names], "video": video})
    expected = fact_clip.load(text_run, "cpu").segment(rows, actions=names)
    assert segments(answer["video"]["shown"]) == of(expected)
    assert answer["state"]["actions"] == names
    assert answer["state"]["unseen"] == sorted(names[1:])
    assert [answer["video"]["colours"][name]["number"] for name in names] == [1, 2, 3]


def test_settings_decode_anew_and_show_their_command_line(user, text_run, rows, tmp_path, monkeypatch):
    adjust = {"threshold": 0.06, "gamma": 0.5, "switch_penalty": 0.4, "shortest": 0.7}
    video = user.add(rows)
    user.ask("POST", "/api/settings", json={"actions": ["grasp shaft", "peel, cut", "tap shaft with mallet"]})
    shown = user.ask("POST", "/api/settings", json={"adjust": adjust, "video": video})["video"]
    segmenter = fact_clip.load(text_run, "cpu")
    names = ["grasp shaft", "peel, cut", "tap shaft with mallet"]
    assert segments(shown["shown"]) == of(segmenter.segment(rows, actions=names, settings=DecodeSettings(**adjust)))
    assert segments(shown["shown"]) != of(segmenter.segment(rows, actions=names))

    monkeypatch.chdir(rows.parent)
    from fact_clip.cli import main

    words = shlex.split(shown["command"])
    assert words[0] == "fact-clip"
    assert main([*words[1:], "--device", "cpu", "--out", str(tmp_path), "--format", "json"]) == 0
    found = json.loads((tmp_path / "person1_video1.json").read_text())
    assert [(each["start"], each["stop"], each["action"]) for each in found["segments"]] == segments(shown["shown"])


def test_what_a_head_cannot_take_changes_nothing(opened, tiny_run, rows):
    user = opened(run=tiny_run)()
    video = user.add(rows)
    before = user.ask("GET", "/api/state")
    answer = user.ask("POST", "/api/settings", 400, json={"actions": ["grasp shaft", "peel apple"], "video": video})
    assert "peel apple" in answer["error"]
    assert user.ask("GET", "/api/state") == before
    fewer = user.ask("POST", "/api/settings", json={"actions": ["grasp shaft"], "video": video})
    assert {label for *_, label in segments(fewer["video"]["shown"])} <= {"grasp shaft", "no action"}


# --- drafts --------------------------------------------------------------------------------------------------


def test_a_draft_outlives_new_names_and_follows_a_new_one(user, rows):
    video = user.add(rows)
    draft = [{"start": 10, "stop": 25, "label": NASTY}, {"start": 25, "stop": 40, "label": "grasp shaft"}]
    found = user.ask("PUT", f"/api/videos/{video}/corrections", json={"segments": draft})
    fixed = [(10, 25, NASTY), (25, 40, "grasp shaft")]
    assert [each for each in segments(found["shown"]) if 10 <= each[0] < 40] == fixed
    assert [each["corrected"] for each in found["shown"] if 10 <= each["start"] < 40] == [True, True]
    assert not any(each["corrected"] for each in found["predicted"])

    names = ["rotate gear", "grasp shaft"]
    other = user.ask("POST", "/api/settings", json={"actions": names, "video": video})["video"]
    assert [each for each in segments(other["shown"]) if each[2] == NASTY] == fixed[:1]
    assert {label for *_, label in segments(other["predicted"])} <= {*names, "no action"}

    renamed = {"actions": ["rotate gear", "grip shaft"], "renamed": ["grasp shaft", "grip shaft"], "video": video}
    third = user.ask("POST", "/api/settings", json=renamed)["video"]
    assert [each for each in segments(third["shown"]) if 10 <= each[0] < 40][1] == (25, 40, "grip shaft")
    assert segments(user.ask("GET", f"/api/videos/{video}")["shown"]) == segments(third["shown"])  # after a reload
    assert user.ask("GET", "/api/state")["videos"][0]["corrected"] == 2


def test_the_least_certain_segments_come_first_and_corrected_ones_are_certain(user, rows, workbench):
    videos = [user.add(rows), user.add(workbench / "features" / "person2_video1.npy")]
    listed = user.ask("GET", "/api/uncertain")["segments"]
    assert {each["video"] for each in listed} <= set(videos)
    every = [each for video in videos for each in user.ask("GET", f"/api/videos/{video}")["shown"]]
    assert [each["confidence"] for each in listed] == sorted(each["confidence"] for each in every)[:30]
    first = listed[0]
    draft = [{"start": first["start"], "stop": first["stop"], "label": "grasp shaft"}]
    user.ask("PUT", f"/api/videos/{first['video']}/corrections", json={"segments": draft})
    assert first not in user.ask("GET", "/api/uncertain")["segments"]


# --- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_downloaded_and_read_back(user, rows, tmp_path, name):
    video = user.add(rows)
    draft = [{"start": 10, "stop": 25, "label": "peel apple"}]
    found = user.ask("PUT", f"/api/videos/{video}/corrections", json={"segments": draft})
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": name, "background": "1"})
    assert answer.status_code == 200, answer.text
    ending = FORMATS[name].ending
    assert answer.headers["content-disposition"] == f'attachment; filename="person1_video1{ending}"'
    path = tmp_path / f"x{ending}"
    path.write_bytes(answer.content)
    if FORMATS[name].read is not None:
        labels = [each["label"] for each in found["shown"] for _ in range(each["start"], each["stop"])]
        assert Segmentation.load(path).to_frames() == labels
    assert b"peel" in answer.content
    assert str(user.page.sessions.folder).encode() not in answer.content
    assert len([path for path in user.page.sessions.folder.rglob("*") if path.is_file()]) == 1  # the features


def test_a_corrected_video_becomes_a_training_video(opened, text_run, rows, tmp_path):
    user = opened(training_set=tmp_path / "set")()
    video = user.add(rows)
    draft = [{"start": 10, "stop": 25, "label": "peel apple"}]
    found = user.ask("PUT", f"/api/videos/{video}/corrections", json={"segments": draft})
    added = user.ask("POST", f"/api/videos/{video}/training-set", json={})
    assert added == {"name": "person1_video1", "folder": str(tmp_path / "set")}
    labels = (tmp_path / "set/groundTruth/person1_video1.txt").read_text().splitlines()
    assert labels == [each["label"] for each in found["shown"] for _ in range(each["start"], each["stop"])]
    assert np.array_equal(np.load(tmp_path / "set/features/person1_video1.npy"), np.load(rows))
    known = list(fact_clip.load(text_run, "cpu").vocabulary)
    names = [line.split(maxsplit=1)[1] for line in (tmp_path / "set/mapping.txt").read_text().splitlines()]
    assert names == [*known, "peel apple"]

    user.ask("POST", f"/api/videos/{video}/training-set", json={"only_corrected": True})  # takes the place of the first
    labels = (tmp_path / "set/groundTruth/person1_video1.txt").read_text().splitlines()
    assert labels == ["?"] * 10 + ["peel apple"] * 15 + ["?"] * (len(labels) - 25)
    np.save(tmp_path / rows.name, np.load(rows)[:80])  # another video of that name
    other = user.add(tmp_path / rows.name)
    name = user.ask("POST", f"/api/videos/{other}/training-set", json={})["name"]
    assert name.startswith("person1_video1-")
    assert (tmp_path / "set/splits/train.split1.bundle").read_text() == f"person1_video1\n{name}\n"

    config = fact_clip.load(text_run, "cpu").run.config.data
    dataset = Dataset.open(config.model_copy(update={"root": str(tmp_path / "set"), "validation": 0.0}))
    dataset.check()
    assert (dataset.train, dataset.test) == (("person1_video1", name), ())
    assert (dataset.labels("person1_video1") >= 0).sum() == 15


def test_a_name_that_does_not_parse_is_a_phrase_in_the_training_set(opened, text_run, rows, tmp_path):
    user = opened(training_set=tmp_path / "set")()
    video = user.add(rows)
    draft = [{"start": 10, "stop": 25, "label": "peel apple"}, {"start": 25, "stop": 40, "label": "wave"}]
    user.ask("PUT", f"/api/videos/{video}/corrections", json={"segments": draft})
    user.ask("POST", f"/api/videos/{video}/training-set", json={})
    lines = (tmp_path / "set/factors.csv").read_text().splitlines()
    assert lines[0] == "class,verb,object,tool"
    assert {"no action,,,", "tap shaft with mallet,tap,shaft,mallet", "peel apple,peel,apple,"} <= set(lines)
    config = fact_clip.load(text_run, "cpu").run.config.data
    dataset = Dataset.open(config.model_copy(update={"root": str(tmp_path / "set"), "validation": 0.0}))
    factors = dict(zip(dataset.vocabulary.names, dataset.vocabulary.factors, strict=True))
    assert factors["wave"] == ("wave", None, None)
    user.ask("POST", f"/api/videos/{video}/training-set", json={})
    assert (tmp_path / "set/factors.csv").read_text().splitlines() == lines


def test_nothing_corrected_is_no_training_video(opened, rows, tmp_path):
    user = opened(training_set=tmp_path / "set")()
    video = user.add(rows)
    answer = user.ask("POST", f"/api/videos/{video}/training-set", 400, json={"only_corrected": True})
    assert answer["error"].startswith("person1_video1: ")
    assert not (tmp_path / "set").exists()


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
