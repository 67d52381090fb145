"""Metrics of predictions compared with labels. They map integer arrays to plain numbers."""

from fact_clip.metrics.agreement import Agreement as Agreement
from fact_clip.metrics.agreement import Omissions as Omissions
from fact_clip.metrics.agreement import time_agreement as time_agreement
from fact_clip.metrics.budget import binned_budget as binned_budget
from fact_clip.metrics.budget import time_budget as time_budget
from fact_clip.metrics.budget import transitions as transitions
from fact_clip.metrics.diagnostics import auroc as auroc
from fact_clip.metrics.diagnostics import seen_unseen_auroc as seen_unseen_auroc
from fact_clip.metrics.diagnostics import share_called_seen as share_called_seen
from fact_clip.metrics.frame import FrameCounts as FrameCounts
from fact_clip.metrics.frame import cohen_kappa as cohen_kappa
from fact_clip.metrics.frame import frame_accuracy
from fact_clip.metrics.report import PROFILES as PROFILES
from fact_clip.metrics.report import evaluate, per_class
from fact_clip.metrics.report import figure_keys as figure_keys
from fact_clip.metrics.report import figure_name as figure_name
from fact_clip.metrics.segmental import OVERLAPS as OVERLAPS
from fact_clip.metrics.segmental import boundary_scores as boundary_scores
from fact_clip.metrics.segmental import edit, f1
from fact_clip.metrics.zero_shot import (
    SeenUnseenCurve as SeenUnseenCurve,
)
from fact_clip.metrics.zero_shot import (
    class_means as class_means,
)
from fact_clip.metrics.zero_shot import (
    curve_of_counts as curve_of_counts,
)
from fact_clip.metrics.zero_shot import (
    harmonic_mean as harmonic_mean,
)

__all__ = ["edit", "evaluate", "f1", "frame_accuracy", "per_class"]
