"""Output and labels to named loss terms."""

from fact_clip.losses.criterion import BlockTerms, Criterion, LossTerms

__all__ = ["BlockTerms", "Criterion", "LossTerms"]
