"""Settings and checkpoints of the published FACT and FACT-CLIP code."""

from fact_clip_compat.settings import read_config
from fact_clip_compat.weights import convert, load_reference

__all__ = ["convert", "load_reference", "read_config"]
