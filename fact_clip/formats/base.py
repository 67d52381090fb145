"""What the files that read and write formats share: seconds, frame rates, gaps, numbers, tables of text."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

from pydantic import BeforeValidator

from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.core.arguments import is_number
from fact_clip.core.errors import FileLocation, GapError, library_errors
from fact_clip.core.io import read_text
from fact_clip.core.messages import is_name

COLUMNS = ("start", "stop", "start_seconds", "stop_seconds", "action", "confidence")


def library(path: Path, module: str, package: str, extra: str) -> Any:
    """Import a module of an extra of ours; an InputError says how to install it."""
    with library_errors(path, f"{package} is not installed", ImportError, fix=f"pip install 'fact-clip[{extra}]'"):
        return importlib.import_module(module)


def cells(segmentation: Segmentation, segments: Iterable[Segment]) -> Iterator[tuple[Any, ...]]:
    """Yield the cells of each of its `segments` under `COLUMNS`; None where there are no seconds or no confidence."""
    for segment in segments:
        times = segmentation.seconds(segment.start), segmentation.seconds(segment.stop)
        yield segment.start, segment.stop, *times, segment.label, segment.confidence


def timed(path: Path, segmentation: Segmentation) -> Iterator[tuple[float, float, Segment]]:
    """Yield (start, stop, segment) in seconds, without background; an InputError if there are no seconds."""
    for segment in segmentation.foreground:
        yield second_of(path, segmentation, segment.start), second_of(path, segmentation, segment.stop), segment


def second_of(path: Path, segmentation: Segmentation, frame: int) -> float:
    """Return the second at which a frame starts; an InputError if there are no seconds."""
    time = segmentation.seconds(frame)
    if time is None:
        fix = "set the frame rate (data.fps), or write .csv, .json or .txt"
        raise InputError(path, "no frame rate and no frame times, but this format needs seconds", fix)
    return time


def picture_rate(segmentation: Segmentation) -> float | None:
    """Return the pictures per second of the video if its seconds are known, else the mean rate of the frames."""
    rate = segmentation.fps
    if rate is None and segmentation.times is not None:
        rate = segmentation.n_frames / (segmentation.times[-1] - segmentation.times[0])
    return rate if rate is None else segmentation.video_fps or rate


def picture(segmentation: Segmentation, frame: int) -> int:
    """Return the number of the video's picture, from 0, that starts nearest to a frame; else the frame itself."""
    time = segmentation.seconds(frame)
    if time is None or segmentation.video_fps is None:
        return frame
    # the rounding of a rate and of its product must not decide on a half
    return math.floor(time * segmentation.video_fps + 0.5 + 1e-9)


def milliseconds(path: Path, segmentation: Segmentation) -> list[tuple[int, int, Segment]]:
    """Return (start, stop, segment) in whole milliseconds, without background; a shorter one is an InputError."""
    cues = []
    for *times, segment in timed(path, segmentation):
        start, stop = (round(1000 * time) for time in times)
        if start == stop:
            raise InputError(path, f"segment {segment.label!r} at {start} ms is shorter than a millisecond")
        cues.append((start, stop, segment))
    return cues


def one_line(path: Path, label: str) -> str:
    """Return the label; an InputError if it is blank or has a line end, a tab or another invisible character."""
    if not is_name(label):
        raise InputError(path, f"label {label!r} is not a name of one line, without tabs", "write .csv or .json")
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
    return next((rate for rate in rates if rate > 0 and all(frame / rate == time for frame, time in pairs)), None)


def segment_at(where: FileLocation, start: int, stop: int, label: str, confidence: float | None) -> Segment:
    """Return a segment from a file; an InputError says where it stands."""
    try:
        return Segment(start, stop, label, confidence)
    except InputError as error:
        raise error.at(where) from None


