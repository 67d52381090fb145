"""The loss of FACT: named terms a block, averaged over blocks and videos (FACT.md, 'Matching and loss')."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fact_clip.config import LossConfig
from fact_clip.losses.matching import Pairs, TrueSegments, match, matching_cost
from fact_clip.models.heads import Classes
from fact_clip.models.output import BlockOutput, Output


def class_weights(
    config: LossConfig, count: int, background: Collection[int], frames: Sequence[int] | None = None
) -> Tensor:
    """(C,) ``background_weight`` for background; 1 for actions, or their balance by ``frames`` a class (C,)."""
    weights = torch.ones(count)
    if config.balance:
        if frames is None:
            raise ValueError("loss.balance is above 0, which needs the training frames of each class")
        actions = torch.tensor([0 if label in background else frames[label] for label in range(count)])
        weights = balanced_weights(actions, config.balance)
    weights[list(background)] = config.background_weight
    return weights


def balanced_weights(frames: Tensor, exponent: float) -> Tensor:
    """(C,) n^-exponent a class of n frames, scaled so that the mean over all frames is 1; 1 where there are none."""
    counts = frames.double()
    weights = torch.where(counts > 0, counts.clamp(min=1) ** -exponent, 0.0)
    scale = counts.sum() / (weights * counts).sum().clamp(min=1e-12)
    return torch.where(counts > 0, weights * scale, 1.0).float()


def frame_weights(truth: TrueSegments, background: Collection[int], exponent: float) -> Tensor:
    """(T,) n^-exponent for a frame of an action segment of n frames, their mean 1; 1 for background and unlabelled.

    Edit and F1 count segments, a loss over frames counts seconds: without this short actions are given up.
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


def score_adjustment(config: LossConfig, count: int, log_prior: Sequence[float] | None = None) -> Tensor:
    """(C+1,) what training adds to the scores and the decoder does not, so that rare classes are not given up.

    ``prior`` times log p(c), (C,); null is no class and keeps its scores. Logit adjustment: Menon et al., ICLR 2021.
    """
    adjustment = torch.zeros(count + 1)
    if config.prior:
        if log_prior is None:
            raise ValueError("loss.prior is above 0, which needs log p(class)")
        adjustment[:-1] = config.prior * torch.tensor(log_prior)
    return adjustment


