from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fact_clip.core import Vocabulary
from fact_clip.core.io import parse_value
from fact_clip.core.messages import is_name

from ..refusals import refused

KITCHEN = Vocabulary.from_names(
    ["no action", "take cup", "take milk", "pour milk", "stir cup with spoon"],
    background=["no action"],
    slots=("verb", "object", "tool"),
    factors={
        "take cup": ("take", "cup", None),
        "take milk": {"verb": "take", "object": "milk"},
        "pour milk": ("pour", "milk", None),
        "stir cup with spoon": ("stir", "cup", "spoon"),
    },
)


def test_names_and_indices() -> None:
    assert len(KITCHEN) == 5
    assert list(KITCHEN) == list(KITCHEN.names)
    assert "take cup" in KITCHEN
    assert "take" not in KITCHEN
    assert KITCHEN.index("pour milk") == 3
    assert KITCHEN.background_indices == (0,)
    assert KITCHEN.encode(["pour milk", "no action"]).tolist() == [3, 0]
    assert KITCHEN.encode([]).dtype == np.int64
    assert KITCHEN.decode(np.array([4, 1])) == ["stir cup with spoon", "take cup"]


def test_factors_by_slot() -> None:
    assert KITCHEN.factors[0] == (None, None, None)
    verbs, of_class = KITCHEN.factor_indices("verb")
    assert verbs == ("take", "pour", "stir")
    assert of_class.tolist() == [-1, 0, 0, 1, 2]
    tools, of_class = KITCHEN.factor_indices("tool")
    assert tools == ("spoon",)
    assert of_class.tolist() == [-1, -1, -1, -1, 0]
    with refused("vocabulary"):
        KITCHEN.factor_indices("noun")


def test_whole_phrase_is_the_default_factor() -> None:
    plain = Vocabulary.from_names(["a b", "c"])
    assert plain.slots == ("phrase",)
    assert plain.factors == (("a b",), ("c",))
    assert plain.background == ()


def test_factors_from_a_function_or_without_slot_names() -> None:
    pairs = Vocabulary.from_names(["take cup", "take milk"], factors=lambda name: tuple(name.split()))
    assert pairs.slots == ("slot1", "slot2")
    assert pairs.factors == (("take", "cup"), ("take", "milk"))
    named = Vocabulary.from_names(["a", "b"], factors={"a": {"verb": "x"}, "b": {"noun": "y", "verb": "x"}})
    assert named.slots == ("verb", "noun")
    assert named.factors == (("x", None), ("x", "y"))


def test_extended_and_subset() -> None:
    more = KITCHEN.extended(["pour cup"], factors={"pour cup": ("pour", "cup", None)})
    assert more.index("pour cup") == 5
    assert more.background_indices == (0,)
    assert more.factors[5] == ("pour", "cup", None)
    some = KITCHEN.subset(["pour milk", "no action"])
    assert some.names == ("pour milk", "no action")
    assert some.background == ("no action",)
    assert some.factors == (("pour", "milk", None), (None, None, None))
    assert KITCHEN.subset(["take cup"]).background == ()
    assert Vocabulary.from_names(["a"]).extended(["b"]) == Vocabulary.from_names(["a", "b"])
    with refused("names"):
        KITCHEN.extended(["take cup"], factors={"take cup": ("take", "cup", None)})
    with refused("class 'pour cup'"):
        KITCHEN.extended(["pour cup"])


def test_plain_json_and_back() -> None:
    again = parse_value(Vocabulary, KITCHEN.to_dict(), Path("vocabulary.json"))
    assert again == KITCHEN
    assert hash(again) == hash(KITCHEN)
    assert again != KITCHEN.subset(KITCHEN.names[1:])
    with refused("vocabulary.json"):
        parse_value(Vocabulary, {"names": ["a"]}, Path("vocabulary.json"))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.text(min_size=1).filter(is_name), min_size=1, max_size=8, unique=True))
def test_encode_decode_round_trip(names: list[str]) -> None:
    vocabulary = Vocabulary.from_names(names)
    assert vocabulary.decode(vocabulary.encode(names[::-1])) == names[::-1]
    assert parse_value(Vocabulary, vocabulary.to_dict(), Path("vocabulary.json")) == vocabulary


def test_mapping_file(tmp_path: Path) -> None:
    file = tmp_path / "mapping.txt"
    file.write_bytes(b"1 take cup\r\n0 SIL\r\n\r\n2\tpour milk  ")
    vocabulary = Vocabulary.from_mapping(file, background=["SIL"])
    assert vocabulary.names == ("SIL", "take cup", "pour milk")
    assert vocabulary.background_indices == (0,)


def test_mapping_file_in_utf8_and_latin1(tmp_path: Path) -> None:
    file = tmp_path / "mapping.txt"
    file.write_bytes("\ufeff0 crème brûlée\n".encode())
    assert Vocabulary.from_mapping(file).names == ("crème brûlée",)
    # byte 0x85 is a line end to str.splitlines
    file.write_bytes("0 crème".encode("latin-1") + b"\x85x\n1 b\n")
    assert Vocabulary.from_mapping(file).names == ("crème\x85x", "b")


def test_names_that_look_the_same_are_one():
    with refused("names"):
        Vocabulary.from_names(["café", "cafe\u0301"])
    with refused("names"):
        Vocabulary.from_names(["cut ham", "cut\u00a0ham"])
    assert Vocabulary.from_names(["café", "Café"]).canonical("cafe\u0301") == "café"


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("stir 🥄", True), ("👩\u200d🍳", True), ("می\u200cخورد", True), ("混ぜる", True), ("x" * 1000, True),
        ("", False), (" \u00a0", False), ("\u200d", False), ("a\u200b", False), ("a\u202eb", False), ("\ufeffa", False),
        ("a\nb", False), ("a\x00", False), ("a\ud800", False), ("a\x85", False), ("x" * 1001, False), (None, False),
    ],
)  # fmt: skip
def test_what_can_name_a_class(name, fits):
    assert is_name(name) is fits
    assert is_name("a\x85\x0c", legacy=True)
    assert not is_name("a\t", legacy=True)


def test_the_nearest_name_is_another_spelling_of_it_if_there_is_one():
    with refused("vocabulary"):
        Vocabulary.from_names(["cut hat", "Cut_Ham"]).index("cut ham")


def test_a_string_is_no_factors():
    with refused("class 'ab'"):
        Vocabulary.from_names(["ab", "cd"], factors={"ab": "xy", "cd": "zw"})
    with refused("class 'ab'"):
        Vocabulary.from_names(["ab"], factors=lambda name: name, slots=("verb", "noun"))
    with refused("class 'ab'"):
        Vocabulary(("ab",), (), ("verb", "noun"), ("xy",))
