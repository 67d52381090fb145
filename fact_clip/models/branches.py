"""What blocks are built from: segments, cross attention, frame branches and action branches.

A frame branch (temporal convolutions) maps (B, T, in) to (B, T, H). Padded frames are zero before every convolution,
as beyond the ends of a video that is alone. An action branch (attention or a GRU over tokens) maps (B, M, A) to
(B, M, H). A mask is None where nothing is padded, which saves work.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from fact_clip.config import BlockConfig
from fact_clip.models.kernels import (
    BidirectionalGRU,
    CachesWeights,
    Dropout,
    FrameConv,
    Kernels,
    Linear,
    Taps,
    convolve,
    linear,
    planned_length,
    product_dtype,
    use_cpu_kernel,
)
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
    """Return the runs of equal argmax of ``scores`` (B, T, C) over real frames; it waits for the device once."""
    label = scores.detach().argmax(-1)  # (B, T)
    change = torch.zeros_like(label)
    change[:, 1:] = (label[:, 1:] != label[:, :-1]) & mask[:, 1:]
    of_frame = change.cumsum(1) * mask  # (B, T)
    count = (of_frame.amax(1) + 1).cpu()  # (B,)
    slots = torch.arange(int(count.max()))
    exists = (slots < count.unsqueeze(1)).to(label.device, non_blocking=True)  # (B, S)
    length = torch.zeros(exists.shape, dtype=torch.long, device=label.device).scatter_add_(
        1, of_frame, mask.long()
    )
    stop = length.cumsum(1)  # (B, S), segments are contiguous from frame 0
    centre = ((2 * stop - length - 1) // 2) * exists
    return Segments(of_frame, exists, centre, length, count)


def pool_segments(x: Tensor, segments: Segments, mask: Tensor | None) -> Tensor:
    """(B, S, D) mean of the frames (B, T, D) of each segment, zero where there is none; in float32 under autocast."""
    x = x.float() if mask is None else x.float() * mask.unsqueeze(-1)
    index = segments.of_frame.unsqueeze(-1).expand_as(x)
    total = x.new_zeros(*segments.mask.shape, x.shape[-1]).scatter_add(1, index, x)
    return total / segments.length.clamp(min=1).unsqueeze(-1)


@dataclass(frozen=True)
class Context:
    """What is attended to: features (B, N, D), their positions (B or 1, N, P) or None, mask (B, N) or None."""

    features: Tensor
    position: Tensor | None
    mask: Tensor | None


class CrossAttention(nn.Module):
    """One head of attention (FACT section 3.2): out = W_y dropout([y, softmax(Q K^T / sqrt(H)) V]).

    The context x is ``x_dim`` wide, y, which queries it, ``y_dim``; keys, queries and values are ``hidden`` wide.
    Tokens are few and frames are many, so products start on the side of the tokens: with W_k x as key, (q W_k) x needs
    no key of a frame. The result is the same to rounding.
    """

    def __init__(self, x_dim: int, y_dim: int, hidden: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.X_K = Linear(x_dim, hidden)
        self.X_V = Linear(x_dim, hidden)
        self.Y_Q = Linear(y_dim, hidden)
        self.Y_W = Linear(y_dim + hidden, out_dim)
        self.dropout = Dropout(dropout)

    def forward(
        self, y: Tensor, position: Tensor | None, context: Context
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the result (B, N_y, out), the attention weights and their logits (B, N_y, N_x)."""
        queries, keys = add_position(y, position), add_position(context.features, context.position)
        if y.shape[1] < keys.shape[1]:  # tokens query frames or segments
            logits = _products(keys, self.X_K, self.Y_Q(queries)).transpose(1, 2)  # (B, N_y, N_x)
        else:
            logits = _products(queries, self.Y_Q, self.X_K(keys))  # (B, N_y, N_x)
        logits = logits / math.sqrt(self.X_K.out_features)
        if context.mask is not None:
            logits = logits.masked_fill(~context.mask.unsqueeze(1), float("-inf"))
        weights = logits.softmax(-1)
        if y.shape[1] < keys.shape[1]:
            attended = self.X_V(weights @ context.features)  # (B, N_y, H), since weights sum to one
            return self.Y_W(self.dropout(torch.cat([y, attended], dim=-1))), weights, logits
        values = self.X_V(context.features)  # (B, N_x, H)
        of_y, of_attended = self.Y_W.weight.split([y.shape[-1], values.shape[-1]], dim=1)
        if self.training and self.dropout.p:
            changed = linear(self.dropout(weights @ values), of_attended)
        else:
            changed = weights @ linear(values, of_attended)  # (B, N_y, out)
        return linear(self.dropout(y), of_y, self.Y_W.bias) + changed, weights, logits


