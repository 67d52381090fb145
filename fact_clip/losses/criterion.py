"""The loss of FACT: named terms for each block, averaged over blocks and videos (docs/method.md, 'Loss').

Each video of a batch is cut out of its padding, matched once by its last block, and judged in every block. All of it
computes in float32 whatever the autocast: in bfloat16 a sum over frames stops growing at a few hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from fact_clip.config import LossConfig
from fact_clip.losses.matching import Pairs, TrueSegments, match, matching_cost
from fact_clip.models.heads import Classes
from fact_clip.models.output import BlockOutput, Output, Segments


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
        result = {"total": self.total.item()}
        for field in fields(BlockTerms):
            result[field.name] = sum(getattr(block, field.name).item() for block in self.blocks) / len(self.blocks)
        if self.contrastive is not None:
            result["contrastive"] = self.contrastive.item()
        return result


@dataclass(frozen=True)
class _Video:
    """What every term of one video reads."""

    labels: Tensor  # (T,)
    truth: TrueSegments
    pairs: Pairs
    token_classes: Tensor  # (M,) class of each token's matched segment, else null
    class_weights: Tensor  # (C+1,)
    frame_weights: Tensor  # (T,)


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
        self.config, self.classes, self.background = config, classes, tuple(background)
        self.mean_transcript_length = mean_transcript_length
        self.class_weights = class_weights(config, classes.count, background, frames)
        self.seen = torch.tensor([c for c in range(classes.count) if c not in set(unseen)])

    def __call__(self, output: Output, labels: Tensor, mask: Tensor | None = None) -> LossTerms:
        """Loss of a batch.

        Args:
            output: the model's output.
            labels: (B, T) or (T,) class indices, -1 where a frame is ignored.
            mask: (B, T) real frames; None: those of the output.
        """
        labels = labels.unsqueeze(0) if labels.dim() == 1 else labels
        mask = output.mask if mask is None else mask
        if labels.shape != mask.shape:
            raise ValueError(f"labels are {tuple(labels.shape)}; expected {tuple(mask.shape)}, one per frame")
        if int(labels.max()) >= self.classes.count:
            raise ValueError(f"label {int(labels.max())} is not one of the {self.classes.count} classes")
        with torch.autocast(mask.device.type, enabled=False):
            return self._loss(output, labels, mask)

    def _loss(self, output: Output, labels: Tensor, mask: Tensor) -> LossTerms:
        videos, matches = [], []
        for index in range(len(labels)):
            alone = _alone(output, index, int(mask[index].sum()))
            video = self._match(alone, labels[index, : alone.mask.shape[1]])
            videos.append([self._block(alone, block, video) for block in alone.blocks])
            matches.append(video.pairs)
        blocks = tuple(map(_mean_terms, zip(*videos, strict=True)))
        fact = torch.stack([block.total for block in blocks]).mean()
        contrastive, total = None, fact
        if output.alignment_logits is not None:
            known = labels.masked_fill(~mask, -1)
            contrastive = info_nce(output.alignment_logits.float(), known, self.seen.to(labels.device))
            total = self.config.fact_weight * fact + self.config.contrastive_weight * contrastive
        return LossTerms(total, blocks, fact, contrastive, tuple(matches))

    def _match(self, output: Output, labels: Tensor) -> _Video:
        truth, last = TrueSegments.of(labels), output.blocks[-1]
        probs = output.log_probs(last.token_logits)[0].exp()  # (M, C+1)
        attention = None if last.a2f_attention is None else last.a2f_attention[0]
        cost = matching_cost(probs, attention, truth, self.config.class_cost, self.config.overlap_cost)
        pairs = match(self.config.match, cost, truth.classes)
        token_classes = torch.full((len(probs),), self.classes.count, device=labels.device)
        for token, segment in pairs:  # several segments of one token have one class
            token_classes[token] = truth.classes[segment]
        null = self.null_weight(len(probs), output.transcript is not None)
        weights = torch.cat([self.class_weights, torch.tensor([null])]).to(labels.device)
        by_length = frame_weights(truth, self.background, self.config.segment_balance)
        return _Video(labels, truth, pairs, token_classes, weights, by_length)

    def null_weight(self, n_tokens: int, transcript_given: bool) -> float:
        """Weight of the null class; for -1 it is M / ((M - mean transcript length) * C)."""
        if transcript_given:
            return 1.0
        if self.config.null_weight >= 0:
            return self.config.null_weight
        if self.mean_transcript_length is None:
            raise ValueError("loss.null_weight is -1 (automatic), which needs the mean transcript length")
        spare = n_tokens - self.mean_transcript_length
        if spare <= 0:
            found = f"{n_tokens} tokens for {self.mean_transcript_length:.1f} segments per video on average"
            raise ValueError(f"{found}: raise model.tokens, or give loss.null_weight")
        return n_tokens / (spare * self.classes.null_divisor)

    def _block(self, output: Output, block: BlockOutput, video: _Video) -> BlockTerms:
        if not bool(video.truth.known.any()):
            zero = block.frame_logits.sum() * 0 + block.token_logits.sum() * 0
            return BlockTerms(zero, zero, zero, zero, zero)
        frame = _frame_term(output.log_probs(block.frame_logits)[0], video)
        if block.segments is not None and block.segment_logits is not None:
            segment = _segment_term(output.log_probs(block.segment_logits)[0], block.segments, video)
            frame = (frame + segment) / 2
        token = _token_term(output.log_probs(block.token_logits)[0], video, mean=output.log_probabilities)
        f2a, a2f = _attention_terms(block, video)
        smooth = block.frame_logits.sum() * 0
        if self.config.smoothing:
            smooth = self.config.smoothing * _smooth_terms(output, block, video.truth.known)
        share = 0.5 if output.log_probabilities else 1.0  # the verb-noun model counts class terms half
        return BlockTerms(share * frame, share * token, f2a, a2f, smooth)


# --- one video of a batch -----------------------------------------------------------------------------

# The axes of a block's tensors after the batch: frames, tokens, units (frames or predicted segments).
_AXES = {
    "frame_features": "T",
    "frame_logits": "T",
    "token_features": "M",
    "token_logits": "M",
    "segment_logits": "N",
    "a2f_attention": "TM",
    "a2f_attention_logits": "NM",
    "f2a_attention_logits": "MN",
}


def _alone(output: Output, index: int, n_frames: int) -> Output:
    """One video of a batch without its padding, in float32."""
    one = slice(index, index + 1)
    n_tokens = int(output.token_mask[index].sum())

    def cut(block: BlockOutput) -> BlockOutput:
        sizes, values = {"T": n_frames, "M": n_tokens, "N": n_frames}, dict[str, Any]()
        if block.segments is not None:
            sizes["N"] = units = int(block.segments.mask[index].sum())
            whole = block.segments
            per_segment = (each[one, :units] for each in (whole.mask, whole.centre, whole.length))
            values["segments"] = Segments(whole.of_frame[one, :n_frames], *per_segment)
        for name, axes in _AXES.items():
            tensor = getattr(block, name)
            if tensor is not None:
                values[name] = tensor[(one, *(slice(sizes[axis]) for axis in axes))].float()
        return BlockOutput(**values)

    mask, token_mask = output.mask[one, :n_frames], output.token_mask[one, :n_tokens]
    return replace(output, blocks=tuple(map(cut, output.blocks)), mask=mask, token_mask=token_mask)


def _mean_terms(terms: Sequence[BlockTerms]) -> BlockTerms:
    return BlockTerms(*(torch.stack([getattr(t, f.name) for t in terms]).mean() for f in fields(BlockTerms)))


# --- the terms of a block -----------------------------------------------------------------------------


def _frame_term(logp: Tensor, video: _Video) -> Tensor:
    """Weighted negative log-likelihood over labelled frames, divided by their number (not by their weights)."""
    known = video.truth.known
    labels = video.labels[known]
    picked = logp[known].gather(1, labels.unsqueeze(1)).squeeze(1)
    return -(video.class_weights[labels] * video.frame_weights[known] * picked).sum() / len(labels)


def _segment_term(logp: Tensor, segments: Segments, video: _Video) -> Tensor:
    """The same over predicted segments (S, C), against the distribution of labels inside each."""
    onehot = one_hot(video.labels.clamp(min=0), logp.shape[1]).float()
    share, real = _share(segments, onehot, video.truth.known)
    return -(share * logp[real] * video.class_weights[:-1]).sum() / max(len(share), 1)


def _token_term(logp: Tensor, video: _Video, mean: bool) -> Tensor:
    """Cross entropy of the tokens: the weighted mean, or the plain ``mean`` of the weighted terms (verb-noun)."""
    weights = video.class_weights[video.token_classes]
    terms = -weights * logp.gather(1, video.token_classes.unsqueeze(1)).squeeze(1)
    return terms.mean() if mean else terms.sum() / weights.sum()


def _attention_terms(block: BlockOutput, video: _Video) -> tuple[Tensor, Tensor]:
    """Cross entropy of both cross attentions against the matched true segments (FACT equations 10 and 11)."""
    truth, zero = video.truth, block.frame_logits.sum() * 0
    if block.a2f_attention_logits is None or block.f2a_attention_logits is None or not video.pairs:
        return zero, zero
    tokens, matched = (torch.tensor(side, device=zero.device) for side in zip(*video.pairs, strict=True))
    if block.segments is None:
        target, real = truth.onehot[truth.known], truth.known  # (N', S)
    else:
        target, real = _share(block.segments, truth.onehot, truth.known)
    weighted = target[:, matched] * video.class_weights[truth.classes[matched]] / len(target)  # (N', P)
    f2a = block.f2a_attention_logits[0][:, real].log_softmax(-1)[tokens].T  # (N', P), softmax over frames
    a2f = block.a2f_attention_logits[0][real][:, tokens].log_softmax(-1)  # (N', P), softmax over pairs
    return -(weighted * f2a).sum(), -(weighted * a2f).sum()


def _share(segments: Segments, per_frame: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of ``per_frame`` (T, K) over the labelled frames of each predicted segment that has some.

    Returns (S', K) and the (S,) choice of those segments.
    """
    of_frame, values = segments.of_frame[0][known], per_frame[known]  # (T',), (T', K)
    size = segments.mask.shape[1]
    count = values.new_zeros(size).index_add_(0, of_frame, torch.ones_like(values[:, 0]))
    total = values.new_zeros(size, values.shape[1]).index_add_(0, of_frame, values)
    real = count > 0
    return total[real] / count[real].unsqueeze(1), real


