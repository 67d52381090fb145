"""The columns of a feature file that belong to each object, listed or detected (docs/method.md, Object columns)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from fact_clip.config import ObjectData
from fact_clip.core import WHOLE_NAME, ConfigKey, Factors, InputError, Vocabulary
from fact_clip.core.messages import spelling_key
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import read_lines

Array = NDArray[Any]
Rows = Sequence[Sequence[int]]  # the columns of each object

# Correlations from which on ...
TOGETHER = 0.95  # two columns are zero in the same frames, and belong to one object
FOLLOWS = 0.4  # a single column is nonzero when an object changes, and belongs to it
NAMES = 0.04  # an object is tied to a word, and named by it
SURE = 0.25  # ... so that it can hardly be chance


@dataclass(frozen=True)
class ObjectColumns:
    """O objects with k columns of a feature file each.

    `fixed` objects keep their identity: those that a word of another slot names (tools), and those that are listed.
    """

    names: tuple[str, ...]  # of the objects, as words ("baked egg"); "" where unknown
    columns: tuple[
        tuple[int, ...], ...
    ]  # (O, k), with the same kinds of value in the same order for each object
    fixed: tuple[int, ...]  # numbers of objects
    slot: int  # number of the slot whose words name objects
    width: int  # D, columns of a feature file

    @classmethod
    def read(
        cls, config: ObjectData, root: Path | None, vocabulary: Vocabulary
    ) -> ObjectColumns | None:
        """Read the file that the configuration names; None where it names no file."""
        if config.file is None:
            return None
        path = (root or Path()) / config.file
        lines = (
            " ".join(line.replace("_", " ").split())
            for line in read_lines(path, "names, one per line")
        )
        names = tuple(filter(None, lines))
        if not names or len(set(map(spelling_key, names))) < len(names):
            raise InputError(
                path, "a name twice" if names else "no names", "list each object once, one a line"
            )
        slot = _slot_of(config, vocabulary)
        for name in config.fixed:
            if name not in names:
                raise InputError(ConfigKey("data.objects.fixed"), f"no object {name!r} in {path}")
        words = {entry[slot] for entry in vocabulary.factors}
        if not words & {*names} and not config.fixed:
            warnings.warn(
                f"{path}: none of its names is a word of the slot {config.slot!r} of a class",
                stacklevel=2,
            )
        others = _other_words(vocabulary.factors, slot)
        fixed = tuple(
            number for number, name in enumerate(names) if name in config.fixed or name in others
        )
        columns: list[tuple[int, ...]] = [()] * len(names)
        width = 0
        for values in config.blocks or (1,):
            starts = range(width, width + len(names) * values, values)
            columns = [
                (*row, *range(start, start + values))
                for row, start in zip(columns, starts, strict=True)
            ]
            width += len(names) * values
        return cls(names, tuple(columns), fixed, slot, width)

    @classmethod
    def find(cls, config: ObjectData, dataset: Dataset) -> ObjectColumns:
        """Detect the objects in the features of training and validation videos, and their names by the training labels.

        Objects without a name, and those that a word of another slot names too (tools), keep their identity.
        """
        rows, names, _, trained = _detect(config, dataset, NAMES)
        if not rows:
            problem = "no objects that come and go: no two columns are zero in the same frames"
            raise InputError(ConfigKey("data.objects.find"), problem, "set it to false")
        slot = _slot_of(config, dataset.vocabulary)
        others = _other_words(trained, slot)
        fixed = tuple(number for number, name in enumerate(names) if not name or name in others)
        return cls(names, rows, fixed, slot, dataset.input_dim)

    @classmethod
    def show(cls, config: ObjectData, dataset: Dataset) -> bool:
        """Return whether features hold objects that come and go, and most trained words of the slot surely name one."""
        if config.slot not in dataset.vocabulary.slots:
            return False
        _, names, words, _ = _detect(config, dataset, SURE)
        return 2 * sum(map(bool, names)) > len(words)

    def check(self, input_dim: int) -> ObjectColumns:
        """Return this object; an InputError where the feature files have another width."""
        if self.width != input_dim:
            problem = f"{self.width} columns for {len(self.names)} objects, but the feature files have {input_dim}"
            raise InputError(ConfigKey("data.objects.blocks"), problem)
        return self

    def kinds(self) -> NDArray[np.int64]:
        """Return the kind of value of each column, (D,): columns of one kind share their statistics."""
        n_kinds = len(self.columns[0])
        kinds = n_kinds + np.arange(self.width)  # a column of no object is a kind of its own
        for row in self.columns:
            kinds[list(row)] = np.arange(n_kinds)
        return kinds

    def with_context(self, copies: int) -> tuple[tuple[int, ...], ...]:
        """Return each object's columns among `copies` * D: the features, then means and deviations of windows."""
        starts = [self.width * copy for copy in range(copies)]
        return tuple(
            tuple(start + column for start in starts for column in row) for row in self.columns
        )


