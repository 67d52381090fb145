"""Plain values that every other room uses: action names and segmentations."""

from fact_clip.core.clock import row_times
from fact_clip.core.errors import InputError
from fact_clip.core.segments import Segment, Segmentation, majority_stride, runs, stretch
from fact_clip.core.vocabulary import Vocabulary

__all__ = ["InputError", "Segment", "Segmentation", "Vocabulary", "majority_stride", "row_times", "runs", "stretch"]
