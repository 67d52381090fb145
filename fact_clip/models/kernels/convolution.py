"""Convolutions over time, computed as matrix products with shifted rows.

A convolution of k taps with dilation d is a sum of k matrix products,

    y[t] = bias + sum over taps j of  W_j x[t + (j - k // 2) d].

Frames are stored as rows (B, T, D), so each tap multiplies a shifted view of the input by a matrix
and adds to the result. Nothing is copied, transposed or padded. Frames beyond the ends of a video,
which count as zero, are left out of the product. In contrast, ``nn.Conv1d`` needs (B, D, T) and
also computes the products with zeros. A sum of convolutions of one input is the same sum with more
taps, and taps that read the same frame are added before the multiplication (docs/method.md,
'Speed').
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv1d

from fact_clip.models.kernels.base import CachesWeights, product_dtype, use_cpu_kernel

# Weights (out, in, taps) as in ``nn.Conv1d``, with an odd number of taps, and the dilation.
Convolution = tuple[Tensor, int]

# Matrices (out, in) by frame offset, the position of a tap relative to its result. 0 comes first.
Taps = dict[int, Tensor]


class FrameConv(CachesWeights, nn.Conv1d):
    """Convolution over time from (B, T, in) to (B, T, out), with zeros beyond the ends.

    Args:
        input_dim: Number of input channels.
        output_dim: Number of output channels.
        taps: Number of frames that a result reads. It must be odd.
        dilation: Distance between these frames.
        groups: Number of channel groups that are convolved separately.
    """

    def __init__(
        self, input_dim: int, output_dim: int, taps: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            taps,
            padding=taps // 2 * dilation,
            dilation=dilation,
            groups=groups,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, out) for (B, T, in)."""
        if self.groups > 1 or not use_cpu_kernel(x):
            return super().forward(x.transpose(1, 2)).transpose(1, 2)
        if self.kernel_size[0] == 1:
            return nn.functional.linear(x, self.weight.squeeze(-1), self.bias)

        dtype = product_dtype(x)
        convolution = (self.weight, self.dilation[0])
        taps = self.cached(dtype, [self], lambda: merge_taps([convolution], dtype))
        assert self.bias is not None
        return multiply_taps(x, taps, self.bias)


def convolve_sum(x: Tensor, convolutions: Sequence[Convolution], bias: Tensor) -> Tensor:
    """Return the sum of several convolutions of one input, by ``conv1d``.

    Args:
        x: Input, (B, T, in).
        convolutions: Weights and dilation of each convolution.
        bias: Bias of the sum, (out,).

    Returns:
        The sum (B, T, out), a view of (B, out, T).
    """
    channels_first = x.transpose(1, 2)
    total: Tensor | None = None
    for weight, dilation in convolutions:
        reach = weight.shape[2] // 2 * dilation
        if total is None:
            total = conv1d(channels_first, weight, bias, padding=reach, dilation=dilation)
        else:
            total = total + conv1d(channels_first, weight, padding=reach, dilation=dilation)
    assert total is not None
    return total.transpose(1, 2)


def merge_taps(convolutions: Sequence[Convolution], dtype: torch.dtype) -> Taps:
    """Return the matrices of a sum of convolutions by offset. Taps of the same frame share one.

    Two convolutions with three taps share the middle one, so they need five products per frame.

    Args:
        convolutions: Weights and dilation of each convolution.
        dtype: Type of the matrices.

    Returns:
        The matrix (out, in) of each offset, in the order of multiplication.
    """
    taps: Taps = {}
    for weight, dilation in convolutions:
        middle = weight.shape[2] // 2
        matrices = weight.permute(2, 0, 1).contiguous()  # (k, out, in)
        for tap, matrix in enumerate(matrices):
            offset = (tap - middle) * dilation
            if offset in taps:
                matrix = taps[offset] + matrix
            taps[offset] = matrix
    if dtype == torch.bfloat16:
        # Make their transposes contiguous, because oneDNN would copy them for each product.
        return {offset: matrix.T.to(dtype).contiguous().T for offset, matrix in taps.items()}
    return {offset: matrix.to(dtype) for offset, matrix in taps.items()}


def multiply_taps(x: Tensor, taps: Taps, bias: Tensor) -> Tensor:
    """Return the sum of matrix products of shifted frames.

    Args:
        x: Input, (B, T, in).
        taps: Matrices by offset, from `merge_taps`.
        bias: Bias, (out,).

    Returns:
        The sum (B, T, out), in the type of the matrices.
    """
    dtype = taps[0].dtype
    x = x.to(dtype)
    bias = bias.to(dtype)
    result: Tensor = _SumOfTaps.apply(x, bias, tuple(taps), *taps.values())  # type: ignore[no-untyped-call]
    return result


class _SumOfTaps(torch.autograd.Function):
    """Sum of shifted products. Its gradients are also such sums, which autograd would not find."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor, offsets: tuple[int, ...], *matrices: Tensor
    ) -> Tensor:
        ctx.offsets = offsets
        ctx.save_for_backward(x, *matrices)
        transposed = [matrix.T for matrix in matrices]
        return _shifted_products(x, transposed, offsets, bias)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *matrices = ctx.saved_tensors
        grad = grad.contiguous()
        grad_matrices = [_matrix_gradient(grad, x, offset) for offset in ctx.offsets]

        grad_x = None
        if ctx.needs_input_grad[0]:
            mirrored = [-offset for offset in ctx.offsets]
            grad_x = _shifted_products(grad, matrices, mirrored, None)

        grad_bias = grad.sum(1).sum(0)
        return grad_x, grad_bias, None, *grad_matrices


def _overlap(frames: int, offset: int) -> tuple[slice, slice]:
    """Return the frames t, and the frames t + offset, for which both are in the video."""
    behind = max(-offset, 0)
    ahead = max(offset, 0)
    here = slice(behind, frames - ahead)
    there = slice(ahead, frames - behind)
    return here, there


def _shifted_products(
    x: Tensor, matrices: Sequence[Tensor], offsets: Sequence[int], bias: Tensor | None
) -> Tensor:
    """Return the sum of x[t + offset] @ matrix, (B, T, out), for matrices (in, out)."""
    videos, frames, _ = x.shape
    rows = x.flatten(0, 1)  # (B * T, in)
    centre = matrices[offsets.index(0)]
    # This is not a view of a product: autograd forbids in-place changes of a returned view.
    result = x.new_empty(videos, frames, centre.shape[1])
    if bias is None:
        torch.mm(rows, centre, out=result.flatten(0, 1))
    else:
        torch.addmm(bias, rows, centre, out=result.flatten(0, 1))

    for offset, matrix in zip(offsets, matrices, strict=True):
        if 0 < abs(offset) < frames:
            here, there = _overlap(frames, offset)
            result[:, here].baddbmm_(x[:, there], matrix.expand(videos, -1, -1))
    return result


def _matrix_gradient(grad: Tensor, x: Tensor, offset: int) -> Tensor:
    """Return a tap matrix's gradient (out, in), given the result's gradient (B, T, out)."""
    frames = x.shape[1]
    if abs(offset) >= frames:
        return grad.new_zeros(grad.shape[2], x.shape[2])

    here, there = _overlap(frames, offset)
    grad = grad[:, here]
    x = x[:, there]
    if len(x) == 1 or offset == 0:
        return grad.flatten(0, 1).T @ x.flatten(0, 1)
    return (grad.transpose(1, 2) @ x).sum(0)
