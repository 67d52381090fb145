"""The model, from features and class texts to the scores of each block, and its heads."""

from fact_clip.models.fact import FACT
from fact_clip.models.heads import HEADS as HEADS
from fact_clip.models.heads import Classes as Classes
from fact_clip.models.objects import ObjectSpec as ObjectSpec
from fact_clip.models.output import BlockOutput as BlockOutput
from fact_clip.models.output import Output
from fact_clip.models.output import Segments as Segments

__all__ = ["FACT", "Output"]
