"""Which columns of a feature file belong to which named object."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from fact_clip.config import Config, ObjectData
from fact_clip.core import Vocabulary
from fact_clip.datasets.objects import ObjectColumns
from fact_clip.text.grammar import Grammar

from ..refusals import refused

KITCHEN = Vocabulary.from_names(
    ("rest", "cut ham with knife", "hold baked egg"),
    ("rest",),
    {"rest": (None,) * 3, "cut ham with knife": ("cut", "ham", "knife"), "hold baked egg": ("hold", "baked egg", None)},
    ("verb", "object", "tool"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "objects.txt").write_text("ham\nbaked_egg\n\nknife\r\nperson\n")
    return tmp_path


def read(root, **keys):
    return ObjectColumns.read(ObjectData(file="objects.txt", **keys), root, KITCHEN)


def test_no_file_is_no_columns(root):
    assert ObjectColumns.read(ObjectData(), root, KITCHEN) is None


def test_blocks_by_hand(root):
    found = read(root, blocks=(1, 2), fixed=("person",))
    assert found.names == ("ham", "baked egg", "knife", "person")
    # 0-3 the first value of each object, 4-11 two values of each, object by object
    assert found.columns == ((0, 4, 5), (1, 6, 7), (2, 8, 9), (3, 10, 11))
    assert found.fixed == (2, 3)  # the knife is the word of a tool
    assert found.slot == 1
    assert found.check(12) is found
    assert found.kinds().tolist() == [0, 0, 0, 0, 1, 2, 1, 2, 1, 2, 1, 2]


def test_one_block_unless_told(root):
    found = read(root)
    assert found.columns == ((0,), (1,), (2,), (3,))
    assert found.kinds().tolist() == [0, 0, 0, 0]


def test_another_slot_changes_who_is_fixed(root):
    found = read(root, slot="tool")
    assert (found.slot, found.fixed) == (2, (0, 1))


def test_context_columns_stand_behind_as_whole_copies(root):
    found = read(root, blocks=(1, 1))
    assert found.columns[1] == (1, 5)
    assert found.with_context(3)[1] == (1, 5, 9, 13, 17, 21)  # the columns, their means, their deviations
    assert found.with_context(1) == found.columns
    # each object has the same kind of value in the same place
    columns = np.array(found.with_context(3))
    assert (np.diff(columns, axis=0) == 1).all()
    assert sorted(columns.ravel().tolist()) == list(range(24))


def test_kscgr(shared):
    root = shared / "data" / "kscgr"
    config = ObjectData(file="objects.txt", blocks=(1, 1, 2, 2), fixed=("person",))
    names = ["no action", "cut ham with knife"]
    vocabulary = Vocabulary.from_names(
        names, names[:1], {names[0]: (None,) * 3, names[1]: ("cut", "ham", "knife")}, ("verb", "object", "tool")
    )
    found = ObjectColumns.read(config, root, vocabulary)
    width = np.load(next((root / "features").glob("*.npy")), mmap_mode="r").shape[1]
    assert found.check(width).kinds().shape == (width,)
    assert {found.names[at] for at in found.fixed} == {"person", "knife"}


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"slot": "noun"}, "data.objects.slot"),
        ({"fixed": ("table",)}, "data.objects.fixed"),
    ],
)
def test_settings_that_do_not_fit(root, keys, place):
    with refused(place):
        read(root, **keys)


def test_files_that_do_not_fit(root):
    with refused("data.objects.blocks"):
        read(root, blocks=(1, 2)).check(10)
    (root / "objects.txt").write_text("ham\nbaked egg\nbaked_egg\n")
    with refused("objects.txt"):
        read(root)
    (root / "objects.txt").write_text("\n")
    with refused("objects.txt"):
        read(root)
    (root / "objects.txt").unlink()
    with refused("objects.txt"):
        read(root)


def test_the_example_of_the_docs(tmp_path):
    """docs/names.md, Features of your own objects: four names, a confidence each, then x and y of each."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "names.md").read_text(encoding="utf-8")
    part = page.split("### Features of your own objects")[1]
    (_, listed), (_, recipe) = re.findall(r"```(yaml)?\n(.*?)```", part, re.DOTALL)
    (tmp_path / "objects.txt").write_text(listed)
    config = Config.from_tree({key: value for key, value in yaml.safe_load(recipe).items() if key != "base"}, "docs")
    grammar = Grammar(str(config.data.grammar))
    vocabulary = Vocabulary.from_names(
        ["lift kettle", "open coffee jar", "stir cup with spoon"], (), grammar, grammar.slots
    )
    objects = ObjectColumns.read(config.data.objects, tmp_path, vocabulary)
    assert objects is not None
    assert objects.names == ("cup", "kettle", "coffee jar", "spoon")
    assert objects.columns == ((0, 4, 5), (1, 6, 7), (2, 8, 9), (3, 10, 11))
    assert (objects.fixed, objects.width) == ((3,), 12)
