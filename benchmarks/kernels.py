"""What each hand-written operation of models/kernels/ wins over torch's own: one that wins less than 10 % goes.

But for single convolutions, which have no code of their own: they are folded layers with nothing to fold.

PYTHONPATH=. .venv/bin/python benchmarks/kernels.py

Forward passes are those of inference, which keeps folded weights; a step is a forward and a backward pass. Both sides
take turns, and their medians are compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.speed import alternate
from fact_clip.config import BlockConfig
from fact_clip.models.branches import MSTCNPlusPlus
from fact_clip.models.kernels.base import Dropout, keep_freed_memory
from fact_clip.models.kernels.convolution import FrameConv
from fact_clip.models.kernels.gru import BidirectionalGRU

TARGET, ROUNDS = 1.1, 21
Call = Callable[[], Any]
Pair = tuple[str, Call, Call]  # what, ours, torch's


def step(module: nn.Module, forward: Callable[[], Tensor]) -> Call:
    """Forward and backward."""
    grad = torch.randn_like(forward())

    def both() -> None:
        module.train().zero_grad(set_to_none=True)
        forward().backward(grad)

    return both


def pairs() -> Iterator[Pair]:
    """GRU by width, layers, segments and videos; dropout; one convolution and two that a 1x1 joins, by frames."""
    for width, layers, segments, videos in (
        (512, 1, 20, 1),
        (512, 2, 100, 1),
        (512, 1, 100, 4),
        (96, 1, 60, 1),
    ):
        gru, x = (
            BidirectionalGRU(width, width // 2, layers),
            torch.randn(videos, segments, width, requires_grad=True),
        )
        mask, lengths = (
            torch.ones(videos, segments, dtype=torch.bool),
            torch.full((videos,), segments),
        )
        yield from by_gru(
            f"GRU, {videos} x {segments} x {width}, {layers} layers", gru, x, mask, lengths
        )
    for frames, width in ((567, 64), (2100, 512)):
        x = torch.randn(1, frames, width, requires_grad=True)
        ours, theirs = Dropout(0.3), nn.Dropout(0.3)
        yield (
            f"dropout, {frames} x {width}",
            step(ours, lambda f=ours, x=x: f(x)),
            step(theirs, lambda f=theirs, x=x: f(x)),
        )
    for frames, width, dilation in ((1100, 128, 4), (1230, 256, 4), (567, 64, 16)):
        conv, x = (
            FrameConv(width, width, 3, dilation),
            torch.randn(1, frames, width, requires_grad=True),
        )
        yield from both_ways(
            f"convolution and ReLU, {frames} x {width}",
            conv,
            lambda f=conv, x=x: f(x).relu_(),
            lambda f=conv, x=x: of_torch(f, x).relu_(),
        )
    for frames, width in ((567, 64), (2100, 512)):
        config = BlockConfig(hidden=width, frame_dim=width, frame_layers=1, dropout=0.0)
        branch, x = MSTCNPlusPlus(config, None), torch.randn(1, frames, width, requires_grad=True)
        yield from both_ways(
            f"folded layer, {frames} x {width}",
            branch,
            lambda f=branch, x=x: f(x, None),
            lambda f=branch, x=x: unfolded(f, x),
        )


def by_gru(
    what: str, gru: BidirectionalGRU, x: Tensor, mask: Tensor, lengths: Tensor
) -> Iterator[Pair]:
    """Ours and that of torch, which packs several videos."""

    def torchs() -> Tensor:
        if len(x) == 1:
            return nn.GRU.forward(gru, x)[0]
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(nn.GRU.forward(gru, packed)[0], batch_first=True)[0]

    return both_ways(what, gru, lambda: gru(x, mask, lengths), torchs)


def both_ways(what: str, module: nn.Module, ours: Call, torchs: Call) -> Iterator[Pair]:
    """A forward pass and a step."""
    torch.testing.assert_close(ours(), torchs(), rtol=1e-4, atol=1e-5)
    yield f"{what}, forward", evaluated(module, ours), evaluated(module, torchs)
    yield f"{what}, step", step(module, ours), step(module, torchs)


def evaluated(module: nn.Module, call: Call) -> Call:
    """As in inference."""

    def forward() -> None:
        if module.training:  # what is made of weights is kept from then on
            module.eval()
        with torch.no_grad():
            call()

    return forward


def of_torch(conv: FrameConv, x: Tensor) -> Tensor:
    """``nn.Conv1d`` on (B, T, in)."""
    result: Tensor = nn.Conv1d.forward(conv, x.transpose(1, 2)).transpose(1, 2)
    return result


def unfolded(branch: MSTCNPlusPlus, x: Tensor) -> Tensor:
    """A layer of MS-TCN++ as it is written down."""
    channels_first = x.transpose(1, 2)
    parts = [
        conv1d(
            channels_first, conv.weight, conv.bias, padding=conv.dilation, dilation=conv.dilation
        )
        for conv in (branch.conv_dilated_1[0], branch.conv_dilated_2[0])
    ]
    fuse = branch.conv_fusion[0]
    step_ = conv1d(torch.cat(parts, dim=1), fuse.weight, fuse.bias).relu_().transpose(1, 2)
    return of_torch(branch.conv_out, x + step_)


def main() -> int:
    """Print a row for each; 1 where one wins too little."""
    keep_freed_memory()
    torch.manual_seed(0)
    missed = 0
    for what, ours, torchs in pairs():
        times = alternate({"ours": ours, "torch": torchs}, ROUNDS)
        mine, other = (1e3 * statistics.median(times[name]) for name in ("ours", "torch"))
        missed += other < TARGET * mine and not what.startswith("convolution")
        print(f"{what:44s} {mine:8.2f} ms, torch {other:8.2f} ms: {other / mine:.2f}")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
