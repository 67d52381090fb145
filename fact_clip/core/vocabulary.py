"""Action names, each with its background flag and its factors by slot (docs/datasets.md).

An action is a tuple of factors: "cut ham with knife" is (cut, ham, knife) in the slots verb, object, tool. Prompts,
heads, hold-outs and reports rest on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core.arguments import names_of, path_of
from fact_clip.core.errors import InputError
from fact_clip.core.files import read_lines
from fact_clip.core.messages import (
    MAX_NAME,
    describe_invalid_name,
    is_name,
    normalize,
    shortened,
    spelling_key,
    suggest,
)
from fact_clip.core.public import public_class
from fact_clip.core.segments import frame_labels

Factors: TypeAlias = tuple[str | None, ...]
OneClass: TypeAlias = Sequence[str | None] | Mapping[str, str | None]
FactorSource: TypeAlias = Mapping[str, OneClass] | Callable[[str], OneClass]

WHOLE_NAME = ("phrase",)  # the slots of a vocabulary of which only names are known


@public_class
@dataclass(frozen=True)
class Vocabulary:
    """An ordered list of action names; the place of a name is its class index.

    Made by `from_names` or `from_mapping`; made directly, every field must be complete.

    Args:
        names: action names, length C.
        background: those of them that mean "no action".
        slots: what the factors are, as ("verb", "object", "tool").
        factors: C tuples with one entry per slot; None if a class has no such factor.
    """

    names: tuple[str, ...]
    background: tuple[str, ...]
    slots: tuple[str, ...]
    factors: tuple[Factors, ...]

    def __post_init__(self) -> None:
        for field in ("names", "background", "slots"):
            object.__setattr__(self, field, names_of(getattr(self, field), field))
        _check_names("names", self.names)
        _check_names("slots", self.slots)
        for name in self.background:
            self.index(name)
        if len(set(self.background)) != len(self.background):
            raise InputError("background", f"a name twice in {self.background}; expected each name once")
        if len(self.factors) != len(self.names):
            raise InputError(
                "factors", f"{len(self.factors)} entries; expected one for each of {len(self.names)} classes"
            )
        object.__setattr__(self, "factors", tuple(_entry(*each) for each in zip(self.names, self.factors, strict=True)))
        for name, entry in zip(self.names, self.factors, strict=True):
            where = f"class {name!r}"
            if len(entry) != len(self.slots):
                raise InputError(where, f"factors {entry}; expected one entry for each of the slots {self.slots}")
            if any(factor is not None and not (isinstance(factor, str) and factor) for factor in entry):
                raise InputError(where, f"factors {entry}; expected a text, or None, for each slot")
            if name not in self.background and all(factor is None for factor in entry):
                raise InputError(where, "no factor at all; expected at least one for a class that is not background")

    @classmethod
    def from_names(
        cls,
        names: Iterable[str],
        background: Iterable[str] = (),
        factors: FactorSource | None = None,
        slots: Sequence[str] | None = None,
    ) -> Vocabulary:
        """Number names in the order given.

        Args:
            names: action names.
            background: those of them that mean "no action".
            factors: for each name a tuple with one entry per slot or a mapping slot -> factor, looked up by name (a
                background name may be missing) or given by a function of the name. None: one slot, the whole name.
            slots: names of the slots; read off `factors` if not given (for tuples: "slot1", "slot2", ...).
        """
        listed, left_out = names_of(names, "names"), names_of(background, "background")
        _check_names("names", listed)
        found, entries = _resolved(listed, left_out, factors, slots)
        return cls(listed, left_out, found, entries)

    @classmethod
    def from_mapping(
        cls,
        path: str | Path,
        background: Iterable[str] = (),
        factors: FactorSource | None = None,
        slots: Sequence[str] | None = None,
    ) -> Vocabulary:
        """Read a mapping file, see `parse_mapping`; its first fault is raised. Other arguments as in `from_names`."""
        file, left_out = path_of(path, "mapping"), names_of(background, "background")
        listed, faults = parse_mapping(file)
        if faults:
            raise faults[0]
        for name in left_out:
            if name not in listed:
                raise InputError(file, f"no class {name!r}, named as background", suggest(name, listed))
        return cls.from_names(listed, left_out, factors, slots)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._index_of

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """Class index of a name; an unknown one is an InputError that says the nearest."""
        if not isinstance(name, str):
            raise InputError("vocabulary", f"{name!r}; expected a name")
        if name not in self._index_of:
            raise InputError("vocabulary", f"no class {name!r} among {len(self)}", suggest(name, self.names))
        return self._index_of[name]

    @cached_property
    def _spelled(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in self.names:
            found.setdefault(spelling_key(name), name)
        return found

    def same(self, name: str) -> str:
        """The class that this name is in another spelling (see `spelling`), or the name as it is."""
        return name if name in self else self._spelled.get(spelling_key(name), name)

    def encode(self, labels: Iterable[str]) -> NDArray[np.int64]:
        """Names -> class indices, (T,)."""
        return np.array([self.index(label) for label in names_of(labels, "labels")], dtype=np.int64)

    def decode(self, indices: ArrayLike) -> list[str]:
        """Class indices (T,) -> names; one outside [0, C) is an InputError."""
        array = frame_labels(indices, "indices")
        wrong = array[(array < 0) | (array >= len(self))]
        if wrong.size:
            raise InputError("indices", f"class {wrong[0]}; expected 0 to {len(self) - 1}")
        return [self.names[index] for index in array.tolist()]

    @property
    def background_indices(self) -> tuple[int, ...]:
        """Class indices of the background names, in the order of `background`."""
        return tuple(self.index(name) for name in self.background)

    def factor_indices(self, slot: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The K factors of one slot in order of appearance, and for each class the index of its factor or -1, (C,)."""
        if slot not in self.slots:
            raise InputError("vocabulary", f"no slot {slot!r}; expected one of {self.slots}")
        column = [entry[self.slots.index(slot)] for entry in self.factors]
        known = list(dict.fromkeys(factor for factor in column if factor is not None))
        indices = [-1 if factor is None else known.index(factor) for factor in column]
        return tuple(known), np.array(indices, dtype=np.int64)

    def extended(
        self, names: Iterable[str], background: Iterable[str] = (), factors: FactorSource | None = None
    ) -> Vocabulary:
        """A vocabulary with further names after these, in the same slots; arguments as in `from_names`."""
        listed, left_out = names_of(names, "names"), names_of(background, "background")
        _, entries = _resolved(listed, left_out, factors, self.slots)
        return Vocabulary(self.names + listed, self.background + left_out, self.slots, self.factors + entries)

    def subset(self, names: Iterable[str]) -> Vocabulary:
        """A vocabulary of some of these names, in the order given, with their flags and factors."""
        listed = names_of(names, "names")
        entries = tuple(self.factors[self.index(name)] for name in listed)
        return Vocabulary(listed, tuple(name for name in self.background if name in listed), self.slots, entries)

    def is_compositional(self, unseen: Iterable[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        """For each unseen name the (slot, factor) pairs that no seen class has (docs/protocol.md, 'Levels').

        A name with an empty tuple is compositional: with all of `unseen` held out, each of its factors still
        occurs in some class that is not.
        """
        held_out = names_of(unseen, "unseen")
        pairs = {
            name: [(slot, factor) for slot, factor in zip(self.slots, entry, strict=True) if factor is not None]
            for name, entry in zip(self.names, self.factors, strict=True)
        }
        seen = {pair for name, own in pairs.items() if name not in held_out for pair in own}
        return {
            name: tuple(pair for pair in pairs[self.names[self.index(name)]] if pair not in seen) for name in held_out
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: names, background, slots, factors."""
        return {
            "names": list(self.names),
            "background": list(self.background),
            "slots": list(self.slots),
            "factors": [list(entry) for entry in self.factors],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabulary:
        """Read what `to_dict` wrote; another set of keys is an InputError."""
        keys = ("names", "background", "slots", "factors")
        if not isinstance(values, Mapping) or set(values) != set(keys):
            found = sorted(values) if isinstance(values, Mapping) else type(values).__name__
            raise InputError("vocabulary", f"{found}; expected the keys {list(keys)}")
        names, background, slots = (names_of(values[key], key) for key in keys[:3])
        return cls(names, background, slots, tuple(values["factors"]))


def _check_names(where: str, names: tuple[str, ...]) -> None:
    if not names:
        raise InputError(where, "none; expected at least one")
    seen: dict[str, str] = {}
    for name in names:
        if not is_name(name, legacy=True):
            raise InputError(
                where, f"{shortened(name)!r}; expected a name of one line that is not blank and can be printed"
            )
        if (same := seen.get(normalize(name))) is not None:
            found = f"{name!r} twice" if same == name else f"{name!a} and {same!a}, which look the same"
            raise InputError(where, f"{found}; expected each name once")
        seen[normalize(name)] = name


# --- factors in one form ------------------------------------------------------------------------------


def _resolved(
    names: Sequence[str], background: Sequence[str], source: FactorSource | None, slots: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[Factors, ...]]:
    """The slots, and for each name a tuple with one factor per slot; arguments as in `Vocabulary.from_names`."""
    if source is None:
        chosen = WHOLE_NAME if slots is None else names_of(slots, "slots")
        if len(chosen) != 1:
            raise InputError(
                "factors", f"none; expected factors for the slots {chosen}", "pass `factors` along with `slots`"
            )
        return chosen, tuple((name,) for name in names)
    if not callable(source) and not isinstance(source, Mapping):
        raise InputError("factors", f"{source!r}; expected a mapping or a function of names")
    raw: list[OneClass | None] = []
    for name in names:
        if not callable(source) and name not in source and name not in background:
            expected = "an entry in `factors` for each class that is not background"
            raise InputError(f"class {name!r}", f"no factors; expected {expected}")
        entry = source(name) if callable(source) else source.get(name)
        raw.append(entry if entry is None or isinstance(entry, str | Mapping) else _entry(name, entry))
    chosen = _slots_of(raw) if slots is None else names_of(slots, "slots")
    return chosen, tuple(_in_slots(name, entry, chosen) for name, entry in zip(names, raw, strict=True))


def _slots_of(raw: Iterable[OneClass | None]) -> tuple[str, ...]:
    given = [entry for entry in raw if entry is not None]
    named = dict.fromkeys(slot for entry in given if isinstance(entry, Mapping) for slot in entry)
    if named:
        return tuple(named)
    widths = sorted({len(entry) for entry in given})
    if len(widths) != 1:
        raise InputError("factors", f"tuples of {widths} entries; expected tuples of one length, one entry per slot")
    return WHOLE_NAME if widths == [1] else tuple(f"slot{place}" for place in range(1, widths[0] + 1))


def _entry(name: str, factors: Any) -> Factors:
    if isinstance(factors, str | Mapping) or not isinstance(factors, Iterable):
        raise InputError(f"class {name!r}", f"factors {factors!r}; expected a list with one entry for each slot")
    return tuple(factors)


def _in_slots(name: str, entry: OneClass | None, slots: tuple[str, ...]) -> Factors:
    if entry is None:
        return (None,) * len(slots)
    if isinstance(entry, str):
        raise InputError(f"class {name!r}", f"factors {entry!r}; expected a tuple with one entry for each of {slots}")
    if not isinstance(entry, Mapping):
        return _entry(name, entry)
    unknown = [slot for slot in entry if slot not in slots]
    if unknown:
        raise InputError(f"class {name!r}", f"slot {unknown[0]!r}; expected slots among {slots}")
    return tuple(entry.get(slot) for slot in slots)


# --- mapping files ------------------------------------------------------------------------------------

_LINE = re.compile(r"([0-9]+)[ \t]+(.+)")
LONGEST_ID = 9  # digits
MOST_FAULTS = 1000  # that are looked for in one file


def parse_mapping(file: Path) -> tuple[tuple[str, ...], list[InputError]]:
    """Names by id of a mapping file, and all its faults: malformed lines, an id or a name twice, a missing id.

    A line is "id name"; the ids are 0 to C-1, each once in any order, and names may have spaces. UTF-8, else latin-1;
    any line ends and blank lines are tolerated. A faulty line gives no name.
    """
    by_id: dict[int, str] = {}
    line_of: dict[str, int] = {}
    faults: list[InputError] = []
    for number, line in enumerate(read_lines(file, 'a mapping file, "id name" a line'), start=1):
        line, where = line.strip(" \t"), f"{file}:{number}"
        if not line:
            continue
        if len(faults) == MOST_FAULTS:
            break
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(InputError(where, f'{line!r}; expected "id name", as in "0 background"'))
            continue
        index, name = int(match[1][-LONGEST_ID:]), match[2]
        if len(match[1]) > LONGEST_ID:
            faults.append(InputError(where, f"an id of {len(match[1])} digits; expected the ids 0, 1, 2, ..."))
        elif not is_name(name, legacy=True):
            expected = f"a name that can be printed, of at most {MAX_NAME:,} characters"
            faults.append(InputError(where, f"{describe_invalid_name(name)}; expected {expected}"))
        elif index in by_id:
            faults.append(InputError(where, f"id {index} twice; expected each id once"))
        elif normalize(name) in line_of:
            faults.append(
                InputError(where, f"{name!r} again, as in line {line_of[normalize(name)]}; expected each name once")
            )
        else:
            by_id[index], line_of[normalize(name)] = name, number
    missing = next((index for index in range(len(by_id)) if index not in by_id), None)
    if missing is not None and not faults:  # a faulty line may be the one that is missing
        faults.append(InputError(file, f"no id {missing}; expected the ids 0 to {len(by_id) - 1}, each once"))
    elif not by_id and not faults:
        faults.append(InputError(file, 'no classes; expected "id name" a line, as in "0 background"'))
    return tuple(by_id[index] for index in sorted(by_id)), faults
