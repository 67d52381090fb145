"""Results as pictures."""

from fact_clip.report.timeline import check_suffix, save_timeline, timeline

__all__ = ["check_suffix", "save_timeline", "timeline"]
