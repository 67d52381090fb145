"""Batches of videos and feature files that can be interrupted anywhere and resumed anywhere."""

from fact_clip.batch.engine import BatchOptions, Outcome
from fact_clip.batch.extraction import Extracted, SharedEncoder, extract_all, extract_batch
from fact_clip.batch.inputs import Inputs, Item, Shard, read_manifest
from fact_clip.batch.ray_engine import extract_on_ray, on_ray
from fact_clip.batch.segmentation import SegmentSettings, segment_batch, segment_files
from fact_clip.batch.tables import BatchStatus, batch_status, gather
from fact_clip.video.isolated import Limits

__all__ = [
    "BatchOptions",
    "BatchStatus",
    "Extracted",
    "Inputs",
    "Item",
    "Limits",
    "Outcome",
    "SegmentSettings",
    "Shard",
    "SharedEncoder",
    "batch_status",
    "extract_all",
    "extract_batch",
    "extract_on_ray",
    "gather",
    "on_ray",
    "read_manifest",
    "segment_batch",
    "segment_files",
]
