"""The table of data sets: one contract for every entry, and the names that parse."""

from __future__ import annotations

import pytest

from fact_clip.core import InputError, Vocabulary
from fact_clip.data.benchmarks import BENCHMARKS, verb_object_tool


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_entry(name):
    benchmark = BENCHMARKS[name]
    assert benchmark.layout in ("TD", "DT", None)
    assert benchmark.fps is None or benchmark.fps > 0
    assert (benchmark.slots is None) == (benchmark.factors is None)
    assert benchmark.note
    assert "\n" not in benchmark.note
    if benchmark.factors is not None and benchmark.slots is not None:
        for background in benchmark.background:
            assert benchmark.factors(background) == (None,) * len(benchmark.slots)


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("hold ham", ("hold", "ham", None)),
        ("move hard-boiled egg with knife", ("move", "hard-boiled egg", "knife")),
        ("screw hex screw with hex screwdriver", ("screw", "hex screw", "hex screwdriver")),
        ("hold pan with handle with cloth", ("hold", "pan", "handle with cloth")),
        ("move withered leaf", ("move", "withered leaf", None)),
        ("no action", (None, None, None)),
    ],
)
def test_verb_object_tool(name, factors):
    assert verb_object_tool(name) == factors


@pytest.mark.parametrize("name", ["stir", "", "cut  with knife", "cut with knife", "cut ham with "])
def test_names_that_do_not_parse(name):
    with pytest.raises(InputError, match="does not parse; expected VERB OBJECT"):
        verb_object_tool(name)


def test_kscgr_names(shared):
    benchmark = BENCHMARKS["kscgr"]
    mapping = shared / "data" / "kscgr" / "mapping.txt"
    vocabulary = Vocabulary.from_mapping(mapping, benchmark.background, benchmark.factors, benchmark.slots)
    assert vocabulary.factor_indices("verb")[0] == ("cut", "hold", "move")
    assert set(vocabulary.factor_indices("tool")[0]) == {"chopstick", "knife", "turner"}
    # objects of the class names are columns of the boxes, but for underscores
    boxes = {line.replace("_", " ") for line in (shared / "data" / "kscgr" / "objects.txt").read_text().split("\n")}
    assert set(vocabulary.factor_indices("object")[0]) <= boxes
