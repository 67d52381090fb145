"""Three operations that the model spends its time in, written for the CPU: convolution over time, GRU, dropout.

Each computes what torch's own does (docs/method.md, 'Speed'; benchmarks/results.md has the times), which is used on
other devices.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv1d
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

T = TypeVar("T")


def use_cpu_kernel(x: Tensor) -> bool:
    """Whether what is written here computes on ``x``, and not torch: on the CPU, unless torch compiles."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


class CachesWeights(nn.Module):
    """A module that, in evaluation mode and without gradients, keeps what it makes of its weights.

    It forgets it when :meth:`train` or ``eval`` is called, and makes it anew where a weight has been replaced or
    changed. A fused optimiser changes weights without a trace: after its step call ``eval``.
    """

    def cached(self, key: Hashable, weights: Iterable[Tensor], make: Callable[[], T]) -> T:
        """``make()``, which reads the ``weights``, or its former result."""
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return make()
        weights = list(weights)
        if any(weight.is_inference() for weight in weights):  # torch does not count their changes
            return make()
        cache = self.__dict__.setdefault("_cached", {})
        versions = [(weight.data_ptr(), weight._version) for weight in weights]
        last: tuple[list[tuple[int, int]], T] | None = cache.get(key)
        if last is None or last[0] != versions:
            last = cache[key] = versions, make()
        return last[1]

    def train(self, mode: bool = True) -> Self:
        """As of every module; what was kept is forgotten."""
        self.__dict__.pop("_cached", None)
        return super().train(mode)


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of freed memory for the next video; it gave it back, and cleared it anew for each.

    What it keeps is twice the largest block that was ever freed, where that is at most 32 MB (``mallopt(3)``, dynamic
    threshold). Nothing is touched, and other allocators do not care.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)


# --- convolution ----------------------------------------------------------------------------------------

Kernels = Sequence[tuple[Tensor, int]]
"""Weights (out, in, taps) as in ``nn.Conv1d``, taps odd, each with its dilation."""


