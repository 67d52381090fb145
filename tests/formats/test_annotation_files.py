"""Annotation files of tools and tables: read right, or refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pympi.Elan import Eaf, to_eaf

from fact_clip.core import Segment, Segmentation
from fact_clip.core.clock import Clock
from fact_clip.formats import READERS, save
from fact_clip.formats.base import Options, video_name
from fact_clip.formats.gaps import to_frames

from ..refusals import refused

VIDEO = Segmentation(
    (
        Segment(0, 7, "no action", 0.5),
        Segment(7, 8, "take"),
        Segment(8, 40, "pour, milk", 1 / 3),
        Segment(40, 44, "pour, milk"),
    ),
    fps=29.97,
    media="clips/take 1.mp4",
)


def spans(path: Path, kind: str, **options: Any) -> dict[str, list[tuple[float, float, str]]]:
    found = READERS[kind](path, Options(**options))
    return {each.name: [(span.start, span.stop, span.label) for span in each.spans] for each in found}


@pytest.mark.parametrize(
    ("kind", "ending", "name"),
    [
        ("eaf", ".eaf", "x"),  # named by the file, as a document may link several media
        ("boris", ".boris", "take 1"),
        ("via", ".via.json", "take 1"),
        ("label-studio", ".label-studio.json", "take 1"),
        ("nwb", ".nwb", "x"),
        ("csv", ".csv", "x"),
        ("binary.csv", ".binary.csv", "x"),
    ],
)
def test_what_was_exported_comes_back_frame_by_frame(kind, ending, name, tmp_path, caplog):
    path = save(VIDEO, tmp_path / f"x{ending}")
    (annotation,) = READERS[kind](path, Options())
    assert annotation.path == path
    frames = to_frames(annotation, Clock(fps=29.97), "-")
    assert annotation.name == name
    assert (frames.labels, frames.gaps, frames.contested) == (VIDEO.to_frames(), 0, 0)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{path}: nobody has annotated 1 of 1 tasks, so predictions are read"] * (kind == "label-studio")


def test_subtitles_of_ten_hours_come_back(tmp_path):
    long = Segmentation((Segment(0, 35_999, "walk"), Segment(35_999, 36_001, "a"), Segment(36_001, 400_000, "b")), 1.0)
    for kind in ("vtt", "srt"):
        times = [(span[0], span[1]) for span in spans(save(long, tmp_path / f"x.{kind}"), kind)["x"]]
        assert times == [(0, 35_999), (35_999, 36_001), (36_001, 400_000)]


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_a_cue_ends_where_the_next_one_begins(kind, tmp_path):
    path = tmp_path / f"x.{kind}"
    path.write_text("1\n00:01.000 --> 00:02.500\npour\n2\n00:02.500 --> 00:04.000\nstir\nslowly\n")
    assert spans(path, kind) == {"x": [(1, 2.5, "pour"), (2.5, 4, "stir slowly")]}


def test_every_kind_is_tested_here():
    assert set(READERS) == {
        *("eaf", "boris", "via", "label-studio", "csv", "binary.csv", "epic", "vtt", "srt", "nwb"),
    }


def test_eaf_of_pympi(tmp_path):
    eaf = Eaf()
    eaf.add_tier("left hand")
    eaf.add_annotation("left hand", 1200, 3400, " grasp ")
    eaf.add_annotation("left hand", 500, 900, "move <ü>")
    to_eaf(tmp_path / "P1.eaf", eaf)
    assert spans(tmp_path / "P1.eaf", "eaf") == {"P1": [(1.2, 3.4, "grasp"), (0.5, 0.9, "move <ü>")]}
    eaf.add_tier("right hand")
    to_eaf(tmp_path / "P1.eaf", eaf)
    assert spans(tmp_path / "P1.eaf", "eaf", tier="right hand") == {"P1": []}
    eaf.add_annotation("right hand", 0, 100, "hold")
    to_eaf(tmp_path / "P2.eaf", eaf)
    assert spans(tmp_path / "P2.eaf", "eaf", tier="right hand") == {"P2": [(0.0, 0.1, "hold")]}
    with refused("P2.eaf"):
        spans(tmp_path / "P2.eaf", "eaf")
    with refused("P2.eaf"):
        spans(tmp_path / "P2.eaf", "eaf", tier="both")


def test_an_empty_tier_of_ours_is_not_replaced_by_remarks(tmp_path, caplog):
    background = replace(Segmentation.from_frames(["idle"] * 9, 5.0), background=("idle",))
    eaf = Eaf(str(save(background, tmp_path / "a.eaf")))
    eaf.add_tier("remarks")
    eaf.add_annotation("remarks", 0, 400, "camera moved")
    to_eaf(tmp_path / "a.eaf", eaf)
    assert spans(tmp_path / "a.eaf", "eaf") == {"a": []}
    assert "'remarks' are left out" in caplog.text


def project(events: list[list[Any]], **observation: Any) -> str:
    behaviours = {"0": {"code": "eat", "type": "State event"}, "1": {"code": "call", "type": "Point event"}}
    coded = {"events": events, "file": {"1": ["/data/cam.one.mp4"], "2": []}, **observation}
    found = {"before": {}, "obs 1": coded, "later": {}}
    return json.dumps({"behaviors_conf": behaviours, "observations": found})


def test_boris_project(tmp_path):
    path = tmp_path / "p.boris"
    events = [[1.5, "", "eat", "fast|None", ""], [2.0, "", "call", "None", ""], [4.25, "", "eat", "fast|None", ""]]
    events += [[5, "", "eat", "", ""], [5, "", "eat", "fast|nuts"], [6, "", "eat", "fast|nuts"], [7, "", "eat", None]]
    path.write_text(project(events, media_info={"length": {"/data/cam.one.mp4": 9.5}}))
    (annotation,) = READERS["boris"](path, Options())
    assert (annotation.name, annotation.end) == ("cam.one", 9.5)
    eaten = [(1.5, 4.25, "eat fast"), (5, 6, "eat fast nuts"), (5, 7, "eat")]
    assert [(span.start, span.stop, span.label) for span in annotation.spans] == eaten
    assert sorted(spans(path, "boris", instants=True)["cam.one"]) == [eaten[0], (2, 2, "call"), *eaten[1:]]
    path.write_text(
        project([[1, "A", "eat"], [2, "B", "eat"], [3, "A", "eat"], [4, "B", "eat"]], file={"1": ["a", "b"]})
    )
    assert spans(path, "boris", tier="B") == {"obs 1": [(2, 4, "eat")]}
    with refused("p.boris, observation 'obs 1'"):
        spans(path, "boris")


def test_boris_aggregated_events_after_lines_of_its_own(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text(
        "Observation id;x\nBORIS;8\nObservation id;Subject;Behavior;Behavior type;Start (s);Stop (s);Media file name\n"
        "x;No focal subject;eat;STATE;0.5;2.25;d/a.avi\nx;No focal subject;call;POINT;1;1;d/a.avi\n"
    )
    assert spans(path, "boris") == {"a": [(0.5, 2.25, "eat")]}
    assert spans(path, "boris", instants=True) == {"a": [(0.5, 2.25, "eat"), (1, 1, "call")]}


def test_a_video_of_a_boris_table_without_the_subject_is_named(tmp_path):
    path = tmp_path / "e.tsv"
    path.write_text(
        "Subject\tBehavior\tBehavior type\tTime\tMedia file name\n"
        "A\teat\tSTART\t1\ta.mp4\nA\teat\tSTOP\t2\ta.mp4\nB\teat\tSTART\t1\tb.mp4\nB\teat\tSTOP\t2\tb.mp4\n"
    )
    with refused("e.tsv"):
        spans(path, "boris", tier="A")


def test_modifiers_of_a_boris_table(tmp_path):
    path = tmp_path / "e.tsv"
    path.write_text(
        "Subject\tBehavior\tBehavior type\tTime\tModifier #1\tModifier #2\n"
        "\teat\tSTART\t1\tfast\tNone\n\teat\tSTOP\t2\tfast\tNone\n\tcall\tPOINT\t3\t\t\n"
    )
    assert spans(path, "boris", instants=True) == {"e": [(1, 2, "eat fast"), (3, 3, "call")]}


@pytest.mark.parametrize(
    ("columns", "cells", "name"),
    [
        ("Media file name\tMedia file path\tObservation id", "d/a.avi\tb.avi\tc", "a"),
        ("Media file name\tMedia file path\tMedia file", "\tC:\\d\\b.avi\tc.avi", "b"),
        ("Media file\tObservation id", "c.avi\tx", "c"),
        ("Media file\tObservation id", "\td.e", "d.e"),
        ("Description", "background: idle", "p.x"),
    ],
)
@pytest.mark.parametrize("subject", ["", "me"])
def test_boris_events_name_their_video(columns, cells, name, subject, tmp_path):
    """Pairs of START and STOP are told by their order; a point event is none of them. Not every table has subjects."""
    path = tmp_path / "p.x.tsv"
    header, left = (f"{columns}\tSubject", f"{cells}\t{subject}") if subject else (columns, cells)
    rows = [(1.5, "'=eat", "State"), (2, "call", "point"), (4.25, "'=eat", "")]
    lines = [f"{left}\t{time}\t{code}\t{kind}\n" for time, code, kind in rows]
    path.write_text(f"{header}\tTime\tBehavior\tStatus\n" + "".join(lines))
    (annotation,) = READERS["boris"](path, Options(tier=subject or None))
    assert (annotation.name, annotation.unit, annotation.path) == (name, "seconds", path)
    assert annotation.background == ("idle" if columns == "Description" else None)
    assert [(span.start, span.stop, span.label) for span in annotation.spans] == [(1.5, 4.25, "=eat")]


def test_epic_by_name_and_by_number(tmp_path):
    path, verbs, nouns = (tmp_path / f"{name}.csv" for name in ("epic", "verbs", "nouns"))
    path.write_text(f"{EPIC}P1,00:00:01.5,2.25,0,4\nP2,0,1,1,0\nP1,00:01:00,61,1,4\n")
    verbs.write_text("id,key\n0,take\n1,put\n")
    nouns.write_text("id,key,extra\n4,cup,x\n0,lid,y\n")
    assert spans(path, "epic", verbs=verbs, nouns=nouns) == {
        "P1": [(1.5, 2.25, "take,cup"), (60.0, 61.0, "put,cup")],
        "P2": [(0.0, 1.0, "put,lid")],
    }
    assert spans(path, "epic") == {"P1": [(1.5, 2.25, "0,4"), (60.0, 61.0, "1,4")], "P2": [(0.0, 1.0, "1,0")]}
    assert {(each.unit, each.path) for each in READERS["epic"](path, Options())} == {("seconds", path)}
    path.write_text(f"{EPIC}P,0,1,0,3\n")
    with refused("epic.csv:2"):
        spans(path, "epic", verbs=verbs, nouns=nouns)


def test_label_studio_in_frames_and_in_seconds_is_refused(tmp_path):
    sound = {"from_name": "tl", "value": {"start": 0.25, "end": 1.5, "labels": ["talk"]}}
    path = tmp_path / "ls.json"
    path.write_text(
        json.dumps([{"id": 7, "data": {"video": "a.mp4"}, "annotations": [{"result": [region(1, 9, "x"), sound]}]}])
    )
    with refused("ls.json, task 7"):
        spans(path, "label-studio")


def test_via_with_numbered_options_and_other_metadata(tmp_path):
    tree = {
        "attribute": {
            "1": {
                "aname": "TEMPORAL-SEGMENTS",
                "anchor_id": "FILE1_Z2_XY0",
                "type": 4,
                "options": {"0": "cut", "1": "mix"},
            },
            "2": {"aname": "box", "anchor_id": "FILE1_Z1_XY1", "type": 1, "options": {}},
        },
        "file": {"7": {"fid": "7", "fname": "https://x.org/v/b.mp4?t=1"}},
        "view": {"3": {"fid_list": ["7"]}},
        "metadata": {
            "3_a": {"vid": "3", "z": [1.5, 2], "xy": [], "av": {"1": "1"}},
            "3_b": {"vid": "3", "z": [1.5], "xy": [2, 1, 1, 1, 1], "av": {"2": "x"}},
            "3_c": {"vid": "3", "z": [0, 1.5], "xy": [], "av": {"1": "own word"}},
        },
    }
    (tmp_path / "v.json").write_text(json.dumps(tree))
    assert spans(tmp_path / "v.json", "via") == {"b": [(1.5, 2.0, "mix"), (0.0, 1.5, "own word")]}


def via_project(metadata: Any, **file: Any) -> str:
    attribute = {"aname": "a", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}}
    tree = {
        "attribute": {"1": attribute},
        "file": {"1": {"fname": "v.mp4", **file}},
        "view": {"1": {"fid_list": ["1"]}},
    }
    return json.dumps({**tree, "metadata": metadata})


def test_via_segments_without_times_or_the_attribute(tmp_path):
    path = tmp_path / "v.json"
    good = {"vid": "1", "z": ["1", 2.5], "av": {"1": "cut"}}
    others = {
        "b": {"vid": "1", "av": {"1": "x"}},
        "c": {"vid": "1", "av": {"2": "x"}},
        "d": {"z": [1], "av": {"1": "x"}},
    }
    path.write_text(via_project({"a": good, **others, "e": {"vid": "1", "z": [3, 4], "av": {"2": "x"}}}))
    (annotation,) = READERS["via"](path, Options())
    assert [(span.start, span.stop, span.label) for span in annotation.spans] == [(1, 2.5, "cut")]
    assert (annotation.name, annotation.unit, annotation.path) == ("v", "seconds", path)
    path.write_text(via_project(others))
    with refused("v.json"):
        spans(path, "via")
    path.write_text(via_project({"a": {**good, "z": [1, "x"]}}))
    with refused("v.json, metadata.a.z.1"):
        spans(path, "via")


def region(start: int, end: int, label: str) -> dict[str, Any]:
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}
    return {"id": "r", "from_name": "tl", "type": "timelinelabels", "value": value}


def test_label_studio_takes_the_last_answer(tmp_path):
    answers = [
        {"result": [region(1, 9, "old")]},
        {"result": [region(1, 5, "new")]},
        {"result": [], "was_cancelled": True},
    ]
    first = {"video": "/data/upload/1/0a1b2c3d-cam_1.mp4"}
    tasks = [
        {"data": first, "annotations": answers, "predictions": [{"result": []}]},
        {"data": {"video": "todo.mp4"}, "annotations": []},
    ]
    path = tmp_path / "ls.json"
    path.write_text(json.dumps(tasks))
    (annotation,) = READERS["label-studio"](path, Options(fps=25.0))
    assert (annotation.name, annotation.unit, annotation.fps) == ("cam_1", "frames", 25.0)
    assert [(span.start, span.stop, span.label) for span in annotation.spans] == [(0, 5, "new")]


def test_label_studio_names_of_uploads_and_regions_of_other_kinds(tmp_path):
    box = {"from_name": "box", "value": {"x": 1, "labels": ["cup"]}}
    task = {"id": 12, "file_upload": "0a1b2c3d-t.json", "data": {"video": "up.mp4", "fps": 10}, "annotations": [
        {"result": [box, region(3, 4, "cut")]}]}  # fmt: skip
    path = tmp_path / "ls.json"
    path.write_text(json.dumps([task]))
    (annotation,) = READERS["label-studio"](path, Options())
    assert (annotation.name, annotation.fps, annotation.background) == ("up", 10, None)
    assert [(span.start, span.stop, span.label) for span in annotation.spans] == [(2, 4, "cut")]
    broken = {"id": "r7", "from_name": "tl", "value": {"ranges": [{"start": 3}], "timelinelabels": ["x"]}}
    path.write_text(json.dumps([{**task, "annotations": [{"result": [broken]}]}]))
    with refused("ls.json, 0.annotations.0.result.0.value.ranges.0.end"):
        spans(path, "label-studio")


def test_an_empty_answer_of_label_studio_has_no_segments(tmp_path):
    path = tmp_path / "ls.json"
    tasks = [{"data": {"video": name, "fps": 5}, "annotations": [{"result": result}]} for name, result in
             (("a.mp4", []), ("b.mp4", [region(3, 4, "cut")]))]  # fmt: skip
    path.write_text(json.dumps(tasks))
    assert spans(path, "label-studio") == {"a": [], "b": [(2, 4, "cut")]}


def test_label_studio_labels_on_the_sound(tmp_path):
    sound = {"from_name": "s", "value": {"start": 0.25, "end": 1.5, "labels": ["talk"]}}
    path = tmp_path / "ls.json"
    path.write_text(json.dumps([{"data": {"video": "a.mp4"}, "annotations": [{"result": [sound]}]}]))
    (annotation,) = READERS["label-studio"](path, Options())
    assert (annotation.unit, annotation.spans[0].start, annotation.spans[0].stop) == ("seconds", 0.25, 1.5)


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("start,stop,label\n0,1.5,a\n", {"unit": "seconds"}, {"x": [(0, 1.5, "a")]}),
        ('start;stop;label\n0;1;"a;b"\n\n', {"unit": "frames"}, {"x": [(0, 1, "a;b")]}),
        ("\ufeffstart_seconds\tstop_seconds\taction\r\n00:01:00.5\t1:02\ta\r\n", {}, {"x": [(60.5, 62, "a")]}),
        ("video,start_frame,stop_frame,label\nb/u.mp4,0,9,a\nv,3,4,b\nb/u.mp4,9,10,c\n", {},
         {"u": [(0, 9, "a"), (9, 10, "c")], "v": [(3, 4, "b")]}),
        ("start,stop,start_seconds,stop_seconds,label,confidence\n0,3,,,a,\n", {}, {"x": [(0, 3, "a")]}),
    ],
)  # fmt: skip
def test_csv(text, options, expected, tmp_path):
    (tmp_path / "x.csv").write_bytes(text.encode())
    assert spans(tmp_path / "x.csv", "csv", **options) == expected


@pytest.mark.parametrize(
    ("unit", "times"), [(None, ("seconds", 1, 2)), ("seconds", ("seconds", 1, 2)), ("frames", ("frames", 10, 20))]
)
def test_csv_with_several_kinds_of_times(unit, times, tmp_path):
    """Seconds come first unless frames are asked for, which alone have a rate."""
    path = tmp_path / "x.csv"
    path.write_text("start_seconds,stop_seconds,start_frame,stop_frame,start,stop,label\n1,2,10,20,5,6,a\n")
    fps = 12.5 if unit == "frames" else None
    (annotation,) = READERS["csv"](path, Options(unit=unit, fps=fps))
    found = (annotation.unit, annotation.spans[0].start, annotation.spans[0].stop)
    assert (found, annotation.fps, annotation.path, annotation.name) == (times, fps, path, "x")
    if fps is None:
        with refused("--source-fps"):
            READERS["csv"](path, Options(unit=unit, fps=12.5))


def test_csv_of_seconds_beside_frame_numbers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("start_frame,stop_frame,start,stop,label\n10,20,5,6,a\n")
    assert spans(path, "csv", unit="seconds") == {"x": [(5, 6, "a")]}
    assert spans(path, "csv") == {"x": [(10, 20, "a")]}


EPIC_COLUMNS = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
EPIC_VERBS = ("take", "put", "turn-on", "wash", "open")
EPIC_NOUNS = ("plate", "cup:measuring", "tap", "drawer", "spoon")


def write_epic(folder: Path, segments: dict[str, list[tuple[int, int, int, int]]]) -> Options:
    """Write made-up files in the form of EPIC-KITCHENS-100: segments (start and stop in 1/100 s, verb, noun).

    The rows of a video are not in one piece, as in the published file.
    """

    def timestamp(hundredths: int) -> str:
        seconds = hundredths // 100
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{hundredths % 100:02}"

    rows = []
    for video, values in segments.items():
        for number, (start, stop, verb, noun) in enumerate(values):
            verb_name, noun_name = EPIC_VERBS[verb], EPIC_NOUNS[noun]
            times = f"{timestamp(start)},{timestamp(start)},{timestamp(stop)},{start * 6 // 10},{stop * 6 // 10}"
            names = f"{verb_name} {noun_name},{verb_name},{verb},{noun_name},{noun},['{noun_name}'],[{noun}]"
            rows.append((number, f"{video}_{number},{video[:3]},{video},{times},{names}"))
    lines = [EPIC_COLUMNS, *(row for _, row in sorted(rows))]
    (folder / "segments.csv").write_text("\n".join(lines) + "\n")
    classes = {"verbs": EPIC_VERBS, "nouns": EPIC_NOUNS}
    for kind, names in classes.items():
        quoted = '"id","key","instances","category"' if kind == "nouns" else "id,key,instances,category"
        table = [f"{index},{name},\"['{name}', 'other-{name}']\",kind" for index, name in enumerate(names)]
        (folder / f"{kind}.csv").write_text("\n".join([quoted, *table]) + "\n")
    return Options(**{kind: folder / f"{kind}.csv" for kind in classes})


def test_epic_segments_overlap(tmp_path):
    rng = np.random.default_rng(0)
    segments = {"P01_11": [(0, 189, 0, 0), (156, 245, 1, 0)]}
    for video in ("P01_11", "P01_12", "P30_101"):
        start = 5000
        for _ in range(300):
            stop = start + int(rng.integers(20, 900))
            pair = int(rng.integers(5)), int(rng.integers(5))
            segments.setdefault(video, []).append((start, stop, *pair))
            start = max(0, stop + int(rng.integers(-250, 400)))
    options = write_epic(tmp_path, segments)
    found = {each.name: each for each in READERS["epic"](tmp_path / "segments.csv", options)}
    assert {name: len(each.spans) for name, each in found.items()} == {"P01_11": 302, "P01_12": 300, "P30_101": 300}
    for name, values in segments.items():
        expected = [(start, stop, f"{EPIC_VERBS[verb]},{EPIC_NOUNS[noun]}") for start, stop, verb, noun in values]
        read = found[name].spans
        assert [(round(100 * span.start), round(100 * span.stop), span.label) for span in read] == expected
    frames = to_frames(found["P01_11"], Clock(fps=10), "background")
    # 1.56 and 1.89 are nearest to frames 16 and 19: three frames are claimed twice, the later segment has them
    assert frames.labels[:26] == ["take,plate"] * 16 + ["put,plate"] * 9 + ["background"]
    ends = [((start + 5) // 10, (stop + 5) // 10, pair) for start, stop, *pair in segments["P01_11"]]
    claims = [{(*pair,) for start, stop, pair in ends if start <= frame < stop} for frame in range(len(frames.labels))]
    assert frames.contested == sum(len(each) > 1 for each in claims) == 1133
    numbers = {each.name: each for each in READERS["epic"](tmp_path / "segments.csv", Options())}
    assert numbers["P01_11"].spans[1].label == "1,0"


def test_names_of_videos():
    given = ("a/b.c.mp4", "C:\\x\\d.avi", "https://h/p/e.mp4?x=/y", "plain", ".hidden", "a/who? me.mp4")
    assert [video_name(text) for text in given] == ["b.c", "d", "e", "plain", ".hidden", "who? me"]


EPIC = "video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"
