"""A plain implementation of docs/method.md: layers, loss and data path, only there to be measured against.

It is written the obvious way, one video at a time: convolutions as ``nn.Conv1d`` on (channels, frames), both dilated
convolutions of MS-TCN++ computed and concatenated, segments and blocks in Python loops, boolean indexing, a number
taken off the device for each term of the log. It shares no code with ``fact_clip.models`` and ``fact_clip.losses`` but
has their parameter names, so both load the same weights. It covers what the recipes ``breakfast``, ``havid`` and
``gtea`` use: the closed-set head, blocks i, u and U, branches m and m2, sca and sa, matching o2o.
tests/benchmarks/test_plain.py checks it against the recordings and against ``fact_clip``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot, softmax

from fact_clip.config import AugmentConfig, BlockConfig, LossConfig, ModelConfig, TrainConfig
from fact_clip.core import runs

# --- layers -------------------------------------------------------------------------------------------


def cut(scores: Tensor) -> list[tuple[int, int]]:
    """(start, stop) of the runs of equal argmax of (T, C)."""
    return [(start, stop) for start, stop, _ in runs(scores.argmax(-1).cpu().numpy())]


def head(x: Tensor, scores: int) -> tuple[Tensor, Tensor]:
    """(N, H) to features (N, H) and the class scores (N, scores) in its last channels."""
    logits = x[:, -scores:]
    return torch.cat([x[:, :-scores], softmax(logits, -1)], -1), logits


class DilatedLayer(nn.Module):
    """A layer of MS-TCN."""

    def __init__(self, c: BlockConfig, dilation: int) -> None:
        super().__init__()
        width = c.frame_dim
        self.conv_dilated = nn.Conv1d(
            width, width, 3, padding=dilation, dilation=dilation, groups=c.frame_groups
        )
        self.conv_1x1 = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(c.dropout)
        self.norm = nn.LayerNorm(width) if c.frame_norm else None

    def forward(self, x: Tensor) -> Tensor:
        """(F, T) to (F, T)."""
        x = x + self.dropout(self.conv_1x1(torch.relu(self.conv_dilated(x))))
        return x if self.norm is None else self.norm(x.T).T


class MSTCN(nn.Module):
    """``m``."""

    def __init__(self, c: BlockConfig, input_dim: int | None) -> None:
        super().__init__()
        self.conv_1x1 = None if input_dim is None else nn.Conv1d(input_dim, c.frame_dim, 1)
        self.layers = nn.ModuleList(DilatedLayer(c, 2**layer) for layer in range(c.frame_layers))
        self.conv_out = nn.Conv1d(c.frame_dim, c.hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(T, in) to (T, H)."""
        x = x.T  # (in, T)
        if self.conv_1x1 is not None:
            x = self.conv_1x1(x)
        for layer in self.layers:
            x = layer(x)
        return self.conv_out(x).T


