"""FACT-CLIP cuts untrimmed videos into actions.

The names below are public. Each is loaded when it is first used, so ``import fact_clip`` costs
nothing, and a program that only scores predictions never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip.config import Config as Config
    from fact_clip.core import InputError as InputError
    from fact_clip.core import Scores as Scores
    from fact_clip.core import Segment as Segment
    from fact_clip.core import Segmentation as Segmentation
    from fact_clip.core import Vocabulary as Vocabulary
    from fact_clip.core.version import __version__ as __version__
    from fact_clip.decoding.other_models import decode as decode
    from fact_clip.evaluation import evaluate as evaluate
    from fact_clip.inference.loading import load as load
    from fact_clip.inference.segmenter import Segmenter as Segmenter
    from fact_clip.plugins import register as register
    from fact_clip.runs.hub import share as share
    from fact_clip.training import train as train

_ROOMS = (
    "datasets",
    "decoding",
    "formats",
    "losses",
    "metrics",
    "models",
    "report",
    "training",
)
_HOME_OF = {
    "Config": "fact_clip.config",
    "InputError": "fact_clip.core",
    "Scores": "fact_clip.core",
    "Segment": "fact_clip.core",
    "Segmentation": "fact_clip.core",
    "Segmenter": "fact_clip.inference.segmenter",
    "Vocabulary": "fact_clip.core",
    "decode": "fact_clip.decoding.other_models",
    "evaluate": "fact_clip.evaluation",
    "load": "fact_clip.inference.loading",
    "register": "fact_clip.plugins",
    "share": "fact_clip.runs.hub",
    "train": "fact_clip.training",
}
__all__ = [*_HOME_OF, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"fact_clip.{name}")
    if name == "__version__":
        return import_module("fact_clip.core.version").__version__
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
