"""Blind is blind: each rater sees their own tracks alone, whatever they ask the server for."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import numpy as np
import pytest

pytest.importorskip("av")

from starlette.routing import Mount

from fact_clip.formats import FORMATS
from fact_clip_app.results.plots import PLOTS
from fact_clip_app.store.project import Project

from .conftest import UNSURE, User
from .test_editing import segments

PEOPLE = ("Anna", "Bernd")
N_FRAMES = 300
LABELS = {
    "Anna": ((11, 37, "annaonly"), (137, 151, "both"), (200, 200, "annaonly")),
    "Bernd": ((13, 41, "berndonly"), (163, 187, "both"), (211, 211, "berndonly")),
}
TRACKS = {"Anna": "hand of annaonly", "Bernd": "hand of berndonly"}


def secrets(name: str) -> list[bytes]:
    """What only a person has written."""
    low = name.lower()
    return [f"secret-{low}".encode(), f"{low}only".encode()]


@dataclass
class Rated:
    """A blind project of Anna and what requests need: ids of videos, tracks and files."""

    user: User
    videos: list[str]
    tracks: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # person -> (video, track)
    path: Path = Path()

    def ask(self, name: str, method: str, path: str, **how: Any) -> Any:
        """The answer to a person, who says who they are in the query and in the body."""
        person = {"annotator": name, "browser": f"browser of {name}"}
        params = {"viewer": name, **how.pop("params", {})}
        if "annotator" not in params and not any(word in path for word in ("/export", "/summary", "/plots")):
            params |= person
        if path.endswith("/export/training"):
            params |= person
        if isinstance(how.get("json"), dict) and method != "PATCH" and not path.endswith("/tracks"):
            how["json"] = {**person, **how["json"]}
        return self.user.client.request(method, path, params=params, **how)

    def own(self, name: str) -> tuple[str, int]:
        """The video and the id of a track of a person."""
        return self.tracks[name][0]


def labelled(user: User, name: str, video: str, track: int, shift: int = 0) -> None:
    """Give a track labels of a person."""
    added = [
        {"start": start + shift, "stop": stop + shift, "label": label, "comment": f"secret-{name.lower()}"}
        for start, stop, label in LABELS[name]
    ]
    person = {"annotator": name, "browser": f"browser of {name}"}
    body = {"track": track, "removed": [], "added": added, **person}
    user.ask("POST", f"/api/videos/{video}/edits", json=body)


def make(enter: Callable[[], User], folder: Path, people=PEOPLE) -> Rated:
    """Two videos whose `main` is that of one person, who owns no track of it, and one whose `main` is of both."""
    user = enter()
    user.act("annaonly", "berndonly", "both")
    videos = []
    for number in range(4):
        path = folder / f"film{number}.npy"
        np.save(path, np.ones((N_FRAMES, 4), np.float32) * number)
        videos.append(user.add(path))
    rated = Rated(user, videos, {name: [] for name in PEOPLE}, folder)
    for number, (first, second) in enumerate((PEOPLE, PEOPLE[::-1])):
        video = videos[number]
        main = user.ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]
        if first in people:
            labelled(user, first, video, main)
            rated.tracks[first].append((video, main))
        if second in people:
            body = {"name": TRACKS[second], "annotator": second}
            own = user.ask("POST", f"/api/videos/{video}/tracks", json=body)["tracks"][-1]["id"]
            labelled(user, second, video, own)
            rated.tracks[second].append((video, own))
    if set(people) == set(PEOPLE):
        main = user.ask("GET", f"/api/videos/{videos[2]}")["tracks"][0]["id"]
        labelled(user, "Anna", videos[2], main)
        labelled(user, "Bernd", videos[2], main, shift=60)
    blind = {"blind": True, "annotator": "Anna"}
    assert user.ask("POST", "/api/settings", json=blind)["project"]["blind"] is True
    return rated


@pytest.fixture
def rated(opened, tmp_path) -> Rated:
    return make(opened(run=None), tmp_path)


def contents(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, and the files in it, without the list of classes, which is everybody's."""
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for inner in archive.namelist():
                yield from contents(f"{name}/{inner}", archive.read(inner))
        return
    try:
        tree = json.loads(content)
    except ValueError:
        is_table = name.endswith(".binary.csv") or "format=binary.csv" in name
        yield name, content.partition(b"\r\n")[2] if is_table else content  # its header lists the classes
        return
    if isinstance(tree, dict):
        for key in ("actions", "colours", "unseen", "behaviors_conf"):
            tree.pop(key, None)
    yield name, json.dumps(tree, ensure_ascii=False).encode()


