"""What blocks are built from: segments, cross attention, frame branches and action branches.

A frame branch (temporal convolutions) maps (B, T, in) to (B, T, H). Padded frames are zero before every convolution,
as beyond the ends of a video that is alone. An action branch (attention or a GRU over tokens) maps (B, M, A) to
(B, M, H).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from fact_clip.config import BlockConfig
from fact_clip.models.output import Segments


def sinusoidal_positions(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """(length, width) positions: sine on even columns, cosine on odd ones, base 10000 (Vaswani et al. 2017)."""
    steps = torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1)  # (T, 1)
    even = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angles = steps * torch.exp(even * (-math.log(10000.0) / width))  # (T, ceil(W/2))
    table = torch.zeros(length, width, device=device)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = torch.cos(angles)[:, : width // 2]
    return table


def add_position(x: Tensor, position: Tensor | None) -> Tensor:
    """``x`` (B, N, D) plus a position (B or 1, N, P), which is added to the first P channels."""
    if position is None:
        return x
    missing = x.shape[-1] - position.shape[-1]
    return x + (nn.functional.pad(position, (0, missing)) if missing else position)


def cut_segments(scores: Tensor, mask: Tensor) -> Segments:
    """Segments are the runs of equal argmax of ``scores`` (B, T, C) over the real frames of each video."""
    label = scores.detach().argmax(-1)  # (B, T)
    change = torch.zeros_like(label)
    change[:, 1:] = (label[:, 1:] != label[:, :-1]) & mask[:, 1:]
    of_frame = change.cumsum(1) * mask  # (B, T)
    count = of_frame.amax(1) + 1  # (B,)
    slots = torch.arange(int(count.max()), device=label.device)
    exists = slots < count.unsqueeze(1)  # (B, S)
    length = torch.zeros(exists.shape, dtype=torch.long, device=label.device).scatter_add_(1, of_frame, mask.long())
    stop = length.cumsum(1)  # (B, S), segments are contiguous from frame 0
    centre = ((2 * stop - length - 1) // 2) * exists
    return Segments(of_frame, exists, centre, length)


def pool_segments(x: Tensor, segments: Segments, mask: Tensor) -> Tensor:
    """(B, S, D) mean of the frames (B, T, D) of each segment, zero where there is none; in float32 under autocast."""
    x = x.float()
    index = segments.of_frame.unsqueeze(-1).expand_as(x)
    total = x.new_zeros(*segments.mask.shape, x.shape[-1]).scatter_add(1, index, x * mask.unsqueeze(-1))
    return total / segments.length.clamp(min=1).unsqueeze(-1)


def run_gru(gru: nn.GRU, x: Tensor, mask: Tensor) -> Tensor:
    """A bidirectional GRU over (B, N, D), zero after each sequence's own end; in float32 under autocast."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        if bool(mask.all()):
            return gru(x)[0]
        packed = nn.utils.rnn.pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=x.shape[1])[0]


@dataclass(frozen=True)
class Context:
    """What is attended to: features (B, N, D), their positions (B or 1, N, P) or None, mask (B, N)."""

    features: Tensor
    position: Tensor | None
    mask: Tensor


