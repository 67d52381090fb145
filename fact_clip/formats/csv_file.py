"""CSV: one segment a row, with frames and seconds; opens in any spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.core.files import read_text
from fact_clip.formats.base import Format, gapless, rate_of

COLUMNS = ("start", "stop", "start_seconds", "stop_seconds", "action", "confidence")


def write(segmentation: Segmentation, path: Path) -> None:
    """One row a segment under `COLUMNS`; numbers in full precision, empty where there is no rate or confidence."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # with \r\n at line ends csv quotes either character inside a name
        rows = csv.writer(file, lineterminator="\r\n")
        rows.writerow(COLUMNS)
        for segment in segmentation:
            times = segmentation.seconds(segment.start), segmentation.seconds(segment.stop)
            rows.writerow([segment.start, segment.stop, *times, segment.label, segment.confidence])


def read(path: Path) -> Segmentation:
    """What `write` wrote; the frame rate comes from the seconds (`formats.rate_of`), frame times are not kept.

    Raises:
        InputError: no such file, a missing column, a cell that is no number (file:line), a gap or an overlap.
    """
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    segments: list[Segment] = []
    times: list[tuple[int, float]] = []
    try:
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise InputError(path, f"no column {missing[0]!r}", f"the columns {', '.join(COLUMNS)}")
        for row in rows:
            where = f"{path}:{rows.line_num}"
            segments.append(_segment(where, row))
            if row["stop_seconds"]:
                times.append((segments[-1].stop, _number(where, row, "stop_seconds")))
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num}", f"not CSV ({error})", f"the columns {', '.join(COLUMNS)}") from None
    return gapless(path, segments, rate_of(times))


def _segment(where: str, row: Mapping[str, str | None]) -> Segment:
    start, stop = _number(where, row, "start"), _number(where, row, "stop")
    if not (start.is_integer() and stop.is_integer()):
        raise InputError(where, f"frames {row['start']} to {row['stop']}", "whole frame numbers")
    confidence = _number(where, row, "confidence") if row["confidence"] else None
    try:
        return Segment(int(start), int(stop), row["action"] or "", confidence)
    except InputError as error:
        raise InputError(where, error.found, error.expected) from None


def _number(where: str, row: Mapping[str, str | None], column: str) -> float:
    try:
        return float(row[column] or "")
    except ValueError:
        raise InputError(where, f"{column} is {row[column] or 'empty'!r}", "a number") from None


FORMAT = Format(write, read, "one segment a row, frames and seconds")
