"""Conversion of video files to video frames and features, and of images to video files."""

from fact_clip.video.pictures import SUFFIXES, DamagedVideoError, Span

__all__ = ["SUFFIXES", "DamagedVideoError", "Span"]
