"""Label files of one tool as label files of others."""

from __future__ import annotations

import json

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
