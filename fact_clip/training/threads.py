"""How many threads make a training step faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fact_clip.datasets.statistics import median_frames
from fact_clip.models.blocks import block_configs
from fact_clip.training.plan import Plan

# torch splits no operation into parts of fewer numbers (docs/method.md).
_GRAIN = 32_768


def useful_threads(plan: Plan) -> int:
    """Return the number of threads that make a step faster.

    torch splits an operation into parts of 32,768 numbers at least.
    """
    if plan.device.type != "cpu":
        return torch.get_num_threads()
    labels = map(plan.dataset.labels, plan.dataset.train)
    rows = median_frames(labels) / plan.config.data.stride
    width = max(block.frame_dim for block in block_configs(plan.config.model))
    n_numbers = int(plan.config.train.batch_size * rows * width)
    return max(1, n_numbers // _GRAIN)


@contextmanager
def useful_threads_alone(plan: Plan) -> Iterator[None]:
    """Use no more threads in the block than make a step faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, useful_threads(plan)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
