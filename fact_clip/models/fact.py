"""The model: frame-action cross-attention for temporal action segmentation (Lu and Elhamifar, CVPR 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fact_clip.config import ModelConfig
from fact_clip.core.arguments import number_of, whole_of
from fact_clip.core.errors import InputError
from fact_clip.models.blocks import BLOCKS, Scene, block_configs
from fact_clip.models.branches import sinusoidal_positions
from fact_clip.models.evidence import ObjectEvidence, ObjectSpec, SimilarityEvidence, centre_of
from fact_clip.models.heads import HEADS, Candidates, Classes, FrameProjection
from fact_clip.models.kernels import keep_freed_memory
from fact_clip.models.output import BlockOutput, Output


class FACT(nn.Module):
    """Features, and class texts where a head reads them, to an :class:`Output`.

    Args:
        config: the architecture.
        input_dim: D, feature columns.
        classes: the class count, and what else the heads must know.
        text: unit text vectors of the vocabulary, kept as a buffer, for heads that read text: (C, E), or (C, slots, E)
            for the text head, zero where a class has no word.
        objects: which columns belong to which named object, or None.
        object_text: (O, E) unit text vectors of their names.
        frame_weight: the share of the frame voter with which outputs are decoded unless another is given.
        space: (2, E) where the input lies in the space of the texts, for head "similarity"; see `SimilarityEvidence`.
    """

    text_embeddings: Tensor | None

    def __init__(
        self,
        config: ModelConfig,
        input_dim: int,
        classes: Classes,
        text: Tensor | None = None,
        objects: ObjectSpec | None = None,
        object_text: Tensor | None = None,
        frame_weight: float = 0.1,
        space: Tensor | None = None,
    ) -> None:
        super().__init__()
        keep_freed_memory()
        if config.head not in HEADS:
            raise InputError("model.head", f"no head {config.head!r}", f"choose {', '.join(HEADS)}")
        whole_of(input_dim, "input_dim", 1, 1_000_000)
        number_of(frame_weight, "frame_weight", "a share, 0 to 1", 0, 1)
        reads_text = config.reads_text
        if reads_text and (text is None or text.dim() not in (2, 3) or len(text) != classes.count):
            shape = "(C, slots, E)" if config.is_open else "(C, E)"
            raise InputError(
                f"head {config.head!r}", f"needs text vectors {shape} of {classes.count} classes"
            )
        head_type = HEADS[config.head]
        self.config, self.input_dim, self.classes = config, input_dim, classes
        self.frame_weight = frame_weight
        self.log_probabilities = head_type.log_probabilities
        if config.transcript:
            self.action_embed = nn.Embedding(classes.count, config.input.action_dim)
        elif config.tokens < 1:
            raise InputError(
                "model", "model.tokens is 0", "give a token count, or model.transcript=true"
            )
        else:
            self.action_query = nn.Parameter(torch.randn(config.tokens, 1, config.input.action_dim))
        # Before the objects: the states of optimisers are stored in the order of the parameters.
        self.block_list = nn.ModuleList()
        width = input_dim
        self.objects: ObjectEvidence | None = None
        if objects is not None:
            if config.head != "text" or object_text is None:
                raise InputError(
                    "objects",
                    "object columns need model.head=text and the text vectors of their names",
                )
            self.objects = ObjectEvidence(config.objects, objects, object_text)
            width = self.objects.width
        for letter, block in zip(config.blocks, block_configs(config), strict=True):
            self.block_list.append(
                BLOCKS[letter](block, width, lambda w, null: head_type(w, classes, null))
            )
            width = block.hidden
        self.similarity: SimilarityEvidence | None = None
        if config.head == "similarity":
            if text is None or space is None or space.shape[1] > input_dim:
                raise InputError("head 'similarity'", "needs features in the space of the texts")
            made_of = input_dim, classes.n_slots, space, centre_of(text)
            self.similarity = SimilarityEvidence(*made_of)
        self.frame_projection: FrameProjection | None = None
        if config.head == "fact-clip" and text is not None:
            sizes = config.alignment.projection_dim, text.shape[-1], config.alignment.dropout
            self.frame_projection = FrameProjection(width - classes.count, *sizes)
        self.register_buffer("text_embeddings", text if reads_text else None)

    @property
    def text(self) -> Tensor | None:
        """The text vectors of the training vocabulary, where the head reads text."""
        return self.text_embeddings

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
            mask: (B, T) true at real frames, which come first; None: all are real, which is faster.
            text: (C', E) or (C', slots, E) class texts in place of the training vocabulary's.
            transcript: (B, M) classes in order, -1 at padding; needed exactly when ``model.transcript`` is on.
        """
        fits = features.dim() == 3 and features.shape[-1] == self.input_dim and features.numel()
        if not fits or not features.is_floating_point():
            problem = f"features of type {features.dtype} and shape {tuple(features.shape)}"
            raise InputError(
                "model", f"{problem}, not floating-point numbers, (B, T, {self.input_dim})"
            )
        if mask is not None and (mask.shape != features.shape[:2] or mask.dtype != torch.bool):
            problem = f"a mask of type {mask.dtype} and shape {tuple(mask.shape)}"
            raise InputError("model", f"{problem}, not booleans, {tuple(features.shape[:2])}")
        padded = mask is not None
        if mask is None:
            mask = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        text = self.text if text is None else text
        evidence = None
        if self.objects is not None:
            features, evidence = self.objects(features)
        candidates = self._candidates(text)
        if self.similarity is not None and candidates is not None:
            evidence = self.similarity(features, mask if padded else None, candidates.text)
        scene = self._scene(mask, padded, candidates, evidence, transcript)
        blocks: list[BlockOutput] = []
        for block in self.block_list:
            before = blocks[-1] if blocks else features
            blocks.append(block(before, scene))
        embeddings = similarity = None
        if self.frame_projection is not None and text is not None:
            last = blocks[-1].frame_features
            embeddings = self.frame_projection(
                last[..., : last.shape[-1] - self.classes.count]
            )  # (B, T, E)
            similarity = embeddings @ text.T / self.config.alignment.temperature  # (B, T, C)
        tokens, token_mask = blocks[-1].token_features, scene.token_mask
        if token_mask is None:
            token_mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        how = self.frame_weight, self.log_probabilities
        return Output(tuple(blocks), mask, token_mask, transcript, *how, embeddings, similarity)

    def _candidates(self, text: Tensor | None) -> Candidates | None:
        if text is None or not self.config.is_open:
            return None
        if text.dim() == 2:
            text = text.unsqueeze(1)
        if text.shape[1:] != (self.classes.n_slots, self.classes.text_width):
            expected = f"(C, {self.classes.n_slots}, {self.classes.text_width})"
            raise InputError("model", f"text is {tuple(text.shape)}, not {expected}")
        objects = None if self.objects is None else self.objects.objects_of(text)
        return Candidates(text, objects)

    def _scene(
        self,
        mask: Tensor,
        padded: bool,
        text: Candidates | None,
        evidence: Tensor | None,
        transcript: Tensor | None,
    ) -> Scene:
        """Positions, and the tokens that the first block starts from (docs/method.md, 'Inputs')."""
        batch, frames = mask.shape
        frame_position = None
        if self.config.frame_positions:
            frame_position = sinusoidal_positions(
                frames, self.config.input.hidden, mask.device
            ).unsqueeze(0)
        if self.config.transcript:
            if transcript is None:
                raise InputError(
                    "model", "it reads a transcript (model.transcript), and none was given"
                )
            if transcript.shape[:1] != (batch,) or transcript.dim() != 2 or not transcript.shape[1]:
                raise InputError(
                    "transcript",
                    f"shape {tuple(transcript.shape)}, not ({batch}, M), one entry at least",
                )
            token_mask: Tensor | None = transcript >= 0
            content = self.action_embed(transcript.clamp(min=0))  # (B, M, A)
            content = content + sinusoidal_positions(
                transcript.shape[1], content.shape[2], mask.device
            )
            position = content.new_zeros(1, *content.shape[1:])
        else:
            if transcript is not None:
                raise InputError(
                    "model", "a transcript was given to a model without model.transcript"
                )
            position = self.action_query.view(1, *self.action_query.shape[::2])  # (1, M, A)
            token_mask = None
            content = position.new_zeros(batch, *position.shape[1:])
        return Scene(mask, padded, frame_position, token_mask, content, position, text, evidence)
