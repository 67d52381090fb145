"""Plain values that every other room speaks of: action names and segmentations."""

from fact_clip.core.errors import InputError
from fact_clip.core.segments import Segment, Segmentation, majority_stride, row_times, runs, stretch
from fact_clip.core.vocabulary import Vocabulary

__all__ = ["InputError", "Segment", "Segmentation", "Vocabulary", "majority_stride", "row_times", "runs", "stretch"]
