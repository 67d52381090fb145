"""Output of the model: an immutable value, the same for training and prediction.

Symbols: B videos, T frames, M tokens, C classes, S predicted segments, H width, E text width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Runs of equal predicted class in one batch, padded to the largest number of segments."""

    of_frame: Tensor  # (B, T) segment of each frame (0 at padding)
    mask: Tensor  # (B, S) true if a segment exists
    centre: Tensor  # (B, S) middle frame, ``(first + last) // 2`` with ``last`` inclusive
    length: Tensor  # (B, S) number of frames (0 at padding)
    count: Tensor  # (B,) number of segments of each video, on the CPU

    def to_frames(self, values: Tensor) -> Tensor:
        """Repeat (B, S, K) to the frames of each segment: (B, T, K)."""
        return values.gather(1, self.of_frame.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


@dataclass(frozen=True)
class BlockOutput:
    """Result of one block."""

    frame_features: Tensor  # (B, T, H), input of the next block
    frame_logits: Tensor  # (B, T, C) class scores; with a verb-noun head, log p(verb) + log p(noun)
    token_features: Tensor  # (B, M, H)
    token_logits: Tensor  # (B, M, C+1), with the null class at the end
    segments: Segments | None = None  # segments of ``U`` and ``I`` blocks, otherwise None
    segment_logits: Tensor | None = None  # (B, S, C) or None
    # (B, T, M) weights of frames querying tokens, or None in the first block
    a2f_attention: Tensor | None = None
    # (B, N, M) before the softmax, N = T in ``u`` and S in ``U``
    a2f_attention_logits: Tensor | None = None
    f2a_attention_logits: Tensor | None = None  # (B, M, N), tokens querying frames or segments


@dataclass(frozen=True)
class Output:
    """Outputs of all blocks, and the facts needed to read them."""

    blocks: tuple[BlockOutput, ...]  # in order; decoding uses the last one
    mask: Tensor  # (B, T) true at real frames
    token_mask: Tensor  # (B, M) true at real tokens (shorter transcripts are padded)
    # (B, M) class of each token if a transcript was given, -1 at padding
    transcript: Tensor | None
    frame_weight: float  # default share of the frame branch in decoding
    # Whether the scores are already log-probabilities (verb-noun), which are not normalised again.
    log_probabilities: bool = False
    frame_embeddings: Tensor | None = None  # (B, T, E) unit vectors of an alignment head
    # (B, T, C) similarity of these to each class text, divided by the temperature
    alignment_logits: Tensor | None = None

    def log_probs(self, scores: Tensor) -> Tensor:
        """Return log-probabilities over the last axis of any of the class scores above."""
        return scores if self.log_probabilities else torch.log_softmax(scores, dim=-1)
