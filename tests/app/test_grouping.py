"""Groups of unlabelled stretches: by hand, against a slow version, and of a project."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from fact_clip.decoding.stretches import BEGINNING, END, Stretch
from fact_clip_app.results.grouping import LENGTH, NAME, NEIGHBOUR, coordinates, find_groups, whitening


def test_coordinates_by_hand():
    stretches = [Stretch(0, 0, 10, BEGINNING, 1), Stretch(0, 20, 30, 4, 1), Stretch(0, 40, 80, 4, END)]
    logs = np.log([10.0, 10.0, 40.0])
    lengths = LENGTH * (logs - logs.mean()) / logs.std()
    n = NEIGHBOUR
    expected = [
        [n, 0, 0, n, lengths[0]],  # columns: beginning, 4; end, 1; length
        [0, n, 0, n, lengths[1]],
        [0, n, n, 0, lengths[2]],
    ]
    np.testing.assert_allclose(coordinates(stretches), expected)
    shares = np.array([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]])
    found = coordinates(stretches, shares=shares)
    np.testing.assert_allclose(found[:, 5:], NAME * np.array([[1, 0], [0.5, math.sqrt(0.75)], [0, 1]]))


def test_features_have_a_spread_of_one_and_what_is_missing_lies_in_the_middle():
    stretches = [Stretch(0, 0, 10, 0, 1)] * 3
    means = np.array([[3.0, 0.0], [np.nan, np.nan], [-3.0, 0.0]])
    found = coordinates(stretches, means)[:, 3:]
    np.testing.assert_allclose(np.abs(found), [[1, 0], [0, 0], [1, 0]], atol=1e-12)
    np.testing.assert_allclose(found[0], -found[2], atol=1e-12)
    assert np.isfinite(coordinates(stretches, np.full((3, 2), np.nan))).all()
    assert np.isfinite(coordinates(stretches, np.ones((3, 2)))).all()


def test_whitening_evens_out_what_varies_within_classes():
    """The second direction varies much within classes, and tells nothing."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 500)
    rows = rng.normal(size=(1500, 2)) * [0.1, 30.0] + np.array([[0, 0], [1, 0], [2, 0]])[classes]
    mean, matrix = whitening(rows, classes)
    places = (rows - mean) @ matrix
    within = places - np.stack([places[classes == label].mean(0) for label in range(3)])[classes]
    assert within.std(0).max() < 1.1
    centres = np.stack([places[classes == label].mean(0) for label in range(3)])
    assert np.linalg.norm(centres[0] - centres[1]) > 2
    mean, matrix = whitening(np.ones((4, 3)), np.zeros(4, int))  # nothing varies
    assert np.isfinite(matrix).all()


def slow_groups(places: np.ndarray, largest: float) -> set[frozenset[int]]:
    """Ward's method: join the two sets whose sum of squares grows least, while that is little."""

    def cost(one: frozenset[int], other: frozenset[int]) -> float:
        centres = [places[sorted(part)].mean(0) for part in (one, other)]
        weight = 2 * len(one) * len(other) / (len(one) + len(other))
        return math.sqrt(weight * ((centres[0] - centres[1]) ** 2).sum())

    sets = {frozenset([index]) for index in range(len(places))}
    while len(sets) > 1:
        pairs = sorted(combinations(sorted(sets, key=min), 2), key=lambda pair: cost(*pair))
        one, other = pairs[0]
        if cost(one, other) > largest:
            return sets
        sets = sets - {one, other} | {one | other}
    return sets


@pytest.mark.parametrize("seed", range(8))
def test_groups_against_a_slow_version(seed):
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(rng.integers(1, 16), 3))
    for largest in (0.5, 1.5, 3.0, 99.0):
        groups = find_groups(places, largest)
        assert {frozenset(group.members) for group in groups} == slow_groups(places, largest)
        assert sorted(member for group in groups for member in group.members) == [*range(len(places))]
        for group in groups:
            assert group.distances[0] == 0.0
            assert all(0 < distance <= largest for distance in group.distances[1:])


def test_the_largest_distance_divides_a_group_into_its_halves():
    places = np.array([[0.0], [10.0], [0.2], [10.3], [0.1], [10.1]])
    (group,) = find_groups(places, largest=99)
    cut = int(np.argmax(group.distances))
    halves = {frozenset(group.members[:cut]), frozenset(group.members[cut:])}
    assert halves == {frozenset({0, 2, 4}), frozenset({1, 3, 5})}


