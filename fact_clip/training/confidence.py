"""Confidences of a run, learned on its validation videos alone. See docs/method.md, 'Confidence'."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip.core.pace import paced
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import Calibration, Confidence
from fact_clip.run import Run
from fact_clip.training.calibration import judges

logger = logging.getLogger(__name__)


def learn_confidence(
    run: Run, dataset: Dataset, device: torch.device | str, calibration: Calibration | None
) -> Confidence | None:
    """What the scores of a run are worth, decoded as in use with all classes as candidates.

    Members with validation videos of their own are asked one by one, each on the videos that it did not learn. None
    where there is no labelled validation frame, or where the model aligns a transcript, which names no frame freely.
    """
    if run.config.model.transcript or not dataset.validation:
        return None
    labels, scores, truth = list[NDArray[np.int64]](), list[NDArray[np.float64]](), list[NDArray[np.int64]]()
    segmenters, datasets = judges(run, dataset, device, calibration)
    for segmenter, own in zip(segmenters, datasets, strict=True):
        for name in paced(own.validation, "confidences of validation videos", logger):
            found, score = segmenter.predict(own.features(name))
            labels.append(found)
            scores.append(score.astype(np.float64))
            truth.append(own.labels(name))
    if not any((own >= 0).any() for own in truth):
        return None
    return Confidence.learned(labels, scores, truth)
