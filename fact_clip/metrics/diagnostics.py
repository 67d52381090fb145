"""Where unseen classes are lost: how well they are told from seen ones, and what they are taken for.

Definitions: docs/metrics.md, 'Diagnostics'. Accuracies and shares are in percent, and None where there is nothing to
count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import array_of, table_of
from fact_clip.metrics.frame import Classes, Labellings, class_set, paired, percent
from fact_clip.metrics.zero_shot import Tables, best_of_groups

FREQUENT = 0.25  # Share of the seen classes, those with most training frames, that count as frequent


def auroc(positive: ArrayLike, negative: ArrayLike) -> float | None:
    """Area under the ROC curve: how often a positive value is above a negative one; an equal pair counts half."""
    high, low = (array_of(values, "values", "numbers").ravel() for values in (positive, negative))
    if np.isnan(high).any() or np.isnan(low).any():
        raise InputError("values", "NaN is not a number to compare")
    if not high.size or not low.size:
        return None
    ordered = np.sort(low)
    below, up_to = (np.searchsorted(ordered, high, side) for side in ("left", "right"))
    return 100 * float((below + up_to).mean()) / (2 * low.size)


def seen_unseen_auroc(
    ground_truth: Labellings, scores: Tables, unseen: Classes, background: Classes = (), also_unseen: Classes = ()
) -> float | None:
    """The AUROC of frames of unseen classes against those of seen ones; arguments as in `seen_unseen_curve`."""
    compared = best_of_groups(ground_truth, scores, unseen, background, also_unseen)
    is_unseen = np.isin(compared.true, sorted(compared.groups[0]))
    is_seen = ~np.isin(compared.true, sorted(frozenset().union(*compared.groups)))
    return auroc(-compared.margin[is_unseen], -compared.margin[is_seen])


def frequent_classes(frames: ArrayLike, seen: Classes) -> frozenset[int]:
    """The quarter (`FREQUENT`, at least one) of the seen classes with most training frames, (C,); ties by index."""
    counts = np.asarray(frames)
    ranked = sorted((label for label in set(seen) if counts[label] > 0), key=lambda label: (-counts[label], label))
    return frozenset(ranked[: math.ceil(FREQUENT * len(ranked))])


@dataclass(frozen=True)
class Confusions:
    """What the wrongly named frames of some classes are named as."""

    wrong: int  # their number
    called_seen: float | None  # share of them named as a seen class; background is one
    collapsed: float | None  # share of them named as a frequent seen class that shares a factor with the true class


def confusions(
    ground_truth: Labellings,
    prediction: Labellings,
    vocabulary: Vocabulary,
    classes: Classes,
    seen: Classes,
    frames: ArrayLike,
) -> Confusions:
    """What wrongly named frames of unseen `classes` are named as; `frames` (C,) are the training frames."""
    wanted, trained = class_set("classes", classes), class_set("seen", seen)
    _check_within(vocabulary, wanted | trained)
    counted = table_of(frames, "frames", (len(vocabulary),))
    if (counted < 0).any():
        raise InputError("frames", f"{counted.min()} is below 0")
    actions = trained - set(vocabulary.background_indices)
    near = {label: sharing(vocabulary, label, frequent_classes(counted, actions)) for label in wanted}
    pairs = Counter[tuple[int, int]]()
    for true, guess in paired(ground_truth, prediction):
        _check_within(vocabulary, {*np.unique(true).tolist(), *np.unique(guess).tolist()})
        wrong = np.isin(true, sorted(wanted)) & (true != guess)
        pairs.update(zip(true[wrong].tolist(), guess[wrong].tolist(), strict=True))
    total = pairs.total()
    called = sum(count for (_, guess), count in pairs.items() if guess in trained)
    collapsed = sum(count for (true, guess), count in pairs.items() if guess in near[true])
    return Confusions(total, *(percent(part, total) if total else None for part in (called, collapsed)))


def sharing(vocabulary: Vocabulary, label: int, among: Classes) -> frozenset[int]:
    """Those of some classes that have a factor in common with a class."""
    factors = vocabulary.factors[label]
    return frozenset(
        other
        for other in among
        if any(a is not None and a == b for a, b in zip(factors, vocabulary.factors[other], strict=True))
    )


def compositional_gap(
    ground_truth: Labellings, prediction: Labellings, vocabulary: Vocabulary, classes: Classes
) -> float | None:
    """Mean over classes of (accuracy - product of the accuracies of its factors), in points of percent.

    The accuracy of a factor is the share of all frames whose true class has it that are named as a class with it. Below
    0: the factors are recognised, but not together. Classes without a true frame are left out; None if all are.
    """
    wanted, videos = class_set("classes", classes), paired(ground_truth, prediction)
    true, guess = (np.concatenate(parts) for parts in zip(*videos, strict=True))
    _check_within(vocabulary, {*wanted, *np.unique(true).tolist(), *np.unique(guess).tolist()})
    # For each (place of a slot, factor) the frames whose true class has it, and those of them named so, too.
    held, right = Counter[tuple[int, str | None]](), Counter[tuple[int, str | None]]()
    for (label, named), count in Counter(zip(true.tolist(), guess.tolist(), strict=True)).items():
        for slot, factor in enumerate(vocabulary.factors[label]):
            held[slot, factor] += count
            right[slot, factor] += count * (vocabulary.factors[named][slot] == factor)
    gaps = []
    for label in sorted(wanted):
        is_class = true == label
        if is_class.any():
            factors = [factor for factor in enumerate(vocabulary.factors[label]) if factor[1] is not None]
            product = math.prod(right[factor] / held[factor] for factor in factors)
            gaps.append(100 * (float((guess[is_class] == label).mean()) - product))
    return float(np.mean(gaps)) if gaps else None


def _check_within(vocabulary: Vocabulary, classes: Iterable[int]) -> None:
    """An InputError for a class index that a vocabulary does not have."""
    if max(classes, default=-1) >= len(vocabulary):
        raise InputError("classes", f"class {max(classes)}, but the vocabulary has {len(vocabulary)}")
