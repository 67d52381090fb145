"""A bidirectional GRU that runs both directions at once.

torch's GRU runs one direction after the other. It records a dozen operations per step for the
gradient, and each of them adds a gradient as large as the recurrent weights. Here, a step computes
both directions in one product, and the gradient of the weights is one product over all steps.

Symbols: B sequences, N steps, D input width, H state width of a direction, G = 2 directions.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fact_clip.models.kernels.base import CachesWeights, full_precision, use_cpu_kernel


@dataclass(frozen=True)
class _LayerWeights:
    """Weights of one layer in both directions. An axis of 3H has the gates r, z and n in order."""

    input_weight: Tensor  # (2, 3H, D)
    input_bias: Tensor  # (2, 3H), including the state's bias for r and z, which is also added
    state_weight: Tensor  # (2, H, 3H)
    new_bias: Tensor  # (2, H), the state's bias for n, which the reset gate multiplies


class BidirectionalGRU(CachesWeights, nn.GRU):
    """A ``nn.GRU`` in both directions over sequences of different lengths, in float32.

    Args:
        input_size: Width D of the input.
        hidden_size: Width H of each direction.
        num_layers: Number of layers.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """Encode sequences.

        Args:
            x: Sequences, (B, N, D).
            mask: Real elements (B, N), which must come first.
            lengths: Number of real elements (B,), on the CPU.

        Returns:
            States (B, N, 2H), zero after the end of each sequence.
        """
        with full_precision(x):
            x = x.float()
            if not use_cpu_kernel(x):
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                packed_states, _ = super().forward(packed)
                states, _ = pad_packed_sequence(
                    packed_states, batch_first=True, total_length=x.shape[1]
                )
                return states

            # For each step, the mirrored step within its sequence. Padding stays in place.
            steps = torch.arange(x.shape[1])
            mirror = torch.where(mask, lengths.unsqueeze(1) - 1 - steps, steps)  # (B, N)
            for weights in self.cached("layers", [self], self._layer_weights):
                x = _run_layer(x, mirror.unsqueeze(-1), weights) * mask.unsqueeze(-1)
            return x

    def _layer_weights(self) -> list[_LayerWeights]:
        width = self.hidden_size
        layers = []
        for index in range(self.num_layers):
            input_bias = self._stack_directions("bias_ih", index)  # (2, 3H)
            state_bias = self._stack_directions("bias_hh", index)  # (2, 3H)
            state_weight = self._stack_directions("weight_hh", index)  # (2, 3H, H)
            reset_update_bias, new_bias = state_bias.split([2 * width, width], dim=1)
            weights = _LayerWeights(
                input_weight=self._stack_directions("weight_ih", index),
                input_bias=input_bias + nn.functional.pad(reset_update_bias, (0, width)),
                state_weight=state_weight.transpose(1, 2).contiguous(),
                new_bias=new_bias,
            )
            layers.append(weights)
        return layers

    def _stack_directions(self, name: str, layer_index: int) -> Tensor:
        """Return the parameter `name` of ``nn.GRU`` in both directions, (2, ...)."""
        forwards = getattr(self, f"{name}_l{layer_index}")
        backwards = getattr(self, f"{name}_l{layer_index}_reverse")
        return torch.stack([forwards, backwards])


def _run_layer(x: Tensor, mirror: Tensor, weights: _LayerWeights) -> Tensor:
    """Run a layer in both directions, from (B, N, D) to (B, N, 2H).

    The second direction runs over each sequence mirrored within its length: its element n is
    element ``mirror[b, n]`` of sequence b. `mirror` is (B, N, 1).
    """
    mirrored_x = x.gather(1, mirror.expand_as(x))  # (B, N, D)
    inputs = torch.stack(
        [
            nn.functional.linear(x, weights.input_weight[0], weights.input_bias[0]),
            nn.functional.linear(mirrored_x, weights.input_weight[1], weights.input_bias[1]),
        ]
    )  # (2, B, N, 3H)
    inputs = inputs.permute(2, 0, 1, 3)  # (N, 2, B, 3H)
    states: Tensor = _Recurrence.apply(  # type: ignore[no-untyped-call]
        inputs, weights.state_weight, weights.new_bias
    )  # (N, 2, B, H)

    forwards, mirrored_backwards = states.transpose(0, 2).unbind(1)  # (B, N, H) each
    backwards = mirrored_backwards.gather(1, mirror.expand_as(mirrored_backwards))
    return torch.cat([forwards, backwards], dim=-1)


