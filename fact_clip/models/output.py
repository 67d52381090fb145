"""Output of the model: one frozen value, the same for training and prediction.

Symbols: B videos, T frames, M tokens, C classes, S predicted segments, H width, E text width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Runs of equal predicted class in one batch, padded to the longest list."""

    of_frame: Tensor  # (B, T) the segment of each frame (0 at padding)
    mask: Tensor  # (B, S) true where a segment exists
    centre: Tensor  # (B, S) middle frame, ``(first + last) // 2`` with ``last`` inclusive
    length: Tensor  # (B, S) its frames (0 where there is no segment)
    count: Tensor  # (B,) the number of segments of each video, on the CPU

    def to_frames(self, values: Tensor) -> Tensor:
        """Repeat (B, S, K) to the frames of each segment: (B, T, K)."""
        return values.gather(1, self.of_frame.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


@dataclass(frozen=True)
class BlockOutput:
    """Result of one block."""

    frame_features: Tensor  # (B, T, H), what the next block reads
    frame_logits: Tensor  # (B, T, C) class scores; with a verb-noun head log p(verb) + log p(noun)
    token_features: Tensor  # (B, M, H)
    token_logits: Tensor  # (B, M, C+1), the last one is the null class
    segments: Segments | None = None  # the cut that ``U`` and ``I`` blocks made, else None
    segment_logits: Tensor | None = None  # (B, S, C) or None
    # (B, T, M) weights, frames querying tokens; None in the first block
    a2f_attention: Tensor | None = None
    # (B, N, M) before the softmax, N = T in ``u`` and S in ``U``
    a2f_attention_logits: Tensor | None = None
    f2a_attention_logits: Tensor | None = None  # (B, M, N), tokens querying frames or segments


@dataclass(frozen=True)
class Output:
    """Outputs of all blocks, and the facts needed to read them."""

    blocks: tuple[BlockOutput, ...]  # in order; the last one decides
    mask: Tensor  # (B, T) true at real frames
    token_mask: Tensor  # (B, M) true at real tokens (shorter transcripts are padded)
    # (B, M) class of each token where a transcript was given, -1 at padding
    transcript: Tensor | None
    frame_weight: float  # default share of the frame branch in decoding
    # Whether the scores are log-probabilities already (verb-noun), which are not normalised again.
    log_probabilities: bool = False
    frame_embeddings: Tensor | None = None  # (B, T, E) unit vectors of an alignment head, else None
    # (B, T, C) their similarity to each class text over the temperature, else None
    alignment_logits: Tensor | None = None

    def log_probs(self, scores: Tensor) -> Tensor:
        """Return log-probabilities over the last axis of any of the class scores above."""
        return scores if self.log_probabilities else torch.log_softmax(scores, dim=-1)
