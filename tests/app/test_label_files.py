"""Label files of the page: nothing is lost, moved or named otherwise without a word."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest

from fact_clip import cli
from fact_clip.core import BACKGROUND, Segment, Segmentation
from fact_clip.formats import save_tracks
from fact_clip_app.store.label_files import MAX_TIERS, read_label_file, warnings_heard

from ..refusals import refused
from .test_editing import main, segments

TIMES = np.arange(301) / 15  # 20 s


def spans(tracks):
    return {name: [(one.start, one.stop, one.label) for one in labels] for name, labels in tracks.items()}


def read(path, content, **options):
    path.write_text(content)
    with warnings_heard() as lines:
        return spans(read_label_file(path, TIMES, **options).tracks), lines


def test_all_tiers_are_tracks_whatever_their_names(tmp_path):
    whole = Segmentation.from_frames(["cut"] * 10 + ["stir"] * 20, 15.0)
    save_tracks({"action": whole, "left hand": whole, "gaze": whole}, tmp_path / "x.eaf")
    assert set(read_label_file(tmp_path / "x.eaf", TIMES).tracks) == {"action", "left hand", "gaze"}
    save_tracks({"left hand": whole}, tmp_path / "y.eaf")
    assert set(read_label_file(tmp_path / "y.eaf", TIMES).tracks) == {"main"}
    empty = replace(Segmentation.from_frames([BACKGROUND] * 30, 15.0), background=(BACKGROUND,))
    save_tracks({"main": empty, "rater2": whole}, tmp_path / "e.eaf")
    assert set(read_label_file(tmp_path / "e.eaf", TIMES).tracks) == {"rater2"}  # not main, which another labelled
    save_tracks({f"tier {number}": whole for number in range(MAX_TIERS + 1)}, tmp_path / "z.eaf")
    with refused(tmp_path / "z.eaf"):
        read_label_file(tmp_path / "z.eaf", TIMES)


ROUGH = "start_seconds,stop_seconds,label\n0,4,cut\n2,10,stir\n19,20,cut\n"


def test_rough_times_become_point_events(tmp_path):
    """15 frames per second; a segment inside another one does not need a track of its own."""
    tracks, lines = read(tmp_path / "x.csv", ROUGH + "5,6,pour\n", is_rough=True)
    assert tracks == {"main": [(30, 30, "cut"), (82, 82, "pour"), (90, 90, "stir"), (292, 292, "cut")]}
    assert lines == [f"{tmp_path / 'x.csv'}: rough times, so point events in the middles: 4"]
    answer = '{"segments": [{"start_seconds": "0:00", "stop_seconds": 4, "label": "cut"}]}'
    assert read(tmp_path / "y.json", answer, is_rough=True)[0] == {"main": [(30, 30, "cut")]}
    frames = "".join(f"{label}\n" for label in ["cut"] * 100 + ["?"] * 100 + ["stir"] * 100)
    assert read(tmp_path / "z.txt", frames, is_rough=True)[0] == {"main": [(50, 50, "cut"), (250, 250, "stir")]}


def test_a_table_needs_a_row_for_each_frame_of_the_video(tmp_path):
    """The video has 300 frames. A table of the 100 rows of its features would lie in its first third."""
    rows = [f"{number},{int(number >= 50)}" for number in range(300)]
    path = tmp_path / "x.binary.csv"
    assert read(path, "\n".join(["frame,cut", *rows]))[0] == {"main": [(50, 300, "cut")]}
    for n_rows in (100, 600):
        rows = [f"{number},{int(50 <= number < 60)}" for number in range(n_rows)]
        with refused(path):
            read(path, "\n".join(["frame,cut", *rows]))


def test_a_comment_of_a_point_event_with_a_rough_time_is_kept(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"segments": [], "instants": [{"seconds": 2, "label": "tap", "comment": "loud"}]}')
    (label,) = read_label_file(path, TIMES, is_rough=True).tracks["main"]
    assert (label.start, label.stop, label.label, label.comment) == (30, 30, "tap", "loud")


def test_the_page_loads_rough_times_as_one_step(user, rows, tmp_path):
    video = user.ask("POST", "/api/videos", json={"files": [user.upload(rows)]})["video"]
    path = tmp_path / "labels.csv"
    path.write_text("start_frame,stop_frame,label\n0,4,cut\n4,10,stir\n")
    body = {"file": user.upload(path), "rough": True}
    loaded = user.ask("POST", f"/api/videos/{video}/labels", json=body)
    assert main(loaded) == [(2, 2, "cut"), (7, 7, "stir")]
    assert loaded["warnings"] == ["labels.csv: rough times, so point events in the middles: 2"]


OURS = "start,stop,start_seconds,stop_seconds,label,confidence\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (OURS + "0,75,0,7,cut,\n75,300,7,20,stir,\n", [(0, 105, "cut"), (105, 300, "stir")]),  # edited in seconds
        (OURS + "0,62,0,12.34,cut,\n62,100,12.34,20,stir,\n", [(0, 185, "cut"), (185, 300, "stir")]),
        (OURS + "0,100,,,cut,\n100,300,,,stir,\n", [(0, 100, "cut"), (100, 300, "stir")]),  # as many as pictures
        ("start_frame,stop_frame,label\n0,10,cut\n100,300,stir\n", [(0, 10, "cut"), (100, 300, "stir")]),
        (OURS + "0,50,,,cut,\n60,80,,,stir,\n", None),  # rows of features: their rate is not known
        (OURS + "0,50,,,cut,\n50,80,,,stir,\n", None),
        ("start_frame,stop_frame,label\n0,10,cut\n500,600,stir\n", None),
        ("start_frame,stop_frame,label\n0,10.5,cut\n", None),
    ],
)
def test_a_table_is_read_by_its_seconds_and_frames_must_be_those_of_the_video(tmp_path, content, expected):
    path = tmp_path / "x.csv"
    if expected is None:
        with refused(path):
            read(path, content)
    else:
        tracks, lines = read(path, content)
        assert tracks == {"main": expected}
        assert len(lines) == ("0,75,0,7," in content)  # frames and seconds that disagree


def test_rows_are_the_frames_of_a_video_that_has_features_alone(tmp_path):
    content = OURS + "0,50,,,cut,\n60,80,,,stir,\n"
    assert read(tmp_path / "x.csv", content, is_film=False)[0] == {"main": [(0, 50, "cut"), (60, 80, "stir")]}


def test_what_is_left_out_or_becomes_a_point_is_counted(tmp_path):
    content = "start,stop,label\n1,2,cut\n3,3.01,tap\n20.1,20.3,stir\n"
    tracks, lines = read(tmp_path / "x.csv", content)
    assert tracks == {"main": [(15, 30, "cut"), (45, 45, "tap")]}
    assert [line.split(": ", 1)[1] for line in lines] == [
        "after the end of the video, so left out: 1",
        "shorter than half a frame, so point events now: 1",
    ]


def test_rows_that_are_shorter_than_a_frame_are_counted(tmp_path):
    path = tmp_path / "x.json"
    Segmentation((Segment(0, 100, "cut"), Segment(100, 101, "tap"), Segment(101, 2000, "stir")), 100.0).save(path)
    with warnings_heard() as lines:
        assert spans(read_label_file(path, TIMES).tracks) == {"main": [(0, 15, "cut"), (15, 300, "stir")]}
    assert lines == [f"{path}: shorter than half a frame, so left out: 1"]


def test_warnings_of_readers_reach_the_page(user, rows, tmp_path):
    video = user.add(rows)
    path = tmp_path / "take.csv"
    path.write_text("start,stop,label\n1,2,cut\n3,3.01,tap\n")
    key = user.upload(path)
    answer = user.ask("POST", f"/api/videos/{video}/labels", json={"file": key, "dry": True})
    line = "take.csv: shorter than half a frame, so point events now: 1"
    assert answer["warnings"] == [line]
    assert user.ask("POST", f"/api/videos/{video}/labels", json={"file": key})["warnings"] == [line]
    body = {"first": key, "second": key}
    assert user.ask("POST", f"/api/videos/{video}/compare", json=body)["warnings"] == [line]


def test_a_corrected_file_replaces_the_tracks_of_its_overlaps(user, rows, tmp_path):
    video = user.add(rows)

    def load(content, **options):
        (tmp_path / "take.csv").write_text("start,stop,label\n" + content)
        body = {"file": user.upload(tmp_path / "take.csv"), **options}
        return user.ask("POST", f"/api/videos/{video}/labels", options.pop("status", 200), json=body)

    assert load("1,3,cut\n2,4,stir\n")["imported"] == {"main": 1, "main 2": 1}
    tracks = load("1,3,cut\n3,4,stir\n", replace=True)["tracks"]
    assert [(track["name"], len(track["segments"])) for track in tracks] == [("main", 2), ("main 2", 0)]
    user.label(video, (0, 5, "wave"), track=1)  # by hand: not of a file
    tracks = load("1,3,cut\n3,5,stir\n", replace=True)["tracks"]
    assert [len(track["segments"]) for track in tracks] == [2, 1]


def test_labels_beside_features_are_no_facts_of_them(user, rows, tmp_path):
    (tmp_path / "take.npy").write_bytes(rows.read_bytes())
    Segmentation((Segment(0, 5, "cut"),), 15.0).save(tmp_path / "take.json")
    keys = [user.upload(tmp_path / f"take{ending}") for ending in (".npy", ".json")]
    error = user.ask("POST", "/api/videos", 400, json={"files": keys})["error"]
    assert error.startswith("take.json: labels, not facts of features")


@pytest.mark.parametrize("names", [("a/b", "a\\b", "a_b"), ("frames",)])
def test_each_track_has_a_file_of_the_format_that_was_asked_for(user, rows, tmp_path, names):
    video = user.add(rows)
    user.ask("PATCH", f"/api/videos/{video}", json={"name": "clip.via"})
    for number, name in enumerate(names, start=1):
        user.ask("POST", f"/api/videos/{video}/tracks", json={"name": name})
        user.label(video, (number, 20, "stir"), track=number)
    user.label(video, (0, 20, "stir"))
    for form in ("csv", "json", "txt"):
        content = user.client.get("/api/export", params={"format": form, "background": "1"}).content
        archive = zipfile.ZipFile(io.BytesIO(content))
        assert len(archive.namelist()) == len(names) + 1
        archive.extractall(tmp_path)
        starts = set()
        for name in archive.namelist():
            labels = Segmentation.load(tmp_path / name).to_frames()
            starts.add(labels.index("stir"))
        assert starts == set(range(len(names) + 1))


def test_an_export_of_no_known_format_is_refused(user):
    user.ask("GET", "/api/export?format=nonsense", 400)


def test_points_where_segments_begin_are_counted(user, rows):
    video = user.add(rows)
    user.label(video, (5, 5, "tap"), (5, 20, "stir"), (30, 30, "tap"), (40, 40, "tap"), (40, 41, "stir"))
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    user.label(video, (5, 20, "stir"), (40, 41, "stir"), track=1)
    user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    answer = user.ask("POST", f"/api/videos/{video}/compare", json={"first": "track main", "second": "track second"})
    assert answer["rows"][-1]["segments"] == []
    assert answer["omissions"]["points"] == 3
    assert segments(answer["rows"][1]["segments"])[1] == (5, 20, "stir")
    assert main(user.ask("GET", f"/api/videos/{video}"))[0] == (5, 5, "tap")


def test_drafts_of_a_file_leave_open_what_is_labelled(user, rows):
    video = user.add(rows)
    user.label(video, (5, 15, "stir"))
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": "txt", "drafts": True})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as files:
        (name,) = [name for name in files.namelist() if name.endswith("drafts.txt")]
        labels = files.read(name).decode().split("\n")
    assert labels[5:15] == ["?"] * 10
    assert "?" not in labels[:5] + labels[15:]


def test_a_file_with_marks_keeps_what_is_unlabelled_and_what_is_background(opened, rows, tmp_path):
    user = opened(run=None)()
    video = user.add(rows)
    track = user.ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]
    user.ask("PATCH", f"/api/videos/{video}/tracks/{track}", json={"complete": True})
    n_rows = len(np.load(rows))
    path = tmp_path / "take.txt"
    path.write_text("pour\n" * 10 + "background\n" * 10 + "?\n" * (n_rows - 20))
    shown = user.ask("POST", f"/api/videos/{video}/labels", json={"file": user.upload(path), "track": track})
    assert main(shown) == [(0, 10, "pour"), (10, 20, BACKGROUND)]
    assert not shown["tracks"][0]["complete"]
    assert "not complete" in shown["warnings"][0]


@pytest.mark.parametrize("names", [["idle"], ["idle", "rest"]])
@pytest.mark.parametrize("is_complete", [True, False])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_files_of_another_project_keep_background_and_what_is_unlabelled(
    opened, rows, tmp_path, names, is_complete, kind
):
    """A project that does not know the names of background reads none of them as an action."""
    first = opened(run=None, project=tmp_path / "first")()
    first.ask("POST", "/api/actions", json={"do": "add", "names": names, "background": True})
    video = first.add(rows, fps=2)
    first.label(video, (0, 10, names[-1]), (10, 20, "stir"))
    first.ask("PATCH", f"/api/videos/{video}", json={"complete": is_complete})
    path = tmp_path / f"take.{kind}"
    path.write_bytes(first.client.get(f"/api/videos/{video}/export", params={"format": kind}).content)

    second = opened(run=None, project=tmp_path / "second")()
    video = second.add(rows, fps=2)
    second.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    shown = second.ask("POST", f"/api/videos/{video}/labels", json={"file": second.upload(path)})
    expected = [(10, 20, "stir")]
    if not is_complete:
        expected.insert(0, (0, 10, BACKGROUND))
    assert main(shown) == expected
    assert shown["tracks"][0]["complete"] == is_complete


def test_lengths_and_names_that_differ_are_said(tmp_path):
    _, lines = read(tmp_path / "x.csv", "start,stop,label,video\n1,2,cut,other.mp4\n", video_name="take")
    assert [line.split(": ", 1)[1] for line in lines] == ["labels of a video named 'other'"]
    assert read(tmp_path / "x.csv", "start,stop,label,video\n1,2,cut,take.mp4\n", video_name="take")[1] == []
    Segmentation.from_frames(["cut"] * 100, 10.0).save(tmp_path / "x.json")
    with warnings_heard() as lines:
        read_label_file(tmp_path / "x.json", TIMES)
    assert [line.split(": ", 1)[1] for line in lines] == ["the labels of a video of 10.0 s, but this video has 20.0 s"]


def test_a_file_empties_no_track_that_another_file_has_filled(user, rows, tmp_path):
    video = user.add(rows)
    for name, content in (("main", "1,3,cut"), ("main 2", "1,3,stir"), ("main", "1,4,cut")):
        (tmp_path / "take.csv").write_text(f"start,stop,label\n{content}\n")
        body = {"file": user.upload(tmp_path / "take.csv"), "name": name, "replace": True}
        shown = user.ask("POST", f"/api/videos/{video}/labels", json=body)
    assert [len(track["segments"]) for track in shown["tracks"]] == [1, 1]


def test_undo_of_a_load_marks_the_track_as_complete_again(user, rows, tmp_path):
    video = user.add(rows)
    user.label(video, (0, 20, "stir"))
    user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    (tmp_path / "take.csv").write_text("start,stop,label\n0,1,stir\n1,2,?\n")
    body = {"file": user.upload(tmp_path / "take.csv"), "name": "main", "replace": True, "browser": "b"}
    loaded = user.ask("POST", f"/api/videos/{video}/labels", json=body)
    undone = user.ask("POST", f"/api/videos/{video}/undo", json={"browser": "b"})
    redone = user.ask("POST", f"/api/videos/{video}/redo", json={"browser": "b"})
    assert [shown["tracks"][0]["complete"] for shown in (loaded, undone, redone)] == [False, True, False]


def test_features_without_a_rate_are_refused(opened, rows):
    user = opened(run=None)()
    answer = user.ask("POST", "/api/videos", 400, json={"files": [user.upload(rows)]})
    assert "no rate" in answer["error"]


@pytest.mark.parametrize("name", ["?", "none of these"])
def test_what_has_no_class_is_not_one(user, rows, name):
    user.ask("POST", "/api/actions", 400, json={"do": "add", "names": [name]})
    user.act("stir")
    user.ask("POST", "/api/actions", 400, json={"do": "change", "name": "stir", "to": name})
    video = user.add(rows)
    if name == "?":
        user.label(video, (0, 5, name), status=400)
    else:  # a draft that a person accepts
        user.label(video, (0, 5, name), (5, 9, "stir"))
        assert [action["name"] for action in user.ask("GET", "/api/state")["actions"]] == ["stir"]
        assert {row["label"] for row in user.ask("GET", "/api/summary")["time"]} == {"stir"}
        file = user.client.get(f"/api/videos/{video}/export", params={"format": "json"}).json()
        assert name in file["background"]


def test_labels_that_are_stretched_over_a_film_are_said(tmp_path):
    _, lines = read(tmp_path / "x.txt", "cut\n" * 75)
    assert lines == [f"{tmp_path / 'x.txt'}: 75 labels, stretched over 300 frames"]


def test_labels_that_are_stretched_over_rows_are_said(tmp_path):
    _, lines = read(tmp_path / "x.txt", "cut\n" * 75 + "stir\n" * 75, is_film=False)
    assert lines == [f"{tmp_path / 'x.txt'}: 150 labels, stretched over 300 rows"]


@pytest.mark.parametrize("kind", ["csv", "json", "eaf", "boris", "via", "label-studio", "txt"])
def test_a_complete_video_without_labels_is_a_file(opened, rows, tmp_path, kind):
    """Its time is labelled, so it counts in a summary of the files as on the page."""
    user = opened(run=None)()
    video = user.add(rows)
    query = {"format": kind, "annotator": "ann"}
    with zipfile.ZipFile(io.BytesIO(user.client.get("/api/export", params=query).content)) as archive:
        assert archive.namelist() == []
    user.ask("PATCH", f"/api/videos/{video}", params={"annotator": "ann"}, json={"complete": True})
    with zipfile.ZipFile(io.BytesIO(user.client.get("/api/export", params=query).content)) as archive:
        (name,) = archive.namelist()
        archive.extract(name, tmp_path)
    if kind in ("csv", "json"):
        assert cli.main(["summary", str(tmp_path / name), "--json"]) == 0
    with warnings_heard() as lines:
        tracks = read_label_file(tmp_path / name, np.arange(len(np.load(rows)) + 1.0)).tracks
    assert tracks == {"main": []}
    assert [line for line in lines if "predictions are read" not in line] == []


def test_a_download_says_what_a_format_loses(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (5, 5, "tap"), (5, 10, "stir"))
    user.ask("PATCH", f"/api/videos/{video}", json={"name": "Prüfung"})
    requests = {f"/api/videos/{video}/export?format=srt": "Prüfung", "/api/export?format=srt&format=via": "labels"}
    for path, folder in requests.items():
        answer = user.client.get(path)
        lines = unquote(answer.headers["x-warnings"]).split("\n")
        assert lines[0] == f"{folder}/Prüfung.srt: 1 point events are left out, as this format cannot store them"
    answer = user.client.get(f"/api/videos/{video}/export?format=csv")
    assert answer.headers["x-warnings"] == ""
    for _ in range(7):
        user.label(user.add(rows), (5, 5, "tap"), (5, 10, "stir"))
    warnings = unquote(user.client.get("/api/export?format=srt").headers["x-warnings"])
    assert len(warnings) < 420
    assert warnings.startswith("labels/Prüfung.srt: 1 point events")
    assert warnings.endswith("cannot store them")


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_background_that_a_file_cannot_mark_is_counted(opened, rows, tmp_path, kind):
    user = opened(run=None)()
    video = user.add(rows, fps=2)
    user.label(video, (0, 10, BACKGROUND), (10, 20, "stir"), (30, 40, BACKGROUND))
    path = tmp_path / f"take.{kind}"
    path.write_bytes(user.client.get(f"/api/videos/{video}/export", params={"format": kind}).content)
    other = user.add(rows, fps=2)
    shown = user.ask("POST", f"/api/videos/{other}/labels", json={"file": user.upload(path)})
    assert main(shown) == [(10, 20, "stir")]
    (line,) = shown["warnings"]
    assert line.startswith(f"take.{kind}: ")
    assert line.endswith(": 2")


def test_an_empty_second_track_leaves_a_video_complete(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (0, 5, "stir"))
    user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    shown = user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    (row,) = user.ask("GET", "/api/state")["videos"]
    assert (row["complete"], row["progress"]) == (True, "complete")
    assert (shown["complete"], shown["progress"]) == (True, "complete")
    assert user.ask("GET", "/api/overview")["complete"] == 1
    user.ask("DELETE", f"/api/videos/{video}/tracks/{shown['tracks'][1]['id']}")
    user.label(video)
    user.ask("PATCH", f"/api/videos/{video}", json={"complete": False})
    (row,) = user.ask("GET", "/api/state")["videos"]
    assert (row["complete"], row["progress"]) == (False, "unlabelled")