class _Recurrence(torch.autograd.Function):
    """The recurrent part of a GRU in G directions at once (Cho et al. 2014, as in torch).

    r = sigmoid(x_r + h U_r)             reset gate
    z = sigmoid(x_z + h U_z)             update gate
    n = tanh(x_n + r (h U_n + b))        new gate
    h' = n + z (h - n)                   next state

    Each x is an input, each U a recurrent weight, and b the bias. Names that end in `_t` belong to
    one step: they are views that the loops write to.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the states h' of all steps, (N, G, B, H), starting from zeros.

        The order in `inputs` (N, G, B, 3H) and `weight` (G, H, 3H) is r, z, n. `bias` is (G, H).
        """
        width = weight.shape[1]

        # Gates start as x_r, x_z and b. Each step adds h U in place, so they end as r, z and h U_n
        # + b.
        gates = inputs.clone(memory_format=torch.contiguous_format)  # (N, G, B, 3H)
        r_z = gates[..., : 2 * width]
        h_n = gates[..., 2 * width :]
        h_n.copy_(bias.unsqueeze(1))
        r, z = r_z.chunk(2, dim=-1)  # (N, G, B, H) each
        x_n = inputs[..., 2 * width :]
        states = gates.new_empty(*gates.shape[:3], width)
        n = torch.empty_like(states)

        # Create the views of all steps at once, because indexing in each step is slow.
        steps = zip(
            gates.unbind(0),
            r_z.unbind(0),
            r.unbind(0),
            z.unbind(0),
            x_n.unbind(0),
            h_n.unbind(0),
            n.unbind(0),
            states.unbind(0),
            strict=True,
        )
        state = gates.new_zeros(states.shape[1:])  # (G, B, H)
        for gates_t, r_z_t, r_t, z_t, x_n_t, h_n_t, n_t, state_t in steps:
            gates_t.baddbmm_(state, weight)
            r_z_t.sigmoid_()
            torch.addcmul(x_n_t, r_t, h_n_t, out=n_t).tanh_()
            state = torch.lerp(n_t, state, z_t, out=state_t)
        ctx.save_for_backward(gates, n, states, weight)
        return states

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of `inputs`, `weight` and `bias`.

        `grad` is the gradient of the states, (N, G, B, H).
        """
        gates, n, states, weight = ctx.saved_tensors
        r, z, h_n = gates.unflatten(-1, (3, -1)).unbind(-2)  # (N, G, B, H) each
        previous = torch.cat([torch.zeros_like(states[:1]), states[:-1]])  # h, (N, G, B, H)

        # Factors that convert the gradient of h' for x_r + h U_r, x_z + h U_z, h U_n + b and x_n.
        to_n = (1 - z) * (1 - n * n)
        to_r = to_n * h_n * r * (1 - r)
        to_z = (previous - n) * z * (1 - z)
        factors = torch.stack([to_r, to_z, to_n * r, to_n], dim=-2)  # (N, G, B, 4, H)

        # The loop fills in these gradients of the same four terms. The second is a view for h U.
        gradients = torch.empty_like(factors)  # (N, G, B, 4, H)
        grad_products = gradients[..., :3, :].flatten(-2)  # (N, G, B, 3H)
        transposed = weight.transpose(1, 2).contiguous()  # (G, 3H, H)
        steps = zip(
            reversed(grad.unbind(0)),
            reversed(factors.unbind(0)),
            reversed(z.unbind(0)),
            reversed(gradients.unbind(0)),
            reversed(grad_products.unbind(0)),
            strict=True,
        )
        grad_state = torch.zeros_like(states[0])  # (G, B, H), from later steps
        for grad_t, factors_t, z_t, gradients_t, grad_products_t in steps:
            grad_state += grad_t
            torch.mul(grad_state.unsqueeze(-2), factors_t, out=gradients_t)
            grad_state = grad_state.mul_(z_t).baddbmm_(grad_products_t, transposed)

        # Sum over all steps and sequences, with one product for the weight.
        state_columns = previous.permute(1, 3, 0, 2).flatten(2)  # (G, H, N*B)
        product_rows = grad_products.transpose(0, 1).flatten(1, 2)  # (G, N*B, 3H)
        grad_weight = state_columns @ product_rows  # (G, H, 3H)
        grad_bias = gradients[..., 2, :].sum((0, 2))  # (G, H)

        grad_r_z = gradients[..., :2, :].flatten(-2)  # (N, G, B, 2H)
        grad_x_n = gradients[..., 3, :]  # (N, G, B, H)
        grad_inputs = torch.cat([grad_r_z, grad_x_n], dim=-1)  # (N, G, B, 3H)
        return grad_inputs, grad_weight, grad_bias
