"""Diagnostics of errors on unseen classes (docs/metrics.md, 'Diagnostics').

All are in percent, and None if nothing can be counted.
"""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core import Floats, InputError, Vocabulary
from fact_clip.core.arguments import array_of, table_of
from fact_clip.metrics.frame import Classes, Labellings, class_set, paired, percent
from fact_clip.metrics.zero_shot import Tables, best_of_groups, class_groups

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
    scores: Tables,
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> float | None:
    """Compute the AUROC of frames of unseen classes against those of seen ones.

    Args:
        ground_truth: as in `seen_unseen_curve`.
        scores: as in `seen_unseen_curve`.
        unseen: as in `seen_unseen_curve`.
        background: as in `seen_unseen_curve`.
        also_unseen: as in `seen_unseen_curve`.

    Returns:
        The AUROC in percent.
    """
    best = best_of_groups(ground_truth, scores, class_groups(unseen, background, also_unseen))
    is_unseen = np.isin(best.true, sorted(best.groups.unseen))
    is_seen = ~np.isin(best.true, sorted(best.groups.all))
    return auroc(-best.margin[is_unseen], -best.margin[is_seen])


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

    total = 0
    called_seen = 0
    collapsed = 0
    for pair, count in _class_pairs(ground_truth, prediction, vocabulary).items():
        label, guess = pair
        if label not in unseen or guess == label:
            continue
        total += count
        if guess in trained:
            called_seen += count
        if guess in frequent and _factors(vocabulary, label) & _factors(vocabulary, guess):
            collapsed += count
    if not total:
        return {"called_seen": None, "collapsed": None}
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
    # frames by true class and by (slot, factor), and how many of them are predicted so
    class_frames: Counter[int] = Counter()
    class_right: Counter[int] = Counter()
    factor_frames: Counter[tuple[int, str | None]] = Counter()
    factor_right: Counter[tuple[int, str | None]] = Counter()
    for pair, count in _class_pairs(ground_truth, prediction, vocabulary).items():
        label, guess = pair
        class_frames[label] += count
        class_right[label] += count * (label == guess)
        shared = _factors(vocabulary, label) & _factors(vocabulary, guess)
        for factor in _factors(vocabulary, label):
            factor_frames[factor] += count
            factor_right[factor] += count * (factor in shared)

    gaps = []
    for label in sorted(indices & class_frames.keys()):
        product = 1.0
        for factor in enumerate(vocabulary.factors[label]):
            if factor[1] is not None:
                product *= factor_right[factor] / factor_frames[factor]
        gaps.append(100 * (class_right[label] / class_frames[label] - product))
    return float(np.mean(gaps)) if gaps else None


def _class_pairs(
    ground_truth: Labellings, prediction: Labellings, vocabulary: Vocabulary
) -> Counter[tuple[int, int]]:
    """Count the frames of each (true class, predicted class)."""
    pairs: Counter[tuple[int, int]] = Counter()
    for true, guess in paired(ground_truth, prediction):
        pairs.update(zip(true.tolist(), guess.tolist(), strict=True))
    for pair in pairs:
        _check_within(vocabulary, pair)
    return pairs


def _factors(vocabulary: Vocabulary, label: int) -> set[tuple[int, str | None]]:
    """Return the (slot, factor) of a class, without empty ones."""
    return {factor for factor in enumerate(vocabulary.factors[label]) if factor[1] is not None}


def _check_within(vocabulary: Vocabulary, classes: Iterable[int]) -> None:
    """Raise an InputError for a class index that a vocabulary does not have."""
    highest = max(classes, default=-1)
    if highest >= len(vocabulary):
        raise InputError("classes", f"class {highest}, but the vocabulary has {len(vocabulary)}")
