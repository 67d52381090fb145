"""Runs with classes held out: their calibration, on validation videos alone, and their figures (docs/protocol.md)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.config import DecodeConfig
from fact_clip.core import ConfigKey, InputError, Vocabulary
from fact_clip.core.io import write_value
from fact_clip.core.paths import inside
from fact_clip.core.progress import paced
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.holdout import Factor, level, lost_factors
from fact_clip.decoding import (
    Calibration,
    CandidateSet,
    Confidence,
    Scores,
    class_scores,
    decode_gammas,
    decode_scores,
)
from fact_clip.decoding.calibration import (
    ASKS_MODEL,
    choose_gamma_by_cost,
    choose_gamma_by_harmonic_mean,
    factor_frames,
    log_mean_posterior,
    log_prior,
)
from fact_clip.inference.scorer import Scorer
from fact_clip.run import LoadedRun, Run, member_folders

logger = logging.getLogger(__name__)

# In nats. The ends are so far out that no frame changes any more, whatever the scores; 0 is one of them.
_HALF = (*np.arange(0.5, 10.25, 0.5).tolist(), 12.0, 14.0, 17.0, 20.0, 25.0, 30.0, 40.0, 1000.0)
GAMMAS = (*(-gamma for gamma in reversed(_HALF)), 0.0, *_HALF)
_BETWEEN = 8  # steps between two of `GAMMAS`, when gamma is chosen

_SMOOTHING = (
    0.005  # of a mean posterior: among 67 classes none has less than a frame in thirteen thousand
)

Labels = list[NDArray[np.int64]]
Groups = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Classes that count as unseen, background, and further ones that count in no group."""

Part = tuple["Scored", Calibration, Groups]
"""Videos that some models have not learned, with the calibration and the class groups of these models."""


class Scored:
    """Some videos of a data set, read by a model once (or `scores` of them), to be decoded in several ways."""

    def __init__(
        self,
        scorer: Scorer,
        dataset: Dataset,
        names: Sequence[str],
        actions: Sequence[str] | None = None,
        scores: Sequence[Scores] | None = None,
    ) -> None:
        self.scorer, self.choice = scorer, scorer.choose(actions)
        self.vocabulary, self.column_of = self.choice.extend(dataset.vocabulary)
        self.scores = scores or [
            scorer.score(dataset.features(name), self.choice) for name in names
        ]
        self.truth = [dataset.labels(name) for name in names]

    def decoded(self, offset: NDArray[np.float64]) -> Labels:
        """Class indices in `vocabulary` of each video, with `offset` added to the log scores of the candidates."""
        choice, settings = self._with_offset(offset), self.scorer.settings
        return [
            self.column_of[decode_scores(scores, choice, settings)[0]] for scores in self.scores
        ]

    def _with_offset(self, offset: NDArray[np.float64]) -> CandidateSet:
        return replace(self.choice, offset=np.where(self.choice.ruled_out, -np.inf, offset))

    def calibrated(self, calibration: Calibration) -> Labels:
        """The same with the offset of a calibration."""
        return self.decoded(calibration.offset(self.choice.vocabulary))

    def with_gammas(
        self, calibration: Calibration, gammas: Sequence[float] = GAMMAS
    ) -> Iterator[NDArray[np.int64]]:
        """The same with each of G gammas in place of that of the calibration: (G, T) of one video after the other."""
        names = self.choice.vocabulary
        choice = self._with_offset(replace(calibration, gamma=0.0).offset(names))
        seen = np.array([name in calibration.seen for name in names])
        for scores in paced(self.scores, "decoding with each gamma", logger):
            yield self.column_of[decode_gammas(scores, choice, seen, gammas, self.scorer.settings)]

    def among(self, classes: Sequence[int]) -> Labels | None:
        """The same where only these classes are candidates; None where none of them is one."""
        allowed = np.isin(self.column_of, classes) & ~self.choice.ruled_out
        return self.decoded(np.where(allowed, 0.0, -np.inf)) if allowed.any() else None

    def tables(self, calibration: Calibration) -> list[NDArray[np.float64]]:
        """(T, C) calibrated log scores of each video over `vocabulary`; -inf for a class that is no candidate."""
        choice, tables = self._with_offset(calibration.offset(self.choice.vocabulary)), []
        for scores in self.scores:
            table = np.full((scores.n_frames, len(self.vocabulary)), -np.inf)
            table[:, self.column_of] = _log_scores(scores, choice)[scores.row_of_frame]
            table[:, self.column_of[self.choice.ruled_out]] = -np.inf
            tables.append(table)
        return tables


