"""The operations written for the CPU against torch's own, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fact_clip.config import BlockConfig
from fact_clip.models.branches import MSTCNPlusPlus
from fact_clip.models.kernels.base import Dropout
from fact_clip.models.kernels.convolution import FrameConv, convolve_sum, merge_taps, multiply_taps
from fact_clip.models.kernels.gru import BidirectionalGRU


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(5)


def same(found: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    """Equal values, and equal gradients of a random weighting of them."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    weights = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), inputs, retain_graph=True),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 4, 19, 20, 64])
def test_a_convolution_is_that_of_torch(dilation: int) -> None:
    """Also where a tap lies at or beyond the end of every video (20 frames)."""
    conv, x = FrameConv(7, 5, 3, dilation), torch.randn(2, 20, 7, requires_grad=True)
    expected = nn.functional.conv1d(x.transpose(1, 2), conv.weight, conv.bias, padding=dilation, dilation=dilation)
    same(conv(x), expected.transpose(1, 2), [x, conv.weight, conv.bias])


def test_features_get_no_gradient_that_nobody_asks_for() -> None:
    conv, x = FrameConv(7, 5), torch.randn(1, 4, 7)
    conv(x).sum().backward()
    torch.testing.assert_close(conv.weight.grad.squeeze(-1), x.sum((0, 1)).expand(5, -1))


@pytest.mark.parametrize("depth", [1, 4, 5])
def test_a_folded_layer_is_the_layer(depth: int) -> None:
    """Depths with and without a middle layer of two equal dilations; 40 frames fold, 12 do not."""
    branch = MSTCNPlusPlus(BlockConfig(frame_dim=6, hidden=5, frame_layers=depth), 4)
    for frames in (12, 40):
        x = torch.randn(1, frames, 4)
        folds = frames > 2 * 6
        y = branch.embed(x)
        found = branch(y, None)
        for one, two, fuse in zip(branch.conv_dilated_1, branch.conv_dilated_2, branch.conv_fusion, strict=True):
            y = y + torch.relu(fuse(torch.cat([one(y), two(y)], dim=-1)))
        expected = branch.conv_out(y)
        assert folds == (frames == 40)
        same(found, expected, list(branch.parameters()))
        with torch.no_grad():
            torch.testing.assert_close(branch(branch.embed(x), None), expected, rtol=1e-5, atol=1e-6)


def test_what_is_kept_of_weights_follows_them() -> None:
    """After a step of a fused optimiser, which leaves no trace, and a call of eval; and after a loaded state."""
    branch, x = MSTCNPlusPlus(BlockConfig(frame_dim=6, hidden=5, frame_layers=3), None), torch.randn(1, 30, 6)

    def without_gradients() -> Tensor:
        with torch.no_grad():
            return branch.eval()(x, None)

    torch.testing.assert_close(without_gradients(), branch(x, None))
    optimizer = torch.optim.Adam(branch.parameters(), lr=0.1, fused=True)
    branch.train()(x, None).sum().backward()
    optimizer.step()
    torch.testing.assert_close(without_gradients(), branch(x, None))
    branch.load_state_dict({name: 2 * value for name, value in branch.state_dict().items()})
    with torch.no_grad():
        found = branch(x, None)
    torch.testing.assert_close(found, branch(x, None))


def test_what_is_kept_is_made_once() -> None:
    module, calls = FrameConv(3, 2).eval(), []
    for _ in range(2):
        with torch.no_grad():
            module.cached("key", [module], lambda: calls.append(1))
    assert calls == [1]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_gru_is_that_of_torch_over_each_length(layers: int) -> None:
    gru, plain = BidirectionalGRU(4, 3, layers), nn.GRU(4, 3, layers, batch_first=True, bidirectional=True)
    plain.load_state_dict(gru.state_dict())
    lengths = torch.tensor([9, 1, 4])
    mask = torch.arange(9) < lengths.unsqueeze(1)
    x = torch.randn(3, 9, 4, requires_grad=True)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected = nn.utils.rnn.pad_packed_sequence(plain(packed)[0], batch_first=True, total_length=9)[0]
    found, weights = gru(x, mask, lengths), torch.randn(3, 9, 6)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    ours = torch.autograd.grad((found * weights).sum(), [x, *gru.parameters()])
    theirs = torch.autograd.grad((expected * weights).sum(), [x, *plain.parameters()])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(gru(x, mask, lengths), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_dropout_drops_its_share_and_scales_the_rest(p: float) -> None:
    """400,003 elements: within five standard deviations of p; the gradient is the mask."""
    x = torch.ones(400_003, requires_grad=True)
    found = Dropout(p)(x)
    assert abs(float((found == 0).float().mean()) - p) < 5 * (p * (1 - p) / 400_003) ** 0.5
    assert sorted(found.detach().unique().tolist()) == pytest.approx([0, 1 / (1 - p)])
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.equal(gradient, found)
    assert Dropout(p).eval()(x) is x


def test_dropout_is_a_function_of_the_seed() -> None:
    first, again = ((torch.manual_seed(seed), Dropout(0.3)(torch.ones(100)))[1] for seed in (1, 1))
    assert torch.equal(first, again)


@pytest.mark.parametrize("frames", [33, 100, 1000])
@pytest.mark.parametrize("dilations", [(3,), (1, 8), (8, 64), (4, 4)])
def test_a_sum_of_convolutions_is_that_of_torch(frames: int, dilations: tuple[int, ...]) -> None:
    """Values and gradients, for taps that coincide and taps beyond the ends."""
    x, bias = torch.randn(2, frames, 20, requires_grad=True), torch.randn(12, requires_grad=True)
    convolutions = [(torch.randn(12, 20, 3, requires_grad=True), dilation) for dilation in dilations]
    expected = sum(
        nn.functional.conv1d(x.transpose(1, 2), weight, padding=dilation, dilation=dilation)
        for weight, dilation in convolutions
    )
    expected = (expected + bias.unsqueeze(-1)).transpose(1, 2)
    found = multiply_taps(x, merge_taps(convolutions, torch.float32), bias)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(convolve_sum(x, convolutions, bias), expected, rtol=1e-5, atol=1e-4)
    inputs = [x, bias, *(weight for weight, _ in convolutions)]
    grad = torch.randn_like(expected)
    ours = torch.autograd.grad(found, inputs, grad)
    theirs = torch.autograd.grad(expected, inputs, grad)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_taps_of_the_same_frame_are_one_product() -> None:
    weights = torch.randn(2, 4, 5, 3)
    assert list(merge_taps([(weights[0], 1), (weights[1], 8)], torch.float32)) == [-1, 0, 1, -8, 8]
    assert list(merge_taps([(weights[0], 4), (weights[1], 4)], torch.float32)) == [-4, 0, 4]
