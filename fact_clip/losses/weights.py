"""What a class weighs in the loss, and what the loss adds to its scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from fact_clip.config import LossConfig
from fact_clip.losses.matching import TrueSegments


def class_weights(
    config: LossConfig, count: int, background: Collection[int], frames: Sequence[int] | None = None
) -> Tensor:
    """(C,) ``background_weight`` for background; 1 for actions, or their balance by ``frames`` a class (C,)."""
    weights = torch.ones(count)
    if config.balance:
        if frames is None:
            raise ValueError("loss.balance is above 0, which needs the training frames of each class")
        actions = torch.tensor([0 if label in background else frames[label] for label in range(count)])
        weights = balanced_weights(actions, config.balance)
    weights[list(background)] = config.background_weight
    return weights


def balanced_weights(frames: Tensor, exponent: float) -> Tensor:
    """(C,) n^-exponent a class of n frames, scaled so that the mean over all frames is 1; 1 where there are none."""
    counts = frames.double()
    weights = torch.where(counts > 0, counts.clamp(min=1) ** -exponent, 0.0)
    scale = counts.sum() / (weights * counts).sum().clamp(min=1e-12)
    return torch.where(counts > 0, weights * scale, 1.0).float()


def frame_weights(truth: TrueSegments, background: Collection[int], exponent: float) -> Tensor:
    """(T,) n^-exponent for a frame of an action segment of n frames, their mean 1; 1 for background and unlabelled.

    Edit and F1 count segments, a loss over frames counts seconds: without this short actions are given up.
    """
    weights = torch.ones(len(truth.known), device=truth.known.device)
    actions = [label not in background for label in truth.classes.tolist()] if exponent else []
    if not any(actions):
        return weights
    of_action = truth.onehot[:, actions]  # (T, S')
    frames = of_action.sum(1) > 0
    powers = (of_action @ of_action.sum(0))[frames] ** -exponent
    weights[frames] = powers / powers.mean()
    return weights


def score_adjustment(config: LossConfig, count: int, log_prior: Sequence[float] | None = None) -> Tensor:
    """(C+1,) what training adds to the scores and the decoder does not, so that rare classes are not given up.

    ``prior`` times log p(c), (C,); null is no class and keeps its scores. Logit adjustment: Menon et al., ICLR 2021.
    """
    adjustment = torch.zeros(count + 1)
    if config.prior:
        if log_prior is None:
            raise ValueError("loss.prior is above 0, which needs log p(class)")
        adjustment[:-1] = config.prior * torch.tensor(log_prior)
    return adjustment
