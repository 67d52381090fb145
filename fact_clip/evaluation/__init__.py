"""Evaluation of a run: figures, calibration, choice of decoding, confidences and the record."""

from fact_clip.evaluation.results import Evaluation
from fact_clip.evaluation.split_evaluation import evaluate

__all__ = ["Evaluation", "evaluate"]
