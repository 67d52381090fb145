"""Law: equal labels have equal figures on the page, in `fact-clip summary`, in Python, and counted by hand.

Tracks are drawn: point events, empty tracks that are fully labelled, names that are ticked as background, two tracks
of one person, partly labelled tracks, and videos whose first frame is late.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("pympi")

from starlette.testclient import TestClient

from fact_clip.cli import main
from fact_clip.formats import FORMATS
from fact_clip.metrics.segmental import f1_smoothed
from fact_clip_app.store.project import Project
from fact_clip_app.web.server import make_app
from fact_clip_app.workspace.engine import Engine
from fact_clip_app.workspace.uploads import Limits
from fact_clip_app.workspace.workspace import Options

from ..metrics.slow import levenshtein

N_VIDEOS = 24
N_FRAMES = 50
ACTIONS = ("eat", "groom", "sleep")
TICKED = ("idle", "rest")
NO_ACTION = (*TICKED, "background")
POINTS = ("blink", "lick")
PEOPLE = ("Ann", "Bob")
EXACT = ("json", "csv")
FIGURES = ("kappa", "accuracy", "f1@10", "f1@25", "f1@50", "edit", "edges_s", "icc")


# --- what is drawn -------------------------------------------------------------------------------------------


@dataclass
class Track:
    """What a person has labelled on one track."""

    person: str
    name: str
    is_complete: bool
    states: list[tuple[int, int, str]]
    points: list[tuple[int, str]]


@dataclass
class Video:
    """A video with the tracks of two people. Times are whole milliseconds."""

    name: str
    clock: str
    times: np.ndarray  # (N + 1,)
    tracks: list[Track] = field(default_factory=list)


def drawn_times(random: np.random.Generator, clock: str) -> np.ndarray:
    steps = np.full(N_FRAMES, 40)
    if clock == "uneven":
        steps = random.choice([20, 33, 40, 67], N_FRAMES)
    return np.concatenate([[0], steps.cumsum()]) + 400 * (clock == "late")


def drawn_states(random: np.random.Generator) -> list[tuple[int, int, str]]:
    edges = np.unique(random.integers(0, N_FRAMES + 1, random.integers(2, 12)))
    states = []
    for start, stop in pairwise(edges.tolist()):
        if random.random() < 0.6:
            states.append((start, stop, str(random.choice([*ACTIONS, *TICKED]))))
    return states


def drawn_track(random: np.random.Generator, person: str) -> Track:
    kind = random.choice(["states", "states", "empty", "points"])
    track = Track(person, person, bool(random.random() < 0.6), [], [])
    if kind == "states":
        track.states = drawn_states(random)
    if kind == "points" or (kind == "states" and random.random() < 0.5):
        covered = {frame for start, stop, _ in track.states for frame in range(start, stop)}
        for frame in sorted({*random.integers(0, N_FRAMES, random.integers(0, 4)).tolist()} - covered):
            track.points.append((frame, str(random.choice(POINTS))))
    if not track.states and not track.points:
        track.is_complete = True
    return track


def drawn_video(random: np.random.Generator, number: int) -> Video:
    clock = ("even", "uneven", "late")[number % 3]
    video = Video(f"take{number}", clock, drawn_times(random, clock))
    for person in PEOPLE:
        track = drawn_track(random, person)
        if person == PEOPLE[number % 4 // 2]:  # the first track of a video is nobody's
            track.name = "main"
        video.tracks.append(track)
        if random.random() < 0.4:  # point events within the states of the first track
            points = [(frame, "lick") for frame in sorted({*random.integers(0, N_FRAMES, 3).tolist()})]
            video.tracks.append(Track(person, f"{person} points", bool(random.random() < 0.3), [], points))
    return video


@dataclass
class World:
    """The page with all videos, and what was drawn."""

    client: TestClient
    videos: list[Video]
    ids: dict[str, str]  # of the videos, by name

    def ask(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        answer = self.client.request(method, path, **body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    project = Project(tmp_path_factory.mktemp("ratings") / "project")
    app = make_app(Engine(project, None, lambda path: None, Limits()), Options("127.0.0.1"))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/", params={"token": project.token}).status_code == 200
        world = World(client, [], {})
        actions = [{"name": name, "background": name in TICKED} for name in (*ACTIONS, *TICKED)]
        actions += [{"name": name, "point": True} for name in POINTS]
        world.ask("PUT", "/api/actions", json={"actions": actions})
        random = np.random.default_rng(65)
        for number in range(N_VIDEOS):
            video = drawn_video(random, number)
            world.videos.append(video)
            world.ids[video.name] = project.add_video(video.name, None, None, video.times / 1000)
            for track in video.tracks:
                add_track(world, world.ids[video.name], track)
        yield world


def add_track(world: World, video: str, track: Track) -> None:
    if track.name != "main":
        new = {"name": track.name, "annotator": track.person}
        world.ask("POST", f"/api/videos/{video}/tracks", json=new)
    key = key_of(world, video, track)
    labels = [{"start": start, "stop": stop, "label": name} for start, stop, name in track.states]
    labels += [{"start": frame, "stop": frame, "label": name} for frame, name in track.points]
    body = {"track": key, "annotator": track.person, "removed": [], "added": labels}
    world.ask("POST", f"/api/videos/{video}/edits", json=body)
    if track.is_complete:
        path = f"/api/videos/{video}/tracks/{key}"
        world.ask("PATCH", path, params={"annotator": track.person}, json={"complete": True})


def key_of(world: World, video: str, track: Track) -> int:
    tracks = world.ask("GET", f"/api/videos/{video}")["tracks"]
    return next(row["id"] for row in tracks if row["name"] == track.name)


# --- by hand, in milliseconds --------------------------------------------------------------------------------


@dataclass
class Side:
    """What one side says about each millisecond of a video."""

    labels: list[str]  # "" is no action
    rated: list[bool]
    n_points: int


def side_by_hand(video: Video, tracks: list[Track]) -> Side | None:
    """The tracks of a side as one labelling; None if they overlap."""
    times = (video.times - video.times[0]).tolist()
    side = Side([""] * times[-1], [False] * times[-1], 0)
    taken = [False] * times[-1]
    for track in tracks:
        side.n_points += len(track.points)
        if track.is_complete:
            side.rated = [True] * times[-1]
        for start, stop, name in track.states:
            for moment in range(times[start], times[stop]):
                if taken[moment]:
                    return None
                taken[moment] = True
                side.rated[moment] = True
                side.labels[moment] = "" if name in NO_ACTION else name
    return side


def runs_by_hand(labels: list[str]) -> list[tuple[int, int, str]]:
    runs = []
    start = 0
    for stop in range(1, len(labels) + 1):
        if stop == len(labels) or labels[stop] != labels[start]:
            if labels[start]:
                runs.append((start, stop, labels[start]))
            start = stop
    return runs


def f1_by_hand(firsts: list[list[Any]], seconds: list[list[Any]], overlap: int) -> float | None:
    """F1 over videos; the second labelling is that which is judged."""
    hits = false = missed = 0
    for first, second in zip(firsts, seconds, strict=True):
        used: set[int] = set()
        for start, stop, name in second:
            shares = []
            for other_start, other_stop, other in first:
                common = min(stop, other_stop) - max(start, other_start)
                union = max(stop, other_stop) - min(start, other_start)
                shares.append(max(common, 0) / union if name == other else 0.0)
            best = shares.index(max(shares)) if shares else -1
            if shares and shares[best] >= overlap / 100 - 1e-5 and best not in used:
                used.add(best)
                hits += 1
            else:
                false += 1
        missed += len(first) - len(used)
    if not hits + false + missed:
        return None
    return f1_smoothed(hits, false, missed)


def mean_or_none(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def edit_by_hand(first: list[Any], second: list[Any]) -> float | None:
    if not first and not second:
        return None
    names = [tuple(name for _, _, name in runs) for runs in (first, second)]
    return 100 * (1 - levenshtein(*names) / max(map(len, names)))


def edges_by_hand(first: list[Any], second: list[Any]) -> float | None:
    edges = [sorted({edge for start, stop, _ in runs for edge in (start, stop)}) for runs in (first, second)]
    if not all(edges):
        return None
    distances = [min(abs(edge - other) for other in edges[1]) for edge in edges[0]]
    distances += [min(abs(edge - other) for other in edges[0]) for edge in edges[1]]
    return sum(distances) / len(distances) / 1000


def icc_by_hand(firsts: list[Any], seconds: list[Any]) -> float | None:
    """ICC(A,1) by the mean squares of a two-way table: classes by labellings."""
    totals = [Counter(), Counter()]
    for total, sides in zip(totals, (firsts, seconds), strict=True):
        for runs in sides:
            for start, stop, name in runs:
                total[name] += (stop - start) / 1000
    names = sorted({*totals[0], *totals[1]})
    table = np.array([[totals[0][name], totals[1][name]] for name in names])
    if len(names) < 2 or np.ptp(table) == 0:
        return None
    n = len(names)
    grand = table.mean()
    rows = 2 * sum((row.mean() - grand) ** 2 for row in table) / (n - 1)
    columns = n * sum((column.mean() - grand) ** 2 for column in table.T)
    error = sum(
        (table[i, j] - table[i].mean() - table[:, j].mean() + grand) ** 2 for i in range(n) for j in range(2)
    ) / (n - 1)
    below = rows + error + 2 * (columns - error) / n
    return None if below == 0 else (rows - error) / below


def agreement_by_hand(pairs: list[tuple[Side, Side]]) -> dict[str, float | None]:
    """The figures over all moments that both sides have rated, joined without gaps."""
    counts: Counter[tuple[str, str]] = Counter()
    firsts = []
    seconds = []
    for first, second in pairs:
        both = [one and other for one, other in zip(first.rated, second.rated, strict=True)]
        labels = [
            [label for label, is_rated in zip(side.labels, both, strict=True) if is_rated] for side in (first, second)
        ]
        counts.update(zip(*labels, strict=True))
        firsts.append(runs_by_hand(labels[0]))
        seconds.append(runs_by_hand(labels[1]))
    total = counts.total()
    observed = sum(count for (one, other), count in counts.items() if one == other) / total
    names = {name for pair in counts for name in pair}
    expected = (
        sum(
            sum(count for (one, _), count in counts.items() if one == name)
            * sum(count for (_, other), count in counts.items() if other == name)
            for name in names
        )
        / total**2
    )
    figures: dict[str, float | None] = {
        "kappa": None if expected >= 1 else (observed - expected) / (1 - expected),
        "accuracy": 100 * observed,
        "edit": mean_or_none([edit_by_hand(*runs) for runs in zip(firsts, seconds, strict=True)]),
        "edges_s": mean_or_none([edges_by_hand(*runs) for runs in zip(firsts, seconds, strict=True)]),
        "icc": icc_by_hand(firsts, seconds),
    }
    for overlap in (10, 25, 50):
        figures[f"f1@{overlap}"] = f1_by_hand(firsts, seconds, overlap)
    return figures


def rated_by_both(first: Side, second: Side) -> int:
    return sum(one and other for one, other in zip(first.rated, second.rated, strict=True))


def is_compared(first: Side, second: Side) -> bool:
    """Whether there is common time, and not only point events, which have no duration."""
    both = [one and other for one, other in zip(first.rated, second.rated, strict=True)]
    labels = [label for side in (first, second) for label, known in zip(side.labels, both, strict=True) if known]
    return any(both) and (any(labels) or not first.n_points + second.n_points)


def differing(figures: dict[str, Any], expected: dict[str, Any], tolerance: float) -> list[str]:
    names = []
    for name, value in expected.items():
        scale = 100 if name in ("accuracy", "edit") or name.startswith("f1") else 1
        if value is None or figures[name] is None:
            if figures[name] is not value:
                names.append(name)
        elif abs(figures[name] - value) > tolerance * scale:
            names.append(name)
    return names


# --- the page ------------------------------------------------------------------------------------------------


def sides_of(video: Video) -> list[Side | None]:
    return [side_by_hand(video, [track for track in video.tracks if track.person == person]) for person in PEOPLE]


def test_people_on_the_page_agree_as_by_hand(world):
    answer = world.ask("GET", "/api/agreement", params={"first": "annotator Ann", "second": "annotator Bob"})
    rows = {row["name"]: row["figures"] for row in answer["videos"]}
    wrong = []
    pairs = []
    for video in world.videos:
        ann, bob = sides_of(video)
        if ann is None or bob is None:
            wrong += [f"{video.name}: compared"] * (video.name not in answer["shared"])
            continue
        if not is_compared(ann, bob):
            wrong += [f"{video.name}: compared"] * (video.name in rows)
            continue
        pairs.append((ann, bob))
        if video.name not in rows:
            wrong.append(f"{video.name}: left out")
            continue
        figures = {**rows[video.name], "accuracy": rows[video.name]["frame_accuracy"]}
        names = differing(figures, agreement_by_hand([(ann, bob)]), 1e-6)
        wrong += [f"{video.name}: {', '.join(names)}"] * bool(names)
    assert not wrong, f"{len(wrong)} of {len(world.videos)} videos: {'; '.join(wrong)}"
    figures = {**answer["figures"], "accuracy": answer["figures"]["frame_accuracy"]}
    assert not differing(figures, agreement_by_hand(pairs), 1e-6)


def test_the_page_counts_what_it_does_not_compare(world):
    answer = world.ask("GET", "/api/agreement", params={"first": "annotator Ann", "second": "annotator Bob"})
    rows = {row["name"]: row["omissions"] for row in answer["videos"]}
    n_points = 0
    unrated = 0.0
    for video in world.videos:
        ann, bob = sides_of(video)
        if ann is None or bob is None:
            continue
        lost = (len(ann.rated) - rated_by_both(ann, bob)) / 1000
        n_points += ann.n_points + bob.n_points
        unrated += lost
        if not is_compared(ann, bob):
            assert video.name in answer["omissions"]["videos"]
            continue
        assert rows[video.name]["unrated_seconds"] == pytest.approx(lost, abs=1e-6), video.name
        assert rows[video.name]["points"] == ann.n_points + bob.n_points, video.name
    assert answer["omissions"]["points"] == n_points
    assert answer["omissions"]["unrated_seconds"] == pytest.approx(unrated, abs=1e-6)
    without = {video.name for video in world.videos} - {*rows}
    assert {*answer["shared"], *answer["omissions"]["videos"]} == without
    sentence = world.ask("GET", "/api/overview")["sentence"]
    assert f"{n_points} point events" in sentence
    assert f"{unrated:.1f} s" in sentence


# --- files ---------------------------------------------------------------------------------------------------


def file_of(world: World, folder: Path, video: Video, track: Track, kind: str) -> Path:
    """The track as a file, downloaded from the page."""
    key = world.ids[video.name]
    params = {"format": kind, "track": key_of(world, key, track)}
    answer = world.client.get(f"/api/videos/{key}/export", params=params)
    assert answer.status_code == 200, answer.text
    path = folder / track.name / f"{video.name}{FORMATS[kind].ending}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(answer.content)
    return path


def can_hold(video: Video, tracks: list[Track], kind: str) -> bool:
    """Whether a format keeps these labels as they are (docs/formats.md)."""
    if kind in ("label-studio", "via", "txt") and any(track.points for track in tracks):
        return False  # point events get a frame
    if kind in ("label-studio", "via", "boris"):
        return video.clock != "late"  # the file does not say when the first frame is shown
    if kind == "txt":
        return video.clock == "even"
    return True


def options_of(video: Video, kind: str) -> list[str]:
    if kind == "txt":
        return ["--fps", "25"]
    if kind in ("label-studio", "via", "boris"):
        return ["--duration", str(video.times[-1] / 1000)]
    return []


def summarised(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    code = main(["summary", *map(str, words), "--json"])
    answer = capsys.readouterr()
    return json.loads(answer.out) if code == 0 else answer.err


@pytest.mark.parametrize("kind", ["json", "csv", "eaf", "boris", "txt", "label-studio", "via"])
def test_files_of_two_tracks_agree_as_by_hand(world, kind, tmp_path, capsys):
    wrong = []
    n_compared = 0
    for video in world.videos:
        tracks = [next(track for track in video.tracks if track.person == person) for person in PEOPLE]
        if not can_hold(video, tracks, kind):
            continue
        sides = [side_by_hand(video, [track]) for track in tracks]
        if not is_compared(*sides):
            continue
        n_compared += 1
        first = file_of(world, tmp_path, video, tracks[0], kind)
        # a text file does not say which names are background, so the other file does
        second = file_of(world, tmp_path, video, tracks[1], "json" if kind == "txt" else kind)
        answer = summarised(capsys, first, "--against", second, *options_of(video, kind))
        if isinstance(answer, str):
            wrong.append(f"{video.name}: {answer.strip()}")
            continue
        (row,) = answer["agreement"]
        names = differing(row, agreement_by_hand([sides]), 1e-6 if kind in EXACT else 2e-3)
        lost = (len(sides[0].rated) - rated_by_both(*sides)) / 1000
        if abs(row["unrated_seconds"] - lost) > 2e-3:
            names.append("unrated_seconds")
        if row["points"] != sum(side.n_points for side in sides):
            names.append("points")
        wrong += [f"{video.name}: {', '.join(names)}"] * bool(names)
    assert n_compared > 2
    assert not wrong, f"{len(wrong)} of {n_compared} pairs: {'; '.join(wrong)}"


@pytest.mark.parametrize("kind", ["json", "csv", "eaf", "boris"])
def test_budgets_of_files_are_those_of_the_page_and_by_hand(world, kind, tmp_path, capsys):
    rows = world.ask("GET", "/api/summary")["time"]
    page: dict[str, dict[str, Any]] = {}
    for row in rows:
        page.setdefault(row["video"], {})[row["label"]] = row
    wrong = []
    n_tracks = 0
    for video in world.videos:
        for track in video.tracks:
            if not can_hold(video, [track], kind):
                continue
            n_tracks += 1
            side = side_by_hand(video, [track])
            expected: dict[str, tuple[float, int, float]] = {}
            labelled = sum(side.rated) / 1000
            parts = [*track.states, *((frame, frame, name) for frame, name in track.points)]
            for name in {name for _, _, name in parts} - {*NO_ACTION}:
                own = [(video.times[stop] - video.times[start]) / 1000 for start, stop, other in parts if other == name]
                expected[name] = (sum(own), len(own), labelled)
            answer = summarised(capsys, file_of(world, tmp_path, video, track, kind), *options_of(video, kind))
            if isinstance(answer, str):
                wrong.append(f"{video.name}: {answer.strip()}")
                continue
            file_rows = {row["label"]: row for row in answer["time"] if row["count"]}
            page_rows = {label: row for label, row in page[f"{video.name}, {track.name}"].items() if row["count"]}
            for where, found in (("page", page_rows), ("file", file_rows)):
                values = {name: (row["seconds"], row["count"], row["labelled"]) for name, row in found.items()}
                if values.keys() != expected.keys():
                    wrong.append(f"{video.name}, {track.name}, {where}: classes")
                elif any(values[name] != pytest.approx(expected[name], abs=3e-3) for name in expected):
                    wrong.append(f"{video.name}, {track.name}, {where}: {values} for {expected}")
    assert not wrong, f"{len(wrong)} of {n_tracks} tracks: {'; '.join(wrong)}"


# --- Python --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "csv", "eaf"])
def test_python_agrees_as_by_hand(world, kind, tmp_path):
    from fact_clip.formats import load_rating
    from fact_clip.metrics import time_agreement

    pairs = []
    ratings = []
    for video in world.videos:
        tracks = [next(track for track in video.tracks if track.person == person) for person in PEOPLE]
        sides = [side_by_hand(video, [track]) for track in tracks]
        if not can_hold(video, tracks, kind) or not is_compared(*sides):
            continue
        pairs.append(sides)
        ratings.append([load_rating(file_of(world, tmp_path, video, track, kind)) for track in tracks])
    result = time_agreement(ratings)
    assert not differing(result.figures, agreement_by_hand(pairs), 1e-6 if kind in EXACT else 2e-3)
    lost = sum(len(first.rated) - rated_by_both(first, second) for first, second in pairs) / 1000
    assert result.omissions.unrated_seconds == pytest.approx(lost, abs=1e-6 if kind in EXACT else 0.05)
    assert result.omissions.points == sum(side.n_points for pair in pairs for side in pair)
