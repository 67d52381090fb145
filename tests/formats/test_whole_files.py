"""The files of tools key by key, as their programs write and read them; only dates are open."""

from __future__ import annotations

import json
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
from pympi.Elan import Eaf

from fact_clip.core import Segment, Segmentation
from fact_clip.formats import FORMATS, save

# idle 0 to 2, stir 2 to 5, pour 5 to 9, stir 9 to 10; five frames a second, 25 pictures a second
VIDEO = Segmentation(
    (Segment(0, 2, "idle", 0.5), Segment(2, 5, "stir", 0.25), Segment(5, 9, "pour"), Segment(9, 10, "stir", 1.0)),
    fps=5.0,
    video_fps=25.0,
    media="clips/take 1.mp4",
    background=("idle",),
)
GOLDEN = Path(__file__).parent / "golden"
ENDINGS = [known.ending for known in FORMATS.values() if known.ending not in (".eaf", ".nwb")]  # made by libraries
DATES = r'"created": \d+|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d'


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_is_written_key_by_key_as_its_tool_writes_it(ending, tmp_path):
    """Read and tried in the tools themselves; ``FACT_CLIP_UPDATE=1`` writes `golden/` again."""
    text = save(VIDEO, tmp_path / f"take{ending}").read_bytes().decode()
    text = re.sub(DATES, "DATE", text)
    path = GOLDEN / f"take{ending}"
    if os.environ.get("FACT_CLIP_UPDATE"):
        path.write_bytes(text.encode())
    assert text == path.read_bytes().decode()


def test_a_document_of_elan(tmp_path):
    eaf = Eaf(save(VIDEO, tmp_path / "x.eaf"))
    assert list(eaf.get_tier_names()) == ["action", "confidence"]
    assert eaf.adocument["AUTHOR"] == "fact-clip"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", eaf.adocument["DATE"])
    kind = eaf.linguistic_types[eaf.get_parameters_for_tier("confidence")["LINGUISTIC_TYPE_REF"]]
    assert (kind["CONSTRAINTS"], kind["TIME_ALIGNABLE"]) == ("Symbolic_Association", "false")
    assert dict(eaf.properties)["background"] == "idle"
    (link,) = eaf.get_linked_files()
    assert (link["MEDIA_URL"], link["RELATIVE_MEDIA_URL"], link["MIME_TYPE"]) == (
        "take 1.mp4", "./take 1.mp4", "video/mp4",
    )  # fmt: skip


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


def test_files_are_in_utf_8_and_names_as_they_are(tmp_path):
    video = Segmentation((Segment(0, 5, "Käse → schneiden"),), 5.0)
    for ending in (".csv", ".json", ".jsonl", ".txt", ".vtt", ".srt", ".boris", ".label-studio.json",
                   ".via.json", ".frames.csv"):  # fmt: skip
        assert "Käse → schneiden".encode() in save(video, tmp_path / f"x{ending}").read_bytes()


def test_a_segment_shorter_than_a_picture_is_one_picture(tmp_path):
    video = Segmentation((Segment(0, 1, "a"), Segment(1, 100, "b")), 100.0, video_fps=5.0)
    (task,) = json.loads(save(video, tmp_path / "x.label-studio.json").read_text())
    ranges = [region["value"]["ranges"] for region in task["predictions"][0]["result"]]
    assert ranges == [[{"start": 1, "end": 1}], [{"start": 1, "end": 5}]]


def test_a_film_of_another_kind_is_linked_as_unknown(tmp_path):
    eaf = Eaf(save(Segmentation((Segment(0, 5, "a"),), 5.0, media="a.xyz"), tmp_path / "x.eaf"))
    assert eaf.get_linked_files()[0]["MIME_TYPE"] == "unknown"
