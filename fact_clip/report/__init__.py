"""Results as pictures and pages."""

from fact_clip.report.colours import class_colours
from fact_clip.report.embeddings import Space, class_scores, draw_frames, principal_components, space
from fact_clip.report.timeline import check_suffix, curve, save_curve, save_timeline, timeline

__all__ = [
    "Space",
    "check_suffix",
    "class_colours",
    "class_scores",
    "curve",
    "draw_frames",
    "principal_components",
    "save_curve",
    "save_timeline",
    "space",
    "timeline",
]
