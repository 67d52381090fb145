"""What is known of each data set beforehand; a new one is one entry of `BENCHMARKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fact_clip.core import InputError, Vocabulary

Layout = Literal["TD", "DT"]
Factors = tuple[str | None, ...]


@dataclass(frozen=True)
class Benchmark:
    """How a data set in the common layout is to be read.

    Args:
        layout: "TD", feature files with time first; "DT", channels first; None: read off the shapes of each set.
        fps: feature rows a second; None where nobody knows or sets differ.
        background: names of the classes that mean "no action".
        slots: names of the factors of an action; None: one slot, the whole name.
        factors: name -> one factor a slot (None: the class lacks it); None together with `slots`.
        note: one line for people: what it is, and where it comes from.
    """

    layout: Layout | None
    fps: float | None
    background: tuple[str, ...]
    slots: tuple[str, ...] | None
    factors: Callable[[str], Factors] | None
    note: str


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


BENCHMARKS: dict[str, Benchmark] = {
    "folder": Benchmark(None, None, (), None, None, "any own data set in the common layout"),
    "kscgr": Benchmark(
        "TD", 6.0, (NO_ACTION,), VERB_OBJECT_TOOL, verb_object_tool, "egg cooking: 7 people, object boxes, 67 classes"
    ),
    "workbench": Benchmark(
        "TD", 15.0, (NO_ACTION,), VERB_OBJECT_TOOL, verb_object_tool, "procedural assembly, made by data/synthetic.py"
    ),
}
