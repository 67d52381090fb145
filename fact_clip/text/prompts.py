"""Prompts of a vocabulary: one or more sentences for each class, and phrases for each factor."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fact_clip.core import WHOLE_NAME, InputError, Names, Vocabulary
from fact_clip.core.io import parse_value, read_mapping
from fact_clip.text.forms import gerund, third_person

_PLAIN = ("{phrase}",)


@dataclass(frozen=True)
class Templates:
    """Wordings: "{phrase}" is "cut ham", "{does}" is "cuts ham", "{doing}" is "cutting ham"."""

    classes: Names
    slots: dict[str, Names]


_PATH = Path(__file__).with_name("templates.yaml")
TEMPLATES = parse_value(dict[str, Templates], read_mapping(_PATH, "wordings"), _PATH)


def tidy(name: str) -> str:
    """Return a class name as a phrase, with spaces for underscores, commas and slashes.

    Args:
        name: Class name, such as "pour_milk".

    Returns:
        The phrase, such as "pour milk".
    """
    return " ".join(re.sub(r"[_,/\s]+", " ", name).split()) or name


@dataclass(frozen=True)
class Prompts:
    """Texts for an encoder, which averages the vectors of the prompts of one class or factor.

    Args:
        classes: Prompts of each class.
        slots: Prompts of each factor, by slot.
    """

    classes: tuple[Names, ...]
    slots: Mapping[str, tuple[Names, ...]]

    def texts(self) -> list[str]:
        """Return every prompt once, in order of appearance."""
        prompts: dict[str, None] = {}
        for group in (self.classes, *self.slots.values()):
            for sentences in group:
                prompts |= dict.fromkeys(sentences)
        return list(prompts)


def make_prompts(
    vocabulary: Vocabulary, templates: str = "plain", *, to_phrase: Callable[[str], str] = tidy
) -> Prompts:
    """Make prompts of every class and of every factor.

    Background classes keep their name, because they are not actions.

    Args:
        vocabulary: Classes.
        templates: Key of `TEMPLATES`.
        to_phrase: Function that converts a class name to a phrase that starts with its verb.

    Returns:
        The prompts.
    """
    if templates not in TEMPLATES:
        fix = f"use one of {', '.join(TEMPLATES)}"
        raise InputError("templates", f"no entry {templates!r}", fix)
    wording = TEMPLATES[templates]

    classes = {}
    for name in vocabulary:
        is_background = name in vocabulary.background
        class_templates = _PLAIN if is_background else wording.classes
        classes[name] = _fill(class_templates, to_phrase(name))
    slots = {}
    for slot in vocabulary.slots:
        factors, _ = vocabulary.factor_indices(slot)
        if (slot,) == WHOLE_NAME:
            prompts = [classes.get(name) or _fill(wording.classes, name) for name in factors]
        else:
            slot_templates = wording.slots.get(slot, _PLAIN)
            prompts = [_fill(slot_templates, tidy(factor)) for factor in factors]
        slots[slot] = tuple(prompts)
    return Prompts(tuple(classes.values()), slots)


def _fill(templates: Iterable[str], phrase: str) -> Names:
    # two templates may give the same text, which would count twice in the mean
    words = {"phrase": phrase, "does": third_person(phrase), "doing": gerund(phrase)}
    return tuple(dict.fromkeys(template.format(**words) for template in templates))
