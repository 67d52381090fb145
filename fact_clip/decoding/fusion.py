"""Fusion of the frame voter and the token voter (FACT section 3.5; FACT.md, 'Decoding')."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.config import DecodeConfig
from fact_clip.decoding.transport import decode_transport
from fact_clip.models.output import Output

Method = Callable[[NDArray[np.floating], DecodeConfig], NDArray[np.int64]]


def _switching(log_scores: NDArray[np.floating], config: DecodeConfig) -> NDArray[np.int64]:
    return decode_switching(log_scores, config.switch_penalty)


def _transport(log_scores: NDArray[np.floating], config: DecodeConfig) -> NDArray[np.int64]:
    # A class that is ruled out has no part in the plan, whose classes are drawn to equal shares.
    candidates = np.flatnonzero(np.isfinite(log_scores).any(axis=0))
    return candidates[decode_transport(np.exp(log_scores[:, candidates]))]


METHODS: dict[str, Method] = {"switching": _switching, "transport": _transport}
"""Name -> (log scores (T, C), -inf where a class is no candidate; configuration) to class indices (T,)."""


Scores = NDArray[np.floating]


def decode_switching(scores: Scores, penalty: float) -> NDArray[np.int64]:
    """The labelling y of T frames that maximises sum_t scores[t, y_t] - penalty * (number of changes in y).

    Args:
        scores: (T, C), log-probabilities; -inf rules a class out.
        penalty: price of a change, in the unit of the scores (nats); 0 is the argmax of each frame.

    Returns:
        (T,) class indices. Time O(T * C), memory O(T * C) bytes.
    """
    n_frames, n_classes = scores.shape
    stayed = np.ones((n_frames, n_classes), dtype=bool)
    source = np.zeros(n_frames, dtype=np.int64)
    total = scores[0].astype(np.float64)
    for frame in range(1, n_frames):
        source[frame] = total.argmax()
        switched = total[source[frame]] - penalty
        stayed[frame] = total >= switched
        total = np.maximum(total, switched) + scores[frame]
    labels = np.empty(n_frames, dtype=np.int64)
    labels[-1] = total.argmax()
    for frame in range(n_frames - 1, 0, -1):
        label = labels[frame]
        labels[frame - 1] = label if stayed[frame, label] else source[frame]
    return labels


def frame_scores(
    output: Output, frame_weight: float | None = None, blocks: str = "last", offset: Tensor | None = None
) -> Tensor:
    """(B, T, C) class scores of each frame, (1 - w) * token voter + w * frame voter; larger is likelier.

    Each frame's token voter is the class distribution (null left out) of the kept token that it attends to
    most; tokens whose best class is null are not kept. Where no token is kept the frame voter decides alone.

    Args:
        output: the model's output.
        frame_weight: w; None: the model's own.
        blocks: the frame voter is the "last" block, or the geometric mean of "all" blocks.
        offset: (C,) added to the log scores of both voters before the softmax: calibration, prior correction, and -inf
            for a class that is no candidate. With a transcript it is not used.
    """
    weight = output.frame_weight if frame_weight is None else frame_weight
    last = output.blocks[-1]
    frames = _frame_voter(output, blocks)  # (B, T, C)
    if offset is not None and output.transcript is None:
        frames = (frames.clamp(min=torch.finfo(frames.dtype).tiny).log() + offset).softmax(-1)
    if last.a2f_attention is None:
        return frames
    if output.transcript is not None:
        return _aligned_scores(output, output.transcript, last.a2f_attention, frames, weight)
    n_classes = last.frame_logits.shape[-1]
    kept = (last.token_logits.argmax(-1) != n_classes) & output.token_mask  # (B, M)
    attention = last.a2f_attention.masked_fill(~kept.unsqueeze(1), -1.0)  # (B, T, M)
    choice = attention.argmax(-1)  # (B, T)
    logits = last.token_logits[..., :n_classes]
    distribution = (logits if offset is None else logits + offset).softmax(-1)  # (B, M, C)
    tokens = distribution.gather(1, choice.unsqueeze(-1).expand(-1, -1, n_classes))  # (B, T, C)
    mixed = (1 - weight) * tokens + weight * frames
    return torch.where(kept.any(1)[:, None, None], mixed, frames)


def decode(output: Output, frame_weight: float | None = None) -> Tensor:
    """(B, T) class index of each frame, -1 at padding. ``frame_weight`` as in :func:`frame_scores`."""
    return frame_scores(output, frame_weight).argmax(-1).masked_fill(~output.mask, -1)


def _frame_voter(output: Output, blocks: str) -> Tensor:
    if output.alignment_logits is not None:
        return output.alignment_logits.softmax(-1)
    if blocks == "last":
        return output.log_probs(output.blocks[-1].frame_logits).exp()
    return torch.stack([output.log_probs(block.frame_logits) for block in output.blocks]).mean(0).softmax(-1)


def _aligned_scores(output: Output, transcript: Tensor, attention: Tensor, frames: Tensor, weight: float) -> Tensor:
    """With a transcript (B, M): mix per transcript entry, then write each entry's score to its class."""
    absent = ~output.token_mask.unsqueeze(1)  # (B, 1, M)
    # The published decoder takes a softmax of the attention weights themselves, once more.
    attention = attention.masked_fill(absent, float("-inf")).softmax(-1)  # (B, T, M)
    if output.log_probabilities:
        weight = 0.0  # the verb-noun model aligns by attention alone
    index = transcript.clamp(min=0).unsqueeze(1).expand_as(attention)
    mixed = (1 - weight) * attention + weight * frames.gather(2, index)
    mixed = mixed.masked_fill(absent, -1.0)
    # A class may stand in the transcript several times: its score is that of its best entry.
    return torch.zeros_like(frames).scatter_reduce(2, index, mixed, "amax", include_self=True)
