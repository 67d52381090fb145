"""The columns of each object in a feature file (docs/method.md, Object columns).

`ObjectColumns` are read from a file (`from_file`) or from the settings of a configuration
(`from_settings`), and are written as settings (`settings`). `object_detection.py` finds them in
features.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from fact_clip.config import ObjectData
from fact_clip.core import (
    WHOLE_NAME,
    Factors,
    InputError,
    Integers,
    Json,
    Names,
    Vocabulary,
)
from fact_clip.core.io import read_lines
from fact_clip.core.messages import spelling_key
from fact_clip.datasets.dataset import Dataset

Columns = tuple[tuple[int, ...], ...]  # (O, k), the columns of each object

OBJECT_SLOT = "object"
"""Slot of the vocabulary whose factors are names of objects."""


@dataclass(frozen=True)
class ObjectColumns:
    """O objects with k columns of a feature file each.

    Attributes:
        names: Names of the objects, as words ("baked egg"), "" if unknown.
        columns: Column numbers (O, k), with the kinds of value in the same order for each object.
            A column may belong to several objects.
        fixed: Numbers of the objects that keep their identity, because a word of a different slot
            names them (tools) or because the configuration lists them.
        slot: Number of the slot whose words name objects.
        width: Number of columns D of a feature file.
    """

    names: Names
    columns: Columns
    fixed: tuple[int, ...]
    slot: int
    width: int

    @classmethod
    def from_file(
        cls, config: ObjectData, root: Path | None, vocabulary: Vocabulary
    ) -> "ObjectColumns":
        """Read the file of names that a configuration gives.

        Args:
            config: Configuration with the file of names and the blocks of columns.
            root: Folder of the data set, or None for data in memory.
            vocabulary: Classes, with their factors.

        Returns:
            The objects.

        Raises:
            InputError: The file or ``data.objects.fixed`` has a fault, or the classes have no slot
                for objects.
        """
        assert config.names_file is not None
        path = (root or Path()) / config.names_file
        slot = object_slot(vocabulary)
        names = _spelled_as_words(_read_names(path), vocabulary)
        configured_names = _spelled_as_words(config.fixed, vocabulary)
        for name in configured_names:
            if name not in names:
                raise InputError("data.objects.fixed", f"no object {name!r} in {path}")
        object_words = {factors[slot] for factors in vocabulary.factors}
        if object_words.isdisjoint(names) and not config.fixed:
            problem = f"none of its names is a word in the slot {OBJECT_SLOT!r} of a class"
            warnings.warn(f"{path}: {problem}", stacklevel=2)

        fixed_names = {*configured_names, *words_of_other_slots(vocabulary.factors, slot)}
        fixed = tuple(number for number, name in enumerate(names) if name in fixed_names)
        blocks = config.blocks or (1,)
        return cls(
            names=names,
            columns=_columns_in_blocks(len(names), blocks),
            fixed=fixed,
            slot=slot,
            width=len(names) * sum(blocks),
        )

    @classmethod
    def from_settings(cls, config: ObjectData, dataset: Dataset) -> "ObjectColumns":
        """Return the objects that a configuration lists.

        Args:
            config: Configuration with the names and columns of the objects.
            dataset: Data set.

        Returns:
            The objects.

        Raises:
            InputError: Names and columns do not belong together, or columns do not exist.
        """
        sizes = {len(columns) for columns in config.columns}
        width = dataset.input_dim
        last = max(chain.from_iterable(config.columns), default=0)
        if len(config.names) != len(config.columns) or len(sizes) != 1 or last >= width:
            problem = f"not {len(config.names)} objects with the same number of {width} columns"
            raise InputError("data.objects.columns", problem, "leave names and columns out")
        names = tuple(name or "" for name in config.names)
        fixed_names = {"", *config.fixed}
        fixed = tuple(number for number, name in enumerate(names) if name in fixed_names)
        slot = object_slot(dataset.vocabulary)
        return cls(names, config.columns, fixed, slot, width)

    def settings(self) -> Json:
        """Return the settings from which `from_settings` reads these objects."""
        fixed = tuple(self.names[number] for number in self.fixed if self.names[number])
        return {
            "data.objects.names": tuple(name or None for name in self.names),
            "data.objects.columns": self.columns,
            "data.objects.fixed": fixed,
        }

    def check(self, input_dim: int) -> "ObjectColumns":
        """Check the width of the feature files, and return this object."""
        if self.width != input_dim:
            objects = f"{self.width} columns for {len(self.names)} objects"
            problem = f"{objects}, but the feature files have {input_dim}"
            raise InputError("data.objects.blocks", problem)
        return self

    def kinds(self) -> Integers:
        """Return the kind of value of each column, (D,). Columns of a kind share statistics.

        A column of several objects has the kind that the last of them gives it.
        """
        n_kinds = len(self.columns[0])
        kinds = n_kinds + np.arange(self.width)  # each column without an object is its own kind
        for object_columns in self.columns:
            kinds[list(object_columns)] = np.arange(n_kinds)
        return kinds

    def with_context(self, copies: int) -> Columns:
        """Return each object's columns among `copies` * D: the features and their windows."""
        starts = self.width * np.arange(copies)
        in_copies = [np.add.outer(starts, columns).ravel().tolist() for columns in self.columns]
        return tuple(map(tuple, in_copies))


def _read_names(path: Path) -> Names:
    lines = read_lines(path, "names, one per line")
    lines_of_words = [" ".join(line.replace("_", " ").split()) for line in lines]
    names = tuple(name for name in lines_of_words if name)
    spellings = {spelling_key(name) for name in names}
    if not names or len(spellings) < len(names):
        problem = "a repeated name" if names else "no names"
        raise InputError(path, problem, "list each object once, one per line")
    return names


def _spelled_as_words(names: Names, vocabulary: Vocabulary) -> Names:
    """Return names in the same case as the words of the vocabulary."""
    spellings = {spelling_key(word): word for word in chain(*vocabulary.factors) if word}
    return tuple(spellings.get(spelling_key(name), name) for name in names)


def _columns_in_blocks(n_objects: int, blocks: Sequence[int]) -> Columns:
    """Return column numbers for a file in which each block has some values per object."""
    columns: list[list[int]] = [[] for _ in range(n_objects)]
    n_columns = 0
    for n_values in blocks:
        for object_columns in columns:
            object_columns += range(n_columns, n_columns + n_values)
            n_columns += n_values
    return tuple(map(tuple, columns))


def object_slot(vocabulary: Vocabulary) -> int:
    """Return the number of the slot whose words name objects."""
    if OBJECT_SLOT not in vocabulary.slots:
        fix = f"use one of {', '.join(vocabulary.slots)}"
        if vocabulary.slots == WHOLE_NAME:
            fix = "define how names are parsed, in data.grammar or in ROOT/factors.csv"
        raise InputError("data.objects", f"no slot {OBJECT_SLOT!r}", fix)
    return vocabulary.slots.index(OBJECT_SLOT)


def words_of_other_slots(factors: Iterable[Factors], slot: int) -> set[str]:
    """Return the words of all slots except one."""
    other_slots = ((*of_class[:slot], *of_class[slot + 1 :]) for of_class in factors)
    return {word for word in chain.from_iterable(other_slots) if word}
