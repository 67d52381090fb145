"""Data sets in the common layout (docs/datasets.md) or in memory: what is known of them, their files, and batches."""

from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.memory import DataSource, from_arrays, save

__all__ = ["DataSource", "Dataset", "from_arrays", "save"]
