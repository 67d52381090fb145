"""How each published data set is read (docs/benchmarks.md, Benchmarks); a new one is an entry of `BENCHMARKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from fact_clip.core import InputError
from fact_clip.core.errors import ConfigKey
from fact_clip.core.vocabulary import Factors
from fact_clip.text import havid
from fact_clip.text.grammar import Grammar

Layout = Literal["TD", "DT"]


@dataclass(frozen=True)
class Benchmark:
    """How to read a data set in the common layout. Files are relative to its folder."""

    layout: Layout | None  # of feature files: time first or channels first; None: by shapes and labels
    fps: float | None  # feature rows per second; None where unknown or mixed
    background: tuple[str | int, ...]  # the classes that mean "no action", by id where names differ
    slots: tuple[str, ...] | None = None  # names of the factors of an action; None: one slot, the whole name
    factors: Callable[[str], Factors] | None = None  # of a name, one per slot (None: the class lacks it)
    folder: str = ""  # below a root that holds several data sets; empty: the name of the entry
    splits: tuple[str, ...] = ()  # the published ones; empty: those in its folder
    classes: int | None = None  # in the published mapping; None where there are several
    mapping: str = "mapping.txt"
    features: str = "features"
    factor_mappings: tuple[str, ...] = ()  # mapping files of the factors, one per slot


NO_ACTION = "no action"

# Patterns for names; the background has no factor, and a name that does not parse is an InputError.
verb_object_tool = Grammar("{verb} {object} [with {tool}]", none=(NO_ACTION,))
VERB_OBJECT_TOOL = verb_object_tool.slots
# Breakfast appends the target to the object: "put_egg2plate", "put_toppingOnTop".
breakfast_factors = Grammar(
    "{verb}_{object}[2{}][OnTop][Together]", none=("SIL",), words={"eggs": "egg", "saltnpepper": "salt and pepper"}
)
salads_factors = Grammar("{verb}_{object}[_into_{target}][_onto_{target}]", none=("action_start", "action_end"))
verb_and_noun = Grammar("{verb},{noun}", none=("background,background",))

# The variants of HA-ViD share their features.
_HAVID = Benchmark("DT", None, (havid.IDLE,), havid.SLOTS, havid.factors, splits=("1",), features="../features")
_VARIANTS = [f"view{view}_{hand}_{kind}" for view in (0, 1, 2) for hand in ("lh", "rh") for kind in ("pt", "aa")]

_FOUR, _FIVE, _SEVEN = (tuple(str(number) for number in range(1, last + 1)) for last in (4, 5, 7))

BENCHMARKS: dict[str, Benchmark] = {
    "folder": Benchmark(None, None, ()),
    "breakfast": Benchmark("DT", 15.0, ("SIL",), breakfast_factors.slots, breakfast_factors, splits=_FOUR, classes=48),
    "gtea": Benchmark("DT", 15.0, ("background",), splits=_FOUR, classes=11),
    "50salads": Benchmark(
        "DT", 30.0, salads_factors.none, salads_factors.slots, salads_factors, splits=_FIVE, classes=19
    ),
    "egoprocel": Benchmark("TD", None, (0,)),
    "epic": Benchmark(
        layout="TD",
        fps=None,
        background=("background,background",),
        slots=verb_and_noun.slots,
        factors=verb_and_noun,
        mapping="processed/mapping.txt",
        factor_mappings=("processed/verb_mapping.txt", "processed/noun_mapping.txt"),
    ),
    **{f"havid_{name}": replace(_HAVID, folder=f"HAViD/ActionSegmentation/data/{name}") for name in _VARIANTS},
    "kscgr": Benchmark("TD", 6.0, (NO_ACTION,), VERB_OBJECT_TOOL, verb_object_tool, splits=_SEVEN, classes=67),
    "workbench": Benchmark("TD", 15.0, (NO_ACTION,), VERB_OBJECT_TOOL, verb_object_tool),
}


def find_benchmark(name: str) -> Benchmark:
    """Return the entry of `BENCHMARKS` with that name."""
    if name not in BENCHMARKS:
        fix = f"use one of {', '.join(BENCHMARKS)}; your own data set is 'folder' with data.root"
        raise InputError(ConfigKey("data.name"), f"no data set {name!r}", fix)
    return BENCHMARKS[name]
