"""The loss of FACT: named terms of each block, averaged over blocks and videos.

See docs/method.md, 'Loss'. Each video is matched once, by the last block. Everything is computed in
float32, whatever autocast is set: in bfloat16, a sum over frames stops growing at a few hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from fact_clip.config import LossConfig
from fact_clip.core.arguments import number_of, table_of, whole_of
from fact_clip.core.errors import InputError
from fact_clip.core.plugins import Table, adopt_function
from fact_clip.losses.matching import match_videos, matching_cost, segment_lengths
from fact_clip.losses.truth import Truth
from fact_clip.models.heads import Classes
from fact_clip.models.output import BlockOutput, Output

Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class BlockTerms:
    """The loss terms of one block. Each is a scalar that is already weighted."""

    frame: Tensor
    token: Tensor
    f2a: Tensor
    a2f: Tensor
    smooth: Tensor

    @property
    def total(self) -> Tensor:
        """Return the loss of the block."""
        return self.frame + self.token + self.f2a + self.a2f + self.smooth


@dataclass(frozen=True)
class LossTerms:
    """The result of the criterion.

    Attributes:
        total: Loss to minimise.
        blocks: Terms of each block, averaged over the videos.
        fact: Mean of the blocks' totals.
        contrastive: InfoNCE of an alignment head, or None.
        matches: Pairs (token, segment) of each video.
        further: Terms in `LossConfig.terms`, by name.
    """

    total: Tensor
    blocks: tuple[BlockTerms, ...]
    fact: Tensor
    contrastive: Tensor | None
    matches: tuple[Pairs, ...]
    further: Mapping[str, Tensor] = field(default_factory=dict)

    def as_dict(self) -> dict[str, float]:
        """Return plain numbers for a log: total, mean of each term over blocks, contrastive."""
        values = self.detached()
        numbers = torch.stack(list(values.values())).tolist()
        return dict(zip(values, numbers, strict=True))

    def detached(self) -> dict[str, Tensor]:
        """Return the values of :meth:`as_dict` on the device, without gradients."""
        values = {"total": self.total, **self.further}
        for term in fields(BlockTerms):
            terms = [getattr(block, term.name) for block in self.blocks]
            values[term.name] = torch.stack(terms).mean()
        if self.contrastive is not None:
            values["contrastive"] = self.contrastive
        return {name: value.detach() for name, value in values.items()}


Loss = Callable[[Output, Truth], Tensor]
"""A loss term: a function of a batch's output and truth to a scalar that is already weighted."""

_RESERVED = {"total", "contrastive", "epoch", "lr", *(term.name for term in fields(BlockTerms))}


def _adopt(name: str, part: Any) -> Loss:
    if name in _RESERVED:
        raise ValueError("the name is reserved for a number in the log")
    return adopt_function(name, part)


LOSSES: Table[Loss] = Table("fact_clip.losses", {}, _adopt)
"""Registered terms of this process, for `LossConfig.terms`."""


@dataclass(frozen=True)
class _Target:
    """The targets of all terms of a batch. A frame without a label has weight zero."""

    labels: Tensor  # (B, T) class, 0 without a label
    labelled: Tensor  # (B, T) whether the frame has a label
    frames: Tensor  # (B,) number of labelled frames, at least 1
    some: Tensor  # (B,) 1.0 for a video with a labelled frame, otherwise 0.0
    token: Tensor  # (B, T) token that the frame's segment is matched to, or 0
    matched: Tensor  # (B, T) whether the frame's segment is matched
    token_classes: Tensor  # (B, M) class of each token's matched segment, or null
    of_token: Tensor  # (B, M) number of segments matched to each token
    token_mask: Tensor  # (B, M) real tokens
    class_weights: Tensor  # (C+1,)
    frame_weights: Tensor  # (B, T)


