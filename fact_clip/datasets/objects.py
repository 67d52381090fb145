"""The columns of each object in a feature file (docs/method.md, Object columns)."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.config import ObjectData
from fact_clip.core import (
    WHOLE_NAME,
    Array,
    Factors,
    Flags,
    Floats,
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

# Correlations from which on ...
TOGETHER = 0.95  # two columns are zero in the same frames, and belong to one object
FOLLOWS = 0.4  # a single column is nonzero when an object changes, and belongs to it
NAMES = 0.04  # an object is tied to a word, and named by it
SURE = 0.25  # ... so that it can hardly be chance


OBJECT_SLOT = "object"
"""Slot of the vocabulary whose factors are names of objects."""


@dataclass(frozen=True)
class ObjectColumns:
    """O objects with k columns of a feature file each.

    Attributes:
        names: of the objects, as words ("baked egg"), "" where unknown.
        columns: (O, k), with the same kinds of value in the same order for each object.
        fixed: numbers of the objects that keep their identity: those that a word of another slot
            names (tools), and those that the configuration lists.
        slot: number of the slot whose words name objects.
        width: D, columns of a feature file.
    """

    names: Names
    columns: Columns
    fixed: tuple[int, ...]
    slot: int
    width: int

    @classmethod
    def of_dataset(cls, dataset: Dataset, ties_factors: bool) -> "ObjectColumns | None":
        """Read or detect the objects of a data set, as ``data.objects`` says.

        Args:
            dataset: the data set.
            ties_factors: whether ``auto`` looks for objects, which the model ties to factors.

        Returns:
            The objects, or None.
        """
        config = dataset.config.objects
        if config.columns:
            return cls.stored(config, dataset)
        if config.file == "find":
            return cls.find(dataset)
        if config.file != "auto":
            return cls.read(config, dataset.root, dataset.vocabulary)
        return cls.find_sure(dataset) if ties_factors else None

    @classmethod
    def read(
        cls, config: ObjectData, root: Path | None, vocabulary: Vocabulary
    ) -> "ObjectColumns | None":
        """Read the file of the configuration, or return None if it has none.

        Args:
            config: the file, the blocks of columns.
            root: the folder of the data set, None for data in memory.
            vocabulary: the classes.

        Returns:
            The objects.
        """
        if config.names_file is None:
            return None
        path = (root or Path()) / config.names_file
        names = _read_names(path)
        slot = _object_slot(vocabulary)
        spellings = {spelling_key(word): word for word in chain(*vocabulary.factors) if word}
        names, configured_names = (
            tuple(spellings.get(spelling_key(name), name) for name in source)
            for source in (names, config.fixed)
        )
        for name in configured_names:
            if name not in names:
                raise InputError("data.objects.fixed", f"no object {name!r} in {path}")
        words = {factors[slot] for factors in vocabulary.factors}
        if not words & {*names} and not config.fixed:
            problem = f"none of its names is a word of the slot {OBJECT_SLOT!r} of a class"
            warnings.warn(f"{path}: {problem}", stacklevel=2)

        fixed_names = {*configured_names, *_words_of_other_slots(vocabulary.factors, slot)}
        fixed = tuple(number for number, name in enumerate(names) if name in fixed_names)
        columns: list[list[int]] = [[] for _ in names]
        width = 0
        for n_values in config.blocks or (1,):
            for object_columns in columns:
                object_columns += range(width, width + n_values)
                width += n_values
        return cls(names, tuple(map(tuple, columns)), fixed, slot, width)

    @classmethod
    def stored(cls, config: ObjectData, dataset: Dataset) -> "ObjectColumns":
        """Return the objects that a configuration lists.

        Args:
            config: Configuration with their names and columns.
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
        slot = _object_slot(dataset.vocabulary)
        return cls(names, config.columns, fixed, slot, width)

    def settings(self) -> Json:
        """Return the settings of a configuration that lists these objects; see `stored`."""
        fixed = tuple(self.names[number] for number in self.fixed if self.names[number])
        return {
            "data.objects.names": tuple(name or None for name in self.names),
            "data.objects.columns": self.columns,
            "data.objects.fixed": fixed,
        }

    @classmethod
    def find(cls, dataset: Dataset) -> "ObjectColumns":
        """Detect the objects in the features, and their names by the training labels.

        Objects without a name, and those that a word of another slot names too (tools), keep their
        identity.

        Args:
            dataset: the data set, whose training and validation videos are read.

        Returns:
            The objects.
        """
        objects, _ = _detect(dataset)
        if objects is None:
            problem = "no objects that come and go: no two columns are zero in the same frames"
            raise InputError("data.objects.file", problem, "set it to null")
        return objects

    @classmethod
    def find_sure(cls, dataset: Dataset) -> "ObjectColumns | None":
        """Detect objects as `find`; return None unless most trained words surely name one."""
        if OBJECT_SLOT not in dataset.vocabulary.slots:
            return None
        objects, is_sure = _detect(dataset)
        return objects if is_sure else None

    def check(self, input_dim: int) -> "ObjectColumns":
        """Check the width of the feature files. Return this object."""
        if self.width != input_dim:
            objects = f"{self.width} columns for {len(self.names)} objects"
            problem = f"{objects}, but the feature files have {input_dim}"
            raise InputError("data.objects.blocks", problem)
        return self

    def kinds(self) -> Integers:
        """Return the kind of value of each column, (D,). Columns of a kind share statistics."""
        n_kinds = len(self.columns[0])
        kinds = n_kinds + np.arange(self.width)  # a column of no object is a kind of its own
        for object_columns in self.columns:
            kinds[list(object_columns)] = np.arange(n_kinds)
        return kinds

    def with_context(self, copies: int) -> Columns:
        """Return the columns of each object among `copies` * D, the features and their windows."""
        starts = self.width * np.arange(copies)
        in_copies = [np.add.outer(starts, columns).ravel().tolist() for columns in self.columns]
        return tuple(map(tuple, in_copies))