@dataclass(frozen=True)
class Taps:
    """A sum of dilated convolutions, a matrix for each frame that is read: y[t] = bias + sum over k W_k x[t + o_k]."""

    weight: Tensor  # (K, out, in)
    offsets: tuple[int, ...]  # K distinct ones; 0 is among them
    bias: Tensor  # (out,)

    @classmethod
    def of(cls, kernels: Kernels, bias: Tensor) -> Taps:
        """From the weights of convolutions of the same input."""
        parts = [weight.permute(2, 0, 1).contiguous() for weight, _ in kernels]  # (taps, out, in) each
        read = [
            [(tap - len(part) // 2) * dilation for tap in range(len(part))]
            for part, (_, dilation) in zip(parts, kernels, strict=True)
        ]
        if len(parts) == 1:
            return cls(parts[0], tuple(read[0]), bias)
        matrices: dict[int, Tensor] = {}
        for part, offsets in zip(parts, read, strict=True):
            for offset, matrix in zip(offsets, part, strict=True):
                matrices[offset] = matrix if offset not in matrices else matrices[offset] + matrix
        return cls(torch.stack(list(matrices.values())), tuple(matrices), bias)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, T, in) to (B, T, out): a matrix product for each tap, straight from shifted views of ``x``."""
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        if not torch.is_grad_enabled():
            return _by_taps(x, weight, bias, self.offsets)
        result: Tensor = _ByTaps.apply(x, weight, bias, self.offsets)  # type: ignore[no-untyped-call]
        return result


def convolve(x: Tensor, kernels: Kernels, bias: Tensor) -> Tensor:
    """The same by torch, for other devices than the CPU, (B, T, in) to (B, T, out).

    torch convolves (B, in, T). Results are views of (B, out, T), and elementwise steps keep that order, so nothing is
    copied inside a branch.
    """
    channels_first, total = x.transpose(1, 2), None
    for weight, dilation in kernels:
        reach = weight.shape[2] // 2 * dilation
        part = conv1d(channels_first, weight, bias if total is None else None, padding=reach, dilation=dilation)
        total = part if total is None else total + part
    assert total is not None
    return total.transpose(1, 2)


def _overlap(frames: int, offset: int) -> tuple[slice, slice]:
    """Frames t, and the frames t + offset, for which both are in the video."""
    return slice(max(-offset, 0), frames - max(offset, 0)), slice(max(offset, 0), frames - max(-offset, 0))


def _by_taps(x: Tensor, weight: Tensor, bias: Tensor, offsets: tuple[int, ...]) -> Tensor:
    videos, frames, _ = x.shape
    result = x.new_empty(videos, frames, weight.shape[1])
    torch.addmm(bias, x.flatten(0, 1), weight[offsets.index(0)].T, out=result.flatten(0, 1))
    for matrix, offset in zip(weight, offsets, strict=True):
        if 0 < abs(offset) < frames:
            here, there = _overlap(frames, offset)
            result[:, here].baddbmm_(x[:, there], matrix.T.expand(videos, -1, -1))
    return result


class _ByTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, offsets: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.offsets = offsets
        return _by_taps(x, weight, bias, offsets)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        videos, frames, _ = x.shape
        grad = grad.contiguous()
        flat, grad_weight, centre = grad.flatten(0, 1), torch.zeros_like(weight), ctx.offsets.index(0)
        torch.mm(flat.T, x.flatten(0, 1), out=grad_weight[centre])
        grad_x = (flat @ weight[centre]).unflatten(0, (videos, frames)) if ctx.needs_input_grad[0] else None
        for tap, offset in enumerate(ctx.offsets):
            if 0 < abs(offset) < frames:
                here, there = _overlap(frames, offset)
                if videos == 1:
                    torch.mm(grad[0, here].T, x[0, there], out=grad_weight[tap])
                else:
                    torch.sum(grad[:, here].transpose(1, 2) @ x[:, there], 0, out=grad_weight[tap])
                if grad_x is not None:
                    grad_x[:, there].baddbmm_(grad[:, here], weight[tap].expand(videos, -1, -1))
        return grad_x, grad_weight, flat.sum(0), None


class FrameConv(CachesWeights, nn.Conv1d):
    """A convolution over time, (B, T, in) to (B, T, out), with zeros beyond the ends; weights as in ``nn.Conv1d``."""

    def __init__(self, input_dim: int, output_dim: int, taps: int = 1, dilation: int = 1, groups: int = 1) -> None:
        super().__init__(input_dim, output_dim, taps, padding=taps // 2 * dilation, dilation=dilation, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) to (B, T, out)."""
        if self.groups > 1:
            return super().forward(x.transpose(1, 2)).transpose(1, 2)
        assert self.bias is not None
        kernels, bias = [(self.weight, self.dilation[0])], self.bias
        if use_cpu_kernel(x):
            return self.cached("taps", self.parameters(), lambda: Taps.of(kernels, bias))(x)
        return convolve(x, kernels, bias)


# --- GRU ------------------------------------------------------------------------------------------------


class BidirectionalGRU(CachesWeights, nn.GRU):
    """``nn.GRU`` with ``batch_first`` in both directions, over sequences (B, N, D) of several lengths; in float32."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """(B, N, D) to (B, N, 2H), zero after each sequence's own end.

        Args:
            x: the sequences.
            mask: (B, N) their real elements, which come first.
            lengths: (B,) the number of those, on the CPU.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if not use_cpu_kernel(x):
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                output = super().forward(packed)[0]
                return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0]
            steps = torch.arange(x.shape[1])
            mirrored = torch.where(mask, lengths.unsqueeze(1) - 1 - steps, steps).unsqueeze(-1)  # (B, N, 1)
            for weights in self.cached("layers", self.parameters(), self._layers):
                x = _both_directions(x, mirrored, *weights) * mask.unsqueeze(-1)
            return x

    def _layers(self) -> list[tuple[Tensor, ...]]:
        """For each layer (2, D, 3H) and (2, 3H) of the input, (2, H, 3H) and (2, H) of the state, for 2 directions."""
        layers = list[tuple[Tensor, ...]]()
        for layer in range(self.num_layers):
            w_ih, w_hh, b_ih, b_hh = (
                torch.stack([getattr(self, f"{name}_l{layer}"), getattr(self, f"{name}_l{layer}_reverse")])
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            reset_update, new = b_hh.split([2 * self.hidden_size, self.hidden_size], dim=1)
            bias = b_ih + nn.functional.pad(reset_update, (0, self.hidden_size))
            layers.append((w_ih.transpose(1, 2), bias, w_hh.transpose(1, 2).contiguous(), new))
        return layers


def _both_directions(x: Tensor, mirrored: Tensor, into: Tensor, bias: Tensor, again: Tensor, new: Tensor) -> Tensor:
    """A layer, (B, N, D) to (B, N, 2H). One direction runs over each sequence mirrored within its own length."""
    both = torch.stack([x, x.gather(1, mirrored.expand_as(x))])  # (2, B, N, D)
    inputs = torch.baddbmm(bias.unsqueeze(1), both.flatten(1, 2), into)  # (2, B*N, 3H)
    inputs = inputs.unflatten(1, x.shape[:2]).permute(2, 0, 1, 3)  # (N, 2, B, 3H)
    states: Tensor = _Recurrence.apply(inputs, again, new)  # type: ignore[no-untyped-call]
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
        rows = zip(*(tensor.unbind(0) for tensor in (grad, factors, z, into, recurrent)), strict=True)
        for row_grad, factor, state, out, gate in reversed(list(rows)):
            carried += row_grad
            torch.mul(carried.unsqueeze(-2), factor, out=out)
            carried = carried.mul_(state).baddbmm_(gate, back)
        grad_weight = before.permute(1, 3, 0, 2).flatten(2) @ recurrent.transpose(0, 1).flatten(1, 2)  # (G, H, 3H)
        grad_inputs = torch.cat([into[..., :2, :].flatten(-2), into[..., 3, :]], dim=-1)
        return grad_inputs, grad_weight, into[..., 2, :].sum((0, 2))


# --- dropout --------------------------------------------------------------------------------------------


class Dropout(nn.Dropout):
    """``nn.Dropout`` from 16 random bits an element, the probability rounded to 1/65,536; torch draws 53 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or not 0 < self.p < 1 or not use_cpu_kernel(x):
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        mask = bits[: x.numel()] >= round(self.p * 2**16) - 2**15
        return x * mask.view(x.shape).to(x.dtype).mul_(1 / (1 - self.p))