class Criterion:
    """Matching and loss for any closed set of classes, without ignored frames (label -1).

    Args:
        config: Weights and the matcher.
        classes: Number of classes (and verbs and nouns).
        background: Indices of background classes, weighted by ``config.background_weight``.
        mean_transcript_length: Mean number of segments in the training videos, for
            ``null_weight = -1``.
        unseen: Classes excluded from the contrastive loss.
        frames: Training frames of each class (C,), needed if ``config.balance`` is above 0.
    """

    def __init__(
        self,
        config: LossConfig,
        classes: Classes,
        background: Collection[int] = (),
        mean_transcript_length: float | None = None,
        unseen: Collection[int] = (),
        frames: Sequence[int] | None = None,
    ) -> None:
        for name, group in (("background", background), ("unseen", unseen)):
            for label in group:
                whole_of(label, name, 0, classes.count - 1)
        if mean_transcript_length is not None:
            number_of(mean_transcript_length, "mean_transcript_length", "segments, 0 or more", 0)
        if frames is not None:
            table_of(frames, "frames", (classes.count,))
        self.losses = {name: LOSSES.find(name, "loss.terms") for name in config.terms}
        self.config = config
        self.classes = classes
        self.background = tuple(background)
        self.mean_transcript_length = mean_transcript_length
        self.class_weights = class_weights(config, classes.count, background, frames)
        labels = range(classes.count)
        self.is_action = torch.tensor([label not in self.background for label in labels])
        self.seen = torch.tensor([label for label in labels if label not in set(unseen)])

    def __call__(
        self, output: Output, labels: Tensor | Truth, mask: Tensor | None = None
    ) -> LossTerms:
        """Compute the loss of a batch at its real frames.

        Args:
            output: Output of the model.
            labels: Class indices (B, T) or (T,), -1 for ignored frames. Alternatively, a
                :class:`Truth` of such labels, with -1 at padding, which saves a copy from the
                device.
            mask: Real frames (B, T), or None to use the output's mask.

        Returns:
            The loss terms.
        """
        mask = output.mask if mask is None else mask
        table = labels.labels if isinstance(labels, Truth) else torch.atleast_2d(labels)
        if table.shape != mask.shape or table.dtype != torch.int64:
            problem = f"labels of type {table.dtype} and shape {tuple(table.shape)}"
            expected = f"class indices, torch.int64, {tuple(mask.shape)}"
            raise InputError("loss", f"{problem}, not {expected}")
        if not isinstance(labels, Truth):
            labels = Truth.of(table.masked_fill(~mask, -1))
        _check_labels(labels, self.classes.count)
        if self.seen.device != mask.device:
            for name in ("class_weights", "is_action", "seen"):
                setattr(self, name, getattr(self, name).to(mask.device))
        with torch.autocast(mask.device.type, enabled=False):
            return self._loss(output, labels)

    def _loss(self, output: Output, truth: Truth) -> LossTerms:
        with torch.no_grad():
            target, matches = self._match(output, truth)
        blocks = tuple(self._block(output, block, target) for block in output.blocks)
        fact = torch.stack([block.total for block in blocks]).mean()
        contrastive = None
        total = fact
        if output.alignment_logits is not None:
            contrastive = info_nce(output.alignment_logits.float(), truth.labels, self.seen)
            total = self.config.fact_weight * fact + self.config.contrastive_weight * contrastive
        further = {}
        for name, loss in self.losses.items():
            term = loss(output, truth)
            if term.shape:
                raise InputError(f"loss {name!r}", f"shape {tuple(term.shape)}, not a scalar")
            further[name] = term
            total = total + term
        return LossTerms(total, blocks, fact, contrastive, matches, further)

    def _match(self, output: Output, truth: Truth) -> tuple[_Target, tuple[Pairs, ...]]:
        """Match tokens to true segments by the last block, and derive the targets."""
        last = output.blocks[-1]
        probs = output.log_probs(last.token_logits.float()).exp()  # (B, M, C+1)
        attention = None if last.a2f_attention is None else last.a2f_attention.float()
        cost = matching_cost(
            probs,
            attention,
            truth,
            class_cost=self.config.class_cost,
            overlap_cost=self.config.overlap_cost,
        )
        n_videos, n_tokens = probs.shape[:2]
        has_transcript = output.transcript is not None
        token_counts = [n_tokens] * n_videos
        if has_transcript:
            token_counts = output.token_mask.sum(1).tolist()
        matched = match_videos(self.config.match, cost, truth, token_counts)
        pairs = []
        for row in matched:
            pairs.append(
                [(int(row[segment]), int(segment)) for segment in np.flatnonzero(row >= 0)]
            )

        of_segment = torch.from_numpy(matched).to(cost.device, non_blocking=True)  # (B, S)
        slot = torch.where(of_segment < 0, n_tokens, of_segment)  # spare slot if unmatched
        token_classes = slot.new_full((n_videos, n_tokens + 1), self.classes.count)
        # All segments of a token have the same class.
        token_classes = token_classes.scatter(1, slot, truth.classes)[:, :-1]  # (B, M)
        of_token = slot.new_zeros(n_videos, n_tokens + 1)
        of_token = of_token.scatter_add_(1, slot, torch.ones_like(slot))[:, :-1]  # (B, M)
        token = pad(of_segment, (0, 1), value=-1).gather(1, truth.segment)  # (B, T)
        labelled = truth.labels >= 0
        null = self.class_weights.new_full((1,), self.null_weight(n_tokens, has_transcript))
        target = _Target(
            labels=truth.labels.clamp(min=0),
            labelled=labelled,
            frames=labelled.sum(1).clamp(min=1),
            some=labelled.any(1).float(),
            token=token.clamp(min=0),
            matched=token >= 0,
            token_classes=token_classes,
            of_token=of_token,
            token_mask=output.token_mask,
            class_weights=torch.cat([self.class_weights, null]),
            frame_weights=frame_weights(truth, self.is_action, self.config.segment_balance),
        )
        return target, tuple(pairs)

    def null_weight(self, n_tokens: int, has_transcript: bool) -> float:
        """Return the weight of the null class. For -1, it is M / ((M - mean transcript) * C)."""
        if has_transcript:
            return 1.0
        if self.config.null_weight >= 0:
            return self.config.null_weight
        if self.mean_transcript_length is None:
            problem = "-1 (automatic) needs the mean transcript length"
            raise InputError("loss.null_weight", problem, "give it, or set a weight")
        spare = n_tokens - self.mean_transcript_length
        if spare <= 0:
            length = f"{self.mean_transcript_length:.1f} segments per video on average"
            problem = f"{n_tokens} tokens for {length}"
            fix = "raise model.tokens, or set loss.null_weight"
            raise InputError("model.tokens", problem, fix)
        return n_tokens / (spare * self.classes.null_divisor)

    def _block(self, output: Output, block: BlockOutput, target: _Target) -> BlockTerms:
        logp = output.log_probs(block.frame_logits.float())  # (B, T, C)
        units = _Units.of(block, target)
        frame = _frame_term(logp, target)  # (B,), like all terms
        if block.segment_logits is not None:
            segment_logp = output.log_probs(block.segment_logits.float())
            frame = (frame + _segment_term(segment_logp, units, target)) / 2
        token_logp = output.log_probs(block.token_logits.float())
        token = _token_term(token_logp, target, mean=output.log_probabilities)
        f2a, a2f = _attention_terms(block, units, target)
        smooth = torch.zeros_like(target.some)
        if self.config.smoothing:
            smooth = self.config.smoothing * _smooth_term(logp, block, target)

        # The verb-noun model halves class terms.
        share = 0.5 if output.log_probabilities else 1.0
        weight = self.config.token_weight

        def mean(term: Tensor) -> Tensor:
            return (target.some * term).mean()

        return BlockTerms(
            frame=mean(share * frame),
            token=mean(weight * share * token),
            f2a=mean(weight * f2a),
            a2f=mean(weight * a2f),
            smooth=mean(smooth),
        )


