"""Label files of one tool as label files of others."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fact_clip.core import Clock, Instant, Segment, Segmentation
from fact_clip.formats import READERS, load, save, save_tracks
from fact_clip.formats.base import Options
from fact_clip.formats.conversion import convert_label_files

from ..refusals import refused

TAKE = Segmentation(
    (Segment(0, 5, "idle"), Segment(5, 20, "rear", comment="twice"), Segment(20, 30, "turn"), Segment(30, 40, "idle")),
    fps=10.0,
    background=("idle",),
    instants=(Instant(7, "tap", "loud"), Instant(37, "call")),
)
TEN = Clock(fps=10.0, video_fps=10.0)


def spans(path, kind, **options):
    (annotation,) = READERS[kind](path, Options(instants=True, **options))
    return [(span.start, span.stop, span.label, span.comment) for span in annotation.spans]


@pytest.mark.parametrize("kind", ["eaf", "boris", "csv", "json"])
def test_labels_comments_and_points_come_through(kind, tmp_path):
    source = save(TAKE, tmp_path / f"take.{kind}")
    found = convert_label_files([source], kind, tmp_path / "new", ["csv", "json", "boris"], lambda _: TEN)
    (converted,) = found.values()
    assert [path.name for path in converted.written] == ["take.csv", "take.json", "take.boris"]
    assert converted.comments == 0
    for path in converted.written[:2]:
        again = load(path, background="idle") if kind == "boris" else load(path)
        labels = ["idle" if label == "background" else label for label in again.to_frames()]
        assert labels == TAKE.to_frames()[: len(labels)]
        assert again.instants == TAKE.instants
        assert [segment.comment for segment in again if segment.label == "rear"] == ["twice"]
    assert sorted(span[:3] for span in spans(converted.written[2], "boris")) == [
        (0.5, 2, "rear"), (0.7, 0.7, "tap"), (2, 3, "turn"), (3.7, 3.7, "call"),
    ]  # fmt: skip


def test_tiers_are_tracks_or_files(tmp_path):
    left = Segmentation((Segment(0, 10, "rear"), Segment(10, 20, "turn")), 10.0)
    right = Segmentation((Segment(0, 20, "sniff"),), 10.0)
    source = save_tracks({"left": left, "right": right}, tmp_path / "take.eaf")
    (converted,) = convert_label_files(
        [source], "eaf", tmp_path / "new", ["boris", "binary.csv", "txt"], lambda _: TEN
    ).values()
    assert [path.name for path in converted.written] == [
        "take.boris", "take.binary.csv", "take.left.txt", "take.right.txt",
    ]  # fmt: skip
    rows = converted.written[1].read_text().splitlines()
    assert (rows[0], rows[1], rows[-1]) == ("frame,rear,turn,sniff", "0,1,0,1", "19,0,1,1")
    assert converted.written[3].read_text().splitlines() == ["sniff"] * 20
    same = save_tracks({"left": left, "right": left}, tmp_path / "same.eaf")
    (apart,) = convert_label_files([same], "eaf", tmp_path / "same", ["binary.csv"], lambda _: TEN).values()
    assert [path.name for path in apart.written] == ["same.left.binary.csv", "same.right.binary.csv"]
    (one,) = convert_label_files(
        [source], "eaf", tmp_path / "one", ["txt"], lambda _: TEN, Options(tier="right")
    ).values()
    assert [path.name for path in one.written] == ["take.txt"]


def test_as_many_rows_as_the_video_has_frames(tmp_path):
    """A video with uneven times: each row is one of its frames."""
    times = np.array([0.0, 0.1, 0.25, 0.6, 0.7, 1.3, 1.4])
    source = tmp_path / "take.csv"
    source.write_text("start_seconds,stop_seconds,label\n0.25,1.3,rear\n")
    clock = Clock(n_frames=6, times=times, media="take.mp4")
    (converted,) = convert_label_files([source], "csv", tmp_path / "new", ["binary.csv"], lambda _: clock).values()
    assert converted.written[0].read_text().splitlines() == ["frame,rear", "0,0", "1,0", "2,1", "3,1", "4,1", "5,0"]


def test_labels_of_frames_without_times_are_those_of_the_film(tmp_path):
    source = save(TAKE, tmp_path / "take.txt")
    film = Clock(n_frames=40, fps=20.0, times=np.arange(41) / 20, video_fps=20.0)
    (converted,) = convert_label_files([source], "txt", tmp_path / "new", ["csv"], lambda _: film).values()
    assert spans(converted.written[0], "csv")[1] == (0.25, 1.0, "rear", "")
    longer = Clock(n_frames=120, fps=20.0, times=np.arange(121) / 20, video_fps=20.0)
    with refused("take.txt"):
        convert_label_files([source], "txt", tmp_path / "new", ["csv"], lambda _: longer)


def test_labels_with_times_get_the_frames_of_the_film(tmp_path):
    """Ten labels per second become the labels of a film of 20 frames per second, and of half a second more."""
    source = save(TAKE, tmp_path / "take.json")
    film = Clock(n_frames=90, fps=20.0, times=np.arange(91) / 20, video_fps=20.0)
    for clock, n_frames in ((film, 90), (Clock(fps=20.0, video_fps=20.0), 80)):
        (converted,) = convert_label_files(
            [source], "json", tmp_path / "new", ["binary.csv", "json"], lambda _, clock=clock: clock
        ).values()
        rows = converted.written[0].read_text().splitlines()[1:]
        assert len(rows) == n_frames
        assert [number for number, row in enumerate(rows) if row.split(",")[1] == "1"] == [*range(10, 40)]
        labels = load(converted.written[1])
        assert labels.instants == (Instant(14, "tap", "loud"), Instant(74, "call"))
        assert labels.background == ("idle",)


def test_a_rate_that_a_file_has_changes_nothing(tmp_path):
    sure = replace(TAKE, segments=(replace(TAKE[0], confidence=0.5), *TAKE.segments[1:]), video_fps=30.0)
    source = save(sure, tmp_path / "take.json")
    (converted,) = convert_label_files([source], "json", tmp_path / "new", ["json"], lambda _: TEN).values()
    assert converted.written[0].read_text() == source.read_text()


def test_tiers_of_a_video_have_one_length(tmp_path):
    """A table of 0 and 1 has a row for each frame of all tiers."""
    left = Segmentation((Segment(0, 20, "rear"),), 10.0)
    right = Segmentation((Segment(0, 10, "sniff"), Segment(10, 30, "turn")), 10.0)
    source = save_tracks({"left": left, "right": right}, tmp_path / "take.eaf")
    (converted,) = convert_label_files([source], "eaf", tmp_path / "new", ["binary.csv", "txt"], lambda _: TEN).values()
    table, *frames = (path.read_text().splitlines() for path in converted.written)
    assert [len(table), *map(len, frames)] == [31, 30, 30]
    assert (table[20], table[21]) == ("19,1,0,1", "20,0,0,1")
    assert frames[0] == ["rear"] * 20 + ["background"] * 10


@pytest.mark.parametrize(("video", "file"), [("take.frames", "take_frames.csv"), ("take.one", "take.one.csv")])
def test_a_file_does_not_get_the_ending_of_another_format(video, file, tmp_path):
    source = tmp_path / f"{video}.csv"
    source.write_text("start_seconds,stop_seconds,label\n0.5,2,rear\n")
    (converted,) = convert_label_files([source], "csv", tmp_path / "new", ["csv"], lambda _: TEN).values()
    assert [path.name for path in converted.written] == [file]
    assert spans(converted.written[0], "csv") == [(0.5, 2, "rear", "")]


def test_two_labellings_of_one_video_or_file_are_rejected(tmp_path):
    header = "video,start_seconds,stop_seconds,label\n"
    same = tmp_path / "same.csv"
    same.write_text(header + "a/take.mp4,0,1,rear\nb/take.mp4,0,2,turn\n")
    with refused("same.csv"):
        convert_label_files([same], "csv", tmp_path / "new", ["csv"], lambda _: TEN)
    alike = tmp_path / "alike.csv"
    alike.write_text(header + "take\x01,0,1,rear\ntake_,0,2,turn\n")
    with refused("take_.csv"):
        convert_label_files([alike], "csv", tmp_path / "new", ["csv"], lambda _: TEN)
    assert not (tmp_path / "new").exists()
    one = tmp_path / "one.csv"
    two = tmp_path / "two.csv"
    one.write_text(header + "two,0,1,rear\n")
    two.write_text(header + "one,0,1,turn\n")
    with refused("two.csv"):  # it would be replaced by the labels in one.csv
        convert_label_files([one, two], "csv", tmp_path, ["csv"], lambda _: TEN)
    assert two.read_text() == header + "one,0,1,turn\n"


def test_a_point_after_the_last_segment_keeps_its_time(tmp_path):
    source = tmp_path / "take.csv"
    source.write_text("start_seconds,stop_seconds,label\n0,1,rear\n3.5,3.5,tap\n")
    (converted,) = convert_label_files([source], "csv", tmp_path / "new", ["json"], lambda _: TEN).values()
    file = json.loads(converted.written[0].read_text())
    assert [(point["seconds"], point["label"]) for point in file["instants"]] == [(3.5, "tap")]
    assert file["n_frames"] == 36


def test_what_is_left_out_is_counted(tmp_path, caplog):
    source = tmp_path / "take.csv"
    source.write_text("start_seconds,stop_seconds,label,comment\n0,2,rear,a\n1,3,turn,\n1.01,1.02,rear,\n2,2,tap,b\n")
    (converted,) = convert_label_files([source], "csv", tmp_path / "new", ["binary.csv"], lambda _: TEN).values()
    (track,) = converted.tracks.values()
    assert (track.contested, track.lost, converted.comments) == (10, 1, 2)
    assert "1 point events" in caplog.text


@pytest.mark.parametrize("name", ["take", "other"])
def test_nothing_is_written_if_a_file_is_wrong(name, tmp_path):
    good = save(TAKE, tmp_path / "take.csv")
    bad = tmp_path / "bad" / f"{name}.csv"
    bad.parent.mkdir()
    bad.write_text("start_seconds,stop_seconds,label\n" + ("0,1,rear\n" if name == "take" else "1,0,rear\n"))
    with refused("take.csv" if name == "take" else "other.csv:2"):
        convert_label_files([good, bad], "csv", tmp_path / "new", ["eaf"], lambda _: TEN)
    assert not (tmp_path / "new").exists()


def test_a_file_is_not_replaced_by_its_copy_and_a_rate_is_needed(tmp_path):
    source = save(TAKE, tmp_path / "take.csv")
    with refused("take.csv"):
        convert_label_files([source], "csv", tmp_path, ["csv"], lambda _: TEN)
    with refused("take.csv"):
        convert_label_files([source], "csv", tmp_path / "new", ["eaf"], lambda _: None)
    assert source.read_text() == save(TAKE, tmp_path / "again.csv").read_text()
