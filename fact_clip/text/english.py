"""Names that are sentences: verb, object, target and tool of "add 1/4 tsp salt to the bowl" (docs/names.md, Sentences).

A reader by rules: names of actions are imperatives, so that the first word is the verb and word lists do the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from fact_clip.core import Factors, InputError
from fact_clip.text import gerund
from fact_clip.text.grammar import PARTICLES

SLOTS = ("verb", "object", "target", "tool")

ENGLISH = "english"  # the value of `data.grammar` that reads names as sentences


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DETERMINERS = _words(
    "a an the some any all both each every this that these those my your his her its their"
)
_PRONOUNS = _words("it them everything something itself themselves one")
_NUMBERS = _words(
    "zero one two three four five six seven eight nine ten dozen half quarter another few several about approximately "
    "around more less enough remaining additional extra rest"
)
_UNITS = _words(
    "teaspoon tsp tablespoon tbsp cup ounce oz pound lb gram g kg ml l liter litre inch cm mm minute min second sec "
    "hour time number spoonful handful package can"
)
# "a pinch of salt" is salt
_PORTIONS = _words(
    "piece slice clove drizzle pinch drop bit dash knob block bunch part end top bottom side surface amount lot pair "
    "set sheet stack strip cube chunk rest inside dollop center middle number kind sort type"
)
_ADJECTIVES = _words(
    "large small medium big little tiny short long thick thin wide heaped heaping generous fresh raw ripe hot cold "
    "warm cool dry wet clean dirty empty full new old other entire whole single inner outer left right frozen broken "
    "low high heavy homemade softened tall upper lower excess same microwavable"
)
_ADVERBS = _words(
    "well again then also just still almost together gently until once twice first finally next immediately back "
    "uncovered open very roughly often halfway straight aside thoroughly more slightly evenly"
)
_LEFT_OUT = _DETERMINERS | _ADVERBS | {"or"}
_NO_ADVERBS = _words("jelly belly fly family assembly supply apply ply lily curly")
# What may stand before the verb; the second kind only before "to" or a gerund.
_LIGHT = _words("then now and to still also again")
_ASPECTS = _words("continue continuing keep keeping start starting begin try finish proceed repeat")
_ENDS = _words(
    "until while so because if unless when where after before once ensuring making leaving as than which or for by at "
    "during without then that"
)
_TARGETS = _words(
    "into onto in on to over under inside around through throughout across against below above between beside beneath "
    "near towards toward upon within along behind"
)
_TOOLS = _words("with using via")
_PREPOSITIONS = {
    **dict.fromkeys(_TARGETS, "target"),
    **dict.fromkeys(("from", "off", "out"), "source"),
    **dict.fromkeys(_TOOLS, "tool"),
}
_PURPOSES = _words(
    "create prevent make combine release apply avoid reduce keep get form enable wet let allow"
)
_TIMES = _words("minute min second sec hour time")
_NO_TARGETS = _words(
    "heat temperature taste power consistency half piece slice bit side direction way between"
)
# A particle right after a verb; "in" and "on" after some verbs only.
_ALWAYS = _words("up down off out away back apart together aside over")
_TURNS_ON = _words("turn switch plug screw click try")
_PLURAL_ONLY = _words(
    "contents scissors tongs pliers tweezers clothes goods series molasses asparagus hummus"
)
_IRREGULAR = "knives knife cookies cookie pies pie shoes shoe feet foot teeth tooth people person children child men man"
_SINGULAR = {
    **{f"{stem}ves": f"{stem}f" for stem in ("lea", "hal", "shel", "loa", "cal", "scar")},
    **dict(zip(_IRREGULAR.split()[::2], _IRREGULAR.split()[1::2], strict=True)),
}
_ENDINGS = {"ies": "y", "oes": "o", "sses": "ss", "xes": "x", "ches": "ch", "shes": "sh"}
_IRREGULAR_VERBS = {
    "measuring": "measure",
    "preparing": "prepare",
    "storing": "store",
    "tying": "tie",
    "dyeing": "dye",
}


def singular(noun: str) -> str:
    """Return the singular of a noun by its spelling: "knives" -> "knife", "tomatoes" -> "tomato"."""
    if (
        noun in _SINGULAR
        or noun in _PLURAL_ONLY
        or not re.search(r"[^siu]s$", noun)
        or len(noun) < 4
    ):
        return _SINGULAR.get(noun, noun)
    for ending, replacement in _ENDINGS.items():
        if noun.endswith(ending):
            return noun[: -len(ending)] + replacement
    return noun[:-1]


def base_form(verb: str) -> str:
    """Return the base form of a verb by its spelling: "wiping" -> "wipe", "cutting" -> "cut"; others as they are."""
    stem = verb.removesuffix("ing")
    if stem == verb or not re.search(r"[aeiouy]", stem):
        return verb
    forms = [stem, f"{stem}e"]
    if re.search(r"([cvzu]|dg|ns|[^aeiouywlr]l|rg|at|rs)$", stem):
        forms.reverse()
    if re.search(r"([^aeioulsz])\1$", stem):  # cutting
        forms = [stem[:-1]]
    return _IRREGULAR_VERBS.get(verb) or next(
        (form for form in forms if gerund(form) == verb), verb
    )


def read_sentence(name: str) -> Factors:
    """Return verb, object, target and tool of a name; None where it has none, an InputError without a verb."""
    words = _tokens(name)
    if not words:
        raise InputError(f"class {name!r}", "no word")
    start, before = _start(words)
    verb, position = base_form(words[start]), start + 1
    while words[position : position + 1] in (["and"], ["or"]):  # "chop or grate the cucumber"
        position += 2
    if position < len(words) and (
        words[position] in _ALWAYS or (words[position] in ("on", "in") and verb in _TURNS_ON)
    ):
        verb, position = f"{verb} {words[position]}", position + 1
    parts = _parts(
        [word for word in words[before:start] if word not in _LIGHT | _ASPECTS]
    ) | _parts(words[position:])
    if "particle" in parts and " " not in verb:
        verb = f"{verb} {parts['particle']}"
    return (
        verb,
        parts.get("object"),
        parts.get("target") or parts.get("source"),
        parts.get("tool"),
    )


def _tokens(name: str) -> list[str]:
    """Return the words of the first sentence in small letters, commas as words, without what is in parentheses."""
    text = re.sub(r"\([^)]*\)?", " ", name.replace("_", " ").lower())
    text = re.split(r"(?<=[a-z]{3})\.(?:\s|$)|[;!?](?:\s|$)", text)[0]
    return re.findall(r"[^\W_]+(?:['’./-][^\W_]+)*|,", text)


def _start(words: Sequence[str]) -> tuple[int, int]:
    """Return the position of the verb, and where what belongs to it begins: "then continue to whisk, whisk curd"."""
    start = 0
    while start < len(words) - 1 and (
        words[start] in _LIGHT
        or _is_manner(words[start])
        or (
            words[start] in _ASPECTS
            and (words[start + 1] == "to" or words[start + 1].endswith("ing"))
        )
    ):
        start += 1
    again = [
        index
        for index in range(start + 1, len(words) - 1)
        if base_form(words[index]) == base_form(words[start])
        and (
            words[index - 1] in (*_LIGHT, *_ASPECTS, ",", words[start])
            or _is_manner(words[index - 1])
        )
    ]
    return (again[-1], start + 1) if again else (start, start)


def _is_manner(word: str) -> bool:
    return word.endswith("ly") and len(word) > 4 and word not in _NO_ADVERBS


def _parts(words: Sequence[str]) -> dict[str, str]:
    """Return the noun phrases of what follows a verb, by slot, and a "particle" behind the object."""
    parts: dict[str, str] = {}
    phrase: list[str] = []
    slot = "object"

    def close(following: str) -> None:
        nonlocal slot
        if (text := _noun(phrase, slot)) is not None:
            parts.setdefault(slot, text)
        phrase.clear()
        slot = following

    for word, following in pairwise([*words, ","]):
        if (
            word in PARTICLES
            and slot == "object"
            and following in {"of", ",", "and", *_ENDS, *_TOOLS, *_TARGETS}
        ):
            parts["particle"] = word
            close("source" if following == "of" else "")
        elif (
            (word in _ENDS and not (word == "or" and phrase and _is_modifier(phrase[-1])))
            or (word == "to" and following in _PURPOSES)
            or (word[-3:] == "ing" and not slot)
        ):
            break
        elif word in _PREPOSITIONS:
            close(_PREPOSITIONS[word])
        elif word in (",", "and"):
            close("")
        elif (
            word == "of"
            and slot == "object"
            and phrase
            and singular(phrase[-1]) not in _PORTIONS | _UNITS
        ):
            close("target")
        else:
            phrase.append(word)
    close("")
    return parts


def _noun(words: Sequence[str], slot: str) -> str | None:
    """Return a noun phrase without determiners, quantities, adjectives and adverbs; its last noun in the singular."""
    nouns: list[str] = []
    quantity = False
    for index, word in enumerate(words):
        follows = index + 1 < len(words)
        is_unit = quantity and singular(word) in _UNITS and (follows or singular(word) in _TIMES)
        if word == "of":  # what was measured or divided
            nouns = []
        elif word[0].isnumeric() or word in _NUMBERS:
            # "measure 1/8 teaspoon of salt": the word before was a verb
            nouns, quantity = ([] if word[0].isnumeric() else nouns), True
        elif not (word in _LEFT_OUT or is_unit or _is_manner(word) or _is_modifier(word)):
            nouns.append(word.split("/")[-1])
            quantity = False
    while nouns and nouns[0] in _ADJECTIVES:
        del nouns[0]
    while len(nouns) > 1 and nouns[-1] in _ADJECTIVES:  # "pat tofu dry"
        nouns.pop()
    nouns = [noun for noun in nouns[:-1] if noun not in _ADJECTIVES] + nouns[-1:]
    if (
        not nouns
        or nouns[-1] in _PRONOUNS
        or (slot in ("target", "tool") and singular(nouns[-1]) in _NO_TARGETS)
    ):
        return None
    return " ".join([*nouns[:-1], singular(nouns[-1])])


def _is_modifier(word: str) -> bool:
    """Whether a word describes a noun: a participle, or a compound such as "microwave-safe"."""
    if "-" in word:
        return not re.search(r"-(and|in)-|^t-", word)
    return word.endswith(("'s", "’s")) or (
        word.endswith("ed") and not word.endswith("eed") and len(word) > 4
    )


class Sentences:
    """Reads names as sentences, as a `Grammar` reads them by its pattern; `slots` are those that some `names` fill."""

    def __init__(self, names: Iterable[str]) -> None:
        readings = [read_sentence(name) for name in names]
        self.slots = tuple(
            slot
            for index, slot in enumerate(SLOTS)
            if not index or any(row[index] for row in readings)
        )

    def __call__(self, name: str) -> Factors:
        """Return one factor per slot, None where the name has none; an InputError for a name without a word."""
        return tuple(
            factor
            for slot, factor in zip(SLOTS, read_sentence(name), strict=True)
            if slot in self.slots
        )


def are_sentences(names: Iterable[str]) -> bool:
    """Whether names have articles and the like, which a pattern would take for parts of their words."""
    return any(_DETERMINERS & set(_tokens(name)[1:]) for name in names)
