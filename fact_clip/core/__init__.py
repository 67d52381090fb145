"""Plain values that every other room uses: errors, segmentations and vocabularies."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip.core.clock import Clock, row_times
    from fact_clip.core.errors import (
        CommandOption,
        ConfigKey,
        FileLocation,
        GapError,
        InputError,
        Location,
        MissingDataError,
        OrientationError,
        library_errors,
        located,
    )
    from fact_clip.core.frames import frame_labels, majority_stride, runs, stretch
    from fact_clip.core.segments import (
        LEAST_FPS,
        MAX_FRAMES,
        MOST_FPS,
        NewWord,
        Segment,
        Segmentation,
    )
    from fact_clip.core.vocabulary import WHOLE_NAME, Factors, Vocabulary, parse_mapping

__all__ = [
    "LEAST_FPS",
    "MAX_FRAMES",
    "MOST_FPS",
    "WHOLE_NAME",
    "Clock",
    "CommandOption",
    "ConfigKey",
    "Factors",
    "FileLocation",
    "GapError",
    "InputError",
    "Location",
    "MissingDataError",
    "NewWord",
    "OrientationError",
    "Segment",
    "Segmentation",
    "Vocabulary",
    "frame_labels",
    "library_errors",
    "located",
    "majority_stride",
    "parse_mapping",
    "row_times",
    "runs",
    "stretch",
]

# A file is imported when one of its names is used first, so that the command line can import
# `InputError` without numpy.
_HOME_OF = {
    "Clock": "clock",
    "row_times": "clock",
    "CommandOption": "errors",
    "ConfigKey": "errors",
    "FileLocation": "errors",
    "GapError": "errors",
    "InputError": "errors",
    "Location": "errors",
    "MissingDataError": "errors",
    "OrientationError": "errors",
    "library_errors": "errors",
    "located": "errors",
    "frame_labels": "frames",
    "majority_stride": "frames",
    "runs": "frames",
    "stretch": "frames",
    "LEAST_FPS": "segments",
    "MAX_FRAMES": "segments",
    "MOST_FPS": "segments",
    "NewWord": "segments",
    "Segment": "segments",
    "Segmentation": "segments",
    "WHOLE_NAME": "vocabulary",
    "Factors": "vocabulary",
    "Vocabulary": "vocabulary",
    "parse_mapping": "vocabulary",
}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
