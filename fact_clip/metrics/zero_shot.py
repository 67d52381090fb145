"""Seen and unseen classes apart: S, U and H, F1 by group, the curve of S against U (docs/protocol.md, 'Figures').

The curve and AUSUC are those of Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning" (ECCV
2016): a constant gamma is subtracted from the scores of seen classes (calibrated stacking).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core import InputError, Vocabulary, frame_labels
from fact_clip.core.arguments import array_of, number_of, table_of, whole_of
from fact_clip.metrics.frame import Classes, FrameCounts, Labellings, class_set, paired, percent
from fact_clip.metrics.segmental import OVERLAPS, SegmentCounts, count_segments, f1_exact

Floats: TypeAlias = NDArray[np.float64]
Tables: TypeAlias = Sequence[ArrayLike]

_ROUNDING = 1e-6  # by which a mean of percentages may end above 100


def class_groups(
    unseen: Classes, background: Classes = (), also_unseen: Classes = ()
) -> list[frozenset[int]]:
    """Check three groups of classes, no two of which may share one. All other classes are seen."""
    groups = {"unseen": unseen, "background": background, "also_unseen": also_unseen}
    sets = {where: class_set(where, classes) for where, classes in groups.items()}
    for where, other in combinations(sets, 2):
        if both := sets[where] & sets[other]:
            raise InputError(where, f"class {min(both)} is in {other} too")
    return list(sets.values())


def harmonic_mean(seen: float, unseen: float) -> float:
    """2SU / (S + U) of two percentages, or of two shares; 0 if both are 0."""
    for name, value in (("seen", seen), ("unseen", unseen)):
        number_of(value, name, "percent, 0 to 100", 0, 100 + _ROUNDING)
    return 2.0 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def frame_figures(
    counts: FrameCounts, unseen: frozenset[int], background: frozenset[int]
) -> dict[str, float]:
    """Frame accuracy and class-mean accuracy of each group, and the harmonic mean of the two class means."""
    seen_mean = counts.without(unseen | background).class_mean()
    unseen_mean = counts.only(unseen).class_mean()
    return {
        "seen_frame_accuracy": counts.without(unseen).accuracy(),
        "unseen_frame_accuracy": counts.only(unseen).accuracy(),
        "seen_class_mean_accuracy": seen_mean,
        "unseen_class_mean_accuracy": unseen_mean,
        "harmonic_mean": harmonic_mean(seen_mean, unseen_mean),
    }


def segment_figures(
    counts: SegmentCounts, unseen: frozenset[int], overlap: int
) -> dict[str, float]:
    """Exact F1 of each group: a false positive counts for the predicted class's group, a miss for the true one's."""
    return {
        f"seen_f1@{overlap}": f1_exact(*counts.without(unseen).totals()),
        f"unseen_f1@{overlap}": f1_exact(*counts.only(unseen).totals()),
    }


def class_means(
    ground_truth: Labellings, prediction: Labellings, unseen: Classes, background: Classes = ()
) -> tuple[float, float]:
    """S and U without `background`: mean accuracy in percent over the seen and the unseen classes with a true frame."""
    held_out, left_out, _ = class_groups(unseen, background)
    figures = frame_figures(FrameCounts.of(paired(ground_truth, prediction)), held_out, left_out)
    return figures["seen_class_mean_accuracy"], figures["unseen_class_mean_accuracy"]


def group_f1(
    ground_truth: Labellings, prediction: Labellings, unseen: Classes, background: Classes = ()
) -> dict[str, float]:
    """F1 in percent by group and overlap: "seen_f1@10", "unseen_f1@10", ...; arguments as in `class_means`."""
    held_out, left_out, _ = class_groups(unseen, background)
    videos = paired(ground_truth, prediction)
    figures: dict[str, float] = {}
    for overlap in OVERLAPS:
        figures |= segment_figures(count_segments(videos, overlap, left_out), held_out, overlap)
    return figures


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """S and U as gamma grows; all three arrays are (J,)."""

    # the constants in order; 0 is one of them. A curve of `seen_unseen_curve` has one in each interval in which
    # nothing changes: 0 in its interval, the middle elsewhere, and 1 beyond the outermost changes.
    gamma: Floats
    seen: Floats  # class-mean accuracy over seen classes, in percent
    unseen: Floats  # the same over unseen classes

    def __post_init__(self) -> None:
        for name in ("gamma", "seen", "unseen"):
            values = table_of(getattr(self, name), name, (len(self.gamma),)).astype(np.float64)
            object.__setattr__(self, name, values)
            if name != "gamma" and not ((values >= -_ROUNDING) & (values <= 100 + _ROUNDING)).all():
                raise InputError(name, "its values must be percentages")
        # The middle of two neighbouring floats is one of them, so two gammas may be equal.
        if not (np.diff(self.gamma) >= 0).all() or 0 not in self.gamma:
            raise InputError("gamma", "its values must increase, 0 among them")

    @property
    def harmonic_mean(self) -> Floats:
        """(J,) 2SU / (S + U), 0 where both are 0."""
        total = self.seen + self.unseen
        return np.divide(
            2 * self.seen * self.unseen, total, out=np.zeros_like(total), where=total > 0
        )

    @property
    def start(self) -> int:
        """Position of gamma = 0."""
        return int(np.flatnonzero(self.gamma == 0)[0])

    def ausuc(self) -> float:
        """Area under the S-U curve in percent, 100 for a flawless model; see `ausuc`."""
        return float(np.sum(np.diff(self.unseen) * (self.seen[1:] + self.seen[:-1]))) / 200

    def to_dict(self, points: int = 101) -> dict[str, list[float]]:
        """Lists "gamma", "seen", "unseen" of at most `points` points, evenly spread along the curve, and gamma = 0."""
        points = whole_of(points, "points", 1, 1_000_000)
        way = np.concatenate(
            [[0.0], np.cumsum(np.abs(np.diff(self.seen)) + np.abs(np.diff(self.unseen)))]
        )
        points_ = np.searchsorted(way, np.linspace(0, way[-1], max(points - 1, 2)))
        points_ = np.unique(np.append(points_, self.start))
        return {name: getattr(self, name)[points_].tolist() for name in ("gamma", "seen", "unseen")}


def seen_unseen_curve(
    ground_truth: Labellings,
    scores: Tables,
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> SeenUnseenCurve:
    """The exact curve of the frame-wise argmax of scores - gamma * (class is seen), for all gamma.

    A frame goes to its best seen class while gamma is at most its margin, best seen score minus best unseen score, and
    to its best unseen class above. So S and U change at margins only, and one sort gives the curve.

    Args:
        ground_truth: see `Labellings`.
        scores: (T, C) for each video, before the softmax; -inf rules a class out.
        unseen: classes of U. All classes that are neither here nor in `also_unseen` are seen, background too.
        background: classes that are left out of S and U.
        also_unseen: further classes without training frames (validation-unseen ones at the test): gamma is not
            subtracted from their scores, and they are left out of S and U.
    """
    compared = best_of_groups(ground_truth, scores, unseen, background, also_unseen)
    (held_out, left_out, others), true, margin = compared.groups, compared.true, compared.margin
    s_weight = _weights(
        true, compared.seen_guess == true, set(true.tolist()) - held_out - left_out - others
    )
    u_weight = _weights(true, compared.unseen_guess == true, held_out)
    changes = (s_weight > 0) | (u_weight > 0)
    breaks, break_of = np.unique(margin[changes], return_inverse=True)
    lost = np.bincount(break_of, s_weight[changes])
    won = np.bincount(break_of, u_weight[changes])
    gamma = np.zeros(1)
    if len(breaks):
        gamma = np.concatenate([[breaks[0] - 1], (breaks[:-1] + breaks[1:]) / 2, [breaks[-1] + 1]])
        gamma[np.searchsorted(breaks, 0.0)] = 0.0
    return SeenUnseenCurve(
        gamma=gamma,
        # Summed from the end at which it is 0, so that it is 0 there.
        seen=np.append(np.cumsum(lost[::-1])[::-1], 0.0),
        unseen=np.concatenate([[0.0], np.cumsum(won)]),
    )


@dataclass(frozen=True)
class Compared:
    """The best seen and the best unseen class of each of n frames."""

    groups: list[frozenset[int]]  # unseen, background, also unseen
    true: NDArray[np.int64]  # (n,)
    seen_guess: NDArray[np.int64]  # (n,)
    unseen_guess: NDArray[np.int64]  # (n,) of both unseen groups
    margin: Floats  # (n,) best seen score minus best unseen score


def best_of_groups(
    ground_truth: Labellings,
    scores: Tables,
    unseen: Classes,
    background: Classes,
    also_unseen: Classes,
) -> Compared:
    """Compare the best seen and the best unseen class of all frames; arguments as in `seen_unseen_curve`."""
    groups = class_groups(unseen, background, also_unseen)
    held_out, left_out, others = groups
    if len(ground_truth) == 0 or len(ground_truth) != len(scores):
        raise InputError(
            "scores", f"{len(scores)} videos, but the ground truth has {len(ground_truth)}"
        )
    labels, tables = list[NDArray[np.int64]](), list[Floats]()
    for index, (truth, rows) in enumerate(zip(ground_truth, scores, strict=True)):
        true = frame_labels(truth, f"ground truth of video {index}")
        width = tables[0].shape[1] if tables else "C"
        values = table_of(rows, f"scores of video {index}", (true.size, width), finite=False)
        labels.append(true[true >= 0])
        tables.append(values[true >= 0].astype(np.float64))
    true, table = np.concatenate(labels), np.concatenate(tables)
    n_classes = table.shape[1]
    if np.isnan(table).any() or np.isposinf(table).any():
        raise InputError("scores", "NaN or inf; only -inf is allowed, which rules a class out")
    for label in held_out | left_out | others | set(true.tolist()):
        if label >= n_classes:
            raise InputError("scores", f"{n_classes} columns, none for class {label}")
    free = np.isin(np.arange(n_classes), sorted(held_out | others))
    seen_guess, seen_best = _best(table, ~free, "seen")
    unseen_guess, unseen_best = _best(table, free, "unseen")
    return Compared(groups, true, seen_guess, unseen_guess, seen_best - unseen_best)


def curve_of_predictions(
    ground_truth: Labellings,
    predictions: Mapping[float, Labellings],
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> SeenUnseenCurve:
    """S and U on a grid of gammas, for a decoder that is not a frame-wise argmax (a switching price, two voters).

    `predictions` are gamma -> class indices (T,) of each video, 0 among the gammas; the rest as in `seen_unseen_curve`.
    Between grid points the curve is straight, and it ends with the grid, which should reach to where U and S are 0.
    """
    for gamma in predictions:
        number_of(gamma, "gamma", "a finite number of nats")
    counts = {
        gamma: FrameCounts.of(paired(ground_truth, labels)) for gamma, labels in predictions.items()
    }
    return curve_of_counts(counts, unseen, background, also_unseen)


def curve_of_counts(
    counts: Mapping[float, FrameCounts],
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> SeenUnseenCurve:
    """The curve of `curve_of_predictions` from gamma -> counts, which may be added up video by video."""
    held_out, left_out, others = class_groups(unseen, background, also_unseen)
    rows = []
    for gamma in sorted(counts):
        figures = frame_figures(counts[gamma], held_out, left_out | others)
        rows.append(
            (gamma, figures["seen_class_mean_accuracy"], figures["unseen_class_mean_accuracy"])
        )
    return SeenUnseenCurve(*np.array(rows).reshape(-1, 3).T)


def ausuc(
    ground_truth: Labellings,
    scores: Tables,
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> float:
    """Area under the exact S-U curve in percent, from gamma = -inf (U = 0) to inf (S = 0); see `seen_unseen_curve`.

    A frame moves either S or U, so the curve is a staircase. Only where frames of both groups share a margin it is the
    chord, as in the area under a ROC curve.
    """
    return seen_unseen_curve(ground_truth, scores, unseen, background, also_unseen).ausuc()


def _best(table: Floats, among: NDArray[np.bool_], name: str) -> tuple[NDArray[np.int64], Floats]:
    """The best of some classes in each frame: class (n,) and score (n,)."""
    classes = np.flatnonzero(among)
    if not len(classes):
        raise InputError("classes", f"none is {name}")
    best = table[:, classes].max(axis=1)
    if np.isneginf(best).any():
        raise InputError("scores", f"all {name} classes of a frame are ruled out")
    return classes[table[:, classes].argmax(axis=1)], best


def _weights(true: NDArray[np.int64], right: NDArray[np.bool_], classes: Collection[int]) -> Floats:
    """(n,) what each frame that can be right adds to the class mean of these classes, in percent."""
    present = sorted(set(true.tolist()) & set(classes))
    weights = np.zeros(len(true))
    for label in present:
        is_class = true == label
        weights[right & is_class] = 100.0 / (is_class.sum() * len(present))
    return weights


# Where unseen classes are lost (docs/metrics.md, 'Diagnostics'): in percent, and None where nothing can be counted.

FREQUENT = (
    0.25  # Share of the seen classes, those with most training frames, that count as frequent
)


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
    ground_truth: Labellings,
    scores: Tables,
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> float | None:
    """The AUROC of frames of unseen classes against those of seen ones; arguments as in `seen_unseen_curve`."""
    compared = best_of_groups(ground_truth, scores, unseen, background, also_unseen)
    is_unseen = np.isin(compared.true, sorted(compared.groups[0]))
    is_seen = ~np.isin(compared.true, sorted(frozenset().union(*compared.groups)))
    return auroc(-compared.margin[is_unseen], -compared.margin[is_seen])


def frequent_classes(frames: ArrayLike, seen: Classes) -> frozenset[int]:
    """The quarter (`FREQUENT`, at least one) of the seen classes with most training frames, (C,); ties by index."""
    counts = np.asarray(frames)
    ranked = sorted(
        (label for label in set(seen) if counts[label] > 0),
        key=lambda label: (-counts[label], label),
    )
    return frozenset(ranked[: math.ceil(FREQUENT * len(ranked))])


def confusions(
    ground_truth: Labellings,
    prediction: Labellings,
    vocabulary: Vocabulary,
    classes: Classes,
    seen: Classes,
    frames: ArrayLike,
) -> dict[str, float | None]:
    """What wrongly named frames of unseen `classes` are named as; `frames` (C,) are the training frames.

    "called_seen" is the share of them named as a seen class, of which background is one, "collapsed" the share named as
    a frequent seen class that shares a factor with the true class.
    """
    wanted, trained = class_set("classes", classes), class_set("seen", seen)
    _check_within(vocabulary, wanted | trained)
    counted = table_of(frames, "frames", (len(vocabulary),))
    if (counted < 0).any():
        raise InputError("frames", f"{counted.min()} is below 0")
    frequent = frequent_classes(counted, trained - set(vocabulary.background_indices))
    factors = [
        {factor for factor in enumerate(entry) if factor[1] is not None}
        for entry in vocabulary.factors
    ]
    near = {
        label: {other for other in frequent if factors[label] & factors[other]} for label in wanted
    }
    pairs = Counter[tuple[int, int]]()
    for true, guess in paired(ground_truth, prediction):
        _check_within(vocabulary, {*np.unique(true).tolist(), *np.unique(guess).tolist()})
        wrong = np.isin(true, sorted(wanted)) & (true != guess)
        pairs.update(zip(true[wrong].tolist(), guess[wrong].tolist(), strict=True))
    called = sum(count for (_, guess), count in pairs.items() if guess in trained)
    collapsed = sum(count for (true, guess), count in pairs.items() if guess in near[true])
    shares = {"called_seen": called, "collapsed": collapsed}
    return {key: percent(part, pairs.total()) if pairs else None for key, part in shares.items()}


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
            factors = [
                factor for factor in enumerate(vocabulary.factors[label]) if factor[1] is not None
            ]
            product = math.prod(right[factor] / held[factor] for factor in factors)
            gaps.append(100 * (float((guess[is_class] == label).mean()) - product))
    return float(np.mean(gaps)) if gaps else None


def _check_within(vocabulary: Vocabulary, classes: Iterable[int]) -> None:
    """An InputError for a class index that a vocabulary does not have."""
    if max(classes, default=-1) >= len(vocabulary):
        raise InputError(
            "classes", f"class {max(classes)}, but the vocabulary has {len(vocabulary)}"
        )
