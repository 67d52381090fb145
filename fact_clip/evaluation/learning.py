"""What a run learns from its validation videos after training.

learn_calibration
    calibrate (calibration.py): for held-out classes, again if the choice changes the decoding.
    choose_decoding (decoding_choice.py): the switching penalty and the weight of the order.
    learn_confidence: the confidences.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip.core.io import write_value
from fact_clip.core.paths import inside
from fact_clip.core.progress import paced
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import Calibration, Confidence
from fact_clip.evaluation.calibration import calibrate
from fact_clip.evaluation.decoding_choice import choose_decoding
from fact_clip.evaluation.scored_videos import VideoLabels, validation_videos
from fact_clip.models.heads import is_open
from fact_clip.run import Run

logger = logging.getLogger(__name__)


def learn_calibration(run: Run, dataset: Dataset, device: torch.device) -> None:
    """Learn what corrects and decodes the scores of a run, and write it into its folder.

    These are the calibration (if classes are held out), the decoding settings and the confidences.

    Args:
        run: the trained run.
        dataset: its data set, whose validation videos are decoded.
        device: where the models run.
    """
    calibration = None
    is_zero_shot = dataset.config.has_untrained_classes and is_open(run.config.model.head)
    if is_zero_shot:
        calibration = calibrate(validation_videos(run, dataset, device))
    choice = choose_decoding(run, dataset, device, calibration)
    if choice is not None:
        logger.info("%s", choice)
        write_value(inside(run.path, "decoding.json"), choice)
        run = run.with_choice(choice)
        if is_zero_shot and choice.settings != choice.recipe:
            # Gamma is learned with the decoding that is in use.
            calibration = calibrate(validation_videos(run, dataset, device))
    if calibration is not None:
        write_value(inside(run.path, "calibration.json"), calibration)
    confidence = learn_confidence(run, dataset, device, calibration)
    if confidence is not None:
        write_value(inside(run.path, "confidence.json"), confidence)


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
