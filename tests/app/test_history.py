"""Steps of two people: what is stored, undone and refused; the list of actions."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from fact_clip.core import InputError
from fact_clip_app.store.database import DATABASE
from fact_clip_app.store.history import ConflictError, History, Part, Person
from fact_clip_app.store.project import Action, Label, Project

from ..refusals import refused
from .conftest import labels_of
from .test_editing import main, segments

ANNA, BERND = {"browser": "b1", "annotator": "Anna"}, {"browser": "b2", "annotator": "Bernd"}


@pytest.fixture
def two(opened, rows):
    """Two users of a page without a model, and a video of 3 rows and more."""
    enter = opened(run=None)
    anna, bernd = enter(), enter()
    return anna, bernd, anna.add(rows)


def part(start, stop, label, annotator="", **more):
    return {"start": start, "stop": stop, "label": label, "annotator": annotator, **more}


def edit(user, video, person, added=(), removed=(), status=200, track=None, **more):
    """Store an edit; its answer."""
    if track is None:
        track = user.ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]
    body = {"track": track, "added": [*added], "removed": [*removed], **person, **more}
    return user.ask("POST", f"/api/videos/{video}/edits", status, json=body)


def do(user, person, status=200, **how):
    return user.ask("POST", "/api/actions", status, json={**how, **person})


def undo(user, video, person, status=200, what="undo"):
    return user.ask("POST", f"/api/videos/{video}/{what}", status, json=person)


def names_of(state):
    return [action["name"] for action in state["actions"]]


# --- edits -------------------------------------------------------------------------------------------------------


def test_an_edit_stores_the_change_alone(two):
    anna, _, video = two
    answer = edit(anna, video, ANNA, [part(3, 9, "groom"), part(20, 25, "eat", "somebody")])
    added = [
        part(3, 9, "groom", "Anna", origin="drawn", comment=""),
        part(20, 25, "eat", "Anna", origin="drawn", comment=""),
    ]
    track = answer.pop("track")
    assert answer == {
        "revision": 1, "video_revision": 1, "undo": "label 2 segments", "redo": None, "added": added,
    }  # fmt: skip
    answer = edit(anna, video, ANNA, [part(3, 12, "groom")], [added[0]], track=track)
    assert (answer["revision"], answer["undo"]) == (2, "change groom")
    shown = anna.ask("GET", f"/api/videos/{video}", params=ANNA)
    assert main(shown) == [(3, 12, "groom"), (20, 25, "eat")]
    (row,) = shown["tracks"]
    facts = [row[key] for key in ("name", "revision", "complete", "annotator")]
    assert facts == ["main", 2, False, ""]
    assert (shown["undo"], shown["redo"], shown["progress"]) == ("change groom", None, "started")
    assert anna.ask("GET", f"/api/videos/{video}")["undo"] is None  # of another browser
    state = anna.ask("GET", "/api/state")
    assert [[action[key] for key in ("name", "key", "count", "videos")] for action in state["actions"]] == [
        ["groom", "1", 1, 1], ["eat", "2", 1, 1],
    ]  # fmt: skip
    (listed,) = state["videos"]
    assert (listed["annotators"], listed["labels"], listed["progress"]) == (["Anna"], 2, "started")
    assert listed["duration"] == pytest.approx(shown["times"][-1] - shown["times"][0], abs=1e-5)


def test_an_edit_that_is_sent_again_is_stored_once(two):
    anna, bernd, video = two
    first = edit(anna, video, ANNA, [part(3, 9, "groom")], edit="e1")
    edit(bernd, video, BERND, [part(10, 12, "eat")], edit="e2")
    assert edit(anna, video, ANNA, [part(3, 9, "groom")], edit="e1") == first
    assert main(anna.ask("GET", f"/api/videos/{video}")) == [(3, 9, "groom"), (10, 12, "eat")]


def test_quick_edits_of_one_person_are_never_refused(two):
    """They do not name a revision, so several may be under way."""
    anna, bernd, video = two
    track = anna.ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]

    def store(number):
        user, person = ((anna, ANNA), (bernd, BERND))[number % 2]
        edit(user, video, person, [part(number, number + 1, "groom")], track=track, edit=f"e{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store, range(40)))
    shown = anna.ask("GET", f"/api/videos/{video}")
    assert main(shown) == [(number, number + 1, "groom") for number in range(40)]
    assert [each["annotator"] for each in shown["tracks"][0]["segments"]] == ["Anna", "Bernd"] * 20


def test_a_conflict_names_the_person_and_has_the_track(two):
    anna, bernd, video = two
    (stored,) = edit(anna, video, ANNA, [part(3, 9, "groom")])["added"]
    edit(bernd, video, BERND, [part(3, 8, "groom")], [stored])
    answer = edit(anna, video, ANNA, [part(3, 9, "eat")], [stored], 409)
    assert answer["error"] == (
        'Bernd changed "groom" on track main a moment ago. Your last edit was not stored. Please repeat it.'
    )
    assert answer["annotator"] == "Bernd"
    assert segments(answer["track"]["segments"]) == [(3, 8, "groom")]
    assert answer["track"]["revision"] == 2
    answer = edit(anna, video, ANNA, [part(5, 20, "eat")], status=409)  # over what she has not seen
    assert answer["error"].startswith('Bernd changed "groom" on track main')
    edit(anna, video, ANNA, [part(30, 40, "eat")])
    error = edit(anna, video, ANNA, [part(35, 45, "eat")], status=400)["error"]
    assert error.startswith("segments: this overlaps 'eat'")
    edit(anna, video, ANNA, [part(50, 60, "eat"), part(55, 65, "eat")], status=400)
    edit(anna, video, ANNA, [part(0, 10**8, "eat")], status=400)
    edit(anna, video, ANNA, [part(50, 60, "eat")], track=10**6, status=400)
    assert main(anna.ask("GET", f"/api/videos/{video}")) == [(3, 8, "groom"), (30, 40, "eat")]


def test_a_person_undoes_what_that_person_did(two):
    anna, bernd, video = two
    edit(anna, video, ANNA, [part(3, 9, "groom")])
    edit(bernd, video, BERND, [part(10, 12, "eat")])
    edit(anna, video, ANNA, [part(20, 25, "dig")])
    shown = undo(anna, video, ANNA)
    assert main(shown) == [(3, 9, "groom"), (10, 12, "eat")]
    assert (shown["undo"], shown["redo"]) == ("label groom", "label dig")
    assert names_of(anna.ask("GET", "/api/state")) == ["groom", "eat"]  # dig came with the edit
    assert main(undo(anna, video, ANNA)) == [(10, 12, "eat")]
    assert undo(anna, video, ANNA)["undo"] is None  # nothing to undo is no error
    assert main(undo(anna, video, ANNA, what="redo")) == [(3, 9, "groom"), (10, 12, "eat")]
    assert main(undo(anna, video, ANNA, what="redo"))[-1] == (20, 25, "dig")
    (label,) = [each for each in undo(bernd, video, BERND)["tracks"][0]["segments"] if each["label"] == "dig"]
    assert label["annotator"] == "Anna"
    edit(bernd, video, BERND, [part(20, 22, "dig")], [label])
    answer = undo(anna, video, ANNA, 409)
    assert answer["error"] == 'Bernd changed "dig" on track main a moment ago. Your last step cannot be undone.'
    assert answer["annotator"] == "Bernd"


def test_a_class_that_somebody_else_uses_stays_when_its_edit_is_undone(two):
    anna, bernd, video = two
    edit(anna, video, ANNA, [part(3, 9, "groom")])
    edit(bernd, video, BERND, [part(10, 12, "groom")])
    assert main(undo(anna, video, ANNA)) == [(10, 12, "groom")]
    assert names_of(anna.ask("GET", "/api/state")) == ["groom"]
    assert main(undo(anna, video, ANNA, what="redo")) == [(3, 9, "groom"), (10, 12, "groom")]


# --- actions -----------------------------------------------------------------------------------------------------


def test_actions_are_changed_one_at_a_time_and_each_change_is_undone(two):
    anna, _, video = two
    state = do(anna, ANNA, do="add", names=["groom", "eat", "dig"])
    assert [action["key"] for action in state["actions"]] == ["1", "2", "3"]
    edit(anna, video, ANNA, [part(3, 9, "groom"), part(10, 12, "eat"), part(20, 25, "groom")])
    states = [anna.ask("GET", "/api/state")]
    shown = [anna.ask("GET", f"/api/videos/{video}", params=ANNA)]
    titles = []
    for how in (
        {"do": "change", "name": "groom", "to": "grooming"},
        {"do": "change", "name": "grooming", "key": "g", "paint": "#aabbcc", "description": "cleans its fur"},
        {"do": "move", "name": "dig", "before": "grooming"},
        {"do": "merge", "name": "eat", "into": "grooming"},
        {"do": "move", "name": "dig", "before": None},
        {"do": "delete", "name": "grooming"},
    ):
        states.append(do(anna, ANNA, **how))
        shown.append(anna.ask("GET", f"/api/videos/{video}", params=ANNA))
        titles.append(shown[-1]["undo"])
    assert titles == [
        "rename groom to grooming (2 segments)",
        "change class grooming",
        "move class dig",
        "merge eat into grooming (1 segment)",
        "move class dig",
        "delete class grooming (3 segments)",
    ]
    assert [names_of(state) for state in states] == [
        ["groom", "eat", "dig"],
        ["grooming", "eat", "dig"],
        ["grooming", "eat", "dig"],
        ["dig", "grooming", "eat"],
        ["dig", "grooming"],
        ["grooming", "dig"],
        ["dig"],
    ]
    assert main(shown[1]) == [(3, 9, "grooming"), (10, 12, "eat"), (20, 25, "grooming")]
    assert main(shown[4]) == [(3, 9, "grooming"), (10, 12, "grooming"), (20, 25, "grooming")]
    assert main(shown[6]) == []
    looks = shown[2]["colours"]["grooming"]
    assert looks == {"colour": "#aabbcc", "number": "G"}
    action = states[2]["actions"][0]
    assert (action["description"], action["count"], action["videos"]) == ("cleans its fur", 2, 1)
    for expected in reversed(range(6)):
        state = anna.ask("POST", "/api/actions/undo", json=ANNA)
        assert state["actions"] == states[expected]["actions"]
        assert main(anna.ask("GET", f"/api/videos/{video}")) == main(shown[expected])
    for expected in range(1, 7):
        undo(anna, video, ANNA, what="redo")  # by a video, too
        assert anna.ask("GET", "/api/state")["actions"] == states[expected]["actions"]
    assert do(anna, ANNA, do="change", name="dig", key="")["actions"][0]["key"] == ""
    assert anna.ask("GET", f"/api/videos/{video}")["colours"]["dig"]["number"] == "#1"


def test_taken_names_and_keys_are_named(two):
    anna, bernd, _ = two
    do(anna, ANNA, do="add", names=["groom"], key="g")
    do(anna, ANNA, do="add", names=["eat"])
    assert do(bernd, BERND, 409, do="add", names=["dig", "eat"])["taken"] == "eat"
    answer = do(bernd, BERND, 409, do="change", name="eat", to="groom")
    assert answer["taken"] == "groom"
    answer = do(bernd, BERND, 409, do="change", name="eat", key="G")
    assert answer == {"error": "key G belongs to groom", "taken": "groom"}
    assert do(bernd, BERND, 409, do="add", names=["dig"], key="g")["taken"] == "groom"
    do(anna, ANNA, do="change", name="eat", to="feed")
    for how in (
        {"do": "change", "name": "eat", "key": "e"},
        {"do": "merge", "name": "groom", "into": "eat"},
        {"do": "delete", "name": "eat"},
        {"do": "move", "name": "groom", "before": "eat"},
    ):
        assert do(bernd, BERND, 409, **how)["error"].startswith('Anna changed class "eat"')
    assert names_of(anna.ask("GET", "/api/state")) == ["groom", "feed"]
    for how in ({"do": "fly"}, {"do": "add", "names": []}, {"do": "change", "name": "feed", "paint": "red"}, {}):
        assert "error" in do(anna, ANNA, 400, **how)
    body = {"actions": [{"name": "a", "key": "x"}, {"name": "b", "key": "X"}]}
    assert "actions_revision" in anna.ask("PUT", "/api/actions", 409, json=body)["error"]
    body["revision"] = anna.ask("GET", "/api/state")["actions_revision"]
    assert anna.ask("PUT", "/api/actions", 409, json=body)["taken"] == "a"


def test_a_step_of_the_project_is_refused_where_somebody_else_came_after(two):
    anna, bernd, video = two
    do(anna, ANNA, do="add", names=["groom"])
    (label,) = edit(bernd, video, BERND, [part(3, 9, "groom")])["added"]
    do(anna, ANNA, do="change", name="groom", to="clean")
    edit(bernd, video, BERND, [part(3, 8, "clean")], [label | {"label": "clean"}])
    error = undo(anna, video, ANNA, 409)["error"]
    assert error.startswith('Bernd changed "clean" on track main')
    assert main(anna.ask("GET", f"/api/videos/{video}")) == [(3, 8, "clean")]
    assert names_of(anna.ask("GET", "/api/state")) == ["clean"]
    do(anna, ANNA, do="add", names=["eat"])
    do(bernd, BERND, do="change", name="eat", to="feed")
    error = anna.ask("POST", "/api/actions/undo", 409, json=ANNA)["error"]
    assert error == 'Bernd changed class "eat" a moment ago. Your last step cannot be undone.'


def test_an_action_that_is_used_stays_when_its_step_is_undone(two, rows):
    """So nobody is stuck at a step whose action was used in another video."""
    anna, _, video = two
    other = anna.add(rows)
    do(anna, ANNA, do="add", names=["groom"], key="g")
    edit(anna, video, ANNA, [part(3, 9, "groom")])
    do(anna, ANNA, do="change", name="groom", to="clean")
    edit(anna, other, ANNA, [part(3, 9, "clean")])
    assert main(undo(anna, video, ANNA)) == [(3, 9, "groom")]
    state = anna.ask("GET", "/api/state")
    assert sorted(names_of(state)) == ["clean", "groom"]
    assert len({action["key"] for action in state["actions"]}) == 2
    assert len({action["colour"] for action in state["actions"]}) == 2
    assert main(undo(anna, video, ANNA)) == []
    undo(anna, video, ANNA)
    assert names_of(anna.ask("GET", "/api/state")) == ["clean"]
    assert main(anna.ask("GET", f"/api/videos/{other}")) == [(3, 9, "clean")]


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_of_two_clients_lose_no_class(tmp_path, seed):
    """Every label has its class, no two have one key, and what was added and not removed is there."""
    project = Project(tmp_path / "p")
    video = project.add_video("a", None, None, np.arange(2001) / 10)
    track = next(iter(project.tracks(video)))
    lock = threading.Lock()

    def client(number):
        rng, store = random.Random(10 * seed + number), Project(tmp_path / "p")
        history, person = History(store), Person(f"b{number}", f"person {number}")
        words = ["add", "rename", "merge", "delete", "move", "edit", "undo", "redo", "put"]

        def listed():
            return [action.name for action in store.actions()]

        for step in range(60):
            names = listed() or ["none"]
            name, target, new = rng.choice(names), rng.choice(names), f"class {number} {step}"
            frame = 2 * (60 * number + step)
            word, label = rng.choice(words), Label(frame, frame + 1, rng.choice([name, new]))
            with lock:  # so that the test knows the order; `names` may be old by now
                expected = set(listed())
                try:
                    match word:
                        case "add":
                            history.add([Action(new)], person)
                            expected |= {new}
                        case "rename":
                            history.change(name, {"name": new}, person)
                            expected = expected - {name} | {new}
                        case "merge":
                            history.remove(name, target, person)
                            expected -= {name}
                        case "delete":
                            history.remove(name, None, person)
                            expected -= {name}
                        case "move":
                            history.move(name, target, person)
                        case "edit":
                            history.edit(video, Part(track, [], [label]), person)
                            expected |= {label.label}
                        case "put":
                            history.set_actions([Action(name) for name in [*listed(), new]], project.actions())
                            expected |= {new}
                        case _:
                            history.step(video, person, back=word == "undo")
                            expected = set(listed())
                except (ConflictError, InputError):
                    pass
                assert set(listed()) == expected, word
                assert {label.label for label in labels_of(store, track)} <= expected
        store.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(client, range(2)))
    actions = project.actions()
    labels = {label.label for label in labels_of(project, track)}
    assert labels <= {action.name for action in actions}
    keys = [action.key for action in actions if action.key]
    assert len(set(keys)) == len(keys)
    assert len({action.colour for action in actions}) == len(actions)
    project.close()


def test_adding_by_two_clients_at_once_loses_none(opened):
    enter = opened(run=None)

    def add(number):
        do(enter(), {"browser": f"b{number % 2}"}, do="add", names=[f"class {number} {step}" for step in range(5)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(16)))
    names = names_of(enter().ask("GET", "/api/state"))
    assert sorted(names) == sorted(f"class {number} {step}" for number in range(16) for step in range(5))


# --- tracks, people, label files -----------------------------------------------------------------------------------


def test_tracks_have_an_owner_and_are_complete_one_by_one(two):
    anna, _, video = two
    tracks = anna.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second", "annotator": "Bernd"})["tracks"]
    second = f"/api/videos/{video}/tracks/{tracks[1]['id']}"
    shown = anna.ask("PATCH", second, json={"name": "Bernd's", "complete": True})
    assert [[row[key] for key in ("name", "annotator", "complete")] for row in shown["tracks"]] == [
        ["main", "", False], ["Bernd's", "Bernd", True],
    ]  # fmt: skip
    assert (shown["complete"], shown["progress"]) == (True, "complete")  # nobody has labelled the first one
    assert anna.ask("GET", "/api/overview")["complete"] == 1
    assert anna.ask("PATCH", second, 400, json={"name": "main"})["error"].startswith("track: ")
    anna.ask("PATCH", f"/api/videos/{video}/tracks/99", 404, json={"name": "x"})
    shown = anna.ask("PATCH", f"/api/videos/{video}", json={"complete": True, "name": "mouse"})
    assert (shown["complete"], shown["progress"], shown["name"]) == (True, "complete", "mouse")
    assert [row["complete"] for row in shown["tracks"]] == [True, True]


def test_drafts_are_hidden_where_the_first_track_is_complete(user, rows):
    video = user.add(rows)
    shown = user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    assert shown["drafts"]
    first, second = (f"/api/videos/{video}/tracks/{row['id']}" for row in shown["tracks"])
    assert user.ask("PATCH", second, json={"complete": True})["drafts"] == shown["drafts"]
    assert set(shown["drafts"][0]) == {"start", "stop", "label", "confidence"}
    assert user.ask("PATCH", first, json={"complete": True})["drafts"] == []


def test_a_training_looks_at_the_track_that_it_uses(opened, rows, workbench):
    user = opened(run=None)()
    videos = [user.add(rows), user.add(workbench / "features" / "person2_video1.npy")]
    for video in videos:
        user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
        user.label(video, (0, 5, "stir"))
        shown = user.label(video, (0, 5, "stir"), track=1)
        user.ask("PATCH", f"/api/videos/{video}/tracks/{shown['tracks'][1]['id']}", json={"complete": True})
    asked = {track: user.ask("GET", "/api/train", params={"track": track})["videos"] for track in ("main", "second")}
    assert [video["id"] for video in asked["main"]] == videos
    assert asked["second"] == []


def test_a_label_file_goes_where_the_person_says(two, tmp_path):
    anna, _, video = two
    edit(anna, video, ANNA, [part(3, 9, "groom")])
    path = tmp_path / "raw.csv"
    path.write_text("start,stop,label\n1,2,stir\n4,6,groom\n")
    key = anna.upload(path)
    to = f"/api/videos/{video}/labels"
    expected = {"tracks": {"main": 2}, "replaces": {"main": 1}, "classes": ["stir"], "warnings": []}
    assert anna.ask("POST", to, json={"file": key, "dry": True}) == expected
    answer = anna.ask("POST", to, 409, json={"file": key, **ANNA})
    assert answer["replaces"] == {"main": 1}
    assert "main" in answer["error"]
    assert main(anna.ask("GET", f"/api/videos/{video}")) == [(3, 9, "groom")]
    answer = anna.ask("POST", to, json={"file": key, "name": "from file", **ANNA})
    assert answer["imported"] == {"from file": 2}
    assert answer["undo"] == "load raw.csv"
    assert [segments(row["segments"]) for row in answer["tracks"]] == [
        [(3, 9, "groom")], [(1, 2, "stir"), (4, 6, "groom")],
    ]  # fmt: skip
    assert names_of(anna.ask("GET", "/api/state")) == ["groom", "stir"]
    undo(anna, video, ANNA)
    assert names_of(anna.ask("GET", "/api/state")) == ["groom"]
    answer = anna.ask("POST", to, json={"file": key, "track": 1, "replace": True, **ANNA})
    assert main(answer) == [(1, 2, "stir"), (4, 6, "groom")]
    shown = undo(anna, video, ANNA)
    assert (main(shown), shown["tracks"][1]["segments"]) == ([(3, 9, "groom")], [])


def test_a_file_of_several_tiers_is_not_for_one_track(two, tmp_path):
    pytest.importorskip("pympi")
    anna, _, video = two
    edit(anna, video, ANNA, [part(3, 9, "groom")])
    anna.ask("POST", f"/api/videos/{video}/tracks", json={"name": "left"})
    second = anna.ask("GET", f"/api/videos/{video}")["tracks"][1]["id"]
    edit(anna, video, ANNA, [part(3, 9, "eat")], track=second)
    path = tmp_path / "x.eaf"
    path.write_bytes(anna.client.get(f"/api/videos/{video}/export", params={"format": "eaf"}).content)
    body = {"file": anna.upload(path), **ANNA}
    to = f"/api/videos/{video}/labels"
    assert anna.ask("POST", to, 400, json={**body, "track": 1})["error"].startswith("x.eaf: 2 tiers for one track")
    answer = anna.ask("POST", to, json={**body, "name": "again"})
    assert answer["imported"] == {"again: main": 1, "again: left": 1}


def test_labels_of_one_person_are_exported_and_summed_alone(two):
    anna, bernd, video = two
    edit(anna, video, ANNA, [part(3, 9, "groom")])
    edit(bernd, video, BERND, [part(10, 12, "eat")])
    for path in (f"/api/videos/{video}/export", "/api/export", "/api/summary"):
        both = anna.client.get(path, params={"format": "csv"}).content
        alone = anna.client.get(path, params={"format": "csv", "annotator": "Anna"}).content
        assert both != alone
    answer = anna.client.get(f"/api/videos/{video}/export", params={"format": "csv", "annotator": ["Anna"]})
    assert b"groom" in answer.content
    assert b"eat" not in answer.content
    rows = anna.ask("GET", "/api/summary", params={"annotator": "Bernd"})["time"]
    assert {row["label"] for row in rows} == {"eat"}


def test_the_time_of_a_complete_track_belongs_to_those_who_labelled_all_of_it(two):
    """Frames 3 to 9 are Anna's and 10 to 12 are Bernd's: nobody alone says what happens in the whole video."""
    anna, bernd, video = two
    edit(anna, video, ANNA, [part(3, 9, "groom")])
    edit(bernd, video, BERND, [part(10, 12, "eat")])
    track = anna.ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]
    anna.ask("PATCH", f"/api/videos/{video}/tracks/{track}", json={"complete": True})
    (row,) = (row for row in anna.ask("GET", "/api/summary", params={"annotator": "Bernd"})["time"])
    assert row["share"] == 100
    assert row["labelled"] < row["duration"]
    for both in (
        anna.ask("GET", "/api/summary", params={"annotator": ["Anna", "Bernd"]}),
        anna.ask("GET", "/api/summary"),
    ):
        assert all(row["labelled"] == row["duration"] for row in both["time"])


def test_agreement_over_all_videos_by_hand(opened, tmp_path):
    enter = opened(run=None)
    anna, bernd = enter(), enter()
    for number in range(3):
        np.save(tmp_path / f"v{number}.npy", np.ones((10, 4), np.float32) * number)
    videos = [anna.add(tmp_path / f"v{number}.npy") for number in range(3)]
    labels = {0: ((0, 4, "groom"), (0, 2, "groom")), 1: ((0, 5, "eat"), (0, 5, "groom"))}
    for number, (first, second) in labels.items():
        video = videos[number]
        shown = anna.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
        edit(anna, video, ANNA, [part(*first)])
        edit(bernd, video, BERND, [part(*second)], track=shown["tracks"][1]["id"])
        anna.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    edit(anna, videos[2], ANNA, [part(0, 4, "groom")])
    assert anna.ask("GET", "/api/summary")["several"] == ["v0", "v1"]
    assert anna.ask("GET", "/api/summary", params={"annotator": "Anna"})["several"] == []
    for sides in (("track main", "track second"), ("annotator Anna", "annotator Bernd")):
        answer = anna.ask("GET", "/api/agreement", params={"first": sides[0], "second": sides[1]})
        assert [row["id"] for row in answer["videos"]] == videos[:2]
        assert answer["confusion"]["names"] == ["background", "eat", "groom"]
        assert answer["confusion"]["seconds"] == [[11, 0, 0], [0, 0, 5], [2, 0, 2]]
        chance = (11 * 13 + 4 * 7) / 400
        assert answer["figures"]["frame_accuracy"] == pytest.approx(65)
        assert answer["figures"]["kappa"] == pytest.approx((0.65 - chance) / (1 - chance))
        assert answer["videos"][0]["figures"]["frame_accuracy"] == pytest.approx(80)
        body = {"first": sides[0], "second": sides[1]}
        compared = anna.ask("POST", f"/api/videos/{videos[0]}/compare", json=body)
        assert compared["figures"] == answer["videos"][0]["figures"]
    error = anna.ask("GET", "/api/agreement", 400, params={"first": "track x", "second": "annotator Bernd"})["error"]
    assert error.startswith("agreement: ")


# --- the store ---------------------------------------------------------------------------------------------------


def test_an_edit_of_a_long_track_in_a_large_project_is_stored_at_once(opened, tmp_path):
    user = opened(run=None)()
    project, history = user.page.project, user.page.history
    times = np.arange(216_001) / 30  # two hours
    with project.change():
        for number in range(200):
            video = project.add_video(f"v{number}", None, None, times if number == 199 else times[:2001])
            track = next(iter(project.tracks(video)))
            count = 1500 if number == 199 else 50
            labels = [Label(10 * start, 10 * start + 9, f"class {start % 12}") for start in range(count)]
            history.replace(video, track, labels)
    seconds = []
    for number in range(1500, 1520):
        began = time.process_time()  # other programs do not count
        edit(user, video, ANNA, [part(10 * number, 10 * number + 5, "class 3")], track=track, edit=f"e{number}")
        seconds.append(time.process_time() - began)
    assert sorted(seconds)[10] < 0.1
    assert project.labelled_tracks(video)[0].revision == 21


def test_a_locked_database_is_not_a_full_disk(user, monkeypatch):
    store = user.page.project
    store.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(store.folder / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = user.client.post("/api/settings", json={"adjust": {"gamma": 1.0}})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert json.loads(answer.text)["error"] == "not stored (database is locked); try again"
        other.execute("COMMIT")
    user.ask("POST", "/api/settings", json={"adjust": {"gamma": 1.0}})


def test_a_file_that_is_no_label_file_of_a_track_is_refused(tmp_path):
    project = Project(tmp_path / "p")
    video = project.add_video("a", None, None, np.arange(11.0))
    with refused("track"):
        History(project).replace(video, 99, [Label(0, 1, "a")])
    assert project.tracks(video)


def test_an_undone_deletion_keeps_what_a_class_is_though_its_key_is_taken(two):
    anna, bernd, _ = two
    do(anna, ANNA, do="add", names=["idle", "eat"])
    values = {"background": True, "point": True, "paint": "#112233", "description": "rests"}
    do(anna, ANNA, do="change", name="idle", **values)
    do(anna, ANNA, do="delete", name="idle")
    assert do(bernd, BERND, do="add", names=["pour"], key="1")["actions"][1]["key"] == "1"
    actions = anna.ask("POST", "/api/actions/undo", json=ANNA)["actions"]
    assert [action["name"] for action in actions] == ["idle", "eat", "pour"]
    assert {name: actions[0][name] for name in values} == values
    assert len({action["key"] for action in actions}) == len({action["colour"] for action in actions}) == 3


def test_an_undo_brings_no_label_back_whose_class_is_gone(two):
    """It would count as an action, though its class was background."""
    anna, bernd, video = two
    do(anna, ANNA, do="add", names=["idle"])
    do(bernd, BERND, do="change", name="idle", background=True)
    added = edit(anna, video, ANNA, [part(3, 9, "idle")])["added"]
    edit(anna, video, ANNA, removed=added)
    do(bernd, BERND, do="delete", name="idle")
    error = undo(anna, video, ANNA, 409)["error"]
    assert error == 'Bernd changed class "idle" a moment ago. Your last step cannot be undone.'
    assert main(anna.ask("GET", f"/api/videos/{video}")) == []
    bernd.ask("POST", "/api/actions/undo", json=BERND)
    assert main(undo(anna, video, ANNA)) == [(3, 9, "idle")]


def test_a_list_of_classes_keeps_what_it_does_not_say(two):
    anna, *_ = two
    do(anna, ANNA, do="add", names=["idle", "eat"])
    values = {"background": True, "point": True, "paint": "#112233", "description": "rests"}
    do(anna, ANNA, do="change", name="idle", **values)
    actions = anna.act("eat", "idle")["actions"]
    assert [action["name"] for action in actions] == ["eat", "idle"]
    assert {name: actions[1][name] for name in values} == values
    revision = anna.ask("GET", "/api/state")["actions_revision"]
    body = {"actions": [{"name": "idle", "background": False, "description": ""}], "revision": revision}
    (action,) = anna.ask("PUT", "/api/actions", json=body)["actions"]
    assert [action[name] for name in values] == [False, True, "#112233", ""]


def test_an_undone_class_comes_back_with_its_segments(two, workbench):
    """Ctrl+Z in another video takes the class away, and later edits there drop its return."""
    anna, _, video = two
    other = anna.add(workbench / "features" / "person2_video1.npy")
    do(anna, ANNA, do="add", names=["rear"])
    (added,) = edit(anna, video, ANNA, [part(3, 9, "rear")])["added"]
    edit(anna, video, ANNA, removed=[added])
    undo(anna, other, ANNA)
    assert names_of(anna.ask("GET", "/api/state")) == []
    edit(anna, other, ANNA, [part(3, 9, "stir")])
    assert main(undo(anna, video, ANNA)) == [(3, 9, "rear")]
    assert set(names_of(anna.ask("GET", "/api/state"))) == {"rear", "stir"}
    assert main(undo(anna, video, ANNA)) == []  # steps before it can be undone, too


def test_a_class_that_somebody_else_has_removed_does_not_come_back(two):
    anna, bernd, video = two
    do(anna, ANNA, do="add", names=["rear"])
    (added,) = edit(anna, video, ANNA, [part(3, 9, "rear")])["added"]
    edit(anna, video, ANNA, removed=[added])
    do(bernd, BERND, do="delete", name="rear")
    answer = undo(anna, video, ANNA, 409)
    assert answer["error"].startswith("Bernd changed")
