"""Settings and checkpoints of the published FACT and FACT-CLIP code."""

from fact_clip.compat.reference import convert, load_reference, read_config

__all__ = ["convert", "load_reference", "read_config"]
