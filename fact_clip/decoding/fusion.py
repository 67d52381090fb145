"""From the model's output to labels: the two voters of a frame, their fusion, and a price for every change of action.

The fusion is that of FACT, section 3.5; see docs/method.md, 'Decoding'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.core import InputError
from fact_clip.core.arguments import array_of, number_of
from fact_clip.models.output import Output


@dataclass(frozen=True)
class Voters:
    """What the two voters say of each frame, before an offset, the fusion and the switching price.

    It is all that decoding needs of a model's output, in O(T * C).

    Attributes:
        frames: (B, T, C) probabilities of the frame voter.
        tokens: (B, T, C) scores of the token that each frame attends to most, null left out; with a transcript the
            attention of each class. None: a model without token attention.
        kept: (B, T) whether there is a token that is not null; elsewhere the frame voter decides alone.
        aligned: a transcript was given, so the tokens are probabilities already and an offset is not used.
        similarity: (B, T, C) training-free probabilities to be mixed in (`similarity.mix`), where they are asked for;
            of whole videos, so they are set when all parts have been joined.
    """

    frames: Tensor
    tokens: Tensor | None
    kept: Tensor
    aligned: bool = False
    similarity: Tensor | None = None

    def __post_init__(self) -> None:
        shape = self.frames.shape
        if len(shape) != 3 or self.kept.shape != shape[:2] or (self.tokens is not None and self.tokens.shape != shape):
            shapes = [tuple(each.shape) for each in (self.frames, self.tokens, self.kept) if each is not None]
            raise InputError(
                "voters", f"shapes {', '.join(map(str, shapes))}; expected (B, T, C), (B, T, C) and (B, T)"
            )

    @classmethod
    def joined(cls, parts: Sequence[Voters]) -> Voters:
        """The voters of a video from those of its consecutive stretches."""
        tokens = [part.tokens for part in parts if part.tokens is not None]
        if not parts or len(tokens) not in (0, len(parts)):
            raise InputError("voters", f"{len(parts)} stretches, {len(tokens)} with tokens; expected some, all alike")
        return cls(
            torch.cat([part.frames for part in parts], 1),
            torch.cat(tokens, 1) if tokens else None,
            torch.cat([part.kept for part in parts], 1),
            parts[0].aligned,
        )

    @classmethod
    def interleaved(cls, parts: Sequence[Voters]) -> Voters:
        """The voters of a video from those of its rows 0, n, 2n, ..., of its rows 1, n + 1, ... and so on."""
        if len(parts) == 1:
            return parts[0]
        joined = cls.joined(parts)
        starts = [torch.arange(start, joined.frames.shape[1], len(parts)) for start in range(len(parts))]
        order = torch.cat(starts).argsort().to(joined.frames.device)  # row in time -> row of `joined`
        tokens = None if joined.tokens is None else joined.tokens[:, order]
        return replace(joined, frames=joined.frames[:, order], tokens=tokens, kept=joined.kept[:, order])

    def to(self, device: torch.device | str) -> Voters:
        """The same on another device."""
        tokens = None if self.tokens is None else self.tokens.to(device)
        similarity = None if self.similarity is None else self.similarity.to(device)
        frames, kept = self.frames.to(device), self.kept.to(device)
        return replace(self, frames=frames, tokens=tokens, kept=kept, similarity=similarity)

    def of_video(self, place: int, n_frames: int) -> Voters:
        """Those of one video of a batch, without its padding."""
        own, real = slice(place, place + 1), slice(0, n_frames)
        tokens = None if self.tokens is None else self.tokens[own, real]
        return replace(self, frames=self.frames[own, real], tokens=tokens, kept=self.kept[own, real])

    def rows(self, index: slice) -> Voters:
        """Those of some frames."""
        tokens = None if self.tokens is None else self.tokens[:, index]
        return replace(self, frames=self.frames[:, index], tokens=tokens, kept=self.kept[:, index])


def voters(output: Output, blocks: str = "last") -> Voters:
    """The two voters of an output; the frame voter is the "last" block, or the geometric mean of "all" blocks."""
    if blocks not in ("last", "all"):
        raise InputError("blocks", f"{blocks!r}; expected last or all")
    last = output.blocks[-1]
    frames = _frame_voter(output, blocks)  # (B, T, C)
    if last.a2f_attention is None:
        return Voters(frames, None, output.mask)
    if output.transcript is not None:
        return _aligned(output, output.transcript, last.a2f_attention, frames)
    n_classes = last.frame_logits.shape[-1]
    kept = (last.token_logits.argmax(-1) != n_classes) & output.token_mask  # (B, M)
    attention = last.a2f_attention.masked_fill(~kept.unsqueeze(1), -1.0)  # (B, T, M)
    choice = attention.argmax(-1)  # (B, T)
    tokens = last.token_logits[..., :n_classes].gather(1, choice.unsqueeze(-1).expand(-1, -1, n_classes))  # (B, T, C)
    return Voters(frames, tokens, kept.any(1, keepdim=True).expand_as(choice))


def _check_row(values: Tensor, where: str, n_classes: int) -> None:
    if not isinstance(values, Tensor):
        raise InputError(where, f"{type(values).__name__}; expected a Tensor")
    if values.shape != (n_classes,):
        raise InputError(where, f"shape {tuple(values.shape)}; expected one number for each of {n_classes} classes")


def fuse(of: Voters, frame_weight: float, offset: Tensor | None = None) -> Tensor:
    """(B, T, C) class scores of each frame, (1 - w) * token voter + w * frame voter; larger is likelier.

    `offset` (C,) is added to the log scores of both voters before the softmax: calibration, prior correction, and -inf
    for a class that is not a candidate.
    """
    number_of(frame_weight, "frame_weight", "a share, 0 to 1", 0, 1)
    if offset is not None:
        _check_row(offset, "offset", of.frames.shape[-1])
    frames = of.frames
    if of.aligned and of.tokens is not None:
        return (1 - frame_weight) * of.tokens + frame_weight * frames
    if offset is not None:
        frames = (frames.clamp(min=torch.finfo(frames.dtype).tiny).log() + offset).softmax(-1)
    if of.tokens is None:
        return frames
    tokens = (of.tokens if offset is None else of.tokens + offset).softmax(-1)
    mixed = (1 - frame_weight) * tokens + frame_weight * frames
    return torch.where(of.kept.unsqueeze(-1), mixed, frames)


def fuse_gammas(of: Voters, frame_weight: float, offset: Tensor, seen: Tensor, gammas: Tensor) -> Tensor:
    """(G, T, C) `fuse` of the voters of one video (B = 1) with each of the offsets ``offset - gamma * seen``.

    Within the seen classes, and within the others, gamma changes no share; it only moves probability from one group to
    the other. So a voter is p(class | its group), computed once, times p(group), a sigmoid for each gamma and frame.

    Args:
        of: the voters; not aligned ones, which use no offset.
        frame_weight: as in `fuse`.
        offset: (C,) as in `fuse`, at gamma 0.
        seen: (C,) true at classes from which gamma is subtracted.
        gammas: (G,) in nats.
    """
    number_of(frame_weight, "frame_weight", "a share, 0 to 1", 0, 1)
    for name, values in (("offset", offset), ("seen", seen)):
        _check_row(values, name, of.frames.shape[-1])
    if seen.dtype != torch.bool or gammas.dim() != 1 or len(of.frames) != 1:
        given = f"seen of {seen.dtype}, gammas of shape {tuple(gammas.shape)}, {len(of.frames)} videos"
        raise InputError("gammas", f"{given}; expected true and false, (G,), and one video")
    frames = of.frames[0].clamp(min=torch.finfo(of.frames.dtype).tiny).log()  # (T, C)
    kept = of.kept[0].to(frames.dtype)  # (T,)
    pairs = [(frames, torch.ones_like(kept))]
    if of.tokens is not None:
        pairs = [(of.tokens[0], kept * (1 - frame_weight)), (frames, 1 - kept * (1 - frame_weight))]
    tables, weights = [], []
    for logs, weight in pairs:
        groups = [(logs + offset).masked_fill(left_out, -torch.inf) for left_out in (~seen, seen)]
        margin = groups[0].logsumexp(-1) - groups[1].logsumexp(-1)  # (T,) log of p(seen) / p(not seen) at gamma 0
        margin = margin.unsqueeze(-1) - gammas  # (T, G)
        for group, sign in zip(groups, (1, -1), strict=True):
            tables.append(group.softmax(-1).nan_to_num(0.0))  # a group without a candidate has no shares
            weights.append(weight.unsqueeze(-1) * (sign * margin).sigmoid())
    found = torch.stack(weights, -1) @ torch.stack(tables, 1)  # (T, G, 4) @ (T, 4, C)
    return found.transpose(0, 1)


def frame_scores(
    output: Output, frame_weight: float | None = None, blocks: str = "last", offset: Tensor | None = None
) -> Tensor:
    """(B, T, C) class scores of each frame: `fuse` of the `voters` of an output, by default with the model's weight."""
    return fuse(voters(output, blocks), output.frame_weight if frame_weight is None else frame_weight, offset)


