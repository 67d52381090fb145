"""Plain values that every other room uses: action names and segmentations.

What they hold is loaded when it is first used, so that the command line can import `InputError` without numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip.core.errors import *  # noqa: F403
    from fact_clip.core.segments import *  # noqa: F403
    from fact_clip.core.vocabulary import *  # noqa: F403


def __getattr__(name: str) -> Any:
    for module in ("errors", "segments", "vocabulary"):
        if not name.startswith("_") and name in (
            values := vars(import_module(f"{__name__}.{module}"))
        ):
            return values[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
