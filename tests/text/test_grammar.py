"""Patterns for names: what they read, what they refuse, and the one that is guessed."""

from __future__ import annotations

import pytest

from fact_clip.text.grammar import Grammar, propose

from ..refusals import refused

VERB_OBJECT_TOOL = "{verb} {object} [with {tool}]"
VERB_OBJECT_TARGET = "{verb}_{object}[_into_{target}][_onto_{target}]"


@pytest.mark.parametrize(
    ("pattern", "name", "factors"),
    [
        (VERB_OBJECT_TOOL, "hold ham", ("hold", "ham", None)),
        (VERB_OBJECT_TOOL, "screw hex screw with hex screwdriver", ("screw", "hex screw", "hex screwdriver")),
        (VERB_OBJECT_TOOL, "move withered leaf", ("move", "withered leaf", None)),
        (VERB_OBJECT_TOOL, "  hold   ham ", ("hold", "ham", None)),
        # an underscore inside a word is a blank of that word
        (VERB_OBJECT_TOOL, "pick_up ball_bearing", ("pick up", "ball bearing", None)),
        # a pattern with underscores alone reads both ways of writing
        ("{verb}_{object}[_with_{tool}]", "screw_hex_screw_with_key", ("screw", "hex screw", "key")),
        ("{verb}_{object}[_with_{tool}]", "screw hex screw with key", ("screw", "hex screw", "key")),
        ("{verb}_{object}_[with_{tool}]", "screw_nut_with_key", ("screw", "nut", "key")),
        # one slot in two groups
        (VERB_OBJECT_TARGET, "place_cheese_into_bowl", ("place", "cheese", "bowl")),
        (VERB_OBJECT_TARGET, "serve_salad_onto_plate", ("serve", "salad", "plate")),
        (VERB_OBJECT_TARGET, "cut_tomato", ("cut", "tomato", None)),
        # a part that is dropped
        ("{verb} {object} ({})", "cut ham (take 2)", ("cut", "ham")),
        # a word of the pattern starts no part, so that an object may be missing before it
        ("{verb} [{object}] [with {tool}]", "wash with soap", ("wash", None, "soap")),
        ("{verb} [{object}] [with {tool}]", "wash", ("wash", None, None)),
        # a particle belongs to its verb, unless it is a word of the pattern or nothing else is left
        ("{verb}_{object}", "pick_up_ball_bearing", ("pick up", "ball bearing")),
        ("{verb} {object}", "turn on tap", ("turn on", "tap")),
        ("{verb} [{object}] [on {target}]", "sit on chair", ("sit", None, "chair")),
        ("{verb} {object} [on {target}]", "pick up cup on mat", ("pick up", "cup", "mat")),
        ("{verb} {object}", "wash back", ("wash", "back")),
        ("{verb} [{object}]", "stand up", ("stand up", None)),
        ("{verb} {object}", "pick upper lid", ("pick", "upper lid")),
        ("{object} {verb}", "ball bearing pick up", ("ball bearing", "pick up")),
        # a verb beside another part is one word, on either side
        ("{object} {verb}", "hex screw tighten", ("hex screw", "tighten")),
        ("[{hand}:] {verb} {object}", "left: take cup", ("left", "take", "cup")),
        ("[{hand}:] {verb} {object}", "take cup", (None, "take", "cup")),
        ("[{hand}] take {object}", "take cup", (None, "cup")),
        ("{verb},{noun}", "turn-on,tap:hot", ("turn-on", "tap:hot")),
        ("{verb} {object} [WITH {tool}]", "cut ham with knife", ("cut", "ham", "knife")),
    ],
)
def test_what_a_pattern_reads(pattern, name, factors):
    assert Grammar(pattern)(name) == factors


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (VERB_OBJECT_TOOL, "stir"),
        (VERB_OBJECT_TOOL, "pour_milk"),
        (VERB_OBJECT_TOOL, "cut with knife"),
        (VERB_OBJECT_TOOL, "cut ham with"),
        (VERB_OBJECT_TARGET, "put_egg_into_pan_onto_plate"),  # two targets
        ("{verb},{noun}", "put,"),
        ("[{hand}] take {object}", "cup"),
    ],
)
def test_a_name_that_does_not_parse_is_no_guess(pattern, name):
    with refused(f"class {name!r}"):
        Grammar(pattern)(name)


def test_slots_names_without_parts_and_other_words():
    grammar = Grammar("{verb} {object} [in {place}] [on {place}] {}", ("rest",), {"eggs": "egg"})
    assert grammar.slots == ("verb", "object", "place")
    assert grammar("rest") == (None, None, None)
    assert grammar("fry eggs in pan 3") == ("fry", "egg", "pan")


def test_underscores_are_blanks_where_no_name_has_a_blank():
    assert Grammar.of(VERB_OBJECT_TOOL, ["pour_milk", "cut_ham_with_knife"])("stir_hot_milk") == (
        "stir", "hot milk", None,
    )  # fmt: skip
    with_blanks = Grammar.of(VERB_OBJECT_TOOL, ["pick_up box", "walk_to"])
    assert with_blanks("pick_up box") == ("pick up", "box", None)
    with refused("class 'walk_to'"):
        with_blanks("walk_to")


@pytest.mark.parametrize("pattern", ["verb object", "{verb}{object}", "{verb} [with {tool}", "{verb} {verb}"])
def test_malformed_patterns(pattern):
    with refused("data.grammar"):
        Grammar(pattern)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["cut ham", "cut egg", "hold ham"], "{verb} {object}"),
        (["Cut ham", "cut egg"], "{verb} {object}"),
        (["cut ham with knife", "cut egg with knife", "hold ham"], "{verb} {object} [with {tool}]"),
        (["trim rose using shears", "trim fern using knife", "plant rose"], "{verb} {object} [using {tool}]"),
        (["cut ham with knife", "cut egg", "hold ham"], "{verb} {object}"),  # one name is no rule
        (["pour_milk_into_cup", "pour_oil_into_pan", "stir_milk"], "{verb}_{object}[_into_{target}]"),
        (["pick_up box", "pick_up lid", "turn_over box"], "{verb} {object}"),
        (["pick up", "pick up box", "turn box"], "{verb} [{object}]"),
        (["stir", "fry_egg", "fry_ham"], "{verb}[_{object}]"),
        (["pick-box", "pick-lid"], "{verb}-{object}"),
        (["put,cup", "put,lid"], "{verb},{object}"),
        (["cut ham", "hold egg"], None),  # nothing is shared
        (["walk", "run"], None),
        ([], None),
    ],
)
def test_what_is_guessed(names, pattern):
    assert propose(names) == pattern
    if pattern is not None:
        assert all(map(Grammar.of(pattern, names), names))


def test_the_guess_for_kscgr_is_its_own_grammar(kscgr):
    lines = (kscgr / "mapping.txt").read_text().splitlines()
    names = [line.split(" ", 1)[1] for line in lines if not line.endswith("no action")]
    assert propose(names) == VERB_OBJECT_TOOL
