"""Decoding settings chosen on validation videos: switching penalty and weight of the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from fact_clip import metrics
from fact_clip.config import DecodeConfig, EvaluationConfig
from fact_clip.core import Floats, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.separability import has_seen_labels, separability
from fact_clip.evaluation.scored_videos import ScoredVideos, VideoLabels
from fact_clip.runs.facts import DecodeValues, DecodingChoice

FEWEST_VIDEOS = 6  # validation videos; with fewer, a standard error means little
SCALES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)  # factors of the penalty in the recipe


@dataclass(frozen=True)
class _Trial:
    """Decoding settings with their figures on each of V videos."""

    settings: DecodeValues
    distance: float  # from the settings of the recipe: in log penalty and in order
    figures: Floats  # (V,) means of accuracy, edit and F1@50, in points


def choose_decoding(
    scored_by_model: Sequence[ScoredVideos], dataset: Dataset
) -> DecodingChoice | None:
    """Choose the switching penalty and order by the mean of accuracy, edit and F1@50.

    The figures come from validation videos, each decoded only by models that have not learned it.

    If these videos cannot decide (see `_reason_against`), the recipe's settings stay. Otherwise,
    several penalties are tried, with and without the order of the recipe. The choice is the setting
    closest to the recipe that is at most one standard error below the best one.

    Args:
        scored_by_model: Result of `validation_videos`, with the calibration of the run.
        dataset: Data set of the run.

    Returns:
        The choice, or None if the recipe does not request one or uses transcripts.
    """
    config = scored_by_model[0].scorer.run.config
    decode = config.decode
    if not decode.choose or config.model.transcript:
        return None
    recipe = {"switch_penalty": decode.switch_penalty, "order": decode.order}
    unchanged = DecodingChoice(
        recipe=recipe, settings=recipe, videos=0, gain=0.0, error=0.0, reason=""
    )
    reason = _reason_against(scored_by_model, dataset)
    if reason:
        return replace(unchanged, reason=f"{reason}, so the recipe's formula decides")
    return _chosen(unchanged, _trials(scored_by_model, decode, config.evaluation))


def _reason_against(scored_by_model: Sequence[ScoredVideos], dataset: Dataset) -> str:
    """Return why validation videos cannot choose the decoding, or "" if they can."""
    if dataset.clicks(dataset.validation):
        return "clicks do not show what lies between them"
    n_videos = 0
    for scored in scored_by_model:
        n_videos += sum(bool((truth >= 0).any()) for truth in scored.truth)
    if n_videos < FEWEST_VIDEOS:
        return f"validation has too few videos ({n_videos})"
    if has_seen_labels(dataset, separability(dataset)):
        return "the features seem to have seen the labels"
    return ""


def _trials(
    scored_by_model: Sequence[ScoredVideos], decode: DecodeConfig, evaluation: EvaluationConfig
) -> list[_Trial]:
    """Decode the validation videos with several penalties, with and without order."""
    trials = []
    orders = sorted({0.0, decode.order})
    for scale, order in product(SCALES, orders):
        penalty = decode.switch_penalty
        if scale != 1:  # not rounded at 1, so that the settings of the recipe compare equal
            penalty = round(penalty * scale, 2)
        figures = [_figures(scored, penalty, order, evaluation) for scored in scored_by_model]
        trial = _Trial(
            settings={"switch_penalty": penalty, "order": order},
            distance=abs(np.log(scale)) + abs(order - decode.order),
            figures=np.concatenate(figures),
        )
        trials.append(trial)
    return trials


def _figures(
    scored: ScoredVideos, penalty: float, order: float, evaluation: EvaluationConfig
) -> Floats:
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
) -> Floats:
    """Compute the mean of accuracy, edit and F1@50 of each video.

    Args:
        config: Rules of the metrics.
        vocabulary: The classes.
        truth: True labels (T,) of each of V videos, -1 for unlabelled frames.
        prediction: Predicted labels (T,) of each video.

    Returns:
        Means in points, (V,). Videos without labels are excluded.
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
    """Return the settings closest to the recipe that are not clearly worse than the best.

    The stored gain is the gain of the best settings, which need not be the chosen ones.
    """
    best = max(trials, key=lambda trial: trial.figures.mean())
    recipe = min(trials, key=lambda trial: trial.distance)
    allowed = []
    for trial in trials:
        loss = best.figures - trial.figures  # (V,)
        if loss.mean() <= _standard_error(loss):
            allowed.append(trial)
    nearest = min(allowed, key=lambda trial: trial.distance)
    gains = best.figures - recipe.figures  # (V,)
    best_gain = float(gains.mean())
    error = _standard_error(gains)
    n_videos = len(gains)
    evidence = f"{best_gain:.1f} ± {error:.1f} points over {n_videos} validation videos"
    reason = f"no setting is surely better ({evidence})"
    if nearest is not recipe:
        reason = f"the best settings gain {evidence}"
    return replace(
        unchanged,
        settings=nearest.settings,
        videos=n_videos,
        gain=best_gain,
        error=error,
        reason=reason,
    )


def _standard_error(values: Floats) -> float:
    """Return the standard error of a mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))
