"""Seconds of a training step through the dilated convolutions of a frame branch: FrameConv beside nn.Conv1d.

OMP_NUM_THREADS=1 python benchmarks/convolution.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fact_clip.models.branches import FrameConv

# Recipe -> frames of a step, channels.
SHAPES = {"kscgr": (600, 64), "gtea": (1100, 128), "breakfast": (2100, 512)}
DILATIONS = (1, 8, 64, 512)
TARGET = 1.0  # FrameConv is no slower


def step(layers: nn.ModuleList, x: Tensor) -> Callable[[], None]:
    """All layers one after the other, forwards and backwards."""

    def run() -> None:
        out = x
        for layer in layers:
            out = torch.relu(layer(out))
        out.sum().backward()

    return run


def ratio(one: Callable[[], None], two: Callable[[], None], rounds: int = 15) -> tuple[float, float]:
    """The fastest of `rounds` calls of each, in turns: whatever else runs on the machine only adds."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, found in zip((one, two), times, strict=True):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
    return min(times[0]), min(times[1])


def main() -> int:
    """Print a line a shape; 1 where FrameConv is slower."""
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    torch.manual_seed(0)
    missed = False
    for recipe, (frames, width) in SHAPES.items():
        ours = nn.ModuleList(FrameConv(width, width, 3, dilation) for dilation in DILATIONS)
        theirs = nn.ModuleList(nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in DILATIONS)
        rows = torch.randn(1, frames, width, requires_grad=True)
        columns = torch.randn(1, width, frames, requires_grad=True)
        mine, plain = ratio(step(ours, rows), step(theirs, columns))
        missed |= mine > TARGET * plain
        both = f"{1e3 * mine:.1f} ms, nn.Conv1d {1e3 * plain:.1f} ms, {mine / plain:.2f}"
        print(f"{recipe:10s} {frames} x {width}: {both}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
