"""Detection of objects in features, and of their names from labels (docs/method.md).

An object is a group of columns that are zero in the same frames. The *tie* of an object and a word
is the correlation, over frames, of the object's changes with the word's labels, plus half of the
correlation of its presence with them. It is at most 1.5. Each word names at most one object, and
the names are chosen so that the sum of their ties is largest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np

from fact_clip.core import Array, Flags, Floats, InputError, Names
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.objects import (
    OBJECT_SLOT,
    Columns,
    ObjectColumns,
    object_slot,
    words_of_other_slots,
)

MIN_JOINT_PRESENCE = 0.95
"""Minimum correlation between the nonzero masks of two columns of one object."""

MIN_JOINT_CHANGE = 0.4
"""Minimum correlation of a column being nonzero with an object's changes to belong to it."""

MIN_TIE = 0.04
"""Minimum tie for a word to name an object."""

SURE_TIE = 0.25
"""Tie between a word and an object that rarely occurs by chance."""


def objects_of(dataset: Dataset, ties_factors: bool) -> ObjectColumns | None:
    """Read or detect the objects of a data set, as ``data.objects`` requires.

    Args:
        dataset: Data set.
        ties_factors: Whether the model ties objects to factors, so that ``auto`` detects them.

    Returns:
        The objects, or None if there are none.

    Raises:
        InputError: ``data.objects`` does not fit the features, or requires objects that the
            features do not have.
    """
    config = dataset.config.objects
    if config.columns:
        return ObjectColumns.from_settings(config, dataset)
    if config.names_file is not None:
        return ObjectColumns.from_file(config, dataset.root, dataset.vocabulary)
    if config.file == "find":
        return detect(dataset)
    if config.file == "auto" and ties_factors:
        return detect_sure(dataset)
    return None


def detect_sure(dataset: Dataset) -> ObjectColumns | None:
    """Detect objects, or return None unless most trained object words clearly name an object."""
    if OBJECT_SLOT not in dataset.vocabulary.slots:
        return None
    columns = _columns_of(dataset)
    if not columns:
        return None
    objects, is_sure = _named(dataset, columns)
    return objects if is_sure else None


def detect(dataset: Dataset) -> ObjectColumns:
    """Detect objects in the features, and their names from the training labels.

    Objects keep their identity if they have no name, or if a word of a different slot also names
    them (tools).

    Args:
        dataset: Data set, whose training and validation videos are read.

    Returns:
        The objects, with their names.

    Raises:
        InputError: There are no objects, or the classes have no slot for them.
    """
    object_slot(dataset.vocabulary)
    columns = _columns_of(dataset)
    if not columns:
        problem = "no objects that come and go: no two columns are zero in the same frames"
        raise InputError("data.objects.file", problem, "set it to null")
    objects, _ = _named(dataset, columns)
    return objects


def _columns_of(dataset: Dataset) -> Columns:
    """Find the columns of objects in the training and validation videos of a data set."""
    video_names = sorted(dataset.learning)
    return find_columns(lambda: map(dataset.features, video_names))


def _named(dataset: Dataset, columns: Columns) -> tuple[ObjectColumns, bool]:
    """Return objects with names from the labels of the training videos.

    The second value is whether most words of trained classes clearly name an object.
    """
    vocabulary = dataset.vocabulary
    slot = object_slot(vocabulary)
    trained_factors = list(compress(vocabulary.factors, dataset.training_counts))
    words = tuple(sorted({factors[slot] or "" for factors in trained_factors} - {""}))
    class_words = []
    for factors in vocabulary.factors:
        class_words.append([word in factors for word in words])
    has_word = np.array(class_words)  # (C, W)

    def frames() -> Iterator[tuple[Array, Array, Array]]:
        for rows, labels in dataset.training_videos:
            yield rows, has_word[labels], labels >= 0  # (T, D), (T, W), (T,)

    names: Names = ("",) * len(columns)
    ties: list[float] = []
    if words:
        names, ties = name_objects(columns, frames(), words)
    fixed_names = {"", *words_of_other_slots(trained_factors, slot)}
    fixed = tuple(number for number, name in enumerate(names) if name in fixed_names)
    objects = ObjectColumns(names, columns, fixed, slot, dataset.input_dim)
    n_sure = sum(tie >= SURE_TIE for tie in ties)
    return objects, 2 * n_sure > len(words)


