"""The files of tools key by key, as their programs write and read them; only dates are open."""

from __future__ import annotations

import csv
import json
import re
import time
from itertools import pairwise
from typing import Any

import opentimelineio
from pympi.Elan import Eaf

from fact_clip.core import Segment, Segmentation
from fact_clip.formats import save

# idle 0 to 2, stir 2 to 5, pour 5 to 9, stir 9 to 10; five frames a second, 25 pictures a second
VIDEO = Segmentation(
    (Segment(0, 2, "idle", 0.5), Segment(2, 5, "stir", 0.25), Segment(5, 9, "pour"), Segment(9, 10, "stir", 1.0)),
    fps=5.0,
    video_fps=25.0,
    media="clips/take 1.mp4",
    background=("idle",),
)
STATE = {
    "type": "State event", "key": "", "description": "", "color": "", "category": "", "modifiers": "", "excluded": "",
    "coding map": "",
}  # fmt: skip


def tree(path: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_boris_project(tmp_path):
    found = tree(save(VIDEO, tmp_path / "x.boris"))
    date = found["project_date"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", date)
    observation = {
        "file": {"1": ["clips/take 1.mp4"], "2": [], "3": [], "4": [], "5": [], "6": [], "7": [], "8": []},
        "type": "MEDIA",
        "date": date,
        "description": "background: idle",
        "time offset": 0.0,
        "events": [
            [0.4, "", "stir", "", "confidence 0.25", 10],
            [1.0, "", "stir", "", "", 25],
            [1.0, "", "pour", "", "", 25],
            [1.8, "", "pour", "", "", 45],
            [1.8, "", "stir", "", "confidence 1.0", 45],
            [2.0, "", "stir", "", "", 50],
        ],
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {"clips/take 1.mp4": 2.001},
            "fps": {"clips/take 1.mp4": 25.0},
            "hasVideo": {"clips/take 1.mp4": True},
            "hasAudio": {"clips/take 1.mp4": False},
            "offset": {"1": 0.0},
        },
    }
    assert found == {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": "take 1",
        "project_description": "written by fact-clip",
        "project_format_version": "7.0",
        "behaviors_conf": {"0": {"code": "pour", **STATE}, "1": {"code": "stir", **STATE}},
        "observations": {"take 1": observation},
        "behavioral_categories": [],
        "behaviors_coding_map": [],
        "subjects_conf": {},
        "independent_variables": {},
        "coding_map": {},
        "converters": {},
    }


def test_a_table_of_boris(tmp_path):
    with save(VIDEO, tmp_path / "x.boris.tsv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    assert header == [
        "Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source",
        "Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior", "Behavioral category", "Behavior type",
        "Time", "Media file name", "Image index", "Image file path", "Comment",
    ]  # fmt: skip
    assert len(rows) == 6
    date = rows[0][1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", date)
    fixed = ["take 1", date, "background: idle", "2.000", "Media file(s)", "player #1:clips/take 1.mp4", "0.0", "2.000",
             "25.000", ""]  # fmt: skip
    assert rows[0] == [*fixed, "stir", "", "START", "0.400", "clips/take 1.mp4", "10", "NA", "confidence 0.25"]
    assert rows[3] == [*fixed, "pour", "", "STOP", "1.800", "clips/take 1.mp4", "45", "NA", ""]
    assert b"\r" not in (tmp_path / "x.boris.tsv").read_bytes()


def test_a_via_project(tmp_path):
    before = int(1000 * time.time())
    found = tree(save(VIDEO, tmp_path / "x.via.json"))
    assert before <= found["project"].pop("created") <= int(1000 * time.time())
    assert found == {
        "project": {
            "pid": "__VIA_PROJECT_ID__",
            "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
            "pname": "take 1",
            "creator": "fact-clip",
            "data_format_version": "3.1.1",
            "vid_list": ["1"],
        },
        "config": {
            "file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}},
            "ui": {
                "file_content_align": "center",
                "file_metadata_editor_visible": True,
                "spatial_metadata_editor_visible": False,
                "temporal_segment_metadata_editor_visible": True,
                "spatial_region_label_attribute_id": "",
                "gtimeline_visible_row_count": "4",
            },
        },
        "attribute": {
            "1": {
                "aname": "action",
                "anchor_id": "FILE1_Z2_XY0",
                "type": 4,
                "desc": "background: idle",
                "options": {"pour": "pour", "stir": "stir"},
                "default_option_id": "",
            },
            "2": {
                "aname": "confidence",
                "anchor_id": "FILE1_Z2_XY0",
                "type": 1,
                "desc": "",
                "options": {},
                "default_option_id": "",
            },
        },
        "file": {"1": {"fid": "1", "fname": "take 1.mp4", "type": 4, "loc": 1, "src": "clips/take 1.mp4"}},
        "metadata": {
            "1_segment0": {"vid": "1", "flg": 0, "z": [0.4, 1.0], "xy": [], "av": {"1": "stir", "2": "0.25"}},
            "1_segment1": {"vid": "1", "flg": 0, "z": [1.0, 1.8], "xy": [], "av": {"1": "pour"}},
            "1_segment2": {"vid": "1", "flg": 0, "z": [1.8, 2.0], "xy": [], "av": {"1": "stir", "2": "1.0"}},
        },
        "view": {"1": {"fid_list": ["1"]}},
    }


def test_a_task_of_label_studio(tmp_path):
    def region(number: int, start: int, end: int, label: str, **score: float) -> dict[str, Any]:
        return {
            "id": f"segment-{number}",
            "type": "timelinelabels",
            "from_name": "action",
            "to_name": "video",
            "value": {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]},
            **score,
        }

    result = [region(0, 11, 25, "stir", score=0.25), region(1, 26, 45, "pour"), region(2, 46, 50, "stir", score=1.0)]
    assert tree(save(VIDEO, tmp_path / "x.label-studio.json")) == [
        {
            "data": {"video": "clips/take 1.mp4", "fps": 25.0, "background": "idle"},
            "predictions": [{"model_version": "fact-clip", "score": 0.625, "result": result}],
        }
    ]


def test_a_document_of_elan(tmp_path):
    eaf = Eaf(save(VIDEO, tmp_path / "x.eaf"))
    assert list(eaf.get_tier_names()) == ["action", "confidence"]
    assert eaf.adocument["AUTHOR"] == "fact-clip"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", eaf.adocument["DATE"])
    assert eaf.get_annotation_data_for_tier("action") == [
        (400, 1000, "stir"),
        (1000, 1800, "pour"),
        (1800, 2000, "stir"),
    ]
    below = [(start, stop, value) for start, stop, value, _ in eaf.get_ref_annotation_data_for_tier("confidence")]
    assert below == [(400, 1000, "0.25"), (1800, 2000, "1.0")]
    assert eaf.get_parameters_for_tier("confidence")["PARENT_REF"] == "action"
    kind = eaf.linguistic_types[eaf.get_parameters_for_tier("confidence")["LINGUISTIC_TYPE_REF"]]
    assert (kind["CONSTRAINTS"], kind["TIME_ALIGNABLE"]) == ("Symbolic_Association", "false")
    assert dict(eaf.properties)["background"] == "idle"
    (link,) = eaf.get_linked_files()
    assert (link["MEDIA_URL"], link["RELATIVE_MEDIA_URL"], link["MIME_TYPE"]) == (
        "take 1.mp4", "./take 1.mp4", "video/mp4",
    )  # fmt: skip


def test_subtitles_and_label_tracks(tmp_path):
    texts = {ending: save(VIDEO, tmp_path / f"x{ending}").read_bytes().decode() for ending in (".vtt", ".srt", ".rttm")}
    assert texts[".vtt"] == (
        "WEBVTT - clips/take 1.mp4\n\nNOTE confidence 0.25\n\n00:00:00.400 --> 00:00:01.000\nstir\n\n"
        "00:00:01.000 --> 00:00:01.800\npour\n\nNOTE confidence 1.0\n\n00:00:01.800 --> 00:00:02.000\nstir\n"
    )
    assert texts[".srt"] == (
        "1\n00:00:00,400 --> 00:00:01,000\nstir\n\n2\n00:00:01,000 --> 00:00:01,800\npour\n\n"
        "3\n00:00:01,800 --> 00:00:02,000\nstir\n"
    )
    assert texts[".rttm"] == (
        "SPEAKER take_1 1 0.400000 0.600000 <NA> <NA> stir 0.25 <NA>\n"
        "SPEAKER take_1 1 1.000000 0.800000 <NA> <NA> pour <NA> <NA>\n"
        "SPEAKER take_1 1 1.800000 0.200000 <NA> <NA> stir 1.0 <NA>\n"
    )
    audacity = save(VIDEO, tmp_path / "x.audacity.txt").read_bytes().decode()
    assert audacity == "0.400000\t1.000000\tstir\n1.000000\t1.800000\tpour\n1.800000\t2.000000\tstir\n"


def test_marks_of_webvtt_are_escaped(tmp_path):
    text = save(Segmentation((Segment(0, 5, "a & b <c> --> d"),), 5.0, media="x --> y"), tmp_path / "a.vtt").read_text()
    assert text == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na &amp; b &lt;c&gt; --&gt; d\n"


def test_clocks_of_subtitles_count_minutes_and_hours(tmp_path):
    """Ends at 59.999 s, 1 min 0.061 s, 1 h 0 min 59.5 s and 101 h 1 min 1 s, by frame times."""
    ends = (0.0, 59.999, 60.061, 3659.5, 363661.0)
    video = Segmentation.from_frames(["a", "b", "c", "d"], times=ends)
    shown = ["00:00:00.000", "00:00:59.999", "00:01:00.061", "01:00:59.500", "101:01:01.000"]
    lines = [line for line in save(video, tmp_path / "a.vtt").read_text().splitlines() if "-->" in line]
    assert lines == [f"{start} --> {stop}" for start, stop in pairwise(shown)]


def test_a_timeline(tmp_path):
    timeline = opentimelineio.adapters.read_from_file(str(save(VIDEO, tmp_path / "x.otio")))
    (track,) = timeline.tracks
    assert (timeline.name, track.name, track.kind) == ("take 1", "action", "Video")
    gap, *clips = track
    assert (gap.duration().value, gap.duration().rate) == (2, 5)
    found = [(clip.name, clip.source_range.start_time.value, clip.source_range.duration.value) for clip in clips]
    assert found == [("stir", 2, 3), ("pour", 5, 4), ("stir", 9, 1)]
    assert {clip.media_reference.target_url for clip in clips} == {"clips/take 1.mp4"}
    assert [dict(clip.metadata.get("fact_clip", {})) for clip in clips] == [
        {"confidence": 0.25},
        {},
        {"confidence": 1.0},
    ]


def test_files_are_in_utf_8_and_names_as_they_are(tmp_path):
    video = Segmentation((Segment(0, 5, "Käse → schneiden"),), 5.0)
    for ending in (".csv", ".json", ".jsonl", ".txt", ".vtt", ".srt", ".boris", ".boris.tsv", ".label-studio.json",
                   ".via.json", ".audacity.txt", ".otio"):  # fmt: skip
        assert "Käse → schneiden".encode() in save(video, tmp_path / f"x{ending}").read_bytes()


def test_what_no_background_leaves_empty(tmp_path):
    video = Segmentation((Segment(0, 5, "a"),), 5.0)
    (observation,) = tree(save(video, tmp_path / "x.boris"))["observations"].values()
    via = save(video, tmp_path / "x.via.json")
    assert observation["description"] == tree(via)["attribute"]["1"]["desc"] == ""
    assert via.read_text().startswith('{\n "project": {\n  "pid"')
    assert save(video, tmp_path / "x.json").read_text().startswith('{\n  "fps": 5.0,')


def test_a_segment_shorter_than_a_picture_is_one_picture(tmp_path):
    video = Segmentation((Segment(0, 1, "a"), Segment(1, 100, "b")), 100.0, video_fps=5.0)
    (task,) = tree(save(video, tmp_path / "x.label-studio.json"))
    ranges = [region["value"]["ranges"] for region in task["predictions"][0]["result"]]
    assert ranges == [[{"start": 1, "end": 1}], [{"start": 1, "end": 5}]]


def test_a_film_of_another_kind_is_linked_as_unknown(tmp_path):
    eaf = Eaf(save(Segmentation((Segment(0, 5, "a"),), 5.0, media="a.xyz"), tmp_path / "x.eaf"))
    assert eaf.get_linked_files()[0]["MIME_TYPE"] == "unknown"
