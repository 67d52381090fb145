"""The figures of seen and unseen classes, with and without calibration. See docs/protocol.md, 'Figures'."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.holdout import Factor, level, lost_factors
from fact_clip.decoding import Calibration, Scores
from fact_clip.inference.scorer import Scorer
from fact_clip.training.calibration import Groups, Labels, Scored, curve_of, uncalibrated

logger = logging.getLogger(__name__)

IN_USE = "in use"  # The entry of `report["ways"]` that decodes as `Segmenter.segment` does


def report(
    segmenter: Scorer,
    dataset: Dataset,
    names: Sequence[str],
    actions: Sequence[str] | None = None,
    scores: Sequence[Scores] | None = None,
) -> dict[str, Any]:
    """The zero-shot figures of some videos; names that the data set lacks are unseen classes without a true frame."""
    scored = Scored(segmenter, dataset, names, actions, scores)
    used, vocabulary = segmenter.calibration or uncalibrated([dataset]), dataset.vocabulary
    # what no member of an ensemble has learned
    others = [label for label in dataset.validation_unseen if vocabulary.names[label] not in used.seen]
    rules = segmenter.run.config.evaluation.rules
    unseen = (*dataset.unseen, *range(len(vocabulary), len(scored.vocabulary)))
    groups = (unseen, vocabulary.background_indices, others)
    occurring = np.unique(np.concatenate(scored.truth))
    if dataset.unseen and not np.isin(dataset.unseen, occurring).any():
        logger.warning("no frame of these videos has an unseen class, so U and H are 0")
    ways = {
        IN_USE: used,
        "gamma 0": replace(used, gamma=0.0),
        "no prior correction": replace(used, prior_weight=0.0),
        "no prior correction, gamma 0": replace(used, gamma=0.0, prior_weight=0.0),
    }
    predictions = {way: scored.calibrated(calibration) for way, calibration in ways.items()}
    curve = curve_of([(scored, used, groups)])
    seen_less = [np.where(np.isin(labels, unseen), labels, -1) for labels in scored.truth]
    alone = scored.among(dataset.unseen)
    means = None if alone is None else metrics.class_means(seen_less, alone, unseen, vocabulary.background_indices)
    return {
        "gamma": used.gamma,
        "prior_weight": used.prior_weight,
        "seen": list(used.seen),
        "validation_unseen": [vocabulary.names[label] for label in others],
        "ways": {way: _figures(scored.truth, calibration, groups, rules) for way, calibration in predictions.items()},
        "ausuc": curve.ausuc(),
        "curve": curve.to_dict(),
        "best_harmonic_mean": float(curve.harmonic_mean.max()),
        "diagnostics": _diagnostics(scored, used, predictions[IN_USE], dataset, groups),
        "unseen_labels_only": 0.0 if means is None else means[1],
        "chance": 100 / int((~scored.choice.ruled_out).sum()),
        "by_level": _by_level(scored.truth, predictions[IN_USE], dataset, groups, rules),
        "unseen": _unseen_classes(scored, predictions[IN_USE], alone, dataset),
        "by_factor": by_factor(scored.vocabulary, scored.truth, predictions[IN_USE]),
    }


def _figures(truth: Labels, prediction: Labels, groups: Groups, rules: Mapping[str, Any]) -> dict[str, float]:
    """S, U, H, F1 a group, and the figures of all classes; background and validation-unseen are in no group."""
    unseen, background, others = groups
    left_out = (*background, *others)
    seen_mean, unseen_mean = metrics.class_means(truth, prediction, unseen, left_out)
    figures_of_all = metrics.evaluate(truth, prediction, background=background, **rules)
    return {
        "S": seen_mean,
        "U": unseen_mean,
        "H": metrics.harmonic_mean(seen_mean, unseen_mean),
        **{key: figures_of_all[key] for key in ("frame_accuracy", "edit", "f1@10", "f1@25", "f1@50")},
        **metrics.group_f1(truth, prediction, unseen, left_out),
    }


def _diagnostics(
    scored: Scored, used: Calibration, prediction: Labels, dataset: Dataset, groups: Groups
) -> dict[str, float | None]:
    """Where unseen classes are lost (docs/metrics.md, 'Diagnostics'), in percent; None where nothing can be counted."""
    unseen, background, others = groups
    names, truth = scored.vocabulary, scored.truth
    seen = names.encode(used.seen).tolist()
    free = np.isin(scored.column_of[~scored.choice.ruled_out], (*unseen, *others))
    shares: dict[str, float | None] = {"auroc": None}
    if free.any() and not free.all():
        tables = scored.tables(replace(used, gamma=0.0))
        shares["auroc"] = metrics.seen_unseen_auroc(truth, tables, unseen, background, others)
    frames = np.zeros(len(names), np.int64)
    frames[: len(dataset.vocabulary)] = dataset.class_counts()
    shares |= metrics.confusions(truth, prediction, names, unseen, seen, frames)
    for key, classes in (("compositional_gap", unseen), ("compositional_gap_seen", sorted({*seen} - {*background}))):
        shares[key] = metrics.compositional_gap(truth, prediction, names, classes)
    return shares


def _new_factors(dataset: Dataset) -> dict[str, tuple[Factor, ...]]:
    """Name of each unseen class -> the factors that no seen class has, with all classes of both groups held out."""
    assert dataset.holdout is not None
    lost = lost_factors(dataset.vocabulary, dataset.holdout.hidden)
    return {name: lost[name] for name in (dataset.vocabulary.names[label] for label in dataset.unseen)}


def _by_level(
    truth: Labels, prediction: Labels, dataset: Dataset, groups: Groups, rules: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The same figures with the unseen classes of one level alone; those of the other count in no group."""
    unseen, background, others = groups
    kinds: dict[str, list[str]] = {}
    for name, new in _new_factors(dataset).items():
        kinds.setdefault(level(new), []).append(name)
    table: dict[str, dict[str, Any]] = {}
    for kind, names in kinds.items():
        classes = dataset.vocabulary.encode(names).tolist()
        rest = (*others, *(label for label in unseen if label not in classes))
        table[kind] = {"classes": names, **_figures(truth, prediction, (classes, background, rest), rules)}
    return table


