"""Adapters to other libraries. Each is imported on first use, because it needs its library."""

from importlib import import_module
from types import ModuleType

__all__ = ["pyannote", "sklearn", "torchmetrics"]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
