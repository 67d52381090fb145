"""Class scores of frames: frame and token branches, their fusion, factors of nearby frames.

FACT, section 3.5, describes the fusion (see docs/method.md, 'Decoding').
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from fact_clip.core import Floats, Integers, Vocabulary
from fact_clip.core.arguments import number_of
from fact_clip.models.output import Output

# Added to the share of a factor before the logarithm, so that an absent factor excludes nothing.
FACTOR_FLOOR = 1e-3

# Deviation, in frames, of the Gaussian over time that defines which frames are nearby.
FACTOR_FRAMES = 15.0

# Keeps the total probability of all actions near a frame above 0.
_EPSILON = 1e-6


@dataclass(frozen=True)
class Voters:
    """Per-frame scores of the frame and token branches, before calibration and fusion.

    Attributes:
        frames: Class probabilities of the frame branch, (B, T, C).
        tokens: Class scores, without the null class, of the token to which each frame attends most,
            (B, T, C). With a transcript, the attention to each class. None if the model has no
            token attention.
        has_token: Whether a frame has a token that is not null, (B, T). If not, only the frame
            branch determines its scores.
        aligned: Whether a transcript was given. Tokens are then already probabilities, and the
            calibration is not applied.
    """

    frames: Tensor
    tokens: Tensor | None
    has_token: Tensor
    aligned: bool = False

    @classmethod
    def joined(cls, parts: Sequence[Voters]) -> Voters:
        """Concatenate the voters of consecutive parts of a video."""
        joined: dict[str, Any] = {}
        for name, value in vars(parts[0]).items():
            if isinstance(value, Tensor):
                joined[name] = torch.cat([getattr(part, name) for part in parts], 1)
        return replace(parts[0], **joined)

    @classmethod
    def interleaved(cls, parts: Sequence[Voters]) -> Voters:
        """Merge the voters of interleaved rows of a video: 0, n, 2n, ..., then 1, n + 1, ... and so
        on."""
        if len(parts) == 1:
            return parts[0]
        joined = cls.joined(parts)
        n_rows = joined.frames.shape[1]
        starts = [torch.arange(start, n_rows, len(parts)) for start in range(len(parts))]
        row_in_joined = torch.cat(starts).argsort().to(joined.frames.device)
        return joined.rows(row_in_joined)

    def map(self, function: Callable[[Tensor], Tensor]) -> Voters:
        """Return the voters with a function applied to each tensor."""
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                changed[name] = function(value)
        return replace(self, **changed)

    def unpadded(self, index: int, length: int) -> Voters:
        """Return the voters of one video of a batch, without its padding."""
        return self.map(lambda table: table[index : index + 1, :length])

    def rows(self, index: slice | Tensor) -> Voters:
        """Return the voters of some frames."""
        return self.map(lambda table: table[:, index])


def voters(output: Output, blocks: str = "last") -> Voters:
    """Return the per-frame scores of both branches of a model.

    Args:
        output: Output of the model.
        blocks: "last" for the frame scores of the last block, or "all" for the geometric mean of
            all blocks.

    Returns:
        The voters, with tensors of shape (B, T, C).
    """
    last = output.blocks[-1]
    frames = _frame_probabilities(output, blocks)
    if last.a2f_attention is None:
        return Voters(frames=frames, tokens=None, has_token=output.mask)
    if output.transcript is not None:
        return _aligned(output, output.transcript, last.a2f_attention, frames)

    scores = last.token_logits[..., :-1]  # (B, M, C)
    n_classes = scores.shape[-1]
    not_null = (last.token_logits.argmax(-1) != n_classes) & output.token_mask  # (B, M)
    attention = last.a2f_attention.masked_fill(~not_null.unsqueeze(1), -1.0)  # (B, T, M)
    token_of_frame = attention.argmax(-1)  # (B, T)
    index = token_of_frame.unsqueeze(-1).expand(-1, -1, n_classes)  # (B, T, C)
    has_token = not_null.any(1, keepdim=True).expand_as(token_of_frame)  # (B, T)
    return Voters(frames=frames, tokens=scores.gather(1, index), has_token=has_token)


def _frame_probabilities(output: Output, blocks: str) -> Tensor:
    """Return the class probabilities of the frame branch, (B, T, C)."""
    if output.alignment_logits is not None:
        return output.alignment_logits.softmax(-1)
    if blocks == "last":
        return output.log_probs(output.blocks[-1].frame_logits).exp()
    log_probs = torch.stack([output.log_probs(block.frame_logits) for block in output.blocks])
    return log_probs.mean(0).softmax(-1)


def _aligned(output: Output, transcript: Tensor, attention: Tensor, frames: Tensor) -> Voters:
    """Return the voters for a transcript (B, M): the largest attention to each class in it."""
    absent = ~output.token_mask.unsqueeze(1)  # (B, 1, M)
    # The published decoder applies a second softmax to the attention weights.
    attention = attention.masked_fill(absent, float("-inf")).softmax(-1)  # (B, T, M)
    attention = attention.to(frames.dtype)  # under bf16, one of the two may be in float32
    index = transcript.clamp(min=0).unsqueeze(1).expand_as(attention)  # (B, T, M)
    tokens = torch.zeros_like(frames).scatter_reduce(2, index, attention, "amax", include_self=True)
    frames = frames.masked_fill(tokens == 0, 0.0)
    if output.log_probabilities:
        # The verb-noun model aligns only by attention.
        frames = tokens
    return Voters(frames=frames, tokens=tokens, has_token=output.mask, aligned=True)


def safe_log(probabilities: Tensor) -> Tensor:
    """Return logarithms that are finite for probabilities of 0."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


