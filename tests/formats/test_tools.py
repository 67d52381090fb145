"""What other people's tools see in the files written for them; read by the tool's own library where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from pympi.Elan import Eaf

from fact_clip.core import Segment, Segmentation
from fact_clip.formats import FORMATS, load, save
from fact_clip.formats.base import Options

from ..refusals import refused


class Seen(NamedTuple):
    """A segment in the eyes of a tool; confidence None where it has none."""

    start: float
    stop: float
    label: str
    confidence: float | None = None


def number(text: str) -> float | None:
    return float(text.removeprefix("confidence ")) if text else None


def vtt(path: Path) -> list[Seen]:
    cues = webvtt.read(path)
    unescaped = [cue.text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for cue in cues]
    cues[0].comments = cues.header_comments  # the library gives the comments before the first cue to the file
    sure = [number("".join(cue.comments)) for cue in cues]
    return [Seen(_vtt(cue.start), _vtt(cue.end), text, c) for cue, text, c in zip(cues, unescaped, sure, strict=True)]


def _vtt(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def subrip(path: Path) -> list[Seen]:
    cues = list(srt.parse(path.read_text(encoding="utf-8")))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    return [Seen(cue.start.total_seconds(), cue.end.total_seconds(), cue.content) for cue in cues]


def elan(path: Path) -> list[Seen]:
    eaf = Eaf(path)
    sure = {}
    if "confidence" in eaf.get_tier_names():
        assert eaf.get_parameters_for_tier("confidence")["PARENT_REF"] == "action"
        sure = {parent: float(value) for parent, value, _, _ in eaf.tiers["confidence"][1].values()}
    return [
        Seen(eaf.timeslots[start] / 1000, eaf.timeslots[stop] / 1000, label, sure.get(name))
        for name, (start, stop, label, _) in eaf.tiers["action"][0].items()
    ]


class Reader(NamedTuple):
    read: Callable[[Path], list[Seen]]
    grain: float  # seconds within which times are kept
    confidence: bool


READERS = {
    ".vtt": Reader(vtt, 5e-4, True),
    ".srt": Reader(subrip, 5e-4, False),
    ".eaf": Reader(elan, 5e-4, True),
}
TIMED = (
    *READERS,
    ".nwb",
    ".boris",
    ".via.json",
)  # formats that need seconds
EVEN = Segmentation(
    (
        Segment(0, 3, "no_action", 0.5),
        Segment(3, 4, "take"),
        Segment(4, 10, "pour", 1 / 3),
        Segment(10, 12, "pour", 1.0),
    ),
    fps=6.0,
    media="clips/a b.mp4",
)
# twelve frames of a clock that starts late, stumbles and then runs three times as fast
UNEVEN = Segmentation(
    EVEN.segments, 6.0, (0.04, 0.2, 0.4, 0.6, 1.1, 1.2, 1.25, 1.3, 1.35, 1.4, 1.45, 1.6, 1.7001), media="a.mp4"
)


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("video", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_the_tool_sees_every_segment_at_its_time(video, ending, tmp_path):
    reader = READERS[ending]
    seen = reader.read(save(video, tmp_path / f"deep/er{ending}"))
    assert [each.label for each in seen] == list(video.transcript)
    assert [each.confidence for each in seen] == [each.confidence if reader.confidence else None for each in video]
    times = [(video.seconds(each.start), video.seconds(each.stop)) for each in video]
    for each, (start, stop) in zip(seen, times, strict=True):
        assert (each.start, each.stop) == pytest.approx((start, stop), abs=reader.grain + 1e-12)


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=12),
    fps=st.sampled_from([5.0, 12.5, 15.0, 24000 / 1001, 29.97, 59.94, 120.0]),
)
@pytest.mark.parametrize("ending", READERS)
def test_frames_come_back_exactly_from_seconds(ending, lengths, fps, tmp_path_factory):
    labels = [f"a{number % 3}" for number, length in enumerate(lengths) for _ in range(length)]
    video = Segmentation.from_frames(labels, fps)
    seen = READERS[ending].read(save(video, tmp_path_factory.mktemp("round") / f"a{ending}"))
    frames = [Segment(round(each.start * fps), round(each.stop * fps), each.label) for each in seen]
    assert tuple(frames) == video.segments


ODD = 'pour <b>&"milk", cold → ü --> 50 %'


@pytest.mark.parametrize("ending", READERS)
def test_any_name_of_one_line_is_kept(ending, tmp_path):
    seen = READERS[ending].read(save(Segmentation((Segment(0, 5, ODD),), 5.0), tmp_path / f"a{ending}"))
    assert [each.label for each in seen] == [ODD]


def test_a_video_elsewhere_is_linked_by_its_address_and_by_the_way_there(tmp_path):
    video = replace(EVEN, media=str(tmp_path / "clips" / "a b.mp4"))
    (link,) = Eaf(save(video, tmp_path / "out" / "x.eaf")).get_linked_files()
    assert link["MEDIA_URL"] == f"file://{tmp_path}/clips/a b.mp4"
    assert link["RELATIVE_MEDIA_URL"] == "./../clips/a b.mp4"
    assert link["MIME_TYPE"] == "video/mp4"
    project = json.loads(save(video, tmp_path / "out" / "x.boris").read_text())
    assert project["observations"]["a b"]["file"]["1"] == [video.media]


def test_json_names_no_video_where_there_is_none(tmp_path):
    path = save(Segmentation((Segment(0, 1, "a"),), 1.0), tmp_path / "subj5.json")
    assert "media" not in json.loads(path.read_text())
    assert load(path).media is None
    path.write_text(path.read_text().replace('"n_frames": 1', '"media": 1'))
    with refused("subj5.json"):
        load(path)


def test_without_a_video_files_point_to_their_own_name(tmp_path):
    text = save(Segmentation((Segment(0, 1, "a"),), 1.0), tmp_path / "subj5.via.json").read_text()
    assert json.loads(text)["file"]["1"]["fname"] == "subj5"


def test_boris_has_the_mean_rate_of_uneven_times(tmp_path):
    video = Segmentation(UNEVEN.segments, times=UNEVEN.times, media="d/a.mp4")
    (observation,) = json.loads(save(video, tmp_path / "a.boris").read_text())["observations"].values()
    assert observation["media_info"]["fps"]["d/a.mp4"] == pytest.approx(12 / 1.6601)  # twelve frames in 1.6601 s


@pytest.mark.parametrize("ending", [known.ending for known in FORMATS.values()])
def test_formats_of_seconds_ask_for_a_rate(ending, tmp_path):
    video = Segmentation((Segment(0, 3, "a"),))
    if ending not in TIMED:
        assert save(video, tmp_path / f"a{ending}").is_file()
        return
    with refused(f"a{ending}"):
        save(video, tmp_path / f"a{ending}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", sorted(form.ending for form in FORMATS.values() if form.read is None))
@pytest.mark.parametrize("label", ["a\nb", "a\tb", " "])
def test_labels_without_a_place_are_refused(ending, label, tmp_path):
    with refused(f"a{ending}"):
        save(Segmentation((Segment(0, 1, label),), 1.0), tmp_path / f"a{ending}")


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.annotations and not form.read])
def test_blanks_in_names_are_kept(name, tmp_path):
    path = save(Segmentation((Segment(0, 5, "a  b"),), 5.0), tmp_path / f"a{FORMATS[name].ending}")
    (annotation,) = FORMATS[name].annotations(path, Options())
    assert [span.label for span in annotation.spans] == ["a  b"]
    if name in ("srt", "vtt"):  # a player shows lines
        path.write_text(path.read_text().replace("a  b", "a \n b"))
        assert FORMATS[name].annotations(path, Options())[0].spans[0].label == "a b"


@pytest.mark.parametrize("ending", [".vtt", ".srt", ".eaf"])
def test_a_segment_below_a_millisecond_is_refused(ending, tmp_path):
    with refused(f"a{ending}"):
        save(Segmentation((Segment(0, 1, "a"), Segment(1, 9, "b")), 9000.0), tmp_path / f"a{ending}")
