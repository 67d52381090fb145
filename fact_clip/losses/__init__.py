"""Loss terms, computed from output and labels."""

from fact_clip.losses.criterion import LOSSES as LOSSES
from fact_clip.losses.criterion import BlockTerms as BlockTerms
from fact_clip.losses.criterion import Criterion
from fact_clip.losses.criterion import Loss as Loss
from fact_clip.losses.criterion import LossTerms as LossTerms
from fact_clip.losses.truth import Truth

__all__ = ["Criterion", "Truth"]