def fuse(voters: Voters, frame_weight: float, offset: Tensor | None = None) -> Tensor:
    """Average both branches: (1 - w) * token branch + w * frame branch.

    Args:
        voters: Scores of both branches, (B, T, C).
        frame_weight: Weight w of the frame branch, 0 to 1.
        offset: Numbers that are added to the log-scores of both branches before the softmax, (C,):
            calibration, prior correction, and -inf for a class that is not allowed.

    Returns:
        Class scores of each frame, (B, T, C). Larger scores mean more probable classes.
    """
    frames = voters.frames
    if voters.aligned and voters.tokens is not None:
        return (1 - frame_weight) * voters.tokens + frame_weight * frames
    if offset is not None:
        frames = (safe_log(frames) + offset).softmax(-1)
    if voters.tokens is None:
        return frames
    token_scores = voters.tokens if offset is None else voters.tokens + offset
    mixed = (1 - frame_weight) * token_scores.softmax(-1) + frame_weight * frames
    return torch.where(voters.has_token.unsqueeze(-1), mixed, frames)


def fuse_gammas(
    voters: Voters, frame_weight: float, offset: Tensor, trained: Tensor, gammas: Tensor
) -> Tensor:
    """Fuse the voters of one video with each of the offsets ``offset - gamma * trained``.

    Gamma does not change shares within the trained classes, nor within the remaining classes. It
    only moves probability between the two groups. So each branch is p(class | group), which is
    computed once, times p(group), which is a sigmoid for each gamma and frame.

    Args:
        voters: Scores of one video (B = 1). Aligned voters are not allowed, because they have no
            offset.
        frame_weight: Weight of the frame branch, 0 to 1.
        offset: Offset for `fuse`, without gamma.
        trained: Classes from which gamma is subtracted, (C,).
        gammas: Values of gamma in nats, (G,).

    Returns:
        Class scores (G, T, C), like the scores of `fuse`.
    """
    frames = safe_log(voters.frames[0])  # (T, C)
    has_token = voters.has_token[0].to(frames.dtype)  # (T,)
    if voters.tokens is None:
        branches = [(frames, torch.ones_like(has_token))]
    else:
        token_weight = has_token * (1 - frame_weight)  # (T,)
        branches = [(voters.tokens[0], token_weight), (frames, 1 - token_weight)]

    tables = []
    weights = []
    for logs, weight in branches:
        in_trained = (logs + offset).masked_fill(~trained, -torch.inf)  # (T, C)
        in_untrained = (logs + offset).masked_fill(trained, -torch.inf)  # (T, C)
        # Log of p(trained) / p(not trained), at gamma 0 and then at each gamma.
        margin = in_trained.logsumexp(-1) - in_untrained.logsumexp(-1)  # (T,)
        margin = margin.unsqueeze(-1) - gammas  # (T, G)
        for group, sign in ((in_trained, 1), (in_untrained, -1)):
            # A group without an allowed class has no shares.
            tables.append(group.softmax(-1).nan_to_num(0.0))
            weights.append(weight.unsqueeze(-1) * (sign * margin).sigmoid())
    scores = torch.stack(weights, -1) @ torch.stack(tables, 1)  # (T, G, 4) @ (T, 4, C)
    return scores.transpose(0, 1)


