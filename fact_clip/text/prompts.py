"""A vocabulary to prompts: one or more sentences for each class, and phrases for each factor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.messages import suggest
from fact_clip.text import gerund, havid, third_person

WHOLE_PHRASE = "phrase"
"""The only slot of a vocabulary without factors: it holds the class names, which are worded like the classes."""


@dataclass(frozen=True)
class Templates:
    """Wordings. "{phrase}" is "cut ham", "{does}" is "cuts ham", "{doing}" is "cutting ham".

    Args:
        classes: for a whole action.
        slots: for a factor, by slot.
        other: for a factor of any other slot.
    """

    classes: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other: tuple[str, ...] = ("{phrase}",)


_OBJECT = ("a person handles the {phrase}",)
_OBJECT_ENSEMBLE = ("{phrase}", "the {phrase}", "a photo of the {phrase}", *_OBJECT)

TEMPLATES: dict[str, Templates] = {
    "plain": Templates(("{phrase}",)),
    "person": Templates(
        ("a person {does}",),
        {
            "verb": ("a person {does}",),
            "object": _OBJECT,
            "noun": _OBJECT,
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
            "object": _OBJECT_ENSEMBLE,
            "noun": _OBJECT_ENSEMBLE,
            "target": (*_OBJECT_ENSEMBLE[:3], "a person works on the {phrase}"),
            "tool": (*_OBJECT_ENSEMBLE[:3], "a person uses the {phrase}", "with the {phrase}"),
        },
    ),
}


def tidy(name: str) -> str:
    """Return a class name as a phrase: underscores, commas and slashes are spaces ("pour_milk" -> "pour milk")."""
    return " ".join(re.sub(r"[_,/\s]+", " ", name).split()) or name


# How names are read: class name -> phrase that starts with its verb.
PHRASES: dict[str, Callable[[str], str]] = {
    "name": tidy,
    "havid": havid.phrase,
    "havid-functional": partial(havid.phrase, functional=True),
}


@dataclass(frozen=True)
class Prompts:
    """Texts for an encoder. The vectors of the prompts of one entry are averaged.

    Args:
        classes: C entries, one per class, of one prompt or more.
        slots: by slot, K entries, one per factor in the order of `Vocabulary.factor_indices`.
    """

    classes: tuple[tuple[str, ...], ...]
    slots: Mapping[str, tuple[tuple[str, ...], ...]]

    def texts(self) -> list[str]:
        """Return every prompt once, in order of appearance."""
        groups = (self.classes, *self.slots.values())
        return list(dict.fromkeys(text for group in groups for entry in group for text in entry))


def make_prompts(
    vocabulary: Vocabulary,
    templates: str | Templates = "plain",
    *,
    phrase: str | Callable[[str], str] = "name",
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> Prompts:
    """Make prompts of every class and of every factor.

    Args:
        vocabulary: the classes.
        templates: entry of `TEMPLATES`, or other wordings. Background classes are no actions and keep their name.
        phrase: entry of `PHRASES`, or another function: class name -> phrase that starts with its verb.
        synonyms: class name or factor -> other words for it. They give more prompts for that class or factor, and
            the synonyms of a factor also replace it in the phrases of the classes that have it.

    Raises:
        InputError: an unknown entry of a table, a synonym of something else than a class or factor, a blank phrase,
            or a name that `phrase` cannot read.
    """
    wording = _entry("templates", TEMPLATES, templates) if isinstance(templates, str) else templates
    worded = _entry("phrase", PHRASES, phrase) if isinstance(phrase, str) else phrase
    others = _synonyms(vocabulary, synonyms or {})

    def of_class(name: str) -> tuple[str, ...]:
        words = worded(name)
        phrases = [words, *others.get(name, ())]
        for factor in vocabulary.factors[vocabulary.index(name)]:
            if factor is None or factor == name:
                continue
            match = re.search(rf"(?<!\w){re.escape(factor)}(?!\w)", words)
            if match is not None:
                phrases += [words[: match.start()] + text + words[match.end() :] for text in others.get(factor, ())]
        return _fill(name, ("{phrase}",) if name in vocabulary.background else wording.classes, phrases)

    def of_factor(slot: str, factor: str) -> tuple[str, ...]:
        if slot != WHOLE_PHRASE:
            return _fill(factor, wording.slots.get(slot, wording.other), [tidy(factor), *others.get(factor, ())])
        if factor in vocabulary:
            return of_class(factor)
        return _fill(factor, wording.classes, [factor, *others.get(factor, ())])

    return Prompts(
        tuple(of_class(name) for name in vocabulary),
        {
            slot: tuple(of_factor(slot, factor) for factor in vocabulary.factor_indices(slot)[0])
            for slot in vocabulary.slots
        },
    )


def _fill(what: str, templates: Iterable[str], phrases: Iterable[str]) -> tuple[str, ...]:
    listed = list(phrases)
    if not all(phrase.strip() for phrase in listed):
        raise InputError(f"prompts of {what!r}", "a blank phrase")
    # two wordings may give the same text, which would count twice in the mean
    return tuple(
        dict.fromkeys(
            template.format(phrase=phrase, does=third_person(phrase), doing=gerund(phrase))
            for phrase in listed
            for template in templates
        )
    )


def _synonyms(vocabulary: Vocabulary, synonyms: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    names = [*vocabulary.names, *(factor for entry in vocabulary.factors for factor in entry if factor is not None)]
    for key, words in synonyms.items():
        if key not in names:
            raise InputError("synonyms", f"no class or factor {key!r}", suggest(key, names))
        if isinstance(words, str):
            raise InputError(f"synonyms of {key!r}", f"one text, {words!r}, not a list of texts")
    return {key: tuple(words) for key, words in synonyms.items()}


T = TypeVar("T")


def _entry(where: str, table: Mapping[str, T], name: str) -> T:
    if name not in table:
        raise InputError(where, f"no entry {name!r}", f"use one of {', '.join(table)}")
    return table[name]
