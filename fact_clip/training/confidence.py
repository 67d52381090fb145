"""Confidences of a run, learned from validation videos."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip.core.progress import paced
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import Calibration, Confidence
from fact_clip.inference.scored_videos import VideoLabels, validation_videos
from fact_clip.run import Run

logger = logging.getLogger(__name__)


def learn_confidence(
    run: Run, dataset: Dataset, device: torch.device | str, calibration: Calibration | None
) -> Confidence | None:
    """Fit the confidences of a run to its validation videos.

    Args:
        run: the trained run.
        dataset: its data set.
        device: where the models run.
        calibration: of the run.

    Returns:
        The confidences, or None without a labelled validation frame, or with transcripts.
    """
    if run.config.model.transcript or not dataset.validation:
        return None
    labels: VideoLabels = []
    scores: list[NDArray[np.float64]] = []
    truth: VideoLabels = []
    for scored in validation_videos(run, dataset, device, calibration):
        for name in paced(scored.video_names, "confidences of validation videos", logger):
            indices, score = scored.scorer.predict(scored.dataset.features(name))
            labels.append(scored.classes.labels(indices))
            scores.append(score.astype(np.float64))
        truth += scored.truth
    if not any((true >= 0).any() for true in truth):
        return None
    return Confidence.learned(labels, scores, truth)
