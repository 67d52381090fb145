"""Named groups of feature columns: which columns belong to which thing (ZEROSHOT.md, 2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import ChannelData
from fact_clip.core import InputError, Vocabulary
from fact_clip.data.labels import read_lines


@dataclass(frozen=True)
class Channels:
    """O named things with k columns of a feature file each.

    Args:
        names: of the things, as words ("baked egg").
        columns: O rows of k column numbers, the same kinds of value in the same order for each thing.
        fixed: numbers of the things that keep their identity: the words of the vocabulary's other slots (tools), and
            those that the data set names. The model sees the others without their names.
        slot: number of the slot whose words are names of things.
    """

    names: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]
    fixed: tuple[int, ...]
    slot: int

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
        if config.slot not in vocabulary.slots:
            raise InputError("data.channels.slot", repr(config.slot), f"one of {', '.join(vocabulary.slots)}")
        for name in config.fixed:
            if name not in names:
                raise InputError("data.channels.fixed", repr(name), f"names of {path}")
        slot = vocabulary.slots.index(config.slot)
        others = {entry[place] for entry in vocabulary.factors for place in range(len(entry)) if place != slot}
        fixed = tuple(at for at, name in enumerate(names) if name in config.fixed or name in others)
        return cls(names, _columns(len(names), config.blocks or (1,)), fixed, slot)

    def check(self, input_dim: int) -> Channels:
        """Hold the layout to the width of the feature files; an InputError where they differ."""
        width = sum(len(row) for row in self.columns)
        if width != input_dim:
            found = f"{width} columns for {len(self.names)} things"
            raise InputError("data.channels.blocks", found, f"the {input_dim} of the feature files")
        return self

    def kinds(self) -> NDArray[np.int64]:
        """(D,) the kind of value of each column: columns of one kind share their statistics."""
        kinds = np.zeros(sum(len(row) for row in self.columns), dtype=np.int64)
        for row in self.columns:
            kinds[list(row)] = np.arange(len(row))
        return kinds

    def with_context(self, copies: int) -> tuple[tuple[int, ...], ...]:
        """The columns of each thing when its windowed means and deviations stand behind the D columns."""
        width = sum(len(row) for row in self.columns)
        return tuple(tuple(width * copy + column for copy in range(copies) for column in row) for row in self.columns)


def _columns(count: int, blocks: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    rows: list[list[int]] = [[] for _ in range(count)]
    start = 0
    for values in blocks:
        for thing, row in enumerate(rows):
            row += range(start + thing * values, start + (thing + 1) * values)
        start += count * values
    return tuple(tuple(row) for row in rows)
