"""What is known of each data set beforehand; a new one is one entry of `BENCHMARKS`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fact_clip.core import InputError, Vocabulary
from fact_clip.text import havid

Layout = Literal["TD", "DT"]
Factors = tuple[str | None, ...]


@dataclass(frozen=True)
class Benchmark:
    """How a data set in the common layout is to be read.

    Args:
        layout: "TD", feature files with time first; "DT", channels first; None: read off the shapes of each set.
        fps: feature rows a second; None where nobody knows or sets differ.
        background: names of the classes that mean "no action", or their ids where sets name them differently.
        slots: names of the factors of an action; None: one slot, the whole name.
        factors: name -> one factor a slot (None: the class lacks it); None together with `slots`.
        note: one line for people: what it is, and where it comes from.
        folder: where it lies below a root that holds several data sets; empty: a folder of its entry's name.
        splits: names of the splits that it is published with; empty: those that its folder has.
        mapping: the mapping file, from its own folder.
        features: the folder of feature files, from its own folder.
        factor_mappings: mapping files of the factors, one a slot, from its own folder.
    """

    layout: Layout | None
    fps: float | None
    background: tuple[str | int, ...]
    slots: tuple[str, ...] | None
    factors: Callable[[str], Factors] | None
    note: str
    folder: str = ""
    splits: tuple[str, ...] = ()
    mapping: str = "mapping.txt"
    features: str = "features"
    factor_mappings: tuple[str, ...] = ()


VERB_OBJECT_TOOL = ("verb", "object", "tool")
NO_ACTION = "no action"


def verb_object_tool(name: str) -> Factors:
    """Factors of a name of the form VERB OBJECT [with TOOL], where object and tool may be several words.

    "no action" has none: (None, None, None).

    Raises:
        InputError: no object, or nothing after "with".
    """
    if name == NO_ACTION:
        return (None, None, None)
    phrase, with_tool, tool = name.partition(" with ")
    verb, _, thing = phrase.partition(" ")
    if not verb or not thing.strip() or (with_tool and not tool.strip()):
        raise InputError(f"class {name!r}", "a name that does not parse", "VERB OBJECT [with TOOL]")
    return (verb, thing.strip(), tool.strip() or None)


def parse_factors(benchmark: str, vocabulary: Vocabulary) -> Callable[[str], Factors]:
    """How names that a vocabulary of this benchmark lacks are read into its slots.

    A benchmark without a grammar has one slot, the whole name, and reads any name; one with a grammar refuses a name
    that does not parse.
    """
    entry = BENCHMARKS[benchmark]
    return entry.factors or (lambda name: (name, *[None] * (len(vocabulary.slots) - 1)))


# Breakfast writes where a thing goes behind the thing: "put_egg2plate", "put_toppingOnTop".
_WHERE_TO = re.compile(r"2[a-z]+|OnTop|Together")
_BREAKFAST_OBJECTS = {"eggs": "egg", "saltnpepper": "salt and pepper"}


def breakfast_factors(name: str) -> Factors:
    """(verb, object) of VERB_OBJECT, as in "pour_milk"; "SIL" has none.

    Raises:
        InputError: no object.
    """
    if name == "SIL":
        return (None, None)
    verb, _, rest = name.partition("_")
    thing = _WHERE_TO.sub("", rest).replace("_", " ")
    if not verb or not thing:
        raise InputError(f"class {name!r}", "a name that does not parse", "VERB_OBJECT, or SIL")
    return (verb, _BREAKFAST_OBJECTS.get(thing, thing))


def salads_factors(name: str) -> Factors:
    """(verb, object, target) of VERB_OBJECT[_into_TARGET], as in "place_cheese_into_bowl"; start and end have none.

    Raises:
        InputError: no object.
    """
    if name in ("action_start", "action_end"):
        return (None, None, None)
    verb, thing, *rest = [*name.split("_"), ""]
    if not verb or not thing:
        raise InputError(f"class {name!r}", "a name that does not parse", "VERB_OBJECT[_into_TARGET]")
    target = rest[1] if len(rest) > 2 and rest[0] in ("into", "onto") else None
    return (verb, thing, target)


def verb_and_noun(name: str) -> Factors:
    """(verb, noun) of "verb,noun", as in "put,plate"; "background,background" has none.

    Raises:
        InputError: another number of commas than one, or nothing on a side of it.
    """
    if name == "background,background":
        return (None, None)
    verb, comma, noun = name.partition(",")
    if not comma or not verb.strip() or not noun.strip() or "," in noun:
        raise InputError(f"class {name!r}", "a name that does not parse", '"verb,noun"')
    return (verb.strip(), noun.strip())


def _havid() -> dict[str, Benchmark]:
    """The variants of HA-ViD: three views, both hands, primitive tasks and atomic actions; features are shared."""
    views = {0: "side", 1: "front", 2: "top"}
    hands = {"lh": "left hand", "rh": "right hand"}
    labels = {"pt": "75 primitive tasks", "aa": "219 atomic actions"}
    return {
        f"havid_view{view}_{hand}_{kind}": Benchmark(
            layout="DT",
            fps=None,
            background=(havid.IDLE,),
            slots=havid.SLOTS,
            factors=havid.factors,
            note=f"assembly, {views[view]} view, {hands[hand]}, {labels[kind]}",
            folder=f"HAViD/ActionSegmentation/data/view{view}_{hand}_{kind}",
            splits=("1",),
            features="../features",
        )
        for view in views
        for hand in hands
        for kind in labels
    }


_FOUR, _FIVE, _SEVEN = (tuple(str(number) for number in range(1, last + 1)) for last in (4, 5, 7))

BENCHMARKS: dict[str, Benchmark] = {
    "folder": Benchmark(None, None, (), None, None, "any own data set in the common layout"),
    "breakfast": Benchmark(
        layout="DT",
        fps=15.0,
        background=("SIL",),
        slots=("verb", "object"),
        factors=breakfast_factors,
        note="breakfast dishes: 1,712 videos, 48 classes, I3D",
        splits=_FOUR,
    ),
    "gtea": Benchmark(
        "DT", 15.0, ("background",), None, None, "kitchen, head camera: 28 videos, 11 classes, I3D", splits=_FOUR
    ),
    "50salads": Benchmark(
        layout="DT",
        fps=30.0,
        background=("action_start", "action_end"),
        slots=("verb", "object", "target"),
        factors=salads_factors,
        note="salads, camera above: 50 videos, 19 classes, I3D",
        splits=_FIVE,
    ),
    "egoprocel": Benchmark(
        "TD", None, (0,), None, None, "procedures, head camera, five sources: features as published with FACT"
    ),
    "epic": Benchmark(
        layout="TD",
        fps=None,
        background=("background,background",),
        slots=("verb", "noun"),
        factors=verb_and_noun,
        note="Epic-Kitchens: pairs of 97 verbs and 300 nouns, beside a background of each",
        mapping="processed/mapping.txt",
        factor_mappings=("processed/verb_mapping.txt", "processed/noun_mapping.txt"),
    ),
    **_havid(),
    "kscgr": Benchmark(
        layout="TD",
        fps=6.0,
        background=(NO_ACTION,),
        slots=VERB_OBJECT_TOOL,
        factors=verb_object_tool,
        note="egg cooking: 7 people, object boxes, 67 classes",
        splits=_SEVEN,
    ),
    "workbench": Benchmark(
        "TD", 15.0, (NO_ACTION,), VERB_OBJECT_TOOL, verb_object_tool, "procedural assembly, made by data/synthetic.py"
    ),
}
