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
ENDINGS = [known.ending for known in FORMATS.values()]
SECTIONS = dict(re.findall(r"^## [^\n]+ `take(\S+)`\n(.+?)(?=^## |\Z)", DOC.read_text(encoding="utf-8"), re.M | re.S))


def test_the_table_has_every_format():
    rows = re.findall(r"^\| (\S+) \| `(\.\S+)` \|", DOC.read_text(encoding="utf-8"), re.M)
    assert rows == [(name, known.ending) for name, known in FORMATS.items()]


def test_every_format_has_a_section():
    assert list(SECTIONS) == ENDINGS


@pytest.mark.parametrize("ending", ENDINGS)
def test_excerpts_are_what_is_written(ending, tmp_path):
    written = save(TAKE, tmp_path / f"take{ending}").read_text(encoding="utf-8").splitlines()
    blocks = re.findall(r"^```(\w*)\n(.+?)^```", SECTIONS[ending], re.M | re.S)
    excerpt = [block for kind, block in blocks if kind != "pycon"][-1].rstrip("\n").split("\n")
    places = range(len(written) - len(excerpt) + 1)
    # the excerpt of a wide table shows its last columns
    assert any(all(written[place + n].endswith(line) for n, line in enumerate(excerpt)) for place in places)


def test_lines_with_prompts_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ending in ENDINGS:
        save(TAKE, f"take{ending}")
    blocks = "\n".join(re.findall(r"^```pycon\n(.+?)^```", DOC.read_text(encoding="utf-8"), re.M | re.S))
    test = doctest.DocTestParser().get_doctest(blocks, {}, "formats.md", str(DOC), 0)
    result = doctest.DocTestRunner().run(test)
    assert (result.failed, result.attempted) == (0, 10)