def _log_scores(scores: Scores, choice: CandidateSet) -> NDArray[np.float64]:
    table = class_scores(scores, choice).cpu().numpy()
    return np.log(np.maximum(table, np.finfo(table.dtype).tiny))


def curve_of(parts: Sequence[Part], gammas: Sequence[float] = GAMMAS) -> metrics.SeenUnseenCurve:
    """S and U over some gammas, 0 among them, of all videos of the parts, decoded as in use."""
    n = max(len(scored.vocabulary) for scored, _, _ in parts)
    total, right = (
        np.zeros(2 * n, np.int64),
        np.zeros((len(gammas), 2 * n), np.int64),
    )  # seen, then unseen
    left_out = set[int]()
    for scored, calibration, (unseen, background, others) in parts:
        left_out |= {*background}
        decoded = scored.with_gammas(calibration, gammas)
        for truth, predictions in zip(scored.truth, decoded, strict=True):
            judged = (truth >= 0) & ~np.isin(truth, [*others])
            counted = np.where(np.isin(truth, [*unseen]), truth + n, truth)
            total += np.bincount(counted[judged], minlength=2 * n)
            for class_hits, hits in zip(right, predictions == truth, strict=True):  # a gamma each
                class_hits += np.bincount(counted[judged & hits], minlength=2 * n)
    counts = {
        gamma: metrics.FrameCounts.of_arrays(total, hits)
        for gamma, hits in zip(gammas, right, strict=True)
    }
    return metrics.curve_of_counts(counts, range(n, 2 * n), tuple(left_out))


def judges(
    run: Run, dataset: Dataset, device: torch.device | str, calibration: Calibration | None = None
) -> list[tuple[Scorer, Dataset]]:
    """What decodes the validation videos of a run, and these videos; of members with videos of their own, each its."""
    models = [run.model()] if run.config.train.member_parts else run.models()
    pairs = [(Scorer(LoadedRun(run, models, calibration), device), dataset)]
    if not run.config.train.member_parts:
        return pairs
    for member in map(Run.read, member_folders(run.path, run.config.train.members)):
        # The configuration of the run, whose decoding may have been overridden, with the member's validation videos.
        chosen = member.config.data
        update = {
            "validation_part": chosen.validation_part,
            "validation_unseen": chosen.validation_unseen,
        }
        data = run.config.data.model_copy(update=update)
        config = run.config.model_copy(update={"data": data})
        loaded = LoadedRun(replace(member, config=config), [member.model()], calibration)
        pairs.append((Scorer(loaded, device), Dataset.open(data, dataset.folder)))
    return pairs


def calibrate(pairs: Sequence[tuple[Scorer, Dataset]]) -> Calibration:
    """Gamma by the rule and the prior of the configuration, from validation videos and training labels alone.

    Where no validation video has a frame of a validation-unseen class, rule "cost" takes all classes without training
    frames as rivals of the seen ones, since it reads S alone. A class that one member of an ensemble has learned is
    seen where all are used. `pairs` are those of `judges`.
    """
    datasets, config = [dataset for _, dataset in pairs], pairs[0][0].run.config.decode
    check_rules(config, datasets)
    needs_model = config.gamma_rule != "none" or config.prior in ASKS_MODEL
    scored = (
        [Scored(scorer, data, data.validation) for scorer, data in pairs] if needs_model else []
    )
    start = _with_prior(uncalibrated(datasets, config.prior_weight), datasets, config.prior, scored)
    if config.gamma_rule == "none" or not datasets[0].validation:
        return start
    occur, parts = any(map(_show_unseen, datasets)), list[Part]()
    for part, data in zip(scored, datasets, strict=True):
        rivals, others = data.validation_unseen, data.unseen
        rivals, others = (rivals, others) if occur else (others, rivals)
        alone = replace(start, seen=uncalibrated([data]).seen)
        parts.append((part, alone, (rivals, data.vocabulary.background_indices, others)))

    def chosen(gammas: Sequence[float]) -> float:
        curve = curve_of(parts, gammas)
        by_cost = config.gamma_rule == "cost"
        return (
            choose_gamma_by_cost(curve, config.gamma_cost)
            if by_cost
            else choose_gamma_by_harmonic_mean(curve)
        )

    index = GAMMAS.index(chosen(GAMMAS))
    neighbours = GAMMAS[max(index - 1, 0)], GAMMAS[min(index + 1, len(GAMMAS) - 1)]
    fine = [
        np.linspace(GAMMAS[index], neighbour, _BETWEEN + 1).tolist() for neighbour in neighbours
    ]
    return replace(start, gamma=chosen(sorted({0.0, *fine[0], *fine[1]})))


