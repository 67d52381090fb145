"""What the files that read and write formats share: seconds, frame rates, JSON."""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.core.arguments import number_of
from fact_clip.core.errors import FileLocation, GapError
from fact_clip.core.io import is_number, parse_json, read_text
from fact_clip.core.messages import is_name

COLUMNS = ("start", "stop", "start_seconds", "stop_seconds", "action", "confidence")


def library(path: Path, module: str, package: str, extra: str) -> Any:
    """A module of an extra of ours; an InputError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(path, f"{package} is not installed", f"pip install 'fact-clip[{extra}]'") from None


def cells(segmentation: Segmentation, segments: Iterable[Segment]) -> Iterator[tuple[Any, ...]]:
    """The cells of each of its `segments` under `COLUMNS`; None if there are no seconds or no confidence."""
    for each in segments:
        times = segmentation.seconds(each.start), segmentation.seconds(each.stop)
        yield each.start, each.stop, *times, each.label, each.confidence


def timed(path: Path, segmentation: Segmentation) -> Iterator[tuple[float, float, Segment]]:
    """(start, stop, segment) in seconds, without background; an InputError if there are no seconds."""
    for segment in segmentation.foreground:
        start, stop = segmentation.seconds(segment.start), segmentation.seconds(segment.stop)
        if start is None or stop is None:
            raise _no_seconds(path)
        yield start, stop, segment


def length(path: Path, segmentation: Segmentation) -> float:
    """Seconds at which the video ends; an InputError if there are no seconds."""
    end = segmentation.seconds(segmentation.n_frames)
    if end is None:
        raise _no_seconds(path)
    return end


def _no_seconds(path: Path) -> InputError:
    todo = "set the frame rate (data.fps), or write .csv, .json or .txt"
    return InputError(path, "no frame rate and no frame times; expected seconds for this format", todo)


def mean_rate(segmentation: Segmentation) -> float | None:
    """Frames per second: `fps`, else the mean over the frame times; None if neither is known."""
    if segmentation.fps is None and segmentation.times is not None:
        return segmentation.n_frames / (segmentation.times[-1] - segmentation.times[0])
    return segmentation.fps


def picture_rate(segmentation: Segmentation) -> float | None:
    """Pictures per second of the video; where they are unknown, or no seconds are known, `mean_rate`."""
    rate = mean_rate(segmentation)
    return rate if rate is None else segmentation.video_fps or rate


def picture(segmentation: Segmentation, frame: int) -> int:
    """The number of the video's picture, from 0, that starts nearest to a frame (of two the later).

    The frame itself where the rate of the video or the seconds are unknown.
    """
    seconds = segmentation.seconds(frame)
    if seconds is None or segmentation.video_fps is None:
        return frame
    # the rounding of a rate and of its product must not decide on a half
    return math.floor(seconds * segmentation.video_fps + 0.5 + 1e-9)


def milliseconds(path: Path, segmentation: Segmentation) -> list[tuple[int, int, Segment]]:
    """(start, stop, segment) in whole milliseconds, without background; a shorter one is an InputError."""
    cues = []
    for *times, segment in timed(path, segmentation):
        start, stop = (round(1000 * time) for time in times)
        if start == stop:
            raise InputError(
                path, f"segment {segment.label!r} at {start} ms without length; expected a millisecond or more"
            )
        cues.append((start, stop, segment))
    return cues


def one_line(path: Path, label: str) -> str:
    """The label; an InputError if it is blank or has a line end, a tab or another sign that cannot be seen."""
    if not is_name(label):
        raise InputError(path, f"label {label!r}; expected a name of one line, without tabs", "write .csv or .json")
    return label


# What a spreadsheet takes for the start of a formula, after any number of our marks.
_FORMULA = re.compile("'*[=+\\-@\t\r]")


def no_formula(text: str) -> str:
    """A name for a cell that a spreadsheet shows and never computes: with a "'" before "=", "+", "-", "@".

    `without_mark` takes it away again.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def without_mark(text: str) -> str:
    """The name of a cell of `no_formula`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def rate_of(times: Iterable[tuple[int, float]]) -> float | None:
    """The frame rate behind pairs of (frame, seconds) that `Segmentation.seconds` computed; None if there is none.

    Division rounds, so several rates may give exactly these seconds. The one with the fewest decimals is taken
    (15, 29.97), then a film rate (30000/1001). Uneven frame times and seconds written by hand have none.
    """
    pairs = [(frame, time) for frame, time in times if frame > 0]
    if not pairs or any(time <= 0 for _, time in pairs):
        return None
    frame, time = max(pairs)
    near = frame / time
    rounded = [round(near, decimals) for decimals in range(18)]
    close = [near + steps * math.ulp(near) for steps in (0, -1, -2, -3, -4, 1, 2, 3, 4)]
    rates = [*rounded[:4], 24000 / 1001, 30000 / 1001, 60000 / 1001, *rounded[4:], *close]
    return next((rate for rate in rates if rate > 0 and all(frame / rate == time for frame, time in pairs)), None)


def segment_at(where: str, start: int, stop: int, label: str, confidence: float | None) -> Segment:
    """A segment from a file; an InputError names the place `where` it stands."""
    if confidence is not None:
        number_of(confidence, f"{where}, confidence", "a number from 0 to 1", 0, 1)
    try:
        return Segment(start, stop, label, confidence)
    except InputError as error:
        raise InputError(where, error.problem) from None


@dataclass(frozen=True)
class Gaps:
    """What the frames are that a file leaves out."""

    background: str | None = None  # their label; None: there may be none
    n_frames: int | None = None  # length of the video; None: to the last segment

    def filled(self, path: Path, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """The segments of a file, in order, with background between them and up to the end of the video."""
        if self.background is None:
            return tuple(segments)
        found, end = list[Segment](), 0
        for segment in segments:
            if segment.start > end:
                found.append(Segment(end, segment.start, self.background))
            found.append(segment)
            end = segment.stop
        if self.n_frames is not None and end > self.n_frames:
            raise InputError(path, f"segments to frame {end}; expected a video of {self.n_frames} frames")
        if self.n_frames is not None and end < self.n_frames:
            found.append(Segment(end, self.n_frames, self.background))
        return tuple(found)


def gapless(
    path: Path, segments: Sequence[Segment], fps: float | None, gaps: Gaps, times: list[float] | None = None
) -> Segmentation:
    """A segmentation from a file; an InputError names the file if there is a gap or an overlap."""
    try:
        return Segmentation(gaps.filled(path, segments), fps, None if times is None else tuple(times))
    except InputError as error:
        if error.path == path:
            raise
        # what a file without background lacks
        lost = gaps.background is None and (not segments or isinstance(error, GapError))
        todo = "name the background that was left out: load(path, background=...)" if lost else error.fix
        raise InputError(FileLocation(path, part=str(error.where)), error.problem, todo) from None


def media_of(segmentation: Segmentation) -> str:
    """The video that a file must name: its path, or what `save` put in its place; "video" where nothing is known."""
    return segmentation.media or "video"


def video_name(media: str) -> str:
    """Name of a video file without its folder (of any system), address and ending."""
    return PureWindowsPath(media.split("?")[0]).stem


def name_of(path: Path) -> str:
    """The video that a file of annotations is about, by its name without the ending ("take.1.boris.tsv": "take.1")."""
    return re.sub(r"\.(boris|via|label-studio)$", "", path.stem)


_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}
T = TypeVar("T")


def typed(value: object, kind: type[T], where: str, what: str) -> T:
    """A part of a JSON file, `what` it is called there; an InputError where it is of another type than `kind`."""
    if not isinstance(value, kind):
        found = repr(value)
        raise InputError(where, f"{what} is {found[:60]}{'...' * (len(found) > 60)}; expected {_KINDS[kind]}")
    return value


def number(value: object, where: str, what: str) -> float:
    """A part of a JSON file that is a finite number, or a text of one; else an InputError."""
    if isinstance(value, str):
        return seconds(where, value, what)
    if not is_number(value):
        raise InputError(where, f"{what} is {value!r}; expected a finite number")
    return float(value)  # type: ignore[arg-type]


_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]+):([0-9]{1,2}(?:\.[0-9]*)?)")


def seconds(where: str, text: str, column: str) -> float:
    """A number in decimal digits, or a time written 00:01:02.5; an InputError names the column.

    A time of four parts is none, since its last may count frames.
    """
    clean = text.strip()
    if _NUMBER.fullmatch(clean):
        total = float(clean)
    elif (clock := _CLOCK.fullmatch(clean)) and float(clock[3]) < 60 and (clock[1] is None or int(clock[2][-9:]) < 60):
        total = 3600.0 * float(clock[1] or 0) + 60.0 * float(clock[2]) + float(clock[3])
    elif clean.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        total = math.nan
    else:
        found = f"{column} is {text!r}" if clean else f"{column} is empty"
        raise InputError(where, f"{found}; expected a number with a decimal point, or 00:00:00.0")
    if not math.isfinite(total):
        raise InputError(where, f"{column} is {text!r}; expected a finite number")
    return total


def read_json(path: Path, expected: str, kind: type = object) -> Any:
    """The content of a JSON file of the given `kind` (dict, list); an InputError says what was `expected`."""
    tree = parse_json(read_text(path), path, expected)
    if not isinstance(tree, kind):
        raise InputError(path, f"a {type(tree).__name__}; expected {expected}")
    return tree


def write_json(path: Path, tree: Any, indent: int = 1) -> None:
    """Write a JSON file, names as they are."""
    path.write_text(json.dumps(tree, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
