"""Plain values that every other room uses: action names and segmentations.

Each name is loaded when it is first used, so that the command line can import `InputError` without numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip.core.clock import row_times
    from fact_clip.core.errors import InputError
    from fact_clip.core.segments import Segment, Segmentation, majority_stride, runs, stretch
    from fact_clip.core.vocabulary import Vocabulary

__all__ = ["InputError", "Segment", "Segmentation", "Vocabulary", "majority_stride", "row_times", "runs", "stretch"]

_HOME_OF = {
    "InputError": "errors",
    "Segment": "segments",
    "Segmentation": "segments",
    "Vocabulary": "vocabulary",
    "majority_stride": "segments",
    "row_times": "clock",
    "runs": "segments",
    "stretch": "segments",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