def _read_names(path: Path) -> Names:
    lines = read_lines(path, "names, one per line")
    words = [" ".join(line.replace("_", " ").split()) for line in lines]
    names = tuple(name for name in words if name)
    spellings = {spelling_key(name) for name in names}
    if not names or len(spellings) < len(names):
        problem = "a name twice" if names else "no names"
        raise InputError(path, problem, "list each object once, one a line")
    return names


def _object_slot(vocabulary: Vocabulary) -> int:
    if OBJECT_SLOT not in vocabulary.slots:
        fix = f"use one of {', '.join(vocabulary.slots)}"
        if vocabulary.slots == WHOLE_NAME:
            fix = "say how names are read: data.grammar, ROOT/factors.csv"
        raise InputError("data.objects", f"no slot {OBJECT_SLOT!r}", fix)
    return vocabulary.slots.index(OBJECT_SLOT)


def _words_of_other_slots(factors: Iterable[Factors], slot: int) -> set[str]:
    other_slots = ((*of_class[:slot], *of_class[slot + 1 :]) for of_class in factors)
    return {word for word in chain.from_iterable(other_slots) if word}


def _detect(dataset: Dataset) -> tuple[ObjectColumns | None, bool]:
    """Detect objects; also return whether most words of the trained classes surely name one."""
    vocabulary = dataset.vocabulary
    slot = _object_slot(vocabulary)
    videos = sorted(dataset.learning)
    columns = find_objects(lambda: map(dataset.features, videos))
    if not columns:
        return None, False
    trained = list(compress(vocabulary.factors, dataset.training_counts))
    words = tuple(sorted({factors[slot] or "" for factors in trained} - {""}))
    class_words = []
    for factors in vocabulary.factors:
        class_words.append([word in factors for word in words])
    has_word = np.array(class_words)  # (C, W)

    def frames() -> Iterator[tuple[Array, Array, Array]]:
        for rows, labels in dataset.training_videos:
            yield rows, has_word[labels], labels >= 0

    names, ties = ("",) * len(columns), [0.0]
    if words:
        names, ties = name_objects(columns, frames(), words)
    fixed_names = {"", *_words_of_other_slots(trained, slot)}
    fixed = tuple(number for number, name in enumerate(names) if name in fixed_names)
    n_sure = sum(tie >= SURE for tie in ties)
    objects = ObjectColumns(names, columns, fixed, slot, dataset.input_dim)
    return objects, 2 * n_sure > len(words)


