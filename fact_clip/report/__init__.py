"""Results as pictures."""

from fact_clip.report.timeline import save_timeline, timeline

__all__ = ["save_timeline", "timeline"]
