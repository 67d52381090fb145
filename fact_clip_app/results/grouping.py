"""Groups of unlabelled stretches with similar neighbours, lengths, features and names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

from fact_clip.core import Floats, Integers
from fact_clip.decoding.stretches import Stretch

NEIGHBOUR, LENGTH, NAME = 0.5, 0.5, 0.5
"""Weights of a neighbour, of the length and of the names, in units of the spread of features."""

LARGEST = 3.0
"""The distance (Ward) above which stretches are not in one group."""

_SHRINKAGE = 0.1
_MOST_AXES = 32  # of the features


@dataclass(frozen=True)
class Group:
    """Stretches that belong together. Each follows a stretch that it resembles.

    Attributes:
        members: Indices of the stretches.
        distances: Distance at which each member joins the one before it. The group falls into its
            two most different halves at the largest distance. The first member has 0.
    """

    members: list[int]
    distances: list[float]


def whitening(rows: Floats, classes: Integers) -> tuple[Floats, Floats]:
    """Learn from labelled rows in which directions features vary within a class.

    Args:
        rows: (N, D) labelled rows of features.
        classes: (N,) class of each row.

    Returns:
        The mean (D,) and a matrix (D, D). `(row - mean) @ matrix` has the same variance within
        a class in all directions.
    """
    mean: Floats = rows.mean(0)
    scale = rows.std(0)
    scale[scale == 0] = 1.0
    residuals = (rows - mean) / scale
    for label in np.unique(classes):
        is_member = classes == label
        residuals[is_member] -= residuals[is_member].mean(0)
    scatter = residuals.T @ residuals / len(rows)
    average = max(float(np.trace(scatter)) / len(scatter), 1e-6)
    shrunk = (1 - _SHRINKAGE) * scatter + _SHRINKAGE * average * np.eye(len(scatter))
    variances, axes = np.linalg.eigh(shrunk)
    matrix: Floats = axes / np.sqrt(variances) / scale[:, None]
    return mean, matrix


def coordinates(
    stretches: Sequence[Stretch], means: Floats | None = None, shares: Floats | None = None
) -> Floats:
    """Return a place (P,) for each stretch. Those that are alike are near each other.

    Args:
        stretches: The N stretches.
        means: (N, D) mean features of each stretch, NaN where there are none; None without any.
        shares: (N, K) shares of the names that a model gives, or None without a model.
    """
    log_lengths = np.log([stretch.stop - stretch.start for stretch in stretches])
    blocks = [
        NEIGHBOUR * _one_hot([stretch.last_action for stretch in stretches]),
        NEIGHBOUR * _one_hot([stretch.next_action for stretch in stretches]),
        LENGTH * (log_lengths - log_lengths.mean())[:, None] / max(log_lengths.std(), 0.1),
    ]
    if means is not None:
        blocks.append(_main_axes(means))
    if shares is not None:
        blocks.append(NAME * np.sqrt(shares))
    return np.hstack(blocks)


def _one_hot(values: Sequence[int]) -> Floats:
    """Return values (N,) as rows (N, M) with a single 1."""
    _, places = np.unique(values, return_inverse=True)
    rows: Floats = np.eye(places.max() + 1)[places]
    return rows


def _main_axes(means: Floats) -> Floats:
    """Return features on the axes of their largest variances, which add up to 1.

    A stretch without features lies in the middle.
    """
    is_known = ~np.isnan(means).any(1)
    centred = np.zeros_like(means)
    if is_known.any():
        centred[is_known] = means[is_known] - means[is_known].mean(0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    spread = np.sqrt((lengths**2).sum() / max(int(is_known.sum()), 1))
    reduced: Floats = centred @ axes[:_MOST_AXES].T
    return reduced / spread if spread else reduced


def find_groups(places: Floats, largest: float = LARGEST) -> list[Group]:
    """Group places (N, P) by Ward's method.

    Args:
        places: Places of `coordinates`.
        largest: Distance above which places are not in one group.

    Returns:
        The groups. Every place is in one of them.
    """
    if len(places) == 1:
        return [Group([0], [0.0])]
    tree = linkage(places, "ward")
    order = leaves_list(tree).tolist()
    groups: list[Group] = []
    for leaf, distance in zip(order, _joining_distances(tree, order), strict=True):
        if not groups or distance > largest:
            groups.append(Group([leaf], [0.0]))
        else:
            groups[-1].members.append(leaf)
            groups[-1].distances.append(distance)
    return groups


def _joining_distances(tree: Floats, order: Sequence[int]) -> list[float]:
    """Return the distance at which each leaf joins the leaf before it; the first one has 0."""
    position = {leaf: index for index, leaf in enumerate(order)}
    first = [position[leaf] for leaf in range(len(order))]  # place of the first leaf of each node
    distances = [0.0] * len(order)
    for left, right, distance, _ in tree:
        starts = (first[int(left)], first[int(right)])
        distances[max(starts)] = float(distance)
        first.append(min(starts))
    return distances
