"""What somebody said about a video counts once, and what figures leave out is counted."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from fact_clip.cli import main
from fact_clip.core import Segment, Segmentation
from fact_clip.formats import save

from ..refusals import refused_line

SIDES = {"first": "annotator Ann", "second": "annotator Bob"}


def track(user, video: str, name: str, annotator: str = "") -> int:
    """The id of a track of a name, which is added if there is none."""
    if name != "main":
        user.ask("POST", f"/api/videos/{video}/tracks", json={"name": name, "annotator": annotator})
    tracks = user.ask("GET", f"/api/videos/{video}")["tracks"]
    return next(row["id"] for row in tracks if row["name"] == name)


def say(user, video: str, key: int, annotator: str, *parts: tuple[int, int, str], complete: bool = False) -> None:
    """Label a track as a person, who marks it as fully labelled if `complete`."""
    added = [{"start": start, "stop": stop, "label": label} for start, stop, label in parts]
    body = {"track": key, "annotator": annotator, "removed": [], "added": added}
    if parts:
        user.ask("POST", f"/api/videos/{video}/edits", json=body)
    if complete:
        path = f"/api/videos/{video}/tracks/{key}"
        user.ask("PATCH", path, params={"annotator": annotator}, json={"complete": True})


@pytest.fixture
def two(opened, rows, workbench):
    """A page, and two videos of it."""
    user = opened(run=None)()
    return user, [user.add(rows), user.add(workbench / "features" / "person2_video1.npy")]


def agreement(user, first: str = "annotator Ann", second: str = "annotator Bob"):
    return user.ask("GET", "/api/agreement", params={"first": first, "second": second})


# --- nothing happened ----------------------------------------------------------------------------------------


def test_a_video_in_which_a_person_found_nothing_is_compared(two):
    user, (first, second) = two
    for name, place in (("Ann", "main"), ("Bob", "Bob")):
        say(
            user,
            first,
            track(user, first, place, name if place != "main" else ""),
            name,
            (0, 20, "groom"),
            complete=True,
        )
    say(user, second, track(user, second, "main"), "Ann", complete=True)
    say(user, second, track(user, second, "Bob", "Bob"), "Bob", (0, 13, "groom"), complete=True)
    people = agreement(user)
    assert len(people["videos"]) == 2
    assert people["figures"] == agreement(user, "track main", "track Bob")["figures"]
    assert people["figures"]["kappa"] < 0.9
    assert "kappa over the time that both have labelled was 1.00" not in user.ask("GET", "/api/overview")["sentence"]


def test_a_person_who_found_nothing_is_a_person(two):
    user, (first, _) = two
    say(user, first, track(user, first, "main"), "Ann", complete=True)
    say(user, first, track(user, first, "Bob", "Bob"), "Bob", (0, 13, "groom"), complete=True)
    overview = user.ask("GET", "/api/overview")
    assert overview["people"] == ["Ann", "Bob"]
    assert overview["kappa"] == agreement(user)["figures"]["kappa"]
    assert overview["omissions"] == agreement(user)["omissions"]
    assert user.ask("GET", "/api/state")["videos"][0]["annotators"] == ["Ann", "Bob"]


def test_a_mark_of_nobody_is_of_no_person_and_named(two):
    """As in projects in which the mark stored no person."""
    user, (first, second) = two
    for name in ("Ann", "Bob"):
        say(user, first, track(user, first, name, name), name, (0, 20, "groom"), complete=True)
    say(user, second, track(user, second, "main"), "", complete=True)
    say(user, second, track(user, second, "Bob", "Bob"), "Bob", (0, 10, "groom"))
    answer = agreement(user)
    assert answer["omissions"]["videos"] == answer["omissions"]["unowned"] == ["person2_video1"]
    assert "person2_video1" in user.ask("GET", "/api/overview")["sentence"]
    budget = user.ask("GET", "/api/summary", params={"annotator": "Bob"})
    (row,) = [row for row in budget["time"] if row["video"] == "all"]
    duration = user.ask("GET", f"/api/videos/{first}")["duration"]
    assert row["labelled"] == pytest.approx(duration + 10)  # and not the video that nobody has signed
    table = user.client.get("/api/summary", params={"annotator": "Ann", "format": "csv"})
    assert "person2_video1" in table.headers["x-warnings"]
    ann = user.ask("GET", "/api/summary", params={"annotator": "Ann"})
    assert (ann["unrated"], ann["unowned"]) == (["person2_video1"], ["person2_video1"])


def test_the_second_rater_does_not_get_what_the_first_one_has_marked(two):
    user, (first, _) = two
    key = track(user, first, "main")
    say(user, first, key, "Ann", complete=True)
    user.ask("POST", "/api/settings", json={"blind": True, "annotator": "Ann"})
    shown = user.ask("GET", f"/api/videos/{first}", params={"annotator": "Bob"})
    assert not any(row["complete"] for row in shown["tracks"])
    assert [
        row["annotator"] for row in user.ask("GET", f"/api/videos/{first}", params={"annotator": "Ann"})["tracks"]
    ] == ["Ann"]


def test_a_complete_track_is_not_taken_over(two):
    user, (first, _) = two
    key = track(user, first, "main")
    say(user, first, key, "", complete=True)
    user.ask("POST", "/api/settings", json={"blind": True, "annotator": "Ann"})
    path = f"/api/videos/{first}/tracks/{key}"
    user.ask("PATCH", path, 403, params={"annotator": "Bob"}, json={"annotator": "Bob"})


def test_an_open_track_of_points_does_not_open_the_track_beside_it(two):
    user, (first, _) = two
    say(user, first, track(user, first, "Ann", "Ann"), "Ann", (0, 2, "a"), (4, 6, "b"), complete=True)
    say(user, first, track(user, first, "Bob", "Bob"), "Bob", (0, 2, "a"), (4, 6, "b"), (7, 10, "b"), complete=True)
    before = agreement(user)["figures"]
    say(user, first, track(user, first, "Ann points", "Ann"), "Ann", (3, 3, "lick"))
    after = agreement(user)
    assert after["figures"] == before
    assert after["omissions"]["points"] == 1


# --- point events --------------------------------------------------------------------------------------------


def boris(folder, name: str, points: dict[str, list[int]], *states: Segment):
    """A file of BORIS with states and point events."""
    from fact_clip.core import Instant

    instants = [Instant(frame, label) for label, frames in points.items() for frame in frames]
    segments = []
    end = 0
    for state in (*states, Segment(100, 101, "")):
        if end < state.start:
            segments.append(Segment(end, state.start, "background"))
        segments += [state] * bool(state.label)
        end = state.stop
    folder.mkdir(exist_ok=True)
    video = Segmentation(segments, 10.0, background=("background",), instants=instants)
    return save(video, folder / name)


def test_raters_who_share_no_event_do_not_agree(tmp_path, capsys):
    first = boris(tmp_path / "ann", "take.boris", {"lick": [10, 30, 50]})
    second = boris(tmp_path / "bob", "take.boris", {"bite": [15, 35, 55, 75]})
    refused_line((main(["summary", str(first), "--against", str(second)]), *capsys.readouterr()), "take")


@pytest.mark.parametrize("ending", ["boris", "json", "csv", "eaf"])
def test_point_events_are_counted_in_every_format(tmp_path, capsys, ending):
    if ending == "eaf":
        pytest.importorskip("pympi")
    states = (Segment(10, 30, "walk"), Segment(50, 80, "rest"))
    first = boris(tmp_path / "ann", f"take.{ending}", {"lick": [5, 40, 90]}, *states)
    second = boris(tmp_path / "bob", f"take.{ending}", {"lick": [42]}, Segment(12, 30, "walk"), states[1])
    assert main(["summary", str(first), "--against", str(second), "--duration", "10", "--json"]) == 0
    captured = capsys.readouterr()
    (row,) = json.loads(captured.out)["agreement"]
    assert (row["accuracy"], row["points"]) == (pytest.approx(98, abs=0.01), 4)
    assert row["f1@50"] == pytest.approx(100, abs=0.01)
    assert "point events" in captured.err


def test_point_events_within_states_are_counted_on_the_page(two):
    user, (first, _) = two
    for name in ("Ann", "Bob"):
        say(user, first, track(user, first, name, name), name, (0, 30, "walk"), complete=True)
    licks = [(frame, frame, "lick") for frame in range(5, 10)]
    say(user, first, track(user, first, "Ann points", "Ann"), "Ann", *licks, complete=True)
    answer = agreement(user)
    assert (answer["figures"]["kappa"], answer["omissions"]["points"]) == (pytest.approx(1), 5)
    assert "5 point events" in user.ask("GET", "/api/overview")["sentence"]


def test_a_point_one_frame_before_a_segment_is_shown(two):
    user, (first, _) = two
    key = track(user, first, "main")
    say(user, first, key, "", (10, 10, "tap"), (11, 20, "stir"), (30, 30, "tap"))
    say(user, first, track(user, first, "second"), "", (11, 20, "stir"))
    shown = user.ask("POST", f"/api/videos/{first}/compare", json={"first": "track main", "second": "track second"})
    assert [part["start"] for part in shown["rows"][0]["segments"] if part["label"] == "tap"] == [10, 30]
    assert shown["omissions"]["points"] == 2


# --- background ----------------------------------------------------------------------------------------------


def test_background_that_one_file_names_is_background_of_both(tmp_path, capsys, opened, rows):
    n_rows = len(np.load(rows))
    labels = ["no action"] * 10 + ["stir"] * 20 + ["no action"] * (n_rows - 30)
    (tmp_path / "truth.txt").write_text("\n".join(labels) + "\n")
    predicted = Segmentation.from_frames(["no action"] * 12 + ["stir"] * 18 + ["no action"] * (n_rows - 30), 1.0)
    by_hand = 100 * (n_rows - 2) / n_rows
    for ending in ("csv", "json", "boris"):
        path = tmp_path / f"predicted.{ending}"
        save(Segmentation(predicted.segments, 1.0, background=("no action",)), path)
        words = ["summary", str(tmp_path / "truth.txt"), "--against", str(path), "--fps", "1", "--json"]
        assert main(words) == 0
        captured = capsys.readouterr()
        (row,) = json.loads(captured.out)["agreement"]
        assert (row["accuracy"], row["one_sided"]) == (pytest.approx(by_hand), "no action")
        assert "'no action'" in captured.err
    user = opened(run=None)()
    video = user.add(rows)
    first, second = (user.upload(tmp_path / name) for name in ("truth.txt", "predicted.csv"))
    answer = user.ask("POST", f"/api/videos/{video}/compare", json={"first": first, "second": second})
    assert answer["figures"]["frame_accuracy"] == pytest.approx(by_hand)
    assert answer["omissions"]["one_sided"] == ["no action"]


@pytest.mark.parametrize("kind", ["eaf", "boris", "via", "label-studio", "csv", "json"])
def test_files_of_an_open_and_a_complete_track_agree_as_on_the_page(two, tmp_path, capsys, kind):
    from fact_clip.formats import FORMATS

    user, (first, _) = two
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["idle"], "background": True})
    say(
        user,
        first,
        track(user, first, "Ann", "Ann"),
        "Ann",
        (0, 10, "eat"),
        (10, 20, "idle"),
        (25, 30, "eat"),
        complete=True,
    )
    say(user, first, track(user, first, "Bob", "Bob"), "Bob", (0, 8, "eat"), (8, 22, "idle"), (24, 30, "eat"))
    page = agreement(user)["figures"]
    paths = []
    for row in user.ask("GET", f"/api/videos/{first}")["tracks"][1:]:
        answer = user.client.get(f"/api/videos/{first}/export", params={"format": kind, "track": row["id"]})
        paths.append(tmp_path / f"{row['name']}{FORMATS[kind].ending}")
        paths[-1].write_bytes(answer.content)
    duration = user.ask("GET", f"/api/videos/{first}")["duration"]
    words = ["summary", str(paths[0]), "--against", str(paths[1]), "--duration", str(duration), "--json"]
    assert main(words) == 0
    (row,) = json.loads(capsys.readouterr().out)["agreement"]
    assert (row["kappa"], row["accuracy"]) == pytest.approx((page["kappa"], page["frame_accuracy"]), abs=1e-3)


# --- files ---------------------------------------------------------------------------------------------------


def test_a_task_without_a_rate_is_read_at_the_rate_of_the_option(tmp_path, capsys):
    task = {"data": {"video": "take.mp4"}, "annotations": [{"result": [{
        "from_name": "action", "type": "timelinelabels",
        "value": {"ranges": [{"start": 1, "end": 50}], "timelinelabels": ["stir"]},
    }]}]}  # fmt: skip
    path = tmp_path / "take.label-studio.json"
    path.write_text(json.dumps([task]))
    assert main(["summary", str(path), "--fps", "25", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["time"]
    assert row["seconds"] == pytest.approx(2)


def test_files_of_single_tracks_come_back_to_their_tracks(tmp_path, rows, capsys):
    from fact_clip_app.store.project import Label, Project

    project = tmp_path / "project"
    features = tmp_path / rows.name
    features.write_bytes(rows.read_bytes())
    features.with_suffix(".json").write_text('{"fps": 5}')
    assert main(["project", "import", str(project), str(features)]) == 0
    store = Project(project)
    (video,) = store.videos()
    from fact_clip_app.store.history import History

    for name, label in (("main", "stir"), ("left", "pour")):
        History(store).replace(video.id, store.add_track(video.id, name), [Label(0, 10, label)])
    store.close()
    assert main(["project", "export", str(project), "--format", "csv", "--out", str(tmp_path / "labels")]) == 0
    files = sorted(map(str, (tmp_path / "labels").iterdir()))
    assert main(["project", "import", str(project), *files, "--replace"]) == 0, capsys.readouterr()
    store = Project(project)
    found = {row.name: [label.label for label in row.segments] for row in store.labelled_tracks(video.id)}
    assert found == {"main": ["stir"], "left": ["pour"]}


def test_a_file_has_the_drafts_as_predicted(user, rows, tmp_path):
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["lick"]})
    video = user.add(rows)
    user.settle()
    drafts = user.ask("GET", f"/api/videos/{video}")["drafts"]
    draft = max(drafts, key=lambda draft: draft["stop"] - draft["start"])
    middle = (draft["start"] + draft["stop"]) // 2
    user.label(video, (middle, middle, "lick"))
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": "json", "drafts": True})
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = [name for name in archive.namelist() if "drafts" in name]
        segments = json.loads(archive.read(name))["segments"]
    assert (draft["start"], draft["stop"]) in [(part["start"], part["stop"]) for part in segments]


# --- training data -------------------------------------------------------------------------------------------


def export(user, folder, **options):
    from fact_clip_app.teach.labelled_videos import export_set

    export_set(user.page, "main", folder, "background", **options)
    return folder


def test_exported_training_data_keep_what_is_ticked_as_background(two, tmp_path, capsys):
    user, videos = two
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["rest"], "background": True})
    for video in videos:
        user.label(video, (0, 10, "stir"), (10, 20, "rest"), (20, 30, "pour"))
    folder = export(user, tmp_path / "set")
    assert "rest" not in (folder / "mapping.txt").read_text()
    assert main(["data", "init", str(folder)]) == 0, capsys.readouterr()
    from fact_clip.config import Config

    assert Config.load(folder / "recipe.yaml").data.background == ("background",)


def short_segments(opened, tmp_path, *labels):
    """Films of 15 frames per second with rows of features at 5 per second."""
    user = opened(run=None)()
    for name in ("a", "b"):
        np.save(
            tmp_path / f"{name}.npy", np.random.default_rng(len(name)).normal(size=(40, 4)).astype("f4") + ord(name)
        )
        times = np.arange(121) / 15
        video = user.page.project.add_video(name, None, tmp_path / f"{name}.npy", times)
        (tmp_path / f"{name}.json").write_text('{"fps": 5}')
        user.label(video, *labels)
    return user


def test_segments_that_cover_no_row_are_counted_or_refused(opened, tmp_path, caplog, monkeypatch):
    from fact_clip_app.teach import labelled_videos as module

    monkeypatch.setattr(module, "rows_of", lambda video, *_: np.arange(41) / 5)  # as of a film
    user = short_segments(opened, tmp_path, (0, 30, "a"), (32, 33, "a"), (36, 90, "b"))
    with caplog.at_level(logging.WARNING):
        export(user, tmp_path / "set")
    assert "2 segments are shorter than a row of features, and are not trained on: a" in caplog.text


def test_a_class_that_covers_no_row_is_refused(opened, tmp_path, monkeypatch):
    from fact_clip.core import InputError
    from fact_clip_app.teach import labelled_videos as module

    monkeypatch.setattr(module, "rows_of", lambda video, *_: np.arange(41) / 5)
    user = short_segments(opened, tmp_path, (0, 30, "a"), (32, 33, "blink"), (36, 90, "b"))
    with pytest.raises(InputError, match="'blink'"):
        export(user, tmp_path / "set")
