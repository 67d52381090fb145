"""What a file format is, and how every format reads a rate or a number back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from fact_clip.core import InputError, Segment, Segmentation

# Rates that film and broadcast use and that no short decimal writes exactly.
_FILM_RATES = (24000 / 1001, 30000 / 1001, 60000 / 1001)


@dataclass(frozen=True)
class Format:
    """One way to keep a segmentation in a file.

    Args:
        write: (segmentation, file) -> None; writes the whole file.
        read: file -> segmentation; None where frames cannot be read back (`fact-clip data convert` reads the
            annotations of several such tools on the frames of the features).
        note: one line for people.
        needs_media: it cannot do without the name of a video; :func:`fact_clip.export.save` gives it the file's own.
    """

    write: Callable[[Segmentation, Path], None]
    read: Callable[[Path], Segmentation] | None
    note: str
    needs_media: bool = True


def span(path: Path, segmentation: Segmentation, segment: Segment) -> tuple[float, float]:
    """Seconds at which a segment starts and stops; an InputError where neither frame times nor a rate are known."""
    start, stop = segmentation.seconds(segment.start), segmentation.seconds(segment.stop)
    if start is None or stop is None:
        todo = "set the frame rate (data.fps), or write .csv, .json or .txt"
        raise InputError(path, "no frame rate and no frame times", "seconds for this format", todo)
    return start, stop


def mean_rate(segmentation: Segmentation) -> float | None:
    """Frames a second: `fps`, else the mean over the frame times; None where neither is known."""
    if segmentation.fps is None and segmentation.times is not None:
        return segmentation.n_frames / (segmentation.times[-1] - segmentation.times[0])
    return segmentation.fps


def milliseconds(path: Path, segmentation: Segmentation) -> list[tuple[int, int, Segment]]:
    """Start and stop of each segment in whole milliseconds; neighbours still meet.

    Raises:
        InputError: no seconds are known, or a segment shorter than a millisecond.
    """
    cues = []
    for segment in segmentation:
        start, stop = (round(1000 * time) for time in span(path, segmentation, segment))
        if start == stop:
            raise InputError(path, f"segment {segment.label!r} at {start} ms without length", "a millisecond or more")
        cues.append((start, stop, segment))
    return cues


def one_line(path: Path, label: str) -> str:
    """The label; one that is blank or has line ends or tabs in it is an InputError."""
    if not label.strip() or any(sign in label for sign in "\n\r\t"):
        raise InputError(path, f"label {label!r}", "a name of one line, without tabs", "write .csv or .json")
    return label


def now() -> str:
    """Date and time now, as ISO 8601 in universal time."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def rate_of(times: Iterable[tuple[int, float]]) -> float | None:
    """The frame rate that lies behind pairs of frame and seconds, as `Segmentation.seconds` made them.

    A double's last digit is lost in the division, so of the rates that give exactly these seconds the one with the
    fewest decimals is taken (15, 29.97), then a film rate (30000/1001). None where no single rate does, which is a
    file written by hand.
    """
    pairs = [(frame, time) for frame, time in times if frame > 0]
    if not pairs or any(time <= 0 for _, time in pairs):
        return None
    frame, time = max(pairs)
    near = frame / time
    rounded = (round(near, decimals) for decimals in range(4))
    fine = (round(near, decimals) for decimals in range(4, 18))
    for rate in chain(rounded, _FILM_RATES, fine, _neighbours(near, steps=4)):
        if rate > 0 and all(frame / rate == time for frame, time in pairs):
            return rate
    return None


def _neighbours(value: float, steps: int) -> list[float]:
    below, above = [value], [value]
    for _ in range(steps):
        below.append(math.nextafter(below[-1], 0.0))
        above.append(math.nextafter(above[-1], math.inf))
    return below + above


def gapless(path: Path, segments: list[Segment], fps: float | None, times: list[float] | None = None) -> Segmentation:
    """A segmentation of what a file holds; a gap or an overlap is an InputError that names the file."""
    try:
        return Segmentation(tuple(segments), fps, None if times is None else tuple(times))
    except InputError as error:
        raise InputError(path, f"{error.where}: {error.found}", error.expected, error.todo) from None
