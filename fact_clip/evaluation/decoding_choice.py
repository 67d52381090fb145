"""Decoding settings that validation videos choose: the switching penalty and the order's weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.config import EvaluationConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.separability import has_seen_labels, separability
from fact_clip.evaluation.scored_videos import ScoredVideos, VideoLabels
from fact_clip.runs.facts import DecodeValues, DecodingChoice

FEWEST_VIDEOS = 6  # validation videos; with fewer a standard error says little
SCALES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)  # of the penalty of the recipe


@dataclass(frozen=True)
class _Trial:
    """Decoding settings, and what they reach on each of V videos."""

    settings: DecodeValues
    distance: float  # from the recipe
    figures: NDArray[np.float64]  # (V,) in points


def choose_decoding(
    scored_by_model: Sequence[ScoredVideos], dataset: Dataset
) -> DecodingChoice | None:
    """Choose switching penalty and order by the mean of accuracy, edit and F1@50.

    The figures are those of validation videos, which no model that decodes them has learned. The
    recipe's settings stay where fewer than `FEWEST_VIDEOS` say something, where features have
    probably seen the labels of these videos, or where no setting is better by more than a standard
    error. Otherwise the settings nearest to the recipe are chosen that are no worse than the best
    by more than one.

    Args:
        scored_by_model: The result of `validation_videos`, with the calibration of the run.
        dataset: The data set of the run.

    Returns:
        The choice, or None for a run whose recipe does not ask for one.
    """
    config = scored_by_model[0].scorer.run.config
    decode = config.decode
    if not decode.choose or config.model.transcript:
        return None
    recipe = {"switch_penalty": decode.switch_penalty, "order": decode.order}
    unchanged = DecodingChoice(
        recipe=recipe, settings=recipe, videos=0, gain=0.0, error=0.0, reason=""
    )
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
            _figures(scored, penalty, order, config.evaluation) for scored in scored_by_model
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
