"""Devices, and the group of processes that ``torchrun`` or ``accelerate launch`` started."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from fact_clip.core.errors import InputError
from fact_clip.core.types import Json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")
Precision = Literal["auto", "float32", "bf16"]

# A rank may wait for another that still works. If one has failed, the launcher ends all of them.
_PATIENCE = timedelta(days=1)


def place_in_launch() -> tuple[int, int]:
    """Return the rank of this process and the world size, from the environment of the launcher."""
    rank_value = os.environ.get("RANK") or "0"
    world_value = os.environ.get("WORLD_SIZE") or "1"
    rank = int(rank_value) if rank_value.isdecimal() else -1
    world = int(world_value) if world_value.isdecimal() else -1

    needed = ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")
    is_incomplete = world > 1 and not all(os.environ.get(name) for name in needed)
    if not 0 <= rank < world or is_incomplete:
        problem = f"process {rank_value} of {world_value}"
        raise InputError("RANK", problem, "start by torchrun, or unset RANK and WORLD_SIZE")
    return rank, world


def pick_device(name: str | torch.device, where: str = "device") -> torch.device:
    """Return the device of a name.

    Args:
        name: auto (a GPU if there is one), cpu, cuda, cuda:N or mps.
        where: the name of the argument, for an error.

    Returns:
        The device. One that this machine lacks raises an InputError.
    """
    import torch

    name = str(name)
    if name == "auto":
        return _best_device()

    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    with suppress(RuntimeError, ValueError, OverflowError):
        device = torch.device(name)
        if (device.index or 0) < counts.get(device.type, 0):
            return device
    fix = "choose auto, cpu, cuda, cuda:N or mps"
    raise InputError(where, f"this machine has no {name!r}", fix)


def _best_device() -> torch.device:
    import torch

    if torch.cuda.is_available():
        rank = os.environ.get("LOCAL_RANK", "")
        if rank.isdecimal():
            return torch.device(f"cuda:{int(rank) % torch.cuda.device_count()}")
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_precision(
    setting: str, device: torch.device, where: str, auto: Sequence[str] = ("cuda",)
) -> str:
    """Choose the precision of a device.

    Args:
        setting: float32, bf16, or auto: bf16 if the device computes in it natively.
        device: where the model runs.
        where: the name of the setting, for a warning.
        auto: kinds of devices on which auto may choose bf16.

    Returns:
        "float32" or "bf16".
    """
    import torch

    if device.type == "cuda":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_native = device.type == "cpu" and cpu_has_bf16()
    if setting == "bf16" and not is_native:
        problem = f"this {device.type} does not compute in bfloat16 natively; float32 is faster"
        warnings.warn(f"{where}: {problem}", stacklevel=2)
    if setting == "auto":
        return "bf16" if is_native and device.type in auto else "float32"
    return setting


def cpu_has_bf16() -> bool:
    """Return whether the CPU multiplies bfloat16 (AVX-512 BF16, AMX, or the ARM instructions)."""
    import torch

    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(
        capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "bf16")
    )


class Processes:
    """One process of a distributed group. All ranks must call its methods in the same order.

    A process without a launcher is alone. Rank 0 alone writes files and prints. All ranks compute
    on the same kind of device (see `pick_device`).

    Args:
        device: the device, or the name of one.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.rank, self.world = place_in_launch()
        if self.world == 1:
            return

        # before there is a group, which its functions otherwise keep as a default
        import torch.distributed.nn

        if "TORCHELASTIC_RUN_ID" in os.environ:
            end_with_parent(os.getppid())
        self.device = pick_device(device) if isinstance(device, str) else device
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            has_index = self.device.index is not None
            torch.cuda.set_device(self.device if has_index else _best_device())
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
        """Wait until all ranks are here."""
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
        """Compute ``[function(item) for item in items]`` on every rank; each computes its share."""
        return self.gather([function(item) for item in self.share(items)], len(items))

    def gather(self, results: Sequence[R], count: int) -> list[R]:
        """Gather the results of all ranks, in item order, on every rank.

        Args:
            results: the results of this rank for its share of the items.
            count: number of items of all ranks.

        Returns:
            The results of all items.
        """
        if self.world == 1:
            return list(results)
        import torch

        by_rank: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(by_rank, list(results))
        return [by_rank[index % self.world][index // self.world] for index in range(count)]

    def broadcast(self, function: Callable[[], R]) -> R:
        """Call a function on rank 0 alone (it may read stdin); return its result on every rank."""
        results = [function()] if self.is_main else []
        return self.gather(results, 1)[0]

    def all_reduce(self, values: Mapping[str, float | Tensor], scale: float) -> Json:
        """Sum `scale` times each value over all ranks."""
        if self.world == 1:
            return dict(values)
        import torch

        tensors = [
            torch.as_tensor(value, device=self.device, dtype=torch.float32)
            for value in values.values()
        ]
        total = scale * torch.stack(tensors)
        torch.distributed.all_reduce(total)
        return dict(zip(values, total, strict=True))

    def parallel(self, model: torch.nn.Module) -> torch.nn.Module:
        """Wrap a model so that gradients are averaged over ranks; a missing one counts as 0."""
        if self.world == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        options: Json = {"gradient_as_bucket_view": True, "find_unused_parameters": True}
        if self.device.type == "cuda":
            options["device_ids"] = [self.device]
        # Buffers are the same everywhere. Torch 2.13 renames the option that leaves them alone.
        parameters = signature(DistributedDataParallel).parameters
        is_renamed = "forward_sync_buffers" in parameters
        options["forward_sync_buffers" if is_renamed else "broadcast_buffers"] = False
        return DistributedDataParallel(model, **options)


PARENT = "FACT_CLIP_PARENT"  # environment variable: ID of the process that a command ends with


def end_with_parent(parent: int) -> None:
    """End this process when its parent ends, even by SIGKILL. Only Linux can do that.

    Args:
        parent: ID of the parent process.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # 1 is PR_SET_PDEATHSIG of <linux/prctl.h>
    if os.getppid() != parent:  # it has ended already
        os._exit(1)
