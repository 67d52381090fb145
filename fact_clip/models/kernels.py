"""Three operations that the model spends its time in, written for the CPU: convolution over time, GRU, dropout.

Each computes what torch's own does (docs/method.md, 'Speed'; benchmarks/results.md has the times), which is used on
other devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv1d
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# --- convolution ----------------------------------------------------------------------------------------

Kernels = Sequence[tuple[Tensor, int]]
"""Weights (out, in, taps) as in ``nn.Conv1d``, taps odd, each with its dilation."""


def convolve(x: Tensor, kernels: Kernels, bias: Tensor | None) -> Tensor:
    """The sum of dilated convolutions of ``x`` (B, T, in) over time, (B, T, out), zeros beyond the ends.

    On the CPU it adds up one matrix product for each distinct offset, straight from shifted views of ``x``. Elsewhere
    torch convolves (B, in, T); results are views of (B, out, T), which elementwise steps keep, so a branch does not
    copy.
    """
    if x.device.type == "cpu":
        return by_taps(x, *taps_of(kernels), bias)
    channels_first, total = x.transpose(1, 2), None
    for weight, dilation in kernels:
        reach = weight.shape[2] // 2 * dilation
        part = conv1d(channels_first, weight, bias if total is None else None, padding=reach, dilation=dilation)
        total = part if total is None else total + part
    assert total is not None
    return total.transpose(1, 2)


def taps_of(kernels: Kernels) -> tuple[Tensor, tuple[int, ...]]:
    """(K, in, out) matrices and the K offsets in frames that they read, the offset 0 first."""
    matrices: dict[int, Tensor] = {0: torch.empty(0)}
    for weight, dilation in kernels:
        reach = weight.shape[2] // 2
        for tap, matrix in enumerate(weight.permute(2, 1, 0)):
            offset = (tap - reach) * dilation
            known = matrices.get(offset)
            matrices[offset] = matrix if known is None or not len(known) else known + matrix
    return torch.stack(list(matrices.values())), tuple(matrices)


def by_taps(x: Tensor, weight: Tensor, offsets: tuple[int, ...], bias: Tensor | None) -> Tensor:
    """y[t] = bias + the sum over taps k of x[t + offsets[k]] weight[k], with what `taps_of` gives."""
    bias = weight.new_zeros(weight.shape[2]) if bias is None else bias
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    result: Tensor = _ByTaps.apply(x, weight, bias, offsets)  # type: ignore[no-untyped-call]
    return result


def _overlap(frames: int, offset: int) -> tuple[slice, slice]:
    """Frames t, and the frames t + offset, for which both are in the video."""
    return slice(max(-offset, 0), frames - max(offset, 0)), slice(max(offset, 0), frames - max(-offset, 0))


class _ByTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, offsets: tuple[int, ...]) -> Tensor:
        videos, frames, _ = x.shape
        result = x.new_empty(videos, frames, weight.shape[2])
        torch.addmm(bias, x.flatten(0, 1), weight[0], out=result.flatten(0, 1))
        for matrix, offset in zip(weight[1:], offsets[1:], strict=True):
            if abs(offset) < frames:
                here, there = _overlap(frames, offset)
                result[:, here].baddbmm_(x[:, there], matrix.expand(videos, -1, -1))
        ctx.save_for_backward(x, weight)
        ctx.offsets = offsets
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        videos, frames, _ = x.shape
        grad = grad.contiguous()
        flat, grad_weight = grad.flatten(0, 1), torch.zeros_like(weight)
        torch.mm(x.flatten(0, 1).T, flat, out=grad_weight[0])
        grad_x = (flat @ weight[0].T).unflatten(0, (videos, frames)) if ctx.needs_input_grad[0] else None
        for tap, offset in enumerate(ctx.offsets[1:], start=1):
            if abs(offset) < frames:
                here, there = _overlap(frames, offset)
                torch.sum(x[:, there].transpose(1, 2) @ grad[:, here], 0, out=grad_weight[tap])
                if grad_x is not None:
                    grad_x[:, there].baddbmm_(grad[:, here], weight[tap].T.expand(videos, -1, -1))
        return grad_x, grad_weight, flat.sum(0), None


class FrameConv(nn.Conv1d):
    """A convolution over time, (B, T, in) to (B, T, out), with zeros beyond the ends; weights as in ``nn.Conv1d``."""

    def __init__(self, input_dim: int, output_dim: int, taps: int = 1, dilation: int = 1, groups: int = 1) -> None:
        super().__init__(input_dim, output_dim, taps, padding=taps // 2 * dilation, dilation=dilation, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) to (B, T, out)."""
        if self.groups > 1:
            return super().forward(x.transpose(1, 2)).transpose(1, 2)
        return convolve(x, [(self.weight, self.dilation[0])], self.bias)


# --- GRU ------------------------------------------------------------------------------------------------


