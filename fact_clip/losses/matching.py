"""Matching of action tokens to true segments (FACT section 3.4; docs/method.md, 'Matching')."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fact_clip.core import Integers, Reals
from fact_clip.losses.truth import Truth


def matching_cost(
    token_probs: Tensor,
    attention: Tensor | None,
    truth: Truth,
    class_cost: float,
    overlap_cost: float,
) -> Tensor:
    """Compute the cost -(class_cost * p_m(class of s) + overlap_cost * IoU[m, s]).

    Unlabelled frames are not used.

    Args:
        token_probs: Class probabilities, (B, M, C+1).
        attention: Attention weights of frames on tokens (B, T, M), or None without update blocks.
        truth: True segments.
        class_cost: Weight of the class probability.
        overlap_cost: Weight of the overlap.

    Returns:
        The costs (B, M, S), meaningless at padding.
    """
    n_videos, n_tokens = token_probs.shape[:2]
    n_segments = truth.classes.shape[1]
    classes = truth.classes.clamp(min=0).unsqueeze(1).expand(-1, n_tokens, -1)
    cost = -class_cost * token_probs.gather(2, classes)  # (B, M, S)
    if attention is not None:
        index = truth.segment.unsqueeze(-1).expand_as(attention)  # (B, T, M)
        overlap = attention.new_zeros(n_videos, n_segments + 1, n_tokens)
        overlap = overlap.scatter_add_(1, index, attention)[:, :-1]
        overlap = overlap.transpose(1, 2)  # (B, M, S)
        frames = segment_lengths(truth).to(overlap.dtype)  # (B, S)
        union = overlap.sum(2, keepdim=True) + frames.unsqueeze(1) - overlap
        cost = cost - overlap_cost * overlap / union.clamp(min=1e-12)
    return cost.float()


def segment_lengths(truth: Truth) -> Tensor:
    """Return the number of frames of each true segment, (B, S), 0 at padding."""
    n_videos, n_segments = truth.classes.shape
    lengths = truth.segment.new_zeros(n_videos, n_segments + 1)
    ones = torch.ones_like(truth.segment)
    return lengths.scatter_add_(1, truth.segment, ones)[:, :-1]


def one_to_one(cost: Reals, classes: Integers) -> Integers:
    """Assign tokens to segments at the lowest cost (``o2o``). Others stay unmatched."""
    token = np.full(len(classes), -1)
    tokens, segments = linear_sum_assignment(cost)
    token[segments] = tokens
    return token


def one_to_many(cost: Reals, classes: Integers) -> Integers:
    """Assign tokens to classes, then each segment to the cheapest token of its class (``o2m``)."""
    present = np.unique(classes)
    class_costs = [cost[:, classes == label].sum(1) for label in present]
    by_class = np.stack(class_costs, axis=1)  # (M, K)
    owner = by_class.argmin(1)  # class of each token
    tokens, columns = linear_sum_assignment(by_class)
    owner[tokens] = columns
    token = np.full(len(classes), -1)
    for segment, label in enumerate(classes):
        owned = np.flatnonzero(present[owner] == label)
        if owned.size:
            token[segment] = owned[cost[owned, segment].argmin()]
    return token


def sequential(cost: Reals, classes: Integers) -> Integers:
    """Match token i to segment i (``seq``)."""
    token = np.arange(len(classes))
    token[len(cost) :] = -1
    return token


MATCHERS = {"o2o": one_to_one, "o2m": one_to_many, "seq": sequential}
"""Functions from costs (M, S) and classes (S,) to each segment's token (S,), -1 for none."""


def match_videos(kind: str, cost: Tensor, truth: Truth, tokens: list[int]) -> Integers:
    """Return the token that each segment is matched to, (B, S), -1 for unmatched segments.

    Args:
        kind: Matcher, a key of `MATCHERS`.
        cost: Costs, (B, M, S).
        truth: True segments.
        tokens: Number of tokens of each video.

    Raises:
        FloatingPointError: A cost is not finite.
    """
    matched = np.full((len(cost), cost.shape[2]), -1)
    videos = zip(matched, cost.cpu().numpy(), tokens, truth.transcripts, strict=True)
    for row, video_cost, count, classes in videos:
        real_cost = video_cost[:count, : len(classes)]
        if not np.isfinite(real_cost).all():
            raise FloatingPointError("scores that are not finite")
        if real_cost.size:
            row[: len(classes)] = MATCHERS[kind](real_cost, classes)
    return matched
