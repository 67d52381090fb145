"""Corrections of class scores, for runs with held-out classes; `scores.py` applies them.

`Calibration` holds them and reads them from a file. The functions below it compute log p(c) and
gamma, for `evaluation/calibration.py`, which learns both from validation videos.

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
"""For each slot, the training frames of each factor; "" counts the frames without a factor."""

# Bounds of the values of a file, so that a damaged one is rejected.
_Nats = Annotated[float, Field(ge=-1e9, le=1e9)]
_Weight = Annotated[float, Field(ge=0, le=1e6)]
_Counts = Mapping[str, Annotated[int, Field(ge=0)]]

_TRAIN_AGAIN = "train the run again"


@dataclass(frozen=True)
class Calibration:
    """Score corrections of a run with held-out classes, for any candidates.

    Attributes:
        seen: names of the classes that are not held out and have training frames, and background.
        frames: training frames by slot and factor, see `FactorFrames`.
        prior_weight: share of log p(c) that is subtracted from the scores.
        gamma: subtracted from the scores of seen classes, in nats.
        prior: log p(c) by name; 0 for background, which is not corrected. A name that is missing
            here gets the log of the product of the shares of its factors (`factor_log_shares`).
        shift: added to the log of that product; 0 without `prior`.
    """

    seen: Annotated[Names, Field(min_length=1)]
    frames: Mapping[str, _Counts]
    prior_weight: _Weight = 0.0
    gamma: _Nats = 0.0
    prior: Mapping[str, _Nats] = field(default_factory=dict)
    shift: _Nats = 0.0

    def __post_init__(self) -> None:
        if not all(any(counts.values()) for counts in self.frames.values()):
            raise InputError("frames", "a slot without training frames")  # shares divide by them

    @classmethod
    def read(cls, path: Path, vocabulary: Vocabulary) -> Calibration | None:
        """Read the calibration of a vocabulary from a JSON file; return None if there is no file.

        Raises:
            InputError: the file is damaged, or belongs to another vocabulary.
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
        vocabulary: the C classes, with their factors.
        frames: training frames by slot and factor. Each slot has some.

    Returns:
        (C,) log of the product of the shares of a class's factors. An untrained factor has the mean
        of the logs of its slot.
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
    """Count the training frames of each factor, by slot, from those of each class, (C,)."""
    counts: dict[str, dict[str, int]] = {slot: {} for slot in vocabulary.slots}
    for factors, count in zip(vocabulary.factors, class_frames.tolist(), strict=True):
        for slot, factor in zip(vocabulary.slots, factors, strict=True):
            name = factor or ""
            counts[slot][name] = counts[slot].get(name, 0) + count
    return counts


def estimated_log_prior(expected: Floats, class_frames: Integers, posterior: Floats) -> Floats:
    """Compute log p(c) as the mean of training frequency and mean posterior, both as logarithms.

    Args:
        expected: (C,) result of `factor_log_shares`. A class without training frames has no
            training frequency; it gets this value, shifted to the scale of the other classes.
        class_frames: (C,) training frames of each class.
        posterior: (C,) result of `log_mean_posterior` on validation videos.

    Returns:
        (C,) log probabilities.
    """
    is_trained = class_frames > 0
    # The maximum keeps the log finite. It is used for no class that was not trained.
    log_shares = np.log(np.maximum(class_frames, 1) / class_frames.sum())
    difference = (log_shares - expected)[is_trained].mean()
    log_frequency = np.where(is_trained, log_shares, expected + difference)  # (C,)
    return (log_frequency + posterior) / 2


def log_mean_posterior(log_scores: Sequence[Reals], smoothing: float = 1e-4) -> Floats:
    """Compute the log of the mean class distribution over all frames of some videos.

    Args:
        log_scores: (T, C) log scores of each video.
        smoothing: share of a uniform distribution in the mean, in (0, 1], so that no class has
            probability 0.

    Returns:
        (C,) log probabilities.
    """
    tables = [torch.from_numpy(table.astype(np.float64)) for table in log_scores]
    mean = torch.cat(tables).softmax(-1).mean(0)  # (C,)
    smoothed = (1 - smoothing) * mean + smoothing / len(mean)
    return smoothed.log().numpy()


def choose_gamma_by_cost(curve: SeenUnseenCurve, cost: float = 0.15) -> float:
    """Return the largest gamma that costs at most a share of the accuracy of seen classes.

    The accuracy of unseen classes is not read, so no frame of one is needed.

    Args:
        curve: accuracies of seen and unseen classes over gamma.
        cost: share of S, the accuracy of seen classes, at gamma 0 that may be lost, 0 to 1.
    """
    at_zero = curve.seen[curve.start]  # `start` is the index of gamma 0
    if at_zero == 0:
        return 0.0  # nothing can be lost, so the rule would choose the largest gamma of all
    # Sums of shares are rounded, hence the tolerance.
    is_within = curve.seen >= (1 - cost) * at_zero - 1e-9
    return float(curve.gamma[is_within].max())
