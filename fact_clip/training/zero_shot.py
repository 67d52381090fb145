"""Classes held out: the calibration that validation videos choose, and the figures that seen and unseen classes get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.checkpoint import Run, load_model, load_models, member_folders, open_run
from fact_clip.core import InputError, Vocabulary
from fact_clip.data.holdout import HeldOut, open_videos
from fact_clip.data.selection import Level, levels
from fact_clip.decoding import Calibration, choose_gamma_by_cost, choose_gamma_by_harmonic_mean, factor_frames
from fact_clip.metrics import SeenUnseenCurve, curve_of_predictions
from fact_clip.models import Output
from fact_clip.segmenter import Segmenter

# In nats. The ends are so far out that no frame changes any more, whatever the scores; 0 is one of them.
_HALF = (*np.arange(0.5, 10.25, 0.5).tolist(), 12.0, 14.0, 17.0, 20.0, 25.0, 30.0, 40.0, 1000.0)
GAMMAS = (*(-gamma for gamma in reversed(_HALF)), 0.0, *_HALF)

# Name in `decode.gamma_rule` -> how gamma is read off the curve of the validation videos.
GAMMA_RULES: dict[str, Callable[[SeenUnseenCurve, float], float]] = {
    "none": lambda curve, cost: 0.0,
    "cost": choose_gamma_by_cost,
    "harmonic": lambda curve, cost: choose_gamma_by_harmonic_mean(curve),
}

IN_USE = "in use"
"""The way of `report` that decodes as the segmenter does."""

Labels = list[NDArray[np.int64]]
Groups = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Classes that count as unseen, background, and further ones that count in no group."""


class Scored:
    """Some videos run through a model once, to be decoded in several ways.

    Args:
        segmenter: the model.
        dataset: where the videos are.
        names: of the videos.
        actions: candidates, as `Segmenter.segment` takes them; None: the whole vocabulary.
        outputs: of the videos, where the model has run with these candidates already; None: it runs now.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        dataset: HeldOut,
        names: Sequence[str],
        actions: Sequence[str] | None = None,
        outputs: Sequence[Sequence[Output]] | None = None,
    ) -> None:
        self.segmenter, self.choice = segmenter, segmenter.choose(actions)
        self.vocabulary, self.place = self.choice.among(dataset.vocabulary)
        own = self.choice.offset
        self.ruled_out = np.zeros(len(self.place), dtype=bool) if own is None else np.isneginf(own)
        if outputs is None:
            outputs = [segmenter.outputs(dataset.features(name), self.choice) for name in names]
        self.outputs = list(outputs)
        self.truth = [dataset.labels(name) for name in names]

    def decoded(self, offset: NDArray[np.float64]) -> Labels:
        """Class indices in `vocabulary` of each video, with `offset` on the candidates' log scores."""
        choice = replace(self.choice, offset=np.where(self.ruled_out, -np.inf, offset))
        pairs = zip(self.outputs, self.truth, strict=True)
        return [self.place[self.segmenter.decode(outputs, choice, len(labels))[0]] for outputs, labels in pairs]

    def calibrated(self, calibration: Calibration) -> Labels:
        """The same with the offset of a calibration."""
        return self.decoded(calibration.offset(self.choice.vocabulary))

    def among(self, classes: Sequence[int]) -> Labels | None:
        """The same where only these classes are candidates; None where none of them is one."""
        allowed = np.isin(self.place, classes) & ~self.ruled_out
        return self.decoded(np.where(allowed, 0.0, -np.inf)) if allowed.any() else None


def curve_of(parts: Sequence[Scored], calibration: Calibration, groups: Groups) -> SeenUnseenCurve:
    """S and U over `GAMMAS` of all videos of the parts, decoded as in use."""
    truth = [labels for part in parts for labels in part.truth]
    predictions = {
        gamma: [labels for part in parts for labels in part.calibrated(replace(calibration, gamma=gamma))]
        for gamma in GAMMAS
    }
    return curve_of_predictions(truth, predictions, *groups)