def check(answer: Any, name: str) -> None:
    """Nothing of others is in an answer to a person."""
    others = [other for other in PEOPLE if other != name]
    told = f"{answer.status_code} {answer.headers}".encode()
    said = unquote_plus(f"{answer.url} {answer.request.content.decode(errors='replace')}")
    for title, content in [("headers", told), *contents(str(answer.url), answer.content)]:
        for other in others:
            for secret in secrets(other):
                if secret.decode() not in said:  # a refusal may repeat what was asked for
                    assert secret not in content, (title, secret, content[:2000])


def upload(rated: Rated, name: str = "x.csv") -> str:
    path = rated.path / name
    path.write_text("start,stop,label\n1,2,both\n4,6,both\n")
    return rated.user.upload(path)


# --- every route ------------------------------------------------------------------------------------------------

Request = tuple[str, dict[str, Any]]
SIDES = ["track main", *(f"annotator {name}" for name in PEOPLE), *(f"track {name}" for name in TRACKS.values())]


def of_videos(rest: str = "", **how: Any) -> Callable[[Rated, str], list[Request]]:
    """A request for each video."""
    return lambda rated, name: [(f"/api/videos/{video}{rest}", how) for video in rated.videos]


def of_tracks(**how: Any) -> Callable[[Rated, str], list[Request]]:
    """A request for each track."""
    return lambda rated, name: [
        (f"/api/videos/{video}/tracks/{track}", how)
        for video in rated.videos
        for track in rated.user.page.project.tracks(video)
    ]


def plain(path: str, *hows: dict[str, Any]) -> Callable[[Rated, str], list[Request]]:
    return lambda rated, name: [(path, how) for how in hows or ({},)]


def people_filter(path: str, **params: Any) -> list[Request]:
    filters: list[dict[str, Any]] = [{}, {"annotator": "Anna"}, {"annotator": "Bernd"}, {"annotator": PEOPLE}]
    return [(path, {"params": {**params, **each}}) for each in filters]


def exports_of_a_video(rated: Rated, name: str) -> list[Request]:
    """Each video in two formats for all people and tracks, and in all formats for all together."""
    requests = []
    for video in rated.videos:
        path = f"/api/videos/{video}/export"
        for form in ("json", "csv"):
            requests += people_filter(path, format=form, drafts=1, background=1)
            for track in rated.user.page.project.tracks(video):
                requests.append((path, {"params": {"format": form, "track": track}}))
    for video in rated.videos[:3]:
        for form in installed():
            requests.append((f"/api/videos/{video}/export", {"params": {"format": form, "drafts": 1, "background": 1}}))
    return requests


def exports(rated: Rated, name: str) -> list[Request]:
    together = [("/api/export", {"params": {"format": form, "drafts": 1}}) for form in installed()]
    return [*people_filter("/api/export", format="json", drafts=1), *together]


def installed() -> list[str]:
    return [name for name, form in FORMATS.items() if form.is_installed]


def edits(rated: Rated, name: str) -> list[Request]:
    """Draw over each track, and try to remove labels of both."""
    requests = []
    for video in rated.videos:
        for track in rated.user.page.project.tracks(video):
            for start in (0, 138, 290):
                added = [{"start": start, "stop": start + 3, "label": "both"}]
                requests.append(
                    (f"/api/videos/{video}/edits", {"json": {"track": track, "removed": [], "added": added}})
                )
    return requests


def group_answers(rated: Rated, name: str) -> list[Request]:
    """Label a stretch of each track, and of all tracks together."""
    tracks = [track for video in rated.videos for track in rated.user.page.project.tracks(video)]
    spans = [{"track": track, "start": 138, "stop": 141} for track in tracks]
    return [("/api/groups", {"json": {"label": "both", "stretches": part}}) for part in ([one] for one in spans)] + [
        ("/api/groups", {"json": {"label": None, "stretches": spans}})
    ]


