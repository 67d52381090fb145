"""BORIS both ways: keys, colours, descriptions, modifiers, and moments as point events."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fact_clip.core import Instant, Segment, Segmentation
from fact_clip.formats import READERS, Behaviour, load, save
from fact_clip.formats.base import Options
from fact_clip.formats.boris import read_ethogram

ETHOGRAM = {
    "groom": Behaviour("g", "#1e78b4", "licks its fur"),
    "lick": Behaviour("l", "#c37800"),
    "pour milk": Behaviour("m", "#00c396", "from the jug", code="pour", modifiers=("milk",)),
    "pour water": Behaviour("w", "#d2c33c", code="pour", modifiers=("water",)),
    "rear": Behaviour("r"),
}
VIDEO = Segmentation(
    (
        Segment(0, 10, "idle"),
        Segment(10, 20, "groom", comment="long"),
        Segment(20, 30, "pour milk"),
        Segment(30, 40, "pour water"),
        Segment(40, 50, "idle"),
    ),
    fps=10.0,
    media="cage.mp4",
    background=("idle",),
    instants=(
        Instant(5, "lick", "once"),
        Instant(10, "lick"),
        Instant(20, "groom", "again"),
        Instant(45, "lick"),
    ),
)


def tree(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def behaviour(code: str, **more: Any) -> dict[str, Any]:
    return {"type": "State event", "code": code, **more}


def test_a_project_has_keys_colours_modifiers_and_point_events(tmp_path):
    project = tree(save(VIDEO, tmp_path / "a.boris", ethogram=ETHOGRAM))
    rows = [[row[key] for key in ("code", "type", "key", "color")] for row in project["behaviors_conf"].values()]
    assert rows == [
        ["groom", "State event", "g", "#1e78b4"],
        ["lick", "Point event", "l", "#c37800"],
        ["pour", "State event", "m", "#00c396"],
        ["rear", "State event", "r", ""],
    ]
    assert project["behaviors_conf"]["0"]["description"] == "licks its fur"
    assert project["behaviors_conf"]["0"]["modifiers"] == ""
    (modifiers,) = project["behaviors_conf"]["2"]["modifiers"].values()
    assert modifiers["values"] == ["milk (m)", "water (w)"]
    (observation,) = project["observations"].values()
    assert [(event[0], event[2], event[3], event[4]) for event in observation["events"]] == [
        (0.5, "lick", "", "once"),
        (1.0, "lick", "", ""),
        (1.0, "groom", "", "long"),
        (2.0, "groom", "", ""),
        (2.0, "groom", "", "again"),  # no point event, since it has states: it starts and stops
        (2.0, "groom", "", ""),
        (2.0, "pour", "milk", ""),
        (3.0, "pour", "milk", ""),
        (3.0, "pour", "water", ""),
        (4.0, "pour", "water", ""),
        (4.5, "lick", "", ""),
    ]


@pytest.mark.parametrize(("ending", "ethogram"), [(".boris", ETHOGRAM), (".boris", None)])
def test_moments_and_comments_come_back(ending, ethogram, tmp_path):
    path = save(VIDEO, tmp_path / f"a{ending}", ethogram=ethogram)
    (annotation,) = READERS["boris"](path, Options(instants=True))
    found = sorted((span.start, span.stop, span.label, span.comment) for span in annotation.spans)
    assert found == [
        (0.5, 0.5, "lick", "once"),
        (1, 1, "lick", ""),
        (1, 2, "groom", "long"),
        (2, 2, "groom", "again"),
        (2, 3, "pour milk", ""),
        (3, 4, "pour water", ""),
        (4.5, 4.5, "lick", ""),
    ]


def test_moments_inside_segments(tmp_path):
    """Events are in the order of time, and a state that runs is not started by a moment of it."""
    moments = (Instant(12, "lick"), Instant(15, "groom"), Instant(25, "groom"))
    path = save(replace(VIDEO, instants=moments), tmp_path / "a.boris")
    (annotation,) = READERS["boris"](path, Options(instants=True))
    found = sorted((span.start, span.stop, span.label) for span in annotation.spans)
    assert found[:3] == [(1, 2, "groom"), (1.2, 1.2, "lick"), (2, 3, "pour milk")]
    assert (2.5, 2.5, "groom") in found
    assert len(found) == 5
    (observation,) = tree(path)["observations"].values()
    times = [event[0] for event in observation["events"]]
    assert times == sorted(times)


def test_the_ethogram_comes_back(tmp_path):
    found = read_ethogram(save(VIDEO, tmp_path / "a.boris", ethogram=ETHOGRAM))
    assert list(found) == list(ETHOGRAM)
    assert found["groom"] == Behaviour("g", "#1e78b4", "licks its fur")
    assert found["pour milk"] == Behaviour("m", "#00c396", "from the jug")
    assert found["pour water"] == Behaviour("w")  # BORIS has one colour for a behaviour
    assert found["rear"] == Behaviour("r")


def test_the_ethogram_of_another_project(tmp_path):
    path = tmp_path / "a.boris"
    sets = {"0": {"name": "what", "type": 0, "values": ["nuts (n)", "big seeds (F1)", 3]}}
    behaviours = [
        behaviour("eat ", key="E", color="Red", modifiers=sets, description=None),
        behaviour("call", key="F1", color="#AbCdEf", modifiers="old, style"),
        behaviour("rest", key=None, color=""),
    ]
    events = [[1, "", "eat", "big seeds (F1)"], [2, "", "eat", "nuts"], [3, "", "eat", "None"], [4, "", "rest", "x"]]
    observations = {"o": {"events": events}}
    project = {"behaviors_conf": dict(enumerate(behaviours)), "observations": observations}
    path.write_text(json.dumps(project))
    assert read_ethogram(path) == {
        "eat big seeds (F1)": Behaviour(),
        "eat nuts": Behaviour("n"),
        "eat": Behaviour("E"),
        "call": Behaviour("", "#abcdef"),
        "rest": Behaviour(),
    }


def test_point_events_inside_segments_of_their_class_are_counted(tmp_path, caplog):
    video = replace(VIDEO, instants=(Instant(15, "groom"), Instant(16, "lick"), Instant(25, "pour milk")))
    save(video, tmp_path / "a.boris")
    assert [message for message in caplog.messages if "2 point events lie inside" in message]


def test_files_without_point_events_have_a_frame_for_each_moment(tmp_path):
    loaded = load(save(VIDEO, tmp_path / "a.jsonl", ethogram=ETHOGRAM))
    assert [(one.start, one.stop, one.label, one.comment) for one in loaded] == [
        (0, 5, "idle", ""),
        (5, 6, "lick", "once"),
        (6, 10, "idle", ""),
        (10, 20, "groom", "long"),  # the moment within has no frame
        (20, 30, "pour milk", ""),
        (30, 40, "pour water", ""),
        (40, 45, "idle", ""),
        (45, 46, "lick", ""),
        (46, 50, "idle", ""),
    ]
