from __future__ import annotations

import pytest

from fact_clip.text import article, gerund, third_person


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("rod", "a rod"),
        ("hex screw", "a hex screw"),
        ("egg", "an egg"),
        ("oil bottle", "an oil bottle"),
        ("uninsulated wire", "an uninsulated wire"),
        ("hour glass", "an hour glass"),
        # a vowel letter, but no vowel sound
        ("USB male", "a USB male"),
        ("unit", "a unit"),
    ],
)
def test_article_goes_by_sound(noun, expected):
    assert article(noun) == expected


@pytest.mark.parametrize(
    ("phrase", "does", "doing"),
    [
        ("cut ham", "cuts ham", "cutting ham"),
        ("move pan lid", "moves pan lid", "moving pan lid"),
        ("approach a nut", "approaches a nut", "approaching a nut"),
        ("screw a nut", "screws a nut", "screwing a nut"),
        ("do nothing", "does nothing", "doing nothing"),
        ("fry egg", "fries egg", "frying egg"),
        ("play", "plays", "playing"),
        ("stir", "stirs", "stirring"),
        ("open door", "opens door", "opening door"),
        ("insert rod", "inserts rod", "inserting rod"),
        ("peel", "peels", "peeling"),
        ("add salt", "adds salt", "adding salt"),
        ("tie knot", "ties knot", "tying knot"),
        ("see", "sees", "seeing"),
        ("have", "has", "having"),
        ("be", "is", "being"),
        ("mix", "mixes", "mixing"),
    ],
)
def test_verb_forms(phrase, does, doing):
    assert third_person(phrase) == does
    assert gerund(phrase) == doing