def whole_tracks(rated: Rated, name: str) -> list[Request]:
    return [
        (f"/api/videos/{video}/segments", {"json": {"track": track, "revision": 0, "segments": []}})
        for video in rated.videos
        for track in rated.user.page.project.tracks(video)
    ]


def imports(rated: Rated, name: str) -> list[Request]:
    requests = []
    for video in rated.videos:
        tracks = [{"track": track} for track in rated.user.page.project.tracks(video)]
        for where in (*tracks, {}, {"name": "main"}):
            body = {"file": upload(rated), **where}
            requests.append((f"/api/videos/{video}/labels", {"json": {**body, "dry": True}}))
            requests.append((f"/api/videos/{video}/labels", {"json": body}))
    return requests


def comparisons(rated: Rated, name: str) -> list[Request]:
    sides = [*SIDES, "shown", "predicted"]
    return [
        (f"/api/videos/{video}/compare", {"json": {"first": first, "second": second}})
        for video in rated.videos
        for first, second in combinations(sides, 2)
    ]


def agreements(rated: Rated, name: str) -> list[Request]:
    return [("/api/agreement", {"params": {"first": one, "second": other}}) for one in SIDES for other in SIDES]


def class_changes(rated: Rated, name: str) -> list[Request]:
    bodies = [
        {"do": "add", "names": ["new"]},
        {"do": "change", "name": "both", "to": "renamed"},
        {"do": "change", "name": "both", "description": "what it is"},
        {"do": "merge", "name": "both", "into": "new"},
        {"do": "delete", "name": "both"},
        {"do": "move", "name": "both", "before": None},
    ]
    return [("/api/actions", {"json": body}) for body in bodies]


NO_LABELS = plain  # routes that neither read nor write labels; they are asked nevertheless

ROUTES: dict[tuple[str, str], Callable[[Rated, str], list[Request]]] = {
    ("GET", "/api/state"): plain("/api/state"),
    ("GET", "/api/events"): lambda rated, name: [],  # see the test of the stream
    ("POST", "/api/settings"): plain("/api/settings", {"json": {"blind": True}}, {"json": {"adjust": {"gamma": 1.0}}}),
    ("PUT", "/api/actions"): plain(
        "/api/actions", {"json": {"actions": [{"name": name} for name in ("annaonly", "berndonly", "both")]}}
    ),
    ("POST", "/api/actions"): class_changes,
    ("POST", "/api/actions/{word}"): lambda rated, name: [
        (f"/api/actions/{word}", {"json": {}}) for word in ("undo", "redo")
    ],
    ("POST", "/api/files"): NO_LABELS("/api/files", {"params": {"name": "x.csv"}, "content": b"start,stop,label\n"}),
    ("POST", "/api/videos"): lambda rated, name: [("/api/videos", {"json": {"files": [upload(rated)]}})],
    ("GET", "/api/videos/{video}"): of_videos(),
    ("PATCH", "/api/videos/{video}"): of_videos(json={"complete": True}),
    ("DELETE", "/api/videos/{video}"): of_videos(),
    ("POST", "/api/videos/{video}/restore"): of_videos("/restore"),
    ("GET", "/api/videos/{video}/media"): of_videos("/media"),
    ("GET", "/api/videos/{video}/thumbnail"): of_videos("/thumbnail"),
    ("POST", "/api/example"): NO_LABELS("/api/example"),
    ("POST", "/api/segment"): NO_LABELS("/api/segment", {"params": {"name": "x.npy"}, "content": b"x"}),
    ("GET", "/api/segment/{job}"): NO_LABELS("/api/segment/none"),
    ("DELETE", "/api/segment/{job}"): NO_LABELS("/api/segment/none"),
    ("POST", "/api/videos/{video}/edits"): edits,
    ("PUT", "/api/videos/{video}/segments"): whole_tracks,
    ("POST", "/api/videos/{video}/tracks"): of_videos("/tracks", json={"name": "main"}),
    ("PATCH", "/api/videos/{video}/tracks/{track}"): of_tracks(json={"complete": True}),
    ("DELETE", "/api/videos/{video}/tracks/{track}"): of_tracks(),
    ("POST", "/api/videos/{video}/labels"): imports,
    ("GET", "/api/videos/{video}/export"): exports_of_a_video,
    ("GET", "/api/export"): exports,
    ("GET", "/api/export/training"): lambda rated, name: [
        ("/api/export/training", {"params": {"track": track, "unlabelled": rest}})
        for track in ("main", *TRACKS.values())
        for rest in ("background", "ignore")
    ],
    ("GET", "/api/videos/{video}/curves"): of_videos("/curves"),
    ("PUT", "/api/videos/{video}/curves"): of_videos("/curves", json={"curves": []}),
    ("GET", "/api/videos/{video}/curves/outlines"): of_videos("/curves/outlines", params={"start": 0, "stop": 9}),
    ("GET", "/api/clips"): plain("/api/clips", {"params": {"label": "stir"}}, {"params": UNSURE}, {}),
    ("GET", "/api/groups"): plain("/api/groups"),
    ("POST", "/api/groups"): group_answers,
    ("GET", "/api/overview"): plain("/api/overview"),
    ("POST", "/api/fields"): plain("/api/fields", {"json": {"file": "none"}}),
    ("GET", "/api/summary"): lambda rated, name: [
        each
        for table, form in [("time", "json"), ("time", "csv"), ("segments", "csv"), ("time", "xlsx")]
        for each in people_filter("/api/summary", format=form, table=table)
    ],
    ("GET", "/api/plots/{plot}.{format}"): lambda rated, name: [
        each for kind in PLOTS for each in [*people_filter(f"/api/plots/{kind}.svg"), (f"/api/plots/{kind}.png", {})]
    ],
    ("POST", "/api/train"): plain("/api/train", {"json": {"track": "hand of nobody"}}),
    ("DELETE", "/api/train"): NO_LABELS("/api/train"),
    ("GET", "/api/train"): lambda rated, name: [
        ("/api/train", {"params": {"track": track}}) for track in ("main", *TRACKS.values())
    ],
    ("GET", "/api/agreement"): agreements,
    ("POST", "/api/videos/{video}/compare"): comparisons,
    ("POST", "/api/videos/{video}/{word}"): lambda rated, name: [
        (f"/api/videos/{video}/{word}", {"json": {}}) for video in rated.videos for word in ("undo", "redo", "undo")
    ],
    ("GET", "/api"): NO_LABELS("/api"),
    ("GET", "/api/openapi.json"): NO_LABELS("/api/openapi.json"),
    ("GET", "/"): NO_LABELS("/"),
    ("GET", "/static/timeline.js"): NO_LABELS("/static/timeline.js"),
    ("GET", "/static/timeline.css"): NO_LABELS("/static/timeline.css"),
    ("GET", "/health"): NO_LABELS("/health"),
}
"""What is asked of each route. A route that is not here fails the test."""


