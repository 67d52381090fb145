"""Which action token stands for which true segment (FACT section 3.4; docs/method.md, 'Matching')."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fact_clip.losses.truth import Truth

Pairs = list[tuple[int, int]]


def matching_cost(
    token_probs: Tensor,
    attention: Tensor | None,
    truth: Truth,
    class_cost: float,
    overlap_cost: float,
) -> Tensor:
    """Cost (B, M, S) = -(class_cost * p_m(class of s) + overlap_cost * IoU[m, s]); meaningless at padding.

    `token_probs` (B, M, C+1) are class probabilities, `attention` (B, T, M) weights of frames on tokens, or None for a
    model without update blocks. Frames without a label take no part.
    """
    (videos, tokens), segments = token_probs.shape[:2], truth.classes.shape[1]
    classes = truth.classes.clamp(min=0).unsqueeze(1).expand(-1, tokens, -1)
    cost = -class_cost * token_probs.gather(2, classes)  # (B, M, S)
    if attention is not None:
        index = truth.segment.unsqueeze(-1).expand_as(attention)  # (B, T, M)
        overlap = attention.new_zeros(videos, segments + 1, tokens).scatter_add_(
            1, index, attention
        )[:, :-1]
        overlap = overlap.transpose(1, 2)  # (B, M, S)
        frames = segment_lengths(truth).to(overlap.dtype)  # (B, S)
        union = overlap.sum(2, keepdim=True) + frames.unsqueeze(1) - overlap
        cost = cost - overlap_cost * overlap / union.clamp(min=1e-12)
    return cost.float()


def segment_lengths(truth: Truth) -> Tensor:
    """(B, S) frames of each true segment, 0 at padding."""
    videos, segments = truth.classes.shape
    lengths = truth.segment.new_zeros(videos, segments + 1)
    return lengths.scatter_add_(1, truth.segment, torch.ones_like(truth.segment))[:, :-1]


def one_to_one(cost: NDArray[np.floating], classes: NDArray[np.int64]) -> Pairs:
    """``o2o``: the cheapest assignment of tokens to segments; the rest on either side stays unmatched."""
    return list(zip(*(side.tolist() for side in linear_sum_assignment(cost)), strict=True))


def one_to_many(cost: NDArray[np.floating], classes: NDArray[np.int64]) -> Pairs:
    """``o2m``: tokens are assigned to classes, then each segment takes the cheapest token of its class."""
    present = np.unique(classes)
    by_class = np.stack([cost[:, classes == label].sum(1) for label in present], axis=1)  # (M, K)
    owner = by_class.argmin(1)  # the class of each token
    tokens, columns = linear_sum_assignment(by_class)
    owner[tokens] = columns
    pairs = []
    for segment, label in enumerate(classes):
        owned = np.flatnonzero(present[owner] == label)
        if owned.size:
            pairs.append((int(owned[cost[owned, segment].argmin()]), segment))
    return pairs


def sequential(cost: NDArray[np.floating], classes: NDArray[np.int64]) -> Pairs:
    """``seq``: token i stands for segment i."""
    return [(index, index) for index in range(min(cost.shape))]


MATCHERS = {"o2o": one_to_one, "o2m": one_to_many, "seq": sequential}


def match_videos(kind: str, cost: Tensor, truth: Truth, tokens: list[int]) -> tuple[Pairs, ...]:
    """(token, segment) pairs of each video from costs (B, M, S) and its token count; a FloatingPointError for NaN."""
    pairs = []
    for video_cost, count, classes in zip(
        cost.cpu().numpy(), tokens, truth.transcripts, strict=True
    ):
        video_cost = video_cost[:count, : len(classes)]
        if not np.isfinite(video_cost).all():
            raise FloatingPointError("scores that are not finite")
        pairs.append(MATCHERS[kind](video_cost, classes) if video_cost.size else [])
    return tuple(pairs)


def token_of_segment(pairs: tuple[Pairs, ...], segments: int, device: torch.device) -> Tensor:
    """(B, S) the token that each segment is matched to, -1 where there is none."""
    token = np.full((len(pairs), segments), -1)
    for row, video_pairs in zip(token, pairs, strict=True):
        for matched, segment in video_pairs:
            row[segment] = matched
    return torch.from_numpy(token).to(device, non_blocking=True)
