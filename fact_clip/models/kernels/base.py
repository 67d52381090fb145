"""Shared parts of the kernels: conditions, a cache of computed weights, and dropout."""

from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


def use_cpu_kernel(x: Tensor) -> bool:
    """Return whether to use this package's kernels for ``x``: on the CPU, unless torch compiles.

    On other devices, torch's own operations are as fast, and compilers and exporters support them.

    Args:
        x: Input of the operation.

    Returns:
        Whether to use the kernel.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def product_dtype(x: Tensor) -> torch.dtype:
    """Return the type of matrix products with ``x``, which autocast determines if enabled."""
    device = x.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Disable autocast in a ``with`` block.

    Args:
        x: Tensor on the device of the computation.

    Returns:
        The context. It does nothing without autocast, because exporters would record it.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


class CachesWeights(nn.Module):
    """A module that caches tensors computed from its weights during inference.

    A fused optimiser changes weights without a trace, so call ``eval()`` after its steps.
    """

    def cached(self, key: Hashable, modules: Iterable[nn.Module], make: Callable[[], T]) -> T:
        """Return ``make()``, or its previous result if the weights have not changed.

        Args:
            key: Name of the result.
            modules: Modules whose weights ``make`` reads.
            make: Function that computes the result.

        Returns:
            The result. In training mode or with gradients, it is always computed again.
        """
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return make()

        weights = [weight for module in modules for weight in module.parameters()]
        if any(weight.is_inference() for weight in weights):  # torch does not count their changes
            return make()

        cache = self.__dict__.setdefault("_cached", {})
        versions = [(weight.data_ptr(), weight._version) for weight in weights]
        if key not in cache or cache[key][0] != versions:
            cache[key] = (versions, make())
        result: T = cache[key][1]
        return result

    def train(self, mode: bool = True) -> Self:
        """Set the mode and clear the cache."""
        self.__dict__.pop("_cached", None)
        return super().train(mode)


class Dropout(nn.Dropout):
    """Dropout like ``nn.Dropout``, with 16 random bits per element.

    The probability is rounded to 1 / 65,536. torch draws 53 bits, which takes longer than the
    rest of the operation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, of any shape, with some elements dropped and the others scaled."""
        if not self.training or not 0 < self.p < 1 or not use_cpu_kernel(x):
            return super().forward(x)

        n_elements = x.numel()
        n_words = -(-n_elements // 4)  # four elements per word
        words = torch.empty(n_words, dtype=torch.int64)
        words.random_(-(2**63), None)
        bits = words.view(torch.int16)[:n_elements]
        bits = bits.view(x.shape)

        threshold = round(self.p * 2**16) - 2**15
        mask = torch.empty_like(x.detach())
        torch.ge(bits, threshold, out=mask)
        scale = 1 / (1 - self.p)
        return x * mask.mul_(scale)


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of freed memory (``mallopt(3)``).

    Otherwise, the memory of each video is returned to the system and cleared again for the next.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)
