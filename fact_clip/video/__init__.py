"""Video files to pictures and features, and videos with their labels burned in."""

from fact_clip.video.pictures import SUFFIXES, DamagedVideoError, Span

__all__ = ["SUFFIXES", "DamagedVideoError", "Span"]
