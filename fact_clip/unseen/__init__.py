"""Hidden classes: their choice, the masking of their labels, and their figures (README.md)."""

from fact_clip.unseen.holdout import Holdout

__all__ = ["Holdout"]
