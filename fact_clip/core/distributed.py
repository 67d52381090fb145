"""Devices, and the processes that ``torchrun`` or ``accelerate launch`` started; without these a process is alone."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from fact_clip.core.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")
Precision = Literal["auto", "float32", "bf16"]

# A process may wait for another that still works on its share. If one has failed, the launcher ends all of them.
_PATIENCE = timedelta(days=1)


def place_in_launch() -> tuple[int, int]:
    """Number of this process, and how many there are, as the launcher says; an InputError where they cannot be."""
    texts = os.environ.get("RANK") or "0", os.environ.get("WORLD_SIZE") or "1"
    rank, world = (int(text) if text.isdecimal() else -1 for text in texts)
    lacks = world > 1 and not all(map(os.environ.get, ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")))
    if not 0 <= rank < world or lacks:
        raise InputError(
            "RANK",
            f"process {texts[0]} of {texts[1]}",
            "start by torchrun, or unset RANK and WORLD_SIZE",
        )
    return rank, world


def pick_device(name: str | torch.device, where: str = "device") -> torch.device:
    """Return the device of a name: auto (a GPU if there is one), cpu, cuda, cuda:N or mps; `where` is for the error."""
    import torch

    name = str(name)
    if name == "auto":
        if torch.cuda.is_available():
            rank = os.environ.get("LOCAL_RANK", "")
            return torch.device(
                f"cuda:{int(rank) % torch.cuda.device_count()}" if rank.isdecimal() else "cuda"
            )
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    try:
        device = torch.device(name)
        if (device.index or 0) < counts.get(device.type, 0):
            return device
    except (RuntimeError, ValueError, OverflowError):
        pass
    raise InputError(
        where, f"this machine has no {name!r}", "choose auto, cpu, cuda, cuda:N or mps"
    )


def pick_precision(
    setting: str, device: torch.device, where: str, auto: Sequence[str] = ("cuda",)
) -> str:
    """Return "float32" or "bf16"; "auto" takes bf16 on the kinds of devices `auto`, if they compute in it natively."""
    import torch

    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and cpu_has_bf16()
    if setting == "bf16" and not native:
        text = (
            f"{where}: this {device.type} does not compute in bfloat16 natively; float32 is faster"
        )
        warnings.warn(text, stacklevel=2)
    if setting == "auto":
        return "bf16" if native and device.type in auto else "float32"
    return setting


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions that multiply bfloat16 (AVX-512 BF16, AMX, or those of ARM)."""
    import torch

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(
        capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "bf16")
    )


class Processes:
    """This process (`rank`, from 0) and those beside it, `world` in all; all have to make the same calls in order.

    The first one alone writes files and prints. All compute on the same kind of device (see `pick_device`).
    """

    def __init__(self, device: torch.device | str) -> None:
        self.rank, self.world = place_in_launch()
        if self.world > 1:
            import torch.distributed.nn  # before there is a group, which its functions else keep as a default
            from accelerate import PartialState

            if "TORCHELASTIC_RUN_ID" in os.environ:
                end_with_parent(os.getppid())
            self.device = pick_device(device) if isinstance(device, str) else device
            on_cpu = self.device.type == "cpu"
            new = not torch.distributed.is_initialized()
            self._state = PartialState(
                cpu=on_cpu, timeout=_PATIENCE, **({"backend": "gloo"} if on_cpu else {})
            )
            if new and on_cpu:
                # gloo's threads abort a process that ends with them, so nothing may hold the group (see the import
                # above, and `parallel`); NCCL may wait for processes that have failed.
                atexit.register(self._state.destroy_process_group)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            self._state.wait_for_everyone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The first process runs the block before the others do."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The items of this process: every `world`-th."""
        return items[self.rank :: self.world]

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """``[function(item) for item in items]`` in every process, where each process works out its share."""
        return self.gather([function(item) for item in self.share(items)], len(items))

    def gather(self, results: Sequence[R], count: int) -> list[R]:
        """What all processes found for their share of `count` items, in the order of the items; in every process."""
        if self.world == 1:
            return list(results)
        from accelerate.utils import gather_object

        of_process = gather_object([list(results)])
        return [of_process[index % self.world][index // self.world] for index in range(count)]

    def broadcast(self, function: Callable[[], R]) -> R:
        """What the function gives in the first process, which alone calls it: it may read from stdin."""
        return self.gather([function()] if self.is_main else [], 1)[0]

    def all_reduce(self, values: Mapping[str, float | Tensor], scale: float) -> dict[str, Any]:
        """The sums over all processes of `scale` times each value."""
        if self.world == 1:
            return dict(values)
        import torch

        parts = [
            torch.as_tensor(value, device=self.device, dtype=torch.float32)
            for value in values.values()
        ]
        total = scale * torch.stack(parts)
        torch.distributed.all_reduce(total)
        return dict(zip(values, total, strict=True))

    def parallel(self, model: torch.nn.Module) -> torch.nn.Module:
        """Return the model, whose gradients become their mean over all processes; one that some lack is 0 there."""
        if self.world == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        devices = [self.device] if self.device.type == "cuda" else None
        options: dict[str, Any] = {"gradient_as_bucket_view": True, "find_unused_parameters": True}
        # Buffers are the same everywhere; torch 2.13 has another name for leaving them so.
        names = "forward_sync_buffers", "broadcast_buffers"
        options[
            next(name for name in names if name in signature(DistributedDataParallel).parameters)
        ] = False
        return DistributedDataParallel(model, devices, **options)


PARENT = "FACT_CLIP_PARENT"  # Environment variable of a command line that is to end with the process of this number


def end_with_parent(parent: int) -> None:
    """End this process as soon as its parent, a process number, has ended, even by SIGKILL. Linux alone can do that."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # 1 is PR_SET_PDEATHSIG of <linux/prctl.h>
    if os.getppid() != parent:  # it ended before
        os._exit(1)
