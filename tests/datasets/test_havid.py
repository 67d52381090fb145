from __future__ import annotations

import re

import pytest

from fact_clip.core import Vocabulary
from fact_clip.datasets import havid
from fact_clip.text.forms import third_person

from ..published import havid_tasks
from ..refusals import refused


def sentence_of(code: str) -> str:
    return f"a person {third_person(havid.phrase(code))}"


@pytest.fixture(scope="module")
def tasks() -> list[str]:
    """Return the 75 primitive tasks."""
    return list(havid_tasks())


@pytest.mark.parametrize(
    ("code", "sentence", "factors"),
    [
        (
            "sshc1dh",
            "a person screws a hex screw into cylinder plate hole 1 with a hex screwdriver",
            ("screw", "hex screw", "cylinder plate hole 1", "hex screwdriver"),
        ),
        ("pbx", "a person places a box", ("place", "box", None, None)),
        ("iusn6", "a person inserts a USB male into the USB female", ("insert", "USB male", "USB female", None)),
        (
            "sntn5wn",
            "a person screws a nut into the general plate stud with a nut wrench",
            ("screw", "nut", "general plate stud", "nut wrench"),
        ),
        ("w", "a person does something wrong", ("do something wrong", None, None, None)),
        ("null", "a person does nothing", (None, None, None, None)),
        # atomic actions
        ("adh", "a person approaches a hex screwdriver", ("approach", "hex screwdriver", None, None)),
        (
            "dshc1dh",
            "a person disassembles a hex screw from cylinder plate hole 1 with a hex screwdriver",
            ("disassemble", "hex screw", "cylinder plate hole 1", "hex screwdriver"),
        ),
        # a tool right after the object is the tool, not a target
        (
            "rshdp",
            "a person rotates a hex screw with a Phillips screwdriver",
            ("rotate", "hex screw", None, "Phillips screwdriver"),
        ),
    ],
)
def test_codes(code, sentence, factors):
    assert sentence_of(code) == sentence
    assert havid.factors(code) == factors


@pytest.mark.parametrize("code", ["", "Sshc1", "sc1", "ss", "ssh dh", "sshc1c2", "sshc1dhx", "ww"])
def test_codes_that_do_not_parse(code):
    with refused(f"HA-ViD code {code!r}"):
        havid.parse(code)


def test_every_primitive_task_has_its_own_sentence(tasks):
    sentences = [sentence_of(code) for code in tasks]
    assert len(set(sentences)) == len(tasks) == 75
    for text in sentences:
        assert re.fullmatch(r"a person \w+s( [\w-]+)+", text)
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text)
        assert "  " not in text


def test_every_primitive_task_is_put_together_of_known_codes(tasks):
    for code in tasks:
        parsed = havid.parse(code)
        assert parsed is None or "".join(filter(None, parsed)) == code
    assert [code for code in tasks if havid.parse(code) is None] == ["null", "w"]


def test_vocabulary_of_the_primitive_tasks(tasks):
    vocabulary = Vocabulary.from_names(tasks, ("null",), havid.factors, havid.SLOTS)
    assert vocabulary.background_indices == (27,)
    # read off the list by eye
    assert set(vocabulary.factor_indices("verb")[0]) == {
        "insert",
        "slide",
        "place",
        "rotate",
        "screw",
        "do something wrong",
    }
    assert set(vocabulary.factor_indices("tool")[0]) == set(havid.TOOLS.values())


def test_codes_of_parts_holes_and_tools_do_not_overlap():
    tables = (havid.PARTS, havid.HOLES, havid.TOOLS)
    assert len(set().union(*tables)) == sum(len(table) for table in tables) == 24 + 13 + 4
