"""What the model gives back: one frozen value, the same for training and prediction.

Symbols: B videos, T frames, M tokens, C classes, S predicted segments, H width, E text width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Runs of equal predicted class in one batch, padded to the longest list.

    Attributes:
        of_frame: (B, T) the segment of each frame (0 at padding).
        mask: (B, S) true where a segment exists.
        centre: (B, S) the middle frame of each segment, ``(first + last) // 2`` with ``last`` inclusive.
        length: (B, S) its frames (0 where there is no segment).
        count: (B,) the number of segments of each video, on the CPU.
    """

    of_frame: Tensor
    mask: Tensor
    centre: Tensor
    length: Tensor
    count: Tensor

    def to_frames(self, values: Tensor) -> Tensor:
        """Repeat (B, S, K) to the frames of each segment: (B, T, K)."""
        return values.gather(1, self.of_frame.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


@dataclass(frozen=True)
class BlockOutput:
    """One block's result.

    Attributes:
        frame_features: (B, T, H), what the next block reads.
        frame_logits: (B, T, C) class scores; with a verb-noun head log p(verb) + log p(noun).
        token_features: (B, M, H).
        token_logits: (B, M, C+1), the last one is the null class.
        segments: the cut that ``U`` and ``I`` blocks made, else None.
        segment_logits: (B, S, C) or None.
        a2f_attention: (B, T, M) weights, frames querying tokens; None in the first block.
        a2f_attention_logits: (B, N, M) before the softmax, N = T in ``u`` and S in ``U``.
        f2a_attention_logits: (B, M, N), tokens querying frames or segments.
    """

    frame_features: Tensor
    frame_logits: Tensor
    token_features: Tensor
    token_logits: Tensor
    segments: Segments | None = None
    segment_logits: Tensor | None = None
    a2f_attention: Tensor | None = None
    a2f_attention_logits: Tensor | None = None
    f2a_attention_logits: Tensor | None = None


@dataclass(frozen=True)
class Output:
    """The model's output: a :class:`BlockOutput` for each block, and what is needed to read them.

    Attributes:
        blocks: in order; the last one decides.
        mask: (B, T) true at real frames.
        token_mask: (B, M) true at real tokens (shorter transcripts are padded).
        transcript: (B, M) class of each token where a transcript was given, -1 at padding; else None.
        frame_weight: the share of the frame voter in decoding unless another is given.
        log_probabilities: the scores are log-probabilities already (verb-noun) and are not normalised again.
        frame_embeddings: (B, T, E) unit vectors of an alignment head, else None.
        alignment_logits: (B, T, C) their similarity to each class text over the temperature, else None.
    """

    blocks: tuple[BlockOutput, ...]
    mask: Tensor
    token_mask: Tensor
    transcript: Tensor | None
    frame_weight: float
    log_probabilities: bool = False
    frame_embeddings: Tensor | None = None
    alignment_logits: Tensor | None = None

    def log_probs(self, scores: Tensor) -> Tensor:
        """Log-probabilities over the last axis of any of the class scores above."""
        return scores if self.log_probabilities else torch.log_softmax(scores, dim=-1)