def test_every_route_is_here(rated):
    found = set()
    for route in rated.user.client.app.routes:
        if not isinstance(route, Mount):
            found |= {(method, route.path) for method in route.methods if method != "HEAD"}
    assert found == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_no_route_answers_anything_of_another_person(rated, route):
    for name in (*PEOPLE, "", "Carla"):
        for path, how in ROUTES[route](rated, name):
            answer = rated.ask(name, route[0], path, **how)
            assert answer.status_code < 500, (path, how, answer.text)
            check(answer, name)
    for name in PEOPLE:  # whatever was asked, the labels of both are what they were, but for their own changes
        check(rated.ask(name, "GET", "/api/state"), name)


# --- nothing of the other, as if the other had done nothing --------------------------------------------------------


def without(tree: Any, *keys: str) -> Any:
    """A tree of JSON without some keys."""
    if isinstance(tree, dict):
        return {key: without(value, *keys) for key, value in tree.items() if key not in keys}
    if isinstance(tree, list):
        return [without(value, *keys) for value in tree]
    return tree


@pytest.mark.parametrize("name", PEOPLE)
def test_all_that_is_counted_or_drawn_is_as_if_the_other_had_done_nothing(opened, tmp_path, name):
    """List, class counts, budget, transitions, plots, files: equal to those of a project of one person."""
    (tmp_path / "files").mkdir()
    both = make(opened(run=None, project=tmp_path / "both"), tmp_path / "files")
    alone = make(opened(run=None, project=tmp_path / "alone"), tmp_path / "files", (name,))

    def seen(rated: Rated) -> list[Any]:
        state = rated.ask(name, "GET", "/api/state").json()
        found = [without(state, "id", "folder", "stamp", "revision", "project"), state["project"]["blind_owner"]]
        for video in rated.videos[:2]:
            tracks = rated.ask(name, "GET", f"/api/videos/{video}").json()
            kept = [track for track in tracks["tracks"] if track["segments"]]
            found.append(without([tracks["undo"], tracks["complete"], kept], "id", "name"))
        for form in ("json", "csv"):
            answer = rated.ask(name, "GET", "/api/summary", params={"format": form})
            rows = answer.json() if form == "json" else zipfile_names(answer)
            found.append(rows)
        for kind in PLOTS:
            found.append(rated.ask(name, "GET", f"/api/plots/{kind}.png").content)
        return found

    expected, got = seen(alone), seen(both)
    # a row is named after its track where the video has several; the second track of `alone` is an empty `main`
    assert json.dumps(without(expected[:4], "video"), sort_keys=True) == json.dumps(
        without(got[:4], "video"), sort_keys=True
    )
    assert [(row["label"], row["seconds"], row["share"], row["count"], row["first"]) for row in got[4]["time"]] == [
        (row["label"], row["seconds"], row["share"], row["count"], row["first"]) for row in expected[4]["time"]
    ]
    assert got[4]["transitions"] == expected[4]["transitions"]
    assert got[4]["several"] == []
    budget, transitions = PLOTS.index("budget") + 6, PLOTS.index("transitions") + 6
    assert got[budget] == expected[budget]
    assert got[transitions] == expected[transitions]


