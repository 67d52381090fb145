"""Corrections of class scores for runs with held-out classes. `scores.py` applies them.

`Calibration` stores the corrections and reads them from a file. The functions below it compute
log p(c) and gamma for `evaluation/calibration.py`, which learns both on validation videos.

Calibrated stacking subtracts gamma from the scores of seen classes: Chao et al., "An Empirical
Study and Analysis of Generalized Zero-Shot Learning" (ECCV 2016). The prior correction subtracts a
share of log p(c): Menon et al., "Long-tail Learning via Logit Adjustment" (ICLR 2021). See
docs/protocol.md, 'Calibration'.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from fact_clip.core import Flags, Floats, InputError, Integers, Names, Reals, Vocabulary
from fact_clip.core.io import read_value
from fact_clip.core.messages import join_names
from fact_clip.metrics import SeenUnseenCurve

FactorFrames = Mapping[str, Mapping[str, int]]
"""Number of training frames by slot and factor. "" counts the frames without a factor."""

# Bounds of the values in a file. A file with values outside is rejected as damaged.
_Nats = Annotated[float, Field(ge=-1e9, le=1e9)]
_Weight = Annotated[float, Field(ge=0, le=1e6)]
_Counts = Mapping[str, Annotated[int, Field(ge=0)]]

_TRAIN_AGAIN = "train the run again"


@dataclass(frozen=True)
class Calibration:
    """Score corrections of a run with held-out classes, for any candidates.

    Attributes:
        seen: Names of the background and of the classes that have training frames and are not held
            out.
        frames: Number of training frames by slot and factor (see `FactorFrames`).
        prior_weight: Share of log p(c) that is subtracted from the scores.
        gamma: Number that is subtracted from the log-scores of seen classes, in nats.
        prior: Logarithm log p(c) by name, and 0 for background, which is not corrected. A name that
            is not listed gets the log of the product of its factors' shares (`factor_log_shares`).
        shift: Number that is added to the log of that product. It is 0 without `prior`.
    """

    seen: Annotated[Names, Field(min_length=1)]
    frames: Mapping[str, _Counts]
    prior_weight: _Weight = 0.0
    gamma: _Nats = 0.0
    prior: Mapping[str, _Nats] = field(default_factory=dict)
    shift: _Nats = 0.0

    def __post_init__(self) -> None:
        if not all(any(counts.values()) for counts in self.frames.values()):
            raise InputError(
                "frames", "a slot without training frames"
            )  # its shares would be divided by 0

    @classmethod
    def read(cls, path: Path, vocabulary: Vocabulary) -> Calibration | None:
        """Read the calibration of a vocabulary from a JSON file, or return None if there is no
        file.

        Raises:
            InputError: The file is damaged, or belongs to a different vocabulary.
        """
        if not os.path.lexists(path):
            return None
        calibration = read_value(cls, path, _TRAIN_AGAIN)
        if tuple(calibration.frames) != vocabulary.slots:
            slots = join_names(calibration.frames)
            problem = f"frames of the slots {slots}, not of {join_names(vocabulary.slots)}"
            raise InputError(path, problem, _TRAIN_AGAIN)
        unknown = {*calibration.seen, *calibration.prior} - {*vocabulary.names}
        if unknown:
            raise InputError(path, f"{min(unknown)!r} is not in vocabulary.json", _TRAIN_AGAIN)
        return calibration

    def log_prior(self, vocabulary: Vocabulary) -> Floats:
        """Return log p(c) of each class, (C,)."""
        expected = factor_log_shares(vocabulary, self.frames) + self.shift
        pairs = zip(vocabulary.names, expected, strict=True)
        return np.array([self.prior.get(name, value) for name, value in pairs])

    def is_seen(self, vocabulary: Vocabulary) -> Flags:
        """Return whether each class is seen, (C,)."""
        return np.array([name in self.seen for name in vocabulary.names])


def factor_log_shares(vocabulary: Vocabulary, frames: FactorFrames) -> Floats:
    """Compute the log probability of each class from the training frames of its factors.

    Args:
        vocabulary: The C classes, with their factors.
        frames: Number of training frames by slot and factor. Each slot has some frames.

    Returns:
        Log of the product of the shares of the factors of each class, (C,). A factor without
        training frames counts as the mean log share of its slot.
    """
    total = np.zeros(len(vocabulary))
    for position, slot in enumerate(vocabulary.slots):
        counts = {factor: count for factor, count in frames[slot].items() if count}
        n_frames = sum(counts.values())
        log_shares = {factor: math.log(count / n_frames) for factor, count in counts.items()}
        untrained = sum(log_shares.values()) / len(log_shares)
        names = [factors[position] or "" for factors in vocabulary.factors]
        total += [log_shares.get(name, untrained) for name in names]
    return total


def factor_frames(vocabulary: Vocabulary, class_frames: Integers) -> dict[str, dict[str, int]]:
    """Count the training frames of each factor by slot, from the frames of each class, (C,)."""
    counts: dict[str, dict[str, int]] = {slot: {} for slot in vocabulary.slots}
    for factors, count in zip(vocabulary.factors, class_frames.tolist(), strict=True):
        for slot, factor in zip(vocabulary.slots, factors, strict=True):
            name = factor or ""
            counts[slot][name] = counts[slot].get(name, 0) + count
    return counts


def estimated_log_prior(expected: Floats, class_frames: Integers, posterior: Floats) -> Floats:
    """Compute log p(c) as the mean of the log training frequency and the log mean posterior.

    Args:
        expected: Result of `factor_log_shares`, (C,). A class without training frames has no
            training frequency, so this value, shifted to the scale of the trained classes, replaces
            it.
        class_frames: Number of training frames of each class, (C,).
        posterior: Result of `log_mean_posterior` on validation videos, (C,).

    Returns:
        Log-probabilities (C,).
    """
    is_trained = class_frames > 0
    # The maximum keeps the log finite. Classes without training frames do not use this value.
    log_shares = np.log(np.maximum(class_frames, 1) / class_frames.sum())
    difference = (log_shares - expected)[is_trained].mean()
    log_frequency = np.where(is_trained, log_shares, expected + difference)  # (C,)
    return (log_frequency + posterior) / 2


def log_mean_posterior(log_scores: Sequence[Reals], smoothing: float = 1e-4) -> Floats:
    """Compute the log of the mean class distribution over all frames of some videos.

    Args:
        log_scores: Log-scores of each video, (T, C).
        smoothing: Share of a uniform distribution in the mean, in (0, 1], so that no class has
            probability 0.

    Returns:
        Log-probabilities (C,).
    """
    tables = [torch.from_numpy(table.astype(np.float64)) for table in log_scores]
    mean = torch.cat(tables).softmax(-1).mean(0)  # (C,)
    smoothed = (1 - smoothing) * mean + smoothing / len(mean)
    return smoothed.log().numpy()


def choose_gamma_by_cost(curve: SeenUnseenCurve, cost: float = 0.15) -> float:
    """Return the largest gamma that costs at most a given share of the accuracy of seen classes.

    The accuracy of unseen classes is not read, so no frames of unseen classes are needed.

    Args:
        curve: Accuracies of seen and unseen classes over gamma.
        cost: Share of S, the accuracy of seen classes at gamma 0, that may be lost, 0 to 1.
    """
    at_zero = curve.seen[curve.start]  # `start` is the index of gamma 0
    if at_zero == 0:
        return 0.0  # nothing can be lost, so the rule would choose the largest gamma
    # The tolerance allows for rounding of the sums of shares.
    is_within = curve.seen >= (1 - cost) * at_zero - 1e-9
    return float(curve.gamma[is_within].max())
