"""The front door: features or videos in, segmentations out."""

from fact_clip.inference.loading import load
from fact_clip.inference.scorer import FeatureSpec, FrameScorer, Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.stream import Stream
from fact_clip.inference.training_free import SimilarityScorer, load_training_free

__all__ = [
    "FeatureSpec",
    "FrameScorer",
    "Scorer",
    "Segmenter",
    "SimilarityScorer",
    "Stream",
    "load",
    "load_training_free",
]
