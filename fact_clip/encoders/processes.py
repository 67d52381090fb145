"""The processes that ``torchrun`` or ``accelerate launch`` started: which one this is, and what all of them found.

Started without either, a process is alone, and nothing here does anything. accelerate joins the processes (gloo on the
CPU, NCCL on CUDA) and is imported only then.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from fact_clip.core import InputError
from fact_clip.core.processes import end_with_launcher
from fact_clip.encoders.pretrained import pick_device

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")

# A process may wait for another that still works on its share. If one has failed, the launcher ends all of them.
_PATIENCE = timedelta(days=1)


def place_in_launch() -> tuple[int, int]:
    """Number of this process, and how many there are, as the launcher says; an InputError where they cannot be."""
    given = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")}
    todo = "start several processes with torchrun, or unset RANK and WORLD_SIZE"
    for name, text in given.items():
        if text and not (text.isascii() and text.isdecimal() and len(text) < 7):
            raise InputError(name, f"{text!r}; expected a whole number, as torchrun sets it", todo)
    rank, world = int(given["RANK"] or 0), int(given["WORLD_SIZE"] or 1)
    if rank >= world:
        raise InputError("RANK", f"{rank} of {world} processes (WORLD_SIZE); expected 0 to {max(world - 1, 0)}", todo)
    lacking = [name for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK") if world > 1 and not os.environ.get(name)]
    if lacking:
        raise InputError("WORLD_SIZE", f"{world} processes and no {lacking[0]}; expected what torchrun sets", todo)
    return rank, world


class Processes:
    """This process and those beside it; every one of them has to make the same calls in the same order.

    Args:
        device: where this process computes, or its name (see `pick_device`); of the same kind in all of them.

    Attributes:
        rank: number of this process, from 0; the first one alone writes files and prints.
        world: how many there are; 1 without a launcher.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.rank, self.world = place_in_launch()
        if self.world > 1:
            import torch.distributed
            from accelerate import PartialState

            end_with_launcher()
            self.device = pick_device(device) if isinstance(device, str) else device
            on_cpu = self.device.type == "cpu"
            new = not torch.distributed.is_initialized()
            self._state = PartialState(cpu=on_cpu, timeout=_PATIENCE, **({"backend": "gloo"} if on_cpu else {}))
            if new and on_cpu:
                # gloo's threads abort a process that ends with them; NCCL may wait for processes that have failed.
                atexit.register(self._state.destroy_process_group)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            self._state.wait_for_everyone()

    @contextmanager
    def first_one_first(self) -> Iterator[None]:
        """The first process runs the block before the others do."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The items of this process: every `world`-th."""
        return items[self.rank :: self.world]

    def each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """``[function(item) for item in items]`` in every process, where each process works out its share."""
        return self.gathered([function(item) for item in self.share(items)], len(items))

    def gathered(self, found: Sequence[R], count: int) -> list[R]:
        """What all processes found for their share of `count` items, in the order of the items; in every process."""
        if self.world == 1:
            return list(found)
        from accelerate.utils import gather_object

        of_process = gather_object([list(found)])
        return [of_process[place % self.world][place // self.world] for place in range(count)]

    def from_first(self, function: Callable[[], R]) -> R:
        """What the function gives in the first process, which alone calls it: it may read from stdin."""
        return self.gathered([function()] if self.first else [], 1)[0]

    def summed(self, values: Mapping[str, float | Tensor], scale: float) -> dict[str, float | Tensor]:
        """The sums over all processes of `scale` times each value."""
        if self.world == 1:
            return dict(values)
        import torch

        total = torch.stack(
            [torch.as_tensor(value, device=self.device, dtype=torch.float32) for value in values.values()]
        )
        total *= scale
        torch.distributed.all_reduce(total)
        return dict(zip(values, total, strict=True))

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Give every process the sum of all their gradients; a parameter that has none anywhere stays without.

        One transfer for all of them: a gradient that only some processes have counts as zero in the others.
        """
        if self.world == 1:
            return
        import torch

        gradients = [each.grad for each in parameters]
        there = torch.tensor([grad is not None for grad in gradients], device=self.device, dtype=torch.float32)
        pieces = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        total = torch.cat([there, *(piece.flatten().float() for piece in pieces)])
        torch.distributed.all_reduce(total)
        used, *sums = total.split([len(pieces), *(piece.numel() for piece in pieces)])
        for parameter, piece, own, by_any in zip(parameters, pieces, sums, used.tolist(), strict=True):
            parameter.grad = own.view_as(piece).to(piece.dtype) if by_any else None
