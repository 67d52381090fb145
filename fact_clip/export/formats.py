"""What a file format is, and how every format reads a rate or a number back."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
        read: file -> segmentation; None where the format cannot be read back.
        note: one line for people.
    """

    write: Callable[[Segmentation, Path], None]
    read: Callable[[Path], Segmentation] | None
    note: str


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend a name beside `path` to write to, and rename it to `path` when all went well.

    Folders on the way are made. After a failure nothing new lies there, and an older file is as it was.

    Raises:
        InputError: the place cannot be written to.
    """
    # the number of the process keeps two writers of one file apart; the suffix stays, as writers look at it
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror})", "a place to write to") from None


def seconds(frame: int, fps: float | None) -> float | None:
    """Time at which a frame starts; None where nobody knows the frame rate."""
    return None if fps is None else frame / fps


def rate_of(times: Iterable[tuple[int, float]]) -> float | None:
    """The frame rate that lies behind pairs of frame and seconds, as :func:`seconds` made them.

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


def read_text(path: Path) -> str:
    """The text of a file; a missing or unreadable one is an InputError."""
    try:
        # bytes, because text mode would change line ends inside quoted names
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "a file of segments") from None
    except UnicodeDecodeError:
        raise InputError(path, "not UTF-8 text", "a file of segments") from None


def gapless(path: Path, segments: list[Segment], fps: float | None) -> Segmentation:
    """A segmentation of what a file holds; a gap or an overlap is an InputError that names the file."""
    try:
        return Segmentation(tuple(segments), fps)
    except InputError as error:
        raise InputError(path, f"{error.where}: {error.found}", error.expected, error.todo) from None
