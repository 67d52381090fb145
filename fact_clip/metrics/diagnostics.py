"""Diagnostics of errors on unseen classes (docs/metrics.md, 'Diagnostics').

All are in percent, and None if nothing can be counted.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core import Flags, Floats, InputError, Integers, Vocabulary, frame_labels
from fact_clip.core.arguments import array_of, table_of
from fact_clip.metrics.frame import Classes, Labellings, class_set, paired, percent
from fact_clip.metrics.zero_shot import class_groups

FREQUENT = 0.25
"""Share of the seen classes, those with most training frames, that count as frequent."""


def auroc(positive: ArrayLike, negative: ArrayLike) -> float | None:
    """Compute the area under the ROC curve: how often a positive value is above a negative one.

    Args:
        positive: values of any shape.
        negative: values of any shape.

    Returns:
        The share in percent, an equal pair counting half; None if either is empty.
    """
    high = _comparable(positive)
    low = np.sort(_comparable(negative))
    if not high.size or not low.size:
        return None
    below = np.searchsorted(low, high, "left")
    up_to = np.searchsorted(low, high, "right")
    return 100 * float((below + up_to).mean()) / (2 * low.size)


def _comparable(values: ArrayLike) -> Floats:
    array = array_of(values, "values", "numbers").ravel()
    if np.isnan(array).any():
        raise InputError("values", "NaN is not a number to compare")
    return array


def seen_unseen_auroc(
    ground_truth: Labellings,
    scores: Sequence[ArrayLike],
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> float | None:
    """Compute the AUROC of frames of unseen classes against frames of seen classes.

    Args:
        ground_truth: class indices (T,) of each video; negative ones are ignored frames.
        scores: (T, C) for each video, before the softmax; -inf rules a class out.
        unseen: as in `curve_of_counts`.
        background: as in `curve_of_counts`.
        also_unseen: as in `curve_of_counts`.

    Returns:
        The AUROC in percent, by the margin of the best seen class over the best unseen class.
    """
    groups = class_groups(unseen, background, also_unseen)
    n_videos = len(ground_truth)
    if n_videos == 0 or n_videos != len(scores):
        raise InputError("scores", f"{len(scores)} videos, but the ground truth has {n_videos}")
    labels: list[Integers] = []
    tables: list[Floats] = []
    width: int | str = "C"
    for index in range(n_videos):
        true = frame_labels(ground_truth[index], f"ground truth of video {index}")
        where = f"scores of video {index}"
        values = table_of(scores[index], where, (true.size, width), finite=False)
        width = values.shape[1]
        labels.append(true[true >= 0])
        tables.append(values[true >= 0].astype(np.float64))

    true = np.concatenate(labels)  # (n,)
    table = np.concatenate(tables)  # (n, C)
    n_classes = table.shape[1]
    if np.isnan(table).any() or np.isposinf(table).any():
        raise InputError("scores", "NaN or inf; only -inf is allowed, which rules a class out")
    for label in groups.all | set(true.tolist()):
        if label >= n_classes:
            raise InputError("scores", f"{n_classes} columns, none for class {label}")

    is_untrained = np.isin(np.arange(n_classes), sorted(groups.unseen | groups.also_unseen))
    margin = _best(table, is_untrained, "unseen") - _best(table, ~is_untrained, "seen")  # (n,)
    is_unseen = np.isin(true, sorted(groups.unseen))
    is_seen = ~np.isin(true, sorted(groups.all))
    return auroc(margin[is_unseen], margin[is_seen])


def _best(table: Floats, is_member: Flags, group: str) -> Floats:
    """Return the score of the best class of a group in each frame (n,)."""
    if not is_member.any():
        raise InputError("classes", f"none is {group}")
    best: Floats = table[:, is_member].max(axis=1)
    if np.isneginf(best).any():
        raise InputError("scores", f"all {group} classes of a frame are ruled out")
    return best


def frequent_classes(frames: ArrayLike, seen: Classes) -> frozenset[int]:
    """Return the seen classes with most training frames.

    Args:
        frames: training frames of each class (C,).
        seen: class indices.

    Returns:
        A share of `FREQUENT` of those that have frames, rounded up; of equal ones the first.
    """
    counts = np.asarray(frames)
    present = [label for label in sorted(set(seen)) if counts[label] > 0]
    ranked = sorted(present, key=lambda label: -counts[label])
    return frozenset(ranked[: math.ceil(FREQUENT * len(ranked))])


def confusions(
    ground_truth: Labellings,
    prediction: Labellings,
    vocabulary: Vocabulary,
    classes: Classes,
    seen: Classes,
    frames: ArrayLike,
) -> dict[str, float | None]:
    """Break down errors on unseen classes by predicted class.

    Args:
        ground_truth: see `paired`.
        prediction: see `paired`.
        vocabulary: the C classes.
        classes: the unseen classes.
        seen: the seen classes, background too.
        frames: training frames of each class (C,).

    Returns:
        Shares of the wrong frames in percent: "called_seen", predicted as a seen class, and
        "collapsed", predicted as a frequent seen class that shares a factor with the true class.
    """
    unseen = class_set("classes", classes)
    trained = class_set("seen", seen)
    _check_within(vocabulary, unseen | trained)
    counts = table_of(frames, "frames", (len(vocabulary),))
    if (counts < 0).any():
        raise InputError("frames", f"{counts.min()} is below 0")
    frequent = frequent_classes(counts, trained - set(vocabulary.background_indices))

    wrong = _confusion(ground_truth, prediction, vocabulary)
    np.fill_diagonal(wrong, 0)
    collapsed = 0
    for label in unseen:
        factors = _factors(vocabulary, label)
        alike = [guess for guess in frequent if factors & _factors(vocabulary, guess)]
        collapsed += int(wrong[label, alike].sum())
    total = int(wrong[sorted(unseen)].sum())
    if not total:
        return {"called_seen": None, "collapsed": None}
    called_seen = int(wrong[np.ix_(sorted(unseen), sorted(trained))].sum())
    return {"called_seen": percent(called_seen, total), "collapsed": percent(collapsed, total)}


def compositional_gap(
    ground_truth: Labellings, prediction: Labellings, vocabulary: Vocabulary, classes: Classes
) -> float | None:
    """Compute the mean over classes of (accuracy - product of the accuracies of its factors).

    The accuracy of a factor is the share of all frames whose true class has it that are predicted
    as a class with it. Below 0, the factors are recognised, but not together.

    Args:
        ground_truth: see `paired`.
        prediction: see `paired`.
        vocabulary: the classes.
        classes: the classes to average over; those without a true frame do not count.

    Returns:
        The gap in points of percent, or None if no class has a true frame.
    """
    indices = class_set("classes", classes)
    _check_within(vocabulary, indices)
    confusion = _confusion(ground_truth, prediction, vocabulary)
    factors = [_factors(vocabulary, label) for label in range(len(vocabulary))]

    def accuracy(labels: list[int]) -> float:
        """Return the share of the frames of some classes that are predicted as one of them."""
        frames = confusion[labels]  # (K, C)
        return float(frames[:, labels].sum() / frames.sum())

    gaps = []
    for label in sorted(indices):
        if not confusion[label].any():
            continue
        product = 1.0
        for factor in sorted(factors[label]):
            labels = [other for other in range(len(vocabulary)) if factor in factors[other]]
            product *= accuracy(labels)
        gaps.append(100 * (accuracy([label]) - product))
    return float(np.mean(gaps)) if gaps else None


def _confusion(
    ground_truth: Labellings, prediction: Labellings, vocabulary: Vocabulary
) -> Integers:
    """Count the frames of each true class (rows) and predicted class (columns), (C, C)."""
    confusion = np.zeros((len(vocabulary), len(vocabulary)), np.int64)
    for true, guess in paired(ground_truth, prediction):
        _check_within(vocabulary, np.unique([true, guess]).tolist())
        np.add.at(confusion, (true, guess), 1)
    return confusion


def _factors(vocabulary: Vocabulary, label: int) -> set[tuple[int, str]]:
    """Return the (slot, factor) of a class, without empty ones."""
    factors = enumerate(vocabulary.factors[label])
    return {(slot, factor) for slot, factor in factors if factor is not None}


def _check_within(vocabulary: Vocabulary, classes: Iterable[int]) -> None:
    """Raise an InputError for a class index that a vocabulary does not have."""
    highest = max(classes, default=-1)
    if highest >= len(vocabulary):
        raise InputError("classes", f"class {highest}, but the vocabulary has {len(vocabulary)}")
