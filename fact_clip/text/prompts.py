"""From a vocabulary to prompts: each class in one sentence or several, and each factor in a phrase of its own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from fact_clip.core import InputError, Vocabulary
from fact_clip.text import havid
from fact_clip.text.english import gerund, third_person

WHOLE_PHRASE = "phrase"
"""The slot of a vocabulary of which only names are known: its factors are the class names, worded like these."""


@dataclass(frozen=True)
class Templates:
    """Wordings. "{phrase}" is "cut ham", "{does}" is "cuts ham", "{doing}" is "cutting ham".

    Args:
        classes: for a whole action.
        slots: for a factor, by slot.
        other: for a factor of any further slot.
    """

    classes: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other: tuple[str, ...] = ("{phrase}",)


_THING = ("a person handles the {phrase}",)
_THING_ENSEMBLE = ("{phrase}", "the {phrase}", "a photo of the {phrase}", *_THING)

TEMPLATES: dict[str, Templates] = {
    "plain": Templates(("{phrase}",)),
    "person": Templates(
        ("a person {does}",),
        {
            "verb": ("a person {does}",),
            "object": _THING,
            "noun": _THING,
            "target": ("a person works on the {phrase}",),
            "tool": ("a person uses the {phrase}",),
        },
    ),
    "ensemble": Templates(
        (
            "{phrase}",
            "a person {does}",
            "a person is {doing}",
            "a photo of a person {doing}",
            "a video of someone {doing}",
            "how to {phrase}",
        ),
        {
            "verb": ("{phrase}", "{doing}", "a person {does}", "a person is {doing}"),
            "object": _THING_ENSEMBLE,
            "noun": _THING_ENSEMBLE,
            "target": (*_THING_ENSEMBLE[:3], "a person works on the {phrase}"),
            "tool": (*_THING_ENSEMBLE[:3], "a person uses the {phrase}", "with the {phrase}"),
        },
    ),
}


def tidy(name: str) -> str:
    """A class name as a phrase: underscores, commas and slashes are spaces ("pour_milk" -> "pour milk")."""
    return " ".join(re.sub(r"[_,/\s]+", " ", name).split()) or name


# How names are read; an entry turns a class name into a phrase that starts with its verb.
PHRASES: dict[str, Callable[[str], str]] = {
    "name": tidy,
    "havid": havid.phrase,
    "havid-functional": partial(havid.phrase, functional=True),
}


@dataclass(frozen=True)
class Prompts:
    """What a text encoder is asked; the vectors of one entry's prompts are averaged.

    Args:
        classes: C entries, one a class, each of one prompt or more.
        slots: by slot K entries, one a factor, in the order of `Vocabulary.factor_indices`.
    """

    classes: tuple[tuple[str, ...], ...]
    slots: Mapping[str, tuple[tuple[str, ...], ...]]

    def texts(self) -> list[str]:
        """Every prompt once, in order of appearance."""
        groups = (self.classes, *self.slots.values())
        return list(dict.fromkeys(text for group in groups for entry in group for text in entry))


def make_prompts(
    vocabulary: Vocabulary,
    templates: str | Templates = "plain",
    *,
    phrase: str | Callable[[str], str] = "name",
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> Prompts:
    """Prompts of every class and of every factor.

    Args:
        vocabulary: the classes.
        templates: entry of `TEMPLATES`, or own wordings. Background classes are no actions, and are worded as they
            are by all of them.
        phrase: entry of `PHRASES`, or an own function: class name -> phrase that starts with its verb.
        synonyms: class name or factor -> other words for it. They join the prompts of that class or factor, and
            a factor's synonyms also stand in for it in the phrases of the classes that have it.

    Raises:
        InputError: an unknown entry of a table, a synonym for what is neither class nor factor, a blank phrase, or
            a name that `phrase` cannot read.
    """
    wording = _entry("templates", TEMPLATES, templates) if isinstance(templates, str) else templates
    worded = _entry("phrase", PHRASES, phrase) if isinstance(phrase, str) else phrase
    others = _synonyms(vocabulary, synonyms or {})
    return Prompts(
        tuple(_class_prompts(vocabulary, name, wording, worded, others) for name in vocabulary),
        {slot: _slot_prompts(vocabulary, slot, wording, worded, others) for slot in vocabulary.slots},
    )


def _class_prompts(
    vocabulary: Vocabulary,
    name: str,
    wording: Templates,
    worded: Callable[[str], str],
    synonyms: Mapping[str, tuple[str, ...]],
) -> tuple[str, ...]:
    own = worded(name)
    phrases = [own, *synonyms.get(name, ())]
    for factor in vocabulary.factors[vocabulary.index(name)]:
        if factor is None or factor == name:
            continue
        found = re.search(rf"(?<!\w){re.escape(factor)}(?!\w)", own)
        if found is not None:
            phrases += [own[: found.start()] + text + own[found.end() :] for text in synonyms.get(factor, ())]
    return _fill(name, ("{phrase}",) if name in vocabulary.background else wording.classes, phrases)


def _slot_prompts(
    vocabulary: Vocabulary,
    slot: str,
    wording: Templates,
    worded: Callable[[str], str],
    synonyms: Mapping[str, tuple[str, ...]],
) -> tuple[tuple[str, ...], ...]:
    factors, _ = vocabulary.factor_indices(slot)
    if slot == WHOLE_PHRASE:
        known = set(vocabulary.names)
        whole = (factor for factor in factors if factor in known)
        by_class = {name: _class_prompts(vocabulary, name, wording, worded, synonyms) for name in whole}
        return tuple(
            by_class.get(factor) or _fill(factor, wording.classes, [factor, *synonyms.get(factor, ())])
            for factor in factors
        )
    templates = wording.slots.get(slot, wording.other)
    return tuple(_fill(factor, templates, [tidy(factor), *synonyms.get(factor, ())]) for factor in factors)


def _fill(what: str, templates: Iterable[str], phrases: Iterable[str]) -> tuple[str, ...]:
    listed = list(phrases)
    if not all(phrase.strip() for phrase in listed):
        raise InputError(f"prompts of {what!r}", "a blank phrase", "at least one word")
    # each text once: two wordings of one phrase may be the same, and would count twice in the mean
    return tuple(
        dict.fromkeys(
            template.format(phrase=phrase, does=third_person(phrase), doing=gerund(phrase))
            for phrase in listed
            for template in templates
        )
    )


def _synonyms(vocabulary: Vocabulary, synonyms: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    known = [*vocabulary.names, *(factor for entry in vocabulary.factors for factor in entry if factor is not None)]
    for key, words in synonyms.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise InputError("synonyms", f"{key!r}", "a class or a factor of one", f"the nearest is {nearest!r}")
        if isinstance(words, str):
            raise InputError(f"synonyms of {key!r}", f"one text, {words!r}", "a list of texts")
    return {key: tuple(words) for key, words in synonyms.items()}


T = TypeVar("T")


def _entry(where: str, table: Mapping[str, T], name: str) -> T:
    if name not in table:
        raise InputError(where, repr(name), f"one of {', '.join(table)}")
    return table[name]


# One syllable that ends in one vowel and one consonant doubles it: cut, cutting; but screw, screwing and open, opening.
