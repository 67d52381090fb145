"""Corrections for scores that were trained on seen classes alone (docs/protocol.md, 'Calibration').

Calibrated stacking subtracts gamma from the scores of seen classes: Chao et al., "An Empirical Study and Analysis of
Generalized Zero-Shot Learning" (ECCV 2016). The prior correction subtracts a share of log p(c): Menon et al.,
"Long-tail Learning via Logit Adjustment" (ICLR 2021). This file says how frequent a class is (`log_prior`), holds
what a run subtracts (`Calibration`), and chooses gamma on a curve of S and U.
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
from numpy.typing import NDArray
from pydantic import Field

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.io import read_value
from fact_clip.core.messages import listed
from fact_clip.metrics import SeenUnseenCurve

Floats = NDArray[np.float64]


def factor_frames(vocabulary: Vocabulary, frames: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Return by slot the training frames of each factor, "" for classes without one, from frames per class (C,)."""
    counts: dict[str, dict[str, int]] = {slot: {} for slot in vocabulary.slots}
    for entry, count in zip(vocabulary.factors, frames.tolist(), strict=True):
        for slot, factor in zip(vocabulary.slots, entry, strict=True):
            counts[slot][factor or ""] = counts[slot].get(factor or "", 0) + count
    return counts


def factor_log_shares(vocabulary: Vocabulary, frames: Mapping[str, Mapping[str, int]]) -> Floats:
    """Return (C,) log of the product of the shares of frames of a class's factors; a new one has the mean of logs."""
    total = np.zeros(len(vocabulary))
    for position, slot in enumerate(vocabulary.slots):
        counts = {factor: count for factor, count in frames[slot].items() if count}
        shares = {factor: math.log(count / sum(counts.values())) for factor, count in counts.items()}
        unknown = sum(shares.values()) / len(shares)
        total += [shares.get(entry[position] or "", unknown) for entry in vocabulary.factors]
    return total


def log_mean_posterior(log_scores: Sequence[NDArray[np.floating]], smoothing: float = 1e-4) -> Floats:
    """Return (C,) log of the mean class distribution over all frames of some videos, (T, C) log scores each.

    `smoothing` is the share, in (0, 1], of an even distribution in the mean, so that no class has probability 0.
    """
    posterior = torch.cat([torch.from_numpy(table.astype(np.float64)) for table in log_scores]).softmax(-1)
    mean = posterior.mean(0)  # (C,)
    return ((1 - smoothing) * mean + smoothing / len(mean)).log().numpy()


ASKS_MODEL = ("posterior", "frames+posterior")  # rules that need the mean posterior on the validation videos


def log_prior(rule: str, expected: Floats, frames: NDArray[np.int64], posterior: Floats | None = None) -> Floats:
    """Return (C,) log p(c) by a rule, the name in ``decode.prior``.

    Args:
        rule: "factors", "frames", "posterior", or "frames+posterior", the mean of both.
        expected: (C,) of `factor_log_shares`.
        frames: (C,) training frames. A class that was not learned has 0 and gets `expected`, on the same scale.
        posterior: (C,) of `log_mean_posterior` on validation videos, for the rules in `ASKS_MODEL`.
    """
    if rule == "factors":
        return expected
    learned = frames > 0
    shares = np.log(np.maximum(frames, 1) / frames.sum())
    of_frames = np.where(learned, shares, expected + (shares - expected)[learned].mean())
    if rule == "frames":
        return of_frames
    assert posterior is not None
    return posterior if rule == "posterior" else (of_frames + posterior) / 2


_Nats = Annotated[float, Field(ge=-1e9, le=1e9)]


@dataclass(frozen=True)
class Calibration:
    """What a run with classes held out subtracts from its scores, for any candidates."""

    # names of the classes that training may see, background among them
    seen: Annotated[tuple[str, ...], Field(min_length=1)]
    # for each slot the training frames of each factor; "" counts the frames without one
    frames: Mapping[str, Mapping[str, Annotated[int, Field(ge=0)]]]
    prior_weight: Annotated[float, Field(ge=0, le=1e6)] = 0.0  # share of log p(c) that is subtracted
    gamma: _Nats = 0.0  # what is subtracted from the scores of seen classes, in nats
    # name -> `log_prior`; names that it lacks get the product of their factors' shares
    prior: Mapping[str, _Nats] = field(default_factory=dict)
    shift: _Nats = 0.0  # added to that product where `prior` is given

    def __post_init__(self) -> None:
        if not all(any(counts.values()) for counts in self.frames.values()):
            raise InputError("frames", "a slot without training frames")

    @classmethod
    def read(cls, path: Path, vocabulary: Vocabulary) -> Calibration | None:
        """Read the calibration of a vocabulary from a JSON file; None if there is no file."""
        if not os.path.lexists(path):
            return None
        calibration = read_value(cls, path, "train the run anew")
        if tuple(calibration.frames) != vocabulary.slots:
            problem = f"frames of the slots {listed(calibration.frames)}, not of {listed(vocabulary.slots)}"
            raise InputError(path, problem, "train the run anew")
        unknown = {*calibration.seen, *calibration.prior} - {*vocabulary.names}
        if unknown:
            raise InputError(path, f"{min(unknown)!r} is not in vocabulary.json", "train the run anew")
        return calibration

    def log_prior(self, vocabulary: Vocabulary) -> Floats:
        """Return (C,) log p(c)."""
        expected = factor_log_shares(vocabulary, self.frames) + self.shift
        return np.array([self.prior.get(name, value) for name, value in zip(vocabulary.names, expected, strict=True)])

    def offset(self, vocabulary: Vocabulary) -> Floats:
        """Return (C,) what is added to the log scores of these candidates."""
        seen = np.array([name in self.seen for name in vocabulary.names])
        return -self.gamma * seen - self.prior_weight * self.log_prior(vocabulary)


def choose_gamma_by_cost(curve: SeenUnseenCurve, cost: float = 0.15) -> float:
    """Return the largest gamma that costs at most a share `cost` of S(0); needs no frame of an unseen class."""
    at_zero = curve.seen[curve.start]
    if at_zero == 0:
        return 0.0
    within = curve.seen >= (1 - cost) * at_zero - 1e-9  # sums of shares are rounded
    return float(curve.gamma[within].max())


def choose_gamma_by_harmonic_mean(curve: SeenUnseenCurve) -> float:
    """Return the gamma with the highest H on held-out training videos; of equally good ones that nearest to 0."""
    means = curve.harmonic_mean
    best = curve.gamma[means >= means.max() - 1e-9]
    return float(best[np.abs(best).argmin()])
