"""What a run learns from its validation videos after training.

learn_calibration
    calibrate: for held-out classes, again if the choice changes the decoding.
    choose_decoding: the switching penalty and the weight of the order.
    learn_confidence: the confidences.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.config import EvaluationConfig
from fact_clip.core import Vocabulary
from fact_clip.core.io import write_value
from fact_clip.core.paths import inside
from fact_clip.core.progress import paced
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.separability import has_seen_labels, separability
from fact_clip.decoding import Calibration, Confidence
from fact_clip.inference.scored_videos import ScoredVideos, VideoLabels, validation_videos
from fact_clip.models.heads import is_open
from fact_clip.run import DecodeValues, DecodingChoice, Run
from fact_clip.unseen.calibration import calibrate

logger = logging.getLogger(__name__)

FEWEST_VIDEOS = 6  # validation videos; with fewer a standard error says little
SCALES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)  # of the penalty of the recipe


@dataclass(frozen=True)
class _Trial:
    """Decoding settings, and what they reach on each of V videos."""

    settings: DecodeValues
    distance: float  # from the recipe
    figures: NDArray[np.float64]  # (V,) in points


def choose_decoding(
    run: Run, dataset: Dataset, device: torch.device | str, calibration: Calibration | None
) -> DecodingChoice | None:
    """Choose switching penalty and order by the mean of accuracy, edit and F1@50.

    The figures are those of validation videos, which no model that decodes them has learned. The
    recipe's settings stay where fewer than `FEWEST_VIDEOS` say something, where features have
    probably seen the labels of these videos, or where no setting is better by more than a standard
    error. Otherwise the settings nearest to the recipe are chosen that are no worse than the best
    by more than one.

    Args:
        run: the trained run.
        dataset: its data set.
        device: where the models run.
        calibration: of the run.

    Returns:
        The choice, or None for a run whose recipe does not ask for one.
    """
    decode = run.config.decode
    if not decode.choose or run.config.model.transcript:
        return None
    recipe = {"switch_penalty": decode.switch_penalty, "order": decode.order}
    unchanged = DecodingChoice(
        recipe=recipe, settings=recipe, videos=0, gain=0.0, error=0.0, reason=""
    )
    scored_by_model = validation_videos(run, dataset, device, calibration)
    n_videos = 0
    for scored in scored_by_model:
        n_videos += sum(bool((truth >= 0).any()) for truth in scored.truth)
    reason = ""
    if dataset.clicks(dataset.validation):
        reason = "clicks say nothing of what lies between them"
    elif n_videos < FEWEST_VIDEOS:
        reason = f"{n_videos} validation videos say too little"
    elif has_seen_labels(dataset, separability(dataset)):
        reason = "the features seem to have seen the labels"
    if reason:
        return replace(unchanged, reason=f"{reason}, so the recipe's formula decides")

    trials = []
    orders = sorted({0.0, decode.order})
    for scale, order in product(SCALES, orders):
        penalty = decode.switch_penalty
        if scale != 1:  # not rounded at 1, so that the settings of the recipe compare equal
            penalty = round(penalty * scale, 2)
        figures = [
            _figures(scored, penalty, order, run.config.evaluation) for scored in scored_by_model
        ]
        trial = _Trial(
            settings={"switch_penalty": penalty, "order": order},
            distance=abs(np.log(scale)) + abs(order - decode.order),
            figures=np.concatenate(figures),
        )
        trials.append(trial)
    return _chosen(unchanged, trials)


def _figures(
    scored: ScoredVideos,
    penalty: float,
    order: float,
    evaluation: EvaluationConfig,
) -> NDArray[np.float64]:
    """Return the mean of accuracy, edit and F1@50 of each labelled video, in points, (V,)."""
    candidates = scored.candidates
    transitions = scored.scorer.reader.transition_costs(candidates.vocabulary, order)
    costs = replace(candidates.costs, transitions=transitions)
    candidates = replace(candidates, costs=costs)
    settings = scored.settings.model_copy(update={"switch_penalty": penalty})
    labels = scored.decode(candidates, settings)
    return video_figures(evaluation, scored.classes.vocabulary, scored.truth, labels)


def video_figures(
    config: EvaluationConfig, vocabulary: Vocabulary, truth: VideoLabels, prediction: VideoLabels
) -> NDArray[np.float64]:
    """Compute the mean of accuracy, edit and F1@50 of each video.

    Args:
        config: rules of the metrics.
        vocabulary: the classes.
        truth: true labels (T,) of each of V videos, -1 where there is none.
        prediction: predicted labels (T,) of each video.

    Returns:
        (V,) in points, without videos that have no label.
    """
    background = vocabulary.background_indices
    means = []
    for true, predicted in zip(truth, prediction, strict=True):
        if not (true >= 0).any():
            continue
        figures = metrics.evaluate([true], [predicted], background=background, **config.rules)
        means.append((figures["frame_accuracy"] + figures["edit"] + figures["f1@50"]) / 3)
    return np.array(means)


def _chosen(unchanged: DecodingChoice, trials: Sequence[_Trial]) -> DecodingChoice:
    """Return the settings nearest to the recipe that the evidence does not speak against."""
    best = max(trials, key=lambda trial: trial.figures.mean())
    recipe = min(trials, key=lambda trial: trial.distance)
    allowed = []
    for trial in trials:
        loss = best.figures - trial.figures
        if loss.mean() <= _standard_error(loss):
            allowed.append(trial)
    nearest = min(allowed, key=lambda trial: trial.distance)
    difference = best.figures - recipe.figures
    gain = float(difference.mean())
    error = _standard_error(difference)
    n_videos = len(difference)
    evidence = f"{gain:.1f} ± {error:.1f} points over {n_videos} validation videos"
    reason = f"no setting is surely better ({evidence})"
    if nearest is not recipe:
        reason = f"the best settings gain {evidence}"
    return replace(
        unchanged, settings=nearest.settings, videos=n_videos, gain=gain, error=error, reason=reason
    )


def _standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


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
