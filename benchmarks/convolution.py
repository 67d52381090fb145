"""Seconds forwards and backwards through dual dilated layers of a frame branch: FrameConv beside nn.Conv1d.

OMP_NUM_THREADS=1 python benchmarks/convolution.py
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fact_clip.models.branches import FrameConv

# Recipe -> frames of a step, channels.
SHAPES = {"kscgr": (600, 64), "gtea": (1100, 128), "breakfast": (2100, 512)}
DILATIONS = (1, 8, 64, 512)
ROUNDS = 15
SHORTER = 3  # frames fewer each round; 0: one length throughout, which torch plans once
TARGET = 1.0  # FrameConv is no slower


def step(make: Callable[..., nn.Module], width: int, rows: Tensor, axis: int) -> Callable[[int], None]:
    """Layers of two dilated convolutions and one that joins them, forwards and backwards; `axis` is that of channels.

    No two calls should have the same number of frames: no two videos do, and torch makes a plan for each new shape.
    """
    layers = [[make(width, width, 3, d), make(width, width, 3, 1), make(2 * width, width, 1, 1)] for d in DILATIONS]

    def run(frames: int) -> None:
        out = rows[:, :frames] if axis == -1 else rows[:, :frames].transpose(1, 2)
        for one, two, join in layers:
            out = out + torch.relu(join(torch.cat([one(out), two(out)], dim=axis)))
        (out if axis == -1 else out.transpose(1, 2)).sum().backward()

    return run


def torchs(inputs: int, outputs: int, taps: int, dilation: int) -> nn.Module:
    """The same convolution of (B, C, T) by torch."""
    return nn.Conv1d(inputs, outputs, taps, padding=taps // 2 * dilation, dilation=dilation)


def seconds(one: Callable[[int], None], two: Callable[[int], None], frames: int) -> tuple[float, float]:
    """The median of calls of each, in turns, with fewer frames each time."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS):
        for call, found in zip((one, two), times, strict=True):
            start = time.perf_counter()
            call(frames - SHORTER * number)
            found.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> int:
    """Print a line a shape; 1 where FrameConv is slower."""
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    torch.manual_seed(0)
    missed = False
    for recipe, (frames, width) in SHAPES.items():
        rows = torch.randn(1, frames, width)
        mine, plain = seconds(step(FrameConv, width, rows, -1), step(torchs, width, rows, 1), frames)
        missed |= mine > TARGET * plain
        both = f"{1e3 * mine:.1f} ms, nn.Conv1d {1e3 * plain:.1f} ms, {mine / plain:.2f}"
        print(f"{recipe:10s} {frames} x {width}: {both}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
