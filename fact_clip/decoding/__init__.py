"""Model output to one class a frame."""

from fact_clip.decoding.fusion import decode, frame_scores
from fact_clip.decoding.switching import decode_switching

__all__ = ["decode", "decode_switching", "frame_scores"]