def find_columns(videos: Callable[[], Iterable[Array]]) -> Columns:
    """Find the columns of objects that come and go.

    Columns that are zero in the same frames belong to one object. A single column joins the object
    whose changes coincide with its nonzero values. Only objects with the most frequent number of
    columns count.

    Args:
        videos: Function that returns the features (T, D) of the videos. It is called twice.

    Returns:
        The columns of each object, (O, k), sorted by their first column, or () if there are none.
    """
    # Imported here, because the import takes long.
    from scipy.sparse.csgraph import connected_components

    nonzero_masks = (features != 0 for features in videos())  # (T, D) of each video
    joint_presence = correlation((is_nonzero, is_nonzero) for is_nonzero in nonzero_masks)  # (D, D)
    _, group = connected_components(joint_presence >= MIN_JOINT_PRESENCE, directed=False)  # (D,)
    size = np.bincount(group)  # columns of each group
    objects = [np.flatnonzero(group == number).tolist() for number in np.flatnonzero(size > 1)]
    if not objects:
        return ()

    is_alone = (size == 1)[group] & (np.diag(joint_presence) > 0)  # (D,)
    alone = np.flatnonzero(is_alone)  # (A,) columns
    if len(alone):
        joint_change = correlation(
            (features[:, alone] != 0, changes(features, objects)) for features in videos()
        )  # (A, O)
        for column, of_objects in zip(alone.tolist(), joint_change, strict=True):
            if of_objects.max() >= MIN_JOINT_CHANGE:
                objects[int(of_objects.argmax())].append(column)
    n_columns = int(np.bincount([len(columns) for columns in objects]).argmax())  # most frequent
    return tuple(sorted(tuple(sorted(columns)) for columns in objects if len(columns) == n_columns))


def name_objects(
    columns: Sequence[Sequence[int]],
    videos: Iterable[tuple[Array, Array, Array]],
    words: Names,
) -> tuple[Names, list[float]]:
    """Find the names of objects by their ties. Each word names at most one object.

    Args:
        columns: Columns of each object.
        videos: For each video, features (T, D), whether each frame has each of the W words (T, W),
            and whether it is labelled (T,).
        words: The words.

    Returns:
        The word of each object, or "" if no tie is large enough, and the ties of named objects.
    """
    # Imported here, because the import takes long.
    from scipy.optimize import linear_sum_assignment

    def pairs() -> Iterator[tuple[Array, Array]]:
        for features, has_word, is_labelled in videos:
            is_present = _any_column(features != 0, columns)
            both = np.hstack([changes(features, columns), is_present])  # (T, 2 O)
            yield both[is_labelled], has_word[is_labelled]

    n_objects = len(columns)
    correlations = correlation(pairs())  # (2 O, W)
    ties = correlations[:n_objects] + correlations[n_objects:] / 2  # (O, W)
    names = [""] * n_objects
    ties_of_names = []
    for number, word in zip(*linear_sum_assignment(-ties), strict=True):
        if ties[number, word] >= MIN_TIE:
            names[number] = words[word]
            ties_of_names.append(float(ties[number, word]))
    return tuple(names), ties_of_names


def correlation(pairs: Iterable[tuple[Array, Array]]) -> Floats:
    """Return correlations (M, N) over the frames of all pairs of flags (T, M) and (T, N).

    The correlation is 0 if a column is constant. Variances are differences of sums, which are exact
    for flags but would lose digits for large numbers.
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
    """Return whether any column of each object differs from the previous frame, (T, O)."""
    moved = np.zeros(features.shape, dtype=bool)
    moved[1:] = features[1:] != features[:-1]
    return _any_column(moved, columns)


def _any_column(values: Flags, columns: Sequence[Sequence[int]]) -> Flags:
    """Return whether any column of each object is true, (T, D) -> (T, O)."""
    of_objects = [values[:, list(object_columns)].any(1) for object_columns in columns]
    return np.stack(of_objects, axis=1)
