"""Class scores of frames: frame and token branches, their fusion, factors of nearby frames.

The fusion is that of FACT, section 3.5; see docs/method.md, 'Decoding'.
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

# Added to the share of a factor before its logarithm, so that an absent factor excludes nothing.
FACTOR_FLOOR = 1e-3

# Deviation, in frames, of the Gaussian over time that defines which frames are nearby.
FACTOR_FRAMES = 15.0

# Keeps the total probability of all actions near a frame above 0.
_EPSILON = 1e-6


@dataclass(frozen=True)
class Voters:
    """Per-frame scores of the frame and token branches, before calibration and fusion.

    Attributes:
        frames: (B, T, C) class probabilities of the frame branch.
        tokens: (B, T, C) class scores of the token that each frame attends to most, without the
            null class. With a transcript: the attention of each class. None if the model has no
            token attention.
        has_token: (B, T) whether a frame has a token that is not null. Without one, the frame
            branch decides alone.
        aligned: whether a transcript was given, so that tokens are probabilities already and the
            calibration is not applied.
    """

    frames: Tensor
    tokens: Tensor | None
    has_token: Tensor
    aligned: bool = False

    @classmethod
    def joined(cls, parts: Sequence[Voters]) -> Voters:
        """Concatenate the voters of consecutive stretches of a video."""
        joined: dict[str, Any] = {}
        for name, value in vars(parts[0]).items():
            if isinstance(value, Tensor):
                joined[name] = torch.cat([getattr(part, name) for part in parts], 1)
        return replace(parts[0], **joined)

    @classmethod
    def interleaved(cls, parts: Sequence[Voters]) -> Voters:
        """Merge the voters of rows 0, n, 2n, ..., of rows 1, n + 1, ... and so on, of one video."""
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
        output: the model's output.
        blocks: "last" takes the frame scores of the last block, "all" the geometric mean of all
            blocks.

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
    """Return the voters for a transcript (B, M): the largest attention of each class in it."""
    absent = ~output.token_mask.unsqueeze(1)  # (B, 1, M)
    # The published decoder applies a second softmax to the attention weights.
    attention = attention.masked_fill(absent, float("-inf")).softmax(-1)  # (B, T, M)
    attention = attention.to(frames.dtype)  # under bf16, only one of them may be in float32
    index = transcript.clamp(min=0).unsqueeze(1).expand_as(attention)  # (B, T, M)
    tokens = torch.zeros_like(frames).scatter_reduce(2, index, attention, "amax", include_self=True)
    frames = frames.masked_fill(tokens == 0, 0.0)
    if output.log_probabilities:
        # The verb-noun model aligns by attention alone.
        frames = tokens
    return Voters(frames=frames, tokens=tokens, has_token=output.mask, aligned=True)


def safe_log(probabilities: Tensor) -> Tensor:
    """Return logarithms that are finite for probabilities of 0."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


def fuse(voters: Voters, frame_weight: float, offset: Tensor | None = None) -> Tensor:
    """Mix both branches: (1 - w) * token branch + w * frame branch.

    Args:
        voters: scores of both branches, (B, T, C).
        frame_weight: weight w of the frame branch, 0 to 1.
        offset: (C,) added to the log scores of both branches before the softmax: calibration,
            prior correction, and -inf for a class that is not allowed.

    Returns:
        (B, T, C) class scores of each frame; larger is likelier.
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

    Gamma changes no share within the trained classes, nor within the other ones. It only moves
    probability between the two groups. So a branch is p(class | its group), computed once, times
    p(group), which is a sigmoid for each gamma and frame.

    Args:
        voters: scores of one video (B = 1), not aligned ones, to which no offset is applied.
        frame_weight: as in `fuse`.
        offset: as in `fuse`, without gamma.
        trained: (C,) the classes from which gamma is subtracted.
        gammas: (G,) values of gamma in nats.

    Returns:
        (G, T, C) class scores, as of `fuse`.
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
        # log of p(trained) / p(not trained), at gamma 0 and then at each gamma
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
        output: the model's output.
        frame_weight: weight of the frame branch; None takes the model's.
        blocks: as in `voters`.
        offset: as in `fuse`.

    Returns:
        (B, T, C) class scores of each frame; larger is likelier.
    """
    weight = output.frame_weight if frame_weight is None else frame_weight
    weight = number_of(weight, "frame_weight", "a share, 0 to 1", 0, 1)
    return fuse(voters(output, blocks), weight, offset)


def best_classes(output: Output, frame_weight: float | None = None) -> Tensor:
    """Return the best class of each frame, without switching penalty or calibration.

    Args:
        output: the model's output.
        frame_weight: weight of the frame branch; None takes the model's.

    Returns:
        (B, T) class indices, -1 at padding.
    """
    return frame_scores(output, frame_weight).argmax(-1).masked_fill(~output.mask, -1)


def with_factors(voters: Voters, vocabulary: Vocabulary, weight: float, deviation: float) -> Voters:
    """Add the factors of nearby frames as evidence for the actions that have them.

    What is picked up now is put down next: neighbouring actions often share a factor, in another
    combination. Probability moves between actions alone. The sum over all actions, and each
    background class, keep theirs (docs/method.md, 'Decoding').

    Args:
        voters: scores of one video (B = 1).
        vocabulary: the C classes, with their factors.
        weight: of the log share of each class's factors.
        deviation: of the Gaussian over time that defines "nearby", in rows of the voters.

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
    """Add (T, A) to the log scores (T, C) of actions and rescale to keep their sum."""
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
    """Sum, over slots, the log share of an action's factor in the frames around.

    The share of a factor is the mean probability of the actions that have it, divided by that of
    all actions. An action without a factor in a slot gets the mean (of logs) of the slot, so a
    missing factor is no evidence.

    Args:
        shares: (T, A) probabilities of the actions.
        vocabulary: the classes, with their factors.
        actions: (A,) class indices of the actions.
        deviation: of the Gaussian over time, in rows.

    Returns:
        (T, A) evidence in nats.
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
