"""JSONL: one JSON object a segment and line; for pipelines that read line by line."""

from __future__ import annotations

import json
from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.core.files import is_number, read_text
from fact_clip.formats.base import Format, gapless, rate_of
from fact_clip.formats.json_file import read_segment, segment_dict


def write(segmentation: Segmentation, path: Path) -> None:
    """The objects of JSON's `segments`, one a line."""
    lines = [json.dumps(segment_dict(segmentation, segment), ensure_ascii=False) + "\n" for segment in segmentation]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def read(path: Path) -> Segmentation:
    """What `write` wrote; the frame rate comes from the seconds (`formats.rate_of`), frame times are not kept.

    Raises:
        InputError: no such file, a line that is not JSON or lacks a key (file:line), a gap or an overlap.
    """
    segments, times = [], []
    # not splitlines: JSON may hold other line ends of Unicode as they are
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(where, f"not JSON ({error.msg})", "one segment a line") from None
        segments.append(read_segment(where, entry))
        if is_number(entry.get("stop_seconds")):
            times.append((segments[-1].stop, float(entry["stop_seconds"])))
    return gapless(path, segments, rate_of(times))


FORMAT = Format(write, read, "one JSON object a segment and line")