def zipfile_names(answer: Any) -> int:
    return answer.text.count("\n")


def test_the_events_say_that_something_changed_and_no_more(rated):
    from fact_clip_app.web import project_answers as views

    stamps = {views.stamp(rated.user.page)}
    video, track = rated.own("Bernd")
    for start in range(3):
        labelled_at = [{"start": 280 + start, "stop": 281 + start, "label": "both"}]
        body = {"track": track, "removed": [], "added": labelled_at}
        assert rated.ask("Bernd", "POST", f"/api/videos/{video}/edits", json=body).status_code == 200
        stamps.add(views.stamp(rated.user.page))
    assert len(stamps) == 4
    assert all(set(stamp) <= set("0123456789abcdef") and len(stamp) == 16 for stamp in stamps)


# --- who sees and does what ------------------------------------------------------------------------------------------


def tracks_of(rated: Rated, name: str, number: int) -> list[tuple[str, int]]:
    shown = rated.ask(name, "GET", f"/api/videos/{rated.videos[number]}").json()
    return [(track["name"], len(track["segments"])) for track in shown["tracks"]]


def test_main_is_that_of_who_made_its_labels_and_of_nobody_if_there_are_several(rated):
    assert tracks_of(rated, "Anna", 0) == [("main", 3)]
    assert tracks_of(rated, "Bernd", 0) == [(TRACKS["Bernd"], 3)]
    assert tracks_of(rated, "Anna", 1) == [(TRACKS["Anna"], 3)]
    assert tracks_of(rated, "Bernd", 1) == [("main", 3)]
    for number in range(3):
        assert tracks_of(rated, "", number) == tracks_of(rated, "Carla", number) == []
    assert [tracks_of(rated, name, 2) for name in PEOPLE] == [[], []]
    assert [tracks_of(rated, name, 3) for name in (*PEOPLE, "")] == [[("main", 0)], [("main", 0)], []]
    state = rated.ask("Bernd", "GET", "/api/state").json()
    assert [(video["labels"], video["annotators"], video["progress"]) for video in state["videos"]] == [
        (3, ["Bernd"], "started"), (3, ["Bernd"], "started"), (0, [], "unlabelled"), (0, [], "unlabelled"),
    ]  # fmt: skip
    assert {action["name"]: action["count"] for action in state["actions"]} == {
        "annaonly": 0,
        "berndonly": 4,
        "both": 2,
    }