class CrossAttention(nn.Module):
    """One head of attention (FACT section 3.2): out = W_y dropout([y, softmax(Q K^T / sqrt(H)) V]).

    The context x is ``x_dim`` wide, y, which queries it, ``y_dim``; keys, queries and values are ``hidden`` wide.
    """

    def __init__(self, x_dim: int, y_dim: int, hidden: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.X_K = nn.Linear(x_dim, hidden)
        self.X_V = nn.Linear(x_dim, hidden)
        self.Y_Q = nn.Linear(y_dim, hidden)
        self.Y_W = nn.Linear(y_dim + hidden, out_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, y: Tensor, position: Tensor | None, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """Return the result (B, N_y, out), the attention weights and their logits (B, N_y, N_x)."""
        key = self.X_K(add_position(context.features, context.position))  # (B, N_x, H)
        query = self.Y_Q(add_position(y, position))  # (B, N_y, H)
        logits = query @ key.transpose(1, 2) / math.sqrt(key.shape[-1])  # (B, N_y, N_x)
        logits = logits.masked_fill(~context.mask.unsqueeze(1), float("-inf"))
        weights = logits.softmax(-1)
        attended = weights @ self.X_V(context.features)  # (B, N_y, H)
        return self.Y_W(self.dropout(torch.cat([y, attended], dim=-1))), weights, logits


class FrameConv(nn.Conv1d):
    """A convolution over time, (B, T, in) to (B, T, out), with zeros beyond the ends; on the CPU a matrix product.

    Weights and their names are those of ``nn.Conv1d``, which is slower on the CPU because it plans anew for each length
    of a video (benchmarks/speed.py). It keeps a third as much for the backward pass, so a GPU uses it.
    """

    def __init__(self, input_dim: int, output_dim: int, taps: int = 1, dilation: int = 1, groups: int = 1) -> None:
        reach = taps // 2 * dilation
        super().__init__(input_dim, output_dim, taps, padding=reach, dilation=dilation, groups=groups)
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) to (B, T, out)."""
        if self.groups > 1 or x.device.type != "cpu":
            return super().forward(x.transpose(1, 2)).transpose(1, 2)
        if self.reach:
            frames, ends = x.shape[1], 2 * self.reach
            padded = nn.functional.pad(x, (0, 0, self.reach, self.reach))  # (B, T + ends, in)
            taps = [padded[:, start : start + frames] for start in range(0, ends + 1, self.dilation[0])]
            x = torch.cat(taps, dim=-1)  # (B, T, taps*in)
        return nn.functional.linear(x, self.weight.transpose(1, 2).flatten(1), self.bias)


class _DilatedLayer(nn.Module):
    """x + dropout(1x1(relu(conv3_dilated(x)))), then LayerNorm over channels where asked (Farha and Gall 2019)."""

    def __init__(self, config: BlockConfig, dilation: int) -> None:
        super().__init__()
        width = config.frame_dim
        self.conv_dilated = FrameConv(width, width, 3, dilation, config.frame_groups)
        self.conv_1x1 = FrameConv(width, width)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(width) if config.frame_norm else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F) to (B, T, F); ``mask`` is (B, T, 1)."""
        x = x + self.dropout(self.conv_1x1(torch.relu(self.conv_dilated(x * mask))))
        return x if self.norm is None else self.norm(x)


class MSTCN(nn.Module):
    """Temporal convolutions of MS-TCN, dilation 2^l in layer l."""

    def __init__(self, config: BlockConfig, input_dim: int | None) -> None:
        super().__init__()
        self.conv_1x1 = None if input_dim is None else FrameConv(input_dim, config.frame_dim)
        self.layers = nn.ModuleList(_DilatedLayer(config, 2**layer) for layer in range(config.frame_layers))
        self.conv_out = FrameConv(config.frame_dim, config.hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, in) to (B, T, H)."""
        real = mask.unsqueeze(-1).to(x.dtype)  # (B, T, 1)
        if self.conv_1x1 is not None:
            x = self.conv_1x1(x)  # (B, T, F)
        for layer in self.layers:
            x = layer(x, real)
        return self.conv_out(x)


class MSTCNPlusPlus(nn.Module):
    """Dual dilated layers of MS-TCN++ (Li et al. 2020): dilations 2^(L-1-l) and 2^l side by side."""

    def __init__(self, config: BlockConfig, input_dim: int | None) -> None:
        super().__init__()
        width, depth = config.frame_dim, config.frame_layers
        self.conv_1x1_in = None if input_dim is None else FrameConv(input_dim, width)
        large, small = [2 ** (depth - 1 - layer) for layer in range(depth)], [2**layer for layer in range(depth)]
        self.conv_dilated_1 = nn.ModuleList(FrameConv(width, width, 3, d) for d in large)
        self.conv_dilated_2 = nn.ModuleList(FrameConv(width, width, 3, d) for d in small)
        self.conv_fusion = nn.ModuleList(FrameConv(2 * width, width) for _ in range(depth))
        self.conv_out = FrameConv(width, config.hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, in) to (B, T, H)."""
        real = mask.unsqueeze(-1).to(x.dtype)  # (B, T, 1)
        if self.conv_1x1_in is not None:
            x = self.conv_1x1_in(x)  # (B, T, F)
        last = len(self.conv_fusion) - 1
        for layer, (one, two, fuse) in enumerate(
            zip(self.conv_dilated_1, self.conv_dilated_2, self.conv_fusion, strict=True)
        ):
            x = x * real
            step = torch.relu(fuse(torch.cat([one(x), two(x)], dim=-1)))  # (B, T, F)
            x = x + (step if layer == last else self.dropout(step))
        return self.conv_out(x)


class _TokenLayer(nn.Module):
    """Post-norm transformer layer over tokens: self-attention, cross-attention if there is a context, feed-forward.

    Positions are added to queries and keys, not to values.
    """

    def __init__(self, config: BlockConfig, context_dim: int | None = None) -> None:
        super().__init__()
        width = config.action_dim
        attention = {"embed_dim": width, "num_heads": config.heads, "dropout": config.dropout, "batch_first": True}
        self.crosses = context_dim is not None
        if self.crosses:
            self.self_attn = nn.MultiheadAttention(**attention)
        self.multihead_attn = nn.MultiheadAttention(**attention, kdim=context_dim, vdim=context_dim)
        if self.crosses:
            self.norm3 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, context: Context) -> Tensor:
        """(B, M, A) to (B, M, A)."""
        tokens = Context(x, position, mask)
        if not self.crosses:
            x = self.norm1(self._attend(self.multihead_attn, x, position, tokens))
            return self.norm2(self._feed_forward(x))
        x = self.norm1(self._attend(self.self_attn, x, position, tokens))
        x = self.norm2(self._attend(self.multihead_attn, x, position, context))
        return self.norm3(self._feed_forward(x))

    def _attend(self, attention: nn.MultiheadAttention, x: Tensor, position: Tensor, context: Context) -> Tensor:
        query = add_position(x, position)
        key = query if context.features is x else add_position(context.features, context.position)
        out = attention(query, key, context.features, key_padding_mask=~context.mask, need_weights=False)[0]
        return x + self.dropout(out)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.linear2(self.dropout(torch.relu(self.linear1(x)))))


