"""What formats share: annotations with gaps and overlaps, the way to one label per frame; seconds, rates, tables."""

from __future__ import annotations

import csv
import importlib
import io
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.core.arguments import check_name, is_number
from fact_clip.core.clock import Clock
from fact_clip.core.errors import FileLocation, GapError, Location, library_errors
from fact_clip.core.io import read_text
from fact_clip.core.messages import is_name, join_names
from fact_clip.core.segments import LEAST_FPS, MAX_FRAMES, MOST_FPS

logger = logging.getLogger(__name__)

Unit = Literal["seconds", "frames"]
LATEST = 1e9  # seconds (30 years) or frames; an end that is later is no end of a video
OURS = "action"  # the tier, attribute or control that our writers use
BACKGROUND = "background"  # label of gaps that nobody named
_REMARK = "background: "  # begins the remark of our writers that names what they left out


@dataclass(frozen=True)
class Options:
    """What a reader must be told where the file leaves it open."""

    tier: str | None = (
        None  # of several tiers (ELAN), subjects (BORIS), attributes (VIA), controls (Label Studio)
    )
    unit: Unit | None = None  # of the columns `start` and `stop` (CSV)
    fps: float | None = (
        None  # of the frame numbers; None: as the file says, else the rate of the features
    )
    classes: tuple[str, ...] = ()  # names by index (run-length JSON)
    verbs: Path | None = None  # the class files of Epic-Kitchens, both or neither
    nouns: Path | None = None
    decimal: Literal[".", ","] = "."  # in the times (CSV)
    skip_bad: bool = False  # leave out rows that cannot be read (CSV)


@dataclass(frozen=True)
class Span:
    """A labelled stretch `[start, stop)` in the unit of its annotation; it may be empty. Errors name `where`."""

    start: float
    stop: float
    label: str
    where: FileLocation = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label.strip())
        if not 0 <= self.start <= self.stop <= LATEST:  # NaN is not
            problem = f"{self.label!r} from {self.start:g} to {self.stop:g}"
            raise InputError(
                self.where,
                problem,
                f"give times from 0 to {LATEST:,.0f}, the start before the stop",
            )
        check_name(self.label, self.where)


@dataclass(frozen=True)
class Annotation:
    """What a file says about one video."""

    name: str  # of the video, without folder and ending
    spans: tuple[Span, ...]  # in any order, with gaps and overlaps
    unit: Unit
    path: Path  # the file, for error messages
    fps: float | None = None  # of the frame numbers; None: they are frames of the features
    end: float | None = None  # length of the video in `unit`, if the file tells it
    background: str | None = None  # label of what lies between the spans, if the file tells it

    def __post_init__(self) -> None:
        if self.fps is not None and not LEAST_FPS <= self.fps <= MOST_FPS:
            raise InputError(self.path, f"{self.fps:g} frames a second", "set --source-fps")
        if self.end is not None and not 0 <= self.end <= LATEST:
            raise InputError(self.path, f"the length of {self.name!r} is {self.end:g}")
        if self.background is not None:
            check_name(self.background, self.path)


@dataclass(frozen=True)
class Frames:
    """One label per frame, and what was decided on the way."""

    labels: list[str]  # (T,) names
    gaps: int  # frames without a segment
    contested: int  # frames that segments of different labels claimed
    lost: int  # segments that got no frame, because they are too short or others cover them
    background: str = BACKGROUND  # label of the gaps


Reader = Callable[[Path, Options], list[Annotation]]


def remark(segmentation: Segmentation) -> str:
    """Return what a file says of the background that it leaves out, for a field of free text; "" if there is none."""
    return f"{_REMARK}{segmentation.background[0]}" if segmentation.background else ""


def read_remark(text: object) -> str | None:
    """Return the background of a `remark`; None for any other text."""
    return (
        text.removeprefix(_REMARK) if isinstance(text, str) and text.startswith(_REMARK) else None
    )


