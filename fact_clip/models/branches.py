"""Parts of blocks: positions, segments, cross attention, frame branches and action branches.

A frame branch (temporal convolutions) maps (B, T, in) to (B, T, H). Padded frames are zero before
every convolution, like frames beyond the ends of a video. An action branch (attention or a GRU over
tokens) maps (B, M, A) to (B, M, H). A mask is None if nothing is padded, which saves computation.

Symbols: B videos, T frames, S segments, M tokens, F width of a frame branch, A width of an action
branch, H width of both results, P width of positions. Attributes of modules are the names of saved
weights, and their order determines the order in the optimiser's state.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from fact_clip.config import BlockConfig
from fact_clip.models.kernels.base import CachesWeights, Dropout, product_dtype, use_cpu_kernel
from fact_clip.models.kernels.convolution import (
    Convolution,
    FrameConv,
    convolve_sum,
    merge_taps,
    multiply_taps,
)
from fact_clip.models.kernels.gru import BidirectionalGRU
from fact_clip.models.output import Segments


def sinusoidal_positions(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return sine positions in even columns and cosine positions in odd ones (Vaswani et al. 2017).

    Args:
        length: Number of positions.
        width: Number of columns.
        device: Device of the result.

    Returns:
        The positions, (length, width).
    """
    steps = torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1)  # (length, 1)
    even_columns = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    frequencies = torch.exp(even_columns * (-math.log(10000.0) / width))  # (ceil(width / 2),)
    angles = steps * frequencies  # (length, ceil(width / 2))
    table = torch.zeros(length, width, device=device)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = torch.cos(angles)[:, : width // 2]
    return table


def add_position(x: Tensor, position: Tensor | None) -> Tensor:
    """Add a position (B or 1, N, P) to the first P channels of ``x`` (B, N, D)."""
    if position is None:
        return x
    n_other_channels = x.shape[-1] - position.shape[-1]
    if n_other_channels:
        position = nn.functional.pad(position, (0, n_other_channels))
    return x + position


def cut_segments(scores: Tensor, mask: Tensor) -> Segments:
    """Return the runs of equal argmax over real frames. This waits for the device once.

    Args:
        scores: Class scores, (B, T, C).
        mask: Real frames, (B, T).

    Returns:
        The segments of all videos.
    """
    label = scores.detach().argmax(-1)  # (B, T)
    is_change = torch.zeros_like(label)  # (B, T), 1 where a later segment starts
    is_change[:, 1:] = (label[:, 1:] != label[:, :-1]) & mask[:, 1:]
    segment_of_frame = is_change.cumsum(1) * mask  # (B, T)

    count = (segment_of_frame.amax(1) + 1).cpu()  # (B,), waits for the device
    index = torch.arange(int(count.max()))  # (S,)
    exists = (index < count.unsqueeze(1)).to(label.device, non_blocking=True)  # (B, S)

    length = torch.zeros(exists.shape, dtype=torch.long, device=label.device)
    length.scatter_add_(1, segment_of_frame, mask.long())  # (B, S)
    stop = length.cumsum(1)  # (B, S), because segments are contiguous from frame 0
    first = stop - length
    last = stop - 1
    return Segments(
        of_frame=segment_of_frame,
        mask=exists,
        centre=((first + last) // 2) * exists,
        length=length,
        count=count,
    )


def pool_segments(x: Tensor, segments: Segments, mask: Tensor | None) -> Tensor:
    """Return the mean over the frames of each segment, in float32.

    Args:
        x: Features, (B, T, D).
        segments: Segments of the same videos.
        mask: Real frames, (B, T).

    Returns:
        Means (B, S, D), zero for padding.
    """
    x = x.float()
    if mask is not None:
        x = x * mask.unsqueeze(-1)
    index = segments.of_frame.unsqueeze(-1).expand_as(x)  # (B, T, D)
    zeros = x.new_zeros(*segments.mask.shape, x.shape[-1])
    total = zeros.scatter_add(1, index, x)  # (B, S, D)
    return total / segments.length.clamp(min=1).unsqueeze(-1)


@dataclass(frozen=True)
class Context:
    """The N frames, segments or tokens that attention reads."""

    features: Tensor  # (B, N, D)
    position: Tensor | None  # (B or 1, N, P)
    mask: Tensor | None  # (B, N) true at real elements


class CrossAttention(nn.Module):
    """Attention with one head (FACT section 3.2): W_y dropout([y, softmax(Q K^T / sqrt(H)) V]).

    The context x gives keys and values, and y gives the queries. One of the two contains the
    tokens, and the other the frames or segments. There are few tokens and many frames, so products
    start on the side of the tokens. With W_k x as key, (q W_k) x does not need the key of each
    frame. The result is the same up to rounding.

    Args:
        x_dim: Width of the context x.
        y_dim: Width of y, which queries the context.
        hidden: Width H of keys, queries and values.
        out_dim: Width of the result.
        dropout: Share of channels that are dropped.
    """

    def __init__(self, x_dim: int, y_dim: int, hidden: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.X_K = nn.Linear(x_dim, hidden)
        self.X_V = nn.Linear(x_dim, hidden)
        self.Y_Q = nn.Linear(y_dim, hidden)
        self.Y_W = nn.Linear(y_dim + hidden, out_dim)
        self.dropout = Dropout(dropout)

    def forward(
        self, y: Tensor, position: Tensor | None, context: Context
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from ``y`` to a context.

        Args:
            y: Queries before projection, (B, N_y, D).
            position: Positions (B or 1, N_y, P), or None.
            context: The N_x elements to attend to.

        Returns:
            The result (B, N_y, out), and the attention weights and their logits, both (B, N_y,
            N_x).
        """
        queries = add_position(y, position)
        keys = add_position(context.features, context.position)
        tokens_query = y.shape[1] < keys.shape[1]  # the shorter side is treated as the tokens
        if tokens_query:
            logits = _projected_products(keys, self.X_K, self.Y_Q(queries)).transpose(1, 2)
        else:
            logits = _projected_products(queries, self.Y_Q, self.X_K(keys))
        logits = logits / math.sqrt(self.X_K.out_features)  # (B, N_y, N_x)
        if context.mask is not None:
            logits = logits.masked_fill(~context.mask.unsqueeze(1), float("-inf"))
        weights = logits.softmax(-1)

        if tokens_query:  # frames are averaged, then projected
            attended = self.X_V(weights @ context.features)  # (B, N_y, H), as weights sum to one
            result = self.Y_W(self.dropout(torch.cat([y, attended], dim=-1)))
        else:
            result = self._read_tokens(y, weights, context.features)
        return result, weights, logits

    def _read_tokens(self, y: Tensor, weights: Tensor, tokens: Tensor) -> Tensor:
        """Return the result (B, N_y, out) for frames y: project the tokens, then average them."""
        values = self.X_V(tokens)  # (B, N_x, H)
        y_weight, attended_weight = self.Y_W.weight.split([y.shape[-1], values.shape[-1]], dim=1)
        if self.training and self.dropout.p:  # dropout acts on the average of values
            change = linear(self.dropout(weights @ values), attended_weight)
        else:
            change = weights @ linear(values, attended_weight)  # (B, N_y, out)
        return linear(self.dropout(y), y_weight, self.Y_W.bias) + change


def _projected_products(x: Tensor, projection: nn.Linear, y: Tensor) -> Tensor:
    """Return ``projection(x) @ y.T``, (B, N, M), for x (B, N, D) and y (B, M, H).

    Instead of projecting x, multiply y by the weight and bias of the projection.
    """
    products = x @ (y @ projection.weight).transpose(1, 2)  # (B, N, M)
    offsets = (y @ projection.bias).unsqueeze(1)  # (B, 1, M)
    return products + offsets


class _DilatedLayer(nn.Module):
    """x + dropout(1x1(relu(conv3_dilated(x)))), then LayerNorm if set (Farha and Gall 2019)."""

    def __init__(self, config: BlockConfig, dilation: int) -> None:
        super().__init__()
        width = config.frame_dim
        self.conv_dilated = FrameConv(width, width, 3, dilation, config.frame_groups)
        self.conv_1x1 = FrameConv(width, width)
        self.dropout = Dropout(config.dropout)
        self.norm = nn.LayerNorm(width) if config.frame_norm else None

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B, T, F) for (B, T, F). ``mask`` is (B, T, 1)."""
        masked = x if mask is None else x * mask
        hidden = self.conv_dilated(masked).relu_()
        x = x + self.dropout(self.conv_1x1(hidden))
        if self.norm is not None:
            x = self.norm(x)
        return x


class MSTCN(nn.Module):
    """Temporal convolutions of MS-TCN, with dilation 2^l in layer l.

    If the branch has an `input_dim`, call `embed` before it.
    """

    def __init__(self, config: BlockConfig, input_dim: int | None) -> None:
        super().__init__()
        self.conv_1x1 = None if input_dim is None else FrameConv(input_dim, config.frame_dim)
        self.layers = nn.ModuleList(
            _DilatedLayer(config, 2**layer) for layer in range(config.frame_layers)
        )
        self.conv_out = FrameConv(config.frame_dim, config.hidden)

    def embed(self, x: Tensor) -> Tensor:
        """Return the input (B, T, F) of the layers for features (B, T, in)."""
        return cast(FrameConv, self.conv_1x1)(x)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B, T, H) for (B, T, F). ``mask`` is (B, T)."""
        frame_mask = None if mask is None else mask.unsqueeze(-1).to(x.dtype)  # (B, T, 1)
        for layer in self.layers:
            x = layer(x, frame_mask)
        return self.conv_out(x)


class MSTCNPlusPlus(CachesWeights):
    """Dual dilated layers of MS-TCN++ (Li et al. 2020): dilations 2^(L-1-l) and 2^l in parallel.

    A layer joins two convolutions by a 1x1 convolution without a nonlinearity between them, so it
    equals one convolution with at most five taps: 5 F^2 instead of 8 F^2 products per frame.
    Folding its weights takes 6 F^3 products. The folded weights are cached in inference. In
    training, folding is faster for more than 2F frames. If the branch has an `input_dim`, call
    `embed` before it.
    """

    def __init__(self, config: BlockConfig, input_dim: int | None) -> None:
        super().__init__()
        width = config.frame_dim
        rising = [2**layer for layer in range(config.frame_layers)]  # dilations by layer
        falling = list(reversed(rising))
        self.conv_1x1_in = None if input_dim is None else FrameConv(input_dim, width)
        self.conv_dilated_1 = nn.ModuleList(FrameConv(width, width, 3, d) for d in falling)
        self.conv_dilated_2 = nn.ModuleList(FrameConv(width, width, 3, d) for d in rising)
        self.conv_fusion = nn.ModuleList(FrameConv(2 * width, width) for _ in rising)
        self.conv_out = FrameConv(width, config.hidden)
        self.dropout = Dropout(config.dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Return the input (B, T, F) of the layers for features (B, T, in)."""
        return cast(FrameConv, self.conv_1x1_in)(x)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B, T, H) for (B, T, F). ``mask`` is (B, T)."""
        frame_mask = None if mask is None else mask.unsqueeze(-1).to(x.dtype)  # (B, T, 1)
        n_layers = len(self.conv_fusion)
        for layer_index in range(n_layers):
            if frame_mask is not None:
                x = x * frame_mask
            change = self._layer(x, layer_index)  # (B, T, F)
            is_last = layer_index == n_layers - 1
            if not is_last:
                change = self.dropout(change)
            x = x + change
        return self.conv_out(x)

    def _layer(self, x: Tensor, layer_index: int) -> Tensor:
        """Return the ReLU of one layer, (B, T, F), with folded weights if this is faster."""
        first = cast(FrameConv, self.conv_dilated_1[layer_index])
        second = cast(FrameConv, self.conv_dilated_2[layer_index])
        fusion = cast(FrameConv, self.conv_fusion[layer_index])

        n_videos, n_frames, width = x.shape
        if torch.is_grad_enabled() and n_videos * n_frames <= 2 * width:
            both = torch.cat([first(x), second(x)], dim=-1)  # (B, T, 2F)
            return torch.relu_(fusion(both))

        dtype = product_dtype(x)
        by_taps = use_cpu_kernel(x)

        def fold() -> tuple[Any, Tensor]:
            convolutions, bias = _fold(first, second, fusion)
            return merge_taps(convolutions, dtype) if by_taps else convolutions, bias

        weights, bias = self.cached((layer_index, dtype, by_taps), [first, second, fusion], fold)
        multiply = multiply_taps if by_taps else convolve_sum
        return torch.relu_(multiply(x, weights, bias))


def _fold(
    first: FrameConv, second: FrameConv, fusion: FrameConv
) -> tuple[list[Convolution], Tensor]:
    """Return ``fusion([first(x), second(x)])`` as convolutions of x, and their bias (F,)."""
    fusion_weight = fusion.weight.squeeze(-1)  # (F, 2F)
    first_half, second_half = fusion_weight.chunk(2, dim=1)  # (F, F) each
    convolutions = [_fold_one(first, first_half), _fold_one(second, second_half)]

    biases = torch.cat([cast(Tensor, first.bias), cast(Tensor, second.bias)])  # (2F,)
    bias = torch.addmv(cast(Tensor, fusion.bias), fusion_weight, biases)  # (F,)
    return convolutions, bias


def _fold_one(conv: FrameConv, matrix: Tensor) -> Convolution:
    """Return a convolution followed by a product with a matrix (F, F), without bias."""
    weight = matrix @ conv.weight.flatten(1)  # (F, F * taps)
    return weight.view_as(conv.weight), conv.dilation[0]


class _TokenLayer(nn.Module):
    """Post-norm transformer layer over tokens. Queries and keys have positions, values do not.

    With a context, it consists of self-attention, cross-attention and a feed-forward layer. Without
    one,
    it consists of self-attention and feed-forward. FACT calls the last attention
    ``multihead_attn`` in both cases.
    """

    def __init__(self, config: BlockConfig, context_dim: int | None = None) -> None:
        super().__init__()
        width = config.action_dim
        attention = partial(
            nn.MultiheadAttention,
            embed_dim=width,
            num_heads=config.heads,
            dropout=config.dropout,
            batch_first=True,
        )
        self.crosses = context_dim is not None
        if self.crosses:
            self.self_attn = attention()
        self.multihead_attn = attention(kdim=context_dim, vdim=context_dim)
        if self.crosses:
            self.norm3 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None, context: Context) -> Tensor:
        """Return (B, M, A) for (B, M, A)."""
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
        """Return x plus the attention from x (B, M, A) to a context."""
        query = add_position(x, position)
        key = query
        if context.features is not x:  # cross-attention
            key = add_position(context.features, context.position)
        if attention.in_proj_weight is None:  # keys and values are not as wide as queries
            q_weight = attention.q_proj_weight
            k_weight = attention.k_proj_weight
            v_weight = attention.v_proj_weight
        else:
            q_weight, k_weight, v_weight = attention.in_proj_weight.chunk(3)
        q_bias, k_bias, v_bias = attention.in_proj_bias.chunk(3)

        def split_heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)

        q = split_heads(linear(query, q_weight, q_bias))  # (B, heads, N, A / heads)
        k = split_heads(linear(key, k_weight, k_bias))  # (B, heads, K, A / heads)
        v = split_heads(linear(context.features, v_weight, v_bias))
        mask = None if context.mask is None else context.mask[:, None, None]  # (B, 1, 1, K)

        if not self.training or not self.dropout.p:
            attended = nn.functional.scaled_dot_product_attention(q, k, v, mask)
        else:
            logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (B, heads, N, K)
            if mask is not None:
                logits = logits.masked_fill(~mask, float("-inf"))
            attended = self.dropout(logits.softmax(-1)) @ v  # (B, heads, N, A / heads)

        merged = attended.transpose(1, 2).flatten(2)  # (B, N, A)
        change = linear(merged, attention.out_proj.weight, attention.out_proj.bias)
        return x + self.dropout(change)

    def _feed_forward(self, x: Tensor) -> Tensor:
        """Return x plus the feed-forward network of x (B, M, A)."""
        hidden = torch.relu_(self.linear1(x))
        change = self.linear2(self.dropout(hidden))
        return x + self.dropout(change)


class TokenAttention(nn.Module):
    """Attention among tokens.

    ``sca`` consists of layers of self-attention, cross-attention to the context and feed-forward,
    a final norm, and a map from A to H. ``sa`` does not read the context: it consists of layers of
    self-attention and feed-forward, and a map from A to H.
    """

    def __init__(self, config: BlockConfig, context_dim: int, crosses: bool) -> None:
        super().__init__()
        kv_dim = context_dim if crosses else None
        self.layers = nn.ModuleList(
            _TokenLayer(config, kv_dim) for _ in range(config.action_layers)
        )
        self.norm = nn.LayerNorm(config.action_dim) if crosses else nn.Identity()
        self.out_linear = nn.Linear(config.action_dim, config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None, context: Context) -> Tensor:
        """Return (B, M, H) for (B, M, A)."""
        for layer in self.layers:
            x = layer(x, position, mask, context)
        return self.out_linear(self.norm(x))


class TokenGRU(nn.Module):
    """``gru_om``: a bidirectional GRU, LayerNorm, A to H, for tokens in transcript order."""

    def __init__(self, config: BlockConfig, context_dim: int) -> None:
        super().__init__()
        width = config.action_dim
        direction_width = width // 2
        self.gru = BidirectionalGRU(width, direction_width, config.action_layers)
        self.layernorm = nn.LayerNorm(2 * direction_width)
        self.out_map = nn.Linear(2 * direction_width, config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None, context: Context) -> Tensor:
        """Return (B, M, H) for (B, M, A). The context is not used."""
        x = add_position(x, position)
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        lengths = mask.sum(1).cpu()  # (B,)
        states = self.gru(x, mask, lengths)  # (B, M, 2 * (A // 2))
        return self.out_map(self.layernorm(states))


FRAME_BRANCHES: dict[str, type[nn.Module]] = {"m": MSTCN, "m2": MSTCNPlusPlus}
ACTION_BRANCHES: dict[str, Callable[[BlockConfig, int], nn.Module]] = {
    "sca": partial(TokenAttention, crosses=True),
    "sa": partial(TokenAttention, crosses=False),
    "gru_om": TokenGRU,
}
