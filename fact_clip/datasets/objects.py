"""Named groups of feature columns: which columns belong to which thing (ZEROSHOT.md, 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from fact_clip.config import ObjectData
from fact_clip.core import InputError, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import read_lines

Rows = Sequence[Sequence[int]]
"""The columns of each thing."""

TOGETHER = 0.95  # correlation of the zeros of two columns from which on they are of one thing
FOLLOWS = 0.4  # ... of a column's zeros with a thing's changes, from which on it is that thing's
NAMES = 0.04  # tie of a thing to a word from which on the word names it


def correlation(pairs: Iterable[tuple[NDArray, NDArray]]) -> NDArray[np.float64]:
    """(M, N) correlations over the frames of several (T, M) and (T, N) together; 0 where a quantity is constant."""
    count, moments = 0, None
    for one, two in pairs:
        a, b = one.astype(np.float64), two.astype(np.float64)
        own = (a.sum(0), b.sum(0), (a**2).sum(0), (b**2).sum(0), a.T @ b)
        moments = own if moments is None else tuple(x + y for x, y in zip(moments, own, strict=True))
        count += len(a)
    if moments is None or not count:
        raise ValueError("no frames")
    mean_a, mean_b, square_a, square_b, both = (value / count for value in moments)
    spread = np.sqrt(np.outer(square_a - mean_a**2, square_b - mean_b**2).clip(min=0))
    covariance = both - np.outer(mean_a, mean_b)
    return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-9)


def changes(features: NDArray, rows: Rows) -> NDArray[np.bool_]:
    """(T, O): whether any column of each thing differs from the frame before; false in the first frame."""
    moved = np.zeros(features.shape, dtype=bool)
    moved[1:] = features[1:] != features[:-1]
    return np.stack([moved[:, list(row)].any(1) for row in rows], axis=1)


def present(features: NDArray, rows: Rows) -> NDArray[np.bool_]:
    """(T, O): whether any column of each thing is other than zero."""
    return np.stack([(features[:, list(row)] != 0).any(1) for row in rows], axis=1)


def find_objects(videos: Callable[[], Iterable[NDArray]]) -> tuple[tuple[int, ...], ...]:
    """The columns of each thing, in the order of the file; no labels are read.

    Columns that are zero in the same frames are of one thing; a column on its own joins the thing with whose changes it
    is other than zero. Only things of the commonest number of columns are kept, so that one network can read them all.

    Args:
        videos: gives the features (T, D) one after another; called twice.

    Returns:
        O rows of k columns, by their first column; none where no two columns go together.
    """
    there = (array != 0 for array in videos())
    together = correlation((array, array) for array in there)
    _, group = connected_components(together >= TOGETHER, directed=False)
    size = np.bincount(group)
    members = [np.flatnonzero(group == number).tolist() for number in np.flatnonzero(size > 1)]
    if not members:
        return ()
    alone = np.flatnonzero((size == 1)[group] & (np.diag(together) > 0))
    if len(alone):
        follows = correlation((array[:, alone] != 0, changes(array, members)) for array in videos())
        for column, row in zip(alone.tolist(), follows, strict=True):
            if row.max() >= FOLLOWS:
                members[int(row.argmax())].append(column)
    common = int(np.bincount([len(row) for row in members]).argmax())
    return tuple(sorted(tuple(sorted(row)) for row in members if len(row) == common))


def name_objects(
    rows: Rows, videos: Iterable[tuple[NDArray, NDArray, NDArray]], words: tuple[str, ...]
) -> tuple[str, ...]:
    """The word of each thing, "" where none goes with it; each word names at most one.

    A thing is tied to a word by the correlation of its changes with the word's frames, and half that of its presence.
    The assignment with the greatest sum of ties is taken.

    Args:
        rows: of `find_objects`.
        videos: features (T, D), whether each frame's action has each word, (T, W), and whether it is labelled, (T,).
        words: W words.
    """
    count = len(rows)
    both = correlation(
        (np.hstack([changes(features, rows), present(features, rows)])[labelled], said[labelled])
        for features, said, labelled in videos
    )
    tie = both[:count] + both[count:] / 2  # (O, W)
    names = [""] * len(rows)
    for thing, word in zip(*linear_sum_assignment(-tie), strict=True):
        if tie[thing, word] >= NAMES:
            names[thing] = words[word]
    return tuple(names)


Array = NDArray[Any]


@dataclass(frozen=True)
class ObjectColumns:
    """O named things with k columns of a feature file each.

    Args:
        names: of the things, as words ("baked egg"); "" where nobody knows it.
        columns: O rows of k column numbers, the same kinds of value in the same order for each thing.
        fixed: numbers of the things that keep their identity: the words of the vocabulary's other slots (tools), and
            those that the data set names. The model sees the others without their names.
        slot: number of the slot whose words are names of things.
        width: D, columns of a feature file.
    """

    names: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]
    fixed: tuple[int, ...]
    slot: int
    width: int

    @classmethod
    def read(cls, config: ObjectData, root: Path, vocabulary: Vocabulary) -> ObjectColumns | None:
        """Read the file that the configuration names; None where it names none.

        Raises:
            InputError: a name twice, a slot that the vocabulary lacks, a fixed thing that is not there.
        """
        if config.file is None:
            return None
        path = root / config.file
        names = tuple(" ".join(line.replace("_", " ").split()) for line in read_lines(path, "names, one a line"))
        names = tuple(name for name in names if name)
        if not names or len(set(names)) != len(names):
            raise InputError(path, f"{len(names)} names, {len(set(names))} of them different", "one name a line")
        slot = _slot_of(config, vocabulary)
        for name in config.fixed:
            if name not in names:
                raise InputError("data.objects.fixed", repr(name), f"names of {path}")
        others = {entry[place] for entry in vocabulary.factors for place in range(len(entry)) if place != slot}
        fixed = tuple(at for at, name in enumerate(names) if name in config.fixed or name in others)
        columns = _columns(len(names), config.blocks or (1,))
        return cls(names, columns, fixed, slot, sum(len(row) for row in columns))

    @classmethod
    def find(cls, config: ObjectData, dataset: Dataset) -> ObjectColumns:
        """Find the things in the training features and their names by the training labels (data/things.py).

        Things without a name, and those that a word of another slot names too (tools), keep their identity.

        Raises:
            InputError: a slot that the vocabulary lacks, features without things.
        """
        vocabulary, videos = dataset.vocabulary, sorted(dataset.learning)
        slot = _slot_of(config, vocabulary)
        rows = find_objects(lambda: (dataset.features(name) for name in videos))
        if not rows:
            found = f"{dataset.input_dim} columns, of which no two are zero in the same frames"
            raise InputError("data.objects.find", found, "columns of things that come and go", "set it to false")
        counts = dataset.class_counts()
        shown = [entry for entry, count in zip(vocabulary.factors, counts.tolist(), strict=True) if count]
        words = tuple(sorted({entry[slot] or "" for entry in shown} - {""}))
        said = np.array([[word in entry for word in words] for entry in vocabulary.factors])  # (C, W)

        def labelled() -> Iterator[tuple[Array, Array, Array]]:
            for name in dataset.train:
                labels = dataset.labels(name)
                yield dataset.features(name), said[labels], labels >= 0

        names = name_objects(rows, labelled(), words)
        others = {word for entry in shown for place, word in enumerate(entry) if place != slot}
        fixed = tuple(at for at, name in enumerate(names) if not name or name in others)
        return cls(names, rows, fixed, slot, dataset.input_dim)

    def check(self, input_dim: int) -> ObjectColumns:
        """Hold the layout to the width of the feature files; an InputError where they differ."""
        if self.width != input_dim:
            found = f"{self.width} columns for {len(self.names)} things"
            raise InputError("data.objects.blocks", found, f"the {input_dim} of the feature files")
        return self

    def kinds(self) -> NDArray[np.int64]:
        """(D,) the kind of value of each column: columns of one kind share their statistics."""
        own = len(self.columns[0])
        kinds = own + np.arange(self.width)  # a column that is no thing's is a kind of its own
        for row in self.columns:
            kinds[list(row)] = np.arange(own)
        return kinds

    def with_context(self, copies: int) -> tuple[tuple[int, ...], ...]:
        """The columns of each thing when its windowed means and deviations stand behind the D columns."""
        starts = [self.width * copy for copy in range(copies)]
        return tuple(tuple(start + column for start in starts for column in row) for row in self.columns)


def _slot_of(config: ObjectData, vocabulary: Vocabulary) -> int:
    if config.slot not in vocabulary.slots:
        raise InputError("data.objects.slot", repr(config.slot), f"one of {', '.join(vocabulary.slots)}")
    return vocabulary.slots.index(config.slot)


def _columns(count: int, blocks: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    rows: list[list[int]] = [[] for _ in range(count)]
    start = 0
    for values in blocks:
        for thing, row in enumerate(rows):
            row += range(start + thing * values, start + (thing + 1) * values)
        start += count * values
    return tuple(tuple(row) for row in rows)
