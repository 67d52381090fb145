"""A vocabulary to prompts: one or more sentences for each class, and phrases for each factor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from fact_clip.core import WHOLE_NAME, InputError, Vocabulary
from fact_clip.text import gerund, havid, third_person


@dataclass(frozen=True)
class Templates:
    """Wordings: "{phrase}" is "cut ham", "{does}" is "cuts ham", "{doing}" is "cutting ham"."""

    classes: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    """Texts for an encoder. The vectors of the prompts of one entry are averaged."""

    classes: tuple[tuple[str, ...], ...]
    slots: Mapping[str, tuple[tuple[str, ...], ...]]

    def texts(self) -> list[str]:
        """Return every prompt once, in order of appearance."""
        groups = (self.classes, *self.slots.values())
        return list(dict.fromkeys(text for group in groups for entry in group for text in entry))


def make_prompts(
    vocabulary: Vocabulary, templates: str = "plain", *, phrase: str = "name"
) -> Prompts:
    """Make prompts of every class and of every factor.

    `templates` is an entry of `TEMPLATES`, `phrase` one of `PHRASES`. Background classes are no actions and keep their
    name.
    """
    for where, table, name in (("templates", TEMPLATES, templates), ("phrase", PHRASES, phrase)):
        if name not in table:
            raise InputError(where, f"no entry {name!r}", f"use one of {', '.join(table)}")
    wording, worded = TEMPLATES[templates], PHRASES[phrase]

    def of_class(name: str) -> tuple[str, ...]:
        return _fill(
            ("{phrase}",) if name in vocabulary.background else wording.classes, worded(name)
        )

    def of_factor(slot: str, factor: str) -> tuple[str, ...]:
        if (slot,) != WHOLE_NAME:
            return _fill(wording.slots.get(slot, ("{phrase}",)), tidy(factor))
        return of_class(factor) if factor in vocabulary else _fill(wording.classes, factor)

    return Prompts(
        tuple(of_class(name) for name in vocabulary),
        {
            slot: tuple(of_factor(slot, factor) for factor in vocabulary.factor_indices(slot)[0])
            for slot in vocabulary.slots
        },
    )


def _fill(templates: Iterable[str], phrase: str) -> tuple[str, ...]:
    # two wordings may give the same text, which would count twice in the mean
    words = {"phrase": phrase, "does": third_person(phrase), "doing": gerund(phrase)}
    return tuple(dict.fromkeys(template.format(**words) for template in templates))
