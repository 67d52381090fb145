"""The model: frame-action cross-attention for temporal action segmentation (Lu and Elhamifar, CVPR 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fact_clip.config import AlignmentConfig, BlockConfig, ModelConfig
from fact_clip.models.blocks import BLOCKS, Scene
from fact_clip.models.branches import sinusoidal_positions
from fact_clip.models.heads import HEADS, Candidates, Classes, FrameProjection, TextHead
from fact_clip.models.objects import ObjectEvidence, ObjectSpec
from fact_clip.models.output import Output


class FACT(nn.Module):
    """Features, and class texts where a head reads them, to an :class:`Output`.

    Args:
        config: the architecture.
        input_dim: D, feature columns.
        classes: the class count, and verb and noun of each class for a verb-noun head.
        text: unit text vectors of the vocabulary, kept as a buffer; needed by heads that read text. (C, E), or
            (C, slots, E) for the text head, zero where a class has no word.
        objects: which columns belong to which named thing, or None.
        object_text: (O, E) unit text vectors of their names.
        frame_weight: the frame voter's share that outputs are decoded with unless another is given.
    """

    def __init__(
        self,
        config: ModelConfig,
        input_dim: int,
        classes: Classes,
        text: Tensor | None = None,
        objects: ObjectSpec | None = None,
        object_text: Tensor | None = None,
        frame_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if config.head not in HEADS:
            raise ValueError(f"no head {config.head!r}; one of {', '.join(HEADS)}")
        head_type = HEADS[config.head]
        self.config, self.input_dim, self.classes = config, input_dim, classes
        self.frame_weight = frame_weight
        self.log_probabilities = head_type.log_probabilities
        first = config.input
        if config.transcript:
            self.action_embed = nn.Embedding(classes.count, first.action_dim)
        else:
            if config.tokens < 1:
                raise ValueError("model.tokens is 0; give a token count, or model.transcript=true")
            self.action_query = nn.Parameter(torch.randn(config.tokens, 1, first.action_dim))
        self.block_list = nn.ModuleList()
        width = input_dim
        self.objects: ObjectEvidence | None = None
        if objects is not None:
            if not issubclass(head_type, TextHead) or object_text is None:
                raise ValueError("object columns need model.head=text and the text vectors of their names")
            self.objects = ObjectEvidence(config.objects, objects, object_text)
            width = self.objects.width
        for letter, block in zip(config.blocks, block_configs(config), strict=True):
            self.block_list.append(BLOCKS[letter](block, width, lambda w, null: head_type(w, classes, null)))
            width = block.hidden
        self.frame_projection: FrameProjection | None = None
        if config.head == "text":
            if text is None:
                raise ValueError("head 'text' needs text vectors (C, slots, E); none were given")
            self.register_buffer("text_embeddings", text)
        if config.head == "fact-clip":
            self._build_alignment(config.alignment, width - classes.count, text)

    def _build_alignment(self, config: AlignmentConfig, width: int, text: Tensor | None) -> None:
        if text is None:
            raise ValueError("head 'fact-clip' needs text embeddings (C, E); none were given")
        self.frame_projection = FrameProjection(width, config.projection_dim, text.shape[-1], config.dropout)
        self.register_buffer("text_embeddings", text)

    @property
    def text(self) -> Tensor | None:
        """The text vectors of the training vocabulary, where the head reads text."""
        return getattr(self, "text_embeddings", None)

    def forward(
        self,
        features: Tensor,
        mask: Tensor | None = None,
        text: Tensor | None = None,
        transcript: Tensor | None = None,
    ) -> Output:
        """Run all blocks; nothing is kept and no label is read.

        Args:
            features: (B, T, D).
            mask: (B, T) true at real frames, which come first; None: all are real.
            text: (C', E) or (C', slots, E) class texts in place of the training vocabulary's.
            transcript: (B, M) classes in order, -1 at padding; needed exactly when ``model.transcript`` is on.
        """
        if features.dim() != 3 or features.shape[-1] != self.input_dim:
            raise ValueError(f"features are {tuple(features.shape)}; expected (B, T, {self.input_dim})")
        if mask is None:
            mask = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        if text is None:
            text = self.text
        evidence = None
        x = features
        if self.objects is not None:
            x, evidence = self.objects(features, mask)
        scene = self._scene(mask, self._candidates(text), evidence, transcript)
        state = self.block_list[0](x, scene)
        blocks = [state]
        for block in self.block_list[1:]:
            state = block(state, scene)
            blocks.append(state)
        embeddings, similarity = self._align(state.frame_features, text)
        return Output(
            tuple(blocks),
            mask,
            scene.token_mask,
            transcript,
            self.frame_weight,
            self.log_probabilities,
            embeddings,
            similarity,
        )

    def _candidates(self, text: Tensor | None) -> Candidates | None:
        if text is None or self.config.head != "text":
            return None
        if text.dim() == 2:
            text = text.unsqueeze(1)
        if text.shape[1:] != (self.classes.n_slots, self.classes.text_width):
            expected = f"(C, {self.classes.n_slots}, {self.classes.text_width})"
            raise ValueError(f"text is {tuple(text.shape)}; expected {expected}")
        return Candidates(text, None if self.objects is None else self.objects.objects_of(text))

    def _scene(
        self, mask: Tensor, text: Candidates | None, evidence: Tensor | None, transcript: Tensor | None
    ) -> Scene:
        batch, frames = mask.shape
        width = self.config.input.action_dim
        position = None
        if self.config.frame_positions:
            position = sinusoidal_positions(frames, self.config.input.hidden, mask.device).unsqueeze(0)  # (1, T, H)
        if not self.config.transcript:
            if transcript is not None:
                raise ValueError("a transcript was given to a model without model.transcript")
            query = self.action_query.transpose(0, 1)  # (1, M, A)
            token_mask = torch.ones(batch, query.shape[1], dtype=torch.bool, device=mask.device)
            content = query.new_zeros(batch, *query.shape[1:])
            return Scene(mask, position, token_mask, content, query, text, evidence)
        if transcript is None:
            raise ValueError("this model reads a transcript (model.transcript); give transcript=(B, M)")
        token_mask = transcript >= 0
        content = self.action_embed(transcript.clamp(min=0))  # (B, M, A)
        content = content + sinusoidal_positions(transcript.shape[1], width, mask.device)
        return Scene(mask, position, token_mask, content, content.new_zeros(1, *content.shape[1:]), text, evidence)

    def _align(self, features: Tensor, text: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if self.frame_projection is None or text is None:
            return None, None
        embeddings = self.frame_projection(features[..., : features.shape[-1] - self.classes.count])  # (B, T, E)
        return embeddings, embeddings @ text.T / self.config.alignment.temperature


def block_configs(config: ModelConfig) -> list[BlockConfig]:
    """The sizes of each block in ``config.blocks``, in order."""
    by_letter = {"i": config.input, "I": config.input, "u": config.update, "U": config.pooled}
    return [by_letter[letter] for letter in config.blocks]
