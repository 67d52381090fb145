"""Conversion of annotations, feature databases, tables and poses to the common layout."""

from fact_clip.datasets.convert.annotations import (
    Target,
    convert_annotations,
    convert_to_clicks,
)
from fact_clip.datasets.convert.features import convert_features
from fact_clip.datasets.convert.poses import PoseReader
from fact_clip.datasets.convert.tables import Sampling, convert_tables

__all__ = [
    "PoseReader",
    "Sampling",
    "Target",
    "convert_annotations",
    "convert_features",
    "convert_tables",
    "convert_to_clicks",
]