def _slot_of(config: ObjectData, vocabulary: Vocabulary) -> int:
    if config.slot not in vocabulary.slots:
        fix = f"use one of {', '.join(vocabulary.slots)}"
        if vocabulary.slots == WHOLE_NAME:
            fix = "say how names are read: data.grammar, ROOT/factors.csv"
        raise InputError(ConfigKey("data.objects.slot"), f"no slot {config.slot!r}", fix)
    return vocabulary.slots.index(config.slot)


def _other_words(factors: Iterable[Factors], slot: int) -> set[str | None]:
    return {word for entry in factors for number, word in enumerate(entry) if number != slot}


def _detect(
    config: ObjectData, dataset: Dataset, least: float
) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...], tuple[str, ...], list[Factors]]:
    """Return columns and names of the objects in the features, the words of trained classes, and their factors."""
    slot, videos, factors = (
        _slot_of(config, dataset.vocabulary),
        sorted(dataset.learning),
        dataset.vocabulary.factors,
    )
    rows = find_objects(lambda: (dataset.features(name) for name in videos))
    trained = [
        entry
        for entry, count in zip(factors, dataset.class_counts().tolist(), strict=True)
        if count
    ]
    words = tuple(sorted({entry[slot] or "" for entry in trained} - {""}))
    if not rows or not words:
        return rows, ("",) * len(rows), words, trained
    has_word = np.array([[word in entry for word in words] for entry in factors])  # (C, W)
    frames = (
        (dataset.features(name), has_word[labels], labels >= 0)
        for name, labels in ((name, dataset.labels(name)) for name in dataset.train)
    )
    return rows, name_objects(rows, frames, words, least), words, trained


def find_objects(videos: Callable[[], Iterable[Array]]) -> tuple[tuple[int, ...], ...]:
    """Return the columns of each object, (O, k), by their first column; none where no two columns go together.

    Columns that are zero in the same frames belong to one object; a single column joins the object with whose changes
    it is nonzero. Only objects with the commonest number of columns count. `videos` gives the features (T, D), twice.
    """
    nonzero = (array != 0 for array in videos())
    together = correlation((array, array) for array in nonzero)
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
    rows: Rows,
    videos: Iterable[tuple[Array, Array, Array]],
    words: tuple[str, ...],
    least: float = NAMES,
) -> tuple[str, ...]:
    """Return the word of each object, "" where no word has a tie of `least`; each word names at most one object.

    A tie is the correlation of the changes of an object with the frames of a word, plus half of that of its presence.
    `videos` are features (T, D), which of the W words each frame has, (T, W), and whether it is labelled, (T,).
    """
    both = correlation(
        (
            np.hstack([changes(features, rows), _any_column(features != 0, rows)])[labelled],
            has_word[labelled],
        )
        for features, has_word, labelled in videos
    )
    ties = both[: len(rows)] + both[len(rows) :] / 2  # (O, W)
    names = [""] * len(rows)
    for number, word in zip(*linear_sum_assignment(-ties), strict=True):
        if ties[number, word] >= least:
            names[number] = words[word]
    return tuple(names)


def correlation(pairs: Iterable[tuple[Array, Array]]) -> NDArray[np.float64]:
    """Return correlations (M, N) over the frames of all pairs (T, M) and (T, N); 0 where a column is constant."""
    count, moments = 0, None
    for first, second in pairs:
        a, b = first.astype(np.float64), second.astype(np.float64)
        sums = (a.sum(0), b.sum(0), (a**2).sum(0), (b**2).sum(0), a.T @ b)
        moments = (
            sums if moments is None else tuple(x + y for x, y in zip(moments, sums, strict=True))
        )
        count += len(a)
    assert moments is not None
    mean_a, mean_b, square_a, square_b, both = (value / count for value in moments)
    spread = np.sqrt(np.outer(square_a - mean_a**2, square_b - mean_b**2).clip(min=0))
    covariance = both - np.outer(mean_a, mean_b)
    return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-9)


def changes(features: Array, rows: Rows) -> NDArray[np.bool_]:
    """Return (T, O): whether any column of each object differs from the frame before; false in the first frame."""
    moved = np.zeros(features.shape, dtype=bool)
    moved[1:] = features[1:] != features[:-1]
    return _any_column(moved, rows)


def _any_column(values: Array, rows: Rows) -> NDArray[np.bool_]:
    return np.stack([values[:, list(row)].any(1) for row in rows], axis=1)
