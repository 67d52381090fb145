"""JSON: the frame rate, the length and a list of segments; made for other programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.core.files import is_number, read_text
from fact_clip.formats.base import Format, gapless


def as_dict(segmentation: Segmentation) -> dict[str, Any]:
    """Plain JSON of a segmentation: fps, n_frames, media where known, segments, times of uneven frames."""
    times = {} if segmentation.times is None else {"times": list(segmentation.times)}
    media = {} if segmentation.media is None else {"media": segmentation.media}
    return {
        "fps": segmentation.fps,
        "n_frames": segmentation.n_frames,
        **media,
        "segments": [segment_dict(segmentation, segment) for segment in segmentation],
        **times,
    }


def segment_dict(segmentation: Segmentation, segment: Segment) -> dict[str, Any]:
    """Plain JSON of one segment; null where there is no rate or confidence."""
    return {
        "start": segment.start,
        "stop": segment.stop,
        "start_seconds": segmentation.seconds(segment.start),
        "stop_seconds": segmentation.seconds(segment.stop),
        "action": segment.label,
        "confidence": segment.confidence,
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
    if not (fps is None or is_number(fps)):
        raise InputError(path, f"fps {fps!r}", "a number or null")
    times = tree.get("times")
    if not (times is None or (isinstance(times, list) and all(map(is_number, times)))):
        raise InputError(path, "times that are no list of numbers", "seconds, one a frame and one for the end")
    media = tree.get("media")
    if not (media is None or isinstance(media, str)):
        raise InputError(path, f"media {media!r}", "the path of a video or null")
    segments = [read_segment(f"{path}, segment {number}", entry) for number, entry in enumerate(tree["segments"])]
    return replace(gapless(path, segments, fps, times), media=media)


def read_segment(where: str, entry: Any) -> Segment:
    """A segment of what `segment_dict` gave; an InputError names `where`."""
    keys = ("start", "stop", "action")
    if not isinstance(entry, dict) or any(key not in entry for key in keys):
        raise InputError(where, repr(entry), f"an object with {', '.join(keys)}")
    confidence = entry.get("confidence")
    if not isinstance(entry["action"], str) or not (confidence is None or is_number(confidence)):
        raise InputError(where, repr(entry), "a name as action, a number or null as confidence")
    try:
        return Segment(entry["start"], entry["stop"], entry["action"], confidence)
    except InputError as error:
        raise InputError(where, error.found, error.expected) from None


FORMAT = Format(write, read, "frame rate and segments, for programs", needs_media=False)
