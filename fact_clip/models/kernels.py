"""Three operations that the model spends its time in, written for the CPU: convolution over time, GRU, dropout.

Each computes what torch's own does (docs/method.md, 'Speed'; benchmarks/results.md has the times), which is used on
other devices.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv1d
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

T = TypeVar("T")


def use_cpu_kernel(x: Tensor) -> bool:
    """Whether what is written here computes on ``x``, and not torch: on the CPU, unless torch compiles."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Leave an autocast in the block; a context that exporters would keep is entered only where there is one."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


class CachesWeights(nn.Module):
    """A module that, in evaluation mode and without gradients, keeps what it makes of its weights.

    A fused optimiser changes weights without a trace; call ``eval`` then.
    """

    def cached(self, key: Hashable, modules: Iterable[nn.Module], make: Callable[[], T]) -> T:
        """``make()``, which reads the weights of ``modules``, or its former result."""
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return make()
        weights = [weight for module in modules for weight in module.parameters()]
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
    """Let glibc keep up to 64 MB of freed memory (``mallopt(3)``), which it gave back and cleared for each video."""
    torch.empty(2**25 - 2**16, dtype=torch.uint8)


# --- convolution ----------------------------------------------------------------------------------------

Kernels = Sequence[
    tuple[Tensor, int]
]  # Weights (out, in, taps) as in ``nn.Conv1d``, taps odd, each with its dilation


