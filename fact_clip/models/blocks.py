"""The blocks of FACT: input (``i``, ``I``), update (``u``), and update over segments (``U``).

A block maps the frames and tokens of the previous block to a :class:`BlockOutput`. It stores
nothing (docs/method.md, 'Blocks'). In f2a attention, tokens query frames or segments. In a2f
attention, frames or segments query tokens.
"""

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
from fact_clip.models.heads import Candidates, HeadFactory
from fact_clip.models.kernels.gru import BidirectionalGRU
from fact_clip.models.output import BlockOutput, Segments
from fact_clip.models.similarity import SIMILARITY_REACH


@dataclass(frozen=True)
class Scene:
    """Facts about a batch that all blocks share."""

    mask: Tensor  # (B, T) real frames
    padding: Tensor | None  # the mask if some frames are padded, otherwise None
    frame_position: Tensor | None  # (1, T, P)
    token_mask: Tensor | None  # (B, M) real tokens, or None if all are
    token_content: Tensor  # (B, M, A) tokens before the first block
    token_position: Tensor  # (B or 1, M, A)
    candidates: Candidates | None  # for heads that read text
    evidence: Tensor | None = None  # (B, T, E, O) evidence of object columns

    def frame_context(self, features: Tensor) -> Context:
        """Return frame features (B, T, D) as a context."""
        return Context(features, self.frame_position, self.padding)

    def segment_context(self, features: Tensor, segments: Segments) -> Context:
        """Return segment features (B, S, D) as a context, at their middle frames."""
        position = None
        if self.frame_position is not None:
            position = self.frame_position[0][segments.centre]  # (B, S, P)
        mask = segments.mask if len(features) > 1 else None
        return Context(features, position, mask)

    def segment_evidence(self, segments: Segments) -> Tensor | None:
        """Return the mean evidence of each segment, (B, S, E, O)."""
        if self.evidence is None:
            return None
        pooled = pool_segments(self.evidence.flatten(2), segments, self.padding)  # (B, S, E * O)
        return pooled.unflatten(-1, self.evidence.shape[2:])


