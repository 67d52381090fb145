"""JSON: the frame rate, the length and a list of segments; made for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.export.formats import Format, gapless, read_text, seconds


def as_dict(segmentation: Segmentation) -> dict[str, Any]:
    """Plain JSON of a segmentation: fps, n_frames, segments; null where there is no rate or confidence."""
    return {
        "fps": segmentation.fps,
        "n_frames": segmentation.n_frames,
        "segments": [
            {
                "start": segment.start,
                "stop": segment.stop,
                "start_seconds": seconds(segment.start, segmentation.fps),
                "stop_seconds": seconds(segment.stop, segmentation.fps),
                "action": segment.label,
                "confidence": segment.confidence,
            }
            for segment in segmentation
        ],
    }


def write(segmentation: Segmentation, path: Path) -> None:
    """Write `as_dict`."""
    path.write_text(json.dumps(as_dict(segmentation), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Segmentation:
    """What `write` wrote; seconds and n_frames may be missing, frames and fps count.

    Raises:
        InputError: no such file, not JSON, a key that is missing or of another kind, a gap or an overlap.
    """
    try:
        tree = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}", f"not JSON ({error.msg})", "fps and segments") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("segments"), list):
        raise InputError(path, "no list 'segments'", "an object with fps and segments")
    fps = tree.get("fps")
    if not (fps is None or _is_number(fps)):
        raise InputError(path, f"fps {fps!r}", "a number or null")
    segments = [_segment(f"{path}, segment {number}", entry) for number, entry in enumerate(tree["segments"])]
    return gapless(path, segments, fps)


def _segment(where: str, entry: Any) -> Segment:
    keys = ("start", "stop", "action")
    if not isinstance(entry, dict) or any(key not in entry for key in keys):
        raise InputError(where, repr(entry), f"an object with {', '.join(keys)}")
    confidence = entry.get("confidence")
    if not isinstance(entry["action"], str) or not (confidence is None or _is_number(confidence)):
        raise InputError(where, repr(entry), "a name as action, a number or null as confidence")
    try:
        return Segment(entry["start"], entry["stop"], entry["action"], confidence)
    except InputError as error:
        raise InputError(where, error.found, error.expected) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


FORMAT = Format(write, read, "frame rate and segments, for programs")