# Used instead of -inf, for which differences and gradients are not numbers.
_LOWEST = torch.finfo(torch.float32).min


def _check_labels(truth: Truth, n_classes: int) -> None:
    for transcript in truth.transcripts:
        largest = int(transcript.max()) if len(transcript) else -1
        if largest >= n_classes:
            problem = f"label {largest} is not one of the {n_classes} classes"
            raise InputError("loss", problem)


@dataclass(frozen=True)
class _Units:
    """The units that a block attends from and to: N frames, or N predicted segments."""

    of_frame: Tensor  # (B, T) unit of each frame
    frames: Tensor  # (B, N) number of labelled frames in each unit
    count: Tensor  # (B,) number of units with a labelled frame, at least 1

    @classmethod
    def of(cls, block: BlockOutput, target: _Target) -> _Units:
        labelled = target.labelled
        if block.segments is None:
            every = torch.arange(labelled.shape[1], device=labelled.device).expand_as(labelled)
            return cls(every, labelled.float(), target.frames)
        of_frame = block.segments.of_frame
        frames = torch.zeros(block.segments.mask.shape, device=of_frame.device)
        frames.scatter_add_(1, of_frame, labelled.float())
        return cls(of_frame, frames, (frames > 0).sum(1).clamp(min=1))


def _picked(values: Tensor, index: Tensor) -> Tensor:
    """Return the element (B, N) at an index (B, N) in each row of (B, N, K)."""
    return values.gather(2, index.unsqueeze(2)).squeeze(2)


