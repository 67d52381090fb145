"""From a project of the page to BORIS and to a new project: nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fact_clip.core.colours import palette
from fact_clip.formats import boris
from fact_clip.formats.base import Options

ACTIONS = [
    {"do": "add", "names": ["groom"], "key": "g", "description": "licks\nits fur"},
    {"do": "add", "names": ["lick"], "key": "e", "paint": "#336699"},
    {"do": "add", "names": ["rear up"]},
]
SEGMENTS = [
    {"start": 4, "stop": 4, "label": "lick", "comment": "once;\ntwice"},
    {"start": 6, "stop": 10, "label": "groom", "comment": "confidence 0.5"},
    {"start": 10, "stop": 10, "label": "groom"},
    {"start": 10, "stop": 12, "label": "rear up", "comment": "fact-clip confidence 1; no"},
    {"start": 12, "stop": 15, "label": "groom"},
    {"start": 20, "stop": 20, "label": "lick"},
]
LOOK = ("name", "key", "description")


def looks(user: Any) -> list[tuple[str, ...]]:
    """Name, key, description and colour of each action."""
    state = user.ask("GET", "/api/state")
    colours = state["colours"]
    return [(*(one[key] for key in LOOK), colours[one["name"]]["colour"]) for one in state["actions"]]


def labels(shown: Any) -> list[tuple[int, int, str, str]]:
    return [*map(fields, shown["tracks"][0]["segments"])]


def fields(one: Any) -> tuple[int, int, str, str]:
    return one["start"], one["stop"], one["label"], one["comment"]


def exported(user: Any, video: str, path: Path) -> Path:
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": "boris"})
    assert answer.status_code == 200, answer.text
    path.write_bytes(answer.content)
    return path


@pytest.fixture
def labelled(opened, rows):
    """A page without a model, and a video that is labelled with `SEGMENTS`."""
    user = opened(run=None)()
    video = user.add(rows)
    for body in ACTIONS:
        user.ask("POST", "/api/actions", json={"browser": "", "annotator": "", **body})
    track = user.ask("GET", f"/api/videos/{video}")["tracks"][0]
    body = {"track": track["id"], "revision": track["revision"], "segments": SEGMENTS}
    user.ask("PUT", f"/api/videos/{video}/segments", json=body)
    return user, video


def test_a_project_comes_back_from_boris(labelled, opened, rows, tmp_path):
    user, video = labelled
    path = exported(user, video, tmp_path / "a.boris")
    behaviours = json.loads(path.read_text())["behaviors_conf"].values()
    assert [(one["code"], one["type"], one["key"], one["color"]) for one in behaviours] == [
        ("groom", "State event", "g", palette(3)[0]),
        ("lick", "Point event", "e", "#336699"),
        ("rear up", "State event", "1", palette(3)[2]),
    ]
    before, expected = looks(user), labels(user.ask("GET", f"/api/videos/{video}"))
    assert len(expected) == len(SEGMENTS)

    other = opened(run=None, project=tmp_path / "other")()
    again = other.add(rows)
    loaded = other.ask("POST", f"/api/videos/{again}/labels", json={"file": other.upload(path)})
    assert labels(loaded) == expected
    assert looks(other) == before
    other.ask("POST", f"/api/videos/{again}/undo", json={"browser": "", "annotator": ""})
    assert looks(other) == []


def test_tracks_are_subjects(labelled, opened, rows, tmp_path):
    user, video = labelled
    for name in ("rat 2", "rat 3"):
        user.ask("POST", f"/api/videos/{video}/tracks", json={"name": name})
    second = user.ask("GET", f"/api/videos/{video}")["tracks"][1]
    parts = [{"start": 3, "stop": 8, "label": "groom"}, {"start": 9, "stop": 9, "label": "groom"}]
    body = {"track": second["id"], "revision": second["revision"], "segments": parts}
    user.ask("PUT", f"/api/videos/{video}/segments", json=body)
    path = exported(user, video, tmp_path / "a.boris")
    project = json.loads(path.read_text())
    (observation,) = project["observations"].values()
    assert {event[1] for event in observation["events"]} == {"main", "rat 2"}
    assert [one["name"] for one in project["subjects_conf"].values()] == ["main", "rat 2", "rat 3"]

    other = opened(run=None, project=tmp_path / "other")()
    again = other.add(rows)
    loaded = other.ask("POST", f"/api/videos/{again}/labels", json={"file": other.upload(path)})
    tracks = {track["name"]: [*map(fields, track["segments"])] for track in loaded["tracks"]}
    assert tracks["main"] == labels(user.ask("GET", f"/api/videos/{video}"))
    assert tracks["rat 2"] == [(3, 8, "groom", ""), (9, 9, "groom", "")]


def test_the_name_of_a_single_track_is_that_of_the_subject(labelled, opened, rows, tmp_path):
    user, video = labelled
    track = user.ask("GET", f"/api/videos/{video}")["tracks"][0]
    user.ask("PATCH", f"/api/videos/{video}/tracks/{track['id']}", json={"name": "mouse A"})
    path = exported(user, video, tmp_path / "a.boris")
    project = json.loads(path.read_text())
    assert [one["name"] for one in project["subjects_conf"].values()] == ["mouse A"]
    other = opened(run=None, project=tmp_path / "other")()
    again = other.add(rows)
    loaded = other.ask("POST", f"/api/videos/{again}/labels", json={"file": other.upload(path)})
    assert [track["name"] for track in loaded["tracks"] if track["segments"]] == ["mouse A"]


def test_a_point_class_without_events_is_coded_by_points(opened, rows, tmp_path):
    user = opened(run=None)()
    video = user.add(rows)
    for body in ({"do": "add", "names": ["groom"]}, {"do": "add", "names": ["bite"], "point": True}):
        user.ask("POST", "/api/actions", json={"browser": "", "annotator": "", **body})
    user.label(video, (2, 5, "groom"))
    behaviours = json.loads(exported(user, video, tmp_path / "a.boris").read_text())["behaviors_conf"].values()
    assert {one["code"]: one["type"] for one in behaviours} == {"groom": "State event", "bite": "Point event"}


def test_an_observation_that_is_not_coded_is_not_background(labelled, opened, rows, tmp_path):
    user, video = labelled
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "rat 2"})
    path = exported(user, video, tmp_path / "a.boris")
    project = json.loads(path.read_text())
    (coded,) = project["observations"].values()
    project["observations"]["b"] = coded | {"events": [], "description": "", "file": {"1": ["b.mp4"]}}
    path.write_text(json.dumps(project))
    annotations = boris.read_annotations(path, Options(tier="main"))
    assert [annotation.name for annotation in annotations] == [Path(coded["file"]["1"][0]).stem]


def test_a_key_that_is_taken_stays_with_its_class(labelled, opened, rows, tmp_path):
    user, video = labelled
    path = exported(user, video, tmp_path / "a.boris")
    other = opened(run=None, project=tmp_path / "other")()
    again = other.add(rows)
    other.ask("POST", "/api/actions", json={"do": "add", "names": ["gnaw"], "key": "G", "browser": "", "annotator": ""})
    asked = {"file": other.upload(path), "dry": True}
    assert other.ask("POST", f"/api/videos/{again}/labels", json=asked)["classes"] == ["groom", "lick", "rear up"]
    other.ask("POST", f"/api/videos/{again}/labels", json={"file": other.upload(path)})
    keys = {one["name"]: one["key"] for one in other.ask("GET", "/api/state")["actions"]}
    assert keys == {"gnaw": "G", "groom": "2", "lick": "e", "rear up": "1"}


def test_names_that_are_made_of_factors_have_modifiers(opened, rows, text_run, tmp_path):
    user = opened()()
    video = user.add(rows)
    name = "grasp shaft"
    model = user.page.engine.model()
    factors = model.vocabulary.factors[model.vocabulary.index(name)]
    assert " ".join(filter(None, factors)) == name
    user.act(name, "peel apple")
    user.label(video, (2, 5, name), (5, 9, "peel apple"))
    project = json.loads(exported(user, video, tmp_path / "a.boris").read_text())
    assert [one["code"] for one in project["behaviors_conf"].values()] == ["grasp", "peel apple"]
    (observation,) = project["observations"].values()
    assert [event[2:4] for event in observation["events"]] == [["grasp", "shaft"]] * 2 + [["peel apple", ""]] * 2
    again = user.add(rows)
    loaded = user.ask("POST", f"/api/videos/{again}/labels", json={"file": user.upload(tmp_path / "a.boris")})
    assert [one[2] for one in labels(loaded)] == [name, "peel apple"]


def test_an_unfinished_track_with_background_comes_back(opened, rows, tmp_path):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (3, 9, "stir"))
    track = user.ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]
    params = {"format": "boris", "track": track, "background": True}
    path = tmp_path / "rows.boris"
    path.write_bytes(user.client.get(f"/api/videos/{video}/export", params=params).content)
    body = {"file": user.upload(path), "name": "again"}
    again = user.ask("POST", f"/api/videos/{video}/labels", json=body)["tracks"][-1]
    assert [(part["start"], part["stop"], part["label"]) for part in again["segments"]] == [(3, 9, "stir")]
