"""The model, from features and class texts to scores of each block, and its heads."""

from fact_clip.models.fact import FACT
from fact_clip.models.heads import HEADS, Classes
from fact_clip.models.objects import ObjectSpec
from fact_clip.models.output import BlockOutput, Output, Segments

__all__ = ["FACT", "HEADS", "BlockOutput", "Classes", "ObjectSpec", "Output", "Segments"]
