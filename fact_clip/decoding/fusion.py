"""From the model's output to class scores: the two voters of a frame, their fusion, and evidence of the frames around.

The fusion is that of FACT, section 3.5; see docs/method.md, 'Decoding'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from fact_clip.core import Vocabulary
from fact_clip.core.arguments import number_of
from fact_clip.models.output import Output

FLOOR = 1e-3  # Added to the share of a word before its log, so that a word that is nowhere near rules nothing out

_EPSILON = 1e-6  # keeps the total probability of all actions near a frame above 0


@dataclass(frozen=True)
class Voters:
    """What the two voters say of each frame, before an offset, the fusion and the switching penalty."""

    frames: Tensor  # (B, T, C) probabilities of the frame voter
    # (B, T, C) scores of the token that each frame attends to most, null left out; with a transcript the attention of
    # each class. None: a model without token attention.
    tokens: Tensor | None
    has_token: Tensor  # (B, T) whether there is a token that is not null; elsewhere the frame voter decides alone
    aligned: bool = False  # a transcript was given, so the tokens are probabilities already and an offset is not used

    @classmethod
    def joined(cls, parts: Sequence[Voters]) -> Voters:
        """Join the voters of consecutive stretches of a video."""
        tokens = [part.tokens for part in parts if part.tokens is not None]
        return cls(
            torch.cat([part.frames for part in parts], 1),
            torch.cat(tokens, 1) if tokens else None,
            torch.cat([part.has_token for part in parts], 1),
            parts[0].aligned,
        )

    @classmethod
    def interleaved(cls, parts: Sequence[Voters]) -> Voters:
        """Join the voters of a video's rows 0, n, 2n, ..., of its rows 1, n + 1, ... and so on."""
        if len(parts) == 1:
            return parts[0]
        joined = cls.joined(parts)
        starts = [
            torch.arange(start, joined.frames.shape[1], len(parts)) for start in range(len(parts))
        ]
        return joined.rows(
            torch.cat(starts).argsort().to(joined.frames.device)
        )  # row in time -> row of `joined`

    def map(self, function: Callable[[Tensor], Tensor]) -> Voters:
        """Return them with a function of each tensor in its place."""
        tokens = None if self.tokens is None else function(self.tokens)
        return replace(
            self, frames=function(self.frames), tokens=tokens, has_token=function(self.has_token)
        )

    def unpadded(self, index: int, length: int) -> Voters:
        """Return those of one video of a batch, without its padding."""
        return self.map(lambda table: table[index : index + 1, :length])

    def rows(self, index: slice | Tensor) -> Voters:
        """Return those of some frames."""
        return self.map(lambda table: table[:, index])


def voters(output: Output, blocks: str = "last") -> Voters:
    """Return the two voters of an output; the frame voter is the "last" block, or the geometric mean of "all"."""
    last = output.blocks[-1]
    if output.alignment_logits is not None:
        frames = output.alignment_logits.softmax(-1)  # (B, T, C)
    elif blocks == "last":
        frames = output.log_probs(last.frame_logits).exp()
    else:
        frames = (
            torch.stack([output.log_probs(block.frame_logits) for block in output.blocks])
            .mean(0)
            .softmax(-1)
        )
    if last.a2f_attention is None:
        return Voters(frames, None, output.mask)
    if output.transcript is not None:
        return _aligned(output, output.transcript, last.a2f_attention, frames)
    scores = last.token_logits[..., :-1]  # (B, M, C)
    not_null = (last.token_logits.argmax(-1) != scores.shape[-1]) & output.token_mask  # (B, M)
    attention = last.a2f_attention.masked_fill(~not_null.unsqueeze(1), -1.0)  # (B, T, M)
    choice = attention.argmax(-1)  # (B, T)
    tokens = scores.gather(1, choice.unsqueeze(-1).expand(-1, -1, scores.shape[-1]))  # (B, T, C)
    return Voters(frames, tokens, not_null.any(1, keepdim=True).expand_as(choice))


def fuse(voters: Voters, frame_weight: float, offset: Tensor | None = None) -> Tensor:
    """Return (B, T, C) class scores of each frame, (1 - w) * token voter + w * frame voter; larger is likelier.

    `offset` (C,) is added to the log scores of both voters before the softmax: calibration, prior correction, and -inf
    for a class that is not a candidate.
    """
    frames = voters.frames
    if voters.aligned and voters.tokens is not None:
        return (1 - frame_weight) * voters.tokens + frame_weight * frames
    if offset is not None:
        frames = (frames.clamp(min=torch.finfo(frames.dtype).tiny).log() + offset).softmax(-1)
    if voters.tokens is None:
        return frames
    tokens = (voters.tokens if offset is None else voters.tokens + offset).softmax(-1)
    mixed = (1 - frame_weight) * tokens + frame_weight * frames
    return torch.where(voters.has_token.unsqueeze(-1), mixed, frames)