@dataclass(frozen=True)
class Gaps:
    """What the frames are that a file leaves out."""

    background: str | None = None  # their label; None: there may be none
    n_frames: int | None = None  # length of the video; None: to the last segment

    def filled(self, path: Path, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Return the segments of a file, in order, with background between them and up to the end of the video."""
        if self.background is None:
            return tuple(segments)
        filled, end = list[Segment](), 0
        for segment in segments:
            if segment.start > end:
                filled.append(Segment(end, segment.start, self.background))
            filled.append(segment)
            end = segment.stop
        if self.n_frames is not None and end > self.n_frames:
            raise InputError(path, f"segments up to frame {end}, but the video has {self.n_frames} frames")
        if self.n_frames is not None and end < self.n_frames:
            filled.append(Segment(end, self.n_frames, self.background))
        return tuple(filled)


def gapless(path: Path, segments: Sequence[Segment], fps: float | None, gaps: Gaps, **values: Any) -> Segmentation:
    """Return a segmentation with these values from a file; an InputError names the file, for a gap or an overlap."""
    segments = gaps.filled(path, segments)
    try:
        return Segmentation(segments, fps, **values)
    except InputError as error:
        # what a file without background lacks
        is_short = gaps.background is None and (not segments or isinstance(error, GapError))
        fix = "name the background that was left out: load(path, background=...)" if is_short else error.fix
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
            f"{value!r} is not a number with a decimal point, or a time as 00:00:00.0" if text else "empty"
        )
    if clock is None:
        return float(text)
    return 3600.0 * float(clock[1] or 0) + 60.0 * float(clock[2]) + float(clock[3])


Number = Annotated[float, BeforeValidator(_number)]
"""A number in a JSON file of another tool, which may stand in quotes."""


def seconds(where: FileLocation, value: object, column: str) -> float:
    """Return a finite number, or a text of one (`_number`); an InputError names the column or key."""
    try:
        number = _number(value)
    except ValueError as error:
        raise InputError(where, f"{column}: {error}") from None
    if not is_number(number):
        raise InputError(where, f"{column}: {value!r} is not a finite number")
    return float(number)  # type: ignore[arg-type]


def write_table(path: Path, rows: Iterable[Iterable[object]], end: str = "\r\n") -> None:
    """Write rows of cells as CSV, none of which a spreadsheet computes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # with \r\n as line end, csv quotes either character inside a name
        writer = csv.writer(file, lineterminator=end)
        writer.writerows([no_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)


def write_json(path: Path, tree: Any, indent: int = 1) -> None:
    """Write a JSON file, names as they are."""
    path.write_text(json.dumps(tree, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


Row = tuple[FileLocation, Mapping[str, str]]  # where it stands, and the cells by column
Line = tuple[int, list[str]]  # its number, and its cells


def find_separator(line: str) -> str | None:
    """Return what separates the cells of a line: tabs, else semicolons, else commas; None where it has none of them."""
    return next((separator for separator in "\t;," if separator in line), None)


def read_lines(path: Path, expected: str, *, latin: bool = False, comment: str | None = None) -> list[Line]:
    """Return the lines of a table, cut into stripped cells by the separator of the first line, else by white space."""
    lines = enumerate(read_text(path, expected, latin=latin).splitlines(), start=1)
    numbered = [(number, line) for number, line in lines if line.strip()]
    if comment is not None:
        numbered = [(number, line) for number, line in numbered if not line.lstrip().startswith(comment)]
    separator = find_separator(numbered[0][1]) if numbered else None
    if separator is None:
        return [(number, line.split()) for number, line in numbered]
    table: list[Line] = []
    for number, line in numbered:
        with library_errors(FileLocation(path, number), "not a row of a table", csv.Error):
            (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
        table.append((number, [cell.strip() for cell in cells]))
    return table


def read_table(path: Path, columns: Sequence[str] = (), faults: list[InputError] | None = None) -> Iterator[Row]:
    """Yield the rows of a table with a header, the first line that has all of `columns`.

    A row with more or fewer cells is an InputError, or, where `faults` is given, added there and left out.
    """
    text = read_text(path)
    if markup := re.match(r"\s*(?:\[\s*)?([<{])", text):
        raise InputError(path, f"{'XML' if markup[1] == '<' else 'JSON'}, not a table", "see --from")
    lines = io.StringIO(text, newline="")
    for number, header in enumerate(lines, start=1):
        if re.match(r"\ufeff?sep=.\r?$", header):  # by which Excel is told the separator
            continue
        separator = find_separator(header) or ","
        with library_errors(FileLocation(path, number), "not the header of a table", csv.Error):
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        if any(names) and {*columns} <= {*names}:
            break
    else:
        raise InputError(path, f"no line with the columns {', '.join(columns)}" if columns else "no rows")
    repeated = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if repeated is not None:
        raise InputError(FileLocation(path, number), f"two columns {repeated!r}", "give each another name")
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
        raise InputError(FileLocation(path, number + rows.line_num), f"not a row of a table ({error})") from None