def test_only_the_owner_opens_the_project_and_then_all_is_seen(rated):
    answer = rated.ask("Bernd", "POST", "/api/settings", json={"blind": False})
    assert (answer.status_code, answer.json()["error"]) == (
        403, "Blind is on: this is left to Anna, who has switched it on",
    )  # fmt: skip
    assert rated.ask("", "POST", "/api/settings", json={"blind": False}).status_code == 400
    state = rated.ask("Bernd", "POST", "/api/settings", json={"blind": True}).json()
    assert (state["project"]["blind"], state["project"]["blind_owner"]) == (True, "Anna")
    for video in rated.videos:  # that all is labelled opens nothing
        for name in PEOPLE:
            rated.ask(name, "PATCH", f"/api/videos/{video}", json={"complete": True})
    assert tracks_of(rated, "Bernd", 0) == [(TRACKS["Bernd"], 3)]
    sides = {"first": "annotator Anna", "second": "annotator Bernd"}
    refused = rated.ask("Anna", "GET", "/api/agreement", params=sides)
    assert "while Blind is on, the labels of others are hidden" in refused.json()["error"]
    assert rated.ask("Anna", "POST", "/api/settings", json={"blind": False}).json()["project"]["blind"] is False
    assert tracks_of(rated, "", 0) == [("main", 3), (TRACKS["Bernd"], 3)]
    answer = rated.ask("Bernd", "GET", "/api/agreement", params=sides).json()
    assert (len(answer["videos"]), answer["shared"]) == (2, ["film2"])  # both have labels on its first track


def test_blind_needs_a_person_and_survives_a_restart(opened, tmp_path):
    user = opened(run=None)()
    answer = user.ask("POST", "/api/settings", 400, json={"blind": True})
    assert answer["error"] == "blind: it needs an owner. Type your name first."
    user.ask("POST", "/api/settings", json={"blind": True, "annotator": "Anna"})
    other = Project(tmp_path / "project")
    assert other.blind_owner == "Anna"
    state = user.ask("GET", "/api/state")
    assert (state["project"]["blind"], state["project"]["blind_owner"]) == (True, "Anna")
    assert not other.owns("Bernd")
    other.close()
    user.ask("POST", "/api/settings", json={"blind": False, "annotator": "Anna"})
    assert user.page.project.blind_owner is None


def test_a_hidden_track_is_neither_changed_nor_given_away(rated):
    video, track = rated.own("Anna")
    path = f"/api/videos/{video}"
    edit = {"track": track, "removed": [], "added": [{"start": 3, "stop": 9, "label": "both"}]}
    answers = [
        rated.ask("Bernd", "POST", f"{path}/edits", json=edit),
        rated.ask("Bernd", "PUT", f"{path}/segments", json={"track": track, "revision": None, "segments": []}),
        rated.ask("Bernd", "PATCH", f"{path}/tracks/{track}", json={"annotator": "Bernd"}),
        rated.ask("Bernd", "PATCH", f"{path}/tracks/{track}", json={"complete": True}),
        rated.ask("Bernd", "DELETE", f"{path}/tracks/{track}"),
    ]
    assert {(answer.status_code, answer.json()["error"]) for answer in answers} == {
        (403, "this track is hidden from you")
    }
    own = rated.own("Bernd")[1]
    assert rated.ask("Bernd", "PATCH", f"{path}/tracks/{own}", json={"annotator": "Anna"}).status_code == 403
    assert rated.ask("Bernd", "DELETE", f"{path}/tracks/{own}").status_code == 400
    rated.ask("Bernd", "PATCH", path, json={"complete": True})
    kept = rated.user.page.project.labelled_tracks(video)
    assert [(len(each.segments), each.complete) for each in kept] == [(3, False), (3, True)]
    # of two who claim an empty track the first one gets it
    free = rated.videos[3]
    (main,) = rated.user.page.project.tracks(free)
    claims = [
        rated.ask(name, "PATCH", f"/api/videos/{free}/tracks/{main}", json={"annotator": name}).status_code
        for name in PEOPLE
    ]
    assert claims == [200, 403]


def test_names_of_hidden_tracks_are_free_and_files_do_not_replace_them(rated):
    video = rated.videos[0]
    shown = rated.ask("Bernd", "POST", f"/api/videos/{video}/tracks", json={"name": "main"}).json()
    assert [track["name"] for track in shown["tracks"]] == [TRACKS["Bernd"], "main 2"]
    assert shown["tracks"][1]["annotator"] == "Bernd"
    key = upload(rated)
    answer = rated.ask("Bernd", "POST", f"/api/videos/{rated.videos[2]}/labels", json={"file": key}).json()
    assert answer["imported"] == {"main 2": 2}
    assert rated.ask("", "POST", f"/api/videos/{video}/labels", json={"file": key}).status_code == 403
    assert rated.ask("", "POST", f"/api/videos/{video}/tracks", json={"name": "x"}).status_code == 403