def to_frames(annotation: Annotation, clock: Clock, background: str | None = None) -> Frames:
    """Return one label per frame of the features.

    A segment takes the frames between the boundaries nearest to its ends. **Where segments overlap, the one that
    started last gets the frame; if they started together, the shorter one.** Frames without a segment are `background`,
    else what the file says. Segments may reach 10 frames or 1 % beyond the end and are cut off there; more is an
    InputError.
    """
    spans = sorted(annotation.spans, key=lambda span: (span.start, -span.stop))
    starts = _cuts(annotation, [span.start for span in spans], clock)
    stops = _cuts(annotation, [span.stop for span in spans], clock)
    reach = int(stops.max(initial=0))
    n_frames = clock.n_frames
    if n_frames is None:
        end = int(_cuts(annotation, [annotation.end or 0], clock)[0])
        # a stop may be a moment after the end that the file tells, but one far from it is a mistake
        n_frames = max(reach, end) if not end or reach <= last_frame(end) else end
    if not 1 <= n_frames <= MAX_FRAMES or reach > last_frame(n_frames):
        problem = f"segments of {annotation.name!r} up to frame {reach:,} of {min(n_frames, MAX_FRAMES):,}"
        raise InputError(
            annotation.path, problem, "check --fps, --source-fps and the unit of the times"
        )
    owner = np.full(n_frames, -1, dtype=np.int64)
    contested = np.zeros(n_frames, dtype=bool)
    names = np.array([span.label for span in spans], dtype=object)
    for index, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        under = owner[start:stop]
        contested[start:stop] |= (under >= 0) & (names[under] != names[index])
        owner[start:stop] = index
    lost = len(spans) - int((np.unique(owner) >= 0).sum())
    gap = (background or annotation.background or BACKGROUND).strip()
    labels = [gap if index < 0 else spans[index].label for index in owner]
    return Frames(labels, int((owner < 0).sum()), int(contested.sum()), lost, gap)


