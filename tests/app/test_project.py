"""The store: any sequence of edits equals the same on a list in memory, whatever happens to the process."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fact_clip_app.api.request_bodies import ActionValues
from fact_clip_app.store.database import VERSION
from fact_clip_app.store.history import ConflictError, History, Person
from fact_clip_app.store.project import Label, Project

from ..launch import begin
from ..refusals import refused
from .conftest import labels_of

FRAMES = 40


def new(folder: Path) -> tuple[Project, str, int]:
    project = Project(folder)
    video = project.add_video("a", None, None, np.arange(FRAMES + 1) / 10)
    return project, video, next(iter(project.tracks(video)))


@st.composite
def labels(draw):
    edges = sorted(draw(st.sets(st.integers(0, FRAMES), max_size=8)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    names = st.sampled_from(["stir", "pour", "<b>", "a'; DROP TABLE segment"])
    return [Label(start, stop, draw(names), draw(st.sampled_from(["drawn", "corrected"]))) for start, stop in pairs]


steps = st.lists(st.one_of(labels(), st.sampled_from(["undo", "redo", "reload", "rename"])), max_size=12)


ANN, BOB = Person("b1", "ann"), Person("b2", "bob")


@settings(max_examples=60)
@given(steps=steps)
def test_edits_undo_redo_and_reload_are_those_of_a_list(steps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "p"
    project, video, track = new(folder)
    history = History(project)
    names = ["stir", "pour", "<b>", "a'; DROP TABLE segment", "stir!"]
    project.add_actions(names)
    current, undone, redone, revision = [], [], [], 0
    for step in steps:
        if step == "reload":
            project.close()
            project = Project(folder)
            history = History(project)
        elif step == "undo":
            history.step(video, ANN, back=True)
            if undone:
                redone.append(current)
                current = undone.pop()
                revision += 1
        elif step == "redo":
            history.step(video, ANN, back=False)
            if redone:
                undone.append(current)
                current = redone.pop()
                revision += 1
        else:
            stirred = [replace(one, label="stir!") if one.label == "stir" else one for one in current]
            after = stirred if step == "rename" else [replace(one, annotator="ann") for one in step]
            if step == "rename":
                if after != current:
                    history.remove("stir", "stir!", ANN)
            else:
                assert history.replace(video, track, step, revision, ANN) == revision + (after != current)
            if after != current:
                undone.append(current)
                current, redone = after, []
                revision += 1
        assert labels_of(project, track) == current
        titles = list(history.titles(video, ANN).values())
        assert [title is not None for title in titles] == [bool(undone), bool(redone)]
        assert project.labelled_tracks(video)[0].revision == revision
        assert {label.label for label in current} <= {action.name for action in project.actions()} <= {*names}
    project.close()


def test_the_later_of_two_who_saw_the_same_is_told(tmp_path):
    project, video, track = new(tmp_path / "p")
    history = History(project)
    other = History(Project(tmp_path / "p"))  # as another process has it
    first = history.replace(video, track, [Label(0, 5, "stir")], 0, ANN)
    with pytest.raises(ConflictError, match="ann changed track main a moment ago"):
        other.replace(video, track, [Label(0, 9, "pour")], 0, BOB)
    assert other.replace(video, track, [Label(0, 5, "stir"), Label(5, 9, "pour")], first, BOB) == 2
    labels = labels_of(project, track)
    assert [(one.label, one.annotator) for one in labels] == [("stir", "ann"), ("pour", "bob")]
    other.step(video, BOB, back=True)
    other.step(video, BOB, back=True)  # the first step is of somebody else
    assert [one.label for one in labels_of(project, track)] == ["stir"]


@pytest.mark.parametrize(
    ("segments", "place"),
    [
        ([(0, 41)], "segments 1"),
        ([(3, 2)], "segments 1"),
        ([(40, 40)], "segments 1"),
        ([(0, 3), (2, 4)], "segments"),
        ([(2, 2), (2, 2)], "segments"),
    ],
)
def test_segments_that_cannot_be_are_refused(segments, place, tmp_path):
    project, video, track = new(tmp_path / "p")
    with refused(place):
        History(project).replace(video, track, [Label(*segment, "a") for segment in segments])
    assert labels_of(project, track) == []


def test_an_instant_may_begin_a_segment_and_names_keep_their_colours(tmp_path):
    project, video, track = new(tmp_path / "p")
    project.add_actions(["a", "b", "c"])
    labels = [Label(2, 2, "a"), Label(2, 5, "b"), Label(5, 5, "c")]
    History(project).replace(video, track, labels)
    assert labels_of(project, track) == labels
    stored = {action.name: action for action in project.actions()}
    actions = [ActionValues(name=name).applied_to(stored) for name in "cda"]
    History(project).set_actions(actions, project.actions())
    assert {action.name: action.colour for action in project.actions()} == {"c": 2, "d": 1, "a": 0}
    assert {action.name: action.key for action in project.actions()} == {"c": "3", "d": "2", "a": "1"}


def test_what_was_removed_comes_back_and_tracks_go_when_they_are_empty(tmp_path):
    project, video, main = new(tmp_path / "p")
    history = History(project)
    left = project.add_track(video, "left hand")
    history.replace(video, left, [Label(0, 5, "stir")])
    with refused("track"):
        project.remove_track(video, left)
    project.change_video(video, removed=1.0)
    assert (project.videos(), project.video(video)) == ([], None)
    assert [entry.id for entry in project.videos(removed=True)] == [video]
    project.change_video(video, removed=None)
    labels = {track.id: track.segments for track in project.labelled_tracks(video)}
    assert labels == {main: [], left: [Label(0, 5, "stir")]}
    history.step(video, Person(), back=True)
    project.remove_track(video, left)
    right = project.add_track(video, "right hand")  # it may get the id of the one that is gone
    history.step(video, Person(), back=False)
    assert labels_of(project, right) == []
    project.remove_track(video, right)
    with refused("track"):
        project.remove_track(video, main)


def test_a_folder_of_something_else_and_a_different_version_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    with refused(tmp_path / "other"):
        Project(tmp_path / "other")
    new(tmp_path / "p")[0].close()
    for version in (1, VERSION - 2, VERSION + 1):
        with closing(sqlite3.connect(tmp_path / "p/project.sqlite")) as base:
            base.execute(f"PRAGMA user_version = {version}")
        with refused(tmp_path / "p"):
            Project(tmp_path / "p")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/project.sqlite").write_bytes(b"no database at all" * 100)
    with refused(tmp_path / "bad/project.sqlite"):
        Project(tmp_path / "bad")


def test_a_project_of_version_6_is_converted(tmp_path):
    """Its labels, steps and indexes stay, and it takes labels that were made in groups."""
    project, video, track = new(tmp_path / "p")
    history = History(project)
    history.replace(video, track, [Label(0, 4, "a"), Label(4, 6, "b", "predicted", "why", "Anna")], None, Person())
    before = project.rows("SELECT * FROM segment ORDER BY id")
    indexes = project.rows("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name")
    project.close()
    with closing(sqlite3.connect(tmp_path / "p/project.sqlite")) as base, base:
        (table,) = base.execute("SELECT sql FROM sqlite_master WHERE name = 'segment'").fetchone()
        base.execute("DROP TABLE segment")
        base.execute(table.replace(", 'grouped'", ""))
        base.execute("CREATE INDEX segment_of_track ON segment (track, start)")
        base.execute("CREATE INDEX segment_of_label ON segment (label)")
        base.executemany("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?)", before)
        base.execute("PRAGMA user_version = 6")
    converted = Project(tmp_path / "p")
    assert converted.value("PRAGMA user_version") == VERSION
    assert converted.rows("SELECT * FROM segment ORDER BY id") == before
    assert converted.rows("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name") == indexes
    assert converted.rows("PRAGMA foreign_key_check") == []
    filling = History(converted).fill({track: [(7, 9)]}, "c", Person())
    assert (filling.labelled, filling.taken, filling.gone) == (1, 0, 0)
    converted.remove_track(video, converted.add_track(video, "other"))
    History(converted).step(None, Person(), back=True)
    assert converted.rows("SELECT * FROM segment ORDER BY id") == before
    converted.close()
    Project(tmp_path / "p").close()


def test_a_project_may_be_moved_with_what_lies_in_it(tmp_path):
    project = Project(tmp_path / "p")
    inner, outer = project.folder / "videos/a.npy", tmp_path / "b.npy"
    keys = [project.add_video("a", None, path, np.arange(3.0)) for path in (inner, outer)]
    project.close()
    shutil.move(tmp_path / "p", tmp_path / "q")
    moved = Project(tmp_path / "q")
    assert [moved.video(key).features for key in keys] == [tmp_path / "q/videos/a.npy", outer]


KILLS = """
import sys, numpy as np
from pathlib import Path
from fact_clip_app.store.history import History, Part, Person
from fact_clip_app.store.project import Label, Project
project = Project(Path(sys.argv[1]))
history = History(project)
video = (project.videos() or [None])[0]
key = project.add_video("a", None, None, np.arange(100001) / 10) if video is None else video.id
track = next(iter(project.tracks(key)))
stop = max([label.stop for label in project.labelled_tracks(key)[0].segments], default=0)
while True:
    new = [Label(stop, stop + 1, "stir")]
    old = [label for label in project.labelled_tracks(key)[0].segments if label.stop == stop - 5]
    history.edit(key, Part(track, old, new), Person(), f"edit {stop}")
    stop += 1
    print(stop, flush=True)