def _frame_term(logp: Tensor, target: _Target) -> Tensor:
    """Compute the mean weighted negative log-likelihood over labelled frames."""
    weights = target.class_weights[target.labels] * target.frame_weights * target.labelled
    terms = weights * _picked(logp, target.labels)
    return -terms.sum(1) / target.frames


def _segment_term(logp: Tensor, units: _Units, target: _Target) -> Tensor:
    """Compute the cross entropy between predicted segments (B, N, C) and the labels in each."""
    share = torch.zeros_like(logp).flatten(1)  # (B, N*C)
    index = units.of_frame * logp.shape[2] + target.labels  # (B, T)
    share.scatter_add_(1, index, target.labelled.float())
    unit_frames = units.frames.clamp(min=1).unsqueeze(2)  # (B, N, 1)
    share = share.view_as(logp) / unit_frames  # (B, N, C)
    terms = share * logp * target.class_weights[:-1]
    return -terms.sum((1, 2)) / units.count


def _token_term(logp: Tensor, target: _Target, mean: bool) -> Tensor:
    """Compute the cross entropy of the tokens.

    It is the weighted mean or, with `mean`, the mean of the weighted terms (verb-noun).
    """
    weights = target.class_weights[target.token_classes] * target.token_mask  # (B, M)
    terms = -weights * _picked(logp, target.token_classes)
    divisor = target.token_mask if mean else weights
    total = divisor.sum(1)
    # The total is 0 if the null class has no weight and the video no label.
    return terms.sum(1) / torch.where(total > 0, total, 1.0)


def _attention_terms(block: BlockOutput, units: _Units, target: _Target) -> tuple[Tensor, Tensor]:
    """Compute the cross entropy of both cross attentions (FACT equations 10 and 11).

    For a frame whose segment is matched, its unit should attend to the segment's token, and the
    token to the unit.
    """
    if block.a2f_attention_logits is None or block.f2a_attention_logits is None:
        zeros = torch.zeros_like(target.some)
        return zeros, zeros
    # The softmax is over tokens, each counted once per matched segment.
    a2f = block.a2f_attention_logits.float()  # (B, N, M)
    unmatched = (target.of_token == 0).unsqueeze(1)  # (B, 1, M)
    a2f = a2f.masked_fill(unmatched, _LOWEST)
    log_counts = target.of_token.clamp(min=1).log().unsqueeze(1)
    of_unit = (a2f + log_counts).logsumexp(2)  # (B, N)
    # The softmax is over the units that have a labelled frame.
    f2a = block.f2a_attention_logits.float()  # (B, M, N)
    unlabelled = (units.frames == 0).unsqueeze(1)  # (B, 1, N)
    f2a = f2a.masked_fill(unlabelled, _LOWEST)
    of_token = f2a.logsumexp(2)  # (B, M)

    unit_frames = units.frames.gather(1, units.of_frame).clamp(min=1)  # (B, T)
    weights = target.class_weights[target.labels] * target.matched  # (B, T)
    weights = weights / unit_frames / units.count.unsqueeze(1)
    token_index = units.of_frame * a2f.shape[2] + target.token  # (B, T)
    unit_index = target.token * f2a.shape[2] + units.of_frame  # (B, T)
    to_token = a2f.flatten(1).gather(1, token_index)  # (B, T)
    to_unit = f2a.flatten(1).gather(1, unit_index)  # (B, T)
    a2f_terms = weights * (of_unit.gather(1, units.of_frame) - to_token)
    f2a_terms = weights * (of_token.gather(1, target.token) - to_unit)
    return f2a_terms.sum(1), a2f_terms.sum(1)


def _smooth_term(logp: Tensor, block: BlockOutput, target: _Target) -> Tensor:
    """Compute the truncated squared change of log-probabilities between neighbours (MS-TCN).

    It covers frames and, in ``u``, attention.
    """
    both = target.labelled[:, 1:] & target.labelled[:, :-1]  # (B, T-1)
    pairs = both.sum(1).clamp(min=1)
    total = _changes(logp, both) / (pairs * logp.shape[2])
    a2f = block.a2f_attention_logits
    f2a = block.f2a_attention_logits
    if block.segments is not None or a2f is None or f2a is None:
        return total

    unreal = ~target.token_mask.unsqueeze(1) | ~target.labelled.unsqueeze(2)  # (B, T, M)
    for attention in (a2f, f2a.transpose(1, 2)):
        logits = attention.float().masked_fill(unreal, _LOWEST)
        logs = logits.log_softmax(2).masked_fill(unreal, 0.0)
        total = total + _changes(logs, both) / (pairs * target.token_mask.sum(1))
    return total