def calibrate_run(run: Run, dataset: HeldOut, device: torch.device | str) -> Calibration:
    """What puts the scores of a run right, chosen by its models and its validation videos.

    Members with validation parts of their own are asked one by one, each on the videos that it did not learn.
    """
    if not run.config.train.member_parts:
        return calibrate([Segmenter(run, load_models(run), device)], [dataset])
    segmenters, datasets = [Segmenter(run, load_model(run), device)], [dataset]
    for part in map(open_run, member_folders(run.path, run.config.train.members)):
        # The run's configuration, which may be decoded otherwise now, but for the videos that validate.
        own = {"validation_part": part.config.data.validation_part}
        config = run.config.model_copy(update={"data": run.config.data.model_copy(update=own)})
        segmenters.append(Segmenter(replace(part, config=config), load_model(part), device))
        datasets.append(cast(HeldOut, open_videos(config.data)))
    return calibrate(segmenters, datasets)


def calibrate(segmenters: Sequence[Segmenter], datasets: Sequence[HeldOut]) -> Calibration:
    """Gamma by the rule and the prior of the configuration, from the validation videos and training labels alone.

    Where no validation video has a frame of a validation-unseen class (or there is no such class), rule "cost" takes
    all classes without training frames as rivals of the seen ones: it asks for S alone. No test label is read.

    Args:
        segmenters: what is used later; or the members of an ensemble that have validation videos of their own.
        datasets: for each the data with its validation videos.

    Raises:
        InputError: rule "harmonic" without frames of validation-unseen classes.
    """
    dataset, config = datasets[0], segmenters[0].run.config.decode
    start = _uncalibrated(dataset, config.prior_weight)
    if config.gamma_rule == "none" or not dataset.validation:
        return start
    scored = [Scored(each, own, own.validation) for each, own in zip(segmenters, datasets, strict=True)]
    truth = [labels for each in scored for labels in each.truth]
    shown = any(np.isin(labels, dataset.validation_unseen).any() for labels in truth)
    if config.gamma_rule == "harmonic" and not shown:
        raise InputError("decode.gamma_rule", "harmonic", "frames of validation-unseen classes", "use cost")
    unseen, others = dataset.unseen, dataset.validation_unseen
    groups = (others, unseen) if shown else (unseen, others)
    curve = curve_of(scored, start, (groups[0], dataset.vocabulary.background_indices, groups[1]))
    return replace(start, gamma=GAMMA_RULES[config.gamma_rule](curve, config.gamma_cost))


def _uncalibrated(dataset: HeldOut, prior_weight: float = 0.0) -> Calibration:
    seen = tuple(dataset.vocabulary.names[label] for label in dataset.seen)
    return Calibration(seen, factor_frames(dataset.vocabulary, dataset.class_counts()), prior_weight)


def report(
    segmenter: Segmenter,
    dataset: HeldOut,
    names: Sequence[str],
    actions: Sequence[str] | None = None,
    outputs: Sequence[Sequence[Output]] | None = None,
) -> dict[str, Any]:
    """The zero-shot figures of some videos.

    S, U, H and F1 a group as in use and the other ways, the curve, unseen labels only, by level, class and factor.
    Names that the data set lacks are unseen classes without a true frame.

    Args:
        segmenter: the model with the calibration in use.
        dataset: with its classes held out.
        names: of the videos.
        actions, outputs: candidates, and what the model gave where it has run already, see `Scored`.
    """
    scored = Scored(segmenter, dataset, names, actions, outputs)
    used, known = segmenter.calibration or _uncalibrated(dataset), dataset.vocabulary
    unseen = (*dataset.unseen, *range(len(known), len(scored.vocabulary)))
    groups = (unseen, known.background_indices, dataset.validation_unseen)
    predictions = {way: scored.calibrated(each) for way, each in _ways(used).items()}
    curve = curve_of([scored], used, groups)
    seen_less = [np.where(np.isin(labels, unseen), labels, -1) for labels in scored.truth]
    alone = scored.among(dataset.unseen)
    conventional = 0.0 if alone is None else metrics.class_means(seen_less, alone, unseen, known.background_indices)[1]
    return {
        "gamma": used.gamma,
        "prior_weight": used.prior_weight,
        "seen": [known.names[label] for label in dataset.seen],
        "validation_unseen": [known.names[label] for label in dataset.validation_unseen],
        "ways": {way: _figures(scored.truth, each, groups) for way, each in predictions.items()},
        "ausuc": curve.ausuc(),
        "curve": curve.to_dict(),
        "best_harmonic_mean": float(curve.harmonic_mean.max()),
        "unseen_labels_only": conventional,
        "chance": 100 / int((~scored.ruled_out).sum()),
        "by_level": _by_level(scored.truth, predictions[IN_USE], dataset, groups),
        "unseen": _unseen_classes(scored.truth, predictions[IN_USE], alone, dataset),
        "by_factor": by_factor(scored.vocabulary, scored.truth, predictions[IN_USE]),
    }