def test_steps_of_another_person_in_the_same_browser_are_not_undone(rated):
    video, track = rated.own("Anna")
    shared = {"browser": "one computer"}
    body = {"track": track, "removed": [], "added": [{"start": 280, "stop": 290, "label": "both"}]}
    rated.ask("Anna", "POST", f"/api/videos/{video}/edits", json={**body, **shared})
    shown = rated.user.ask("GET", f"/api/videos/{video}", params={**shared, "annotator": "Bernd"})
    assert shown["undo"] is None
    rated.user.ask("POST", f"/api/videos/{video}/undo", json={**shared, "annotator": "Bernd"})
    assert tracks_of(rated, "Anna", 0) == [("main", 4)]
    assert rated.user.ask("GET", f"/api/videos/{video}", params={**shared, "annotator": "Anna"})["undo"] == "label both"
    # the id of an edit of another person does not answer their labels
    body = {"track": track, "removed": [], "added": [{"start": 292, "stop": 295, "label": "both"}], "edit": "e1"}
    rated.ask("Anna", "POST", f"/api/videos/{video}/edits", json=body)
    other_video, own = rated.own("Bernd")
    answer = rated.ask("Bernd", "POST", f"/api/videos/{other_video}/edits", json={**body, "track": own})
    assert answer.status_code == 400


def test_classes_with_their_labels_stay_until_the_project_is_open(rated):
    for body in ({"do": "delete"}, {"do": "merge", "into": "both"}, {"do": "change", "to": "renamed"}):
        answer = rated.ask("Bernd", "POST", "/api/actions", json={"name": "annaonly", **body})
        assert answer.status_code == 403
    kept = rated.ask("Bernd", "POST", "/api/actions", json={"do": "change", "name": "annaonly", "key": "k"})
    assert kept.status_code == 200


# --- models ----------------------------------------------------------------------------------------------------------


def test_a_model_that_was_trained_in_the_project_tells_nobody_but_its_owner(opened, text_run, rows):
    """It has learned the labels of the owner. One that the page was started with knows no labels."""
    user = opened()()
    video = user.add(rows)
    user.ask("POST", "/api/settings", json={"blind": True, "annotator": "Anna"})
    path = f"/api/videos/{video}"

    def told(name: str) -> list[Any]:
        person = {"annotator": name}
        compared = user.client.post(f"{path}/compare", json={"first": "predicted", "second": "predicted", **person})
        segmented = user.client.post("/api/segment", params={"name": rows.name, **person}, content=rows.read_bytes())
        drafts = user.client.get("/api/export", params={"format": "json", "drafts": 1, "viewer": name}).content
        return [
            bool(user.ask("GET", path, params=person)["drafts"]),
            bool(user.ask("GET", "/api/clips", params={**person, **UNSURE})["segments"]),
            compared.status_code == 200,
            segmented.status_code == 200,
            b"drafts" in drafts,
        ]

    assert [told(name) for name in PEOPLE] == [[True] * 5, [True] * 5]
    figures = {"before": None, "after": {"right": 80.0, "found": 8, "segments": 10}}
    user.page.project.set("model", user.page.project.add_run(text_run, "main", figures))
    assert [told(name) for name in PEOPLE] == [[True] * 5, [False] * 5]
    runs = {name: user.ask("GET", "/api/state", params={"annotator": name})["runs"] for name in PEOPLE}
    assert list(runs["Anna"].values()) == [figures]
    assert list(runs["Bernd"].values()) == [{}]


def test_the_owner_trains_on_own_labels_alone(rated):
    for name, error in (("Anna", "train: "), ("Bernd", "Blind is on: ")):
        answer = rated.ask(name, "POST", "/api/train", json={"track": TRACKS["Bernd"]})
        assert answer.json()["error"].startswith(error)
    examples = {
        name: [
            segments([{"start": one.start, "stop": one.stop, "label": one.label} for one in example.labels])
            for track in ("main", *TRACKS.values())
            for example in labelled_videos(rated, track, name)
        ]
        for name in PEOPLE
    }
    assert examples == {name: [[*LABELS[name]]] * 2 for name in PEOPLE}


