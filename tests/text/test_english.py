from __future__ import annotations

from pathlib import Path

import pytest

from fact_clip.text.english import Sentences, are_sentences, base_form, read_sentence, singular
from fact_clip.text.forms import article, gerund, third_person

from ..refusals import refused


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


def _table() -> list[list[str | None]]:
    """Name, verb, object, target and tool as a person reads them."""
    lines = (Path(__file__).parent / "sentences.txt").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if not line.startswith("#")]
    return [[None if cell == "-" else cell for cell in row] for row in rows]


def test_most_sentences_are_read_as_a_person_reads_them():
    rows = _table()
    readings = [read_sentence(str(row[0])) for row in rows]

    def heads(phrases: list[str | None]) -> list[str]:
        return [(phrase or "-").split()[-1] for phrase in phrases]

    def right(guesses: list, truths: list) -> int:
        return sum(guess == truth for guess, truth in zip(guesses, truths, strict=True))

    verbs, objects, targets, tools = (
        ([reading[slot] for reading in readings], [row[1 + slot] for row in rows]) for slot in range(4)
    )
    assert len(rows) == 128
    assert right(*verbs) == 128
    assert right(*map(heads, objects)) >= 125
    assert right(*targets) >= 123
    assert right(*tools) == 128


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("dry gently dry it with a paper/tea towel", ("dry", None, None, "tea towel")),
        ("microwave continue to microwave for 15-30 more seconds", ("microwave", None, None, None)),
        ("Pick_up_the_Box", ("pick up", "box", None, None)),
        ("put rice cooker down in the sink", ("put down", "rice cooker", "sink", None)),
        ("take plate off the rack", ("take", "plate", "rack", None)),
        ("pour washing up liquid", ("pour", "washing up liquid", None, None)),
        ("turn it on", ("turn on", None, None, None)),
        ("stir", ("stir", None, None, None)),
    ],
)
def test_what_a_sentence_says(name, factors):
    assert read_sentence(name) == factors


def test_words_are_compared_by_their_base_forms():
    nouns = (
        "knives",
        "leaves",
        "tomatoes",
        "boxes",
        "glasses",
        "dishes",
        "berries",
        "cookies",
        "gas",
        "tongs",
        "eggs",
        "lens",
    )
    nouns += ("canvas", "ties", "movies", "toes", "axes", "chaos")
    singulars = ["knife", "leaf", "tomato", "box", "glass", "dish", "berry", "cookie", "gas", "tongs", "egg", "lens"]
    singulars += ["canvas", "tie", "movie", "toe", "axe", "chaos"]
    assert [singular(noun) for noun in nouns] == singulars
    assert [base_form(verb) for verb in ("opening", "bring", "ham")] == ["open", "bring", "ham"]


def test_a_gerund_leads_back_to_its_verb():
    lines = (Path(__file__).parent / "verbs.txt").read_text(encoding="utf-8").splitlines()
    verbs = " ".join(lines[1:]).split()
    assert len(verbs) > 300
    assert [base_form(gerund(verb)) for verb in verbs] == verbs
    assert read_sentence("heating pan") == ("heat", "pan", None, None)


@pytest.mark.parametrize(
    ("gerunds", "verbs"),
    [
        ("beginning admitting equipping forgetting putting", "begin admit equip forget put"),
        ("controlling labelling pulling rolling buzzing", "control label pull roll buzz"),
        ("breathing sponging dying adding being", "breathe sponge die add be"),
    ],
)
def test_gerunds_as_people_write_them(gerunds, verbs):
    assert [base_form(word) for word in gerunds.split()] == verbs.split()


@pytest.mark.parametrize(
    ("names", "objects"),
    [
        (["pick the left hand", "pick the right hand"], ["left hand", "right hand"]),
        (["open the drawer 1", "open the drawer 2"], ["drawer 1", "drawer 2"]),
        (["turn the knob left", "turn the knob right"], ["knob left", "knob right"]),
        (["attach part A", "attach part B"], ["part a", "part b"]),
        (
            ["raise the left arm", "raise the right arm", "lower the left arm", "bend the big leg"],
            ["left arm", "right arm", "left arm", "leg"],
        ),
        (["take the big bowl", "cut the small egg"], ["bowl", "egg"]),  # no two are alike
    ],
)
def test_words_that_tell_names_apart_are_kept(names, objects):
    reader = Sentences(names)
    assert [reader(name)[1] for name in names] == objects


def test_a_reader_of_sentences_has_the_slots_that_names_fill():
    reader = Sentences(["add the salt", "stir the soup with a spoon"])
    assert reader.slots == ("verb", "object", "tool")
    assert reader("pour the milk") == ("pour", "milk", None)
    with refused("name 'pour the milk into a bowl'"):
        reader("pour the milk into a bowl")
    assert are_sentences(["stir", "add the salt"])
    assert not are_sentences(["stir", "add salt", "the end", "pick_up item"])
    with refused("class '?'"):
        reader("?")
