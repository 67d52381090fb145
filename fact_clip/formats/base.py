"""What a file format is, and what the files that read and write formats share."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path, PureWindowsPath
from typing import Any

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.core.files import read_text
from fact_clip.formats.annotations import Reader

Row = tuple[str, Mapping[str, str]]  # file:line, and the cells by column

# Rates of film and broadcast that no short decimal writes exactly.
_FILM_RATES = (24000 / 1001, 30000 / 1001, 60000 / 1001)


@dataclass(frozen=True)
class Format:
    """One way to keep a segmentation in a file.

    Args:
        ending: end of the file names.
        write: writes a segmentation to a file.
        read: reads back what `write` wrote; None where the file does not keep the frames.
        annotations: reads the files of the tool as annotations, which may have gaps and overlaps; None: not read.
        needs_media: the file must name a video; `save` gives it the name of the file if the segmentation has none.
    """

    ending: str
    write: Callable[[Segmentation, Path], None]
    read: Callable[[Path], Segmentation] | None = None
    annotations: Reader | None = None
    needs_media: bool = True


def span(path: Path, segmentation: Segmentation, segment: Segment) -> tuple[float, float]:
    """Start and stop of a segment in seconds; an InputError if neither frame times nor a frame rate are known."""
    start, stop = segmentation.seconds(segment.start), segmentation.seconds(segment.stop)
    if start is None or stop is None:
        todo = "set the frame rate (data.fps), or write .csv, .json or .txt"
        raise InputError(path, "no frame rate and no frame times", "seconds for this format", todo)
    return start, stop


def mean_rate(segmentation: Segmentation) -> float | None:
    """Frames per second: `fps`, else the mean over the frame times; None if neither is known."""
    if segmentation.fps is None and segmentation.times is not None:
        return segmentation.n_frames / (segmentation.times[-1] - segmentation.times[0])
    return segmentation.fps


def milliseconds(path: Path, segmentation: Segmentation) -> list[tuple[int, int, Segment]]:
    """Each segment with its start and stop in whole milliseconds; each stop is the next start.

    Raises:
        InputError: neither frame times nor a rate are known, or a segment is shorter than a millisecond.
    """
    cues = []
    for segment in segmentation:
        start, stop = (round(1000 * time) for time in span(path, segmentation, segment))
        if start == stop:
            raise InputError(path, f"segment {segment.label!r} at {start} ms without length", "a millisecond or more")
        cues.append((start, stop, segment))
    return cues


def one_line(path: Path, label: str) -> str:
    """The label; an InputError if it is blank or contains a line end or a tab."""
    if not label.strip() or any(sign in label for sign in "\n\r\t"):
        raise InputError(path, f"label {label!r}", "a name of one line, without tabs", "write .csv or .json")
    return label


def now() -> str:
    """The current date and time in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def rate_of(times: Iterable[tuple[int, float]]) -> float | None:
    """The frame rate behind pairs of (frame, seconds) that `Segmentation.seconds` computed; None if there is none.

    The division loses the last digit of a double, so several rates may give exactly these seconds. Of those, the one
    with the fewest decimals is taken (15, 29.97), then a film rate (30000/1001). None means that the seconds come
    from uneven frame times, or were written by hand.
    """
    pairs = [(frame, time) for frame, time in times if frame > 0]
    if not pairs or any(time <= 0 for _, time in pairs):
        return None
    frame, time = max(pairs)
    near = frame / time
    rounded = (round(near, decimals) for decimals in range(4))
    fine = (round(near, decimals) for decimals in range(4, 18))
    close = (near + steps * math.ulp(near) for steps in (0, -1, -2, -3, -4, 1, 2, 3, 4))
    for rate in chain(rounded, _FILM_RATES, fine, close):
        if rate > 0 and all(frame / rate == time for frame, time in pairs):
            return rate
    return None


def segment_at(where: str, start: int, stop: int, label: str, confidence: float | None) -> Segment:
    """A segment from a file; an InputError names the place `where` it stands."""
    try:
        return Segment(start, stop, label, confidence)
    except InputError as error:
        raise InputError(where, error.found, error.expected) from None


def gapless(path: Path, segments: list[Segment], fps: float | None, times: list[float] | None = None) -> Segmentation:
    """A segmentation from a file; an InputError names the file if there is a gap or an overlap."""
    try:
        return Segmentation(tuple(segments), fps, None if times is None else tuple(times))
    except InputError as error:
        raise InputError(path, f"{error.where}: {error.found}", error.expected, error.todo) from None


def video_name(media: str) -> str:
    """Name of a video file without its folder (of any system), address and ending."""
    name = PureWindowsPath(media.split("?")[0]).name
    return name.rpartition(".")[0] or name


def seconds(where: str, text: str, column: str) -> float:
    """A number, or a time written 00:01:02.5; an InputError names the column."""
    total = 0.0
    try:
        for part in text.strip().split(":"):
            total = 60 * total + float(part)
    except ValueError:
        raise InputError(where, f"{column} is {text or 'empty'!r}", "a number or 00:00:00.0") from None
    return total


def table(path: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of a text table with a header, separated by commas, semicolons or tabs.

    The header is the first line that has all of `columns`; BORIS writes other lines before it.

    Raises:
        InputError: the file cannot be read, a column is missing, or a row has more or fewer cells than the header.
    """
    lines = io.StringIO(read_text(path), newline="")
    header_line, missing = 0, list(columns)
    for header in lines:
        header_line += 1
        separator = max("\t;,", key=header.count)
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        missing = min(missing, [column for column in columns if column not in names], key=len)
        if any(names) and not missing:
            break
    else:
        found = f"no column {missing[0]!r}" if missing else "no rows"
        raise InputError(path, found, f"columns {', '.join(columns)}" if columns else "a header")
    rows = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for cells in rows:
            where = f"{path}:{header_line + rows.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(names):
                raise InputError(where, f"{len(cells)} cells", f"{len(names)}, as in the header")
            yield where, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        where = f"{path}:{header_line + rows.line_num}"
        raise InputError(where, f"not a table ({error})", "one row per line") from None


def read_json(path: Path, expected: str, kind: type = object) -> Any:
    """The content of a JSON file; an InputError if it is not JSON, or not of the `kind` (dict, list)."""
    try:
        tree = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}", f"not JSON ({error.msg})", expected) from None
    if not isinstance(tree, kind):
        raise InputError(path, f"a {type(tree).__name__}", expected)
    return tree