def last_frame(n_frames: int) -> int:
    """Return the last frame to which the segments of a video may reach."""
    return n_frames + max(n_frames // 100, 10)


def _cuts(annotation: Annotation, values: Sequence[float], clock: Clock) -> NDArray[np.int64]:
    """Return the frame boundaries of times in the annotation's unit."""
    if annotation.unit == "seconds":
        return clock.frames(values, annotation.path)
    if annotation.fps is not None and (clock.fps is not None or clock.times is not None):
        return clock.frames([value / annotation.fps for value in values], annotation.path)
    fraction = next((value for value in values if value != int(value)), None)
    if fraction is not None:
        raise InputError(
            annotation.path, f"frame {fraction:g} is not a whole number", "or are these seconds?"
        )
    return np.asarray(values, dtype=np.int64)


class TiersError(InputError):
    """Segments of several tiers, none of which was chosen; `tiers` are their names."""

    tiers: tuple[str, ...] = ()


def choose(where: Location | Path, kind: str, names: Iterable[str], tier: str | None) -> str:
    """Return the `tier` if given, else the only one of `names`, else `OURS`; a warning names what that leaves out."""
    candidates = list(dict.fromkeys(names))
    if not candidates:
        raise InputError(where, f"no {kind} with segments")
    chosen = tier if tier is not None else candidates[0] if len(candidates) == 1 else OURS
    if chosen not in candidates:
        problem = f"no {kind} {tier!r}" if tier is not None else f"segments of more than one {kind}"
        error = TiersError(
            where, problem, f"choose one with --tier: {join_names(map(repr, candidates))}"
        )
        error.tiers = tuple(candidates)
        raise error
    if tier is None and len(candidates) > 1:
        others = join_names(repr(name) for name in candidates if name != OURS)
        text = "%s: the segments of %s %s are left out, since there is %r; --tier chooses another"
        logger.warning(text, where, kind, others, OURS)
    return chosen


COLUMNS = ("start", "stop", "start_seconds", "stop_seconds", "action", "confidence")


def library(path: Path, module: str, package: str, extra: str) -> Any:
    """Import a module of an extra of ours; an InputError says how to install it."""
    with library_errors(
        path, f"{package} is not installed", ImportError, fix=f"pip install 'fact-clip[{extra}]'"
    ):
        return importlib.import_module(module)


def cells(segmentation: Segmentation, segments: Iterable[Segment]) -> Iterator[tuple[Any, ...]]:
    """Yield the cells of each of its `segments` under `COLUMNS`; None where there are no seconds or no confidence."""
    for segment in segments:
        times = segmentation.seconds(segment.start), segmentation.seconds(segment.stop)
        yield segment.start, segment.stop, *times, segment.label, segment.confidence


def timed(path: Path, segmentation: Segmentation) -> Iterator[tuple[float, float, Segment]]:
    """Yield (start, stop, segment) in seconds, without background; an InputError if there are no seconds."""
    for segment in segmentation.foreground:
        yield (
            second_of(path, segmentation, segment.start),
            second_of(path, segmentation, segment.stop),
            segment,
        )


def second_of(path: Path, segmentation: Segmentation, frame: int) -> float:
    """Return the second at which a frame starts; an InputError if there are no seconds."""
    time = segmentation.seconds(frame)
    if time is None:
        fix = "set the frame rate (data.fps), or write .csv, .json or .txt"
        raise InputError(
            path, "no frame rate and no frame times, but this format needs seconds", fix
        )
    return time


def picture_rate(segmentation: Segmentation) -> float | None:
    """Return the pictures per second of the video if its seconds are known, else the mean rate of the frames."""
    rate = segmentation.fps
    if rate is None and segmentation.times is not None:
        rate = segmentation.n_frames / (segmentation.times[-1] - segmentation.times[0])
    return rate if rate is None else segmentation.video_fps or rate


def picture(segmentation: Segmentation, frame: int) -> int:
    """Return the number of the video's picture, from 0, that starts nearest to a frame; else the frame itself."""
    time, rate = segmentation.seconds(frame), segmentation.video_fps
    if segmentation.times is not None:
        rate = picture_rate(segmentation)
    if time is None or rate is None:
        return frame
    return math.floor(
        time * rate + 0.5 + 1e-9
    )  # the rounding of a rate and of its product must not decide on a half


def milliseconds(path: Path, segmentation: Segmentation) -> list[tuple[int, int, Segment]]:
    """Return (start, stop, segment) in whole milliseconds, without background; a shorter one is an InputError."""
    cues = []
    for *times, segment in timed(path, segmentation):
        start, stop = (round(1000 * time) for time in times)
        if start == stop:
            raise InputError(
                path, f"segment {segment.label!r} at {start} ms is shorter than a millisecond"
            )
        cues.append((start, stop, segment))
    return cues


def one_line(path: Path, label: str) -> str:
    """Return the label; an InputError if it is blank or has a line end, a tab or another invisible character."""
    if not is_name(label):
        raise InputError(
            path, f"label {label!r} is not a name of one line, without tabs", "write .csv or .json"
        )
    return label


# What a spreadsheet takes for the start of a formula, after any number of our marks.
_FORMULA = re.compile("'*[=+\\-@\t\r]")


def no_formula(text: str) -> str:
    """Return a cell that a spreadsheet never computes: with a "'" before "=", "+", "-", "@" (`without_mark`)."""
    return f"'{text}" if _FORMULA.match(text) else text


def without_mark(text: str) -> str:
    """Return the name in a cell of `no_formula`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def rate_of(times: Iterable[tuple[int, float]]) -> float | None:
    """Return the frame rate behind pairs of (frame, seconds) of `Segmentation.seconds`; None if there is none.

    Division rounds, so several rates may give exactly these seconds. The one with the fewest decimals is taken (15,
    29.97), then a film rate (30000/1001).
    """
    pairs = [(frame, time) for frame, time in times if frame > 0]
    if not pairs or any(time <= 0 for _, time in pairs):
        return None
    frame, time = max(pairs)
    near = frame / time
    rounded = [round(near, decimals) for decimals in range(18)]
    close = [near + steps * math.ulp(near) for steps in (0, -1, -2, -3, -4, 1, 2, 3, 4)]
    rates = [*rounded[:4], 24000 / 1001, 30000 / 1001, 60000 / 1001, *rounded[4:], *close]
    return next(
        (rate for rate in rates if rate > 0 and all(frame / rate == time for frame, time in pairs)),
        None,
    )


@dataclass(frozen=True)
class Gaps:
    """What the frames are that a file leaves out."""

    background: str | None = None  # their label; None: there may be none
    n_frames: int | None = None  # length of the video; None: to the last segment

    def filled(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Return the segments of a file, in order, with background between them and up to the end of the video."""
        if self.background is None:
            return tuple(segments)
        filled, end = list[Segment](), 0
        for segment in segments:
            if segment.start > end:
                filled.append(Segment(end, segment.start, self.background))
            filled.append(segment)
            end = segment.stop
        if self.n_frames is not None and end < self.n_frames:
            filled.append(Segment(end, self.n_frames, self.background))
        return tuple(filled)


def gapless(
    path: Path, segments: Sequence[Segment], fps: float | None, gaps: Gaps, **values: Any
) -> Segmentation:
    """Return a segmentation with these values from a file; an InputError names the file, for a gap or an overlap."""
    segments = gaps.filled(segments)
    try:
        return Segmentation(segments, fps, **values)
    except InputError as error:
        # what a file without background lacks
        is_short = gaps.background is None and (not segments or isinstance(error, GapError))
        fix = (
            "name the background that was left out: load(path, background=...)"
            if is_short
            else error.fix
        )
        raise InputError(FileLocation(path, part=str(error.where)), error.problem, fix) from None


def video_name(media: str) -> str:
    """Return the name of a video file without its folder (of any system), address and ending."""
    return PureWindowsPath(media.split("?")[0]).stem


def name_of(path: Path) -> str:
    """Return the name of the video that an annotation file is about ("take.1.boris.tsv": "take.1")."""
    return re.sub(r"\.(boris|via|label-studio)$", "", path.stem)


_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CLOCK = re.compile(r"(?:([0-9]+):(?=[0-5]?[0-9]:))?([0-9]+):([0-5]?[0-9](?:\.[0-9]*)?)")


def _number(value: object) -> object:
    """Return the seconds of a text, in digits or as 00:01:02.5; of a fourth part nobody knows whether it is frames."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    clock = _CLOCK.fullmatch(text)
    if clock is None and not _NUMBER.fullmatch(text):
        raise ValueError(
            f"{value!r} is not a number with a decimal point, or a time as 00:00:00.0"
            if text
            else "empty"
        )
    if clock is None:
        return float(text)
    return 3600.0 * float(clock[1] or 0) + 60.0 * float(clock[2]) + float(clock[3])


Number = Annotated[float, BeforeValidator(_number)]
"""A number in a JSON file of another tool, which may stand in quotes."""


def seconds(where: FileLocation, value: object, column: str) -> float:
    """Return a finite number, or a text of one (`_number`); an InputError names the column or key."""
    with library_errors(where, f"{column} cannot be read", ValueError):
        if not is_number(number := _number(value)):
            raise ValueError(f"{value!r}")
    return float(number)  # type: ignore[arg-type]


def write_table(path: Path, rows: Iterable[Iterable[object]], end: str = "\r\n") -> None:
    """Write rows of cells as CSV, none of which a spreadsheet computes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # with \r\n as line end, csv quotes either character inside a name
        writer = csv.writer(file, lineterminator=end)
        writer.writerows(
            [no_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
        )


def write_json(path: Path, tree: Any, indent: int = 1) -> None:
    """Write a JSON file, names as they are."""
    path.write_text(json.dumps(tree, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


Row = tuple[FileLocation, Mapping[str, str]]  # where it stands, and the cells by column
Line = tuple[int, list[str]]  # its number, and its cells


def find_separator(line: str) -> str | None:
    """Return what separates the cells of a line: tabs, else semicolons, else commas; None where it has none of them."""
    return next((separator for separator in "\t;," if separator in line), None)


def read_lines(
    path: Path, expected: str, *, latin: bool = False, comment: str | None = None
) -> list[Line]:
    """Return the lines of a table, cut into stripped cells by the separator of the first line, else by white space."""
    lines = enumerate(read_text(path, expected, latin=latin).splitlines(), start=1)
    numbered = [(number, line) for number, line in lines if line.strip()]
    if comment is not None:
        numbered = [
            (number, line) for number, line in numbered if not line.lstrip().startswith(comment)
        ]
    separator = find_separator(numbered[0][1]) if numbered else None
    if separator is None:
        return [(number, line.split()) for number, line in numbered]
    table: list[Line] = []
    for number, line in numbered:
        with library_errors(FileLocation(path, number), "not a row of a table", csv.Error):
            (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
        table.append((number, [cell.strip() for cell in cells]))
    return table


def read_table(
    path: Path, columns: Sequence[str] = (), faults: list[InputError] | None = None
) -> Iterator[Row]:
    """Yield the rows of a table with a header, the first line that has all of `columns`.

    A row with more or fewer cells is an InputError, or, where `faults` is given, added there and left out.
    """
    lines = io.StringIO(read_text(path), newline="")
    for number, header in enumerate(lines, start=1):
        if re.match(r"\ufeff?sep=.\r?$", header):  # by which Excel is told the separator
            continue
        separator = find_separator(header) or ","
        with library_errors(FileLocation(path, number), "not the header of a table", csv.Error):
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        if any(names) and {*columns} <= {*names}:
            break
    else:
        raise InputError(
            path, f"no line with the columns {', '.join(columns)}" if columns else "no rows"
        )
    repeated = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if repeated is not None:
        raise InputError(
            FileLocation(path, number), f"two columns {repeated!r}", "give each another name"
        )
    rows = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for row in filter(any, rows):
            where = FileLocation(path, number + rows.line_num)
            if len(row) != len(names):
                fault = InputError(where, f"{len(row)} cells, but {len(names)} in the header")
                if faults is None:
                    raise fault
                faults.append(fault)
                continue
            yield where, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise InputError(
            FileLocation(path, number + rows.line_num), f"not a row of a table ({error})"
        ) from None
