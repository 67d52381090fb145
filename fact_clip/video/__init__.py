"""Video files to pictures and features, and pictures to video files."""

from fact_clip.video.pictures import SUFFIXES, DamagedVideoError, Span

__all__ = ["SUFFIXES", "DamagedVideoError", "Span"]
