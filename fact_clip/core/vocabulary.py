"""Action names, each with its background flag and its factors by slot, as (cut, ham, knife) (docs/names.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core.arguments import check_name, names_of, path_of
from fact_clip.core.errors import FileLocation, InputError
from fact_clip.core.io import read_lines
from fact_clip.core.messages import describe_invalid_name, is_name, normalize, spelling_key, suggest
from fact_clip.core.segments import frame_labels

Factors: TypeAlias = tuple[str | None, ...]
OneClass: TypeAlias = Sequence[str | None] | Mapping[str, str | None]
FactorSource: TypeAlias = Mapping[str, OneClass] | Callable[[str], OneClass]

WHOLE_NAME = ("phrase",)  # the slots of a vocabulary of which only names are known


@dataclass(frozen=True)
class Vocabulary:
    """An ordered list of action names, by `from_names` or `from_mapping`; the place of a name is its class index."""

    names: tuple[str, ...]  # action names, length C
    background: tuple[str, ...]  # those of them that mean "no action"
    slots: tuple[str, ...]  # what the factors are, as ("verb", "object", "tool")
    factors: tuple[
        Factors, ...
    ]  # C tuples with one entry per slot; None if a class has no such factor

    def __post_init__(self) -> None:
        for field in ("names", "background", "slots"):
            object.__setattr__(self, field, names_of(getattr(self, field), field))
        _check_names("names", self.names)
        _check_names("slots", self.slots)
        for name in self.background:
            self.index(name)
        object.__setattr__(self, "background", tuple(dict.fromkeys(self.background)))
        if len(self.factors) != len(self.names):
            raise InputError(
                "factors", f"{len(self.factors)} entries for {len(self.names)} classes"
            )
        object.__setattr__(self, "factors", tuple(map(tuple, self.factors)))
        for name, entry in zip(self.names, self.factors, strict=True):
            are_names = all(
                factor is None or (isinstance(factor, str) and factor) for factor in entry
            )
            if (
                len(entry) != len(self.slots)
                or not are_names
                or not (any(entry) or name in self.background)
            ):
                problem = (
                    f"factors {entry}, not a name or None for each of {self.slots}, one at least"
                )
                raise InputError(f"class {name!r}", problem)

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
            factors: for each name (a background name may be missing) a tuple with one entry per slot or a mapping slot
                -> factor, or a function of the name that gives them. None: one slot, the whole name.
            slots: names of the slots; read off `factors` if not given (for tuples: "slot1", "slot2", ...).
        """
        listed = names_of(names, "names")
        return cls(listed, names_of(background, "background"), *_resolved(listed, factors, slots))

    @classmethod
    def from_mapping(
        cls,
        path: str | Path,
        background: Iterable[str] = (),
        factors: FactorSource | None = None,
        slots: Sequence[str] | None = None,
    ) -> Vocabulary:
        """Read a mapping file, see `parse_mapping`; its first fault is raised. Other arguments as in `from_names`."""
        listed, faults = parse_mapping(path_of(path, "mapping"))
        if faults:
            raise faults[0]
        return cls.from_names(listed, background, factors, slots)

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
        if name not in self._index_of:
            raise InputError(
                "vocabulary", f"no class {name!r} among {len(self)}", suggest(str(name), self.names)
            )
        return self._index_of[name]

    @cached_property
    def _spelled(self) -> dict[str, str]:
        return {spelling_key(name): name for name in reversed(self.names)}

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
            raise InputError("indices", f"class {wrong[0]}, but there are {len(self)}")
        return [self.names[index] for index in array.tolist()]

    @property
    def background_indices(self) -> tuple[int, ...]:
        """Class indices of the background names, in the order of `background`."""
        return tuple(self.index(name) for name in self.background)

    def factor_indices(self, slot: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The K factors of one slot in order of appearance, and for each class the index of its factor or -1, (C,)."""
        if slot not in self.slots:
            raise InputError("vocabulary", f"no slot {slot!r} among {self.slots}")
        column = [entry[self.slots.index(slot)] for entry in self.factors]
        factors = tuple(dict.fromkeys(factor for factor in column if factor is not None))
        return factors, np.array(
            [-1 if factor is None else factors.index(factor) for factor in column], np.int64
        )

    def extended(
        self,
        names: Iterable[str],
        background: Iterable[str] = (),
        factors: FactorSource | None = None,
    ) -> Vocabulary:
        """A vocabulary with further names after these, in the same slots; arguments as in `from_names`."""
        listed, left_out = names_of(names, "names"), names_of(background, "background")
        _, entries = _resolved(listed, factors, self.slots)
        return Vocabulary(
            self.names + listed, self.background + left_out, self.slots, self.factors + entries
        )

    def subset(self, names: Iterable[str]) -> Vocabulary:
        """A vocabulary of some of these names, in the order given, with their flags and factors."""
        listed = names_of(names, "names")
        entries = tuple(self.factors[self.index(name)] for name in listed)
        return Vocabulary(
            listed, tuple(name for name in self.background if name in listed), self.slots, entries
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: names, background, slots, factors."""
        lists = {key: list(getattr(self, key)) for key in ("names", "background", "slots")}
        return {**lists, "factors": [list(entry) for entry in self.factors]}


def _check_names(where: str, names: tuple[str, ...]) -> None:
    if not names:
        raise InputError(where, "no names")
    by_look: dict[str, str] = {}
    for name in names:
        check_name(name, where, legacy=True)
        if (other := by_look.get(normalize(name))) is not None:
            raise InputError(
                where,
                f"{name!r} twice" if other == name else f"{name!a} and {other!a} look the same",
            )
        by_look[normalize(name)] = name


def _resolved(
    names: Sequence[str], source: FactorSource | None, slots: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[Factors, ...]]:
    """The slots, and for each name a tuple with one factor per slot; arguments as in `Vocabulary.from_names`."""
    if source is None:
        return WHOLE_NAME if slots is None else names_of(slots, "slots"), tuple(
            (name,) for name in names
        )
    entries = [source(name) if callable(source) else source.get(name) for name in names]
    if slots is None:
        named = dict.fromkeys(
            slot for entry in entries if isinstance(entry, Mapping) for slot in entry
        )
        width = max((len(entry) for entry in entries if entry), default=0)
        numbered = (
            WHOLE_NAME if width == 1 else tuple(f"slot{number}" for number in range(1, width + 1))
        )
        slots = tuple(named) or numbered
    used, factors = names_of(slots, "slots"), list[Factors]()
    for name, entry in zip(names, entries, strict=True):
        if isinstance(entry, Mapping):
            if unknown := [slot for slot in entry if slot not in used]:
                raise InputError(
                    f"class {name!r}", f"no slot {unknown[0]!r}", f"choose among {used}"
                )
            entry = tuple(map(entry.get, used))
        factors.append((None,) * len(used) if entry is None else tuple(entry))
    return used, tuple(factors)


_LINE = re.compile(r"([0-9]{1,9})[ \t]+(.+)")


def parse_mapping(file: Path) -> tuple[tuple[str, ...], list[InputError]]:
    """Return the names by id of a mapping file, and all its faults: malformed lines, an id or a name twice, a gap.

    A line is "id name"; the ids are 0 to C-1, each once in any order, and names may have spaces. UTF-8, else latin-1.
    """
    by_id: dict[int, str] = {}
    line_of: dict[str, int] = {}
    faults: list[InputError] = []
    try:
        lines = read_lines(file, 'a mapping file, "id name" a line')
    except InputError as error:
        return (), [error]
    for number, line in enumerate(lines, start=1):
        line, where = line.strip(" \t"), FileLocation(file, number)
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(
                InputError(where, f'{line!r} is not "id name"', 'write it as in "0 background"')
            )
            continue
        index, name = int(match[1]), match[2]
        if not is_name(name, legacy=True):
            faults.append(InputError(where, describe_invalid_name(name)))
        elif index in by_id:
            faults.append(InputError(where, f"id {index} twice"))
        elif (key := normalize(name)) in line_of:
            faults.append(InputError(where, f"{name!r} again, as in line {line_of[key]}"))
        else:
            by_id[index], line_of[key] = name, number
    missing = next((index for index in range(len(by_id)) if index not in by_id), None)
    if missing is not None and not faults:  # a faulty line may be the one that is missing
        faults.append(
            InputError(file, f"no id {missing}", f"give the ids 0 to {len(by_id) - 1}, each once")
        )
    elif not by_id and not faults:
        faults.append(
            InputError(file, "no classes", 'write "id name" a line, as in "0 background"')
        )
    return tuple(by_id[index] for index in sorted(by_id)), faults
