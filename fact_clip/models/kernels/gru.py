"""A bidirectional GRU that runs both directions at once.

torch's own runs one direction after the other, records a dozen operations a step for the gradient,
and adds a gradient as large as the recurrent weights in each of them. Here a step computes both
directions in one product, and the gradient of the weights is one product over all steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fact_clip.models.kernels.base import CachesWeights, full_precision, use_cpu_kernel


@dataclass(frozen=True)
class _Layer:
    """Weights of one layer, with an axis for the two directions."""

    input_weight: Tensor  # (2, 3H, D)
    input_bias: Tensor  # (2, 3H)
    state_weight: Tensor  # (2, H, 3H)
    new_bias: Tensor  # (2, H), inside the reset gate


class BidirectionalGRU(CachesWeights, nn.GRU):
    """A ``nn.GRU`` in both directions over sequences of several lengths, in float32.

    Args:
        input_size: D.
        hidden_size: H of each direction.
        num_layers: layers.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """Encode sequences.

        Args:
            x: (B, N, D).
            mask: (B, N) true at real elements, which come first.
            lengths: (B,) the number of real elements, on the CPU.

        Returns:
            (B, N, 2H), zero after the end of each sequence.
        """
        with full_precision(x):
            x = x.float()
            if not use_cpu_kernel(x):
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                output = super().forward(packed)[0]
                return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0]

            steps = torch.arange(x.shape[1])
            mirrored = torch.where(mask, lengths.unsqueeze(1) - 1 - steps, steps)  # (B, N)
            for layer in self.cached("layers", [self], self._layers):
                x = _both_directions(x, mirrored.unsqueeze(-1), layer) * mask.unsqueeze(-1)
            return x

    def _layers(self) -> list[_Layer]:
        layers = []
        for layer in range(self.num_layers):
            input_bias = self._both("bias_ih", layer)  # (2, 3H)
            state_bias = self._both("bias_hh", layer)  # (2, 3H)
            reset_update, new = state_bias.split([2 * self.hidden_size, self.hidden_size], dim=1)
            layers.append(
                _Layer(
                    input_weight=self._both("weight_ih", layer),
                    input_bias=input_bias + nn.functional.pad(reset_update, (0, self.hidden_size)),
                    state_weight=self._both("weight_hh", layer).transpose(1, 2).contiguous(),
                    new_bias=new,
                )
            )
        return layers

    def _both(self, name: str, layer: int) -> Tensor:
        """Return a weight of both directions."""
        forwards = getattr(self, f"{name}_l{layer}")
        backwards = getattr(self, f"{name}_l{layer}_reverse")
        return torch.stack([forwards, backwards])


def _both_directions(x: Tensor, mirrored: Tensor, layer: _Layer) -> Tensor:
    """Run a layer, (B, N, D) to (B, N, 2H).

    The second direction runs over each sequence mirrored within its own length: `mirrored`
    (B, N, 1) has the index of each element.
    """
    backwards_x = x.gather(1, mirrored.expand_as(x))  # (B, N, D)
    inputs = torch.stack(
        [
            nn.functional.linear(x, layer.input_weight[0], layer.input_bias[0]),
            nn.functional.linear(backwards_x, layer.input_weight[1], layer.input_bias[1]),
        ]
    )  # (2, B, N, 3H)
    inputs = inputs.permute(2, 0, 1, 3)  # (N, 2, B, 3H)
    states: Tensor = _Recurrence.apply(inputs, layer.state_weight, layer.new_bias)  # type: ignore[no-untyped-call]

    forwards, backwards = states.transpose(0, 2).unbind(1)  # (B, N, H) each
    backwards = backwards.gather(1, mirrored.expand_as(backwards))
    return torch.cat([forwards, backwards], dim=-1)


class _Recurrence(torch.autograd.Function):
    """The recurrent part of a GRU in G directions at once (Cho et al. 2014, as torch computes it).

    r = sigmoid(x_r + h U_r)
    z = sigmoid(x_z + h U_z)
    n = tanh(x_n + r (h U_n + b))
    h' = n + z (h - n)
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the states (N, G, B, H).

        `inputs` (N, G, B, 3H) and `weight` (G, H, 3H) are in the order r, z, n; `bias` is (G, H).
        """
        width = weight.shape[1]
        gates = inputs.clone(memory_format=torch.contiguous_format)  # h U is added in place
        sigmoids = gates[..., : 2 * width]  # r and z
        h_new = gates[..., 2 * width :]
        h_new.copy_(bias.unsqueeze(1))
        reset, update = sigmoids.chunk(2, dim=-1)
        x_new = inputs[..., 2 * width :]
        states = gates.new_empty(*gates.shape[:3], width)
        news = torch.empty_like(states)

        # Views of all steps are made at once, since indexing in each step is slow.
        tensors = (gates, sigmoids, reset, update, x_new, h_new, news, states)
        rows = zip(*(tensor.unbind(0) for tensor in tensors), strict=True)
        state = gates.new_zeros(states.shape[1:])  # (G, B, H)
        for gate, sigmoid, r, z, x_n, h_n, new, next_state in rows:
            gate.baddbmm_(state, weight)
            sigmoid.sigmoid_()
            torch.addcmul(x_n, r, h_n, out=new).tanh_()
            state = torch.lerp(new, state, z, out=next_state)
        ctx.save_for_backward(gates, news, states, weight)
        return states

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, news, states, weight = ctx.saved_tensors
        r, z, h_n = gates.unflatten(-1, (3, -1)).unbind(-2)  # (N, G, B, H) each
        previous = torch.cat([torch.zeros_like(states[:1]), states[:-1]])

        # Factors from the gradient of a state to those of the inputs of r, z, h U_n + b, and x_n.
        to_new = (1 - z) * (1 - news * news)
        to_reset = to_new * h_n * r * (1 - r)
        to_update = (previous - news) * z * (1 - z)
        factors = torch.stack([to_reset, to_update, to_new * r, to_new], dim=-2)

        gradients = torch.empty_like(factors)  # (N, G, B, 4, H)
        recurrent = gradients[..., :3, :].flatten(-2)  # (N, G, B, 3H), a view
        transposed = weight.transpose(1, 2).contiguous()  # (G, 3H, H)
        tensors = (grad, factors, z, gradients, recurrent)
        rows = list(zip(*(tensor.unbind(0) for tensor in tensors), strict=True))
        carried = torch.zeros_like(states[0])  # (G, B, H)
        for row_grad, factor, update, row_gradients, gate in reversed(rows):
            carried += row_grad
            torch.mul(carried.unsqueeze(-2), factor, out=row_gradients)
            carried = carried.mul_(update).baddbmm_(gate, transposed)

        all_states = previous.permute(1, 3, 0, 2).flatten(2)  # (G, H, N * B)
        grad_weight = all_states @ recurrent.transpose(0, 1).flatten(1, 2)  # (G, H, 3H)
        grad_inputs = torch.cat([gradients[..., :2, :].flatten(-2), gradients[..., 3, :]], dim=-1)
        grad_bias = gradients[..., 2, :].sum((0, 2))
        return grad_inputs, grad_weight, grad_bias
