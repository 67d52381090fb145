"""Comments of segments travel in the formats that have a place for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pympi.Elan import Eaf, to_eaf

from fact_clip.core import Segment, Segmentation
from fact_clip.formats import FORMATS, READERS, load, save, save_tracks
from fact_clip.formats.base import Options

from ..refusals import refused

COMMENTS = [
    "Grüße, 手, 🙂",
    "she says \"stop\", twice; 'then' goes",
    "",
    "two\nlines, <b>&amp;</b>",
    "=1+1",
    "'=1",
    "confidence 0.5",
    "confidence 0.5; sure?",
    "fact-clip confidence 0.5; sure?",
    "fact-clip confidence unknown; x",
    "; a semicolon",
    "-",
]
KINDS = {
    ".csv": "csv",
    ".eaf": "eaf",
    ".nwb": "nwb",
    ".boris": "boris",
}
FRAMES = [".csv", ".json", ".jsonl"]


def video(comments: list[str], confidence: float | None = None) -> Segmentation:
    """A video with background before each action, which has the comment."""
    segments = []
    for index, comment in enumerate(comments):
        start = 10 * index
        segments.append(Segment(start, start + 4, "idle"))
        segments.append(Segment(start + 4, start + 10, "stir", confidence, comment))
    return Segmentation(tuple(segments), fps=25.0, media="take.mp4", background=("idle",))


def read(path: Path, ending: str, tier: str | None = None) -> list[str]:
    """The comments of the annotations of a file."""
    (annotation,) = READERS[KINDS[ending]](path, Options(tier=tier))
    return [span.comment for span in annotation.spans]


def test_a_comment_does_not_count_for_equality():
    assert Segment(0, 1, "a", None, "x") == Segment(0, 1, "a")
    assert hash(Segment(0, 1, "a", None, "x")) == hash(Segment(0, 1, "a"))
    with refused("segment 'a'"):
        Segment(0, 1, "a", None, None)


@pytest.mark.parametrize("ending", KINDS)
@pytest.mark.parametrize("confidence", [None, 1 / 3, 1e-05])
@pytest.mark.parametrize("comments", [COMMENTS, ["", "only here", ""], ["", ""]])
def test_comments_come_back_as_annotations(ending, confidence, comments, tmp_path):
    path = save(video(comments, confidence), tmp_path / f"take{ending}")
    assert read(path, ending) == comments


@pytest.mark.parametrize("ending", FRAMES)
@pytest.mark.parametrize("confidence", [None, 0.25])
def test_comments_come_back_with_the_frames(ending, confidence, tmp_path):
    original = video(COMMENTS, confidence)
    loaded = load(save(original, tmp_path / f"take{ending}"), background="idle")
    assert loaded == original
    assert [segment.comment for segment in loaded] == [segment.comment for segment in original]
    assert [segment.confidence for segment in loaded] == [segment.confidence for segment in original]


def test_files_without_comments_are_as_ever(tmp_path):
    path = save(video(["", ""]), tmp_path / "a.csv")
    header = "start,stop,start_seconds,stop_seconds,label,confidence,background,n_frames"
    assert path.read_text().splitlines()[0] == header
    for ending in (".json", ".jsonl", ".eaf"):
        assert b"comment" not in save(video([""]), tmp_path / f"a{ending}").read_bytes()
    tree = json.loads(save(video(["", "x"]), tmp_path / "a.json").read_text())
    assert [row.get("comment") for row in tree["segments"]] == [None, None, None, "x"]
    assert tree["format"] == 2


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_segments_with_comments(name, tmp_path):
    original = video(["a, b", ""])
    assert save(original, tmp_path / f"a{FORMATS[name].ending}").exists()


def test_a_row_of_the_csv_by_hand(tmp_path):
    path = save(video(["", 'a "b", c']), tmp_path / "a.csv")
    assert path.read_text().splitlines() == [
        "start,stop,start_seconds,stop_seconds,label,confidence,comment,background,n_frames",
        "4,10,0.16,0.4,stir,,,idle,20",
        '14,20,0.56,0.8,stir,,"a ""b"", c",idle,20',
    ]


def test_boris_has_the_comment_after_the_confidence(tmp_path):
    path = save(video(["sure", ""], 0.5), tmp_path / "a.boris")
    (observation,) = json.loads(path.read_text())["observations"].values()
    assert [event[4] for event in observation["events"]] == [
        "fact-clip confidence 0.5; sure",
        "",
        "fact-clip confidence 0.5",
        "",
    ]
    path = save(video(["sure"]), tmp_path / "a.boris")
    (observation,) = json.loads(path.read_text())["observations"].values()
    assert [event[4] for event in observation["events"]] == ["sure", ""]


def test_comments_of_boris_itself(tmp_path):
    events = [[1, "", "eat", "", "start", 25], [2, "", "eat", "", "stop"], [3, "", "eat", "", ""]]
    events += [[4, "", "eat", "", "confidence 0.5; really\r\nnot", "NA"], [5, "", "eat", "", None], [6, "", "eat"]]
    path = tmp_path / "p.boris"
    path.write_text(json.dumps({"observations": {"o": {"events": events}}}))
    assert read(path, ".boris") == ["start", "confidence 0.5; really\nnot", ""]
    path = tmp_path / "tabular.tsv"
    path.write_text("Time\tBehavior\tBehavior type\tComment\n1\teat\tSTART\t\n2\teat\tSTOP\tlate, x\n")
    assert read(path, ".boris") == ["late, x"]
    path = tmp_path / "aggregated.csv"
    path.write_text(
        "Behavior,Start (s),Stop (s),Comment start,Comment stop\neat,1,2,first,last\neat,3,4,,last\neat,5,6,,\n"
    )
    assert read(path, ".boris") == ["first", "last", ""]


TRACKS = {
    "main": video(["left, ü", "", "x"], 0.5),
    "right hand": video(["", "right; 手"]),
    "main comment": video(["of the track", ""], 0.25),
    "comment": video(["of another", "y"], 0.75),
}


@pytest.mark.parametrize("names", [["main", "right hand"], ["right hand", "main comment", "main", "comment"]])
def test_tracks_of_elan_have_their_own_comments(names, tmp_path):
    path = save_tracks({name: TRACKS[name] for name in names}, tmp_path / "a.eaf")
    for name in names:
        expected = [segment.comment for segment in TRACKS[name].foreground]
        assert read(path, ".eaf", name) == expected
    eaf = Eaf(path)
    assert eaf.get_parameters_for_tier("right hand comment")["PARENT_REF"] == "right hand"
    assert len(eaf.get_tier_names()) == len([*names]) + sum(
        1 + any(segment.confidence for segment in TRACKS[name]) for name in names
    )


def test_a_comment_that_xml_cannot_hold_is_refused(tmp_path):
    with refused("a.eaf"):
        save(video(["a\0b"]), tmp_path / "a.eaf")


@pytest.mark.parametrize(("tier", "kind"), [("Comments", "association"), ("notes", "Comment"), ("notes", "x")])
def test_a_tier_of_comments_in_elan(tier, kind, tmp_path):
    eaf = Eaf()
    eaf.remove_tier("default")
    eaf.add_tier("hands")
    eaf.add_annotation("hands", 0, 1000, "hold")
    eaf.add_annotation("hands", 1000, 2000, "cut")
    eaf.add_linguistic_type(kind, "Symbolic_Association", timealignable=False)
    eaf.add_tier(tier, kind, parent="hands")
    eaf.add_ref_annotation(tier, "hands", 1500, "slips; again")
    to_eaf(tmp_path / "a.eaf", eaf)
    assert read(tmp_path / "a.eaf", ".eaf") == ["", "" if kind == "x" else "slips; again"]


def test_nwb_has_a_column(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    path = save(video(["a", ""]), tmp_path / "x.nwb")
    with pynwb.NWBHDF5IO(path, "r") as file:
        table = file.read().intervals["action"].to_dataframe()
    assert list(table["comment"]) == ["a", ""]
    with pynwb.NWBHDF5IO(save(video([""]), tmp_path / "y.nwb"), "r") as file:
        assert "comment" not in file.read().intervals["action"].colnames


def test_segment_lists_of_other_programs_have_comments(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Start;Stop;Label;Comment\n0;1;stir;slow, then fast\n1;2;pour;\n")
    (annotation,) = READERS["csv"](path, Options(unit="seconds"))
    assert [span.comment for span in annotation.spans] == ["slow, then fast", ""]


def test_frames_have_no_comments(tmp_path):
    original = replace(video(["x"]), background=())
    assert not any(segment.comment for segment in load(save(original, tmp_path / "a.txt")))
