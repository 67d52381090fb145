from __future__ import annotations

import pytest

from fact_clip.text import article, gerund, third_person


def test_article_goes_by_sound():
    with_an = ("egg", "oil bottle", "uninsulated wire", "hour glass")
    assert [article(noun) for noun in with_an] == [f"an {noun}" for noun in with_an]
    with_a = ("rod", "hex screw", "USB male", "unit")  # the last two have a vowel letter, but no vowel sound
    assert [article(noun) for noun in with_a] == [f"a {noun}" for noun in with_a]


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
