"""The device of a model, and the precision of its products.

The functions import torch when they are called, so that importing this file is quick.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from fact_clip.core import InputError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "bf16"]


def pick_device(name: str | torch.device, where: str = "device") -> torch.device:
    """Return the device of a name.

    Args:
        name: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:0" or "mps".
        where: Name of the argument, for errors.

    Returns:
        The device. Raises an InputError if this machine does not have it.
    """
    import torch

    name = str(name)
    if name == "auto":
        return best_device()

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


def best_device() -> torch.device:
    """Return the GPU of this process, or the CPU if there is none."""
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
        setting: float32, bf16, or auto for bf16 if the device computes in it natively.
        device: Device of the model.
        where: Name of the setting, for a warning.
        auto: Kinds of devices on which auto may choose bf16.

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