@dataclass(frozen=True)
class Taps:
    """A sum of dilated convolutions of one input: y[t] = bias + sum over k of W_k x[t + o_k], and ReLU of it if asked.

    No offset is read twice, so two convolutions of three taps that share the middle one are five products a frame.
    """

    weights: tuple[Tensor, ...]  # (out, k, in) of each convolution
    offsets: tuple[tuple[int, ...], ...]  # k of each, equally far apart and symmetric about 0
    bias: Tensor | None  # (out,)

    @classmethod
    def of(cls, kernels: Kernels, bias: Tensor) -> Taps:
        """From the weights of convolutions of the same input."""
        parts: dict[int, Tensor] = {}
        for weight, dilation in kernels:
            part = weight.permute(0, 2, 1)  # (out, k, in)
            parts[dilation] = parts[dilation] + part if dilation in parts else part
        weights = list(parts.values())
        offsets = [
            tuple((tap - w.shape[1] // 2) * dilation for tap in range(w.shape[1]))
            for dilation, w in parts.items()
        ]
        for index in range(1, len(weights)):  # the middle taps go to the first one
            part, middle = weights[index], weights[index].shape[1] // 2
            first = weights[0].shape[1] // 2
            weights[0] = weights[0].index_add(
                1, torch.tensor([first]), part[:, middle : middle + 1]
            )
            weights[index] = torch.cat([part[:, :middle], part[:, middle + 1 :]], dim=1)
            offsets[index] = offsets[index][:middle] + offsets[index][middle + 1 :]
        return cls(
            tuple(_cast(weight.contiguous()) for weight in weights), tuple(offsets), _cast(bias)
        )

    def __call__(self, x: Tensor, relu: bool = False, frames: int | None = None) -> Tensor:
        """(B, T, in) to (B, T, out).

        Rows after `frames`, zeros in `x`, are zeros in the result; for one tap or with ReLU, so that no gradient of
        theirs reaches another row.
        """
        x = x.to(self.weights[0].dtype)
        is_onednn = _uses_onednn(x, len(self.weights[0]))
        if not torch.is_grad_enabled():
            taps = _onednn_taps if is_onednn else _blas_taps
            return _cleared(taps(x, self.weights, self.offsets, self.bias, relu), frames)
        result: Tensor = _SumOfTaps.apply(
            x, self.bias, relu, frames, self.offsets, is_onednn, *self.weights
        )  # type: ignore[no-untyped-call]
        return result


def product_dtype() -> torch.dtype:
    """What products are computed in here: float32, or bfloat16 under an autocast to it."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


def _cast(weight: Any) -> Any:
    """The weight, if there is one, in bfloat16 under an autocast to it, else as it is."""
    return (
        weight.to(product_dtype())
        if weight is not None and torch.is_autocast_enabled("cpu")
        else weight
    )


def convolve(x: Tensor, kernels: Kernels, bias: Tensor) -> Tensor:
    """The same by torch, for other devices than the CPU, (B, T, in) to (B, T, out), a view of (B, out, T)."""
    channels_first, total = x.transpose(1, 2), None
    for weight, dilation in kernels:
        reach = weight.shape[2] // 2 * dilation
        part = conv1d(
            channels_first,
            weight,
            bias if total is None else None,
            padding=reach,
            dilation=dilation,
        )
        total = part if total is None else total + part
    assert total is not None
    return total.transpose(1, 2)


class FrameConv(CachesWeights, nn.Conv1d):
    """A convolution over time, (B, T, in) to (B, T, out), with zeros beyond the ends; weights as in ``nn.Conv1d``."""

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

    def forward(
        self, x: Tensor, relu: bool = False, plus: Tensor | None = None, frames: int | None = None
    ) -> Tensor:
        """(B, T, in) to (B, T, out), its ReLU if asked; `plus` is added where there is one tap, `frames` as in Taps."""
        assert self.bias is not None
        kernels, bias = [(self.weight, self.dilation[0])], self.bias
        if self.kernel_size[0] == 1 and self.groups == 1 and use_cpu_kernel(x):
            return linear(x, *_weights(self, self.weight.squeeze(-1)), relu, plus, frames)
        if self.groups == 1 and use_cpu_kernel(x):
            return self.cached(product_dtype(), [self], lambda: Taps.of(kernels, bias))(
                x, relu, frames
            )
        grouped = self.groups > 1
        result = (
            super().forward(x.transpose(1, 2)).transpose(1, 2)
            if grouped
            else convolve(x, kernels, bias)
        )
        result = result.relu_() if relu else result
        return result if plus is None else result.add_(plus)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    plus: Tensor | None = None,
    frames: int | None = None,
) -> Tensor:
    """(..., in) to (..., out), its ReLU if asked, or its sum with `plus` (..., out); `frames` as in :class:`Taps`."""
    shape = *x.shape[:-1], weight.shape[0]
    if use_cpu_kernel(x) and _uses_onednn(x, shape[-1]):
        weight, bias = _cast(weight), _cast(bias)
        if not torch.is_grad_enabled():
            plus = None if plus is None else plus.reshape(-1, shape[-1]).to(weight.dtype)
            rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
            return _cleared(_onednn_product(rows, weight, bias, relu, plus).view(shape), frames)
        videos = x if x.dim() == 3 else x.reshape(1, -1, x.shape[-1])
        result = Taps((weight.unsqueeze(1),), ((0,),), bias)(videos, relu, frames).view(shape)
    else:
        result = nn.functional.linear(x, weight, bias)
        result = result.relu_() if relu else result
    return result if plus is None else result.add_(plus)


def _weights(layer: FrameConv | Linear, weight: Tensor) -> tuple[Tensor, Tensor | None]:
    """The weight (out, in) and bias of a layer, in bfloat16 under an autocast to it."""
    if not torch.is_autocast_enabled("cpu"):
        return weight, layer.bias
    return layer.cached(product_dtype(), [layer], lambda: (_cast(weight), _cast(layer.bias)))


class Linear(CachesWeights, nn.Linear):
    """``nn.Linear`` by :func:`linear`."""

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        """(..., in) to (..., out)."""
        return linear(x, *_weights(self, self.weight), relu)


# --- products -------------------------------------------------------------------------------------------
#
# torch multiplies float32 matrices by a BLAS (MKL on x86), and convolves by oneDNN. On AMD's processors oneDNN is twice
# as fast, on Intel's they are even, so both are tried. oneDNN plans each new length for a millisecond, so lengths are
# rounded up to one of 16 an octave.

FEWEST_ROWS, FEWEST_TRAINED = (
    32,
    256,
)  # Frames or tokens below which a product is too small to choose, and one to train
NARROWEST = 128  # Channels below which no product wins back what oneDNN plans
WIDE = 256  # Output channels from which on a product is chosen apart

_choice: dict[str, str] = {}  # "onednn" or "blas" for each width that has been measured


def products() -> dict[str, str]:
    """Measure, once, what multiplies float32 matrices faster: "onednn" or "blas" for narrow and for wide layers."""
    return {**_machine(), **{width: _chosen(width) for width in ("narrow", "wide")}}


def use_products(stored: dict[str, str]) -> None:
    """Multiply as another process did, so that results are the same bit for bit; not on another processor."""
    if _machine().items() <= stored.items():
        _choice.update({key: name for key, name in stored.items() if key not in _machine()})


def _machine() -> dict[str, str]:
    return {
        "torch": torch.__version__,
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def _chosen(width: str) -> str:
    if width not in _choice:
        _choice[width] = _measured(384 if width == "wide" else 128)
    return _choice[width]


def _measured(width: int) -> str:
    """The faster one for five taps, in a few milliseconds. BLAS, which plans nothing, unless oneDNN wins a fifth."""
    if not torch.backends.mkldnn.is_available() or not hasattr(
        torch.ops.mkldnn, "_convolution_pointwise_"
    ):
        return "blas"
    functions = {"blas": _blas_taps, "onednn": _onednn_taps}
    seconds, threads = dict.fromkeys(functions, math.inf), torch.get_num_threads()
    torch.set_num_threads(1)  # by one core's own work, which no other work on the machine changes
    with torch.no_grad():
        x, kernel = torch.ones(1, 512, width), torch.ones(width, width, 3)
        taps = Taps.of([(kernel, 1), (kernel, 8)], torch.zeros(width))
        for number in range(6):
            for name, function in functions.items():
                start = time.process_time()
                function(x, taps.weights, taps.offsets, taps.bias, False)
                if number:  # the first one plans
                    seconds[name] = min(seconds[name], time.process_time() - start)
    torch.set_num_threads(threads)
    return "onednn" if 1.2 * seconds["onednn"] < seconds["blas"] else "blas"


Offsets = tuple[tuple[int, ...], ...]


def _cleared(x: Tensor, frames: int | None) -> Tensor:
    """(B, T, F), changed in place, with zeros after `frames` rows."""
    if frames is not None and frames < x.shape[1]:
        x[:, frames:] = 0
    return x


def _uses_onednn(x: Tensor, width: int) -> bool:
    fewest = FEWEST_TRAINED if torch.is_grad_enabled() else FEWEST_ROWS
    if math.prod(x.shape[:-1]) < fewest or x.dtype == torch.float64:
        return False
    if product_dtype() == x.dtype == torch.float32:
        return (
            min(x.shape[-1], width) >= NARROWEST
            and _chosen("wide" if width >= WIDE else "narrow") == "onednn"
        )
    return True


def _overlap(frames: int, offset: int) -> tuple[slice, slice]:
    """Frames t, and the frames t + offset, for which both are in the video."""
    return slice(max(-offset, 0), frames - max(offset, 0)), slice(
        max(offset, 0), frames - max(-offset, 0)
    )


def _blas_taps(
    x: Tensor, weights: Sequence[Tensor], offsets: Offsets, bias: Tensor | None, relu: bool
) -> Tensor:
    """A matrix product for each tap, straight from shifted views of ``x``."""
    videos, frames, _ = x.shape
    result = x.new_empty(videos, frames, len(weights[0]))
    centre = weights[0][:, len(offsets[0]) // 2].T
    if bias is None:
        torch.mm(x.flatten(0, 1), centre, out=result.flatten(0, 1))
    else:
        torch.addmm(bias, x.flatten(0, 1), centre, out=result.flatten(0, 1))
    for weight, part in zip(weights, offsets, strict=True):
        for matrix, offset in zip(weight.unbind(1), part, strict=True):
            if 0 < abs(offset) < frames:
                here, there = _overlap(frames, offset)
                result[:, here].baddbmm_(x[:, there], matrix.T.expand(videos, -1, -1))
    return result.relu_() if relu else result


def _rounded(frames: int) -> int:
    """A number of frames that oneDNN plans for: one of 16 an octave."""
    step = max(16, 2 ** (frames.bit_length() - 5))
    return -(-frames // step) * step


def planned_length(x: Tensor) -> int:
    """The rows, at least those of (B, T, F), with which convolutions from F to F need no copy of their input."""
    return _rounded(x.shape[1]) if use_cpu_kernel(x) and _uses_onednn(x, x.shape[2]) else x.shape[1]


def _onednn_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool, plus: Tensor | None = None
) -> Tensor:
    """(N, in) to (N, out), and its ReLU, or its sum with `plus`, in one pass; more axes, or views, would be slow."""
    product = torch.ops.mkldnn._linear_pointwise  # what torch's compiler calls
    x, weight = x.contiguous(), weight.contiguous()
    if plus is not None:
        return product.binary(x, plus, weight, bias, "add")
    return product(x, weight, bias, "relu" if relu else "none", [], "")


def _onednn_taps(
    x: Tensor, weights: Sequence[Tensor], offsets: Offsets, bias: Tensor | None, relu: bool
) -> Tensor:
    """A matrix product for one tap; else convolutions of (B, in, 1, T) in memory as (B, T, in), added up in place."""
    ops = torch.ops.mkldnn
    videos, frames, width = x.shape
    rows, output_dim, result = frames, len(weights[0]), cast(Any, None)
    if offsets == ((0,),):
        result = _onednn_product(x.flatten(0, 1), weights[0].squeeze(1), bias, relu)
    else:
        rows = _rounded(frames)
        if rows > frames:
            padded = x.new_empty(videos, rows, width)
            padded[:, :frames], padded[:, frames:] = x, 0
            x = padded
        images = x.contiguous().unsqueeze(1).permute(0, 3, 1, 2)
        parts = [
            part
            for part in zip(weights, offsets, strict=True)
            if len(part[1]) % 2 or part[1][-1] < frames
        ]
        for number, (weight, read) in enumerate(parts, start=1):
            if read[-1] >= frames:
                weight, read = weight[:, len(read) // 2, None], (0,)
            kernel = weight.contiguous().unsqueeze(1).permute(0, 3, 1, 2)  # (out, in, 1, k)
            sizes = [0, read[-1]], [1, 1], [1, read[1] - read[0] if len(read) > 1 else 1], 1
            unary = "relu" if relu and number == len(parts) else None
            if result is None:
                result = ops._convolution_pointwise(
                    images, kernel, bias, *sizes, unary or "none", [], ""
                )
            else:
                ops._convolution_pointwise_.binary(
                    result, images, kernel, None, *sizes, "add", None, unary, [], None
                )
    # A tensor of its own and not a view, which autograd would not let anybody change in place.
    shape, steps = (videos, frames, output_dim), (rows * output_dim, output_dim, 1)
    return x.new_empty(0).set_(result.untyped_storage(), 0, shape, steps)


def _blas_weights(grad: Tensor, x: Tensor, offsets: Offsets) -> list[Tensor]:
    """The gradients of the weights, (out, k, in) each, from those of the result (B, T, out)."""
    videos, frames, width = x.shape
    parts = [
        grad.new_zeros(len(part), grad.shape[2], width) for part in offsets
    ]  # (k, out, in) each
    for part, into in zip(offsets, parts, strict=True):
        for offset, out in zip(part, into, strict=True):
            here, there = _overlap(frames, offset)
            if abs(offset) >= frames:
                continue
            if videos == 1 or not offset:
                torch.mm(grad[:, here].flatten(0, 1).T, x[:, there].flatten(0, 1), out=out)
            else:
                torch.sum(grad[:, here].transpose(1, 2) @ x[:, there], 0, out=out)
    return [part.transpose(0, 1) for part in parts]


def _onednn_weights(grad: Tensor, x: Tensor, offsets: Offsets) -> list[Tensor]:
    """The same by a product for each tap, over rows with zeros around each video."""
    more, reach = _rounded(x.shape[1]) - x.shape[1], max(part[-1] for part in offsets)
    frames, grad = x.shape[1] + more, nn.functional.pad(grad, (0, 0, 0, more)) if more else grad
    x = (
        nn.functional.pad(x, (0, 0, reach, reach + more)) if reach or more else x.contiguous()
    )  # gaps take minutes
    of_rows = grad.flatten(0, 1).T.contiguous()  # (out, B T)

    def product(offset: int) -> Tensor:
        read = x[:, reach + offset : reach + offset + frames].flatten(0, 1).T  # (in, B T)
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(of_rows, read, None, "none", [], ""))

    return [torch.stack([product(offset) for offset in part], dim=1) for part in offsets]


class _SumOfTaps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor | None, relu: bool, frames: int | None, *how: Any
    ) -> Tensor:
        ctx.offsets, ctx.is_onednn, *weights = how
        taps, ctx.frames = _onednn_taps if ctx.is_onednn else _blas_taps, frames
        result = _cleared(taps(x, weights, ctx.offsets, bias, relu), frames)
        ctx.save_for_backward(x, result if relu else None, *weights)
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, result, *weights = ctx.saved_tensors
        grad = (
            grad.contiguous()
            if result is None
            else torch.ops.aten.threshold_backward(grad, result, 0).contiguous()
        )
        grad_weights = (_onednn_weights if ctx.is_onednn else _blas_weights)(grad, x, ctx.offsets)
        grad_x = None
        if (
            ctx.needs_input_grad[0] and ctx.is_onednn
        ):  # offsets are symmetric: those of the gradient are the same
            grad_x = _onednn_taps(
                grad, [_turned(weight) for weight in weights], ctx.offsets, None, False
            )
        elif ctx.needs_input_grad[0]:
            mirrored = tuple(tuple(-offset for offset in part) for part in ctx.offsets)
            grad_x = _blas_taps(
                grad, [weight.transpose(0, 2) for weight in weights], mirrored, None, False
            )
        grad_bias = grad[:, : ctx.frames].sum(1).sum(0) if ctx.needs_input_grad[1] else None
        return grad_x, grad_bias, None, None, None, None, *grad_weights


def _turned(weight: Tensor) -> Tensor:
    """(out, k, in) as (in, k, out) with the taps reversed; torch transposes matrices fast, and not three axes."""
    return weight.flatten(1).T.contiguous().unflatten(0, weight.shape[1:]).flip(0).transpose(0, 1)


# --- GRU ------------------------------------------------------------------------------------------------


class BidirectionalGRU(CachesWeights, nn.GRU):
    """``nn.GRU`` with ``batch_first`` in both directions, over sequences (B, N, D) of several lengths; in float32."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """(B, N, D) to (B, N, 2H), zero after each sequence's own end.

        `mask` (B, N) has their real elements, which come first, and `lengths` (B,), on the CPU, the number of those.
        """
        with full_precision(x):
            x = x.float()
            if not use_cpu_kernel(x):
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                output = super().forward(packed)[0]
                return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0]
            steps = torch.arange(x.shape[1])
            mirrored = torch.where(mask, lengths.unsqueeze(1) - 1 - steps, steps).unsqueeze(
                -1
            )  # (B, N, 1)
            for weights in self.cached("layers", [self], self._layers):
                x = _both_directions(x, mirrored, *weights) * mask.unsqueeze(-1)
            return x

    def _layers(self) -> list[tuple[Tensor, ...]]:
        """For each layer (2, 3H, D) and (2, 3H) of the input, (2, H, 3H) and (2, H) of the state, for 2 directions."""
        layers = list[tuple[Tensor, ...]]()
        for layer in range(self.num_layers):
            w_ih, w_hh, b_ih, b_hh = (
                torch.stack(
                    [getattr(self, f"{name}_l{layer}"), getattr(self, f"{name}_l{layer}_reverse")]
                )
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            reset_update, new = b_hh.split([2 * self.hidden_size, self.hidden_size], dim=1)
            bias = b_ih + nn.functional.pad(reset_update, (0, self.hidden_size))
            layers.append((w_ih, bias, w_hh.transpose(1, 2).contiguous(), new))
        return layers


def _both_directions(
    x: Tensor, mirrored: Tensor, into: Tensor, bias: Tensor, again: Tensor, new: Tensor
) -> Tensor:
    """A layer, (B, N, D) to (B, N, 2H). One direction runs over each sequence mirrored within its own length."""
    both = x, x.gather(1, mirrored.expand_as(x))  # (B, N, D) each
    inputs = torch.stack(
        [linear(*direction) for direction in zip(both, into, bias, strict=True)]
    )  # (2, B, N, 3H)
    inputs = inputs.permute(2, 0, 1, 3)  # (N, 2, B, 3H)
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
        factors = torch.stack(
            [to_new * h_n * r * (1 - r), (before - news) * z * (1 - z), to_new * r, to_new], dim=-2
        )
        into = torch.empty_like(factors)  # (N, G, B, 4, H)
        recurrent = into[..., :3, :].flatten(-2)  # (N, G, B, 3H), a view
        back = weight.transpose(1, 2).contiguous()  # (G, 3H, H)
        carried = torch.zeros_like(states[0])
        rows = zip(
            *(tensor.unbind(0) for tensor in (grad, factors, z, into, recurrent)), strict=True
        )
        for row_grad, factor, state, out, gate in reversed(list(rows)):
            carried += row_grad
            torch.mul(carried.unsqueeze(-2), factor, out=out)
            carried = carried.mul_(state).baddbmm_(gate, back)
        grad_weight = before.permute(1, 3, 0, 2).flatten(2) @ recurrent.transpose(0, 1).flatten(
            1, 2
        )  # (G, H, 3H)
        grad_inputs = torch.cat([into[..., :2, :].flatten(-2), into[..., 3, :]], dim=-1)
        return grad_inputs, grad_weight, into[..., 2, :].sum((0, 2))


# --- dropout --------------------------------------------------------------------------------------------


class Dropout(nn.Dropout):
    """``nn.Dropout`` from 16 random bits an element, the probability rounded to 1/65,536; torch draws 53 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or not 0 < self.p < 1 or not use_cpu_kernel(x):
            return super().forward(x)
        bits = (
            torch.empty(-(-x.numel() // 4), dtype=torch.int64)
            .random_(-(2**63), None)
            .view(torch.int16)
        )
        least = round(self.p * 2**16) - 2**15
        mask = torch.ge(bits[: x.numel()].view(x.shape), least, out=torch.empty_like(x.detach()))
        return x * mask.mul_(1 / (1 - self.p))