def _unseen_classes(
    scored: Scored, prediction: Labels, alone: Labels | None, dataset: Dataset
) -> dict[str, dict[str, Any]]:
    """Of each unseen class: level, new factors, frames, accuracy (also among unseen labels), commonest wrong name."""
    true, guess = np.concatenate(scored.truth), np.concatenate(prediction)
    forced = None if alone is None else np.concatenate(alone)
    rows: dict[str, dict[str, Any]] = {}
    for name, new in _new_factors(dataset).items():
        label = dataset.vocabulary.index(name)
        frames = true == label
        rows[name] = {
            "level": level(new),
            "new": [list(factor) for factor in new],
            "frames": int(frames.sum()),
            "accuracy": _share(guess[frames] == label),
            "unseen_labels_only": None if forced is None else _share(forced[frames] == label),
            "called": _called(scored.vocabulary, guess[frames], label),
        }
    return rows


def _called(vocabulary: Vocabulary, guess: NDArray[np.int64], label: int) -> dict[str, Any] | None:
    """The commonest wrong name among the frames of a class, and its share in percent; None without a wrong one."""
    counts = np.bincount(guess[guess != label])
    share = 100 * int(counts.max(initial=0)) / max(len(guess), 1)
    return {"name": vocabulary.names[int(counts.argmax())], "share": share} if counts.size else None


def _share(hits: NDArray[np.bool_]) -> float | None:
    return 100 * float(hits.mean()) if hits.size else None


def by_factor(vocabulary: Vocabulary, truth: Labels, prediction: Labels) -> dict[str, dict[str, dict[str, float]]]:
    """By slot and factor: true frames, and the share of them (in percent) whose predicted class has the factor."""
    true, guess = np.concatenate(truth), np.concatenate(prediction)
    true, guess = true[true >= 0], guess[true >= 0]
    table: dict[str, dict[str, dict[str, float]]] = {}
    for slot in vocabulary.slots:
        factors, of_class = vocabulary.factor_indices(slot)
        hit = of_class[true] == of_class[guess]
        table[slot] = {
            factor: {"frames": int(judged.sum()), "accuracy": 100 * float(hit[judged].mean())}
            for factor, judged in ((name, of_class[true] == index) for index, name in enumerate(factors))
            if judged.any()
        }
    return table