"""


@pytest.mark.slow
def test_what_was_answered_survives_any_kill(tmp_path):
    """Processes that are killed while they edit; each edit that was answered is there, and the file is whole."""
    rng, last = np.random.default_rng(0), 0
    for _ in range(int(os.environ.get("KILLS", "12"))):
        answers = tmp_path / "answers.txt"
        answers.write_text("")
        process = begin("-c", KILLS, tmp_path / "p", out=answers)
        while "\n" not in answers.read_text():
            assert process.exitcode is None
        time.sleep(float(rng.uniform(0, 0.03)))
        process.kill()
        process.join()
        answered = answers.read_text().splitlines(keepends=True)
        last = max(last, *(int(line) for line in answered if line.endswith("\n")))
        project = Project(tmp_path / "p")
        (video,) = project.videos()
        (track,) = project.labelled_tracks(video.id)
        segments = track.segments
        assert segments[-1].stop in (last, last + 1)
        assert track.revision == segments[-1].stop
        with sqlite3.connect(tmp_path / "p/project.sqlite") as base:
            assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            edits = base.execute("SELECT added FROM part ORDER BY step").fetchall()
        assert [json.loads(added)[0][1] for (added,) in edits] == list(range(1, segments[-1].stop + 1))
        last = segments[-1].stop
        project.close()


def test_an_overlap_is_named_with_its_time(tmp_path):
    project, video, track = new(tmp_path / "p")
    with refused("segments") as refusal:
        History(project).replace(video, track, [Label(10, 25, "eat"), Label(20, 30, "dig")])
    expected = "segments: this overlaps 'eat' (1.00 to 2.50 s). Shorten it, or use a different track."
    assert refusal.message == expected


def test_names_of_all_languages():
    labels = TypeAdapter(Label)
    for name in ("می\u200cخورد", "\U0001f468\u200d\U0001f373 cook", "卵\u3000割る"):
        label = labels.validate_python({"start": 0, "stop": 9, "label": name, "comment": f"{name}\n{name}"})
        assert (label.label, label.comment) == (name, f"{name}\n{name}")
    for name in ("a\u200eb", "a\u061cb", "a\tb", "\u200c", "x" * 201):
        with pytest.raises(ValidationError, match="a name is one line"):
            labels.validate_python({"start": 0, "stop": 9, "label": name})
    for comment in ("a\u200eb", "a\tb", "a\rb"):
        with pytest.raises(ValidationError, match="a text has no control characters"):
            labels.validate_python({"start": 0, "stop": 9, "label": "a", "comment": comment})
