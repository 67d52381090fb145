"""What annotation files say of their videos: the name, the length, the rate and the background."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fact_clip.core import Clock, Segment, Segmentation
from fact_clip.datasets.convert import Target, convert_annotations
from fact_clip.formats import FORMATS, READERS, load, save, save_tracks
from fact_clip.formats.base import Options, video_name
from fact_clip.formats.gaps import to_frames

from ..refusals import refused

TAKE = Segmentation.from_frames(["idle"] * 2 + ["cut"] * 2 + ["idle"] * 4, 1.0)
TAKE = replace(TAKE, background=("idle",))


@pytest.mark.parametrize(
    ("media", "name"),
    [
        ("C:\\films\\take.MP4", "take"),
        ("subj1.v2", "subj1.v2"),
        ("subj1.v2.mkv", "subj1.v2"),
        ("disc.VOB", "disc"),
        ("/data/local-files/?d=videos/my%20take.mp4", "my take"),
        ("s3://lab/my%20take.mp4?sign=1", "my take"),
        ("100%20.mp4", "100%20"),
    ],
)
def test_the_name_of_a_video(media, name):
    assert video_name(media) == name


def test_label_studio_marks_uploads_alone(tmp_path):
    path = save(replace(TAKE, media="20240501-subj1.mp4"), tmp_path / "x.label-studio.json")
    assert READERS["label-studio"](path, Options())[0].name == "20240501-subj1"
    (task,) = json.loads(path.read_text())
    for file, video, name in (
        ("0a1b2c3d-x.json", task["data"]["video"], "20240501-subj1"),
        ("0a1b2c3d-up.mp4", "/data/upload/1/0a1b2c3d-up.mp4", "up"),
        ("0a1b2c3d-up.mp4", None, "up"),
    ):
        path.write_text(json.dumps([{**task, "file_upload": file, "data": {**task["data"], "video": video}}]))
        assert READERS["label-studio"](path, Options())[0].name == name


def test_a_csv_has_its_length_and_background_without_features(tmp_path):
    first = save(TAKE, tmp_path / "take.csv").read_text().splitlines()
    rest = replace(Segmentation.from_frames(["cut"] * 2 + ["rest"] * 4, 1.0), background=("rest",))
    second = save(rest, tmp_path / "rest.csv").read_text().splitlines()
    rows = [f"video,{first[0]}", f"a.mp4,{first[1]}", f"b.mp4,{second[1]}"]
    (tmp_path / "both.csv").write_text("\n".join(rows) + "\n")
    videos = convert_annotations([tmp_path / "both.csv"], "csv", tmp_path / "out", Target(fps=2.0))
    assert videos["a"].labels == ["idle"] * 4 + ["cut"] * 4 + ["idle"] * 8
    assert videos["b"].labels == ["cut"] * 4 + ["rest"] * 8


def test_a_row_put_first_does_not_hide_background_and_length(tmp_path):
    path = save(TAKE, tmp_path / "take.csv")
    header, row = path.read_text().splitlines()
    cells = dict.fromkeys(header.split(","), "")
    cells |= {"start": "5", "stop": "6", "start_seconds": "5", "stop_seconds": "6", "label": "peel"}
    path.write_text("\n".join([header, ",".join(cells.values()), row]) + "\n")
    (annotation,) = READERS["csv"](path, Options())
    assert (annotation.background, annotation.end) == ("idle", 8.0)


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_uneven_times_give_no_rate(ending, tmp_path):
    times = (0, 0.04, 0.08, 0.5, 0.9, 1.0, 1.5, 2.1, 2.2, 2.3, 3.0)
    segments = (Segment(0, 5, "idle"), Segment(5, 8, "cut"), Segment(8, 10, "idle"))
    video = Segmentation(segments, 5.0, times, background=("idle",))
    path = save(video, tmp_path / f"x{ending}")
    assert load(path).fps is None
    if ending == ".csv":
        assert READERS["csv"](path, Options())[0].end == 3.0


def test_an_even_stretch_of_an_uneven_film_says_no_length(tmp_path):
    """The rows lie in five frames a second, before a pause."""
    times = (*np.arange(6) / 5, 6.0, 9.0)
    segments = (Segment(0, 2, "idle"), Segment(2, 5, "cut"), Segment(5, 7, "idle"))
    path = save(Segmentation(segments, None, times, background=("idle",)), tmp_path / "x.csv")
    assert READERS["csv"](path, Options())[0].end == 9.0
    without_end = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
    path.write_text("".join(f"{line}\n" for line in without_end))
    assert READERS["csv"](path, Options())[0].end is None


@pytest.mark.parametrize("digits", [15, 7, 4])
def test_a_spreadsheet_that_rounds_keeps_rate_and_length(digits, tmp_path):
    segments = (Segment(0, 31, "pour"), Segment(31, 77, "idle"), Segment(77, 100, "stir"), Segment(100, 400, "idle"))
    path = save(Segmentation(segments, 15.0, background=("idle",)), tmp_path / "x.csv")
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    for row in rows:
        for column in (header.index("start_seconds"), header.index("stop_seconds")):
            row[column] = f"{float(row[column]):.{digits}g}"
    path.write_text("".join(",".join(row) + "\n" for row in (header, *rows)))
    assert load(path).fps == 15
    assert READERS["csv"](path, Options())[0].end == pytest.approx(400 / 15)


def test_our_file_with_decimal_commas_is_read(tmp_path):
    path = save(TAKE, tmp_path / "take.csv")
    path.write_text(path.read_text().replace(",", ";").replace(".", ","))
    (annotation,) = READERS["csv"](path, Options(decimal=","))
    assert (annotation.background, annotation.end) == ("idle", 8.0)


def test_rows_of_a_film_that_ends_within_the_last_one_are_all_counted(tmp_path):
    times = np.arange(9) / 2
    times[-1] -= 0.1
    path = save(Clock(8, 2.0, times).apply_to(TAKE), tmp_path / "x.csv")
    (annotation,) = READERS["csv"](path, Options())
    assert to_frames(annotation, Clock(fps=2.0)).labels == TAKE.to_frames()


@pytest.mark.parametrize(
    ("kind", "ending"), [("boris", "boris"), ("eaf", "eaf"), ("via", "via.json"), ("label-studio", "label-studio.json")]
)
def test_background_alone_comes_back(kind, ending, tmp_path):
    video = replace(Segmentation.from_frames(["idle"] * 9, 5.0), background=("idle",), media="take.mp4")
    (annotation,) = READERS[kind](save(video, tmp_path / f"take.{ending}"), Options())
    assert to_frames(annotation, Clock(9, 5.0)).labels == ["idle"] * 9
    if kind == "eaf":
        assert to_frames(annotation, Clock(fps=5.0)).labels == ["idle"] * 9  # the file has the length


def test_a_video_added_to_a_via_project_is_not_background(tmp_path):
    path = save(replace(TAKE, media="take.mp4"), tmp_path / "x.via.json")
    project = json.loads(path.read_text())
    project["file"]["2"] = project["file"]["1"] | {"fid": "2", "fname": "new.mp4"}
    path.write_text(json.dumps(project))
    assert [annotation.name for annotation in READERS["via"](path, Options())] == ["take"]


def test_each_track_of_elan_has_its_background(tmp_path):
    other = replace(Segmentation.from_frames(["rest", "cut", "rest"], 1.0), background=("rest",))
    path = save_tracks({"left": TAKE, "right": other}, tmp_path / "x.eaf")
    found = [READERS["eaf"](path, Options(tier=tier))[0].background for tier in ("left", "right")]
    assert found == ["idle", "rest"]


@pytest.mark.parametrize("order", [("left", "right"), ("right", "left")])
def test_one_track_of_boris_may_have_no_background(order, tmp_path):
    tracks = {"left": TAKE, "right": Segmentation.from_frames(["cut"] * TAKE.n_frames, TAKE.fps)}
    path = save_tracks({name: tracks[name] for name in order}, tmp_path / "x.boris")
    for name, track in tracks.items():
        (found,) = READERS["boris"](path, Options(tier=name))
        assert to_frames(found, Clock(fps=TAKE.fps)).labels == track.to_frames()


def test_elan_keeps_an_address(tmp_path):
    path = save(replace(TAKE, media="https://host/take.mp4"), tmp_path / "x.eaf")
    assert 'MEDIA_URL="https://host/take.mp4"' in path.read_text()


def test_two_observations_of_one_video_are_refused(tmp_path):
    head = "Observation id\tMedia file name\tSubject\tBehavior\tBehavior type\tStart (s)\tStop (s)\n"
    rows = [f"{who}\ttake.mp4\t\tcut\tSTATE\t0\t4\n" for who in ("anna", "ben")]
    path = tmp_path / "x.tsv"
    path.write_text(head + "".join(rows))
    with refused("x.tsv:3"):
        READERS["boris"](path, Options())


@pytest.mark.parametrize("kind", sorted({"boris", "eaf", "label-studio", "nwb", "via"} & {*FORMATS}))
def test_background_between_unlabelled_frames_is_written(kind, tmp_path):
    form = FORMATS[kind]
    if not form.is_installed:
        pytest.skip(f"{form.module} is not installed")
    names = ["?"] * 2 + ["cut"] * 2 + ["idle"] * 2 + ["background"] * 2 + ["?"]
    background = ("?", "idle", "background")
    video = replace(Segmentation.from_frames(names, 1.0), background=background, media="take.mp4")
    (annotation,) = form.annotations(save(video, tmp_path / f"take{form.ending}", kind=kind), Options())
    assert [span.label for span in annotation.spans] == ["cut", "idle", "background"]


def test_further_background_survives_a_named_one(tmp_path):
    video = replace(
        Segmentation.from_frames(["idle", "cut", "none of these"], 1.0), background=("idle", "none of these")
    )
    path = save(video, tmp_path / "x.csv")
    assert load(path, background="idle").background == ("idle", "none of these")
    assert np.unique(load(path, background="rest").to_frames()).tolist() == ["cut", "none of these", "rest"]


def test_subjects_of_different_names_in_a_table_are_said(tmp_path, caplog):
    """Each video has one subject, so each is read; but the labels are those of two animals."""
    head = "Observation id\tMedia file name\tSubject\tBehavior\tBehavior type\tStart (s)\tStop (s)\n"
    rows = [f"{name}\t{name}.mp4\t{name}\tcut\tSTATE\t0\t4\n" for name in ("anna", "ben")]
    path = tmp_path / "x.tsv"
    path.write_text(head + "".join(rows))
    videos = convert_annotations([path], "boris", tmp_path / "data", Target(fps=5.0))
    assert list(videos) == ["anna", "ben"]
    assert "the labels come from several tiers, 'anna', 'ben'" in caplog.text
