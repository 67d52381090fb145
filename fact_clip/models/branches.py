"""Frame branches (temporal convolutions) and action branches (attention or recurrence over tokens).

A frame branch maps (B, T, in) to (B, T, H); padded frames are zero before every convolution, which is
what a video sees at its ends when it is alone. An action branch maps tokens (B, M, A) to (B, M, H).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fact_clip.config import BlockConfig
from fact_clip.models.layers import add_position, run_gru


class FrameConv(nn.Conv1d):
    """A convolution over time that maps (B, T, in) to (B, T, out), zeros beyond the ends; on the CPU a matrix product.

    Weights and their names are those of ``nn.Conv1d``, whose own way is slower there, since it plans anew for each
    length of a video (benchmarks/convolution.py). It keeps a third as much for the backward pass, so a GPU has it.
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
    """Post-norm transformer layer over tokens; positions join queries and keys, not values.

    With ``memory_dim`` it is self-attention, cross-attention, feed-forward; without, self-attention and feed-forward.
    """

    def __init__(self, config: BlockConfig, memory_dim: int | None) -> None:
        super().__init__()
        width = config.action_dim
        attention = {"dropout": config.dropout, "batch_first": True}
        if memory_dim is not None:
            self.self_attn = nn.MultiheadAttention(width, config.heads, **attention)
            self.multihead_attn = nn.MultiheadAttention(
                width, config.heads, kdim=memory_dim, vdim=memory_dim, **attention
            )
            self.norm3 = nn.LayerNorm(width)
        else:
            self.multihead_attn = nn.MultiheadAttention(width, config.heads, **attention)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def _self_attention(self, attention: nn.MultiheadAttention, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        query = add_position(x, position)
        out = attention(query, query, x, key_padding_mask=~mask, need_weights=False)[0]
        return x + self.dropout(out)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.linear2(self.dropout(torch.relu(self.linear1(x)))))


class _SelfCrossLayer(_TokenLayer):
    def forward(self, x: Tensor, position: Tensor, mask: Tensor, memory: Memory) -> Tensor:
        x = self.norm1(self._self_attention(self.self_attn, x, position, mask))
        key = add_position(memory.features, memory.position)
        query = add_position(x, position)
        out = self.multihead_attn(query, key, memory.features, key_padding_mask=~memory.mask, need_weights=False)[0]
        x = self.norm2(x + self.dropout(out))
        return self.norm3(self._feed_forward(x))


class _SelfLayer(_TokenLayer):
    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        x = self.norm1(self._self_attention(self.multihead_attn, x, position, mask))
        return self.norm2(self._feed_forward(x))


class Memory:
    """What tokens may look at: features (B, N, D), positions (B or 1, N, P) or None, mask (B, N)."""

    def __init__(self, features: Tensor, position: Tensor | None, mask: Tensor) -> None:
        self.features, self.position, self.mask = features, position, mask


class SelfCrossAttention(nn.Module):
    """``sca``: layers of self-attention, cross-attention to the memory and feed-forward, a final norm, A to H."""

    def __init__(self, config: BlockConfig, memory_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_SelfCrossLayer(config, memory_dim) for _ in range(config.action_layers))
        self.norm = nn.LayerNorm(config.action_dim)
        self.out_linear = nn.Linear(config.action_dim, config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, memory: Memory) -> Tensor:
        """(B, M, A) to (B, M, H)."""
        for layer in self.layers:
            x = layer(x, position, mask, memory)
        return self.out_linear(self.norm(x))


class SelfAttention(nn.Module):
    """``sa``: layers of self-attention and feed-forward, A to H, no final norm; the memory is not read."""

    def __init__(self, config: BlockConfig, memory_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_SelfLayer(config, None) for _ in range(config.action_layers))
        self.out_linear = nn.Linear(config.action_dim, config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, memory: Memory) -> Tensor:
        """(B, M, A) to (B, M, H)."""
        for layer in self.layers:
            x = layer(x, position, mask)
        return self.out_linear(x)


class TokenGRU(nn.Module):
    """``gru_om``: a bidirectional GRU A to 2*(A/2), LayerNorm, A to H, for tokens in transcript order."""

    def __init__(self, config: BlockConfig, memory_dim: int) -> None:
        super().__init__()
        width = config.action_dim
        self.gru = nn.GRU(width, width // 2, config.action_layers, batch_first=True, bidirectional=True)
        self.layernorm = nn.LayerNorm(2 * (width // 2))
        self.out_map = nn.Linear(2 * (width // 2), config.hidden)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, memory: Memory) -> Tensor:
        """(B, M, A) to (B, M, H)."""
        return self.out_map(self.layernorm(run_gru(self.gru, add_position(x, position), mask)))


FRAME_BRANCHES: dict[str, type[nn.Module]] = {"m": MSTCN, "m2": MSTCNPlusPlus}
ACTION_BRANCHES: dict[str, type[nn.Module]] = {"sca": SelfCrossAttention, "sa": SelfAttention, "gru_om": TokenGRU}
