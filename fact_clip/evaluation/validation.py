"""Scoring of validation videos during training."""

from __future__ import annotations

from collections.abc import Sequence

from fact_clip import metrics
from fact_clip.core import Integers, runs
from fact_clip.datasets.dataset import Dataset
from fact_clip.devices.processes import Processes
from fact_clip.inference.scorer import Scorer


def validate(
    scorer: Scorer, dataset: Dataset, video_names: Sequence[str], processes: Processes
) -> dict[str, float]:
    """Compute the metrics of a model during training. All processes share the videos.

    Args:
        scorer: Scorer with the model.
        dataset: Data set of the videos.
        video_names: Videos of the training set, so their labels may serve as transcripts.
        processes: Processes that share the videos.

    Returns:
        The metrics, and "score", the mean of accuracy, edit and F1@10.
    """
    config = scorer.run.config
    vocabulary = dataset.vocabulary

    def predict(name: str) -> Integers:
        transcript = None
        if config.model.transcript:
            segments = runs(dataset.labels(name))
            transcript = [vocabulary.names[label] for _, _, label in segments if label >= 0]
        return scorer.predict(dataset.features(name), transcript=transcript)[0]

    truth = [dataset.labels(name) for name in video_names]
    prediction = processes.map(predict, video_names)
    background = vocabulary.background_indices
    figures = metrics.evaluate(truth, prediction, background=background, **config.evaluation.rules)
    figures["score"] = (figures["frame_accuracy"] + figures["edit"] + figures["f1@10"]) / 3
    return figures