def labelled_videos(rated: Rated, track: str, name: str) -> list[Any]:
    from fact_clip_app.teach.labelled_videos import labelled_videos as of_page

    return of_page(rated.user.page, track, name)


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    from .browsing import served_here

    with served_here(tmp_path / "page") as address:
        yield address


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
def test_two_people_rate_blind_until_the_owner_opens_the_project(address, browser, tmp_path):
    """Anna labels main and asks for Bernd's rating; he sees nothing of hers, in any panel, until she opens it."""
    from .browsing import (
        SHOWN,
        add_classes,
        ask_blind,
        asked,
        by_keys,
        called,
        entered,
        film,
        message,
        parts,
        settled,
        to_panel,
        until,
        upload,
    )

    clip = tmp_path / "mouse.mp4"
    film(clip, SHOWN, 9)

    with browser.page(1300, 900) as anna, browser.page(1300, 900) as bernd:
        entered(anna, address)
        upload(anna, clip)
        add_classes(anna, "groom", "eat")
        ask_blind(anna)
        assert message(anna).startswith("Type your name first.")
        called(anna, "Anna")
        by_keys(anna, ("1", 30, 90))
        entered(bernd, address)
        called(bernd, "Bernd")
        assert "1 segment" in bernd.locator("#videos small:first-of-type").text_content()
        ask_blind(anna)
        text = anna.locator("#ask-text").text_content()
        assert "only you can open the project again" in text
        anna.locator("#ask .end button").first.click()  # Cancel
        assert anna.locator("#blind").get_attribute("aria-pressed") == "false"
        ask_blind(anna)
        anna.click("#ask-yes")
        settled(anna)
        assert anna.locator("#blind").text_content() == "Blind: on"
        # the page of Bernd, which is open, loses what is not his, and gives him a track of his own
        until(bernd, "document.querySelector('#track')?.selectedOptions[0].textContent === 'Bernd'")
        settled(bernd)
        assert bernd.locator("#track option").all_text_contents() == ["Bernd"]
        assert bernd.locator("#videos small:first-of-type").text_content() == "unlabelled"
        assert bernd.locator("#class-list .count").all_text_contents() == ["0", "0"]
        by_keys(bernd, ("2", 45, 105))
        until(bernd, "document.querySelector('#videos small').textContent.includes('1 segment')")
        for page, own, other in ((anna, "groom", "eat"), (bernd, "eat", "groom")):
            to_panel(page, "results")
            until(page, "document.querySelector('#budget-table tbody tr')")
            rows = page.locator("#budget-table tbody").text_content()
            assert own in rows
            assert other not in rows
            assert page.locator("#single").text_content().endswith(": 4.0 of 20.0 s labelled")
            name = "Bernd" if own == "groom" else "Anna"
            assert name not in page.locator("#results-panel").text_content()
            for button in ("#download-all", "#download"):
                with page.expect_download() as download:
                    page.click(button)
                path = tmp_path / f"{own}{button}"
                download.value.save_as(path)
                text = b" ".join(content for _, content in contents(path.name, path.read_bytes())).decode()
                assert own in text
                assert other not in text
            to_panel(page, "label")
        ask_blind(bernd)
        assert message(bernd, "Anna has") == "Anna has switched Blind on. Only Anna can open the project."
        # without a name there is nothing to see; a name brings the own track back
        called(bernd, "")
        bernd.locator("#empty").wait_for()
        assert bernd.locator("#timeline").count() == 0
        called(bernd, "Bernd")
        until(bernd, "document.querySelector('#track')?.selectedOptions[0].textContent === 'Bernd'")
        ask_blind(anna)
        assert anna.locator("#ask-text").text_content().startswith("Open the project?")
        anna.click("#ask-yes")
        settled(anna)
        until(bernd, "document.querySelectorAll('#track option').length === 2")
        video = asked(bernd, "/api/state")["videos"][0]["id"]
        tracks = asked(bernd, f"/api/videos/{video}")["tracks"]
        assert [parts(track["segments"]) for track in tracks] == [[(30, 90, "groom")], [(45, 105, "eat")]]
        to_panel(bernd, "results")
        bernd.select_option("#first", "annotator Anna")
        bernd.select_option("#second", "annotator Bernd")
        bernd.click("#compare")
        settled(bernd)
        assert bernd.locator("#figures").count() == 1
