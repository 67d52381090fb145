"""The import path of `fact_clip.integrations.sklearn` in earlier versions."""

from fact_clip.integrations.sklearn import FactSegmenter

__all__ = ["FactSegmenter"]
