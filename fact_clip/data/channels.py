"""Named groups of feature columns: which columns belong to which thing (ZEROSHOT.md, 2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import ChannelData
from fact_clip.core import InputError, Vocabulary
from fact_clip.data.labels import read_lines
from fact_clip.data.things import find_things, name_things

Array = NDArray[Any]


class Videos(Protocol):
    """What `Channels.find` reads: a data set, or one with classes held out."""

    vocabulary: Vocabulary
    train: tuple[str, ...]
    validation: tuple[str, ...]

    @property
    def input_dim(self) -> int:
        """D, columns of the feature files."""

    def features(self, name: str) -> Array:
        """Raw features (T, D)."""

    def labels(self, name: str) -> NDArray[np.int64]:
        """Class indices (T,), -1 where a frame is ignored."""

    def class_counts(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Frames of each class, (C,)."""


@dataclass(frozen=True)
class Channels:
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
    def read(cls, config: ChannelData, root: Path, vocabulary: Vocabulary) -> Channels | None:
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
                raise InputError("data.channels.fixed", repr(name), f"names of {path}")
        others = {entry[place] for entry in vocabulary.factors for place in range(len(entry)) if place != slot}
        fixed = tuple(at for at, name in enumerate(names) if name in config.fixed or name in others)
        columns = _columns(len(names), config.blocks or (1,))
        return cls(names, columns, fixed, slot, sum(len(row) for row in columns))

    @classmethod
    def find(cls, config: ChannelData, dataset: Videos) -> Channels:
        """Find the things in the training features and their names by the training labels (data/things.py).

        Things without a name, and those that a word of another slot names too (tools), keep their identity.

        Raises:
            InputError: a slot that the vocabulary lacks, features without things.
        """
        vocabulary, videos = dataset.vocabulary, sorted((*dataset.train, *dataset.validation))
        slot = _slot_of(config, vocabulary)
        rows = find_things(lambda: (dataset.features(name) for name in videos))
        if not rows:
            found = f"{dataset.input_dim} columns, of which no two are zero in the same frames"
            raise InputError("data.channels.find", found, "columns of things that come and go", "set it to false")
        counts = dataset.class_counts(dataset.train)
        shown = [entry for entry, count in zip(vocabulary.factors, counts.tolist(), strict=True) if count]
        words = tuple(sorted({entry[slot] or "" for entry in shown} - {""}))
        said = np.array([[word in entry for word in words] for entry in vocabulary.factors])  # (C, W)

        def labelled() -> Iterator[tuple[Array, Array, Array]]:
            for name in dataset.train:
                labels = dataset.labels(name)
                yield dataset.features(name), said[labels], labels >= 0

        names = name_things(rows, labelled(), words)
        others = {word for entry in shown for place, word in enumerate(entry) if place != slot}
        fixed = tuple(at for at, name in enumerate(names) if not name or name in others)
        return cls(names, rows, fixed, slot, dataset.input_dim)

    def check(self, input_dim: int) -> Channels:
        """Hold the layout to the width of the feature files; an InputError where they differ."""
        if self.width != input_dim:
            found = f"{self.width} columns for {len(self.names)} things"
            raise InputError("data.channels.blocks", found, f"the {input_dim} of the feature files")
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


def _slot_of(config: ChannelData, vocabulary: Vocabulary) -> int:
    if config.slot not in vocabulary.slots:
        raise InputError("data.channels.slot", repr(config.slot), f"one of {', '.join(vocabulary.slots)}")
    return vocabulary.slots.index(config.slot)


def _columns(count: int, blocks: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    rows: list[list[int]] = [[] for _ in range(count)]
    start = 0
    for values in blocks:
        for thing, row in enumerate(rows):
            row += range(start + thing * values, start + (thing + 1) * values)
        start += count * values
    return tuple(tuple(row) for row in rows)
