"""How frequent a class is for a model that was trained on some: what the prior correction takes off its scores.

A class without training frames has no count of its own. What its factors' counts let expect stands in for it, or what
the model itself expects: its mean posterior on videos that it did not learn, which needs no labels (ZEROSHOT.md,
'prior correction').
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip.core import InputError, Vocabulary

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """What is known of the C classes of a vocabulary.

    Args:
        expected: (C,) log of the product of the factors' shares of training frames, from `factor_log_shares`.
        frames: (C,) training frames of each class, 0 where it was not learned.
        posterior: (C,) log of the mean posterior on held-out videos, where a rule asks for it.
    """

    expected: Floats
    frames: NDArray[np.int64]
    posterior: Floats | None = None

    def of_frames(self) -> Floats:
        """(C,) log share of the training frames; expected for a class without any, on the scale of the others."""
        learned = self.frames > 0
        own = np.log(np.maximum(self.frames, 1) / self.frames.sum())
        shift = (own - self.expected)[learned].mean()
        return np.where(learned, own, self.expected + shift)

    def of_posterior(self) -> Floats:
        """(C,) the mean posterior; without it a ValueError."""
        if self.posterior is None:
            raise ValueError("no mean posterior was given")
        return self.posterior


# Name in `decode.prior` -> (C,) log p(c), by what is known of the classes.
PRIORS: dict[str, Callable[[Known], Floats]] = {
    "factors": lambda known: known.expected,
    "frames": Known.of_frames,
    "posterior": Known.of_posterior,
    "frames+posterior": lambda known: (known.of_frames() + known.of_posterior()) / 2,
}

ASKS_MODEL = ("posterior", "frames+posterior")
"""Those that ask the model for its mean posterior on the validation videos."""


def factor_log_shares(vocabulary: Vocabulary, frames: Mapping[str, Mapping[str, int]]) -> Floats:
    """(C,) log of the product of each class's factors' shares of frames, from `factor_frames`.

    A factor without training frames gets the mean (of logs) share of those that have some.
    """
    total = np.zeros(len(vocabulary))
    for place, slot in enumerate(vocabulary.slots):
        counts = {factor: count for factor, count in frames[slot].items() if count}
        shares = {factor: math.log(count / sum(counts.values())) for factor, count in counts.items()}
        unknown = sum(shares.values()) / len(shares)
        total += [shares.get(entry[place] or "", unknown) for entry in vocabulary.factors]
    return total


def factor_frames(vocabulary: Vocabulary, frames: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """By slot the training frames of each factor, "" for frames of classes without one; from frames a class (C,)."""
    counts: dict[str, dict[str, int]] = {}
    for place, slot in enumerate(vocabulary.slots):
        own = counts[slot] = {}
        for entry, count in zip(vocabulary.factors, frames.tolist(), strict=True):
            factor = entry[place] or ""
            own[factor] = own.get(factor, 0) + count
    return counts


def log_mean_posterior(log_scores: Sequence[NDArray[np.floating]], smoothing: float = 1e-4) -> NDArray[np.float64]:
    """(C,) log of the mean class distribution over all frames of some videos; it needs no labels.

    Args:
        log_scores: (T, C) a video, before the softmax.
        smoothing: share of an even distribution in the mean, so that no class has probability 0.

    Raises:
        InputError: no video or no frame, a smoothing not in (0, 1].
    """
    if not sum(len(table) for table in log_scores):
        raise InputError("log_scores", "no frames", "at least one")
    if not 0 < smoothing <= 1:
        raise InputError("smoothing", f"{smoothing}", "a share in (0, 1]")
    posterior = torch.cat([torch.as_tensor(np.asarray(table, dtype=np.float64)) for table in log_scores]).softmax(-1)
    mean = posterior.mean(0)  # (C,)
    return ((1 - smoothing) * mean + smoothing / len(mean)).log().numpy()
