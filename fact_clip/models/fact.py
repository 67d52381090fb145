"""The model: frame-action cross-attention (Lu and Elhamifar, CVPR 2024)."""

from typing import cast

import torch
from torch import Tensor, nn

from fact_clip.config import ModelConfig
from fact_clip.core.arguments import number_of, whole_of
from fact_clip.core.errors import InputError
from fact_clip.models.blocks import BLOCKS, InputBlock, Scene, block_configs
from fact_clip.models.branches import MSTCN, sinusoidal_positions
from fact_clip.models.heads import HEADS, Candidates, Classes, FrameProjection, is_open, reads_text
from fact_clip.models.kernels.base import keep_freed_memory
from fact_clip.models.objects import ObjectEvidence, ObjectSpec
from fact_clip.models.output import BlockOutput, Output
from fact_clip.models.similarity import SimilarityEvidence, centre_of


class FACT(nn.Module):
    """The model from features, and from class texts if the head reads text, to an :class:`Output`.

    Args:
        config: Architecture.
        input_dim: Number of feature columns, D.
        classes: Facts about the vocabulary that the heads need.
        text: Unit text vectors of the vocabulary, for heads that read text: (C, E), or (C, slots,
            E) for the text head, with zeros if a class has no word. They are stored as a buffer.
        objects: Input columns of named objects, or None.
        object_text: Unit text vectors of the object names, (O, E).
        frame_weight: Default weight of the frame branch in decoding.
        space: Scale and shift (2, E) if the input lies in the space of the texts, for the head
            "similarity" (see `SimilarityEvidence`).

    Raises:
        InputError: The arguments do not fit the architecture.
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
        head_type = HEADS.find(config.head, "model.head")
        whole_of(input_dim, "input_dim", 1, 1_000_000)
        number_of(frame_weight, "frame_weight", "a share, 0 to 1", 0, 1)
        fits = text is not None and text.dim() in (2, 3) and len(text) == classes.count
        if reads_text(config.head) and not fits:
            shape = "(C, slots, E)" if is_open(config.head) else "(C, E)"
            problem = f"needs text vectors {shape} of {classes.count} classes"
            raise InputError(f"head {config.head!r}", problem)
        self.config = config
        self.input_dim = input_dim
        self.classes = classes
        self.frame_weight = frame_weight
        self.log_probabilities = head_type.log_probabilities

        # Optimiser states are stored in the order of the parameters.
        self._setup_tokens()
        self.block_list = nn.ModuleList()
        self.objects = self._setup_objects(objects, object_text)
        width = input_dim if self.objects is None else self.objects.width
        for letter, block in zip(config.blocks, block_configs(config), strict=True):
            self.block_list.append(
                BLOCKS[letter](block, width, lambda w, null: head_type(w, classes, null))
            )
            width = block.hidden
        self.similarity = self._setup_similarity(text, space)
        self.frame_projection: FrameProjection | None = None
        if config.head == "fact-clip" and text is not None:
            self.frame_projection = FrameProjection(
                input_dim=width - classes.count,
                hidden=config.alignment.projection_dim,
                output_dim=text.shape[-1],
                dropout=config.alignment.dropout,
            )
        self.register_buffer("text_embeddings", text if reads_text(config.head) else None)

    def _setup_tokens(self) -> None:
        width = self.config.input.action_dim
        if self.config.transcript:
            self.action_embed = nn.Embedding(self.classes.count, width)
        elif self.config.tokens < 1:
            fix = "set the number of tokens, or model.transcript=true"
            raise InputError("model", "model.tokens is 0", fix)
        else:
            self.action_query = nn.Parameter(torch.randn(self.config.tokens, 1, width))

    def _setup_objects(
        self, objects: ObjectSpec | None, object_text: Tensor | None
    ) -> ObjectEvidence | None:
        if objects is None:
            return None
        if self.config.head != "text" or object_text is None:
            problem = "object columns need model.head=text and the text vectors of their names"
            raise InputError("objects", problem)
        return ObjectEvidence(objects, object_text)

    def _setup_similarity(
        self, text: Tensor | None, space: Tensor | None
    ) -> SimilarityEvidence | None:
        if self.config.head != "similarity":
            return None
        if text is None or space is None or space.shape[1] > self.input_dim:
            raise InputError("head 'similarity'", "needs features in the space of the texts")
        return SimilarityEvidence(self.input_dim, self.classes.n_slots, space, centre_of(text))

    @property
    def text(self) -> Tensor | None:
        """Return the text vectors of the training vocabulary, if the head reads text."""
        return self.text_embeddings

    def forward(
        self,
        features: Tensor,
        mask: Tensor | None = None,
        text: Tensor | None = None,
        transcript: Tensor | None = None,
        *,
        is_embedded: bool = False,
    ) -> Output:
        """Run all blocks. No label is read, and nothing is stored on modules.

        Args:
            features: Features, (B, T, D).
            mask: Real frames (B, T), which must come first, or None if all are real. None is
                faster.
            text: Class texts (C', E) or (C', slots, E), instead of the training vocabulary's.
            transcript: Classes in order (B, M), -1 at padding, if ``model.transcript`` is on.
            is_embedded: Whether the features are the result of `embed`.

        Returns:
            The output of each block.

        Raises:
            InputError: An argument has a wrong type or shape.
        """
        if not is_embedded:
            self._check_features(features, mask)
            features = self.embed(features)
        padding = mask
        if mask is None:
            mask = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        class_text = self.text_embeddings if text is None else text

        evidence = None
        if self.objects is not None:
            features, evidence = self.objects(features)  # (B, T, width), (B, T, E, O)
        candidates = self._candidates(class_text)
        if self.similarity is not None and candidates is not None:
            evidence = self.similarity(features, padding, candidates.embeddings)  # (B, T, E, C)
        if self._reads_features:
            features = self._embedded(features)

        frame_position = None
        if self.config.frame_positions:
            width = self.config.input.hidden
            frame_position = sinusoidal_positions(mask.shape[1], width, mask.device).unsqueeze(0)
        token_content, token_position, token_mask = self._tokens(len(mask), transcript, mask.device)
        scene = Scene(
            mask=mask,
            padding=padding,
            frame_position=frame_position,
            token_mask=token_mask,
            token_content=token_content,
            token_position=token_position,
            candidates=candidates,
            evidence=evidence,
        )
        blocks: list[BlockOutput] = []
        for block in self.block_list:
            block_input = blocks[-1] if blocks else features
            blocks.append(block(block_input, scene))

        embeddings = None
        alignment_logits = None
        if self.frame_projection is not None and class_text is not None:
            # Exclude the scores in the last channels.
            frames = blocks[-1].frame_features[..., : -self.classes.count]
            embeddings = self.frame_projection(frames)  # (B, T, E)
            alignment_logits = (
                embeddings @ class_text.T / self.config.alignment.temperature
            )  # (B, T, C)
        if token_mask is None:
            tokens = blocks[-1].token_features  # (B, M, H)
            token_mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Output(
            blocks=tuple(blocks),
            mask=mask,
            token_mask=token_mask,
            transcript=transcript,
            frame_weight=self.frame_weight,
            log_probabilities=self.log_probabilities,
            frame_embeddings=embeddings,
            alignment_logits=alignment_logits,
        )

    @property
    def _reads_features(self) -> bool:
        """Return whether more than the first block reads features."""
        return self.objects is not None or self.similarity is not None

    def embed(self, features: Tensor) -> Tensor:
        """Compute what the model reads from features (B, T, D), frame by frame.

        The result is (B, T, F), or the features if they also give evidence of objects or texts.
        """
        return features if self._reads_features else self._embedded(features)

    def _embedded(self, features: Tensor) -> Tensor:
        first = cast(InputBlock, self.block_list[0])
        return cast(MSTCN, first.frame_branch).embed(features)

    def _check_features(self, features: Tensor, mask: Tensor | None) -> None:
        fits = features.dim() == 3 and features.shape[-1] == self.input_dim and features.numel()
        if not fits or not features.is_floating_point():
            problem = f"features of type {features.dtype} and shape {tuple(features.shape)}"
            expected = f"floating-point numbers, (B, T, {self.input_dim})"
            raise InputError("model", f"{problem}, not {expected}")
        if mask is not None and (mask.shape != features.shape[:2] or mask.dtype != torch.bool):
            problem = f"a mask of type {mask.dtype} and shape {tuple(mask.shape)}"
            raise InputError("model", f"{problem}, not booleans, {tuple(features.shape[:2])}")

    def _candidates(self, text: Tensor | None) -> Candidates | None:
        if text is None or not is_open(self.config.head):
            return None
        embeddings = text.unsqueeze(1) if text.dim() == 2 else text
        if embeddings.shape[1:] != (self.classes.n_slots, self.classes.text_width):
            expected = f"(C, {self.classes.n_slots}, {self.classes.text_width})"
            raise InputError("model", f"text is {tuple(embeddings.shape)}, not {expected}")
        objects = None if self.objects is None else self.objects.objects_of(embeddings)
        return Candidates(embeddings, objects)

    def _tokens(
        self, batch: int, transcript: Tensor | None, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the tokens' initial content (B, M, A), position (B or 1, M, A) and mask (B, M)."""
        if not self.config.transcript:
            if transcript is not None:
                problem = "a transcript was given to a model without model.transcript"
                raise InputError("model", problem)
            position = self.action_query.view(1, *self.action_query.shape[::2])  # (1, M, A)
            return position.new_zeros(batch, *position.shape[1:]), position, None

        if transcript is None:
            problem = "it reads a transcript (model.transcript), but none was given"
            raise InputError("model", problem)
        if transcript.shape[:1] != (batch,) or transcript.dim() != 2 or not transcript.shape[1]:
            problem = f"shape {tuple(transcript.shape)}, not ({batch}, M) with at least one entry"
            raise InputError("transcript", problem)
        content = self.action_embed(transcript.clamp(min=0))  # (B, M, A)
        content = content + sinusoidal_positions(transcript.shape[1], content.shape[2], device)
        return content, content.new_zeros(1, *content.shape[1:]), transcript >= 0