def fuse_gammas(
    voters: Voters, frame_weight: float, offset: Tensor, trained: Tensor, gammas: Tensor
) -> Tensor:
    """Return (G, T, C) `fuse` of the voters of one video (B = 1) with each of the offsets ``offset - gamma * trained``.

    Within the trained classes (C,), and within the others, gamma changes no share; it only moves probability between
    the two groups. So a voter is p(class | its group), computed once, times p(group), a sigmoid for each gamma and
    frame. The voters are not aligned ones, which use no offset.
    """
    frames = voters.frames[0].clamp(min=torch.finfo(voters.frames.dtype).tiny).log()  # (T, C)
    has_token = voters.has_token[0].to(frames.dtype)  # (T,)
    pairs = [(frames, torch.ones_like(has_token))]
    if voters.tokens is not None:
        pairs = [
            (voters.tokens[0], has_token * (1 - frame_weight)),
            (frames, 1 - has_token * (1 - frame_weight)),
        ]
    tables, weights = [], []
    for logs, weight in pairs:
        groups = [
            (logs + offset).masked_fill(left_out, -torch.inf) for left_out in (~trained, trained)
        ]
        margin = groups[0].logsumexp(-1) - groups[1].logsumexp(
            -1
        )  # (T,) log of p(trained) / p(not trained) at gamma 0
        margin = margin.unsqueeze(-1) - gammas  # (T, G)
        for group, sign in zip(groups, (1, -1), strict=True):
            tables.append(
                group.softmax(-1).nan_to_num(0.0)
            )  # a group without a candidate has no shares
            weights.append(weight.unsqueeze(-1) * (sign * margin).sigmoid())
    scores = torch.stack(weights, -1) @ torch.stack(tables, 1)  # (T, G, 4) @ (T, 4, C)
    return scores.transpose(0, 1)


def frame_scores(
    output: Output,
    frame_weight: float | None = None,
    blocks: str = "last",
    offset: Tensor | None = None,
) -> Tensor:
    """Return (B, T, C) `fuse` of the `voters` of an output, by default with the model's weight."""
    weight = output.frame_weight if frame_weight is None else frame_weight
    return fuse(
        voters(output, blocks), number_of(weight, "frame_weight", "a share, 0 to 1", 0, 1), offset
    )


def decode(output: Output, frame_weight: float | None = None) -> Tensor:
    """Return (B, T) the class index of each frame, -1 at padding; ``frame_weight`` as in :func:`frame_scores`."""
    return frame_scores(output, frame_weight).argmax(-1).masked_fill(~output.mask, -1)


def _aligned(output: Output, transcript: Tensor, attention: Tensor, frames: Tensor) -> Voters:
    """With a transcript (B, M): the attention of each class that stands in it, of its best entry; 0 for the others."""
    absent = ~output.token_mask.unsqueeze(1)  # (B, 1, M)
    # The published decoder takes a softmax of the attention weights themselves, once more.
    attention = attention.masked_fill(absent, float("-inf")).softmax(-1)  # (B, T, M)
    index = transcript.clamp(min=0).unsqueeze(1).expand_as(attention)
    tokens = torch.zeros_like(frames).scatter_reduce(2, index, attention, "amax", include_self=True)
    # The verb-noun model aligns by attention alone.
    frames = tokens if output.log_probabilities else frames.masked_fill(tokens == 0, 0.0)
    return Voters(frames, tokens, output.mask, aligned=True)


def with_factors(voters: Voters, vocabulary: Vocabulary, weight: float, deviation: float) -> Voters:
    """Return the voters of one video (B = 1) with `weight` times the log share of each class's factors nearby.

    What is picked up now is put down next: actions near in time often share a word, in another combination. It moves
    probability between actions alone: that of all actions together, and of each background class, stays. `deviation`
    is that of the Gaussian over time that "nearby" means, in rows of the voters (docs/method.md, 'Decoding').
    """
    actions = np.array(
        [label for label in range(len(vocabulary)) if label not in vocabulary.background_indices]
    )
    logs = voters.frames[0].clamp(min=torch.finfo(voters.frames.dtype).tiny).log()  # (T, C)
    evidence = factor_evidence(
        logs.exp().double().detach().cpu().numpy()[:, actions], vocabulary, actions, deviation
    )
    added = torch.from_numpy(weight * evidence).to(logs)  # (T, A)
    frames = _moved(logs, added, actions).exp().unsqueeze(0)
    tokens = (
        None if voters.tokens is None else _moved(voters.tokens[0], added, actions).unsqueeze(0)
    )
    return replace(voters, frames=frames, tokens=tokens)


def _moved(logs: Tensor, added: Tensor, actions: NDArray[np.int64]) -> Tensor:
    """Log scores (T, C) with what is added to actions (T, A), scaled so that the sum over actions stays."""
    columns = torch.from_numpy(actions).to(logs.device)
    before = logs[:, columns]
    after = before + added
    after = after - after.logsumexp(-1, keepdim=True) + before.logsumexp(-1, keepdim=True)
    return logs.index_copy(1, columns, after)


def factor_evidence(
    shares: NDArray[np.float64],
    vocabulary: Vocabulary,
    actions: NDArray[np.int64],
    deviation: float,
) -> NDArray[np.float64]:
    """Return (T, A) the sum over slots of the log share of an action's factor in the frames around.

    The share of a factor is the mean probability of the actions that have it, divided by that of all actions. An action
    without a factor in a slot gets the mean (of logs) of the slot, so that having none is no evidence. `shares` (T, A)
    are the probabilities of the `actions`, (A,) class indices.
    """
    near = gaussian_filter1d(shares, deviation, axis=0, mode="nearest")  # (T, A)
    all_actions = near.sum(1, keepdims=True) + _EPSILON
    total = np.zeros_like(shares)
    for slot in vocabulary.slots:
        factors, factor_of_class = vocabulary.factor_indices(slot)
        index = factor_of_class[actions]
        has = (index[:, None] == np.arange(len(factors))).astype(np.float64)  # (A, K)
        has = has[:, has.any(0)]
        if not has.size:
            continue
        logs = np.log(near @ has / all_actions + FLOOR)  # (T, K)
        total += np.where(index >= 0, logs[:, has.argmax(1)], logs.mean(1, keepdims=True))
    return total