def decode(output: Output, frame_weight: float | None = None) -> Tensor:
    """(B, T) class index of each frame, -1 at padding. ``frame_weight`` as in :func:`frame_scores`."""
    return frame_scores(output, frame_weight).argmax(-1).masked_fill(~output.mask, -1)


def _frame_voter(output: Output, blocks: str) -> Tensor:
    if output.alignment_logits is not None:
        return output.alignment_logits.softmax(-1)
    if blocks == "last":
        return output.log_probs(output.blocks[-1].frame_logits).exp()
    return torch.stack([output.log_probs(block.frame_logits) for block in output.blocks]).mean(0).softmax(-1)


def _aligned(output: Output, transcript: Tensor, attention: Tensor, frames: Tensor) -> Voters:
    """With a transcript (B, M): the attention of each class that stands in it, 0 for the others.

    A class may stand there several times: it gets the attention of its best entry.
    """
    absent = ~output.token_mask.unsqueeze(1)  # (B, 1, M)
    # The published decoder takes a softmax of the attention weights themselves, once more.
    attention = attention.masked_fill(absent, float("-inf")).softmax(-1)  # (B, T, M)
    index = transcript.clamp(min=0).unsqueeze(1).expand_as(attention)
    tokens = torch.zeros_like(frames).scatter_reduce(2, index, attention, "amax", include_self=True)
    # The verb-noun model aligns by attention alone.
    frames = tokens if output.log_probabilities else frames.masked_fill(tokens == 0, 0.0)
    return Voters(frames, tokens, output.mask, aligned=True)


