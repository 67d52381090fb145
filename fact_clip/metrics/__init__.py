"""Metrics of any predictions against any labels: integer arrays in, plain numbers out."""

from fact_clip.metrics.diagnostics import (
    auroc,
    compositional_gap,
    confusions,
    frequent_classes,
    seen_unseen_auroc,
)
from fact_clip.metrics.frame import FrameCounts, cohen_kappa, frame_accuracy
from fact_clip.metrics.report import PROFILES, evaluate, figure_keys, figure_name, per_class
from fact_clip.metrics.segmental import OVERLAPS, boundary_scores, edit, f1
from fact_clip.metrics.zero_shot import (
    SeenUnseenCurve,
    class_means,
    curve_of_counts,
    harmonic_mean,
)

__all__ = [
    "OVERLAPS",
    "PROFILES",
    "FrameCounts",
    "SeenUnseenCurve",
    "auroc",
    "boundary_scores",
    "class_means",
    "cohen_kappa",
    "compositional_gap",
    "confusions",
    "curve_of_counts",
    "edit",
    "evaluate",
    "f1",
    "figure_keys",
    "figure_name",
    "frame_accuracy",
    "frequent_classes",
    "harmonic_mean",
    "per_class",
    "seen_unseen_auroc",
]
