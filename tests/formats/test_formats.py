"""Every format of the table, and what each promises."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.core import Segment, Segmentation
from fact_clip.core.segments import NewWord
from fact_clip.formats import FORMATS, format_called, load, save
from fact_clip.formats.times import rate_of

from ..refusals import refused

RATES = [6.0, 15.0, 24.0, 25.0, 29.97, 30.0, 59.94, 24000 / 1001, 30000 / 1001, 60000 / 1001, 1.0, 0.5, 12.5, 240.0]
POUR = Segmentation(
    (Segment(0, 3, "no action", 0.5), Segment(3, 4, 'pour "milk", cold'), Segment(4, 10, "pour", 1 / 3)), fps=6.0
)

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
field_rates = st.none() | st.sampled_from(RATES)
confidences = st.none() | st.floats(0, 1)


@st.composite
def segmentations(draw, labels=names, rates=field_rates):
    segments, start = [], 0
    for _ in range(draw(st.integers(1, 6))):
        stop = start + draw(st.integers(1, 2000))
        segments.append(Segment(start, stop, draw(labels), draw(confidences)))
        start = stop
    return Segmentation(tuple(segments), draw(rates))


def same(left: Segmentation, right: Segmentation) -> bool:
    """Equality with confidence, which segments leave out of theirs."""
    return left == right and [s.confidence for s in left] == [s.confidence for s in right]


@pytest.mark.parametrize("suffix", [known.ending for known in FORMATS.values()])
def test_every_format_leaves_one_whole_file(suffix, tmp_path):
    path = save(POUR, tmp_path / f"deep/er/video{suffix}")
    assert path == tmp_path / f"deep/er/video{suffix}"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
@given(segmentation=segmentations(labels=any_text))
def test_csv_json_and_jsonl_give_back_all(suffix, segmentation, tmp_path_factory):
    assert same(load(save(segmentation, tmp_path_factory.mktemp("round") / f"a{suffix}")), segmentation)


@given(segmentation=segmentations(rates=st.none()))
def test_txt_gives_back_the_frames(segmentation, tmp_path_factory):
    path = save(segmentation, tmp_path_factory.mktemp("round") / "a.txt")
    assert load(path) == Segmentation.from_frames(segmentation.to_frames())


@given(segmentation=segmentations(rates=st.floats(0.1, 300)))
def test_csv_seconds_survive_any_rate(segmentation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round")
    first = save(segmentation, folder / "a.csv")
    second = save(load(first), folder / "b.csv")
    assert first.read_bytes() == second.read_bytes()


def test_rates_behind_seconds_by_hand():
    assert rate_of([(0, 0.0), (3, 0.5)]) == 6
    assert rate_of([(0, 0.0)]) is None
    assert rate_of([(3, 0.0)]) is None
    assert rate_of([(1, 1001 / 24000), (7, 7 * 1001 / 24000)]) == 24000 / 1001
    assert rate_of([(3, 0.5), (6, 1.5)]) is None


def test_csv_without_rate_leaves_seconds_empty(tmp_path):
    text = save(Segmentation((Segment(0, 3, "a"),)), tmp_path / "a.csv").read_text()
    assert text.splitlines()[1] == "0,3,,,a,"


def test_lines_may_end_as_in_windows(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\r\na\r\nbX\r\n\r\n")
    assert load(tmp_path / "a.txt").to_frames() == ["a", "a", "bX"]


def test_json_keeps_new_words(tmp_path):
    word = NewWord("cut kiwi", "object", "kiwi", "apple", 0.75, far=False)
    path = save(replace(POUR, new_words=(word,)), tmp_path / "a.json")
    tree = json.loads(path.read_text())
    row = {"action": "cut kiwi", "slot": "object", "word": "kiwi", "nearest": "apple", "similarity": 0.75, "far": False}
    assert tree["new_words"] == [row]
    assert load(path).new_words == (word,)


def test_json_keeps_frame_times(tmp_path):
    video = Segmentation.from_frames(["a", "a", "b"], times=(0.0, 0.1, 0.5, 0.6))
    tree = json.loads(save(video, tmp_path / "a.json").read_text())
    assert [(entry["start_seconds"], entry["stop_seconds"]) for entry in tree["segments"]] == [(0.0, 0.5), (0.5, 0.6)]
    assert load(tmp_path / "a.json") == video
    assert load(save(video, tmp_path / "a.csv")) == Segmentation.from_frames(["a", "a", "b"])


@pytest.mark.parametrize(
    ("name", "ending"),
    [("csv", ".csv"), (".CSV", ".csv"), ("boris", ".boris"), ("via", ".via.json"),
     ("label-studio", ".label-studio.json"), ("txt", ".txt")],
)  # fmt: skip
def test_a_format_is_named_by_its_ending_or_its_tool(name, ending):
    assert format_called(name).ending == ending


def test_segmentation_saves_and_loads_itself(tmp_path):
    assert Segmentation.load(POUR.save(tmp_path / "a.JSON")) == load(tmp_path / "a.JSON") == POUR


HEADER = "start,stop,start_seconds,stop_seconds,label,confidence\n"


@pytest.mark.parametrize("ending", [".vtt", ".eaf", ".boris"])
def test_formats_without_frames_are_only_written(ending, tmp_path):
    with refused(f"a{ending}"):
        load(save(POUR, tmp_path / f"a{ending}"))


def test_seconds_by_hand_leave_the_rate_open(tmp_path, caplog):
    (tmp_path / "a.csv").write_text(HEADER + "0,3,0,1,a,\n3,6,1,5,b,\n")
    assert load(tmp_path / "a.csv").fps is None
    assert "frames and seconds disagree" in caplog.text


def test_seconds_that_a_spreadsheet_rounds_are_those_of_the_frames(tmp_path, caplog):
    (tmp_path / "a.csv").write_text(HEADER + "0,31,0,1.0333,a,\n31,64,1.0333,2.1333,b,\n64,64,2.13,2.13,c,\n")
    load(tmp_path / "a.csv")
    assert caplog.text == ""


def test_a_label_of_two_lines_has_no_place_in_txt(tmp_path):
    with refused("a.txt"):
        save(Segmentation((Segment(0, 1, "a\nb"),)), tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_lengths_that_disagree(tmp_path):
    path = tmp_path / "x.csv"
    save(Segmentation.from_frames(["a"] * 5, fps=2.5), path)
    with refused("x.csv"):
        load(path, n_frames=7)
    assert load(path, n_frames=5).n_frames == 5
    assert load(path, n_frames=7, background="b").to_frames() == ["a"] * 5 + ["b"] * 2
    path.write_text(HEADER + "0,3,,,a,\n2,5,,,b,\n")
    with refused("x.csv"):
        load(path, background="x")

    path = tmp_path / "x.json"
    path.write_text('{"fps":5,"n_frames":9,"segments":[{"start":0,"stop":2,"label":"a"}]}')
    with refused("x.json"):
        load(path)
    assert load(path, background="b").to_frames() == ["a"] * 2 + ["b"] * 7


def test_pictures_by_hand(tmp_path):
    """Rows at 2 a second of a film of 5 pictures a second: the change at 1 s is that of picture 5."""
    video = Segmentation((Segment(0, 2, "a", 0.5), Segment(2, 3, "=b", 1 / 3)), 2.0, video_fps=5.0)
    path = save(video, tmp_path / "x.frames.csv")
    rows = path.read_text().splitlines()
    assert rows[0] == "frame,seconds,label,confidence"
    assert rows[5:7] == ["4,0.8,a,0.5", "5,1.0,'=b,0.3333333333333333"]
    assert len(rows) == 1 + 8  # 1.5 s are 7.5 pictures
    by_row = save(replace(video, fps=None), tmp_path / "rows.frames.csv").read_text().splitlines()
    assert by_row[1:] == ["0,,a,0.5", "1,,a,0.5", "2,,'=b,0.3333333333333333"]


def test_json_has_a_version(tmp_path):
    path = save(POUR, tmp_path / "a.json")
    tree = json.loads(path.read_text())
    assert tree.pop("format") == 2
    path.write_text(json.dumps(tree))  # as other programs may write it
    assert load(path) == POUR
    for other in (1, 3, "1", True):
        path.write_text(json.dumps({"format": other, **tree}))
        with refused("a.json"):
            load(path)


def test_the_media_is_named_by_the_file_without_its_ending(tmp_path):
    for file in ("video1.json", "video1.x", "video1", "video1.VIA.json"):
        tree = json.loads(save(POUR, tmp_path / file, kind="via").read_text())
        assert tree["file"]["1"]["fname"] == "video1"


# --- the page -------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parents[2] / "docs/formats.md").read_text(encoding="utf-8")


def test_the_page_has_every_format():
    rows = re.findall(r"^\| (\S+) \| `(\.\S+)` \|", PAGE, re.M)
    assert rows == [(name, known.ending) for name, known in FORMATS.items()]
    explained = "\n".join(re.findall(r"^- (`.+?): ", PAGE, re.M) + re.findall(r"\. (`\S+`): ", PAGE))
    assert {name for name in FORMATS if f"`{name}`" in explained} == set(FORMATS)
