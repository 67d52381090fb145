"""Things that nobody named: columns that belong together, and the words that go with them, read off the data.

A detector writes a few columns a thing, zero while the thing is not there. So columns that are zero at the same time
are of one thing, and a thing whose columns change while "move ham" is labelled, and seldom else, is the ham. Features
of which no column is ever zero have no such things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

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


def find_things(videos: Callable[[], Iterable[NDArray]]) -> tuple[tuple[int, ...], ...]:
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


def name_things(
    rows: Rows, videos: Iterable[tuple[NDArray, NDArray, NDArray]], words: tuple[str, ...]
) -> tuple[str, ...]:
    """The word of each thing, "" where none goes with it; each word names at most one.

    A thing is tied to a word by the correlation of its changes with the word's frames, and half that of its presence.
    The assignment with the greatest sum of ties is taken.

    Args:
        rows: of `find_things`.
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
