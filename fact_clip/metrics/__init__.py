"""Figures of anyone's predictions, against anyone's labels; integer arrays in, plain numbers out."""

from fact_clip.metrics.diagnostics import (
    Confusions,
    auroc,
    compositional_gap,
    confusions,
    openness_ratio,
    seen_unseen_auroc,
)
from fact_clip.metrics.frame import cohen_kappa, frame_accuracy
from fact_clip.metrics.report import PROFILES, Profile, evaluate, figure_keys, figure_name, format_table, per_class
from fact_clip.metrics.segmental import boundary_scores, edit, f1
from fact_clip.metrics.zero_shot import (
    SeenUnseenCurve,
    ausuc,
    class_means,
    curve_of_predictions,
    group_f1,
    harmonic_mean,
    seen_unseen_curve,
)

__all__ = [
    "PROFILES",
    "Confusions",
    "Profile",
    "SeenUnseenCurve",
    "auroc",
    "ausuc",
    "boundary_scores",
    "class_means",
    "cohen_kappa",
    "compositional_gap",
    "confusions",
    "curve_of_predictions",
    "edit",
    "evaluate",
    "f1",
    "figure_keys",
    "figure_name",
    "format_table",
    "frame_accuracy",
    "group_f1",
    "harmonic_mean",
    "openness_ratio",
    "per_class",
    "seen_unseen_auroc",
    "seen_unseen_curve",
]