def _changes(values: Tensor, both: Tensor) -> Tensor:
    """Sum the squared changes of (B, T, K), at most 16 each, if both neighbours count: (B,)."""
    changes = values[:, 1:] - values[:, :-1]  # (B, T-1, K)
    squares = (changes**2).clamp(max=16)
    return (squares * both.unsqueeze(2)).sum((1, 2))


def class_weights(
    config: LossConfig, count: int, background: Collection[int], frames: Sequence[int] | None = None
) -> Tensor:
    """Return the weight of each class.

    Args:
        config: Settings with ``background_weight`` for background and ``balance`` for actions.
            The weight of an action with n frames is n^-balance, scaled to mean 1 over the frames
            of all actions. It is 1 for an action without frames, or without ``balance``.
        count: Number of classes, C.
        background: Indices of the background classes.
        frames: Training frames of each class (C,), for ``balance``.

    Returns:
        The weights, (C,).
    """
    weights = torch.ones(count)
    if config.balance:
        if frames is None:
            problem = "above 0 needs the frames of each class"
            raise InputError("loss.balance", problem, "give frames")
        action_frames = [0 if label in background else frames[label] for label in range(count)]
        counts = torch.tensor(action_frames).double()
        powers = counts.clamp(min=1) ** -config.balance
        scale = counts.sum() / (powers * counts).sum()
        weights = torch.where(counts > 0, powers * scale, 1.0).float()
    weights[list(background)] = config.background_weight
    return weights


def frame_weights(truth: Truth, is_action: Tensor, exponent: float) -> Tensor:
    """Return the weight of each frame by the length of its segment.

    Edit and F1 count segments, but a loss over frames counts seconds. Without this weight, the
    model neglects short actions.

    Args:
        truth: True segments.
        is_action: Whether each class is an action, (C,).
        exponent: Exponent b. A frame in an action segment of n frames has the weight n^-b, scaled
            to mean 1 in each video.

    Returns:
        The weights (B, T), 1 for frames without an action.
    """
    if not exponent:
        return torch.ones(truth.labels.shape, device=truth.labels.device)
    lengths = segment_lengths(truth).float()
    classes = truth.classes.clamp(min=0)  # (B, S)
    action = is_action[classes] & (truth.classes >= 0)  # (B, S)
    powers = torch.where(action, lengths**-exponent, 0.0)
    frames = torch.where(action, lengths, 0.0)
    mean = (powers * frames).sum(1, keepdim=True) / frames.sum(1, keepdim=True)
    weights = torch.where(action, powers / mean, 1.0)  # (B, S)
    weights = pad(weights, (0, 1), value=1.0)
    return weights.gather(1, truth.segment)


def info_nce(similarity: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    """Compute InfoNCE as published for FACT-CLIP: mean of both directions, mean over the videos.

    Args:
        similarity: Similarity of frames and texts divided by the temperature, (B, T, C).
        labels: Labels (B, T), -1 for ignored frames.
        seen: Classes that count, (K,).

    Returns:
        A scalar.
    """
    n_classes = similarity.shape[2]
    column = seen.new_full((n_classes + 1,), -1)  # the last element is for label -1
    column[seen] = torch.arange(len(seen), device=seen.device)
    target = column[labels]  # (B, T) position among the seen classes
    used = (target >= 0).float()
    index = target.clamp(min=0)
    scores = similarity[..., seen]  # (B, T, K)

    over_texts = scores.log_softmax(2)  # (B, T, K)
    of_label = _picked(over_texts, index)  # (B, T)
    n_frames = used.sum(1).clamp(min=1)
    to_text = -(of_label * used).sum(1) / n_frames  # (B,)

    lowest = torch.finfo(scores.dtype).min
    ignored = (used == 0).unsqueeze(2)  # (B, T, 1)
    over_time = scores.masked_fill(ignored, lowest).log_softmax(1)
    picked = _picked(over_time, index) * used  # (B, T)
    counts = torch.zeros_like(scores[:, 0]).scatter_add_(1, index, used)  # (B, K)
    sums = torch.zeros_like(counts).scatter_add(1, index, -picked)
    of_class = sums / counts.clamp(min=1)  # (B, K), 0 for absent classes
    return ((to_text + of_class.mean(1)) / 2).mean()
