"""Seconds, frame rates and numbers of video frames in files."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator

from fact_clip.core import FileLocation, InputError, Segment, Segmentation, library_errors
from fact_clip.core.arguments import is_number
from fact_clip.core.clock import ROUNDING
from fact_clip.formats.base import written_segments

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CLOCK = re.compile(r"(?:([0-9]+):(?=[0-5]?[0-9]:))?([0-9]+):([0-5]?[0-9](?:\.[0-9]*)?)")


def _number(value: object) -> object:
    """Convert a string to seconds: digits, or 00:01:02.5.

    A fourth part (00:00:00:00) is rejected, because its unit is unknown.
    """
    if not isinstance(value, str):
        return value
    digits = value.strip()
    if not digits:
        raise ValueError("empty")
    clock = _CLOCK.fullmatch(digits)
    if clock is not None:
        return 3600.0 * float(clock[1] or 0) + 60.0 * float(clock[2]) + float(clock[3])
    if not _NUMBER.fullmatch(digits):
        raise ValueError(f"{value!r} is neither a decimal number nor a time such as 00:00:00.0")
    return float(digits)


Number = Annotated[float, BeforeValidator(_number)]
"""A number in a JSON file of a different tool, which may be in quotes."""


def parse_seconds(where: FileLocation, value: object, column: str) -> float:
    """Convert a finite number, or a string with a number (see `_number`), to a float.

    Args:
        where: Location, for errors.
        value: Number.
        column: Name of the column or key, for errors.

    Returns:
        The number.
    """
    with library_errors(where, f"{column} cannot be read", ValueError):
        number = _number(value)
        if not is_number(number):
            raise ValueError(f"{value!r}")
    return float(number)  # type: ignore[arg-type]


def second_of(segmentation: Segmentation, frame: int) -> float:
    """Return the second at which a frame starts. Raise an InputError if times are unknown."""
    time = segmentation.seconds(frame)
    if time is None:
        problem = "no frame rate and no frame times, but this format needs seconds"
        fix = "set the frame rate (data.fps), or write .csv, .json or .txt"
        raise InputError("segmentation", problem, fix)
    return time


def timed(segmentation: Segmentation) -> Iterator[tuple[float, float, Segment]]:
    """Yield (start, stop, segment) in seconds, without background."""
    for segment in written_segments(segmentation):
        start = second_of(segmentation, segment.start)
        yield start, second_of(segmentation, segment.stop), segment


def milliseconds(segmentation: Segmentation) -> list[tuple[int, int, Segment]]:
    """Return (start, stop, segment) in whole milliseconds, without background.

    A segment that is shorter than a millisecond raises an InputError.
    """
    cues = []
    for start_seconds, stop_seconds, segment in timed(segmentation):
        start = round(1000 * start_seconds)
        stop = round(1000 * stop_seconds)
        if start == stop:
            problem = f"segment {segment.label!r} at {start} ms is shorter than a millisecond"
            raise InputError("segmentation", problem)
        cues.append((start, stop, segment))
    return cues


def picture_rate(segmentation: Segmentation) -> float | None:
    """Return the frames per second of the video, or else the mean rate of the feature rows.

    Return None if neither times nor a rate of the rows are known.
    """
    rate = segmentation.fps
    if rate is None and segmentation.times is not None:
        rate = segmentation.n_frames / (segmentation.times[-1] - segmentation.times[0])
    if rate is None:
        return None
    return segmentation.video_fps or rate


def picture_grid(segmentation: Segmentation) -> float | None:
    """Return the rate of the evenly spaced video frames that the feature rows sample.

    Return None if the rate is unknown or if the rows are the video frames. Also return None if
    video frames are unevenly spaced, because their numbers would not determine their times.
    """
    rate = segmentation.video_fps
    if rate is None or segmentation.times is None:
        return rate
    *starts, end = segmentation.times
    times = np.array(starts)
    are_pictures = abs(rate * (end - starts[0]) - len(starts)) < 1
    # A sampled row starts with a video frame, or at the rate of the rows.
    distances = np.abs(times - np.round(times * rate) / rate)
    if segmentation.fps is not None:
        own_distances = np.abs(times - np.arange(len(times)) / segmentation.fps)
        distances = np.minimum(distances, own_distances)
    is_even = bool((distances < ROUNDING).all())
    return rate if is_even and not are_pictures else None


def picture(segmentation: Segmentation, frame: int, grid: float | None) -> int:
    """Return the number, from 0, of the video frame that starts nearest to a feature row.

    Args:
        segmentation: Segmentation with the times of the rows.
        frame: Number of the row.
        grid: Rate of the video frames (`picture_grid`), or None if they are the rows themselves.
    """
    time = segmentation.seconds(frame)
    if time is None or grid is None:
        return frame
    # Rounding errors of a rate and its product must not change the result at a half.
    return math.floor(time * grid + 0.5 + 1e-9)


def rate_of(
    times: Iterable[tuple[int, float]], is_alike: Callable[[float, float], bool] = operator.eq
) -> float | None:
    """Return the frame rate behind pairs of (frame, seconds).

    The seconds are frame / rate, rounded to the nearest float. Therefore, frame / seconds equals
    the rate except for the last digits, and several neighbouring floats may give exactly the same
    seconds. Candidates are tried in the order in which people write rates, and the first one that
    gives *all* seconds exactly is returned. The order is the quotient rounded to 0 to 3 decimals
    (15, 29.97), broadcast rates (30000/1001), the quotient rounded to more decimals, and the four
    floats above and below it. The largest frame has the most precise quotient.

    Args:
        times: Pairs (frame, seconds) of `Segmentation.seconds`.
        is_alike: Function that compares the seconds of a rate with the seconds in a file. It may
            allow a difference if a program wrote fewer digits.

    Returns:
        The rate, or None if no rate gives these seconds.
    """
    pairs = list(times)
    last_frame, last_time = max(pairs, default=(0, 0.0))
    if last_frame <= 0 or last_time <= 0:
        return None
    quotient = last_frame / last_time
    rounded = [round(quotient, decimals) for decimals in range(18)]
    film = [24000 / 1001, 30000 / 1001, 60000 / 1001]
    neighbours = [
        quotient + steps * math.ulp(quotient) for steps in (0, -1, -2, -3, -4, 1, 2, 3, 4)
    ]
    for rate in [*rounded[:4], *film, *rounded[4:], *neighbours]:
        if rate > 0 and all(is_alike(frame / rate, time) for frame, time in pairs):
            return rate
    return None
