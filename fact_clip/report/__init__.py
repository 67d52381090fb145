"""Results as pictures and pages."""

from fact_clip.report.colours import class_colours
from fact_clip.report.embeddings import class_scores, draw_frames, embeddings, principal_components, save_figures
from fact_clip.report.timeline import check_suffix, curve, save_curve, save_timeline, timeline

__all__ = [
    "check_suffix",
    "class_colours",
    "class_scores",
    "curve",
    "draw_frames",
    "embeddings",
    "principal_components",
    "save_curve",
    "save_figures",
    "save_timeline",
    "timeline",
]
