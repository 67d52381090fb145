"""The group of processes that ``torchrun`` or ``accelerate launch`` started."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from inspect import signature
from typing import Any, TypeVar

import torch
from torch import Tensor

from fact_clip.core import Json
from fact_clip.core.launch import end_with_parent, place_in_launch
from fact_clip.devices.device import best_device, pick_device

T = TypeVar("T")
R = TypeVar("R")

# A rank may wait for a working rank. If a rank has failed, the launcher ends all of them.
_PATIENCE = timedelta(days=1)


class Processes:
    """One process of a distributed group. All ranks must call its methods in the same order.

    Without a launcher, there is one process. Only rank 0 writes files and prints. All ranks compute
    on the same kind of device (see `pick_device`).

    Args:
        device: Device, or its name.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.rank, self.world = place_in_launch()
        if self.world == 1:
            return

        # Imported before there is a group, which its functions would keep as a default.
        import torch.distributed.nn

        if "TORCHELASTIC_RUN_ID" in os.environ:
            end_with_parent(os.getppid())
        self.device = pick_device(device) if isinstance(device, str) else device
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            has_index = self.device.index is not None
            torch.cuda.set_device(self.device if has_index else best_device())
        if torch.distributed.is_initialized():
            return
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
        if not on_gpu:
            # gloo's threads abort a process that ends with them, so nothing may hold the group (see
            # the import above, and `parallel`). NCCL may wait for processes that have failed.
            atexit.register(torch.distributed.destroy_process_group)

    @property
    def is_main(self) -> bool:
        """Return whether this is the process that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all ranks have called this method."""
        self.gather((), 0)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the block on rank 0 before the other ranks run it."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items of this rank: every `world`-th."""
        return items[self.rank :: self.world]

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Compute ``[function(item) for item in items]``, of which each rank computes its share."""
        return self.gather([function(item) for item in self.share(items)], len(items))

    def gather(self, results: Sequence[R], count: int) -> list[R]:
        """Gather the results of all ranks, in item order, on every rank.

        Args:
            results: Results of this rank for its share of the items.
            count: Number of items of all ranks.

        Returns:
            The results of all items.
        """
        if self.world == 1:
            return list(results)
        by_rank: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(by_rank, list(results))
        return [by_rank[index % self.world][index // self.world] for index in range(count)]

    def broadcast(self, function: Callable[[], R]) -> R:
        """Call a function only on rank 0, for example to read stdin. All ranks get its result."""
        results = [function()] if self.is_main else []
        return self.gather(results, 1)[0]

    def all_reduce(self, values: Mapping[str, float | Tensor], scale: float) -> Json:
        """Sum `scale` times each value over all ranks."""
        if self.world == 1:
            return dict(values)
        tensors = [
            torch.as_tensor(value, device=self.device, dtype=torch.float32)
            for value in values.values()
        ]
        total = scale * torch.stack(tensors)
        torch.distributed.all_reduce(total)
        return dict(zip(values, total, strict=True))

    def parallel(self, model: torch.nn.Module) -> torch.nn.Module:
        """Wrap a model so that gradients are averaged over ranks. Missing gradients count as 0."""
        if self.world == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        options: Json = {"gradient_as_bucket_view": True, "find_unused_parameters": True}
        if self.device.type == "cuda":
            options["device_ids"] = [self.device]
        # Buffers are equal in all processes and need no exchange. Torch 2.13 renames this option.
        parameters = signature(DistributedDataParallel).parameters
        is_renamed = "forward_sync_buffers" in parameters
        options["forward_sync_buffers" if is_renamed else "broadcast_buffers"] = False
        return DistributedDataParallel(model, **options)
