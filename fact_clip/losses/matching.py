"""Which action token stands for which true segment (FACT section 3.4; docs/method.md, 'Matching')."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fact_clip.core import runs

Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class TrueSegments:
    """The true segments of one video; runs of ignored frames (-1) are not segments."""

    classes: Tensor  # (S,) the class of each segment: the transcript
    onehot: Tensor  # (T, S) float, one where a frame lies in a segment
    known: Tensor  # (T,) true at frames with a label

    @classmethod
    def of(cls, labels: Tensor) -> TrueSegments:
        """From the frame labels (T,) of one video."""
        found = [(start, stop, label) for start, stop, label in runs(labels.cpu().numpy()) if label >= 0]
        onehot = torch.zeros(len(labels), len(found))
        for index, (start, stop, _) in enumerate(found):
            onehot[start:stop, index] = 1
        classes = torch.tensor([label for _, _, label in found], dtype=torch.long)
        return cls(classes.to(labels.device), onehot.to(labels.device), labels >= 0)


@torch.no_grad()
def matching_cost(
    token_probs: Tensor, attention: Tensor | None, truth: TrueSegments, class_cost: float, overlap_cost: float
) -> np.ndarray:
    """Cost (M, S) = -(class_cost * p_m(class of s) + overlap_cost * IoU[m, s]).

    Args:
        token_probs: (M, C+1) class probabilities of the tokens.
        attention: (T, M) weights of frames on tokens, or None for a model without update blocks.
        truth: the video's segments; frames without a label take no part.
        class_cost: weight of the class probability.
        overlap_cost: weight of the overlap of attention and segment.
    """
    cost = -class_cost * token_probs[:, truth.classes]  # (M, S)
    if attention is not None:
        attention, target = attention[truth.known], truth.onehot[truth.known]  # (T', M), (T', S)
        overlap = attention.T @ target  # (M, S)
        union = attention.sum(0).unsqueeze(1) + target.sum(0) - overlap
        cost = cost - overlap_cost * overlap / union
    return cost.float().cpu().numpy()


def one_to_one(cost: np.ndarray, classes: np.ndarray) -> Pairs:
    """``o2o``: the cheapest assignment of tokens to segments; the rest on either side stays unmatched."""
    return list(zip(*(side.tolist() for side in linear_sum_assignment(cost)), strict=True))


def one_to_many(cost: np.ndarray, classes: np.ndarray) -> Pairs:
    """``o2m``: tokens are assigned to classes, then each segment takes the cheapest token of its class."""
    present = np.unique(classes)
    by_class = np.stack([cost[:, classes == label].sum(1) for label in present], axis=1)  # (M, K)
    owner = by_class.argmin(1)  # the class of each token
    tokens, columns = linear_sum_assignment(by_class)
    owner[tokens] = columns
    pairs = []
    for segment, label in enumerate(classes):
        own = np.flatnonzero(present[owner] == label)
        if own.size:
            pairs.append((int(own[cost[own, segment].argmin()]), segment))
    return pairs


def sequential(cost: np.ndarray, classes: np.ndarray) -> Pairs:
    """``seq``: token i stands for segment i."""
    return [(index, index) for index in range(min(cost.shape))]


MATCHERS = {"o2o": one_to_one, "o2m": one_to_many, "seq": sequential}


def match(kind: str, cost: np.ndarray, classes: Tensor) -> Pairs:
    """(token, segment) pairs by the matcher ``kind``; none where a video has no segment."""
    return MATCHERS[kind](cost, classes.cpu().numpy()) if cost.size else []
