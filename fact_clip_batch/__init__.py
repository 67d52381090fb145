"""Batches of videos and feature files that can be interrupted anywhere and resumed anywhere.

The names below are public. Each is loaded when it is first used, so that the help of the commands
loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip_batch.engine import BatchOptions as BatchOptions
    from fact_clip_batch.engine import Outcome as Outcome
    from fact_clip_batch.extraction import ExtractTask as ExtractTask
    from fact_clip_batch.extraction import extract_batch as extract_batch
    from fact_clip_batch.inputs import Inputs as Inputs
    from fact_clip_batch.inputs import Item as Item
    from fact_clip_batch.inputs import Shard as Shard
    from fact_clip_batch.isolated import Limits as Limits
    from fact_clip_batch.ray_engine import on_ray as on_ray
    from fact_clip_batch.segmentation import SegmentSettings as SegmentSettings
    from fact_clip_batch.segmentation import segment_batch as segment_batch
    from fact_clip_batch.tables import BatchStatus as BatchStatus
    from fact_clip_batch.tables import batch_status as batch_status
    from fact_clip_batch.tables import gather as gather

_HOME_OF = {
    "BatchOptions": "engine",
    "BatchStatus": "tables",
    "ExtractTask": "extraction",
    "Inputs": "inputs",
    "Item": "inputs",
    "Limits": "isolated",
    "Outcome": "engine",
    "SegmentSettings": "segmentation",
    "Shard": "inputs",
    "batch_status": "tables",
    "extract_batch": "extraction",
    "gather": "tables",
    "on_ray": "ray_engine",
    "segment_batch": "segmentation",
}
__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
