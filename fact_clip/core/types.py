"""Types of plain values that many packages use."""

from collections.abc import Callable
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]  # an object of JSON
Names: TypeAlias = tuple[str, ...]
Size: TypeAlias = tuple[int, int] | None  # (width, height) of video frames; None: original size
Progress: TypeAlias = Callable[[int, int, str], None]  # called with (done, total, note)

BACKGROUND = "background"
"""Label of frames without an action, if no other name is known."""

UNLABELLED = "?"
"""Label of frames whose action nobody knows."""

NONE_OF_THESE = "none of these"
"""Label of segments whose confidence is below the threshold of `DecodeSettings.reject`."""