def _smooth_terms(output: Output, block: BlockOutput, known: Tensor) -> Tensor:
    """Truncated squared change of log-probabilities between neighbours (MS-TCN), of frames and, in ``u``, attention."""
    both = known[1:] & known[:-1]
    terms = [output.log_probs(block.frame_logits)[0]]  # (T, C)
    a2f, f2a = block.a2f_attention_logits, block.f2a_attention_logits
    if block.segments is None and a2f is not None and f2a is not None:
        terms += [a2f[0].log_softmax(-1), f2a[0].T.log_softmax(-1)]  # (T, M) each
    if not bool(both.any()):
        return terms[0].sum() * 0
    return torch.stack([((t[1:] - t[:-1])[both] ** 2).clamp(max=16).mean() for t in terms]).sum()


# --- weights ------------------------------------------------------------------------------------------


def class_weights(
    config: LossConfig, count: int, background: Collection[int], frames: Sequence[int] | None = None
) -> Tensor:
    """(C,) ``background_weight`` for background; 1 for actions, or their balance by ``frames`` (C,)."""
    weights = torch.ones(count)
    if config.balance:
        if frames is None:
            raise ValueError("loss.balance is above 0, which needs the training frames of each class")
        actions = torch.tensor([0 if label in background else frames[label] for label in range(count)])
        weights = balanced_weights(actions, config.balance)
    weights[list(background)] = config.background_weight
    return weights