class MSTCNPlusPlus(nn.Module):
    """``m2``."""

    def __init__(self, c: BlockConfig, input_dim: int | None) -> None:
        super().__init__()
        width, depth = c.frame_dim, c.frame_layers
        down, up = (
            [2 ** (depth - 1 - layer) for layer in range(depth)],
            [2**layer for layer in range(depth)],
        )
        self.conv_1x1_in = None if input_dim is None else nn.Conv1d(input_dim, width, 1)
        self.conv_dilated_1 = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in down
        )
        self.conv_dilated_2 = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in up
        )
        self.conv_fusion = nn.ModuleList(nn.Conv1d(2 * width, width, 1) for _ in range(depth))
        self.conv_out = nn.Conv1d(width, c.hidden, 1)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(T, in) to (T, H)."""
        x = x.T  # (in, T)
        if self.conv_1x1_in is not None:
            x = self.conv_1x1_in(x)
        for layer in range(len(self.conv_fusion)):
            both = torch.cat(
                [self.conv_dilated_1[layer](x), self.conv_dilated_2[layer](x)], 0
            )  # (2F, T)
            step = torch.relu(self.conv_fusion[layer](both))
            x = x + (step if layer == len(self.conv_fusion) - 1 else self.dropout(step))
        return self.conv_out(x).T


class TokenLayer(nn.Module):
    """Self-attention, cross-attention to frames where there is a memory, feed-forward."""

    def __init__(self, c: BlockConfig, memory: int | None) -> None:
        super().__init__()
        width = c.action_dim
        if memory is not None:
            self.self_attn = nn.MultiheadAttention(width, c.heads, dropout=c.dropout)
            self.norm3 = nn.LayerNorm(width)
        self.multihead_attn = nn.MultiheadAttention(
            width, c.heads, dropout=c.dropout, kdim=memory, vdim=memory
        )
        self.linear1, self.linear2 = (
            nn.Linear(width, c.feedforward),
            nn.Linear(c.feedforward, width),
        )
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout, self.crosses = nn.Dropout(c.dropout), memory is not None

    def forward(self, x: Tensor, position: Tensor, memory: Tensor) -> Tensor:
        """(M, A) to (M, A)."""
        if not self.crosses:
            x = self.norm1(x + self.dropout(self.multihead_attn(x + position, x + position, x)[0]))
            return self.norm2(x + self.feed(x))
        x = self.norm1(x + self.dropout(self.self_attn(x + position, x + position, x)[0]))
        x = self.norm2(x + self.dropout(self.multihead_attn(x + position, memory, memory)[0]))
        return self.norm3(x + self.feed(x))

    def feed(self, x: Tensor) -> Tensor:
        return self.dropout(self.linear2(self.dropout(torch.relu(self.linear1(x)))))


class TokenAttention(nn.Module):
    """``sca`` with a memory, else ``sa``."""

    def __init__(self, c: BlockConfig, memory: int | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TokenLayer(c, memory) for _ in range(c.action_layers))
        self.norm = nn.Identity() if memory is None else nn.LayerNorm(c.action_dim)
        self.out_linear = nn.Linear(c.action_dim, c.hidden)

    def forward(self, x: Tensor, position: Tensor, memory: Tensor) -> Tensor:
        """(M, A) to (M, H)."""
        for layer in self.layers:
            x = layer(x, position, memory)
        return self.out_linear(self.norm(x))


class CrossAttention(nn.Module):
    """y queries x."""

    def __init__(self, x_dim: int, y_dim: int, hidden: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.X_K, self.X_V = nn.Linear(x_dim, hidden), nn.Linear(x_dim, hidden)
        self.Y_Q, self.Y_W = nn.Linear(y_dim, hidden), nn.Linear(y_dim + hidden, out_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, y: Tensor, x_position: Tensor | None, y_position: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The result (N_y, out), the weights and their logits (N_y, N_x)."""
        key, value, query = (
            self.X_K(placed(x, x_position)),
            self.X_V(x),
            self.Y_Q(placed(y, y_position)),
        )
        logits = query @ key.T / math.sqrt(key.shape[1])
        weights = softmax(logits, -1)
        return self.Y_W(self.dropout(torch.cat([y, weights @ value], -1))), weights, logits


def placed(x: Tensor, position: Tensor | None) -> Tensor:
    """x plus a position, which may be narrower."""
    if position is None:
        return x
    x = x.clone()
    x[:, : position.shape[1]] = x[:, : position.shape[1]] + position
    return x


@dataclass
class Result:
    """What one block gives for one video."""

    frames: Tensor  # (T, H)
    frame_logits: Tensor  # (T, C)
    tokens: Tensor  # (M, H)
    token_logits: Tensor  # (M, C+1)
    segments: list[tuple[int, int]] | None = None
    segment_logits: Tensor | None = None  # (S, C)
    a2f: Tensor | None = None  # (T, M) weights
    a2f_logits: Tensor | None = None  # (N, M)
    f2a_logits: Tensor | None = None  # (M, N)


