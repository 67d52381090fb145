"""The import path of `fact_clip.integrations.pyannote` in earlier versions."""

from fact_clip.integrations.pyannote import from_annotation, to_annotation

__all__ = ["from_annotation", "to_annotation"]
