"""The main interface for prediction: features or videos in, segmentations out."""

from fact_clip.inference.decoder import SegmentDecoder
from fact_clip.inference.loading import load, open_model
from fact_clip.inference.scorer import FeatureSpec, FrameScorer, Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.sources import ModelOptions
from fact_clip.inference.stream import Stream
from fact_clip.inference.training_free import SimilarityScorer

__all__ = [
    "FeatureSpec",
    "FrameScorer",
    "ModelOptions",
    "Scorer",
    "SegmentDecoder",
    "Segmenter",
    "SimilarityScorer",
    "Stream",
    "load",
    "open_model",
]
