"""Figures of seen and unseen classes: S, U and H, F1 by group, the curve of S against U.

Definitions: docs/protocol.md, 'Figures'. The curve and AUSUC follow Chao et al., "An
Empirical Study and Analysis of Generalized Zero-Shot Learning" (ECCV 2016): a constant gamma is
subtracted from the scores of seen classes (calibrated stacking).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fact_clip.core import Floats, InputError
from fact_clip.core.arguments import number_of, table_of
from fact_clip.metrics.frame import Classes, FrameCounts, Labellings, class_set, paired
from fact_clip.metrics.segmental import SegmentCounts, f1_exact

_ROUNDING = 1e-6  # amount by which a mean of percentages may exceed 100


@dataclass(frozen=True)
class ClassGroups:
    """Class indices by role. Groups are disjoint, and all other classes are seen."""

    unseen: frozenset[int]
    background: frozenset[int]
    also_unseen: frozenset[int]  # without training frames, but excluded from S and U

    @property
    def all(self) -> frozenset[int]:
        """Return the classes of all groups, which S excludes."""
        return self.unseen | self.background | self.also_unseen


def class_groups(
    unseen: Classes, background: Classes = (), also_unseen: Classes = ()
) -> ClassGroups:
    """Check three groups of classes, which must be disjoint.

    Args:
        unseen: Classes of U.
        background: Classes that count for neither S nor U.
        also_unseen: Other classes without training frames.

    Returns:
        The groups.
    """
    options = {"unseen": unseen, "background": background, "also_unseen": also_unseen}
    groups = {name: class_set(name, classes) for name, classes in options.items()}
    for first, second in combinations(groups, 2):
        common = groups[first] & groups[second]
        if common:
            raise InputError(first, f"class {min(common)} is also in {second}")
    return ClassGroups(**groups)


def harmonic_mean(seen: float, unseen: float) -> float:
    """Return 2SU / (S + U).

    Args:
        seen: S, in percent or as a share.
        unseen: U, in the same unit.

    Returns:
        The harmonic mean, or 0 if both are 0.
    """
    for name, value in (("seen", seen), ("unseen", unseen)):
        number_of(value, name, "percent, 0 to 100", 0, 100 + _ROUNDING)
    return 2.0 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def frame_figures(counts: FrameCounts, groups: ClassGroups) -> dict[str, float]:
    """Compute frame accuracy and class-mean accuracy of each group, and their harmonic mean.

    Args:
        counts: Frames of each class.
        groups: Groups of classes.

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

    A false positive counts for the group of the predicted class, and a miss for the group of the
    true class.

    Args:
        counts: Segments of each class.
        groups: Groups of classes.
        overlap: Minimum IoU of a hit, in percent, for the names of the figures.

    Returns:
        Figures in percent, such as "seen_f1@10" and "unseen_f1@10".
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
        ground_truth: True labels; see `paired`.
        prediction: Predicted labels; see `paired`.
        unseen: Classes of U.
        background: Classes that count for neither S nor U.

    Returns:
        S and U in percent.
    """
    groups = class_groups(unseen, background)
    figures = frame_figures(FrameCounts.of(paired(ground_truth, prediction)), groups)
    return figures["seen_class_mean_accuracy"], figures["unseen_class_mean_accuracy"]


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """S and U for increasing gamma.

    Args:
        gamma: Constants in order (J,), including 0.
        seen: Class-mean accuracy of seen classes in percent, (J,).
        unseen: Class-mean accuracy of unseen classes in percent, (J,).
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
        if not (np.diff(self.gamma) >= 0).all() or 0 not in self.gamma:
            raise InputError("gamma", "its values must increase and include 0")

    @property
    def harmonic_mean(self) -> Floats:
        """Return 2SU / (S + U), (J,), or 0 if both are 0."""
        total = self.seen + self.unseen
        product = 2 * self.seen * self.unseen
        return np.divide(product, total, out=np.zeros_like(total), where=total > 0)

    @property
    def start(self) -> int:
        """Return the index of gamma = 0."""
        return int(np.flatnonzero(self.gamma == 0)[0])

    def ausuc(self) -> float:
        """Return the area under the S-U curve in percent, 100 for a perfect model."""
        return float(np.sum(np.diff(self.unseen) * (self.seen[1:] + self.seen[:-1]))) / 200

    def to_dict(self, points: int = 101) -> dict[str, list[float]]:
        """Return a shorter curve for JSON.

        Args:
            points: Maximum number of points. They are evenly spread along the curve and include
                gamma = 0.

        Returns:
            The lists "gamma", "seen" and "unseen".
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


def curve_of_counts(
    counts: Mapping[float, FrameCounts],
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> SeenUnseenCurve:
    """Compute S and U on a grid of gammas, for any decoder.

    Between grid points, the curve is straight. It ends with the grid, which should extend to
    gammas at which U and S are 0.

    Args:
        counts: Frame counts by gamma, including 0.
        unseen: Classes of U. All classes that are neither here nor in `also_unseen` are seen,
            including background.
        background: Classes that count for neither S nor U.
        also_unseen: Other classes without training frames, such as validation-unseen classes at
            test time. Gamma is not subtracted from them, and they count for neither S nor U.

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
