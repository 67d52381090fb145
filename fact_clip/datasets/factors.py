"""The factors of class names: from ROOT/factors.csv, by a pattern, or as the entry of a benchmark reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.errors import ConfigKey, FileLocation
from fact_clip.core.messages import spelling_key, suggest
from fact_clip.core.vocabulary import Factors
from fact_clip.datasets.benchmarks import find_benchmark
from fact_clip.formats.base import read_lines
from fact_clip.text.english import ENGLISH, Sentences
from fact_clip.text.grammar import Grammar

FILE = "factors.csv"
_HEADER = '"class" and a column per slot, as in "class,verb,object"'


def class_factors(
    config: DataConfig, root: Path | None, names: Sequence[str], background: Sequence[str]
) -> tuple[Callable[[str], Factors] | None, tuple[str, ...] | None]:
    """Return a function from a name to its factors, and their slots; None twice where only names as a whole count.

    ``root/factors.csv`` comes first, then ``data.grammar`` for the classes that it lacks; without either, the grammar
    of the benchmark. The function gives None for each slot of a background class, and an InputError for a name that
    does not parse.
    """
    benchmark, table, in_table = find_benchmark(config.name), dict[str, Factors](), None
    slots, grammar = benchmark.slots, benchmark.factors
    if root is not None and os.path.lexists(root / FILE):
        in_table, table, faults = parse_factors(root / FILE, (*names, *config.unlabelled))
        if faults:
            raise faults[0]
        slots, grammar = in_table, None
    if config.grammar is not None:
        grammar, slots = _reader(config.grammar, [name for name in names if name not in background], in_table)
    if slots is None:
        return None, None

    def read(name: str) -> Factors:
        if name in background:
            return (None,) * len(slots)
        if any(table.get(name, ())):
            return table[name]
        if grammar is None:
            fix = "add them, set data.grammar, or name the class in data.background if it means no action"
            raise InputError(f"class {name!r}", f"no factors in {FILE}", fix)
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
            problem = f"no slot {slot!r} among those of the classes"
            raise InputError(ConfigKey("data.grammar"), problem, f"use {', '.join(slots)}")

    def read(name: str) -> Factors:
        by_slot = dict(zip(grammar.slots, grammar(name), strict=True))
        return tuple(map(by_slot.get, slots))

    return read, slots


def parse_factors(path: Path, names: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Factors], list[InputError]]:
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
        return (), {}, [InputError(FileLocation(path, number), f"not the header of {FILE}: {', '.join(header)!r}", fix)]
    table: dict[str, Factors] = {}
    faults = []
    for number, cells in lines[1:]:
        where, name = FileLocation(path, number), cells[0]
        if not any(cells):
            continue
        if len(cells) != len(header):
            faults.append(InputError(where, f"{len(cells)} cells, but {len(header)} in the header"))
        elif name not in names:
            faults.append(InputError(where, f"no class {name!r} in the mapping", suggest(name, names)))
        elif name in table:
            faults.append(InputError(where, f"class {name!r} again", "list each once"))
        else:
            table[name] = tuple(" ".join(cell.replace("_", " ").split()) or None for cell in cells[1:])
    return slots, table, faults


def new_factors(
    config: DataConfig, vocabulary: Vocabulary, names: Iterable[str]
) -> tuple[dict[str, Factors], list[str]]:
    """Return the factors of names that a vocabulary lacks, and those names that do not parse: one phrase each.

    They are read as the names of the vocabulary are. A factor in another spelling is the trained one.
    """
    slots, actions = vocabulary.slots, [name for name in vocabulary if name not in vocabulary.background]
    benchmark, grammar = find_benchmark(config.name), None
    if config.grammar is not None:
        grammar, _ = _reader(config.grammar, actions, slots)
    elif benchmark.slots == slots:
        grammar = benchmark.factors
    factors, phrases = dict[str, Factors](), list[str]()
    for name in names:
        parsed = None if grammar is None else _parse(grammar, name)
        if parsed is None and len(slots) > 1:
            phrases.append(name)
        factors[name] = _as_trained(parsed, vocabulary) if parsed else (name, *[None] * (len(slots) - 1))
    return factors, phrases


def _parse(grammar: Callable[[str], Factors], name: str) -> Factors | None:
    """Return the factors of a name as it is, or with blanks for its underscores; None if it parses in neither way."""
    for spelled in (name, name.replace("_", " ")):
        with suppress(InputError):
            return grammar(spelled)
    return None


def _as_trained(factors: Factors, vocabulary: Vocabulary) -> Factors:
    """Return factors as a vocabulary spells them, where it has them."""
    words = [{spelling_key(word): word for word in vocabulary.factor_indices(slot)[0]} for slot in vocabulary.slots]
    return tuple(word and trained.get(spelling_key(word), word) for word, trained in zip(factors, words, strict=True))
