"""Time and memory of transport decoding, beside the same descent with the full N x N matrix.

OMP_NUM_THREADS=1 python benchmarks/transport.py
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fact_clip.decoding.similarity import TransportSettings, transport

TARGET_SECONDS, TARGET_MB = 1.0, 500.0


def video(n_frames: int, n_actions: int, seed: int = 0) -> NDArray[np.float32]:
    """Similarities of a video with a segment every 400 frames or so, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(0, n_actions, n_frames // 400 + 1), 400)[:n_frames]
    similarity = rng.normal(0.3, 0.2, size=(n_frames, n_actions)).astype(np.float32)
    similarity[np.arange(n_frames), labels] += 0.3
    return similarity


def dense(similarity: NDArray[np.float32], settings: TransportSettings) -> NDArray[np.float32]:
    """The objective of `TransportSettings` with C_v and C_a written out."""
    n_frames, n_actions = similarity.shape
    frames = np.arange(n_frames)
    distance = np.abs(frames[:, None] - frames)
    near = (distance >= 1) & (distance <= np.floor(settings.radius * n_frames + 1e-9))
    c_v = near.astype(np.float32) / np.float32(settings.radius)
    c_a = 1 - np.eye(n_actions, dtype=np.float32)
    cost, uniform = 1 - similarity, np.float32(1 / (n_frames * n_actions))
    plan = np.full(similarity.shape, uniform)

    def gradient() -> NDArray[np.float32]:
        fit = settings.alpha * (c_v @ plan @ c_a) + 0.5 * (1 - settings.alpha) * cost
        return (
            fit
            + settings.lam * np.log(n_actions * np.maximum(plan.sum(0), 1e-30))
            + settings.epsilon * np.log(np.maximum(plan, 1e-37) / uniform)
        )

    step = min(settings.step / gradient().max(), 1 / (settings.epsilon + settings.lam))
    for _ in range(settings.steps):
        plan = plan * np.exp(-step * gradient())
        plan /= n_frames * plan.sum(1, keepdims=True)
    return plan


def seconds(call: Callable[[], object], repeats: int) -> float:
    """The fastest of some calls: whatever else runs on the machine only adds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_mb(call: Callable[[], object]) -> float:
    """Most memory that the call holds at once, its result included and its input not."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> int:
    """Print the table; exit code 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=11_500)
    parser.add_argument("--actions", type=int, default=48)
    parser.add_argument(
        "--dense-frames", type=int, default=2_000, help="N of the comparison; the matrix is N x N"
    )
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    settings = TransportSettings()

    large, small = video(given.frames, given.actions), video(given.dense_frames, given.actions)
    rows = [
        ("transport", large, lambda: transport(large, settings)),
        ("transport", small, lambda: transport(small, settings)),
        ("dense", small, lambda: dense(small, settings)),
    ]
    print(f"{'':<10}{'frames':>8}{'actions':>8}{'seconds':>10}{'peak MB':>10}")
    figures = []
    for name, similarity, call in rows:
        figures.append((seconds(call, given.repeats), peak_mb(call)))
        print(
            f"{name:<10}{len(similarity):>8}{given.actions:>8}{figures[-1][0]:>10.3f}{figures[-1][1]:>10.1f}"
        )
    (time_large, memory_large), (time_small, memory_small), (time_dense, memory_dense) = figures
    gap = given.dense_frames * np.abs(transport(small, settings) - dense(small, settings)).max()
    print(
        f"dense / transport at {given.dense_frames} frames: time {time_dense / time_small:.0f} x, ",
        end="",
    )
    print(
        f"memory {memory_dense / memory_small:.0f} x; largest difference of a frame's assignment {gap:.0e}"
    )
    met = time_large < TARGET_SECONDS and memory_large < TARGET_MB
    print(
        f"target at {given.frames} frames: {TARGET_SECONDS:g} s, {TARGET_MB:g} MB: {'met' if met else 'MISSED'}"
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{os.cpu_count()} cores, load {load:.1f}; under load times are upper bounds")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
