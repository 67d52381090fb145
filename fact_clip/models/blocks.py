"""The blocks of FACT: input (``i``, ``I``), update (``u``), and update over segments (``U``).

A block maps the previous one's frames and tokens to a :class:`BlockOutput`, and keeps nothing (docs/method.md,
'Blocks'). f2a: tokens query frames or segments; a2f: frames or segments query tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from fact_clip.config import BlockConfig, ModelConfig
from fact_clip.models.branches import (
    ACTION_BRANCHES,
    FRAME_BRANCHES,
    Context,
    CrossAttention,
    cut_segments,
    pool_segments,
)
from fact_clip.models.evidence import SIMILARITY_REACH
from fact_clip.models.heads import Candidates, HeadFactory
from fact_clip.models.kernels import BidirectionalGRU
from fact_clip.models.output import BlockOutput, Segments


@dataclass(frozen=True)
class Scene:
    """What all blocks share about a batch."""

    mask: Tensor  # (B, T) real frames
    padded: bool  # whether some frames are not
    frame_position: Tensor | None  # (1, T, P)
    token_mask: Tensor | None  # (B, M) real tokens; None: all are
    token_content: Tensor  # (B, M, A) what tokens start from
    token_position: Tensor  # (B or 1, M, A)
    text: Candidates | None  # for heads that read text
    evidence: Tensor | None = None  # (B, T, E, O) of object columns

    @property
    def padding(self) -> Tensor | None:
        """The mask where some frames are padded, else None."""
        return self.mask if self.padded else None

    def of_frames(self, features: Tensor) -> Context:
        """Frame features (B, T, D) as a context."""
        return Context(features, self.frame_position, self.padding)

    def of_segments(self, features: Tensor, segments: Segments) -> Context:
        """Segment features (B, S, D) as a context, each at the position of its middle frame."""
        position = None if self.frame_position is None else self.frame_position[0][segments.centre]
        return Context(features, position, segments.mask if len(features) > 1 else None)

    def segment_evidence(self, segments: Segments) -> Tensor | None:
        """(B, S, E, O): the mean evidence of each segment."""
        if self.evidence is None:
            return None
        return pool_segments(self.evidence.flatten(2), segments, self.padding).unflatten(
            -1, self.evidence.shape[2:]
        )


class _Block(nn.Module):
    """What both kinds of block share: the encoder of segments, for blocks that pool frames over them."""

    pools: bool

    def _build_segments(self, width: int, hidden: int, layers: int, head: HeadFactory) -> None:
        self.seg_update = BidirectionalGRU(width, hidden // 2, layers)
        self.seg_combine = nn.Linear(2 * (hidden // 2), hidden)
        self.segment_head = head(hidden, False)

    def _encode_segments(
        self, features: Tensor, scores: Tensor, scene: Scene
    ) -> tuple[Segments, Tensor, Tensor]:
        """The segments of (B, T, C) scores, their features (B, S, H) and scores (B, S, C)."""
        segments = cut_segments(scores, scene.mask)
        pooled = pool_segments(features, segments, scene.padding)  # (B, S, D)
        pooled = self.seg_update(pooled, segments.mask, segments.count)
        pooled = self.seg_combine(torch.relu(pooled))  # (B, S, H)
        return segments, *self.segment_head(pooled, scene.text, scene.segment_evidence(segments))


class InputBlock(_Block):
    """``i``: temporal convolutions on the input; tokens attend to the resulting frames.

    ``I`` (verb-noun model) ``pools``: tokens attend to the segments of the block's own frame output.
    """

    def __init__(
        self, config: BlockConfig, input_dim: int, head: HeadFactory, pools: bool = False
    ) -> None:
        super().__init__()
        self.pools = pools
        self.frame_branch = FRAME_BRANCHES[config.frame](config, input_dim)
        self.action_branch = ACTION_BRANCHES[config.action](config, config.hidden)
        self.frame_head, self.token_head = head(config.hidden, False), head(config.hidden, True)
        if pools:
            self._build_segments(config.hidden, config.hidden, 2, head)

    def forward(self, x: Tensor, scene: Scene) -> BlockOutput:
        """(B, T, D) to the first :class:`BlockOutput`."""
        frames, scores = self.frame_head(
            self.frame_branch(x, scene.padding), scene.text, scene.evidence
        )
        context, segments, segment_scores = scene.of_frames(frames), None, None
        if self.pools:
            segments, pooled, segment_scores = self._encode_segments(frames, scores, scene)
            context = scene.of_segments(pooled, segments)
        tokens = self.action_branch(
            scene.token_content, scene.token_position, scene.token_mask, context
        )
        tokens, token_scores = self.token_head(tokens, scene.text)
        return BlockOutput(frames, scores, tokens, token_scores, segments, segment_scores)


class UpdateBlock(_Block):
    """``u``: f2a, the action branch among tokens, a2f, temporal convolutions.

    ``U`` ``pools``: both attentions are over segments, and their result is repeated to frames (temporal down-sampling).
    """

    def __init__(
        self, config: BlockConfig, input_dim: int, head: HeadFactory, pools: bool = False
    ) -> None:
        super().__init__()
        self.pools = pools
        width = config.hidden if pools else input_dim  # of what tokens attend to
        if pools:
            self._build_segments(input_dim, config.hidden, config.segment_layers, head)
        self.f2a_layer = CrossAttention(
            width, input_dim, config.hidden, config.action_dim, config.dropout
        )
        self.action_branch = ACTION_BRANCHES[config.action](config, width)
        self.a2f_layer = CrossAttention(
            config.hidden, width, config.hidden, config.frame_dim, config.dropout
        )
        self.frame_branch = FRAME_BRANCHES[config.frame](config, None)
        self.frame_head, self.token_head = head(config.hidden, False), head(config.hidden, True)
        if pools:
            self.sf_merge = nn.Sequential(
                nn.Linear(config.frame_dim + input_dim, config.frame_dim), nn.ReLU()
            )

    def forward(self, before: BlockOutput, scene: Scene) -> BlockOutput:
        """The previous block's output to this one's; N below is T, or S over segments."""
        context, evidence = scene.of_frames(before.frame_features), scene.evidence
        segments = segment_scores = None
        if self.pools:
            segments, pooled, segment_scores = self._encode_segments(
                before.frame_features, before.frame_logits, scene
            )
            context, evidence = (
                scene.of_segments(pooled, segments),
                scene.segment_evidence(segments),
            )
        position, mask = scene.token_position, scene.token_mask
        queried, attended, f2a_logits = self.f2a_layer(
            before.token_features, position, context
        )  # (B, M, A), (B, M, N)
        if (
            evidence is not None
        ):  # a token has the evidence of the frames or segments that it attends to
            evidence = (attended @ evidence.flatten(2)).unflatten(
                -1, evidence.shape[2:]
            )  # (B, M, E, O)
        queried = self.action_branch(queried, position, mask, context)  # (B, M, H)
        tokens, token_scores = self.token_head(queried, scene.text, evidence)
        of_tokens = Context(tokens, position, mask)
        frames, weights, a2f_logits = self.a2f_layer(
            context.features, context.position, of_tokens
        )  # (B, N, F)
        if segments is not None:
            frames = self._merged(frames, before.frame_features, segments)
            weights = segments.to_frames(weights)  # (B, T, M)
        frames, scores = self.frame_head(
            self.frame_branch(frames, scene.padding), scene.text, scene.evidence
        )
        return BlockOutput(
            frames,
            scores,
            tokens,
            token_scores,
            segments,
            segment_scores,
            weights,
            a2f_logits,
            f2a_logits,
        )

    def _merged(self, of_segments: Tensor, of_frames: Tensor, segments: Segments) -> Tensor:
        """``sf_merge`` of (B, S, F) and (B, T, D) to (B, T, F): segments are multiplied before they are repeated."""
        merge = cast(nn.Linear, self.sf_merge[0])
        first, second = merge.weight.split([of_segments.shape[-1], of_frames.shape[-1]], dim=1)
        repeated = segments.to_frames(linear(of_segments, first))
        return torch.relu_(linear(of_frames, second, merge.bias) + repeated)


BLOCKS: dict[str, Callable[[BlockConfig, int, HeadFactory], nn.Module]] = {
    "i": InputBlock,
    "I": partial(InputBlock, pools=True),
    "u": UpdateBlock,
    "U": partial(UpdateBlock, pools=True),
}


def block_configs(config: ModelConfig) -> list[BlockConfig]:
    """The sizes of each block in ``config.blocks``, in order."""
    by_letter = {"i": config.input, "I": config.input, "u": config.update, "U": config.pooled}
    return [by_letter[letter] for letter in config.blocks]


def convolution_reach(config: ModelConfig) -> int:
    """Rows on each side of a row that the temporal convolutions of all blocks, and of the evidence, can see together.

    A layer of dilation d reaches d rows: 2^l in layer l of ``m``, the larger of 2^l and 2^(L-1-l) in ``m2``.
    """
    total = 0
    for block in block_configs(config):
        dilations = [2**layer for layer in range(block.frame_layers)]
        if block.frame == "m2":
            dilations = [max(pair) for pair in zip(dilations, reversed(dilations), strict=True)]
        total += sum(dilations)
    if config.head == "similarity":
        total += SIMILARITY_REACH
    return total
