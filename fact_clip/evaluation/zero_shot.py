"""Zero-shot figures of a run: seen and unseen classes, curve, diagnostics (docs/protocol.md).

`zero_shot_figures` computes all figures. The functions below it compute entries of the result.

Labels are indices of `scored.classes.vocabulary`: the classes of the data set, then the candidates
that the data set lacks. `scored.classes.allowed` lists labels that may be predicted (`ClassMap`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fact_clip import metrics
from fact_clip.core import Flags, Vocabulary
from fact_clip.decoding import Calibration
from fact_clip.evaluation.calibration import (
    GAMMAS,
    GammaCounts,
    groups_by_calibration,
    uncalibrated,
)
from fact_clip.evaluation.scored_videos import ScoredVideos, VideoLabels
from fact_clip.metrics.zero_shot import ClassGroups, class_groups
from fact_clip.unseen.choice import Factor, level, lost_factors

logger = logging.getLogger(__name__)

IN_USE = "in use"
"""Key of `zero_shot_figures(...)["ways"]` for labels that are decoded as in `Segmenter.segment`."""


@dataclass(frozen=True)
class _Evaluation:
    """Videos decoded as in use, with the roles of the classes.

    Attributes:
        scored: The videos.
        prediction: Labels of the videos, decoded as in use.
        unseen_only: Labels of the videos with unseen classes as the only candidates, or None if no
            unseen class is a candidate.
        calibration: Calibration in use.
        groups: Classes by role. `unseen` are the classes of U and the candidates that the data set
            lacks (`ClassMap.added`). `also_unseen` are the other untrained classes, which count
            for neither S nor U. `ClassMap.allowed` lists what may be predicted.
        rules: Options of `metrics.evaluate` from the configuration.
    """

    scored: ScoredVideos
    prediction: VideoLabels
    unseen_only: VideoLabels | None
    calibration: Calibration
    groups: ClassGroups
    rules: Mapping[str, Any]


def zero_shot_figures(scored: ScoredVideos) -> dict[str, Any]:
    """Compute the zero-shot figures of some videos.

    Args:
        scored: Videos of a data set with held-out classes. A candidate that the data set lacks is
            an unseen class without a true frame.

    Returns:
        The entry "zero_shot" of an evaluation (docs/formats.md).
    """
    scorer = scored.scorer
    dataset = scored.dataset
    calibration = scorer.calibration or uncalibrated(scored.datasets)
    vocabulary = dataset.vocabulary
    unseen = (*dataset.unseen, *scored.classes.added)
    groups = groups_by_calibration(calibration, vocabulary, unseen)
    # In an ensemble, a member may have learned a validation-unseen class of a different member.
    # Such a class is seen, so only classes remain that no member has learned.
    validation_unseen = groups.also_unseen.intersection(dataset.validation_unseen)
    true = np.concatenate(scored.truth)  # (N,) labels of the N frames of all videos
    if dataset.unseen and not np.isin(true, dataset.unseen).any():
        logger.warning("no frame of these videos has an unseen class, so U and H are 0")

    predictions = _predictions(scored, calibration)
    evaluation = _Evaluation(
        scored=scored,
        prediction=predictions[IN_USE],
        # Candidates that the data set lacks are excluded, as they have no true frame to count.
        unseen_only=scored.decode_among(dataset.unseen),
        calibration=calibration,
        groups=groups,
        rules=scorer.run.config.evaluation.rules,
    )
    curve = _curve(evaluation)
    return {
        "known": "names and unlabelled frames" if _is_taught(scored) else "nothing",
        "gamma": calibration.gamma,
        "prior_weight": calibration.prior_weight,
        "seen": list(calibration.seen),
        "validation_unseen": list(dataset.names_of(sorted(validation_unseen))),
        "ways": {
            way: _figures(scored.truth, labels, groups, evaluation.rules)
            for way, labels in predictions.items()
        },
        "ausuc": curve.ausuc(),
        "curve": curve.to_dict(),
        "best_harmonic_mean": float(curve.harmonic_mean.max()),
        "diagnostics": _diagnostics(evaluation),
        "unseen_labels_only": _accuracy_among_unseen(evaluation),
        "chance": 100 / len(scored.classes.allowed),
        "by_level": _by_level(evaluation),
        "unseen": _unseen_classes(evaluation),
        "by_factor": by_factor(scored.classes.vocabulary, scored.truth, predictions[IN_USE]),
    }


def _predictions(scored: ScoredVideos, calibration: Calibration) -> dict[str, VideoLabels]:
    """Decode the same scores with and without each correction, to measure what it gains."""
    ways = {
        IN_USE: calibration,
        "gamma 0": replace(calibration, gamma=0.0),
        "no prior correction": replace(calibration, prior_weight=0.0),
        "no prior correction, gamma 0": replace(calibration, gamma=0.0, prior_weight=0.0),
    }
    predictions = {}
    for way, variant in ways.items():
        predictions[way] = scored.decode(scored.candidates.calibrated(variant))
    return predictions


def _curve(evaluation: _Evaluation) -> metrics.SeenUnseenCurve:
    """Return the accuracy of seen and of unseen classes at each gamma.

    The curve includes the gamma in use, so its best harmonic mean is never below H in use, except
    by rounding.
    """
    scored = evaluation.scored
    gammas = sorted({*GAMMAS, evaluation.calibration.gamma})
    counts = GammaCounts(gammas, len(scored.classes.vocabulary))
    counts.add(scored, evaluation.calibration, evaluation.groups)
    return counts.curve()


def by_factor(
    vocabulary: Vocabulary, truth: VideoLabels, prediction: VideoLabels
) -> dict[str, dict[str, dict[str, float]]]:
    """Compute how often the predicted class has the correct factor.

    Args:
        vocabulary: Classes with their factors.
        truth: True labels (T,) of each video, -1 for unlabelled frames.
        prediction: Predicted labels (T,) of each video.

    Returns:
        For each slot and factor, the number of true "frames" with the factor, and the "accuracy":
        the percentage of these frames whose predicted class has the factor.
    """
    true = np.concatenate(truth)
    predicted = np.concatenate(prediction)
    is_labelled = true >= 0
    true = true[is_labelled]  # (N,) in the N labelled frames of all videos
    predicted = predicted[is_labelled]  # (N,)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for slot in vocabulary.slots:
        factors, factor_of_class = vocabulary.factor_indices(slot)  # (C,) indices of `factors`
        is_correct = factor_of_class[true] == factor_of_class[predicted]  # (N,)
        table[slot] = {}
        for index, factor in enumerate(factors):
            has_factor = factor_of_class[true] == index  # (N,)
            if has_factor.any():
                accuracy = 100 * float(is_correct[has_factor].mean())
                table[slot][factor] = {"frames": int(has_factor.sum()), "accuracy": accuracy}
    return table


def _is_taught(scored: ScoredVideos) -> bool:
    """Return whether drafts or pseudo-labels gave frames the names of hidden classes."""
    run = scored.scorer.run
    if run.seen is None:
        return False
    holdout = scored.dataset.holdout
    assert holdout is not None
    return any(name in run.seen.named for name in holdout.hidden)


def _figures(
    truth: VideoLabels, prediction: VideoLabels, groups: ClassGroups, rules: Mapping[str, Any]
) -> dict[str, float]:
    """Return S, U, H, the figures of all classes, and F1 of each group."""
    figures = metrics.evaluate(
        truth,
        prediction,
        background=groups.background,
        unseen=groups.unseen,
        also_unseen=groups.also_unseen,
        **rules,
    )
    named = {
        "S": figures["seen_class_mean_accuracy"],
        "U": figures["unseen_class_mean_accuracy"],
        "H": figures["harmonic_mean"],
    }
    main_keys = metrics.figure_keys("mstcn")
    # "seen_f1@" is also in "unseen_f1@", so the condition picks F1 of both groups.
    return named | {key: figures[key] for key in figures if key in main_keys or "seen_f1@" in key}


def _diagnostics(evaluation: _Evaluation) -> dict[str, float | None]:
    """Return diagnostics of errors on unseen classes, in percent (docs/metrics.md, 'Diagnostics').

    A figure is None if nothing can be counted.
    """
    scored = evaluation.scored
    groups = evaluation.groups
    vocabulary = scored.classes.vocabulary
    seen = vocabulary.encode(evaluation.calibration.seen).tolist()
    figures: dict[str, float | None] = {"auroc": None}

    # The figure compares trained with untrained candidates, so both must be present.
    is_untrained = np.isin(scored.classes.allowed, (*groups.unseen, *groups.also_unseen))
    if is_untrained.any() and not is_untrained.all():
        tables = scored.log_score_tables(replace(evaluation.calibration, gamma=0.0))
        figures["auroc"] = metrics.seen_unseen_auroc(
            scored.truth, tables, groups.unseen, groups.background, groups.also_unseen
        )

    figures["called_seen"] = metrics.share_called_seen(
        scored.truth, evaluation.prediction, groups.unseen, seen
    )
    return figures


def _accuracy_among_unseen(evaluation: _Evaluation) -> float:
    """Return U, in percent, if unseen classes are the only candidates.

    Without such a candidate, no frame is correct, so U is 0 rather than unknown.
    """
    if evaluation.unseen_only is None:
        return 0.0
    groups = evaluation.groups
    _, unseen_mean = metrics.class_means(
        evaluation.scored.truth, evaluation.unseen_only, groups.unseen, groups.background
    )
    return unseen_mean


def _by_level(evaluation: _Evaluation) -> dict[str, dict[str, Any]]:
    """Return the classes of each level, and the figures with these as the only classes of U."""
    groups = evaluation.groups
    names_of_level: dict[str, list[str]] = {}
    for name, factors in _new_factors(evaluation).items():
        names_of_level.setdefault(level(factors), []).append(name)
    table: dict[str, dict[str, Any]] = {}
    for level_name, names in names_of_level.items():
        classes = evaluation.scored.dataset.vocabulary.encode(names).tolist()
        of_other_levels = groups.unseen.difference(classes)
        level_groups = class_groups(
            unseen=classes,
            background=groups.background,
            also_unseen=(*groups.also_unseen, *of_other_levels),
        )
        figures = _figures(
            evaluation.scored.truth, evaluation.prediction, level_groups, evaluation.rules
        )
        table[level_name] = {"classes": names, **figures}
    return table


def _new_factors(evaluation: _Evaluation) -> dict[str, tuple[Factor, ...]]:
    """Return the factors of each unseen class that no trained class has."""
    vocabulary = evaluation.scored.classes.vocabulary
    untrained = evaluation.groups.unseen | evaluation.groups.also_unseen
    lost = lost_factors(vocabulary, vocabulary.decode(sorted(untrained)))
    dataset = evaluation.scored.dataset
    return {name: lost[name] for name in dataset.unseen_names}


def _unseen_classes(evaluation: _Evaluation) -> dict[str, dict[str, Any]]:
    """Return the level, accuracies and most frequent wrong label of each unseen class."""
    vocabulary = evaluation.scored.classes.vocabulary
    # Labels (N,) of the N frames of all videos.
    true = np.concatenate(evaluation.scored.truth)
    predicted = np.concatenate(evaluation.prediction)
    among_unseen = None
    if evaluation.unseen_only is not None:
        among_unseen = np.concatenate(evaluation.unseen_only)
    rows: dict[str, dict[str, Any]] = {}
    for name, factors in _new_factors(evaluation).items():
        label = vocabulary.index(name)
        is_of_class = true == label  # (N,)
        n_frames = int(is_of_class.sum())
        row: dict[str, Any] = {
            "level": level(factors),
            "new": [list(factor) for factor in factors],
            "frames": n_frames,
            "accuracy": _share(predicted[is_of_class] == label),
            "unseen_labels_only": None,
            "called": None,
        }
        if among_unseen is not None:
            row["unseen_labels_only"] = _share(among_unseen[is_of_class] == label)
        # Counts of each other predicted label, (1 + the largest of them,), or empty without errors.
        wrong = np.bincount(predicted[is_of_class & (predicted != label)])
        if wrong.size:
            most_frequent = vocabulary.names[wrong.argmax()]
            row["called"] = {"name": most_frequent, "share": 100 * int(wrong.max()) / n_frames}
        rows[name] = row
    return rows


def _share(flags: Flags) -> float | None:
    """Return the share of true flags in percent, or None if there are no flags."""
    return 100 * float(flags.mean()) if flags.size else None