def check_rules(config: DecodeConfig, datasets: Sequence[Dataset]) -> None:
    """An InputError where ``decode.prior`` or ``decode.gamma_rule`` asks for what the validation videos do not show."""
    if config.prior in ASKS_MODEL and not datasets[0].validation:
        raise InputError(
            ConfigKey("decode.prior"),
            f"{config.prior} needs validation videos",
            "set data.validation",
        )
    if (
        config.gamma_rule == "harmonic"
        and datasets[0].validation
        and not any(map(_show_unseen, datasets))
    ):
        raise InputError(
            ConfigKey("decode.gamma_rule"), "harmonic needs validation-unseen classes", "use cost"
        )


def _show_unseen(dataset: Dataset) -> bool:
    """Whether a validation video has a frame of a validation-unseen class."""
    return any(
        np.isin(dataset.labels(name), dataset.validation_unseen).any()
        for name in dataset.validation
    )


def uncalibrated(datasets: Sequence[Dataset], prior_weight: float = 0.0) -> Calibration:
    """The seen classes and the frames of each factor of these data; only the prior of the factors is taken off."""
    vocabulary, seen = (
        datasets[0].vocabulary,
        {label for dataset in datasets for label in dataset.seen},
    )
    names = tuple(vocabulary.names[label] for label in sorted(seen))
    return Calibration(names, factor_frames(vocabulary, _frames(datasets)), prior_weight)


def _frames(datasets: Sequence[Dataset]) -> NDArray[np.int64]:
    """(C,) training frames of each class, in the data set that shows most of it."""
    return np.max([dataset.class_counts() for dataset in datasets], axis=0)


def _with_prior(
    start: Calibration, datasets: Sequence[Dataset], rule: str, scored: Sequence[Scored]
) -> Calibration:
    """The calibration with log p(c) of all classes by a rule; the model is asked on the `scored` videos."""
    vocabulary = datasets[0].vocabulary
    expected, posterior = start.log_prior(vocabulary), None
    if rule in ASKS_MODEL:
        plain = [
            (scores, replace(part.choice, offset=None)) for part in scored for scores in part.scores
        ]
        posterior = log_mean_posterior([_log_scores(*pair) for pair in plain], _SMOOTHING)
    prior = log_prior(rule, expected, _frames(datasets), posterior)
    named = dict(zip(vocabulary.names, prior.tolist(), strict=True))
    return replace(start, prior=named, shift=float((prior - expected).mean()))


def learn_calibration(run: Run, dataset: Dataset, device: torch.device) -> None:
    """Write what the validation videos say: the calibration, with classes held out, and what scores are worth."""
    calibration = None
    if dataset.holdout is not None and run.config.model.is_open:
        calibration = calibrate(judges(run, dataset, device))
        write_value(inside(run.path, "calibration.json"), calibration)
    confidence = learn_confidence(run, dataset, device, calibration)
    if confidence is not None:
        write_value(inside(run.path, "confidence.json"), confidence)


