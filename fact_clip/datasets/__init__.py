"""Data sets in the common layout (docs/datasets.md) or in memory, and training batches."""

from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.memory import DataSource, from_arrays, save

__all__ = ["DataSource", "Dataset", "from_arrays", "save"]