def decode_switching(scores: NDArray[np.floating], penalty: float) -> NDArray[np.int64]:
    """The labelling y of T frames that maximises sum_t scores[t, y_t] - penalty * (number of changes in y).

    Args:
        scores: (T, C), log-probabilities; -inf rules a class out. (G, T, C) are G videos of one length, or one video
            scored in G ways, decoded in one pass over the frames.
        penalty: price of a change, in the unit of the scores (nats); 0 is the argmax of each frame.

    Returns:
        (T,) or (G, T) class indices. Time and memory O(G * T * C).
    """
    scores = array_of(scores, "scores", "log-probabilities (T, C) or (G, T, C)")
    if scores.ndim not in (2, 3) or not scores.size or np.isnan(scores).any():
        found = f"an array of shape {scores.shape}" if scores.ndim not in (2, 3) or not scores.size else "NaN"
        raise InputError("scores", f"{found}; expected log-probabilities (T, C) or (G, T, C)")
    if np.isinf(scores.max(-1)).any():
        raise InputError(
            "scores", "inf, or a frame whose classes are all ruled out; expected a candidate in each frame"
        )
    number_of(penalty, "penalty", "nats, 0 or more", 0)
    if penalty == 0:
        return scores.argmax(-1)
    totals = np.array(np.moveaxis(scores, -2, 0), dtype=np.float64, order="C")  # (T, C) or (T, G, C)
    for before, row in pairwise(totals):  # frame by frame in place: from scores to the value of the best path so far
        best = before[before.argmax()] if before.ndim == 1 else before.max(-1, keepdims=True)
        row += np.maximum(before, best - penalty)
    labels = totals.argmax(-1)  # (T,) or (T, G): the class that a change after the frame comes from
    least = np.take_along_axis(totals, labels[..., None], -1)[..., 0] - penalty  # a class with less is not continued
    _trace_back(totals, least, labels)
    return np.moveaxis(labels, 0, -1)


def _trace_back(totals: NDArray[np.float64], least: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    """Write the best path over `labels`: a frame has the class of the next one where that class is continued."""
    if totals.ndim == 2:
        label, continued = int(labels[-1]), totals >= least[:, None]  # (T, C)
        for frame in range(len(labels) - 2, -1, -1):
            if continued[frame, label]:
                labels[frame] = label
            else:
                label = int(labels[frame])
        return
    ways = np.arange(totals.shape[1])
    for frame in range(len(labels) - 2, -1, -1):
        after = labels[frame + 1]  # (G,)
        labels[frame] = np.where(totals[frame, ways, after] >= least[frame], after, labels[frame])
