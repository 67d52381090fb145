"""Reference YAML keys and reference checkpoints."""

from fact_clip.compat.convert import convert
from fact_clip.compat.reference import load_reference, read_config

__all__ = ["convert", "load_reference", "read_config"]
