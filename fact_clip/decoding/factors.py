"""The factors of neighbouring frames as evidence for an action (docs/method.md, 'Decoding').

What is picked up now is put down next: actions near in time often share a word, in another combination. So the mean
probability of a word in the frames around is added to the score of each action that has it, seen or not.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import number_of
from fact_clip.decoding.fusion import Voters

FLOOR = 1e-3
"""Added to the share of a word before its log, so that a word that is nowhere near rules nothing out."""

_NONE = 1e-6  # of an action at all, near a frame


def with_factors(of: Voters, vocabulary: Vocabulary, weight: float, deviation: float) -> Voters:
    """The voters of one video (B = 1) with `weight` times the log share of each class's factors nearby.

    It moves probability between actions alone: that of all actions together, and of each background class, stays.

    Args:
        of: the voters.
        vocabulary: the C candidates.
        weight: 0 changes nothing.
        deviation: of the Gaussian over time that "nearby" means, in rows of the voters; more than 0.
    """
    number_of(weight, "weight", "0 to 1,000,000", 0, 1e6)
    number_of(deviation, "deviation", "rows, more than 0 and at most 1,000,000", math.ulp(0), 1e6)
    if len(of.frames) != 1 or of.frames.shape[-1] != len(vocabulary):
        raise InputError("voters", f"shape {tuple(of.frames.shape)}; expected (1, T, {len(vocabulary)})")
    actions = np.array([label for label in range(len(vocabulary)) if label not in vocabulary.background_indices])
    logs = of.frames[0].clamp(min=torch.finfo(of.frames.dtype).tiny).log()  # (T, C)
    evidence = factor_evidence(logs.exp().double().detach().cpu().numpy()[:, actions], vocabulary, actions, deviation)
    added = torch.from_numpy(weight * evidence).to(logs)  # (T, A)
    frames = _moved(logs, added, actions).exp().unsqueeze(0)
    tokens = None if of.tokens is None else _moved(of.tokens[0], added, actions).unsqueeze(0)
    return replace(of, frames=frames, tokens=tokens)


def _moved(logs: Tensor, added: Tensor, actions: NDArray[np.int64]) -> Tensor:
    """Log scores (T, C) with what is added to actions (T, A), scaled so that the sum over actions stays."""
    places = torch.from_numpy(actions).to(logs.device)
    own = logs[:, places]
    moved = own + added
    moved = moved - moved.logsumexp(-1, keepdim=True) + own.logsumexp(-1, keepdim=True)
    return logs.index_copy(1, places, moved)


def factor_evidence(
    shares: NDArray[np.float64], vocabulary: Vocabulary, actions: NDArray[np.int64], deviation: float
) -> NDArray[np.float64]:
    """(T, A) sum over slots of the log share of an action's factor in the frames around.

    The share of a factor is the mean probability of the actions that have it, divided by that of all actions. An action
    without a factor in a slot gets the mean (of logs) of the slot, so that having none is no evidence.

    Args:
        shares: (T, A) probabilities of the actions; the rest of each row is background.
        vocabulary: the classes.
        actions: (A,) their indices.
        deviation: see `with_factors`.
    """
    near = gaussian_filter1d(shares, deviation, axis=0, mode="nearest")  # (T, A)
    whole = near.sum(1, keepdims=True) + _NONE
    total = np.zeros_like(shares)
    for slot in vocabulary.slots:
        known, of_class = vocabulary.factor_indices(slot)
        index = of_class[actions]
        has = (index[:, None] == np.arange(len(known))).astype(np.float64)  # (A, K)
        has = has[:, has.any(0)]
        if not has.size:
            continue
        logs = np.log(near @ has / whole + FLOOR)  # (T, K)
        own = has.argmax(1)
        total += np.where(index >= 0, logs[:, own], logs.mean(1, keepdims=True))
    return total
