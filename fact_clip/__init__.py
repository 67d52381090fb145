"""FACT-CLIP cuts untrimmed videos into actions.

The names below are public. Each is loaded when it is first used, so that ``import fact_clip`` costs nothing and a
program that only scores predictions never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip import compat, datasets, decoding, formats, losses, metrics, models, report, training
    from fact_clip.config import Config
    from fact_clip.core.errors import InputError
    from fact_clip.core.segments import Segment, Segmentation
    from fact_clip.core.vocabulary import Vocabulary
    from fact_clip.inference.segmenter import Segmenter, load
    from fact_clip.run import share
    from fact_clip.training import evaluate, train

__version__ = "0.2.0"

__all__ = [
    "Config",
    "InputError",
    "Segment",
    "Segmentation",
    "Segmenter",
    "Vocabulary",
    "compat",
    "datasets",
    "decoding",
    "evaluate",
    "formats",
    "load",
    "losses",
    "metrics",
    "models",
    "report",
    "share",
    "train",
    "training",
]

_HOME_OF = {
    "Config": "fact_clip.config",
    "InputError": "fact_clip.core.errors",
    "Segment": "fact_clip.core.segments",
    "Segmentation": "fact_clip.core.segments",
    "Segmenter": "fact_clip.inference.segmenter",
    "Vocabulary": "fact_clip.core.vocabulary",
    "evaluate": "fact_clip.training",
    "load": "fact_clip.inference.segmenter",
    "share": "fact_clip.run",
    "train": "fact_clip.training",
}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    if name in __all__:
        return import_module(f"fact_clip.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