def _products(many: Tensor, projection: nn.Linear, few: Tensor) -> Tensor:
    """(B, N, M) products of ``projection(many)`` (B, N, H) and ``few`` (B, M, H), without the former."""
    return many @ (few @ projection.weight).transpose(1, 2) + (few @ projection.bias).unsqueeze(1)


def _planned(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """(B, T, F) and (B, T, 1) with rows of zeros at the end, where convolutions would add them each time."""
    if more := planned_length(x) - x.shape[1]:
        x = nn.functional.pad(x, (0, 0, 0, more))
        mask = None if mask is None else nn.functional.pad(mask, (0, 0, 0, more))
    return x, mask


class _DilatedLayer(nn.Module):
    """x + dropout(1x1(relu(conv3_dilated(x)))), then LayerNorm over channels where asked (Farha and Gall 2019)."""

    def __init__(self, config: BlockConfig, dilation: int) -> None:
        super().__init__()
        width = config.frame_dim
        self.conv_dilated = FrameConv(width, width, 3, dilation, config.frame_groups)
        self.conv_1x1 = FrameConv(width, width)
        self.dropout = Dropout(config.dropout)
        self.norm = nn.LayerNorm(width) if config.frame_norm else None

    def forward(self, x: Tensor, mask: Tensor | None, frames: int) -> Tensor:
        """(B, T, F) to (B, T, F), both with zeros after `frames` rows; ``mask`` is (B, T, 1)."""
        inside = self.conv_dilated(x if mask is None else x * mask, relu=True, frames=frames)
        if self.training:
            x = x + self.dropout(self.conv_1x1(inside, frames=frames))
        else:
            x = self.conv_1x1(inside, plus=x, frames=frames)
        return x if self.norm is None else self.norm(x)


class MSTCN(nn.Module):
    """Temporal convolutions of MS-TCN, dilation 2^l in layer l."""

    def __init__(self, config: BlockConfig, input_dim: int | None) -> None:
        super().__init__()
        self.conv_1x1 = None if input_dim is None else FrameConv(input_dim, config.frame_dim)
        self.layers = nn.ModuleList(
            _DilatedLayer(config, 2**layer) for layer in range(config.frame_layers)
        )
        self.plans = not config.frame_norm and config.frame_groups == 1
        self.conv_out = FrameConv(config.frame_dim, config.hidden)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, in) to (B, T, H)."""
        real = None if mask is None else mask.unsqueeze(-1).to(x.dtype)  # (B, T, 1)
        if self.conv_1x1 is not None:
            x = self.conv_1x1(x)  # (B, T, F)
        frames = x.shape[1]
        if self.plans:
            x, real = _planned(x, real)
        for layer in self.layers:
            x = layer(x, real, frames)
        return self.conv_out(x[:, :frames])


class MSTCNPlusPlus(CachesWeights):
    """Dual dilated layers of MS-TCN++ (Li et al. 2020): dilations 2^(L-1-l) and 2^l side by side.

    A layer joins two convolutions by a 1x1 with nothing between, so it is one convolution of at most five taps: 5 F^2
    products a frame in place of 8 F^2. Making its weights takes 6 F^3, which is kept in inference, and in training pays
    off over more than 2F frames.
    """

    def __init__(self, config: BlockConfig, input_dim: int | None) -> None:
        super().__init__()
        width, depth = config.frame_dim, config.frame_layers
        self.conv_1x1_in = None if input_dim is None else FrameConv(input_dim, width)
        large, small = (
            [2 ** (depth - 1 - layer) for layer in range(depth)],
            [2**layer for layer in range(depth)],
        )
        self.conv_dilated_1 = nn.ModuleList(FrameConv(width, width, 3, d) for d in large)
        self.conv_dilated_2 = nn.ModuleList(FrameConv(width, width, 3, d) for d in small)
        self.conv_fusion = nn.ModuleList(FrameConv(2 * width, width) for _ in range(depth))
        self.conv_out = FrameConv(width, config.hidden)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, in) to (B, T, H)."""
        real = None if mask is None else mask.unsqueeze(-1).to(x.dtype)  # (B, T, 1)
        if self.conv_1x1_in is not None:
            x = self.conv_1x1_in(x)  # (B, T, F)
        last = len(self.conv_fusion) - 1
        frames = x.shape[1]
        x, real = _planned(x, real)
        for layer in range(last + 1):
            x = x if real is None else x * real
            step = self._layer(x, layer, frames)  # (B, T, F)
            x = x + (step if layer == last else self.dropout(step))
        return self.conv_out(x[:, :frames])

    def _layer(self, x: Tensor, layer: int, frames: int) -> Tensor:
        """ReLU of one layer, folded where that pays off."""
        modules = (self.conv_dilated_1[layer], self.conv_dilated_2[layer], self.conv_fusion[layer])
        first, second, fuse = (cast(FrameConv, module) for module in modules)
        if torch.is_grad_enabled() and x.shape[0] * x.shape[1] <= 2 * x.shape[2]:
            return cast(
                Tensor, fuse(torch.cat([first(x), second(x)], dim=-1), relu=True, frames=frames)
            )
        if use_cpu_kernel(x):
            taps = self.cached(
                (product_dtype(), layer), modules, lambda: Taps.of(*_folded(first, second, fuse))
            )
            return taps(x, relu=True, frames=frames)
        return convolve(
            x, *self.cached(("kernels", layer), modules, lambda: _folded(first, second, fuse))
        ).relu_()


