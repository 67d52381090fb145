"""What is hidden from training: chosen, masked, and judged by its own figures (README.md)."""

from fact_clip.unseen.holdout import Holdout

__all__ = ["Holdout"]
