"""Settings and checkpoints of the published FACT and FACT-CLIP code."""

from fact_clip.compat.convert import convert, load_reference
from fact_clip.compat.reference import read_config

__all__ = ["convert", "load_reference", "read_config"]
