"""The factors of class names: from ROOT/factors.csv, by a pattern, or as the entry of a benchmark reads them."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.errors import ConfigKey, FileLocation
from fact_clip.core.files import read_text
from fact_clip.core.messages import spelling_key, suggest
from fact_clip.core.vocabulary import Factors
from fact_clip.datasets.benchmarks import find_benchmark
from fact_clip.text.grammar import Grammar, agreeing, in_slots

FILE = "factors.csv"
_HEADER = '"class" and a column per slot, as in "class,verb,object"'


@dataclass(frozen=True)
class ClassFactors:
    """What reads the names of a data set: one factor per slot for a name, None where it has none.

    A background class has no factor. Calling it with a name that does not parse, or that the table lacks where there
    is no grammar, is an InputError.
    """

    slots: tuple[str, ...]
    background: tuple[str, ...] = ()
    table: Mapping[str, Factors] = field(default_factory=dict)  # of factors.csv, before the grammar
    grammar: Callable[[str], Factors] | None = None

    def __call__(self, name: str) -> Factors:
        """The factors of a name."""
        if name in self.background:
            return (None,) * len(self.slots)
        if any(self.table.get(name, ())):
            return self.table[name]
        if self.grammar is None:
            found = f"no factors in {FILE}"
            todo = "add them, set data.grammar, or name it in data.background if it means no action"
            raise InputError(f"class {name!r}", f"{found}; expected some for each action", todo)
        parsed = self.grammar(name)
        # a background class of the benchmark that this run counts as an action has its name as a factor
        return parsed if any(parsed) else (name, *parsed[1:])


def class_factors(
    config: DataConfig, root: Path | None, names: Sequence[str], background: Sequence[str]
) -> ClassFactors | None:
    """The reader of these class names; None where only the whole names are known.

    ``root/factors.csv`` comes first, then ``data.grammar`` for the classes that it lacks; without either, the grammar
    of the benchmark. A fault of the file or of the pattern is an InputError.
    """
    actions = [name for name in names if name not in background]
    table, left_out = dict[str, Factors](), tuple(background)
    if root is not None and os.path.lexists(root / FILE):
        slots, table, faults = parse_factors(root / FILE, (*names, *config.unlabelled))
        if faults:
            raise faults[0]
    elif config.grammar is not None:
        slots = Grammar(config.grammar).slots
    else:
        entry = find_benchmark(config.name)
        return None if entry.slots is None else ClassFactors(entry.slots, left_out, grammar=entry.factors)
    grammar = None if config.grammar is None else _own_grammar(config.grammar, actions, slots)
    return ClassFactors(slots, left_out, table, grammar)


def _own_grammar(pattern: str, actions: Iterable[str], slots: tuple[str, ...]) -> Callable[[str], Factors]:
    """A pattern as a function from a name to its factors in these slots, which the names of `actions` have."""
    grammar = Grammar.of(pattern, actions)
    for slot in grammar.slots:
        if slot not in slots:
            raise InputError(
                ConfigKey("data.grammar"), f"slot {slot!r}; expected slots of the classes, {', '.join(slots)}"
            )

    return lambda name: in_slots(grammar, slots, grammar(name))


def parse_factors(path: Path, names: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Factors], list[InputError]]:
    """The slots of a factors.csv, the factors of each class that it lists, and all its faults.

    The first line is "class" and the names of the slots; an empty cell is a factor that the class does not have.
    Columns are parted by commas, semicolons or tabs. Faults: a bad header (then nothing is read), a class that is not
    among `names` or comes twice, another number of cells. The factors of a background class may all be None.
    """
    lines = read_text(path, _HEADER).splitlines()
    head = lines[0] if lines else ""
    rows = csv.reader(lines, delimiter=max(",;\t", key=head.count), skipinitialspace=True)
    try:
        cut = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    except csv.Error as error:
        return (), {}, [InputError(FileLocation(path, rows.line_num), f"not a table ({error}); expected {_HEADER}")]
    header = cut[0][1] if cut else []
    slots = tuple(header[1:])
    if header[:1] != ["class"] or not slots or not all(slots) or len(set(slots)) != len(slots):
        return (), {}, [InputError(FileLocation(path, 1), f"{head!r}; expected {_HEADER}")]
    table: dict[str, Factors] = {}
    faults = []
    for number, cells in cut[1:]:
        where = f"{path}:{number}"
        if not any(cells):
            continue
        name = cells[0]
        if len(cells) != len(header):
            faults.append(InputError(where, f"{len(cells)} cells; expected {len(header)}, as in the first line"))
        elif name not in names:
            faults.append(InputError(where, f"class {name!r}; expected a class of the mapping", suggest(name, names)))
        elif name in table:
            faults.append(InputError(where, f"class {name!r} again; expected each class once"))
        else:
            table[name] = tuple(" ".join(cell.replace("_", " ").split()) or None for cell in cells[1:])
    return slots, table, faults


def new_factors(
    config: DataConfig, vocabulary: Vocabulary, names: Iterable[str]
) -> tuple[dict[str, Factors], list[str]]:
    """The factors of names that a vocabulary lacks, and those of them that do not parse.

    They are read as the vocabulary's own: by ``data.grammar``, by the grammar of the benchmark, or by one that reads
    each class as it was trained. A factor in another spelling is the trained one. A name that does not parse is a whole
    phrase, in the first slot. Where all names are whole phrases, each parses.
    """
    slots, known = vocabulary.slots, [name for name in vocabulary if name not in vocabulary.background]
    entry, grammar = find_benchmark(config.name), None
    if config.grammar is not None:
        grammar = _own_grammar(config.grammar, known, slots)
    elif entry.slots == slots:
        grammar = entry.factors
    elif len(slots) > 1:
        own = agreeing({name: vocabulary.factors[vocabulary.index(name)] for name in known}, slots)
        grammar = None if own is None else lambda name: in_slots(own, slots, own(name))
    found, whole = dict[str, Factors](), list[str]()
    for name in names:
        parsed = None if grammar is None else _parsed(grammar, name)
        if parsed is None and len(slots) > 1:
            whole.append(name)
        found[name] = _as_trained(parsed, vocabulary) if parsed else (name, *[None] * (len(slots) - 1))
    return found, whole


def _parsed(grammar: Callable[[str], Factors], name: str) -> Factors | None:
    """The factors of a name as it is, or with blanks for its underscores; None if it parses in neither way."""
    for spelled in (name, name.replace("_", " ")):
        with suppress(InputError):
            return grammar(spelled)
    return None


def _as_trained(factors: Factors, vocabulary: Vocabulary) -> Factors:
    """Factors as a vocabulary spells them, where it has them."""
    words = [{spelling_key(word): word for word in vocabulary.factor_indices(slot)[0]} for slot in vocabulary.slots]
    return tuple(own and known.get(spelling_key(own), own) for own, known in zip(factors, words, strict=True))