def bidirectional_gru(gru: nn.GRU, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
    """A bidirectional GRU over sequences (B, N, D), (B, N, 2H), zero after each sequence's own end; in float32.

    Args:
        gru: ``batch_first`` and bidirectional, without dropout.
        x: (B, N, D).
        mask: (B, N) the real elements, which come first.
        lengths: (B,) their number, on the CPU.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        if x.device.type != "cpu":
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        steps = torch.arange(x.shape[1])
        mirrored = torch.where(mask, lengths.unsqueeze(1) - 1 - steps, steps).unsqueeze(-1)  # (B, N, 1)
        for layer in range(gru.num_layers):
            x = _gru_layer(gru, layer, x, mirrored) * mask.unsqueeze(-1)
        return x


def _gru_layer(gru: nn.GRU, layer: int, x: Tensor, mirrored: Tensor) -> Tensor:
    """(B, N, D) to (B, N, 2H). The second direction runs over each sequence mirrored within its own length."""
    w_ih, w_hh, b_ih, b_hh = (
        torch.stack([getattr(gru, f"{name}_l{layer}"), getattr(gru, f"{name}_l{layer}_reverse")])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )  # (2, ...) each
    reset_update, new = b_hh.split([2 * gru.hidden_size, gru.hidden_size], dim=1)
    bias = b_ih + nn.functional.pad(reset_update, (0, gru.hidden_size))  # (2, 3H)
    both = torch.stack([x, x.gather(1, mirrored.expand_as(x))])  # (2, B, N, D)
    inputs = torch.baddbmm(bias.unsqueeze(1), both.flatten(1, 2), w_ih.transpose(1, 2))  # (2, B*N, 3H)
    inputs = inputs.unflatten(1, x.shape[:2]).permute(2, 0, 1, 3)  # (N, 2, B, 3H)
    states: Tensor = _Recurrence.apply(inputs, w_hh.transpose(1, 2).contiguous(), new)  # type: ignore[no-untyped-call]
    forwards, backwards = states.transpose(0, 2).unbind(1)  # (B, N, H) each
    return torch.cat([forwards, backwards.gather(1, mirrored.expand_as(backwards))], dim=-1)


class _Recurrence(torch.autograd.Function):
    """The recurrent part of a GRU in G directions at once (Cho et al. 2014, as torch computes it).

    r, z = sigmoid(x_r + h U_r), sigmoid(x_z + h U_z);  n = tanh(x_n + r (h U_n + b));  h' = n + z (h - n).
    torch's own records a dozen operations a step, and adds a gradient as large as U in each.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Inputs (N, G, B, 3H) in the order r, z, n, weight (G, H, 3H), bias (G, H) to states (N, G, B, H)."""
        width = weight.shape[1]
        gates = inputs.clone(memory_format=torch.contiguous_format)
        x_new, h_new = inputs[..., 2 * width :], gates[..., 2 * width :]
        h_new.copy_(bias.unsqueeze(1))
        states = gates.new_empty(*gates.shape[:3], width)
        news = torch.empty_like(states)
        reset, update = gates[..., :width].unbind(0), gates[..., width : 2 * width].unbind(0)
        rows = zip(gates.unbind(0), gates[..., : 2 * width].unbind(0), reset, update, x_new.unbind(0), h_new.unbind(0),
                   news.unbind(0), states.unbind(0), strict=True)  # fmt: skip
        state = gates.new_zeros(states.shape[1:])
        for gate, sigmoids, r, z, x_n, h_n, new, after in rows:
            gate.baddbmm_(state, weight)
            sigmoids.sigmoid_()
            torch.addcmul(x_n, r, h_n, out=new).tanh_()
            state = torch.lerp(new, state, z, out=after)
        ctx.save_for_backward(gates, news, states, weight)
        return states

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, news, states, weight = ctx.saved_tensors
        r, z, h_n = gates.unflatten(-1, (3, -1)).unbind(-2)  # (N, G, B, H) each
        before = torch.cat([torch.zeros_like(states[:1]), states[:-1]])
        # How the gradient of a state becomes that of what went into r, z, h U_n + b and x_n.
        to_new = (1 - z) * (1 - news * news)
        factors = torch.stack([to_new * h_n * r * (1 - r), (before - news) * z * (1 - z), to_new * r, to_new], dim=-2)
        into = torch.empty_like(factors)  # (N, G, B, 4, H)
        recurrent = into[..., :3, :].flatten(-2)  # (N, G, B, 3H), a view
        back = weight.transpose(1, 2).contiguous()  # (G, 3H, H)
        carried = torch.zeros_like(states[0])
        rows = zip(*(each.unbind(0) for each in (grad, factors, z, into, recurrent)), strict=True)
        for own, factor, kept, out, gate in reversed(list(rows)):
            carried += own
            torch.mul(carried.unsqueeze(-2), factor, out=out)
            carried = carried.mul_(kept).baddbmm_(gate, back)
        grad_weight = before.permute(1, 3, 0, 2).flatten(2) @ recurrent.transpose(0, 1).flatten(1, 2)  # (G, H, 3H)
        grad_inputs = torch.cat([into[..., :2, :].flatten(-2), into[..., 3, :]], dim=-1)
        return grad_inputs, grad_weight, into[..., 2, :].sum((0, 2))


# --- dropout --------------------------------------------------------------------------------------------


class Dropout(nn.Dropout):
    """``nn.Dropout`` from 16 random bits an element, the probability rounded to 1/65,536; torch draws 53 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or not 0 < self.p < 1 or x.device.type != "cpu":
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = bits[: x.numel()] >= round(self.p * 2**16) - 2**15
        return x * kept.view(x.shape).to(x.dtype).mul_(1 / (1 - self.p))