def learn_confidence(
    run: Run, dataset: Dataset, device: torch.device | str, calibration: Calibration | None
) -> Confidence | None:
    """What the scores of a run are worth; None without a labelled validation frame, or with transcripts."""
    if run.config.model.transcript or not dataset.validation:
        return None
    labels, scores, truth = (
        list[NDArray[np.int64]](),
        list[NDArray[np.float64]](),
        list[NDArray[np.int64]](),
    )
    for scorer, data in judges(run, dataset, device, calibration):
        for name in paced(data.validation, "confidences of validation videos", logger):
            predicted, score = scorer.predict(data.features(name))
            labels.append(predicted)
            scores.append(score.astype(np.float64))
            truth.append(data.labels(name))
    if not any((data >= 0).any() for data in truth):
        return None
    return Confidence.learned(labels, scores, truth)


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
    others = [
        label for label in dataset.validation_unseen if vocabulary.names[label] not in used.seen
    ]
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
    alone = scored.among(dataset.unseen)
    means = (
        None
        if alone is None
        else metrics.class_means(scored.truth, alone, unseen, vocabulary.background_indices)
    )
    return {
        "gamma": used.gamma,
        "prior_weight": used.prior_weight,
        "seen": list(used.seen),
        "validation_unseen": [vocabulary.names[label] for label in others],
        "ways": {
            way: _figures(scored.truth, calibration, groups, rules)
            for way, calibration in predictions.items()
        },
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


def _figures(
    truth: Labels, prediction: Labels, groups: Groups, rules: Mapping[str, Any]
) -> dict[str, float]:
    """S, U, H, F1 a group, and the figures of all classes; background and validation-unseen are in no group."""
    unseen, background, others = groups
    left_out = (*background, *others)
    seen_mean, unseen_mean = metrics.class_means(truth, prediction, unseen, left_out)
    figures_of_all = metrics.evaluate(truth, prediction, background=background, **rules)
    return {
        "S": seen_mean,
        "U": unseen_mean,
        "H": metrics.harmonic_mean(seen_mean, unseen_mean),
        **{
            key: figures_of_all[key]
            for key in ("frame_accuracy", "edit", "f1@10", "f1@25", "f1@50")
        },
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
    for key, classes in (
        ("compositional_gap", unseen),
        ("compositional_gap_seen", sorted({*seen} - {*background})),
    ):
        shares[key] = metrics.compositional_gap(truth, prediction, names, classes)
    return shares


def _new_factors(dataset: Dataset) -> dict[str, tuple[Factor, ...]]:
    """Name of each unseen class -> the factors that no seen class has, with all classes of both groups held out."""
    assert dataset.holdout is not None
    lost = lost_factors(dataset.vocabulary, dataset.holdout.hidden)
    return {
        name: lost[name] for name in (dataset.vocabulary.names[label] for label in dataset.unseen)
    }


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
        table[kind] = {
            "classes": names,
            **_figures(truth, prediction, (classes, background, rest), rules),
        }
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
        wrong = np.bincount(guess[frames & (guess != label)])
        share = 100 * int(wrong.max(initial=0)) / max(int(frames.sum()), 1)
        rows[name] = {
            "level": level(new),
            "new": [list(factor) for factor in new],
            "frames": int(frames.sum()),
            "accuracy": _share(guess[frames] == label),
            "unseen_labels_only": None if forced is None else _share(forced[frames] == label),
            "called": {"name": scored.vocabulary.names[wrong.argmax()], "share": share}
            if wrong.size
            else None,
        }
    return rows


def _share(hits: NDArray[np.bool_]) -> float | None:
    return 100 * float(hits.mean()) if hits.size else None


def by_factor(
    vocabulary: Vocabulary, truth: Labels, prediction: Labels
) -> dict[str, dict[str, dict[str, float]]]:
    """By slot and factor: true frames, and the share of them (in percent) whose predicted class has the factor."""
    true, guess = np.concatenate(truth), np.concatenate(prediction)
    true, guess = true[true >= 0], guess[true >= 0]
    table: dict[str, dict[str, dict[str, float]]] = {}
    for slot in vocabulary.slots:
        factors, of_class = vocabulary.factor_indices(slot)
        hit = of_class[true] == of_class[guess]
        table[slot] = {
            factor: {"frames": int(judged.sum()), "accuracy": 100 * float(hit[judged].mean())}
            for factor, judged in (
                (name, of_class[true] == index) for index, name in enumerate(factors)
            )
            if judged.any()
        }
    return table
