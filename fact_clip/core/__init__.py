"""Plain values that all other subpackages use: errors, segmentations and vocabularies."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fact_clip.core.errors import (
    FileLocation,
    GapError,
    InputError,
    Location,
    MissingDataError,
    OrientationError,
    library_errors,
    located,
)
from fact_clip.core.types import (
    BACKGROUND,
    NONE_OF_THESE,
    UNLABELLED,
    Json,
    Names,
    Progress,
    Size,
)

if TYPE_CHECKING:
    from fact_clip.core.arrays import Array, Flags, Floats, Image, Integers, Reals, Singles
    from fact_clip.core.clock import Clock, row_times
    from fact_clip.core.frames import frame_labels, majority_stride, runs, stretch
    from fact_clip.core.ratings import Point, Rating, State
    from fact_clip.core.scores import Scores
    from fact_clip.core.segmentation import Segmentation
    from fact_clip.core.segments import (
        MAX_FPS,
        MAX_FRAMES,
        MIN_FPS,
        Alternative,
        Instant,
        NewWord,
        Segment,
    )
    from fact_clip.core.vocabulary import WHOLE_NAME, Factors, Vocabulary, parse_mapping

__all__ = [
    "BACKGROUND",
    "MAX_FPS",
    "MAX_FRAMES",
    "MIN_FPS",
    "NONE_OF_THESE",
    "UNLABELLED",
    "WHOLE_NAME",
    "Alternative",
    "Array",
    "Clock",
    "Factors",
    "FileLocation",
    "Flags",
    "Floats",
    "GapError",
    "Image",
    "InputError",
    "Instant",
    "Integers",
    "Json",
    "Location",
    "MissingDataError",
    "Names",
    "NewWord",
    "OrientationError",
    "Point",
    "Progress",
    "Rating",
    "Reals",
    "Scores",
    "Segment",
    "Segmentation",
    "Singles",
    "Size",
    "State",
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

# Modules that need numpy are imported when one of their names is first used, so that the command
# line can import `InputError` without numpy.
_HEAVY = (
    "arrays",
    "clock",
    "frames",
    "ratings",
    "scores",
    "segmentation",
    "segments",
    "vocabulary",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for file in _HEAVY:
            module = import_module(f"{__name__}.{file}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