class _Block(nn.Module):
    """Base of both kinds of block, with the encoder of segments for blocks that pool."""

    def _build_segments(self, width: int, hidden: int, layers: int, head: HeadFactory) -> None:
        self.seg_update = BidirectionalGRU(width, hidden // 2, layers)
        self.seg_combine = nn.Linear(2 * (hidden // 2), hidden)
        self.segment_head = head(hidden, False)

    def _encode_segments(
        self, features: Tensor, scores: Tensor, scene: Scene
    ) -> tuple[Segments, Tensor, Tensor]:
        """Divide frames (B, T, D) into segments by their scores (B, T, C), and encode the segments.

        Returns:
            The segments, with their features (B, S, H) and scores (B, S, C).
        """
        segments = cut_segments(scores, scene.mask)
        pooled = pool_segments(features, segments, scene.padding)  # (B, S, D)
        pooled = self.seg_update(pooled, segments.mask, segments.count)
        pooled = self.seg_combine(torch.relu(pooled))  # (B, S, H)
        evidence = scene.segment_evidence(segments)
        return segments, *self.segment_head(pooled, scene.candidates, evidence)


class InputBlock(_Block):
    """``i``: temporal convolutions on the input. Tokens attend to the resulting frames.

    ``I`` (verb-noun model): tokens attend to pooled segments of the block's own frame output.

    Args:
        config: Sizes.
        input_dim: Width D of the input.
        head: Function that creates a head.
        pools: Whether this is ``I``.
    """

    def __init__(
        self, config: BlockConfig, input_dim: int, head: HeadFactory, pools: bool = False
    ) -> None:
        super().__init__()
        self.pools = pools
        self.frame_branch = FRAME_BRANCHES[config.frame](config, input_dim)
        self.action_branch = ACTION_BRANCHES[config.action](config, config.hidden)
        self.frame_head = head(config.hidden, False)
        self.token_head = head(config.hidden, True)
        if pools:
            self._build_segments(config.hidden, config.hidden, 2, head)

    def forward(self, x: Tensor, scene: Scene) -> BlockOutput:
        """Return the output of this block for features (B, T, F) of `FACT.embed`."""
        frames = self.frame_branch(x, scene.padding)  # (B, T, H)
        frames, scores = self.frame_head(frames, scene.candidates, scene.evidence)

        segments = segment_scores = None
        context = scene.frame_context(frames)
        if self.pools:
            segments, pooled, segment_scores = self._encode_segments(frames, scores, scene)
            context = scene.segment_context(pooled, segments)

        tokens = self.action_branch(
            scene.token_content, scene.token_position, scene.token_mask, context
        )  # (B, M, H)
        tokens, token_scores = self.token_head(tokens, scene.candidates)
        return BlockOutput(
            frame_features=frames,
            frame_logits=scores,
            token_features=tokens,
            token_logits=token_scores,
            segments=segments,
            segment_logits=segment_scores,
        )


class UpdateBlock(_Block):
    """``u``: f2a attention, action branch among tokens, a2f attention and temporal convolutions.

    ``U`` (temporal down-sampling): both attentions are over pooled segments, and their result is
    repeated to frames.

    Args:
        config: Sizes.
        input_dim: Width D of the previous block.
        head: Function that creates a head.
        pools: Whether this is ``U``.
    """

    def __init__(
        self, config: BlockConfig, input_dim: int, head: HeadFactory, pools: bool = False
    ) -> None:
        super().__init__()
        self.pools = pools
        hidden = config.hidden
        context_dim = hidden if pools else input_dim
        if pools:
            self._build_segments(input_dim, hidden, config.segment_layers, head)
        self.f2a_layer = CrossAttention(
            x_dim=context_dim,
            y_dim=input_dim,
            hidden=hidden,
            out_dim=config.action_dim,
            dropout=config.dropout,
        )
        self.action_branch = ACTION_BRANCHES[config.action](config, context_dim)
        self.a2f_layer = CrossAttention(
            x_dim=hidden,
            y_dim=context_dim,
            hidden=hidden,
            out_dim=config.frame_dim,
            dropout=config.dropout,
        )
        self.frame_branch = FRAME_BRANCHES[config.frame](config, None)
        self.frame_head = head(hidden, False)
        self.token_head = head(hidden, True)
        if pools:
            merge = nn.Linear(config.frame_dim + input_dim, config.frame_dim)
            self.sf_merge = nn.Sequential(merge, nn.ReLU())

    def forward(self, previous: BlockOutput, scene: Scene) -> BlockOutput:
        """Return the output of this block. N below is T, or S over segments."""
        segments = segment_scores = None
        context = scene.frame_context(previous.frame_features)
        evidence = scene.evidence  # (B, N, E, O)
        if self.pools:
            segments, pooled, segment_scores = self._encode_segments(
                previous.frame_features, previous.frame_logits, scene
            )
            context = scene.segment_context(pooled, segments)
            evidence = scene.segment_evidence(segments)

        position = scene.token_position
        tokens, f2a_weights, f2a_logits = self.f2a_layer(
            previous.token_features, position, context
        )  # (B, M, A), (B, M, N)
        if evidence is not None:  # a token receives the evidence of what it attends to
            attended = f2a_weights @ evidence.flatten(2)  # (B, M, E * O)
            evidence = attended.unflatten(-1, evidence.shape[2:])  # (B, M, E, O)
        tokens = self.action_branch(tokens, position, scene.token_mask, context)  # (B, M, H)
        tokens, token_scores = self.token_head(tokens, scene.candidates, evidence)

        token_context = Context(tokens, position, scene.token_mask)
        frames, a2f_weights, a2f_logits = self.a2f_layer(
            context.features, context.position, token_context
        )  # (B, N, F), (B, N, M)
        if segments is not None:
            frames = self._merged(frames, previous.frame_features, segments)  # (B, T, F)
            a2f_weights = segments.to_frames(a2f_weights)  # (B, T, M)
        frames = self.frame_branch(frames, scene.padding)  # (B, T, H)
        frames, scores = self.frame_head(frames, scene.candidates, scene.evidence)
        return BlockOutput(
            frame_features=frames,
            frame_logits=scores,
            token_features=tokens,
            token_logits=token_scores,
            segments=segments,
            segment_logits=segment_scores,
            a2f_attention=a2f_weights,
            a2f_attention_logits=a2f_logits,
            f2a_attention_logits=f2a_logits,
        )

    def _merged(self, segment_x: Tensor, frame_x: Tensor, segments: Segments) -> Tensor:
        """Return ``sf_merge`` of (B, S, F) and (B, T, D), with shape (B, T, F).

        The product with segments is computed before they are repeated to frames.
        """
        merge = cast(nn.Linear, self.sf_merge[0])
        widths = [segment_x.shape[-1], frame_x.shape[-1]]
        segment_weight, frame_weight = merge.weight.split(widths, dim=1)
        repeated = segments.to_frames(linear(segment_x, segment_weight))
        return torch.relu_(linear(frame_x, frame_weight, merge.bias) + repeated)


BLOCKS: dict[str, Callable[[BlockConfig, int, HeadFactory], nn.Module]] = {
    "i": InputBlock,
    "I": partial(InputBlock, pools=True),
    "u": UpdateBlock,
    "U": partial(UpdateBlock, pools=True),
}


def block_configs(config: ModelConfig) -> list[BlockConfig]:
    """Return the sizes of each block in ``config.blocks``, in order."""
    by_letter = {"i": config.input, "I": config.input, "u": config.update, "U": config.pooled}
    return [by_letter[letter] for letter in config.blocks]


def convolution_reach(config: ModelConfig) -> int:
    """Return how many rows on each side of a row all temporal convolutions together can see.

    A layer with dilation d reaches d rows. The dilation in layer l is 2^l for ``m``, and the larger
    of 2^l and 2^(L-1-l) for ``m2``.

    Args:
        config: Architecture.

    Returns:
        The number of rows, including the similarity evidence.
        Rows, including the similarity evidence.
    """
    total = 0
    for block in block_configs(config):
        dilations = [2**layer for layer in range(block.frame_layers)]
        if block.frame == "m2":
            pairs = zip(dilations, reversed(dilations), strict=True)
            dilations = [max(pair) for pair in pairs]
        total += sum(dilations)
    if config.head == "similarity":
        total += SIMILARITY_REACH
    return total
