"""What is known of each data set beforehand (docs/datasets.md, Benchmarks); a new one is an entry of `BENCHMARKS`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from fact_clip.core import InputError, Vocabulary
from fact_clip.text import havid

Layout = Literal["TD", "DT"]
Factors = tuple[str | None, ...]


@dataclass(frozen=True)
class Benchmark:
    """How to read a data set in the common layout. Files are relative to its folder."""

    layout: Layout | None  # of feature files: time first or channels first; None: told by shapes and labels
    fps: float | None  # feature rows per second; None where unknown or mixed
    background: tuple[str | int, ...]  # the classes that mean "no action", by id where names differ
    slots: tuple[str, ...] | None = None  # names of the factors of an action; None: one slot, the whole name
    factors: Callable[[str], Factors] | None = None  # of a name, one per slot (None: the class lacks it)
    folder: str = ""  # below a root that holds several data sets; empty: the name of the entry
    splits: tuple[str, ...] = ()  # the published ones; empty: those in its folder
    mapping: str = "mapping.txt"
    features: str = "features"
    factor_mappings: tuple[str, ...] = ()  # mapping files of the factors, one per slot


VERB_OBJECT_TOOL = ("verb", "object", "tool")
NO_ACTION = "no action"

# --- factors of a name; background has none, and a name that does not parse is an InputError ---


def verb_object_tool(name: str) -> Factors:
    """(verb, object, tool) of VERB OBJECT [with TOOL], where object and tool may be several words."""
    if name == NO_ACTION:
        return (None, None, None)
    phrase, with_tool, tool = name.partition(" with ")
    verb, _, noun = phrase.partition(" ")
    if not verb or not noun.strip() or (with_tool and not tool.strip()):
        raise InputError(f"class {name!r}", "a name that does not parse", "VERB OBJECT [with TOOL]")
    return (verb, noun.strip(), tool.strip() or None)


def parse_factors(benchmark: str, vocabulary: Vocabulary) -> Callable[[str], Factors]:
    """The factors of names that a vocabulary of this benchmark lacks; without a grammar only the whole name."""
    entry = BENCHMARKS[benchmark]
    return entry.factors or (lambda name: (name, *[None] * (len(vocabulary.slots) - 1)))


# Breakfast appends the target to the object: "put_egg2plate", "put_toppingOnTop".
_TARGET = re.compile(r"2[a-z]+|OnTop|Together")
_BREAKFAST_OBJECTS = {"eggs": "egg", "saltnpepper": "salt and pepper"}


def breakfast_factors(name: str) -> Factors:
    """(verb, object) of VERB_OBJECT, as in "pour_milk"."""
    if name == "SIL":
        return (None, None)
    verb, _, rest = name.partition("_")
    noun = _TARGET.sub("", rest).replace("_", " ")
    if not verb or not noun:
        raise InputError(f"class {name!r}", "a name that does not parse", "VERB_OBJECT, or SIL")
    return (verb, _BREAKFAST_OBJECTS.get(noun, noun))


def salads_factors(name: str) -> Factors:
    """(verb, object, target) of VERB_OBJECT[_into_TARGET], as in "place_cheese_into_bowl"."""
    if name in ("action_start", "action_end"):
        return (None, None, None)
    verb, noun, *rest = [*name.split("_"), ""]
    if not verb or not noun:
        raise InputError(f"class {name!r}", "a name that does not parse", "VERB_OBJECT[_into_TARGET]")
    target = rest[1] if len(rest) > 2 and rest[0] in ("into", "onto") else None
    return (verb, noun, target)


def verb_and_noun(name: str) -> Factors:
    """(verb, noun) of "verb,noun", as in "put,plate"."""
    if name == "background,background":
        return (None, None)
    verb, comma, noun = name.partition(",")
    if not comma or not verb.strip() or not noun.strip() or "," in noun:
        raise InputError(f"class {name!r}", "a name that does not parse", '"verb,noun"')
    return (verb.strip(), noun.strip())


# The variants of HA-ViD share their features.
_HAVID = Benchmark("DT", None, (havid.IDLE,), havid.SLOTS, havid.factors, splits=("1",), features="../features")
_VARIANTS = [f"view{view}_{hand}_{kind}" for view in (0, 1, 2) for hand in ("lh", "rh") for kind in ("pt", "aa")]

_FOUR, _FIVE, _SEVEN = (tuple(str(number) for number in range(1, last + 1)) for last in (4, 5, 7))

BENCHMARKS: dict[str, Benchmark] = {
    "folder": Benchmark(None, None, ()),
    "breakfast": Benchmark("DT", 15.0, ("SIL",), ("verb", "object"), breakfast_factors, splits=_FOUR),
    "gtea": Benchmark("DT", 15.0, ("background",), splits=_FOUR),
    "50salads": Benchmark(
        "DT", 30.0, ("action_start", "action_end"), ("verb", "object", "target"), salads_factors, splits=_FIVE
    ),
    "egoprocel": Benchmark("TD", None, (0,)),
    "epic": Benchmark(
        layout="TD",
        fps=None,
        background=("background,background",),
        slots=("verb", "noun"),
        factors=verb_and_noun,
        mapping="processed/mapping.txt",
        factor_mappings=("processed/verb_mapping.txt", "processed/noun_mapping.txt"),
    ),
    **{f"havid_{name}": replace(_HAVID, folder=f"HAViD/ActionSegmentation/data/{name}") for name in _VARIANTS},
    "kscgr": Benchmark("TD", 6.0, (NO_ACTION,), VERB_OBJECT_TOOL, verb_object_tool, splits=_SEVEN),
    "workbench": Benchmark("TD", 15.0, (NO_ACTION,), VERB_OBJECT_TOOL, verb_object_tool),
}
