"""Calibration, decoding settings and confidences, learned on validation videos after training.

learn_calibration
  calibrate (calibration.py): for held-out classes, again if the choice changes the decoding.
  choose_decoding (decoding_choice.py): the switching penalty and the weight of the order.
  learn_confidence: the confidences.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip.config import DecodeConfig
from fact_clip.core.io import write_value
from fact_clip.core.paths import inside
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import Calibration, Confidence
from fact_clip.evaluation.calibration import calibrate
from fact_clip.evaluation.decoding_choice import choose_decoding
from fact_clip.evaluation.scored_videos import ScoredVideos, VideoLabels, validation_videos
from fact_clip.runs.run import LoadedRun, Run

logger = logging.getLogger(__name__)


def learn_calibration(run: Run, dataset: Dataset, device: torch.device) -> None:
    """Learn the corrections and decoding of a run's scores, and write them to its folder.

    These are the calibration (if classes are held out), the decoding settings and the confidences.
    The weights are loaded once, and the validation videos are scored once.

    Args:
        run: The trained run.
        dataset: Data set of the run, whose validation videos are decoded.
        device: Device of the models.
    """
    if not _needs_scores(run, dataset):
        return
    videos = validation_videos(run, run.models(), dataset, device)
    decode = run.config.decode
    calibration = calibrate(videos) if run.is_zero_shot else None
    choice = choose_decoding(_with_decoding(videos, decode, calibration), dataset)
    if choice is not None:
        logger.info("%s", choice)
        write_value(inside(run.path, "decoding.json"), choice)
        decode = run.with_choice(choice).config.decode
        if run.is_zero_shot and choice.settings != choice.recipe:
            # Gamma must be learned with the decoding in use.
            calibration = calibrate(_with_decoding(videos, decode, None))
    if calibration is not None:
        write_value(inside(run.path, "calibration.json"), calibration)
    confidence = learn_confidence(_with_decoding(videos, decode, calibration))
    if confidence is not None:
        write_value(inside(run.path, "confidence.json"), confidence)


def _needs_scores(run: Run, dataset: Dataset) -> bool:
    """Return whether anything is learned on validation scores after training."""
    if run.is_zero_shot:
        return True
    if run.config.model.transcript:
        return False
    return run.config.decode.choose or bool(dataset.validation)


def _with_decoding(
    videos: Sequence[ScoredVideos], decode: DecodeConfig, calibration: Calibration | None
) -> list[ScoredVideos]:
    return [scored.with_decoding(decode, calibration) for scored in videos]


def learn_for_decoding(
    loaded: LoadedRun, dataset: Dataset, device: torch.device
) -> tuple[Calibration | None, Confidence | None]:
    """Repeat learning on validation videos for a decoding that differs from training.

    Args:
        loaded: Run with this decoding.
        dataset: Data set of the run.
        device: Device of the models.

    Returns:
        The calibration and the confidences, if the run has them.
    """
    run = loaded.run
    calibration = loaded.calibration
    is_calibrated = calibration is not None and dataset.holdout is not None
    if not is_calibrated and loaded.confidence is None:
        return calibration, None
    videos = validation_videos(run, loaded.models, dataset, device)
    if is_calibrated:
        calibration = calibrate(videos)
    if loaded.confidence is None:
        return calibration, None
    return calibration, learn_confidence(_with_decoding(videos, run.config.decode, calibration))


def learn_confidence(scored_by_model: Sequence[ScoredVideos]) -> Confidence | None:
    """Fit the confidences of a run to its validation videos.

    Args:
        scored_by_model: Result of `validation_videos`, with the decoding and the calibration of
            the run.

    Returns:
        The confidences, or None with transcripts or without labelled validation frames.
    """
    if scored_by_model[0].scorer.run.config.model.transcript:
        return None
    labels: VideoLabels = []
    probabilities: list[NDArray[np.float64]] = []
    truth: VideoLabels = []
    for scored in scored_by_model:
        for video_labels, video_probabilities in scored.decode_with_confidence():
            labels.append(video_labels)
            probabilities.append(video_probabilities.astype(np.float64))
        truth += scored.truth
    if not any((true >= 0).any() for true in truth):
        return None
    return Confidence.learned(labels, probabilities, truth)
