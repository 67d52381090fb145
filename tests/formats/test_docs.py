"""docs/formats.md shows what the formats write."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from fact_clip.core import Segment, Segmentation
from fact_clip.formats import FORMATS, save

DOC = Path(__file__).resolve().parents[2] / "docs/formats.md"
TAKE = Segmentation(
    (Segment(0, 2, "no action", 0.5), Segment(2, 5, "crack egg", 0.92), Segment(5, 9, "stir", 0.81)),
    fps=5.0,
    media="take.mp4",
)
ENDINGS = [known.ending for known in FORMATS.values() if known.is_installed]
TEXT = DOC.read_text(encoding="utf-8")


def test_the_table_has_every_format():
    rows = re.findall(r"^\| (\S+) \| `(\.\S+)` \|", TEXT, re.M)
    assert rows == [(name, known.ending) for name, known in FORMATS.items()]


def test_every_format_is_explained():
    explained = "\n".join(re.findall(r"^- (`.+?): ", TEXT, re.M) + re.findall(r"\. (`\S+`): ", TEXT))
    assert {name for name in FORMATS if f"`{name}`" in explained} == set(FORMATS)


@pytest.mark.parametrize("kind", ["csv", "srt", "rttm"])
def test_excerpts_are_what_is_written(kind, tmp_path):
    written = save(TAKE, tmp_path / f"take{FORMATS[kind].ending}").read_text(encoding="utf-8").splitlines()
    excerpt = re.findall(rf"^```{kind}\n(.+?)^```", TEXT, re.M | re.S)[0].splitlines()
    assert any(written[n : n + len(excerpt)] == excerpt for n in range(len(written)))


def test_lines_with_prompts_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ending in ENDINGS:
        save(TAKE, f"take{ending}")
    blocks = "\n".join(re.findall(r"^```pycon\n(.+?)^```", TEXT, re.M | re.S))
    test = doctest.DocTestParser().get_doctest(blocks, {}, "formats.md", str(DOC), 0)
    result = doctest.DocTestRunner().run(test)
    assert (result.failed, result.attempted) == (0, 8)
