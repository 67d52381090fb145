"""The blocks of FACT: input (``i``, ``I``), update (``u``), and update over segments (``U``).

A block maps what the previous one gave (frames and tokens) to a :class:`BlockOutput`. It keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fact_clip.config import BlockConfig
from fact_clip.models.branches import (
    ACTION_BRANCHES,
    FRAME_BRANCHES,
    CrossAttention,
    Memory,
    cut_segments,
    pool_segments,
    run_gru,
)
from fact_clip.models.heads import Candidates, HeadFactory
from fact_clip.models.output import BlockOutput, Segments


@dataclass(frozen=True)
class Scene:
    """What all blocks share about a batch.

    Attributes:
        mask: (B, T) real frames.
        frame_position: (1, T, P) or None.
        token_mask: (B, M) real tokens.
        token_content: (B, M, A) the tokens' start.
        token_position: (B or 1, M, A).
        text: the candidates, for heads that read text.
        evidence: (B, T, E, O) of object columns, or None.
    """

    mask: Tensor
    frame_position: Tensor | None
    token_mask: Tensor
    token_content: Tensor
    token_position: Tensor
    text: Candidates | None
    evidence: Tensor | None = None

    def segment_evidence(self, segments: Segments) -> Tensor | None:
        """(B, S, E, O): the mean evidence of each segment."""
        if self.evidence is None:
            return None
        return pool_segments(self.evidence.flatten(2), segments, self.mask).unflatten(-1, self.evidence.shape[2:])

    def segment_position(self, segments: Segments) -> Tensor | None:
        """(B, S, P): the frame position at each segment's centre."""
        return None if self.frame_position is None else self.frame_position[0][segments.centre]