def frame_scores(
    output: Output,
    frame_weight: float | None = None,
    blocks: str = "last",
    offset: Tensor | None = None,
) -> Tensor:
    """Return the fused class scores of a model's output.

    Args:
        output: Output of the model.
        frame_weight: Weight of the frame branch, or None to use the model's weight.
        blocks: "last" or "all" (see `voters`).
        offset: Numbers that are added to the log-scores (see `fuse`).

    Returns:
        Class scores of each frame, (B, T, C). Larger scores mean more probable classes.
    """
    weight = output.frame_weight if frame_weight is None else frame_weight
    weight = number_of(weight, "frame_weight", "a share, 0 to 1", 0, 1)
    return fuse(voters(output, blocks), weight, offset)


def best_classes(output: Output, frame_weight: float | None = None) -> Tensor:
    """Return the best class of each frame, without switching penalty or calibration.

    Args:
        output: Output of the model.
        frame_weight: Weight of the frame branch, or None to use the model's weight.

    Returns:
        Class indices (B, T), with -1 for padding.
    """
    return frame_scores(output, frame_weight).argmax(-1).masked_fill(~output.mask, -1)


def with_factors(voters: Voters, vocabulary: Vocabulary, weight: float, deviation: float) -> Voters:
    """Use the factors of nearby frames as evidence for the actions that have these factors.

    What is picked up now is put down next, so neighbouring actions often share a factor in a
    different combination. Probability moves only between actions. The sum over all actions and the
    probability of each background class do not change (docs/method.md, 'Decoding').

    Args:
        voters: Scores of one video (B = 1).
        vocabulary: The C classes, with their factors.
        weight: Weight of the log share of the factors of each class.
        deviation: Deviation of the Gaussian over time that defines "nearby", in rows of the voters.

    Returns:
        The voters with changed scores.
    """
    background = vocabulary.background_indices
    actions = np.array([label for label in range(len(vocabulary)) if label not in background])
    logs = safe_log(voters.frames[0])  # (T, C)
    shares = logs.exp().double().detach().cpu().numpy()[:, actions]  # (T, A)
    evidence = factor_evidence(shares, vocabulary, actions, deviation)
    addition = torch.from_numpy(weight * evidence).to(logs)  # (T, A)

    frames = _move_between_actions(logs, addition, actions).exp().unsqueeze(0)
    tokens = None
    if voters.tokens is not None:
        tokens = _move_between_actions(voters.tokens[0], addition, actions).unsqueeze(0)
    return replace(voters, frames=frames, tokens=tokens)


def _move_between_actions(logs: Tensor, addition: Tensor, actions: Integers) -> Tensor:
    """Add (T, A) to the log-scores (T, C) of actions, and rescale them to keep their sum."""
    columns = torch.from_numpy(actions).to(logs.device)
    old = logs[:, columns]
    new = old + addition
    new = new - new.logsumexp(-1, keepdim=True) + old.logsumexp(-1, keepdim=True)
    return logs.index_copy(1, columns, new)


def factor_evidence(
    shares: Floats,
    vocabulary: Vocabulary,
    actions: Integers,
    deviation: float,
) -> Floats:
    """Compute the log share of the factors of each action in nearby frames, summed over slots.

    The share of a factor is the mean probability of the actions that have it, divided by the mean
    probability of all actions. An action without a factor in a slot gets the mean log share of the
    slot, so that a missing factor is not evidence.

    Args:
        shares: Probabilities of the actions, (T, A).
        vocabulary: The classes, with their factors.
        actions: Class indices of the actions, (A,).
        deviation: Deviation of the Gaussian over time, in rows.

    Returns:
        Evidence in nats, (T, A).
    """
    nearby = gaussian_filter1d(shares, deviation, axis=0, mode="nearest")  # (T, A)
    all_actions = nearby.sum(1, keepdims=True) + _EPSILON  # (T, 1)
    total = np.zeros_like(shares)
    for slot in vocabulary.slots:
        factors, factor_of_class = vocabulary.factor_indices(slot)
        index = factor_of_class[actions]  # (A,)
        has_factor = (index[:, None] == np.arange(len(factors))).astype(np.float64)  # (A, K)
        has_factor = has_factor[:, has_factor.any(0)]
        if not has_factor.size:
            continue
        logs = np.log(nearby @ has_factor / all_actions + FACTOR_FLOOR)  # (T, K)
        factor_of_action = has_factor.argmax(1)  # (A,)
        total += np.where(index >= 0, logs[:, factor_of_action], logs.mean(1, keepdims=True))
    return total
