"""Output and labels to named loss terms."""

from fact_clip.losses.criterion import LOSSES, BlockTerms, Criterion, Loss, LossTerms
from fact_clip.losses.truth import Truth

__all__ = [
    "LOSSES",
    "BlockTerms",
    "Criterion",
    "Loss",
    "LossTerms",
    "Truth",
]
