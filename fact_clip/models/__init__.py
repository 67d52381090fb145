"""Features (and a text matrix) to per-block frame, token and segment scores."""

from fact_clip.models.fact import FACT
from fact_clip.models.heads import HEADS, Classes
from fact_clip.models.objects import ObjectSpec
from fact_clip.models.output import BlockOutput, Output, Segments

__all__ = ["FACT", "HEADS", "BlockOutput", "Classes", "ObjectSpec", "Output", "Segments"]
