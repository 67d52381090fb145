"""Results as pictures."""

from fact_clip.report.curve import curve, save_curve
from fact_clip.report.timeline import check_suffix, save_timeline, timeline

__all__ = ["check_suffix", "curve", "save_curve", "save_timeline", "timeline"]