# --- a project -------------------------------------------------------------------------------------------------------


def spans(group) -> list[tuple[int, int]]:
    return sorted((one["start"], one["stop"]) for one in group["stretches"])


def found(user, **person):
    return user.ask("GET", "/api/groups", params=person)["groups"]


@pytest.fixture
def bare(opened):
    """A user of a page without a model."""
    return opened(run=None)()


@pytest.fixture
def video(bare, rows):
    """A video of rows at 1 a second; stretches follow "a" and "b"."""
    key = bare.add(rows)
    bare.label(key, (0, 5, "a"), (8, 12, "b"), (20, 24, "a"), (27, 30, "b"), (38, 42, "a"), (45, 46, "background"))
    return key


def test_stretches_are_time_that_is_not_rated(bare, video):
    groups = found(bare)
    length = bare.page.project.video(video).n_frames
    expected = [(5, 8), (12, 20), (24, 27), (30, 38), (42, 45), (46, length)]
    assert sorted(span for group in groups for span in spans(group)) == expected
    rows = {one["start"]: one for group in groups for one in group["stretches"]}
    assert (rows[5]["last_action"], rows[5]["next_action"], rows[5]["seconds"]) == ("a", "b", 3.0)
    assert (rows[42]["last_action"], rows[42]["next_action"]) == ("a", None)  # through background
    totals = [sum(one["seconds"] for one in group["stretches"]) for group in groups]
    assert totals == sorted(totals, reverse=True)
    shown = bare.ask("GET", f"/api/videos/{video}")
    track = shown["tracks"][0]["id"]
    bare.ask("PATCH", f"/api/videos/{video}/tracks/{track}", json={"complete": True})
    assert found(bare) == []  # the rest is background now


def test_an_empty_track_and_a_track_of_points_have_no_stretches(bare, rows):
    video = bare.add(rows)
    assert found(bare) == []
    bare.label(video, (5, 5, "click"))
    assert found(bare) == []
    bare.label(video, (0, 4, "a"), (10, 10, "click"))
    length = bare.page.project.video(video).n_frames
    assert sorted(span for group in found(bare) for span in spans(group)) == [(4, length)]


def body(video_answer, *stretches, label="new", **more):
    track = video_answer["tracks"][0]["id"]
    parts = [{"track": track, "start": start, "stop": stop} for start, stop in stretches]
    return {"label": label, "stretches": parts, **more}


def labels(user, video):
    segments = user.ask("GET", f"/api/videos/{video}")["tracks"][0]["segments"]
    return [(one["start"], one["stop"], one["label"]) for one in segments if one["origin"] == "grouped"]


def test_an_answer_is_one_step_over_all_videos(bare, video, rows):
    other = bare.add(rows)
    bare.label(other, (0, 5, "a"), (8, 12, "b"))
    shown, second = [bare.ask("GET", f"/api/videos/{key}") for key in (video, other)]
    request = body(shown, (5, 8), (24, 27), browser="tab", annotator="Anna")
    request["stretches"] += body(second, (5, 8))["stretches"]
    stamp = bare.ask("GET", "/api/state")["stamp"]
    assert bare.ask("POST", "/api/groups", json=request) == {"labelled": 3, "taken": 0, "gone": 0}
    assert bare.ask("GET", "/api/state")["stamp"] != stamp  # other browsers fetch it
    assert labels(bare, video) == [(5, 8, "new"), (24, 27, "new")]
    assert labels(bare, other) == [(5, 8, "new")]
    person = {"browser": "tab", "annotator": "Anna"}
    assert bare.ask("GET", f"/api/videos/{other}", params=person)["undo"] == "label 3 stretches new"
    assert "new" in [each["name"] for each in bare.ask("GET", "/api/state")["actions"]]
    sentence = bare.ask("GET", "/api/overview")["sentence"]
    assert "3 of the segments were labelled in groups of similar unlabelled stretches" in sentence
    csv = bare.client.get("/api/summary", params={"table": "segments", "format": "csv"}).text
    assert csv.count(",grouped,Anna,") == 3
    bare.ask("POST", f"/api/videos/{other}/undo", json=person)
    assert labels(bare, video) == labels(bare, other) == []
    assert "new" not in [each["name"] for each in bare.ask("GET", "/api/state")["actions"]]
    bare.ask("POST", "/api/actions/redo", json=person)
    assert len(labels(bare, video)) == 2


