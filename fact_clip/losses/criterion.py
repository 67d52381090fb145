"""The loss of FACT: named terms for each block, averaged over blocks and videos (docs/method.md, 'Loss').

Each video is matched once, by the last block. All of it computes in float32 whatever the autocast: in bfloat16 a sum
over frames stops growing at a few hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fact_clip.config import LossConfig
from fact_clip.core.arguments import number_of, table_of, whole_of
from fact_clip.core.errors import ConfigKey, InputError
from fact_clip.losses.matching import (
    Pairs,
    match_videos,
    matching_cost,
    segment_lengths,
    token_of_segment,
)
from fact_clip.losses.truth import Truth
from fact_clip.models.heads import Classes
from fact_clip.models.output import BlockOutput, Output


@dataclass(frozen=True)
class BlockTerms:
    """One block's loss terms, each a scalar, already weighted; ``total`` is their sum."""

    frame: Tensor
    token: Tensor
    f2a: Tensor
    a2f: Tensor
    smooth: Tensor

    @property
    def total(self) -> Tensor:
        """The block's loss."""
        return self.frame + self.token + self.f2a + self.a2f + self.smooth


@dataclass(frozen=True)
class LossTerms:
    """What the criterion gives back; ``total`` is minimised."""

    total: Tensor
    blocks: tuple[BlockTerms, ...]  # mean over the videos
    fact: Tensor  # mean of the blocks' totals
    contrastive: Tensor | None  # InfoNCE of an alignment head
    matches: tuple[Pairs, ...]  # (token, segment) pairs of each video

    def as_dict(self) -> dict[str, float]:
        """Plain numbers for a log: ``total``, each term's mean over blocks, ``contrastive`` where there is one."""
        values = self.detached()
        return dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))

    def detached(self) -> dict[str, Tensor]:
        """The values of :meth:`as_dict`, still on the device and without gradient."""
        values = {"total": self.total}
        for field in fields(BlockTerms):
            values[field.name] = torch.stack(
                [getattr(block, field.name) for block in self.blocks]
            ).mean()
        if self.contrastive is not None:
            values["contrastive"] = self.contrastive
        return {name: value.detach() for name, value in values.items()}


@dataclass(frozen=True)
class _Target:
    """What every term of a batch reads. Where ``known`` is false a frame has weight zero."""

    labels: Tensor  # (B, T) class, 0 where not known
    labelled: Tensor  # (B, T) the frame has a label
    frames: Tensor  # (B,) number of known frames, at least 1
    some: Tensor  # (B,) 1.0 for a video with a known frame, else 0.0
    token: Tensor  # (B, T) the token that the frame's segment is matched to, 0 where there is none
    matched: Tensor  # (B, T) the frame's segment is matched
    token_classes: Tensor  # (B, M) class of each token's matched segment, else null
    of_token: Tensor  # (B, M) number of segments matched to each token
    token_mask: Tensor  # (B, M) real tokens
    class_weights: Tensor  # (C+1,)
    frame_weights: Tensor  # (B, T)