def info_nce(similarity: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    """Mean of video-to-text and text-to-video cross entropy over the seen classes, mean over the videos.

    Args:
        similarity: (B, T, C) frame-text similarity over the temperature.
        labels: (B, T) class indices, -1 where a frame is left out.
        seen: (K,) the seen classes.
    """
    return torch.stack([_one(s, y, seen) for s, y in zip(similarity, labels, strict=True)]).mean()


def _one(similarity: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    column = torch.full((similarity.shape[1] + 1,), -1, device=labels.device)
    column[seen] = torch.arange(len(seen), device=labels.device)
    target = column[labels]  # (T,) position among the seen classes; the spare last entry answers label -1
    used = target >= 0
    if not bool(used.any()):
        return similarity.sum() * 0
    scores, target = similarity[used][:, seen], target[used]  # (T', K)
    to_text = torch.nn.functional.cross_entropy(scores, target)
    onehot = torch.nn.functional.one_hot(target, len(seen)).to(scores.dtype)
    to_video = -(scores.log_softmax(0) * onehot).sum(0) / onehot.sum(0).clamp(min=1)  # (K,)
    return (to_text + to_video.mean()) / 2


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
    """What the criterion gives back.

    Attributes:
        total: what is minimised.
        blocks: terms of each block, mean over the videos.
        fact: mean of the blocks' totals.
        contrastive: InfoNCE of an alignment head, else None.
        matches: (token, segment) pairs of each video.
    """

    total: Tensor
    blocks: tuple[BlockTerms, ...]
    fact: Tensor
    contrastive: Tensor | None
    matches: tuple[Pairs, ...]

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
    """One video's slice of an output, its truth, and the matching: what every term reads."""

    truth: TrueSegments
    labels: Tensor  # (T,)
    pairs: Pairs
    token_classes: Tensor  # (M,) class of the matched segment, else null
    weights: Tensor  # (C+1,)
    frame_weights: Tensor  # (T,) by the length of each frame's segment

    @property
    def n_known(self) -> int:
        return int(self.truth.known.sum())


class Criterion:
    """Matching and loss for any closed set of classes, ignored frames (label -1) left out of everything.

    Args:
        config: weights and the matcher.
        classes: the class count (and verbs and nouns).
        background: indices of background classes, weighted by ``config.background_weight``.
        mean_transcript_length: mean number of segments of the training videos, for ``null_weight = -1``.
        unseen: classes left out of the contrastive loss.
        frames: training frames of each class, (C,), where ``config.balance`` is above 0.
        log_prior: log p(c), (C,), where ``config.prior`` is above 0.
    """

    def __init__(
        self,
        config: LossConfig,
        classes: Classes,
        background: Collection[int] = (),
        mean_transcript_length: float | None = None,
        unseen: Collection[int] = (),
        frames: Sequence[int] | None = None,
        log_prior: Sequence[float] | None = None,
    ) -> None:
        self.config, self.classes, self.background = config, classes, tuple(background)
        self.mean_transcript_length = mean_transcript_length
        self.class_weights = class_weights(config, classes.count, background, frames)
        self.adjustment = score_adjustment(config, classes.count, log_prior)
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
            raise ValueError(f"labels are {tuple(labels.shape)}; expected {tuple(mask.shape)}, one a frame")
        if int(labels.max()) >= self.classes.count:
            raise ValueError(f"label {int(labels.max())} is not one of the {self.classes.count} classes")
        with torch.autocast(mask.device.type, enabled=False):
            return self._loss(output.float(), labels, mask)

    def _loss(self, output: Output, labels: Tensor, mask: Tensor) -> LossTerms:
        """In float32, whatever the precision of the model: sums over frames lose too much in less."""
        videos, matches = [], []
        for index in range(len(labels)):
            single = _alone(output, index, int(mask[index].sum()))
            video = self._match(single, labels[index, : single.mask.shape[1]])
            videos.append([self._block(single, block, video) for block in single.blocks])
            matches.append(video.pairs)
        blocks = tuple(_mean_terms(terms) for terms in zip(*videos, strict=True))
        fact = torch.stack([block.total for block in blocks]).mean()
        contrastive, total = None, fact
        if output.alignment_logits is not None:
            known = labels.masked_fill(~mask, -1)
            contrastive = info_nce(output.alignment_logits, known, self.seen.to(labels.device))
            total = self.config.fact_weight * fact + self.config.contrastive_weight * contrastive
        return LossTerms(total, blocks, fact, contrastive, tuple(matches))

    def null_weight(self, n_tokens: int, transcript_given: bool) -> float:
        """Weight of the null class (FACT.md: M / ((M - mean transcript length) * C) where it is -1)."""
        if transcript_given:
            return 1.0
        if self.config.null_weight >= 0:
            return self.config.null_weight
        if self.mean_transcript_length is None:
            raise ValueError("loss.null_weight is -1 (automatic), which needs the mean transcript length")
        spare = n_tokens - self.mean_transcript_length
        if spare <= 0:
            raise ValueError(
                f"{n_tokens} tokens for {self.mean_transcript_length:.1f} segments a video on average: "
                "raise model.tokens, or give loss.null_weight"
            )
        return n_tokens / (spare * self.classes.null_divisor)

    def _match(self, output: Output, labels: Tensor) -> _Video:
        truth, last = TrueSegments.of(labels), output.blocks[-1]
        probs = output.log_probs(last.token_logits)[0].exp()  # (M, C+1)
        attention = None if last.a2f_attention is None else last.a2f_attention[0]
        cost = matching_cost(probs, attention, truth, self.config.class_cost, self.config.overlap_cost)
        pairs = match(self.config.match, cost, truth.classes)
        token_classes = torch.full((len(probs),), self.classes.count, device=labels.device)
        # A token that takes several segments under o2m has one class, so the order of writing is the same.
        for token, segment in pairs:
            token_classes[token] = truth.classes[segment]
        null = self.null_weight(len(probs), output.transcript is not None)
        weights = torch.cat([self.class_weights, torch.tensor([null])]).to(labels.device)
        by_length = frame_weights(truth, self.background, self.config.segment_balance)
        return _Video(truth, labels, pairs, token_classes, weights, by_length)

    def _block(self, output: Output, block: BlockOutput, video: _Video) -> BlockTerms:
        share = 0.5 if output.log_probabilities else 1.0  # the verb-noun model counts class terms half
        if not video.n_known:
            zero = block.frame_logits.sum() * 0 + block.token_logits.sum() * 0
            return BlockTerms(zero, zero, zero, zero, zero)
        adjust = self.adjustment.to(block.frame_logits.device)
        frame = _frame_term(output.log_probs(block.frame_logits + adjust[:-1])[0], video)
        if block.segment_logits is not None:
            label_share, real = _label_share(block, video, self.classes.count)
            logp = output.log_probs(block.segment_logits + adjust[:-1])[0][real]
            segment = -(label_share * logp * video.weights[:-1]).sum() / max(len(logp), 1)
            frame = (frame + segment) / 2
        logp = output.log_probs(block.token_logits + adjust)[0]
        token = _token_term(logp, video, normalised=not output.log_probabilities)
        f2a, a2f = _attention_terms(block, video)
        smooth = block.frame_logits.sum() * 0
        if self.config.smoothing:
            smooth = self.config.smoothing * _smooth_terms(output, block, video.truth.known)
        return BlockTerms(share * frame, share * token, f2a, a2f, smooth)


def _alone(output: Output, index: int, n_frames: int) -> Output:
    """One video of a batch without its padding."""
    n_tokens = int(output.token_mask[index].sum())

    def block(item: BlockOutput) -> BlockOutput:
        def cut(value: Tensor | None, rows: int | None, columns: int | None = None) -> Tensor | None:
            return None if value is None else value[index : index + 1, :rows, :columns]

        segments, n_units = item.segments, n_frames
        if segments is not None:
            n_segments = int(segments.mask[index].sum())
            segments = type(segments)(
                segments.of_frame[index : index + 1, :n_frames],
                segments.mask[index : index + 1, :n_segments],
                segments.centre[index : index + 1, :n_segments],
                segments.length[index : index + 1, :n_segments],
            )
            n_units = n_segments
        return BlockOutput(
            item.frame_features[index : index + 1, :n_frames],
            item.frame_logits[index : index + 1, :n_frames],
            item.token_features[index : index + 1, :n_tokens],
            item.token_logits[index : index + 1, :n_tokens],
            segments,
            cut(item.segment_logits, n_units),
            cut(item.a2f_attention, n_frames, n_tokens),
            cut(item.a2f_attention_logits, n_units, n_tokens),
            cut(item.f2a_attention_logits, n_tokens, n_units),
        )

    return Output(
        tuple(block(item) for item in output.blocks),
        output.mask[index : index + 1, :n_frames],
        output.token_mask[index : index + 1, :n_tokens],
        output.transcript,
        output.frame_weight,
        output.log_probabilities,
    )


def _frame_term(logp: Tensor, video: _Video) -> Tensor:
    """Weighted negative log-likelihood over labelled frames, divided by their number (not by their weights)."""
    labels = video.labels[video.truth.known]
    picked = logp[video.truth.known].gather(1, labels.unsqueeze(1)).squeeze(1)
    weights = video.weights[labels] * video.frame_weights[video.truth.known]
    return -(weights * picked).sum() / len(labels)


def _token_term(logp: Tensor, video: _Video, normalised: bool) -> Tensor:
    """Cross entropy of the tokens: weighted mean, or the plain mean of the weighted terms (verb-noun)."""
    weights = video.weights[video.token_classes]
    terms = -weights * logp.gather(1, video.token_classes.unsqueeze(1)).squeeze(1)
    return terms.sum() / weights.sum() if normalised else terms.mean()


def _share(block: BlockOutput, per_frame: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of ``per_frame`` (T, K) over the labelled frames of each predicted segment that has some.

    Returns (S', K) and the (S,) choice of those segments.
    """
    assert block.segments is not None
    of_frame = block.segments.of_frame[0][known]  # (T',)
    size = block.segments.mask.shape[1]
    count = torch.zeros(size, device=known.device).index_add_(
        0, of_frame, torch.ones(len(of_frame), device=known.device)
    )
    total = torch.zeros(size, per_frame.shape[1], device=known.device).index_add_(0, of_frame, per_frame[known])
    real = count > 0
    return total[real] / count[real].unsqueeze(1), real


def _label_share(block: BlockOutput, video: _Video, n_classes: int) -> tuple[Tensor, Tensor]:
    """(S', C): the label distribution inside each predicted segment."""
    onehot = torch.nn.functional.one_hot(video.labels.clamp(min=0), n_classes).float()
    return _share(block, onehot, video.truth.known)


def _attention_terms(block: BlockOutput, video: _Video) -> tuple[Tensor, Tensor]:
    """Cross entropy of both cross attentions against the matched true segments (FACT equations 10 and 11)."""
    zero = block.frame_logits.sum() * 0
    if block.a2f_attention_logits is None or block.f2a_attention_logits is None or not video.pairs:
        return zero, zero
    tokens, segments = (torch.tensor(side, device=zero.device) for side in zip(*video.pairs, strict=True))
    if block.segments is None:
        target, real = video.truth.onehot[video.truth.known], video.truth.known  # (T', S)
    else:
        target, real = _share(block, video.truth.onehot, video.truth.known)
    weighted = target[:, segments] * video.weights[video.truth.classes[segments]] / len(target)  # (N', P)
    f2a = block.f2a_attention_logits[0][:, real].log_softmax(-1)[tokens].T  # (N', P), softmax over frames
    a2f = block.a2f_attention_logits[0][real][:, tokens].log_softmax(-1)  # (N', P), softmax over pairs
    return -(weighted * f2a).sum(), -(weighted * a2f).sum()


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


def _mean_terms(terms: Sequence[BlockTerms]) -> BlockTerms:
    return BlockTerms(*(torch.stack([getattr(t, f.name) for t in terms]).mean() for f in fields(BlockTerms)))
