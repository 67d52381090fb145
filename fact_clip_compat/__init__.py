"""Settings and checkpoints of the published FACT and FACT-CLIP code.

The names below are public. Each is loaded when it is first used, so that the help of the command
loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip_compat.settings import read_config as read_config
    from fact_clip_compat.weights import convert as convert
    from fact_clip_compat.weights import load_reference as load_reference

_HOME_OF = {"convert": "weights", "load_reference": "weights", "read_config": "settings"}
__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
