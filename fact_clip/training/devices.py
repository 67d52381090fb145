"""Where a model runs."""

from __future__ import annotations

import torch

from fact_clip.core import InputError


def pick_device(name: str, where: str = "train.device") -> torch.device:
    """``auto`` takes a GPU if there is one; any other name must be there. ``where`` names the setting in the error."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(name.split(":")[0], False):
        raise InputError(where, f"{name!r} is not on this machine", "auto, cpu, cuda, cuda:N or mps")
    return torch.device(name)
