"""Background is left out of files that need no label for every frame, and comes back where its name is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fact_clip.core import Instant, Segment, Segmentation
from fact_clip.core.clock import Clock
from fact_clip.formats import FORMATS, READERS, load, save
from fact_clip.formats.base import Options
from fact_clip.formats.gaps import to_frames, with_framed_instants

from ..published import breakfast_classes, breakfast_segments
from ..refusals import refused

# idle 0 to 2, stir 2 to 5, idle 5 to 6, pour 6 to 9, idle 9 to 10; five frames a second
SEGMENTS = (
    Segment(0, 2, "idle", 0.5),
    Segment(2, 5, "stir", 0.9),
    Segment(5, 6, "idle", 0.6),
    Segment(6, 9, "pour", 0.8),
    Segment(9, 10, "idle", 0.7),
)
TAKE = Segmentation(SEGMENTS, fps=5.0, media="take.mp4", background=("idle",))
LEAVES_OUT = [
    known.ending
    for known in FORMATS.values()
    if not known.every_frame and known.ending not in (".nwb", ".binary.csv")  # see test_binary.py
]


def test_formats_with_a_label_for_every_frame():
    assert [name for name, known in FORMATS.items() if known.every_frame] == ["frames.csv", "json", "jsonl", "txt"]


@pytest.mark.parametrize("ending", LEAVES_OUT)
def test_background_is_left_out_unless_asked_for(ending, tmp_path):
    unknown = save(replace(TAKE, background=()), tmp_path / f"unknown/take{ending}").read_text()
    kept = TAKE.save(tmp_path / f"kept/take{ending}", with_background=True).read_text()
    without = TAKE.save(tmp_path / f"without/take{ending}").read_text()
    assert kept.count("idle") == unknown.count("idle") >= 3
    named = ending in (".eaf", ".boris", ".via.json", ".label-studio.json")  # once, as what was left out
    rows = 2 if ending == ".csv" else 0
    assert without.count("idle") == named + rows
    assert "stir" in without
    assert "pour" in without


def test_json_says_what_background_is(tmp_path):
    tree = json.loads(replace(TAKE, video_fps=30.0).save(tmp_path / "a.json").read_text())
    assert (tree["background"], tree["video_fps"], len(tree["segments"])) == (["idle"], 30.0, 5)
    found = load(tmp_path / "a.json")
    assert (found.background, found.video_fps) == (("idle",), 30.0)


def test_csv_gets_its_background_back(tmp_path):
    path = TAKE.save(tmp_path / "take.csv")
    assert Segmentation.load(path) == load(path, background="idle", n_frames=10) == TAKE
    assert load(path).background == ("idle",)
    assert load(path, background="rest").to_frames()[:3] == ["rest", "rest", "stir"]
    with refused("take.csv"):
        load(path, n_frames=8)
    path.write_text("\n".join(line.removesuffix(",idle,10") for line in path.read_text().splitlines()))  # as before
    path.write_text(path.read_text().replace(",background,n_frames", ""))
    assert load(path, background="idle").to_frames() == TAKE.to_frames()[:9]  # the end is not known
    for known in ({}, {"background": "idle", "n_frames": 8}):
        with refused("take.csv"):
            load(path, **known)


def test_a_video_of_background_alone(tmp_path):
    video = Segmentation((Segment(0, 10, "idle"),), 5.0, media="take.mp4", background=("idle",))
    for ending in LEAVES_OUT:
        video.save(tmp_path / f"take{ending}")
    assert load(tmp_path / "take.csv") == load(tmp_path / "take.csv", background="idle", n_frames=10) == video
    (annotation,) = READERS["eaf"](tmp_path / "take.eaf", Options())
    assert to_frames(annotation, Clock(10, 5.0)).labels == ["idle"] * 10


TOOLS = {"eaf": ".eaf", "boris": ".boris", "via": ".via.json", "label-studio": ".label-studio.json", "nwb": ".nwb"}


@pytest.mark.parametrize(("kind", "ending"), TOOLS.items())
def test_tools_give_it_back_by_the_name_in_the_file(kind, ending, tmp_path):
    path: Path = TAKE.save(tmp_path / f"take{ending}")
    (annotation,) = READERS[kind](path, Options())
    assert annotation.background == "idle"
    clock = Clock(10, 5.0)
    assert to_frames(annotation, clock).labels == TAKE.to_frames()
    assert set(to_frames(annotation, clock, "nothing").labels) == {"stir", "pour", "nothing"}
    (annotation,) = READERS[kind](TAKE.save(tmp_path / f"all{ending}", with_background=True), Options())
    assert annotation.background is None
    assert to_frames(annotation, clock).labels == TAKE.to_frames()


@pytest.mark.parametrize("kind", [kind for kind in TOOLS if kind != "nwb"])
def test_breakfast_comes_back_without_its_background(kind, tmp_path):
    """Real labels: 40 recordings of 48 classes, whose background is called SIL."""
    classes = breakfast_classes()
    videos = breakfast_segments()
    for name in list(videos)[:40]:
        labels = [classes[index] for index, n_frames in videos[name] for _ in range(n_frames)]
        video = replace(Segmentation.from_frames(labels, 15.0), background=("SIL",), video_fps=25.0)
        path = video.save(tmp_path / f"{name}{TOOLS[kind]}")
        (read,) = READERS[kind](path, Options())
        assert "SIL" not in {span.label for span in read.spans}
        assert to_frames(read, Clock(len(labels), 15.0)).labels == labels


# --- the pictures of the video ---------------------------------------------------------------------------------

FILM = replace(TAKE, video_fps=30.0)


def test_pictures_follow_frame_times(tmp_path):
    """Rows at 0, 0.08, 0.2 and 0.28 s of a film of 25 pictures a second are its pictures 0, 2, 5 and 7."""
    labels = ["a", "b", "c", "d"]
    video = replace(Segmentation.from_frames(labels, 10.0, times=(0.0, 0.08, 0.2, 0.28, 0.4)), video_fps=25.0)
    (observation,) = json.loads(video.save(tmp_path / "x.boris").read_text())["observations"].values()
    assert [event[5] for event in observation["events"]][::2] == [0, 2, 5, 7]
    (task,) = json.loads(video.save(tmp_path / "x.label-studio.json").read_text())
    first = [region["value"]["ranges"][0] for region in task["predictions"][0]["result"]]
    assert first == [{"start": 1, "end": 2}, {"start": 3, "end": 5}, {"start": 6, "end": 7}, {"start": 8, "end": 10}]


def test_without_seconds_label_studio_counts_rows(tmp_path):
    video = Segmentation((Segment(0, 3, "a"), Segment(3, 4, "b")), video_fps=30.0)
    (task,) = json.loads(video.save(tmp_path / "x.label-studio.json").read_text())
    assert "fps" not in task["data"]
    assert task["predictions"][0]["result"][1]["value"]["ranges"] == [{"start": 4, "end": 4}]


def test_instants_leave_the_rest_as_it_is(tmp_path):
    segments = (Segment(0, 4, "idle", 0.5), Segment(4, 6, "rest", 0.25), Segment(6, 8, "cut"), Segment(8, 10, "idle"))
    instants = (Instant(10, "end"), Instant(2, "call"), Instant(2, "ring"), Instant(7, "lost"))
    video = Segmentation(segments, background=("idle", "rest"), instants=instants)
    assert load(save(video, tmp_path / "x.json")).instants == instants
    framed = with_framed_instants(video)
    expected = [
        *((0, 2, "idle", 0.5), (2, 3, "call", None), (3, 4, "idle", 0.5), (4, 6, "rest", 0.25)),
        *((6, 8, "cut", None), (8, 9, "idle", None), (9, 10, "end", None)),
    ]
    assert [(part.start, part.stop, part.label, part.confidence) for part in framed] == expected


def test_a_file_of_background_alone_needs_the_length(tmp_path):
    (tmp_path / "x.csv").write_text("start,stop,start_seconds,stop_seconds,label,confidence\n")
    with refused("x.csv") as refusal:
        load(tmp_path / "x.csv", background="idle")
    assert "n_frames" in refusal.message