class _SegmentEncoder(nn.Module):
    """Mean of a segment's frames, bidirectional GRU, ReLU, linear, head. Mixed into blocks, whose names it keeps."""

    seg_update: nn.GRU
    seg_combine: nn.Linear
    segment_head: nn.Module

    def _build_segments(self, width: int, hidden: int, layers: int, head: HeadFactory) -> None:
        self.seg_update = nn.GRU(width, hidden // 2, layers, batch_first=True, bidirectional=True)
        self.seg_combine = nn.Linear(2 * (hidden // 2), hidden)
        self.segment_head = head(hidden, False)

    def _encode_segments(self, features: Tensor, scores: Tensor, scene: Scene) -> tuple[Segments, Tensor, Tensor]:
        segments = cut_segments(scores, scene.mask)
        pooled = pool_segments(features, segments, scene.mask)  # (B, S, H)
        pooled = self.seg_combine(torch.relu(run_gru(self.seg_update, pooled, segments.mask)))
        return segments, *self.segment_head(pooled, scene.text, scene.segment_evidence(segments))


class InputBlock(nn.Module):
    """``i``: temporal convolutions on the input; tokens look at the resulting frames."""

    def __init__(self, config: BlockConfig, input_dim: int, head: HeadFactory) -> None:
        super().__init__()
        self.frame_branch = FRAME_BRANCHES[config.frame](config, input_dim)
        self.action_branch = ACTION_BRANCHES[config.action](config, config.hidden)
        self.frame_head, self.token_head = head(config.hidden, False), head(config.hidden, True)

    def forward(self, x: Tensor, scene: Scene) -> BlockOutput:
        """(B, T, D) to the first :class:`BlockOutput`."""
        frames, scores = self.frame_head(
            self.frame_branch(x, scene.mask), scene.text, scene.evidence
        )  # (B, T, H), (B, T, C)
        tokens, token_scores = self._tokens(Memory(frames, scene.frame_position, scene.mask), scene)
        return BlockOutput(frames, scores, tokens, token_scores)

    def _tokens(self, memory: Memory, scene: Scene) -> tuple[Tensor, Tensor]:
        tokens = self.action_branch(scene.token_content, scene.token_position, scene.token_mask, memory)
        return self.token_head(tokens, scene.text)


class SegmentInputBlock(InputBlock, _SegmentEncoder):
    """``I`` (verb-noun model): as ``i``, but tokens look at the segments of the block's own frame output."""

    def __init__(self, config: BlockConfig, input_dim: int, head: HeadFactory) -> None:
        super().__init__(config, input_dim, head)
        self._build_segments(config.hidden, config.hidden, 2, head)

    def forward(self, x: Tensor, scene: Scene) -> BlockOutput:
        """(B, T, D) to the first :class:`BlockOutput`, with segments."""
        frames, scores = self.frame_head(self.frame_branch(x, scene.mask), scene.text, scene.evidence)
        segments, pooled, segment_scores = self._encode_segments(frames, scores, scene)
        memory = Memory(pooled, scene.segment_position(segments), segments.mask)
        tokens, token_scores = self._tokens(memory, scene)
        return BlockOutput(frames, scores, tokens, token_scores, segments, segment_scores)


class UpdateBlock(nn.Module):
    """``u``: tokens ask frames, tokens attend to each other, frames ask tokens, temporal convolutions."""

    def __init__(self, config: BlockConfig, input_dim: int, head: HeadFactory) -> None:
        super().__init__()
        self._build_update(config, input_dim, input_dim, head)

    def _build_update(self, config: BlockConfig, frame_dim: int, token_dim: int, head: HeadFactory) -> None:
        self.f2a_layer = CrossAttention(frame_dim, token_dim, config.hidden, config.action_dim, config.dropout)
        self.action_branch = ACTION_BRANCHES[config.action](config, frame_dim)
        self.a2f_layer = CrossAttention(config.hidden, frame_dim, config.hidden, config.frame_dim, config.dropout)
        self.frame_branch = FRAME_BRANCHES[config.frame](config, None)
        self.frame_head, self.token_head = head(config.hidden, False), head(config.hidden, True)

    def _exchange(
        self, memory: Memory, before: BlockOutput, scene: Scene, evidence: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Both cross attentions around the action branch, over frames or segments alike."""
        position, mask = scene.token_position, scene.token_mask
        asked, looked, f2a_logits = self.f2a_layer(
            memory.features, before.token_features, memory.position, position, memory.mask
        )  # (B, M, A), (B, M, N), (B, M, N)
        if evidence is not None:  # a token's evidence is that of the frames or segments that it looks at
            evidence = (looked @ evidence.flatten(2)).unflatten(-1, evidence.shape[2:])  # (B, M, E, O)
        tokens, scores = self.token_head(self.action_branch(asked, position, mask, memory), scene.text, evidence)
        told, weights, a2f_logits = self.a2f_layer(tokens, memory.features, position, memory.position, mask)
        return tokens, scores, told, weights, a2f_logits, f2a_logits

    def forward(self, before: BlockOutput, scene: Scene) -> BlockOutput:
        """The previous block's output to this one's."""
        memory = Memory(before.frame_features, scene.frame_position, scene.mask)
        tokens, token_scores, told, weights, a2f, f2a = self._exchange(memory, before, scene, scene.evidence)
        frames, scores = self.frame_head(self.frame_branch(told, scene.mask), scene.text, scene.evidence)
        return BlockOutput(frames, scores, tokens, token_scores, None, None, weights, a2f, f2a)


class SegmentUpdateBlock(UpdateBlock, _SegmentEncoder):
    """``U``: an update over segments (temporal down-sampling), repeated to frames again."""

    def __init__(self, config: BlockConfig, input_dim: int, head: HeadFactory) -> None:
        nn.Module.__init__(self)
        self._build_segments(input_dim, config.hidden, config.segment_layers, head)
        self._build_update(config, config.hidden, input_dim, head)
        self.sf_merge = nn.Sequential(nn.Linear(config.frame_dim + input_dim, config.frame_dim), nn.ReLU())

    def forward(self, before: BlockOutput, scene: Scene) -> BlockOutput:
        """The previous block's output to this one's."""
        segments, pooled, segment_scores = self._encode_segments(before.frame_features, before.frame_logits, scene)
        memory = Memory(pooled, scene.segment_position(segments), segments.mask)
        evidence = scene.segment_evidence(segments)
        tokens, token_scores, told, weights, a2f, f2a = self._exchange(memory, before, scene, evidence)
        merged = self.sf_merge(torch.cat([segments.to_frames(told), before.frame_features], dim=-1))  # (B, T, F)
        frames, scores = self.frame_head(self.frame_branch(merged, scene.mask), scene.text, scene.evidence)
        weights = segments.to_frames(weights)  # (B, T, M)
        return BlockOutput(frames, scores, tokens, token_scores, segments, segment_scores, weights, a2f, f2a)


BLOCKS: dict[str, type[nn.Module]] = {
    "i": InputBlock,
    "I": SegmentInputBlock,
    "u": UpdateBlock,
    "U": SegmentUpdateBlock,
}
