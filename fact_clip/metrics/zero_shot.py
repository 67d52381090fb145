"""Figures of seen and unseen classes: S, U and H, F1 by group, the curve of S against U.

Definitions: docs/protocol.md, 'Figures'. The curve and AUSUC follow Chao et al., "An
Empirical Study and Analysis of Generalized Zero-Shot Learning" (ECCV 2016): a constant gamma is
subtracted from the scores of seen classes (calibrated stacking).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core import Flags, Floats, InputError, frame_labels
from fact_clip.core.arguments import number_of, table_of
from fact_clip.metrics.frame import Classes, FrameCounts, Labellings, Labels, class_set, paired
from fact_clip.metrics.segmental import SegmentCounts, f1_exact

Tables: TypeAlias = Sequence[ArrayLike]

_ROUNDING = 1e-6  # by which a mean of percentages may end above 100


@dataclass(frozen=True)
class ClassGroups:
    """Class indices by their role; no two groups share one. All other classes are seen."""

    unseen: frozenset[int]
    background: frozenset[int]
    also_unseen: frozenset[int]  # without training frames, but outside S and U

    @property
    def all(self) -> frozenset[int]:
        """Return the classes of all groups, which S omits."""
        return self.unseen | self.background | self.also_unseen


def class_groups(
    unseen: Classes, background: Classes = (), also_unseen: Classes = ()
) -> ClassGroups:
    """Check three groups of classes, no two of which may share one.

    Args:
        unseen: classes of U.
        background: classes that count neither for S nor for U.
        also_unseen: further classes without training frames.

    Returns:
        The groups.
    """
    options = {"unseen": unseen, "background": background, "also_unseen": also_unseen}
    groups = {name: class_set(name, classes) for name, classes in options.items()}
    for first, second in combinations(groups, 2):
        common = groups[first] & groups[second]
        if common:
            raise InputError(first, f"class {min(common)} is in {second} too")
    return ClassGroups(**groups)


def harmonic_mean(seen: float, unseen: float) -> float:
    """Return 2SU / (S + U).

    Args:
        seen: S, in percent or as a share.
        unseen: U, likewise.

    Returns:
        The harmonic mean; 0 if both are 0.
    """
    for name, value in (("seen", seen), ("unseen", unseen)):
        number_of(value, name, "percent, 0 to 100", 0, 100 + _ROUNDING)
    return 2.0 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def frame_figures(counts: FrameCounts, groups: ClassGroups) -> dict[str, float]:
    """Compute frame accuracy and class-mean accuracy of each group, and their harmonic mean.

    Args:
        counts: frames of each class.
        groups: the groups.

    Returns:
        The figures in percent.
    """
    unseen = counts.only(groups.unseen)
    seen_mean = counts.without(groups.all).class_mean()
    unseen_mean = unseen.class_mean()
    return {
        "seen_frame_accuracy": counts.without(groups.unseen | groups.also_unseen).accuracy(),
        "unseen_frame_accuracy": unseen.accuracy(),
        "seen_class_mean_accuracy": seen_mean,
        "unseen_class_mean_accuracy": unseen_mean,
        "harmonic_mean": harmonic_mean(seen_mean, unseen_mean),
    }


def segment_figures(counts: SegmentCounts, groups: ClassGroups, overlap: int) -> dict[str, float]:
    """Compute exact F1 of each group.

    A false positive counts for the group of the predicted class, a miss for that of the true one.

    Args:
        counts: segments of each class.
        groups: the groups.
        overlap: lowest IoU of a hit, in percent, for the names of the figures.

    Returns:
        "seen_f1@10" and "unseen_f1@10", or likewise, in percent.
    """
    seen = counts.without(groups.unseen | groups.also_unseen)
    return {
        f"seen_f1@{overlap}": f1_exact(*seen.totals()),
        f"unseen_f1@{overlap}": f1_exact(*counts.only(groups.unseen).totals()),
    }


def class_means(
    ground_truth: Labellings, prediction: Labellings, unseen: Classes, background: Classes = ()
) -> tuple[float, float]:
    """Compute S and U: mean accuracy over the seen and the unseen classes with a true frame.

    Args:
        ground_truth: see `paired`.
        prediction: see `paired`.
        unseen: classes of U.
        background: classes that count neither for S nor for U.

    Returns:
        S and U in percent.
    """
    groups = class_groups(unseen, background)
    figures = frame_figures(FrameCounts.of(paired(ground_truth, prediction)), groups)
    return figures["seen_class_mean_accuracy"], figures["unseen_class_mean_accuracy"]


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """S and U as gamma grows.

    Args:
        gamma: the constants in order (J,); 0 is one of them. A curve of `seen_unseen_curve` has one
            in each interval in which nothing changes: 0 in its interval, the middle elsewhere, and
            1 beyond the outermost changes.
        seen: class-mean accuracy over seen classes, in percent (J,).
        unseen: the same over unseen classes (J,).
    """

    gamma: Floats
    seen: Floats
    unseen: Floats

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
        """Return 2SU / (S + U), (J,); 0 where both are 0."""
        total = self.seen + self.unseen
        product = 2 * self.seen * self.unseen
        return np.divide(product, total, out=np.zeros_like(total), where=total > 0)

    @property
    def start(self) -> int:
        """Return the index of gamma = 0."""
        return int(np.flatnonzero(self.gamma == 0)[0])

    def ausuc(self) -> float:
        """Return the area under the S-U curve in percent, 100 for a perfect model.

        A curve of `seen_unseen_curve` is a staircase, since a frame moves either S or U. Only where
        frames of both groups share a margin it is the chord, as in the area under a ROC curve.
        """
        return float(np.sum(np.diff(self.unseen) * (self.seen[1:] + self.seen[:-1]))) / 200

    def to_dict(self, points: int = 101) -> dict[str, list[float]]:
        """Return a shorter curve for JSON.

        Args:
            points: largest number of points. They are evenly spread along the curve, and the one
                of gamma = 0 is among them.

        Returns:
            Lists "gamma", "seen" and "unseen".
        """
        steps = np.abs(np.diff(self.seen)) + np.abs(np.diff(self.unseen))
        length = np.concatenate([[0.0], np.cumsum(steps)])  # (J,) along the curve
        spread = np.searchsorted(length, np.linspace(0, length[-1], max(points - 1, 2)))
        indices = np.unique(np.append(spread, self.start))
        return {
            "gamma": self.gamma[indices].tolist(),
            "seen": self.seen[indices].tolist(),
            "unseen": self.unseen[indices].tolist(),
        }


def seen_unseen_curve(
    ground_truth: Labellings,
    scores: Tables,
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> SeenUnseenCurve:
    """Compute the exact curve of the frame-wise argmax of scores - gamma * (class is seen).

    A frame goes to its best seen class while gamma is at most its margin, best seen score minus
    best unseen score, and to its best unseen class above. So S and U change at margins only, and
    one sort gives the curve.

    Args:
        ground_truth: class indices (T,) of each video; negative ones are ignored frames.
        scores: (T, C) for each video, before the softmax; -inf rules a class out.
        unseen: classes of U. All classes that are neither here nor in `also_unseen` are seen,
            background too.
        background: classes that count neither for S nor for U.
        also_unseen: further classes without training frames (validation-unseen ones at the test):
            gamma is not subtracted from their scores, and they count neither for S nor for U.

    Returns:
        The curve.
    """
    best = best_of_groups(ground_truth, scores, class_groups(unseen, background, also_unseen))
    seen = set(best.true.tolist()) - best.groups.all
    seen_weight = _weights(best.true, best.seen_guess == best.true, seen)
    unseen_weight = _weights(best.true, best.unseen_guess == best.true, best.groups.unseen)
    changes = (seen_weight > 0) | (unseen_weight > 0)
    breaks, break_of = np.unique(best.margin[changes], return_inverse=True)
    lost = np.bincount(break_of, seen_weight[changes])
    won = np.bincount(break_of, unseen_weight[changes])

    gamma = np.zeros(1)
    if len(breaks):
        middles = (breaks[:-1] + breaks[1:]) / 2
        gamma = np.concatenate([[breaks[0] - 1], middles, [breaks[-1] + 1]])
        gamma[np.searchsorted(breaks, 0.0)] = 0.0
    return SeenUnseenCurve(
        gamma=gamma,
        # summed from the end at which it is 0, so that it is 0 there
        seen=np.append(np.cumsum(lost[::-1])[::-1], 0.0),
        unseen=np.concatenate([[0.0], np.cumsum(won)]),
    )


@dataclass(frozen=True)
class BestClasses:
    """The best seen and the best unseen class of each of n frames."""

    groups: ClassGroups
    true: Labels  # (n,)
    seen_guess: Labels  # (n,)
    unseen_guess: Labels  # (n,) of both unseen groups
    margin: Floats  # (n,) best seen score minus best unseen score


def best_of_groups(ground_truth: Labellings, scores: Tables, groups: ClassGroups) -> BestClasses:
    """Compare the best seen and the best unseen class of all frames.

    Args:
        ground_truth: as in `seen_unseen_curve`.
        scores: as in `seen_unseen_curve`.
        groups: the groups.

    Returns:
        The best classes of the n frames that are not ignored, and their margins.
    """
    n_videos = len(ground_truth)
    if n_videos == 0 or n_videos != len(scores):
        raise InputError("scores", f"{len(scores)} videos, but the ground truth has {n_videos}")
    labels: list[Labels] = []
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

    is_unseen = np.isin(np.arange(n_classes), sorted(groups.unseen | groups.also_unseen))
    seen_guess, seen_best = _best(table, ~is_unseen, "seen")
    unseen_guess, unseen_best = _best(table, is_unseen, "unseen")
    return BestClasses(
        groups=groups,
        true=true,
        seen_guess=seen_guess,
        unseen_guess=unseen_guess,
        margin=seen_best - unseen_best,
    )


def curve_of_counts(
    counts: Mapping[float, FrameCounts],
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> SeenUnseenCurve:
    """Compute S and U on a grid of gammas, for a decoder that is not a frame-wise argmax.

    Between grid points the curve is straight. It ends with the grid, which should reach to where U
    and S are 0.

    Args:
        counts: gamma -> frame counts; 0 is one of the gammas.
        unseen: as in `seen_unseen_curve`.
        background: as in `seen_unseen_curve`.
        also_unseen: as in `seen_unseen_curve`.

    Returns:
        The curve.
    """
    groups = class_groups(unseen, background, also_unseen)
    gammas = sorted(counts)
    figures = [frame_figures(counts[gamma], groups) for gamma in gammas]
    return SeenUnseenCurve(
        gamma=np.array(gammas),
        seen=np.array([row["seen_class_mean_accuracy"] for row in figures]),
        unseen=np.array([row["unseen_class_mean_accuracy"] for row in figures]),
    )


def _best(table: Floats, is_member: Flags, group: str) -> tuple[Labels, Floats]:
    """Return the best class of a group in each frame (n,), and its score (n,)."""
    classes = np.flatnonzero(is_member)
    if not len(classes):
        raise InputError("classes", f"none is {group}")
    scores = table[:, classes]
    best = scores.max(axis=1)
    if np.isneginf(best).any():
        raise InputError("scores", f"all {group} classes of a frame are ruled out")
    return classes[scores.argmax(axis=1)], best


def _weights(true: Labels, right: Flags, classes: Collection[int]) -> Floats:
    """Return what each correct frame adds to the class mean of these classes, in percent (n,)."""
    present = sorted(set(true.tolist()) & set(classes))
    weights = np.zeros(len(true))
    for label in present:
        is_class = true == label
        weights[right & is_class] = 100.0 / (is_class.sum() * len(present))
    return weights
