"""The table of data sets: one contract for every entry, and the names that parse."""

from __future__ import annotations

import pytest

from fact_clip.config import DataConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets.benchmarks import BENCHMARKS, find_root
from fact_clip.datasets.layout import DataFolder
from fact_clip.datasets.naming import guess_names

from ..published import BREAKFAST_MAPPING
from ..refusals import refused

breakfast_factors = BENCHMARKS["breakfast"].factors
salads_factors = BENCHMARKS["50salads"].factors
verb_and_noun = BENCHMARKS["epic"].factors
verb_object_tool = BENCHMARKS["kscgr"].factors


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_entry(name):
    benchmark = BENCHMARKS[name]
    assert benchmark.layout in ("TD", "DT", None)
    assert benchmark.fps is None or benchmark.fps > 0
    assert (benchmark.slots is None) == (benchmark.factors is None)
    if benchmark.factors is not None and benchmark.slots is not None:
        for background in map(str, benchmark.background):
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


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        (verb_object_tool, "stir"),
        (verb_object_tool, "cut ham with "),
        (breakfast_factors, "stir"),
        (salads_factors, "cut_"),
        (verb_and_noun, "put,"),
    ],
)
def test_names_that_do_not_parse(parse, name):
    with refused(f"class {name!r}"):
        parse(name)


def test_kscgr_names(kscgr):
    benchmark = BENCHMARKS["kscgr"]
    vocabulary = Vocabulary.from_mapping(
        kscgr / "mapping.txt", benchmark.background, benchmark.factors, benchmark.slots
    )
    assert vocabulary.factor_indices("verb")[0] == ("cut", "hold", "move")
    assert set(vocabulary.factor_indices("tool")[0]) == {"chopstick", "knife", "turner"}
    # objects of the class names are columns of the boxes, but for underscores
    boxes = {line.replace("_", " ") for line in (kscgr / "objects.txt").read_text().split("\n")}
    assert set(vocabulary.factor_indices("object")[0]) <= boxes


@pytest.mark.parametrize(
    ("parse", "name", "factors"),
    [
        (breakfast_factors, "pour_milk", ("pour", "milk")),
        (breakfast_factors, "put_egg2plate", ("put", "egg")),
        (breakfast_factors, "pour_dough2pan", ("pour", "dough")),
        (breakfast_factors, "put_toppingOnTop", ("put", "topping")),
        (breakfast_factors, "put_bunTogether", ("put", "bun")),
        (breakfast_factors, "take_eggs", ("take", "egg")),
        (breakfast_factors, "add_saltnpepper", ("add", "salt and pepper")),
        (breakfast_factors, "SIL", (None, None)),
        (salads_factors, "cut_tomato", ("cut", "tomato", None)),
        (salads_factors, "place_cheese_into_bowl", ("place", "cheese", "bowl")),
        (salads_factors, "serve_salad_onto_plate", ("serve", "salad", "plate")),
        (salads_factors, "action_end", (None, None, None)),
        (verb_and_noun, "turn-on,tap:hot", ("turn-on", "tap:hot")),
        (verb_and_noun, "background,background", (None, None)),
    ],
)
def test_factors_of_a_name(parse, name, factors):
    assert parse(name) == factors


def test_every_breakfast_class_has_a_verb_and_an_object():
    benchmark = BENCHMARKS["breakfast"]
    vocabulary = Vocabulary.from_mapping(BREAKFAST_MAPPING, ("SIL",), benchmark.factors, benchmark.slots)
    assert len(vocabulary) == 48
    verbs, objects = (vocabulary.factor_indices(slot)[0] for slot in ("verb", "object"))
    # counted by hand: stirfry, spoon and butter are verbs of their own
    assert set(verbs) == {
        "pour", "stir", "take", "spoon", "crack", "add", "fry", "put", "butter", "cut", "squeeze", "peel", "smear",
        "stirfry",
    }  # fmt: skip
    assert {"egg", "pancake", "dough", "fruit", "bun", "topping"} <= set(objects)
    assert not any("2" in noun or noun == "eggs" for noun in objects)


def test_a_root_is_the_folder_or_one_above_it(tmp_path, monkeypatch):
    """data.root, FACT_CLIP_DATA and ./data; below them the published path, or the last part of it."""
    name = "havid_view1_lh_pt"
    published = tmp_path / "all/HAViD/ActionSegmentation/data/view1_lh_pt"
    published.mkdir(parents=True)
    (published / "mapping.txt").write_text("0 null\n")
    for root in (published, published.parent, tmp_path / "all"):
        assert find_root(DataConfig(name=name, root=str(root))) == published
    monkeypatch.setenv("FACT_CLIP_DATA", str(tmp_path / "all"))
    assert find_root(DataConfig(name=name)) == published
    monkeypatch.delenv("FACT_CLIP_DATA")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").rename(tmp_path / "data")
    assert find_root(DataConfig(name=name)).resolve() == tmp_path / "data/HAViD/ActionSegmentation/data/view1_lh_pt"
    with refused("data/HAViD/ActionSegmentation/data/view0_lh_pt"):
        find_root(DataConfig(name="havid_view0_lh_pt"))


def test_a_background_known_by_its_id(tmp_path):
    """EgoProceL's sources name it differently; it is class 0 in each."""
    (tmp_path / "mapping.txt").write_text("1 step\n0 nothing yet\n")
    for background, expected in ((None, "nothing yet"), (("step",), "step")):
        config = DataConfig(name="egoprocel", root=str(tmp_path), background=background)
        assert DataFolder(config).vocabulary(config).background == (expected,)


def test_the_background_of_a_benchmark_is_not_guessed():
    names = ("nothing", "put,plate", "idle")
    guess, reasons = guess_names(DataConfig(name="egoprocel"), names)
    assert (guess.background, reasons["background"]) == (("nothing",), "as published")
