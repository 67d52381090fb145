"""Action names, their background flags and their factors by slot (docs/names.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core.arguments import check_name, names_of, path_of
from fact_clip.core.arrays import Integers
from fact_clip.core.errors import FileLocation, InputError
from fact_clip.core.frames import frame_labels
from fact_clip.core.io import read_lines
from fact_clip.core.messages import normalize, spelling_key, suggest
from fact_clip.core.types import Json, Names

Factors: TypeAlias = tuple[str | None, ...]
OneClass: TypeAlias = Sequence[str | None] | Mapping[str, str | None]
FactorSource: TypeAlias = Mapping[str, OneClass] | Callable[[str], OneClass]

WHOLE_NAME = ("phrase",)  # slots of a vocabulary whose names have no known parts


@dataclass(frozen=True)
class Vocabulary:
    """An ordered list of action names. `from_names` or `from_mapping` creates it.

    The position of a name is its class index.

    Args:
        names: Action names, length C.
        background: Names that mean "no action".
        slots: Kinds of the factors, such as ("verb", "object", "tool").
        factors: C tuples with one factor per slot, or None if a class has no such factor.
    """

    names: Names
    background: Names
    slots: Names
    factors: tuple[Factors, ...]

    def __post_init__(self) -> None:
        for field in ("names", "background", "slots"):
            object.__setattr__(self, field, names_of(getattr(self, field), field))
        _check_names("names", self.names)
        _check_names("slots", self.slots)
        for name in self.background:
            self.index(name)
        object.__setattr__(self, "background", tuple(dict.fromkeys(self.background)))

        if len(self.factors) != len(self.names):
            problem = f"{len(self.factors)} entries for {len(self.names)} classes"
            raise InputError("factors", problem)
        for name, factors in zip(self.names, self.factors, strict=True):
            _check_not_string(name, factors)
        object.__setattr__(self, "factors", tuple(map(tuple, self.factors)))
        for name, factors in zip(self.names, self.factors, strict=True):
            words = [factor for factor in factors if factor is not None]
            are_names = all(isinstance(word, str) and word for word in words)
            is_described = bool(words) or name in self.background
            if len(factors) != len(self.slots) or not are_names or not is_described:
                slots = self.slots
                problem = (
                    f"factors {factors}, but {slots} need names or None, and at least one name"
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
        """Create a vocabulary of names, which are numbered in their order.

        Args:
            names: Action names.
            background: Names that mean "no action".
            factors: Factors of each name: a tuple with one factor per slot, a mapping from slot to
                factor, or a function that returns one of these for a name. Background names may be
                missing. With None, there is one slot, which contains the complete name.
            slots: Names of the slots. The default is the keys of `factors`, or "slot1", "slot2",
                ... for tuples.

        Returns:
            The vocabulary.
        """
        class_names = names_of(names, "names")
        background_names = names_of(background, "background")
        slot_names, rows = _resolve_factors(class_names, factors, slots)
        return cls(class_names, background_names, slot_names, rows)

    @classmethod
    def from_mapping(
        cls,
        path: str | Path,
        background: Iterable[str] = (),
        factors: FactorSource | None = None,
        slots: Sequence[str] | None = None,
    ) -> Vocabulary:
        """Read a mapping file (see `parse_mapping`), and raise its first fault.

        Args:
            path: Mapping file.
            background: Names that mean "no action".
            factors: Factors of the names, in a form that `from_names` accepts.
            slots: Names of the slots.

        Returns:
            The vocabulary.
        """
        names, faults = parse_mapping(path_of(path, "mapping"))
        if faults:
            raise faults[0]
        return cls.from_names(names, background, factors, slots)

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
        """Return the class index of a name.

        Args:
            name: Action name. An unknown name raises an InputError that suggests the most similar
                one.

        Returns:
            The class index.
        """
        if name not in self._index_of:
            problem = f"no class {name!r} among {len(self)}"
            raise InputError("vocabulary", problem, suggest(str(name), self.names))
        return self._index_of[name]

    @cached_property
    def _by_spelling(self) -> dict[str, str]:
        return {spelling_key(name): name for name in reversed(self.names)}

    def canonical(self, name: str) -> str:
        """Return the class with this name up to case, underscores and spaces, or `name` itself.

        Args:
            name: Action name in any spelling.

        Returns:
            Name of the class, or `name` if there is no such class.
        """
        return name if name in self else self._by_spelling.get(spelling_key(name), name)

    def encode(self, labels: Iterable[str]) -> Integers:
        """Convert names to class indices.

        Args:
            labels: Action names (T,).

        Returns:
            Class indices (T,).
        """
        return np.array([self.index(label) for label in names_of(labels, "labels")], dtype=np.int64)

    def decode(self, indices: ArrayLike) -> list[str]:
        """Convert class indices to names.

        Args:
            indices: Class indices (T,) in [0, C).

        Returns:
            Action names (T,).
        """
        array = frame_labels(indices, "indices")
        wrong = array[(array < 0) | (array >= len(self))]
        if wrong.size:
            raise InputError("indices", f"class {wrong[0]}, but there are {len(self)}")
        return [self.names[index] for index in array.tolist()]

    @property
    def background_indices(self) -> tuple[int, ...]:
        """Return the class indices of the background names, in the order of `background`."""
        return tuple(self.index(name) for name in self.background)

    def factor_indices(self, slot: str) -> tuple[Names, Integers]:
        """Return the factors of one slot, and the factor index of each class.

        Args:
            slot: Name of a slot.

        Returns:
            The K factors in order of appearance, and the index of the factor of each class or -1,
            (C,).
        """
        if slot not in self.slots:
            raise InputError("vocabulary", f"no slot {slot!r} among {self.slots}")
        position = self.slots.index(slot)
        numbers: dict[str, int] = {}
        indices = np.full(len(self), -1, np.int64)
        for index, factors in enumerate(self.factors):
            factor = factors[position]
            if factor is not None:
                indices[index] = numbers.setdefault(factor, len(numbers))
        return tuple(numbers), indices

    def extended(self, names: Iterable[str], factors: FactorSource | None = None) -> Vocabulary:
        """Return a vocabulary with further names after these, in the same slots.

        Args:
            names: Further names.
            factors: Factors of these names, in a form that `from_names` accepts.

        Returns:
            The longer vocabulary.
        """
        new_names = names_of(names, "names")
        _, new_factors = _resolve_factors(new_names, factors, self.slots)
        return Vocabulary(
            names=self.names + new_names,
            background=self.background,
            slots=self.slots,
            factors=self.factors + new_factors,
        )

    def subset(self, names: Iterable[str]) -> Vocabulary:
        """Return a vocabulary of some of these names, with their background flags and factors.

        Args:
            names: Names in the order of the new vocabulary.

        Returns:
            The shorter vocabulary.
        """
        subset = names_of(names, "names")
        return Vocabulary(
            names=subset,
            background=tuple(name for name in self.background if name in subset),
            slots=self.slots,
            factors=tuple(self.factors[self.index(name)] for name in subset),
        )

    def to_dict(self) -> Json:
        """Return JSON values: names, background, slots and factors."""
        return {
            "names": list(self.names),
            "background": list(self.background),
            "slots": list(self.slots),
            "factors": [list(factors) for factors in self.factors],
        }


def _check_names(where: str, names: Names) -> None:
    if not names:
        raise InputError(where, "no names")
    by_look: dict[str, str] = {}
    for name in names:
        check_name(name, where, legacy=True)
        look = normalize(name)
        if by_look.get(look) == name:
            raise InputError(where, f"{name!r} twice")
        if look in by_look:
            raise InputError(where, f"{name!a} and {by_look[look]!a} look the same")
        by_look[look] = name


def _resolve_factors(
    names: Names, source: FactorSource | None, slots: Sequence[str] | None
) -> tuple[Names, tuple[Factors, ...]]:
    """Return the slots and the factors of each name, from arguments of `Vocabulary.from_names`."""
    if source is None:
        slot_names = WHOLE_NAME if slots is None else names_of(slots, "slots")
        return slot_names, tuple((name,) for name in names)

    classes = [source(name) if callable(source) else source.get(name) for name in names]
    for name, factors in zip(names, classes, strict=True):
        _check_not_string(name, factors)
    slot_names = _infer_slots(classes) if slots is None else names_of(slots, "slots")
    rows: list[Factors] = []
    for name, factors in zip(names, classes, strict=True):
        if isinstance(factors, Mapping):
            for slot in factors:
                if slot not in slot_names:
                    where = f"class {name!r}"
                    raise InputError(where, f"no slot {slot!r}", f"choose among {slot_names}")
            factors = [factors.get(slot) for slot in slot_names]
        rows.append((None,) * len(slot_names) if factors is None else tuple(factors))
    return slot_names, tuple(rows)


def _check_not_string(name: str, factors: object) -> None:
    if isinstance(factors, str):
        fix = "give a tuple with one factor per slot"
        raise InputError(f"class {name!r}", f"the factors {factors!r} are a string", fix)


def _infer_slots(classes: Sequence[OneClass | None]) -> Names:
    """Return the keys of classes that are mappings, or numbers up to the length of the tuples."""
    mappings = [factors for factors in classes if isinstance(factors, Mapping)]
    if mappings:
        return names_of(dict.fromkeys(chain.from_iterable(mappings)), "slots")
    width = max((len(factors) for factors in classes if factors), default=0)
    if width == 1:
        return WHOLE_NAME
    return tuple(f"slot{number}" for number in range(1, width + 1))


_LINE = re.compile(r"([0-9]{1,9})[ \t]+(.+)")


def parse_mapping(file: Path) -> tuple[Names, list[InputError]]:
    """Read the names and all faults of a mapping file.

    Each line is "id name". The ids are 0 to C-1, each once and in any order. Names may contain
    spaces. The file is in UTF-8 or latin-1.

    Args:
        file: Mapping file.

    Returns:
        The names by id, and the faults: malformed lines, repeated ids or names, and missing ids.
    """
    by_id: dict[int, str] = {}
    line_of: dict[str, int] = {}
    faults: list[InputError] = []
    try:
        lines = read_lines(file, 'a mapping file with one "id name" per line')
    except InputError as error:
        return (), [error]

    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        where = FileLocation(file, number)
        try:
            match = _LINE.fullmatch(line)
            if match is None:
                fix = 'write a line such as "0 background"'
                raise InputError(where, f'{line!r} is not "id name"', fix)
            index = int(match[1])
            name = match[2]
            check_name(name, where, legacy=True)
            key = normalize(name)
            if index in by_id:
                raise InputError(where, f"id {index} twice")
            if key in line_of:
                raise InputError(where, f"{name!r} again, as in line {line_of[key]}")
        except InputError as error:
            faults.append(error)
        else:
            by_id[index] = name
            line_of[key] = number

    if not faults:  # a faulty line may be the missing one
        missing = next((index for index in range(len(by_id)) if index not in by_id), None)
        if missing is not None:
            fix = f"give the ids 0 to {len(by_id) - 1}, each once"
            faults.append(InputError(file, f"no id {missing}", fix))
        if not by_id:
            fix = 'write one "id name" per line, such as "0 background"'
            faults.append(InputError(file, "no classes", fix))
    return tuple(by_id[index] for index in sorted(by_id)), faults