class TokenAttention(nn.Module):
    """``sca``: layers of self-attention, cross-attention to the context and feed-forward, a final norm, A to H.

    ``sa`` does not read the context: layers of self-attention and feed-forward, no final norm.
    """

    def __init__(self, config: BlockConfig, context_dim: int, crosses: bool) -> None:
        super().__init__()
        width = context_dim if crosses else None
        self.layers = nn.ModuleList(_TokenLayer(config, width) for _ in range(config.action_layers))
        self.norm = nn.LayerNorm(config.action_dim) if crosses else nn.Identity()
        self.out_linear = nn.Linear(config.action_dim, config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, context: Context) -> Tensor:
        """(B, M, A) to (B, M, H)."""
        for layer in self.layers:
            x = layer(x, position, mask, context)
        return self.out_linear(self.norm(x))


class TokenGRU(nn.Module):
    """``gru_om``: a bidirectional GRU A to 2*(A/2), LayerNorm, A to H, for tokens in transcript order."""

    def __init__(self, config: BlockConfig, context_dim: int) -> None:
        super().__init__()
        width = config.action_dim
        self.gru = nn.GRU(width, width // 2, config.action_layers, batch_first=True, bidirectional=True)
        self.layernorm = nn.LayerNorm(2 * (width // 2))
        self.out_map = nn.Linear(2 * (width // 2), config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, context: Context) -> Tensor:
        """(B, M, A) to (B, M, H)."""
        return self.out_map(self.layernorm(run_gru(self.gru, add_position(x, position), mask)))


FRAME_BRANCHES: dict[str, type[nn.Module]] = {"m": MSTCN, "m2": MSTCNPlusPlus}
ACTION_BRANCHES: dict[str, Callable[[BlockConfig, int], nn.Module]] = {
    "sca": partial(TokenAttention, crosses=True),
    "sa": partial(TokenAttention, crosses=False),
    "gru_om": TokenGRU,
}