def test_labels_that_came_meanwhile_stay(bare, video):
    shown = bare.ask("GET", f"/api/videos/{video}")
    track = shown["tracks"][0]["id"]
    added = [{"start": 6, "stop": 7, "label": "b", "annotator": "Bernd"}]
    edit = {"track": track, "removed": [], "added": added, "annotator": "Bernd"}
    bare.ask("POST", f"/api/videos/{video}/edits", json=edit)
    request = body(shown, (5, 8), (24, 27), label=None)
    request["stretches"].append({"track": track + 999, "start": 1, "stop": 2})
    assert bare.ask("POST", "/api/groups", json=request) == {"labelled": 1, "taken": 1, "gone": 1}
    assert labels(bare, video) == [(24, 27, "background")]
    bare.ask("PATCH", f"/api/videos/{video}/tracks/{track}", json={"complete": True})
    assert bare.ask("POST", "/api/groups", json=body(shown, (12, 20))) == {"labelled": 0, "taken": 1, "gone": 0}
    assert "new" not in [each["name"] for each in bare.ask("GET", "/api/state")["actions"]]
    bare.ask("PATCH", f"/api/videos/{video}/tracks/{track}", json={"complete": False})
    bare.ask("DELETE", f"/api/videos/{video}")
    assert bare.ask("POST", "/api/groups", json=body(shown, (12, 20))) == {"labelled": 0, "taken": 0, "gone": 1}


def test_bad_answers_are_refused_and_nothing_is_stored(bare, video):
    shown = bare.ask("GET", f"/api/videos/{video}")
    before = bare.ask("GET", f"/api/videos/{video}")["tracks"]
    bad = [
        body(shown),
        body(shown, (8, 5)),
        body(shown, (5, 5)),
        body(shown, (12, 10**9)),
        body(shown, (12, 16), (14, 18)),
        body(shown, (12, 16), label=""),
        body(shown, (12, 16), label="?"),
        body(shown, (12, 16), label="two\nlines"),
        body(shown, (12, 16)) | {"label": 7},
        {"stretches": body(shown, (12, 16))["stretches"]},
        body(shown, (12, 16), extra=1),
    ]
    for request in bad:
        bare.ask("POST", "/api/groups", 400, json=request)
    assert bare.ask("GET", f"/api/videos/{video}")["tracks"] == before
    assert "?" not in [each["name"] for each in bare.ask("GET", "/api/state")["actions"]]


def test_a_class_that_somebody_has_renamed_is_not_brought_back(bare, video):
    shown = bare.ask("GET", f"/api/videos/{video}")
    bare.ask(
        "POST", "/api/actions", json={"do": "change", "name": "a", "to": "c", "browser": "other", "annotator": "Bo"}
    )
    answer = bare.ask("POST", "/api/groups", 409, json=body(shown, (5, 8), label="a", browser="tab"))
    assert answer["error"].startswith('Bo changed class "a"')


def test_a_model_names_stretches_and_cuts_those_with_several_drafts(user, rows):
    key = user.add(rows)
    user.act("grasp shaft", "insert shaft", "stir")
    shown = user.ask("GET", f"/api/videos/{key}")
    drafts = shown["drafts"]
    user.label(key, (0, 1, "grasp shaft"))
    guesses = {one["guess"] for group in found(user) for one in group["stretches"]}
    assert guesses <= {"grasp shaft", "insert shaft", "stir"}
    assert guesses
    starts = {one["start"] for group in found(user) for one in group["stretches"]}
    sure = set()
    for first, second in pairwise(drafts):
        if first["label"] != second["label"] and min(first["confidence"], second["confidence"]) >= 0.5:
            sure.add(second["start"])
    assert starts == {1} | {start for start in sure if start > 1}


def test_a_video_whose_file_has_changed_is_grouped_without_its_features(bare, video, rows):
    stored = bare.page.project.video(video).features
    np.save(stored, np.load(stored)[:, :-1] + 1)
    answer = bare.ask("GET", "/api/groups")
    assert sum(len(group["stretches"]) for group in answer["groups"]) == 6
