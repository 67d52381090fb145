"""How published data sets are read (docs/benchmarks.md); a new one is an entry of `BENCHMARKS`. Factors of names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fact_clip.config import DataConfig
from fact_clip.core import ConfigKey, Factors, FileLocation, InputError, Vocabulary
from fact_clip.core.messages import spelling_key, suggest
from fact_clip.formats.base import read_lines
from fact_clip.text import havid
from fact_clip.text.english import ENGLISH, Sentences
from fact_clip.text.grammar import Grammar

FACTORS_FILE = "factors.csv"
_HEADER = '"class" and a column per slot, as in "class,verb,object"'
Layout = Literal["TD", "DT"]


@dataclass(frozen=True)
class Benchmark:
    """How to read a data set in the common layout. Files are relative to its folder."""

    layout: (
        Layout | None
    )  # of feature files: time first or channels first; None: by shapes and labels
    fps: float | None  # feature rows per second; None where unknown or mixed
    background: tuple[str | int, ...]  # the classes that mean "no action", by id where names differ
    slots: tuple[str, ...] | None = (
        None  # names of the factors of an action; None: one slot, the whole name
    )
    factors: Callable[[str], Factors] | None = (
        None  # of a name, one per slot (None: the class lacks it)
    )
    folder: str = ""  # below a root that holds several data sets; empty: the name of the entry
    splits: int = 0  # published ones, named 1, 2, ...; 0: those in its folder
    classes: int | None = None  # in the published mapping; None where there are several
    mapping: str = "mapping.txt"
    features: str = "features"


NO_ACTION = "no action"

# Patterns for names; the background has no factor, and a name that does not parse is an InputError.
verb_object_tool = Grammar("{verb} {object} [with {tool}]", none=(NO_ACTION,))
# Breakfast appends the target to the object: "put_egg2plate", "put_toppingOnTop".
breakfast_factors = Grammar(
    "{verb}_{object}[2{}][OnTop][Together]",
    none=("SIL",),
    words={"eggs": "egg", "saltnpepper": "salt and pepper"},
)
salads_factors = Grammar(
    "{verb}_{object}[_into_{target}][_onto_{target}]", none=("action_start", "action_end")
)
verb_and_noun = Grammar("{verb},{noun}", none=("background,background",))

# The variants of HA-ViD share their features.
_HAVID = Benchmark(
    "DT", None, (havid.IDLE,), havid.SLOTS, havid.factors, splits=1, features="../features"
)
_VARIANTS = [
    f"view{view}_{hand}_{kind}"
    for view in (0, 1, 2)
    for hand in ("lh", "rh")
    for kind in ("pt", "aa")
]

BENCHMARKS: dict[str, Benchmark] = {
    "folder": Benchmark(None, None, ()),
    "breakfast": Benchmark(
        "DT", 15.0, ("SIL",), breakfast_factors.slots, breakfast_factors, splits=4, classes=48
    ),
    "gtea": Benchmark("DT", 15.0, ("background",), splits=4, classes=11),
    "50salads": Benchmark(
        "DT", 30.0, salads_factors.none, salads_factors.slots, salads_factors, splits=5, classes=19
    ),
    "egoprocel": Benchmark("TD", None, (0,)),
    "epic": Benchmark(
        "TD",
        None,
        verb_and_noun.none,
        verb_and_noun.slots,
        verb_and_noun,
        mapping="processed/mapping.txt",
    ),
    **{
        f"havid_{name}": replace(_HAVID, folder=f"HAViD/ActionSegmentation/data/{name}")
        for name in _VARIANTS
    },
    "kscgr": Benchmark(
        "TD", 6.0, (NO_ACTION,), verb_object_tool.slots, verb_object_tool, splits=7, classes=67
    ),
    "workbench": Benchmark("TD", 15.0, (NO_ACTION,), verb_object_tool.slots, verb_object_tool),
}


def find_benchmark(name: str) -> Benchmark:
    """Return the entry of `BENCHMARKS` with that name."""
    if name not in BENCHMARKS:
        fix = f"use one of {', '.join(BENCHMARKS)}; your own data set is 'folder'"
        raise InputError(ConfigKey("data.name"), f"no data set {name!r}", fix)
    return BENCHMARKS[name]


def class_factors(
    config: DataConfig, root: Path, names: Sequence[str], background: Sequence[str]
) -> tuple[Callable[[str], Factors] | None, tuple[str, ...] | None]:
    """Return a function from a name to its factors, and their slots; None twice where only names as a whole count.

    ``root/factors.csv`` comes first, then ``data.grammar`` for the classes that it lacks; without either, the grammar
    of the benchmark. A background class has None for each slot; a name that does not parse is an InputError.
    """
    benchmark, table, in_table = find_benchmark(config.name), dict[str, Factors](), None
    slots, grammar = benchmark.slots, benchmark.factors
    if os.path.lexists(root / FACTORS_FILE):
        in_table, table, faults = parse_factors(root / FACTORS_FILE, (*names, *config.unlabelled))
        if faults:
            raise faults[0]
        slots, grammar = in_table, None
    if config.grammar is not None:
        grammar, slots = _reader(
            config.grammar, [name for name in names if name not in background], in_table
        )
    if slots is None:
        return None, None

    def read(name: str) -> Factors:
        if name in background:
            return (None,) * len(slots)
        if any(table.get(name, ())):
            return table[name]
        if grammar is None:
            fix = "add them, set data.grammar, or name the class in data.background if it means no action"
            raise InputError(f"class {name!r}", f"no factors in {FACTORS_FILE}", fix)
        parsed = grammar(name)
        # a background class of the benchmark that this run counts as an action has its name as a factor
        return parsed if any(parsed) else (name, *parsed[1:])

    return read, slots


def _reader(
    pattern: str, actions: Iterable[str], slots: tuple[str, ...] | None
) -> tuple[Callable[[str], Factors], tuple[str, ...]]:
    """Return what ``data.grammar`` names as a function from a name to its factors in some slots (None: its own)."""
    grammar = Sentences(actions) if pattern == ENGLISH else Grammar.of(pattern, actions)
    slots = slots or grammar.slots
    for slot in grammar.slots:
        if slot not in slots:
            raise InputError(
                ConfigKey("data.grammar"),
                f"the classes have no slot {slot!r}",
                f"use {', '.join(slots)}",
            )

    def read(name: str) -> Factors:
        by_slot = dict(zip(grammar.slots, grammar(name), strict=True))
        return tuple(map(by_slot.get, slots))

    return read, slots


def parse_factors(
    path: Path, names: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, Factors], list[InputError]]:
    """Return the slots of a factors.csv, the factors of each class that it lists, and all its faults.

    The first line is "class" and the names of the slots; an empty cell is a factor that the class does not have.
    """
    try:
        lines = read_lines(path, _HEADER)
    except InputError as error:
        return (), {}, [error]
    number, header = lines[0] if lines else (1, [])
    slots = tuple(header[1:])
    if header[:1] != ["class"] or not slots or not all(slots) or len(set(slots)) != len(slots):
        fix = f"write {_HEADER}"
        return (
            (),
            {},
            [
                InputError(
                    FileLocation(path, number),
                    f"not the header of {FACTORS_FILE}: {', '.join(header)!r}",
                    fix,
                )
            ],
        )
    table: dict[str, Factors] = {}
    faults = []
    for number, cells in lines[1:]:
        where, name = FileLocation(path, number), cells[0]
        if not any(cells):
            continue
        if len(cells) != len(header):
            faults.append(InputError(where, f"{len(cells)} cells, but {len(header)} in the header"))
        elif name not in names:
            faults.append(
                InputError(where, f"no class {name!r} in the mapping", suggest(name, names))
            )
        elif name in table:
            faults.append(InputError(where, f"class {name!r} again", "list each once"))
        else:
            table[name] = tuple(
                " ".join(cell.replace("_", " ").split()) or None for cell in cells[1:]
            )
    return slots, table, faults


def new_factors(
    config: DataConfig, vocabulary: Vocabulary, names: Iterable[str]
) -> tuple[dict[str, Factors], list[str]]:
    """Return the factors of names that a vocabulary lacks, and those names that do not parse: one phrase each.

    They are read as the names of the vocabulary are. A factor in another spelling is the trained one.
    """
    slots, actions = (
        vocabulary.slots,
        [name for name in vocabulary if name not in vocabulary.background],
    )
    benchmark, grammar = find_benchmark(config.name), None
    if config.grammar is not None:
        grammar, _ = _reader(config.grammar, actions, slots)
    elif benchmark.slots == slots:
        grammar = benchmark.factors
    trained = [
        {spelling_key(word): word for word in vocabulary.factor_indices(slot)[0]} for slot in slots
    ]
    factors, phrases = dict[str, Factors](), list[str]()
    for name in names:
        parsed: Factors | None = None
        for spelled in (name, name.replace("_", " ")):
            with suppress(InputError):
                parsed = parsed or (grammar(spelled) if grammar is not None else None)
        if parsed is None and len(slots) > 1:
            phrases.append(name)
        if parsed is not None:  # as the vocabulary spells its factors, where it has them
            parsed = tuple(
                word and words.get(spelling_key(word), word)
                for word, words in zip(parsed, trained, strict=True)
            )
        factors[name] = parsed or (name, *[None] * (len(slots) - 1))
    return factors, phrases