def find_objects(videos: Callable[[], Iterable[Array]]) -> Columns:
    """Find the columns of objects that come and go.

    Columns that are zero in the same frames belong to one object. A single column joins the object
    with whose changes it is nonzero. Only objects with the commonest number of columns count.

    Args:
        videos: returns the features (T, D) of the videos. It is called twice.

    Returns:
        The columns of each object, (O, k), by their first column, () where no two go together.
    """
    # Not at the top, as it takes long to import.
    from scipy.sparse.csgraph import connected_components

    nonzero = (array != 0 for array in videos())
    together = correlation((array, array) for array in nonzero)
    _, group = connected_components(together >= TOGETHER, directed=False)
    size = np.bincount(group)
    members = [np.flatnonzero(group == number).tolist() for number in np.flatnonzero(size > 1)]
    if not members:
        return ()

    is_alone = (size == 1)[group] & (np.diag(together) > 0)
    alone = np.flatnonzero(is_alone)
    if len(alone):
        follows = correlation((array[:, alone] != 0, changes(array, members)) for array in videos())
        for column, ties in zip(alone.tolist(), follows, strict=True):
            if ties.max() >= FOLLOWS:
                members[int(ties.argmax())].append(column)
    commonest = int(np.bincount([len(columns) for columns in members]).argmax())
    objects = [tuple(sorted(columns)) for columns in members if len(columns) == commonest]
    return tuple(sorted(objects))


def name_objects(
    columns: Sequence[Sequence[int]],
    videos: Iterable[tuple[Array, Array, Array]],
    words: Names,
) -> tuple[Names, list[float]]:
    """Find the names of objects. Each word names at most one object.

    A tie is the correlation of the changes of an object with the frames of a word, plus half of
    that of its presence.

    Args:
        columns: the columns of each object.
        videos: features (T, D), which of the W words each frame has, (T, W), and whether it is
            labelled, (T,).
        words: the words.

    Returns:
        The word of each object, "" where no tie is large enough, and the ties of named objects.
    """
    # Not at the top, as it takes long to import.
    from scipy.optimize import linear_sum_assignment

    def pairs() -> Iterator[tuple[Array, Array]]:
        for features, has_word, is_labelled in videos:
            presence = _any_column(features != 0, columns)
            both = np.hstack([changes(features, columns), presence])  # (T, 2 O)
            yield both[is_labelled], has_word[is_labelled]

    n_objects = len(columns)
    correlations = correlation(pairs())  # (2 O, W)
    ties = correlations[:n_objects] + correlations[n_objects:] / 2  # (O, W)
    names = [""] * n_objects
    ties_of_names = []
    for number, word in zip(*linear_sum_assignment(-ties), strict=True):
        if ties[number, word] >= NAMES:
            names[number] = words[word]
            ties_of_names.append(float(ties[number, word]))
    return tuple(names), ties_of_names


def correlation(pairs: Iterable[tuple[Array, Array]]) -> Floats:
    """Return correlations (M, N) over the frames of all pairs (T, M) and (T, N).

    They are 0 where a column is constant.
    """
    count = 0
    sums: Any = [0.0] * 5
    for first, second in pairs:
        a = first.astype(np.float64)
        b = second.astype(np.float64)
        moments = (a.sum(0), b.sum(0), (a**2).sum(0), (b**2).sum(0), a.T @ b)
        sums = [total + moment for total, moment in zip(sums, moments, strict=True)]
        count += len(a)
    mean_a, mean_b, square_a, square_b, both = (total / count for total in sums)
    spread = np.sqrt(np.outer(square_a - mean_a**2, square_b - mean_b**2).clip(min=0))
    covariance = both - np.outer(mean_a, mean_b)
    return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-9)


def changes(features: Array, columns: Sequence[Sequence[int]]) -> Flags:
    """Return whether any column of each object differs from the frame before, (T, O)."""
    moved = np.zeros(features.shape, dtype=bool)
    moved[1:] = features[1:] != features[:-1]
    return _any_column(moved, columns)


def _any_column(values: Array, columns: Sequence[Sequence[int]]) -> Flags:
    of_objects = [values[:, list(object_columns)].any(1) for object_columns in columns]
    return np.stack(of_objects, axis=1)
