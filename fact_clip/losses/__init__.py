"""Output and labels to named loss terms."""

from fact_clip.losses.criterion import BlockTerms, Criterion, LossTerms
from fact_clip.losses.truth import Truth

__all__ = ["BlockTerms", "Criterion", "LossTerms", "Truth"]