def _folded(first: FrameConv, second: FrameConv, fuse: FrameConv) -> tuple[Kernels, Tensor]:
    """The kernels and the bias of ``fuse([one(x), two(x)])`` as a sum of convolutions of x."""
    weight, bias = fuse.weight.squeeze(-1), cast(Tensor, fuse.bias)  # (F, 2F), (F,)
    both = list(zip(weight.chunk(2, dim=1), (first, second), strict=True))
    kernels = [
        ((half @ conv.weight.flatten(1)).view_as(conv.weight), conv.dilation[0])
        for half, conv in both
    ]
    return kernels, torch.addmv(
        bias, weight, torch.cat([cast(Tensor, conv.bias) for _, conv in both])
    )


class _TokenLayer(nn.Module):
    """Post-norm transformer layer over tokens; positions are added to queries and keys, not to values."""

    def __init__(self, config: BlockConfig, context_dim: int | None = None) -> None:
        super().__init__()
        width = config.action_dim
        attention = {
            "embed_dim": width,
            "num_heads": config.heads,
            "dropout": config.dropout,
            "batch_first": True,
        }
        self.crosses = context_dim is not None
        if self.crosses:
            self.self_attn = nn.MultiheadAttention(**attention)
        self.multihead_attn = nn.MultiheadAttention(**attention, kdim=context_dim, vdim=context_dim)
        if self.crosses:
            self.norm3 = nn.LayerNorm(width)
        self.linear1 = Linear(width, config.feedforward)
        self.linear2 = Linear(config.feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None, context: Context) -> Tensor:
        """(B, M, A) to (B, M, A)."""
        tokens = Context(x, position, mask)
        if not self.crosses:
            x = self.norm1(self._attend(self.multihead_attn, x, position, tokens))
            return self.norm2(self._feed_forward(x))
        x = self.norm1(self._attend(self.self_attn, x, position, tokens))
        x = self.norm2(self._attend(self.multihead_attn, x, position, context))
        return self.norm3(self._feed_forward(x))

    def _attend(
        self, attention: nn.MultiheadAttention, x: Tensor, position: Tensor, context: Context
    ) -> Tensor:
        query = add_position(x, position)
        key = query if context.features is x else add_position(context.features, context.position)
        return x + self.dropout(
            _multi_head(attention, query, key, context.features, context.mask, self.dropout)
        )

    def _feed_forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.linear2(self.dropout(self.linear1(x, relu=True))))


