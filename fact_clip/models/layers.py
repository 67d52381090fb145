"""Parts that every block is made of: positions, cross attention, segment pooling, and a masked GRU.

Names of parameters are those of the published checkpoints, so that they load without a translation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fact_clip.models.output import Segments


def sinusoidal_positions(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """(length, width) positions, sine on even and cosine on odd columns, base 10000 (Vaswani et al. 2017)."""
    steps = torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1)  # (T, 1)
    even = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angles = steps * torch.exp(even * (-math.log(10000.0) / width))  # (T, ceil(W/2))
    table = torch.zeros(length, width, device=device)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = torch.cos(angles)[:, : width // 2]
    return table


def add_position(x: Tensor, position: Tensor | None) -> Tensor:
    """``x`` (B, N, D) plus a position (B or 1, N, P); where P < D it is added to the first P channels."""
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
    """(B, S, D) mean of the frames (B, T, D) of each segment, zero where there is none."""
    index = segments.of_frame.unsqueeze(-1).expand_as(x)
    total = x.new_zeros(*segments.mask.shape, x.shape[-1]).scatter_add(1, index, x * mask.unsqueeze(-1))
    return total / segments.length.clamp(min=1).unsqueeze(-1)


def run_gru(gru: nn.GRU, x: Tensor, mask: Tensor) -> Tensor:
    """A bidirectional GRU over (B, N, D) that stops at each sequence's own end, zero behind it."""
    if bool(mask.all()):
        return gru(x)[0]
    packed = nn.utils.rnn.pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=x.shape[1])[0]


class CrossAttention(nn.Module):
    """One-head attention "y asks x" (FACT section 3.2): out = W_y dropout([y, softmax(QK^T / sqrt(H)) V]).

    Args:
        x_dim: width of what is asked.
        y_dim: width of what asks.
        hidden: H, width of keys, queries and values.
        out_dim: width of the result.
        dropout: on the concatenation.
    """

    def __init__(self, x_dim: int, y_dim: int, hidden: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.X_K = nn.Linear(x_dim, hidden)
        self.X_V = nn.Linear(x_dim, hidden)
        self.Y_Q = nn.Linear(y_dim, hidden)
        self.Y_W = nn.Linear(y_dim + hidden, out_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, y: Tensor, x_position: Tensor | None, y_position: Tensor | None, x_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the result (B, N_y, out), the attention weights and their logits (B, N_y, N_x)."""
        key = self.X_K(add_position(x, x_position))  # (B, N_x, H)
        query = self.Y_Q(add_position(y, y_position))  # (B, N_y, H)
        logits = query @ key.transpose(1, 2) / math.sqrt(key.shape[-1])  # (B, N_y, N_x)
        logits = logits.masked_fill(~x_mask.unsqueeze(1), float("-inf"))
        weights = logits.softmax(-1)
        out = self.Y_W(self.dropout(torch.cat([y, weights @ self.X_V(x)], dim=-1)))
        return out, weights, logits