class InputBlock(nn.Module):
    """``i``."""

    def __init__(self, c: BlockConfig, input_dim: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.frame_branch = (MSTCN if c.frame == "m" else MSTCNPlusPlus)(c, input_dim)
        self.action_branch = TokenAttention(c, c.hidden if c.action == "sca" else None)

    def forward(self, x: Tensor, position: Tensor) -> Result:
        frames, frame_logits = head(self.frame_branch(x), self.classes)
        tokens = self.action_branch(torch.zeros_like(position), position, frames)
        return Result(frames, frame_logits, *head(tokens, self.classes + 1))


class UpdateBlock(nn.Module):
    """``u``, and ``U`` with ``pools``."""

    def __init__(self, c: BlockConfig, classes: int, pools: bool) -> None:
        super().__init__()
        width = c.hidden
        self.classes, self.pools = classes, pools
        if pools:
            self.seg_update = nn.GRU(width, width // 2, c.segment_layers, bidirectional=True)
            self.seg_combine = nn.Linear(2 * (width // 2), width)
            self.sf_merge = nn.Sequential(nn.Linear(c.frame_dim + width, c.frame_dim), nn.ReLU())
        self.f2a_layer = CrossAttention(width, width, width, c.action_dim, c.dropout)
        self.action_branch = TokenAttention(c, None)
        self.a2f_layer = CrossAttention(width, width, width, c.frame_dim, c.dropout)
        self.frame_branch = (MSTCN if c.frame == "m" else MSTCNPlusPlus)(c, None)

    def forward(self, before: Result, position: Tensor) -> Result:
        memory, segments, segment_logits = before.frames, None, None
        if self.pools:
            segments = cut(before.frame_logits)
            lengths = [stop - start for start, stop in segments]
            pooled = torch.stack([part.mean(0) for part in before.frames.split(lengths)])  # (S, H)
            pooled = self.seg_combine(torch.relu(self.seg_update(pooled)[0]))
            memory, segment_logits = head(pooled, self.classes)
        tokens, _, f2a_logits = self.f2a_layer(memory, before.tokens, None, position)
        tokens, token_logits = head(self.action_branch(tokens, position, memory), self.classes + 1)
        frames, weights, a2f_logits = self.a2f_layer(tokens, memory, position, None)
        if segments is not None:
            repeats = torch.tensor(lengths, device=frames.device)
            frames = torch.cat([frames.repeat_interleave(repeats, 0), before.frames], -1)
            frames, weights = self.sf_merge(frames), weights.repeat_interleave(repeats, 0)
        frames, frame_logits = head(self.frame_branch(frames), self.classes)
        return Result(
            frames,
            frame_logits,
            tokens,
            token_logits,
            segments,
            segment_logits,
            weights,
            a2f_logits,
            f2a_logits,
        )


class PlainFACT(nn.Module):
    """The model for one video, with the parameter names of ``fact_clip.models.FACT``."""

    def __init__(self, config: ModelConfig, input_dim: int, classes: int) -> None:
        super().__init__()
        odd = (
            config.head != "closed"
            or config.transcript
            or config.frame_positions
            or "I" in config.blocks
        )
        if odd:
            raise ValueError(
                "the plain implementation has closed-set heads, blocks i, u, U, and no frame positions"
            )
        self.action_query = nn.Parameter(torch.randn(config.tokens, 1, config.input.action_dim))
        blocks: list[nn.Module] = [InputBlock(config.input, input_dim, classes)]
        for letter in config.blocks[1:]:
            settings = config.update if letter == "u" else config.pooled
            blocks.append(UpdateBlock(settings, classes, letter == "U"))
        self.block_list = nn.ModuleList(blocks)

    def forward(self, features: Tensor) -> list[Result]:
        """(T, D) to the result of each block."""
        position = self.action_query[:, 0]  # (M, A)
        results = [self.block_list[0](features, position)]
        for block in self.block_list[1:]:
            results.append(block(results[-1], position))
        return results


def decode(results: Sequence[Result], frame_weight: float) -> Tensor:
    """(T,) the class of each frame, by both voters."""
    last = results[-1]
    frames, classes = softmax(last.frame_logits, -1), last.frame_logits.shape[1]
    kept = last.token_logits.argmax(-1) != classes
    if last.a2f is None or not kept.any():
        return frames.argmax(-1)
    votes = softmax(last.token_logits[kept][:, :classes], -1)[
        last.a2f[:, kept].argmax(-1)
    ]  # (T, C)
    return ((1 - frame_weight) * votes + frame_weight * frames).argmax(-1)


# --- loss ---------------------------------------------------------------------------------------------


class PlainLoss:
    """Matching and loss of one video."""

    def __init__(
        self,
        config: LossConfig,
        classes: int,
        tokens: int,
        background: Sequence[int],
        length: float,
    ) -> None:
        if (
            config.match != "o2o"
            or config.balance
            or config.segment_balance
            or config.token_weight != 1
        ):
            raise ValueError(
                "the plain loss has o2o matching, no balance and terms of equal weight"
            )
        self.config = config
        null = (
            config.null_weight
            if config.null_weight >= 0
            else tokens / ((tokens - length) * classes)
        )
        self.weights = torch.ones(classes + 1)  # (C+1,)
        self.weights[list(background)] = config.background_weight
        self.weights[classes] = null

    def match(
        self, last: Result, known: Tensor, onehot: Tensor, transcript: Tensor
    ) -> list[tuple[int, int]]:
        """(token, segment) pairs by the last block."""
        with torch.no_grad():
            cost = -self.config.class_cost * softmax(last.token_logits, -1)[:, transcript]  # (M, S)
            if last.a2f is not None:
                attention, target = last.a2f[known], onehot[known]
                overlap = attention.T @ target
                union = attention.sum(0)[:, None] + target.sum(0)[None] - overlap
                cost = cost - self.config.overlap_cost * overlap / union
        rows, columns = linear_sum_assignment(cost.cpu().numpy())
        return list(zip(rows.tolist(), columns.tolist(), strict=True))

    def __call__(
        self, results: Sequence[Result], labels: Tensor
    ) -> tuple[Tensor, list[Tensor], list[tuple[int, int]]]:
        """The loss of a video from its labels (T,), that of each block, and the matching."""
        segments = [
            (start, stop, label) for start, stop, label in runs(labels.cpu().numpy()) if label >= 0
        ]
        onehot = torch.zeros(len(labels), len(segments), device=labels.device)
        for index, (start, stop, _) in enumerate(segments):
            onehot[start:stop, index] = 1
        transcript = torch.tensor([label for _, _, label in segments], device=labels.device)
        pairs = self.match(results[-1], labels >= 0, onehot, transcript)
        losses = [self.block(result, labels, onehot, transcript, pairs) for result in results]
        return torch.stack(losses).mean(), losses, pairs

    def block(
        self,
        result: Result,
        labels: Tensor,
        onehot: Tensor,
        transcript: Tensor,
        pairs: list[tuple[int, int]],
    ) -> Tensor:
        """The loss of one block."""
        known, weights = labels >= 0, self.weights.to(labels.device)
        classes = len(weights) - 1
        logp, own = log_softmax(result.frame_logits, -1)[known], labels[known]
        loss = -(weights[own] * logp[torch.arange(len(own), device=own.device), own]).sum() / len(
            own
        )
        units = onehot[known]
        real = known
        if result.segments is not None and result.segment_logits is not None:
            per_class, kept = self.shares(
                result.segments, one_hot(labels.clamp(min=0), classes).float(), known
            )
            logp = log_softmax(result.segment_logits, -1)[kept]
            loss = (loss - (weights[:-1] * per_class * logp).sum() / len(per_class)) / 2
            units, real = self.shares(result.segments, onehot, known)
        target = torch.full((len(result.token_logits),), classes, device=labels.device)
        for token, segment in pairs:
            target[token] = transcript[segment]
        loss = loss + nn.functional.cross_entropy(result.token_logits, target, weights)
        if result.f2a_logits is not None and result.a2f_logits is not None:
            rows, columns = [token for token, _ in pairs], [segment for _, segment in pairs]
            weighted = units[:, columns] * weights[transcript[columns]] / len(units)  # (N', P)
            loss = loss - (weighted * log_softmax(result.f2a_logits[:, real], -1)[rows].T).sum()
            loss = loss - (weighted * log_softmax(result.a2f_logits[real][:, rows], -1)).sum()
        return loss + self.config.smoothing * self.smooth(result, known)

    @staticmethod
    def shares(
        segments: list[tuple[int, int]], per_frame: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(S', K) the mean of (T, K) over the labelled frames of each predicted segment, and which have some."""
        means, kept = [], []
        for start, stop in segments:
            inside = per_frame[start:stop][known[start:stop]]
            kept.append(len(inside) > 0)
            if len(inside):
                means.append(inside.mean(0))
        return torch.stack(means), torch.tensor(kept, device=known.device)

    @staticmethod
    def smooth(result: Result, known: Tensor) -> Tensor:
        maps = [result.frame_logits]
        if (
            result.segments is None
            and result.a2f_logits is not None
            and result.f2a_logits is not None
        ):
            maps += [result.a2f_logits, result.f2a_logits.T]
        both, total = known[1:] & known[:-1], torch.zeros((), device=known.device)
        for each in maps:
            logp = log_softmax(each, -1)
            total = total + torch.clamp((logp[1:] - logp[:-1])[both] ** 2, max=16).mean()
        return total


# --- training and data --------------------------------------------------------------------------------


class PlainTraining:
    """Steps of Adam on batches of videos; the videos of a batch run one after the other."""

    def __init__(self, model: PlainFACT, loss: PlainLoss, settings: TrainConfig) -> None:
        self.model, self.loss, self.clip = model, loss, settings.clip_norm
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )

    def step(self, videos: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """One step on (features (T, D), labels (T,)) of each video; the mean losses as numbers."""
        row: dict[str, float] = {}
        self.optimizer.zero_grad()
        for features, labels in videos:
            total, blocks, _ = self.loss(self.model(features), labels)
            (total / len(videos)).backward()
            for name, value in [
                ("total", total),
                *((f"block{i}", block) for i, block in enumerate(blocks)),
            ]:
                row[name] = row.get(name, 0.0) + value.item() / len(videos)
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return row


def read_videos(
    root: Path, names: Sequence[str], augment: AugmentConfig | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """(features (T, D), labels (T,)) of each video; the files hold (D, T). ``augment`` masks them."""
    mapping = {}
    for line in (root / "mapping.txt").read_text().splitlines():
        index, name = line.split(maxsplit=1)
        mapping[name] = int(index)
    for name in names:
        features = torch.from_numpy(np.load(root / f"features/{name}.npy").T.astype(np.float32))
        lines = (root / f"groundTruth/{name}.txt").read_text().splitlines()
        labels = torch.tensor([mapping[line] for line in lines])
        if augment is not None:
            features = masked(features, augment)
        yield features, labels


def masked(features: Tensor, augment: AugmentConfig) -> Tensor:
    """Channel and time masking of (T, D)."""
    if augment.channels:
        features = nn.functional.dropout1d(features.T.unsqueeze(0), augment.channels)[0].T
    features = features.clone()
    for _ in range(augment.time_spans):
        length = min(
            int(torch.randint(augment.time_length, ())), int(augment.time_share * len(features))
        )
        if length == 0:
            break
        start = int(torch.randint(len(features) - length + 1, ()))
        features[start : start + length] = 0
    return features
