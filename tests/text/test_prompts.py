from __future__ import annotations

import pytest

from fact_clip.core import Vocabulary
from fact_clip.datasets import havid
from fact_clip.datasets.benchmarks import BENCHMARKS, NO_ACTION
from fact_clip.text.prompts import TEMPLATES, make_prompts, tidy

KITCHEN = Vocabulary.from_names(
    ["no action", "cut ham", "move ham with knife", "hold knife"],
    (NO_ACTION,),
    BENCHMARKS["kscgr"].factors,
    BENCHMARKS["kscgr"].slots,
)


def test_plain_prompts_are_names_and_factors():
    prompts = make_prompts(KITCHEN)
    assert prompts.classes == (("no action",), ("cut ham",), ("move ham with knife",), ("hold knife",))
    assert prompts.slots == {
        "verb": (("cut",), ("move",), ("hold",)),
        "object": (("ham",), ("knife",)),
        "tool": (("knife",),),
    }
    # every text once: "knife" is object and tool
    assert prompts.texts() == [
        "no action", "cut ham", "move ham with knife", "hold knife", "cut", "move", "hold", "ham", "knife",
    ]  # fmt: skip


def test_person_prompts_are_sentences_but_for_background():
    prompts = make_prompts(KITCHEN, "person")
    assert prompts.classes == (
        ("no action",),
        ("a person cuts ham",),
        ("a person moves ham with knife",),
        ("a person holds knife",),
    )
    assert prompts.slots["verb"][0] == ("a person cuts",)
    assert prompts.slots["object"][0] == ("a person handles the ham",)
    assert prompts.slots["tool"] == (("a person uses the knife",),)


def test_ensemble_has_several_wordings_of_each():
    prompts = make_prompts(KITCHEN, "ensemble")
    assert prompts.classes[0] == ("no action",)
    assert prompts.classes[1] == (
        "cut ham",
        "a person cuts ham",
        "a person is cutting ham",
        "a photo of a person cutting ham",
        "a video of someone cutting ham",
        "how to cut ham",
    )
    assert prompts.slots["verb"][1] == ("move", "moving", "a person moves", "a person is moving")
    assert prompts.slots["object"][0] == ("ham", "the ham", "a photo of the ham", "a person handles the ham")


def test_havid_codes_become_sentences():
    vocabulary = Vocabulary.from_names(["sspg3dp", "null"], ("null",), havid.factors, havid.SLOTS)
    numbered = make_prompts(vocabulary, "person", to_phrase=havid.phrase)
    text = "a person screws a Phillips screw into {} with a Phillips screwdriver"
    assert numbered.classes == ((text.format("gear plate hole 3"),), ("do nothing",))
    assert numbered.slots["target"] == (("a person works on the gear plate hole 3",),)


def test_names_alone_have_one_slot_that_is_worded_like_the_classes():
    vocabulary = Vocabulary.from_names(["SIL", "pour_milk"], ("SIL",))
    prompts = make_prompts(vocabulary, "person")
    assert prompts.classes == (("SIL",), ("a person pours milk",))
    assert prompts.slots == {"phrase": prompts.classes}


@pytest.mark.parametrize(("name", "phrase"), [("pour_milk", "pour milk"), ("take,plate", "take plate"), ("_", "_")])
def test_tidy(name, phrase):
    assert tidy(name) == phrase


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_set_tells_classes_and_factors_apart(name):
    prompts = make_prompts(KITCHEN, name)
    for group in (prompts.classes, *prompts.slots.values()):
        assert all(group)
        assert len(set(group)) == len(group)
