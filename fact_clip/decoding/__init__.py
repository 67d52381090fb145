"""Model output to one class a frame."""

from fact_clip.decoding.fusion import decode, frame_scores

__all__ = ["decode", "frame_scores"]
