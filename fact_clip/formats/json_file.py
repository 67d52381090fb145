"""JSON, for other programs: a segmentation as one object, or as one line per segment; run-length labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.core.io import is_number, parse_json, read_text
from fact_clip.core.segments import MOST_FRAMES, NewWord
from fact_clip.formats.annotations import Annotation, Options, Span
from fact_clip.formats.base import COLUMNS, Gaps, cells, gapless, rate_of, read_json, segment_at, write_json


def as_dict(segmentation: Segmentation) -> dict[str, Any]:
    """A segmentation as plain JSON: fps, n_frames, all segments, and what else is known (docs/json.md)."""
    tree: dict[str, Any] = {"fps": segmentation.fps, "n_frames": segmentation.n_frames}
    if segmentation.media is not None:
        tree["media"] = segmentation.media
    if segmentation.video_fps is not None:
        tree["video_fps"] = segmentation.video_fps
    if segmentation.background:
        tree["background"] = list(segmentation.background)
    if segmentation.new_words:
        tree["new_words"] = [asdict(word) for word in segmentation.new_words]
    tree["segments"] = [dict(zip(COLUMNS, row, strict=True)) for row in cells(segmentation, segmentation.segments)]
    if segmentation.times is not None:
        tree["times"] = list(segmentation.times)
    return tree


def write(segmentation: Segmentation, path: Path) -> None:
    """Write `as_dict`."""
    write_json(path, as_dict(segmentation), indent=2)


def read(path: Path, gaps: Gaps) -> Segmentation:
    """Read what `write` wrote; n_frames and the seconds may be missing, as frames and fps decide."""
    return from_dict(path, read_json(path, "an object with fps and segments", dict), gaps)


def from_dict(path: Path, tree: dict[str, Any], gaps: Gaps) -> Segmentation:
    """The segmentation of which `as_dict` gave `tree`; `path` is named in errors."""
    if not isinstance(tree.get("segments"), list):
        raise InputError(path, "no list 'segments'; expected an object with fps and segments")
    times, media, background = tree.get("times"), tree.get("media"), tree.get("background", [])
    for key in ("fps", "video_fps"):
        if not (tree.get(key) is None or is_number(tree[key])):
            raise InputError(path, f"{key} {tree[key]!r}; expected a number or null")
    if not (times is None or (isinstance(times, list) and all(map(is_number, times)))):
        raise InputError(
            path, "times that are not a list of numbers; expected seconds: the start of each frame, and the end"
        )
    if not (media is None or isinstance(media, str)):
        raise InputError(path, f"media {media!r}; expected the path of a video or null")
    if not (isinstance(background, list) and all(isinstance(name, str) for name in background)):
        raise InputError(path, f"background {background!r}; expected a list of names")
    length = tree.get("n_frames")
    if not (length is None or (type(length) is int and 1 <= length <= MOST_FRAMES)):
        raise InputError(path, f"n_frames {length!r}; expected a whole number, 1 to {MOST_FRAMES:,}, or null")
    segments = [_read_segment(f"{path}, segment {number}", entry) for number, entry in enumerate(tree["segments"])]
    if gaps.n_frames is None:
        gaps = replace(gaps, n_frames=length)
    found = gapless(path, segments, tree.get("fps"), gaps, times)
    if length is not None and found.n_frames != length:
        raise InputError(
            path, f"segments to frame {found.n_frames}, and n_frames {length}; expected the same length twice"
        )
    new_words = _read_new_words(path, tree.get("new_words", []))
    rate, own = tree.get("video_fps"), tuple(background)
    return replace(found, media=media, video_fps=rate, background=own, new_words=new_words)


_WORD_TYPES: dict[str, type | tuple[type, ...]] = {
    "action": str,
    "slot": str,
    "word": str,
    "nearest": str,
    "similarity": (int, float),
    "far": bool,
}


def _read_new_words(path: Path, rows: Any) -> tuple[NewWord, ...]:
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict) or not all(isinstance(row.get(key), _WORD_TYPES[key]) for key in _WORD_TYPES):
            raise InputError(path, f"new_words with {row!r}; expected a list of objects with {', '.join(_WORD_TYPES)}")
    return tuple(NewWord(**{key: row[key] for key in _WORD_TYPES}) for row in rows)


def write_lines(segmentation: Segmentation, path: Path) -> None:
    """Write the `segments` of the JSON file, one per line."""
    lines = [json.dumps(segment, ensure_ascii=False) + "\n" for segment in as_dict(segmentation)["segments"]]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def read_lines(path: Path, gaps: Gaps) -> Segmentation:
    """Read what `write_lines` wrote. The frame rate is worked out from the seconds (`rate_of`)."""
    segments, times = [], []
    # not splitlines: JSON may contain the other line ends of Unicode
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        entry = parse_json(line, where, "one segment per line")
        segments.append(_read_segment(where, entry))
        if is_number(entry.get("stop_seconds")):
            times.append((segments[-1].stop, float(entry["stop_seconds"])))
    return gapless(path, segments, rate_of(times), gaps)


def _read_segment(where: str, entry: Any) -> Segment:
    if not isinstance(entry, dict) or not {"start", "stop", "action"} <= set(entry):
        raise InputError(where, f"{entry!r}; expected an object with start, stop, action")
    confidence = entry.get("confidence")
    if not isinstance(entry["action"], str) or not (confidence is None or is_number(confidence)):
        raise InputError(where, f"{entry!r}; expected a name as action, a number or null as confidence")
    return segment_at(where, entry["start"], entry["stop"], entry["action"], confidence)


def read_runs(path: Path, options: Options) -> list[Annotation]:
    """Run-length labels: NAME -> [[class, frames], ...]; a class is a name or an index into `options.classes`."""
    found = []
    for name, runs in read_json(path, "NAME: [[class, frames], ...]", dict).items():
        if not isinstance(runs, list) or "/" in name or "\\" in name:
            raise InputError(path, f"{name!r}: {str(runs)[:40]}; expected a name and its list of [class, frames]")
        spans: list[Span] = []
        start = 0
        for number, run in enumerate(runs):
            where = f"{path}, {name!r}, run {number}"
            if not isinstance(run, list) or len(run) != 2 or type(run[1]) is not int or run[1] < 1:
                raise InputError(where, f"{run!r}; expected [class, frames]")
            spans.append(Span(start, start + run[1], _class_name(where, run[0], options.classes), where))
            start += run[1]
        found.append(Annotation(name, tuple(spans), "frames", str(path), options.fps))
    return found


def _class_name(where: str, value: Any, classes: Sequence[str]) -> str:
    if isinstance(value, str):
        return value
    if type(value) is int and 0 <= value < len(classes):
        return classes[value]
    indices, todo = (f" (0 to {len(classes) - 1})", "") if classes else ("", "give the names with --mapping")
    raise InputError(where, f"class {value!r}; expected a name or an index into the mapping{indices}", todo)