def _multi_head(
    attention: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: Dropout,
) -> Tensor:
    """What ``attention`` gives for (B, N, A), (B, K, D) and (B, K, D), with the dropout of this package."""
    if attention.in_proj_weight is None:
        weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    else:
        weights = attention.in_proj_weight.chunk(3)
    projected = (
        linear(x, weight, bias).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for x, weight, bias in zip(
            (query, key, value), weights, attention.in_proj_bias.chunk(3), strict=True
        )
    )
    q, k, v = projected  # (B, heads, N or K, A / heads)
    real = None if mask is None else mask[:, None, None]
    if not dropout.training or not dropout.p:
        attended = nn.functional.scaled_dot_product_attention(q, k, v, real)
    else:
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (B, heads, N, K)
        logits = logits if real is None else logits.masked_fill(~real, float("-inf"))
        attended = dropout(logits.softmax(-1)) @ v
    return linear(
        attended.transpose(1, 2).flatten(2), attention.out_proj.weight, attention.out_proj.bias
    )


class TokenAttention(nn.Module):
    """``sca``: layers of self-attention, cross-attention to the context and feed-forward, a final norm, A to H.

    ``sa`` does not read the context: layers of self-attention and feed-forward, no final norm.
    """

    def __init__(self, config: BlockConfig, context_dim: int, crosses: bool) -> None:
        super().__init__()
        width = context_dim if crosses else None
        self.layers = nn.ModuleList(_TokenLayer(config, width) for _ in range(config.action_layers))
        self.norm = nn.LayerNorm(config.action_dim) if crosses else nn.Identity()
        self.out_linear = Linear(config.action_dim, config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None, context: Context) -> Tensor:
        """(B, M, A) to (B, M, H)."""
        for layer in self.layers:
            x = layer(x, position, mask, context)
        return self.out_linear(self.norm(x))


class TokenGRU(nn.Module):
    """``gru_om``: a bidirectional GRU A to 2*(A/2), LayerNorm, A to H, for tokens in transcript order."""

    def __init__(self, config: BlockConfig, context_dim: int) -> None:
        super().__init__()
        width = config.action_dim
        self.gru = BidirectionalGRU(width, width // 2, config.action_layers)
        self.layernorm = nn.LayerNorm(2 * (width // 2))
        self.out_map = Linear(2 * (width // 2), config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None, context: Context) -> Tensor:
        """(B, M, A) to (B, M, H)."""
        x = add_position(x, position)
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        return self.out_map(self.layernorm(self.gru(x, mask, mask.sum(1).cpu())))


FRAME_BRANCHES: dict[str, type[nn.Module]] = {"m": MSTCN, "m2": MSTCNPlusPlus}
ACTION_BRANCHES: dict[str, Callable[[BlockConfig, int], nn.Module]] = {
    "sca": partial(TokenAttention, crosses=True),
    "sa": partial(TokenAttention, crosses=False),
    "gru_om": TokenGRU,
}
