"""Classes held out: the calibration that validation videos choose, and the figures that seen and unseen classes get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.core import InputError, Vocabulary
from fact_clip.data.holdout import HeldOut
from fact_clip.decoding import Calibration, choose_gamma_by_cost, choose_gamma_by_harmonic_mean, factor_frames
from fact_clip.metrics import SeenUnseenCurve, curve_of_predictions
from fact_clip.models import Output
from fact_clip.segmenter import Choice, Segmenter

# In nats; the ends are where no frame changes any more. 0 is one of them.
GAMMAS = (-40.0, -20.0, *np.arange(-10, 10.25, 0.5).tolist(), 20.0, 40.0)

# Name in `decode.gamma_rule` -> how gamma is read off the curve of the validation videos.
GAMMA_RULES: dict[str, Callable[[SeenUnseenCurve, float], float]] = {
    "none": lambda curve, cost: 0.0,
    "cost": choose_gamma_by_cost,
    "harmonic": lambda curve, cost: choose_gamma_by_harmonic_mean(curve),
}

Labels = list[NDArray[np.int64]]


class Scored:
    """Some videos run through a model once, to be decoded in several ways."""

    def __init__(self, segmenter: Segmenter, dataset: HeldOut, names: Sequence[str]) -> None:
        self.segmenter, self.vocabulary = segmenter, dataset.vocabulary
        self.choice = Choice(self.vocabulary)
        self.lengths = [len(dataset.features(name)) for name in names]
        self.outputs: list[Output] = [segmenter.output(dataset.features(name), self.choice) for name in names]
        self.truth = [dataset.labels(name) for name in names]

    def decoded(self, offset: NDArray[np.float64]) -> Labels:
        """Class indices of each video with `offset` (C,) on the log scores."""
        choice = replace(self.choice, offset=offset)
        pairs = zip(self.outputs, self.lengths, strict=True)
        return [self.segmenter.decode(output, choice, length)[0] for output, length in pairs]

    def curve(
        self, calibration: Calibration, unseen: Sequence[int], left_out: Sequence[int], also_unseen: Sequence[int]
    ) -> SeenUnseenCurve:
        """S and U over `GAMMAS`, decoded as in use."""
        predictions = {
            gamma: self.decoded(replace(calibration, gamma=gamma).offset(self.vocabulary)) for gamma in GAMMAS
        }
        return curve_of_predictions(self.truth, predictions, unseen, left_out, also_unseen)


def calibrate(segmenter: Segmenter, dataset: HeldOut) -> Calibration:
    """Gamma by the rule and the prior of the configuration, from the validation videos and training labels alone."""
    config, vocabulary = segmenter.run.config.decode, dataset.vocabulary
    seen = tuple(vocabulary.names[label] for label in dataset.seen)
    start = Calibration(seen, factor_frames(vocabulary, dataset.class_counts()), config.prior_weight)
    if config.gamma_rule == "none" or not dataset.validation:
        return start
    scored = Scored(segmenter, dataset, dataset.validation)
    if not any(np.isin(labels, dataset.validation_unseen).any() for labels in scored.truth):
        if config.gamma_rule == "harmonic":
            raise InputError("decode.gamma_rule", "harmonic", "frames of validation-unseen classes", "use cost")
        unseen, others = dataset.unseen, dataset.validation_unseen
    else:
        unseen, others = dataset.validation_unseen, dataset.unseen
    curve = scored.curve(start, unseen, vocabulary.background_indices, others)
    return replace(start, gamma=GAMMA_RULES[config.gamma_rule](curve, config.gamma_cost))


def report(segmenter: Segmenter, dataset: HeldOut, names: Sequence[str]) -> dict[str, Any]:
    """The zero-shot figures of some videos: as in use, the other ways, the curve, and by factor."""
    scored, vocabulary = Scored(segmenter, dataset, names), dataset.vocabulary
    seen = tuple(vocabulary.names[label] for label in dataset.seen)
    used = segmenter.calibration or Calibration(seen, factor_frames(vocabulary, dataset.class_counts()))
    ways = {
        "in use": used,
        "gamma 0": replace(used, gamma=0.0),
        "no prior correction, gamma 0": replace(used, gamma=0.0, prior_weight=0.0),
    }
    predictions = {way: scored.decoded(each.offset(vocabulary)) for way, each in ways.items()}
    unseen, others = dataset.unseen, dataset.validation_unseen
    background = vocabulary.background_indices
    curve = scored.curve(used, unseen, background, others)
    unseen_only = np.where(np.isin(np.arange(len(vocabulary)), unseen), 0.0, -np.inf)
    only_unseen = [np.where(np.isin(labels, unseen), labels, -1) for labels in scored.truth]
    conventional = metrics.class_means(only_unseen, scored.decoded(unseen_only), unseen, background)[1]
    lost = vocabulary.is_compositional([vocabulary.names[label] for label in unseen])
    return {
        "gamma": used.gamma,
        "prior_weight": used.prior_weight,
        "seen": list(seen),
        "unseen": {name: [list(pair) for pair in pairs] for name, pairs in lost.items()},
        "validation_unseen": [vocabulary.names[label] for label in others],
        "ways": {way: _figures(scored.truth, each, dataset) for way, each in predictions.items()},
        "ausuc": curve.ausuc(),
        "curve": curve.to_dict(),
        "best_harmonic_mean": float(curve.harmonic_mean.max()),
        "unseen_labels_only": conventional,
        "by_factor": by_factor(vocabulary, scored.truth, predictions["in use"]),
    }


def _figures(truth: Labels, prediction: Labels, dataset: HeldOut) -> dict[str, float]:
    """S, U, H and F1 a group; background and validation-unseen classes count in neither group."""
    left_out = (*dataset.vocabulary.background_indices, *dataset.validation_unseen)
    seen, unseen = metrics.class_means(truth, prediction, dataset.unseen, left_out)
    background = dataset.vocabulary.background_indices
    whole = metrics.evaluate(truth, prediction, background=background)
    return {
        "S": seen,
        "U": unseen,
        "H": metrics.harmonic_mean(seen, unseen),
        **{key: whole[key] for key in ("frame_accuracy", "edit", "f1@10", "f1@25", "f1@50")},
        **metrics.group_f1(truth, prediction, dataset.unseen, left_out),
    }


def by_factor(vocabulary: Vocabulary, truth: Labels, prediction: Labels) -> dict[str, dict[str, dict[str, float]]]:
    """By slot and factor: true frames, and the share of them (in percent) whose predicted class has the factor."""
    true, guess = np.concatenate(truth), np.concatenate(prediction)
    true, guess = true[true >= 0], guess[true >= 0]
    table: dict[str, dict[str, dict[str, float]]] = {}
    for slot in vocabulary.slots:
        factors, of_class = vocabulary.factor_indices(slot)
        hit = of_class[true] == of_class[guess]
        table[slot] = {
            factor: {"frames": int(own.sum()), "accuracy": 100 * float(hit[own].mean())}
            for factor, own in ((name, of_class[true] == index) for index, name in enumerate(factors))
            if own.any()
        }
    return table
