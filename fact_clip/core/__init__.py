"""Plain values that every other room uses: errors, segmentations and vocabularies."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip.core.clock import Clock as Clock
    from fact_clip.core.clock import row_times as row_times
    from fact_clip.core.errors import CommandOption as CommandOption
    from fact_clip.core.errors import ConfigKey as ConfigKey
    from fact_clip.core.errors import FileLocation as FileLocation
    from fact_clip.core.errors import GapError as GapError
    from fact_clip.core.errors import InputError as InputError
    from fact_clip.core.errors import Location as Location
    from fact_clip.core.errors import MissingDataError as MissingDataError
    from fact_clip.core.errors import OrientationError as OrientationError
    from fact_clip.core.errors import library_errors as library_errors
    from fact_clip.core.errors import located as located
    from fact_clip.core.frames import frame_labels as frame_labels
    from fact_clip.core.frames import majority_stride as majority_stride
    from fact_clip.core.frames import runs as runs
    from fact_clip.core.frames import stretch as stretch
    from fact_clip.core.segments import LEAST_FPS as LEAST_FPS
    from fact_clip.core.segments import MAX_FRAMES as MAX_FRAMES
    from fact_clip.core.segments import MOST_FPS as MOST_FPS
    from fact_clip.core.segments import NewWord as NewWord
    from fact_clip.core.segments import Segment as Segment
    from fact_clip.core.segments import Segmentation as Segmentation
    from fact_clip.core.vocabulary import WHOLE_NAME as WHOLE_NAME
    from fact_clip.core.vocabulary import Factors as Factors
    from fact_clip.core.vocabulary import Vocabulary as Vocabulary
    from fact_clip.core.vocabulary import parse_mapping as parse_mapping

# A file is imported when one of its names is used first, so that the command line can import
# `InputError` without numpy.
_HOME_OF = {
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
    "LEAST_FPS": "segments",
    "MAX_FRAMES": "segments",
    "MOST_FPS": "segments",
    "Clock": "clock",
    "NewWord": "segments",
    "Segment": "segments",
    "Segmentation": "segments",
    "frame_labels": "frames",
    "majority_stride": "frames",
    "row_times": "clock",
    "runs": "frames",
    "stretch": "frames",
    "WHOLE_NAME": "vocabulary",
    "Factors": "vocabulary",
    "Vocabulary": "vocabulary",
    "parse_mapping": "vocabulary",
}
__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