def _ways(used: Calibration) -> dict[str, Calibration]:
    return {
        IN_USE: used,
        "gamma 0": replace(used, gamma=0.0),
        "no prior correction": replace(used, prior_weight=0.0),
        "no prior correction, gamma 0": replace(used, gamma=0.0, prior_weight=0.0),
    }


def _figures(truth: Labels, prediction: Labels, groups: Groups) -> dict[str, float]:
    """S, U, H and F1 a group; background and validation-unseen classes count in neither group."""
    unseen, background, others = groups
    left_out = (*background, *others)
    seen_mean, unseen_mean = metrics.class_means(truth, prediction, unseen, left_out)
    whole = metrics.evaluate(truth, prediction, background=background)
    return {
        "S": seen_mean,
        "U": unseen_mean,
        "H": metrics.harmonic_mean(seen_mean, unseen_mean),
        **{key: whole[key] for key in ("frame_accuracy", "edit", "f1@10", "f1@25", "f1@50")},
        **metrics.group_f1(truth, prediction, unseen, left_out),
    }


def _levels(dataset: HeldOut) -> dict[str, Level]:
    """Name of each unseen class -> its level, with all classes of both groups held out."""
    found = levels(dataset.vocabulary, dataset.holdout)
    return {dataset.vocabulary.names[label]: found[dataset.vocabulary.names[label]] for label in dataset.unseen}


def _by_level(truth: Labels, prediction: Labels, dataset: HeldOut, groups: Groups) -> dict[str, dict[str, Any]]:
    """The same figures with the unseen classes of one level alone; those of the other count in no group."""
    unseen, background, others = groups
    kinds: dict[str, list[str]] = {}
    for name, level in _levels(dataset).items():
        kinds.setdefault(level.kind, []).append(name)
    table: dict[str, dict[str, Any]] = {}
    for kind, names in kinds.items():
        own = dataset.vocabulary.encode(names).tolist()
        rest = (*others, *(label for label in unseen if label not in own))
        table[kind] = {"classes": names, **_figures(truth, prediction, (own, background, rest))}
    return table


def _unseen_classes(
    truth: Labels, prediction: Labels, alone: Labels | None, dataset: HeldOut
) -> dict[str, dict[str, Any]]:
    """Of each unseen class: level, new factors, frames, and accuracy as in use and with unseen labels only."""
    true, guess = np.concatenate(truth), np.concatenate(prediction)
    forced = None if alone is None else np.concatenate(alone)
    rows: dict[str, dict[str, Any]] = {}
    for name, level in _levels(dataset).items():
        label = dataset.vocabulary.index(name)
        own = true == label
        rows[name] = {
            "level": level.kind,
            "new": [list(factor) for factor in level.new],
            "frames": int(own.sum()),
            "accuracy": _share(guess[own] == label),
            "unseen_labels_only": None if forced is None else _share(forced[own] == label),
        }
    return rows


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
            factor: {"frames": int(own.sum()), "accuracy": 100 * float(hit[own].mean())}
            for factor, own in ((name, of_class[true] == index) for index, name in enumerate(factors))
            if own.any()
        }
    return table
