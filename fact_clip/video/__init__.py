"""Convert video files to frames and features, and frames to video files."""

from fact_clip.video.frames import SUFFIXES, DamagedVideoError, Span

__all__ = ["SUFFIXES", "DamagedVideoError", "Span"]
