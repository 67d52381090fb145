"""The import path of `fact_clip.integrations.torchmetrics` in earlier versions."""

from fact_clip.integrations.torchmetrics import EditScore, FrameAccuracy, SegmentF1

__all__ = ["EditScore", "FrameAccuracy", "SegmentF1"]