def balanced_weights(frames: Tensor, exponent: float) -> Tensor:
    """(C,) n^-exponent for a class of n frames, scaled so that the mean over all frames is 1; 1 without frames."""
    counts = frames.double()
    weights = torch.where(counts > 0, counts.clamp(min=1) ** -exponent, 0.0)
    scale = counts.sum() / (weights * counts).sum().clamp(min=1e-12)
    return torch.where(counts > 0, weights * scale, 1.0).float()


def frame_weights(truth: TrueSegments, background: Collection[int], exponent: float) -> Tensor:
    """(T,) n^-exponent for a frame of an action segment of n frames, their mean 1; 1 for background and unlabelled.

    Edit and F1 count segments, a loss over frames counts seconds: without this weight short actions are given up.
    """
    weights = torch.ones(len(truth.known), device=truth.known.device)
    actions = [label not in background for label in truth.classes.tolist()] if exponent else []
    if not any(actions):
        return weights
    of_action = truth.onehot[:, actions]  # (T, S')
    frames = of_action.sum(1) > 0
    powers = (of_action @ of_action.sum(0))[frames] ** -exponent
    weights[frames] = powers / powers.mean()
    return weights


# --- contrastive --------------------------------------------------------------------------------------


def info_nce(similarity: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    """InfoNCE as FACT-CLIP published it: mean of both directions over the seen classes, mean over the videos.

    Args:
        similarity: (B, T, C) frame-text similarity over the temperature.
        labels: (B, T) class indices, -1 where a frame is left out.
        seen: (K,) the seen classes.
    """
    column = torch.full((similarity.shape[2] + 1,), -1, device=labels.device)
    column[seen] = torch.arange(len(seen), device=labels.device)
    places = column[labels]  # (B, T) position among the seen classes; the spare last entry answers label -1
    return torch.stack([_one_video(s[:, seen], p) for s, p in zip(similarity, places, strict=True)]).mean()


def _one_video(scores: Tensor, place: Tensor) -> Tensor:
    """From (T, K) scores of the seen classes and the (T,) place of each frame's label among them, or -1."""
    used = place >= 0
    if not bool(used.any()):
        return scores.sum() * 0
    scores, place = scores[used], place[used]
    to_text = cross_entropy(scores, place)
    onehot = one_hot(place, scores.shape[1]).float()
    to_video = -(scores.log_softmax(0) * onehot).sum(0) / onehot.sum(0).clamp(min=1)  # (K,), absent classes are 0
    return (to_text + to_video.mean()) / 2