class Criterion:
    """Matching and loss for any closed set of classes; ignored frames (label -1) are left out of everything.

    Args:
        config: weights and the matcher.
        classes: the class count (and verbs and nouns).
        background: indices of background classes, weighted by ``config.background_weight``.
        mean_transcript_length: mean number of segments of the training videos, for ``null_weight = -1``.
        unseen: classes left out of the contrastive loss.
        frames: training frames of each class, (C,), where ``config.balance`` is above 0.
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
        self.config, self.classes, self.background = config, classes, tuple(background)
        self.mean_transcript_length = mean_transcript_length
        self.class_weights = class_weights(config, classes.count, background, frames)
        self.is_action = torch.tensor(
            [label not in self.background for label in range(classes.count)]
        )
        self.seen = torch.tensor([c for c in range(classes.count) if c not in set(unseen)])

    def __call__(
        self, output: Output, labels: Tensor | Truth, mask: Tensor | None = None
    ) -> LossTerms:
        """Loss of a batch at its real frames, by `mask` (B, T) or the output.

        Labels are class indices (B, T) or (T,), -1 where a frame is ignored; or the :class:`Truth` that a loader has
        cut from them, with -1 at padding, which saves asking the device.
        """
        mask = output.mask if mask is None else mask
        table = labels.labels if isinstance(labels, Truth) else torch.atleast_2d(labels)
        if table.shape != mask.shape or table.dtype != torch.int64:
            problem = f"labels of type {table.dtype} and shape {tuple(table.shape)}"
            raise InputError(
                "loss", f"{problem}, not class indices, torch.int64, {tuple(mask.shape)}"
            )
        if not isinstance(labels, Truth):
            labels = Truth.of(table.masked_fill(~mask, -1))
        largest = max(
            (int(transcript.max()) for transcript in labels.transcripts if len(transcript)),
            default=-1,
        )
        if largest >= self.classes.count:
            raise InputError(
                "loss", f"label {largest} is not one of the {self.classes.count} classes"
            )
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
        contrastive, total = None, fact
        if output.alignment_logits is not None:
            contrastive = info_nce(output.alignment_logits.float(), truth.labels, self.seen)
            total = self.config.fact_weight * fact + self.config.contrastive_weight * contrastive
        return LossTerms(total, blocks, fact, contrastive, matches)

    def _match(self, output: Output, truth: Truth) -> tuple[_Target, tuple[Pairs, ...]]:
        last, labelled, (videos, segments) = (
            output.blocks[-1],
            truth.labels >= 0,
            truth.classes.shape,
        )
        probs = output.log_probs(last.token_logits.float()).exp()  # (B, M, C+1)
        attention = None if last.a2f_attention is None else last.a2f_attention.float()
        cost = matching_cost(
            probs, attention, truth, self.config.class_cost, self.config.overlap_cost
        )
        width, has_transcript = probs.shape[1], output.transcript is not None
        tokens = output.token_mask.sum(1).tolist() if has_transcript else [width] * videos
        pairs = match_videos(self.config.match, cost, truth, tokens)
        of_segment = token_of_segment(pairs, segments, cost.device)  # (B, S), -1 where unmatched
        slot = torch.where(of_segment < 0, width, of_segment)  # a spare place for what is unmatched
        token_classes = slot.new_full((videos, width + 1), self.classes.count)
        token_classes = token_classes.scatter(1, slot, truth.classes)[
            :, :-1
        ]  # segments of one token have one class
        of_token = slot.new_zeros(videos, width + 1).scatter_add_(1, slot, torch.ones_like(slot))[
            :, :-1
        ]
        token = torch.nn.functional.pad(of_segment, (0, 1), value=-1).gather(
            1, truth.segment
        )  # (B, T)
        null = self.class_weights.new_full((1,), self.null_weight(width, has_transcript))
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
        return target, pairs

    def null_weight(self, n_tokens: int, transcript_given: bool) -> float:
        """Weight of the null class; for -1 it is M / ((M - mean transcript length) * C)."""
        if transcript_given:
            return 1.0
        if self.config.null_weight >= 0:
            return self.config.null_weight
        if self.mean_transcript_length is None:
            problem = "-1 (automatic) needs the mean transcript length"
            raise InputError(ConfigKey("loss.null_weight"), problem, "give it, or a weight")
        spare = n_tokens - self.mean_transcript_length
        if spare <= 0:
            problem = f"{n_tokens} tokens for {self.mean_transcript_length:.1f} segments per video on average"
            raise InputError(
                ConfigKey("model.tokens"), problem, "raise model.tokens, or give loss.null_weight"
            )
        return n_tokens / (spare * self.classes.null_divisor)

    def _block(self, output: Output, block: BlockOutput, target: _Target) -> BlockTerms:
        logp = output.log_probs(block.frame_logits.float())  # (B, T, C)
        units = _Units.of(block, target)
        frame = _frame_term(logp, target)  # (B,), like every term
        if block.segment_logits is not None:
            frame = (
                frame + _segment_term(output.log_probs(block.segment_logits.float()), units, target)
            ) / 2
        token = _token_term(
            output.log_probs(block.token_logits.float()), target, mean=output.log_probabilities
        )
        f2a, a2f = _attention_terms(block, units, target)
        smooth = torch.zeros_like(target.some)
        if self.config.smoothing:
            smooth = self.config.smoothing * _smooth_term(logp, block, target)
        share = (
            0.5 if output.log_probabilities else 1.0
        )  # the verb-noun model counts class terms half
        weight = self.config.token_weight
        terms = (share * frame, weight * share * token, weight * f2a, weight * a2f, smooth)
        return BlockTerms(*((target.some * term).mean() for term in terms))


_LOWEST = torch.finfo(
    torch.float32
).min  # In place of -inf, whose differences and gradients are not numbers


@dataclass(frozen=True)
class _Units:
    """What a block attends from and to: N frames, or N predicted segments."""

    of_frame: Tensor  # (B, T) the unit of each frame
    frames: Tensor  # (B, N) known frames in each unit
    count: Tensor  # (B,) units with a known frame, at least 1

    @classmethod
    def of(cls, block: BlockOutput, target: _Target) -> _Units:
        if block.segments is None:
            every = torch.arange(target.labelled.shape[1], device=target.labelled.device).expand_as(
                target.labelled
            )
            return cls(every, target.labelled.float(), target.frames)
        of_frame = block.segments.of_frame
        frames = torch.zeros(block.segments.mask.shape, device=of_frame.device)
        frames.scatter_add_(1, of_frame, target.labelled.float())
        return cls(of_frame, frames, (frames > 0).sum(1).clamp(min=1))


def _frame_term(logp: Tensor, target: _Target) -> Tensor:
    """Weighted negative log-likelihood over labelled frames, divided by their number (not by their weights)."""
    picked = logp.gather(2, target.labels.unsqueeze(2)).squeeze(2)  # (B, T)
    weights = target.class_weights[target.labels] * target.frame_weights * target.labelled
    return -(weights * picked).sum(1) / target.frames


def _segment_term(logp: Tensor, units: _Units, target: _Target) -> Tensor:
    """The same over predicted segments (B, N, C), against the distribution of labels inside each."""
    share = torch.zeros_like(logp).flatten(1)  # (B, N*C)
    share.scatter_add_(1, units.of_frame * logp.shape[2] + target.labels, target.labelled.float())
    share = share.view_as(logp) / units.frames.clamp(min=1).unsqueeze(2)
    return -(share * logp * target.class_weights[:-1]).sum((1, 2)) / units.count


def _token_term(logp: Tensor, target: _Target, mean: bool) -> Tensor:
    """Cross entropy of the tokens: the weighted mean, or the plain ``mean`` of the weighted terms (verb-noun)."""
    weights = target.class_weights[target.token_classes] * target.token_mask  # (B, M)
    terms = -weights * logp.gather(2, target.token_classes.unsqueeze(2)).squeeze(2)
    return terms.sum(1) / (target.token_mask.sum(1) if mean else weights.sum(1))


def _attention_terms(block: BlockOutput, units: _Units, target: _Target) -> tuple[Tensor, Tensor]:
    """Cross entropy of both cross attentions against the matched true segments (FACT equations 10 and 11).

    A frame whose segment is matched asks its unit to attend to that segment's token, and the token to the unit.
    """
    if block.a2f_attention_logits is None or block.f2a_attention_logits is None:
        return torch.zeros_like(target.some), torch.zeros_like(target.some)
    a2f, f2a = (
        block.a2f_attention_logits.float(),
        block.f2a_attention_logits.float(),
    )  # (B, N, M), (B, M, N)
    # Over tokens, each as often as segments are matched to it; and over the units that have a known frame.
    a2f = a2f.masked_fill((target.of_token == 0).unsqueeze(1), _LOWEST)
    f2a = f2a.masked_fill((units.frames == 0).unsqueeze(1), _LOWEST)
    of_unit = (a2f + target.of_token.clamp(min=1).log().unsqueeze(1)).logsumexp(2)  # (B, N)
    of_token = f2a.logsumexp(2)  # (B, M)
    weights = target.class_weights[target.labels] * target.matched  # (B, T)
    weights = (
        weights / units.frames.gather(1, units.of_frame).clamp(min=1) / units.count.unsqueeze(1)
    )
    to_token = a2f.flatten(1).gather(1, units.of_frame * a2f.shape[2] + target.token)  # (B, T)
    to_unit = f2a.flatten(1).gather(1, target.token * f2a.shape[2] + units.of_frame)  # (B, T)
    a2f_term = weights * (of_unit.gather(1, units.of_frame) - to_token)
    return (weights * (of_token.gather(1, target.token) - to_unit)).sum(1), a2f_term.sum(1)


def _smooth_term(logp: Tensor, block: BlockOutput, target: _Target) -> Tensor:
    """Truncated squared change of log-probabilities between neighbours (MS-TCN), of frames and, in ``u``, attention."""
    both = target.labelled[:, 1:] & target.labelled[:, :-1]  # (B, T-1)
    pairs = both.sum(1).clamp(min=1)
    a2f, f2a = block.a2f_attention_logits, block.f2a_attention_logits
    total = _changes(logp, both) / (pairs * logp.shape[2])
    if block.segments is None and a2f is not None and f2a is not None:
        unreal = ~target.token_mask.unsqueeze(1) | ~target.labelled.unsqueeze(2)  # (B, T, M)
        for attention in (a2f, f2a.transpose(1, 2)):
            logs = (
                attention.float()
                .masked_fill(unreal, _LOWEST)
                .log_softmax(2)
                .masked_fill(unreal, 0.0)
            )
            total = total + _changes(logs, both) / (pairs * target.token_mask.sum(1))
    return total


def _changes(values: Tensor, both: Tensor) -> Tensor:
    """(B,) sum of the squared changes of (B, T, K), at most 16 each, where both neighbours count."""
    return (((values[:, 1:] - values[:, :-1]) ** 2).clamp(max=16) * both.unsqueeze(2)).sum((1, 2))


def class_weights(
    config: LossConfig, count: int, background: Collection[int], frames: Sequence[int] | None = None
) -> Tensor:
    """(C,) ``background_weight`` for background; 1 for actions, or n^-``balance`` for one of n of the ``frames`` (C,).

    Balanced weights are scaled so that their mean over all frames of actions is 1; an action without frames has 1.
    """
    weights = torch.ones(count)
    if config.balance:
        if frames is None:
            raise InputError(
                ConfigKey("loss.balance"), "above 0 needs the frames of each class", "give frames"
            )
        counts = torch.tensor(
            [0 if label in background else frames[label] for label in range(count)]
        ).double()
        powers = counts.clamp(min=1) ** -config.balance
        scale = counts.sum() / (powers * counts).sum()
        weights = torch.where(counts > 0, powers * scale, 1.0).float()
    weights[list(background)] = config.background_weight
    return weights


def frame_weights(truth: Truth, is_action: Tensor, exponent: float) -> Tensor:
    """(B, T) n^-exponent for a frame of an action segment of n frames, their mean 1 in a video; 1 for other frames.

    Edit and F1 count segments, a loss over frames counts seconds: without this weight short actions are given up.
    ``is_action`` is (C,), false for background.
    """
    if not exponent:
        return torch.ones(truth.labels.shape, device=truth.labels.device)
    lengths = segment_lengths(truth).float()
    action = is_action[truth.classes.clamp(min=0)] & (truth.classes >= 0)  # (B, S)
    powers = torch.where(action, lengths**-exponent, 0.0)
    frames = torch.where(action, lengths, 0.0)
    mean = (powers * frames).sum(1, keepdim=True) / frames.sum(1, keepdim=True)
    weights = torch.where(action, powers / mean, 1.0)
    return torch.nn.functional.pad(weights, (0, 1), value=1.0).gather(1, truth.segment)


def info_nce(similarity: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    """InfoNCE as FACT-CLIP published it: mean of both directions over the `seen` classes (K,), mean over the videos.

    `similarity` is that of frames and texts over the temperature, (B, T, C); labels (B, T) are -1 at frames left out.
    """
    column = seen.new_full((similarity.shape[2] + 1,), -1)
    column[seen] = torch.arange(len(seen), device=seen.device)
    target = column[
        labels
    ]  # (B, T) position among the seen classes; the spare last entry answers label -1
    used, index = (target >= 0).float(), target.clamp(min=0)
    scores = similarity[..., seen]  # (B, T, K)
    frames = used.sum(1)
    to_text = -(scores.log_softmax(2).gather(2, index.unsqueeze(2)).squeeze(2) * used).sum(
        1
    ) / frames.clamp(min=1)
    over_time = scores.masked_fill(
        (used == 0).unsqueeze(2), torch.finfo(scores.dtype).min
    ).log_softmax(1)
    picked = over_time.gather(2, index.unsqueeze(2)).squeeze(2) * used  # (B, T)
    counts = torch.zeros_like(scores[:, 0]).scatter_add_(1, index, used)  # (B, K)
    of_class = torch.zeros_like(counts).scatter_add(1, index, -picked) / counts.clamp(
        min=1
    )  # absent classes are 0
    return ((to_text + of_class.mean(1)) / 2).mean()
