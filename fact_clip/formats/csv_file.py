"""CSV: one segment per row, segment lists of other programs, and Epic-Kitchens annotations."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from fact_clip.core import (
    FileLocation,
    InputError,
    Instant,
    Segment,
    Segmentation,
    located,
)
from fact_clip.core.io import read_text
from fact_clip.core.messages import is_name, join_names
from fact_clip.formats.base import COMMENT, Annotation, Options, Span, Unit, video_name
from fact_clip.formats.gaps import Gaps, gapless
from fact_clip.formats.table import COLUMNS, Row, cells, read_table, without_mark, write_table
from fact_clip.formats.times import parse_seconds, picture, picture_grid, rate_of

logger = logging.getLogger(__name__)

_MARK = "is_background"
_YES = "yes"
_BEGIN = "begin_seconds"
_END = "end_seconds"
_TIMES = "times"
_UNEVEN = "uneven"  # needed because a rate may fit the few seconds of a file by chance


def write(segmentation: Segmentation, path: Path) -> None:
    """Write the `COLUMNS` in full precision, without background. Unknown cells are empty.

    An instant is a row whose stop equals its start. Additional columns contain comments, if any,
    the name of the omitted background, and the length of the video. `is_background` marks rows
    with other background names. `times` marks uneven times, and `end_seconds` then has the end
    of the video. If the first frame is late, `begin_seconds` has its time.
    """
    background = segmentation.background[:1]  # the first one is omitted, others are rows
    segments = [segment for segment in segmentation if segment.label not in background]
    segments = segments or [*segmentation.segments]
    parts: list[Segment | Instant] = [*segments, *segmentation.instants]
    parts.sort(key=lambda part: (part.start, part.stop))
    further: dict[str, list[object]] = {}
    if any(part.comment for part in parts):
        further[COMMENT] = [part.comment for part in parts]
    names = segmentation.background
    if any(label in names for label in segmentation.transcript):
        further["background"] = [names[0]] * len(parts)
        further["n_frames"] = [segmentation.n_frames] * len(parts)
        if any(part.label in names[1:] for part in parts):
            further[_MARK] = [_YES if part.label in names[1:] else "" for part in parts]
    if segmentation.times is not None:
        further[_TIMES] = [_UNEVEN] * len(parts)
        further[_END] = [segmentation.times[-1]] * len(parts)
        if segmentation.times[0] > 0:
            further[_BEGIN] = [segmentation.times[0]] * len(parts)
    rows = zip(cells(segmentation, parts), *further.values(), strict=True)
    write_table(
        path, [(*COLUMNS, *further), *((*row, *further_cells) for row, *further_cells in rows)]
    )


def read(path: Path, gaps: Gaps) -> Segmentation:
    """Read a file of `write`. The rate follows from the seconds (`rate_of`). Times are lost."""
    segments = []
    instants = []
    background: dict[str, None] = {}
    rows = list(read_table(path, COLUMNS))
    for where, row in rows:
        if row.get("background"):
            name = without_mark(row["background"])
            n_frames = int(parse_seconds(where, row.get("n_frames", ""), "n_frames"))
            gaps = Gaps(gaps.background or name, gaps.n_frames or n_frames)
            background[name] = None
            if row.get(_MARK) == _YES:
                background[without_mark(row["label"])] = None
        start = parse_seconds(where, row["start"], "start")
        stop = parse_seconds(where, row["stop"], "stop")
        if not (start.is_integer() and stop.is_integer()):
            raise InputError(where, f"{row['start']} and {row['stop']} are not whole frame numbers")
        cell = row["confidence"]
        confidence = parse_seconds(where, cell, "confidence") if cell else None
        with located(where):
            label = without_mark(row["label"])
            if start == stop:
                instants.append(Instant(int(start), label, _comment(row)))
                continue
            segment = Segment(int(start), int(stop), label, confidence, comment=_comment(row))
            segments.append(segment)
    return gapless(
        path,
        segments,
        _rate(path, rows, Options()),
        gaps,
        background=tuple(background),
        instants=instants,
    )


def _rate(path: Path, rows: Sequence[Row], options: Options) -> float | None:
    """Return the rate behind the frames and seconds in rows of `write`, or None if it is uneven.

    If frames and seconds disagree, give a warning.
    """
    times = []
    for where, row in rows:
        for end in ("start", "stop"):
            column = f"{end}_seconds"
            if {*COLUMNS} <= {*row} and row[end] and row[column]:
                frame = int(parse_seconds(where, row[end], end))
                times.append((frame, _time(where, row, column, options)))
    if any(row.get(_TIMES) == _UNEVEN for _, row in rows):
        return None
    last_frame, last_time = max(times, default=(0, 0.0))
    if any(abs(frame * last_time - last_frame * time) > last_time / 2 for frame, time in times):
        message = "%s: frames and seconds disagree: load uses frames, the page and convert seconds"
        logger.warning(message, path)
    # Spreadsheets write fewer digits.
    return rate_of(times) or rate_of(times, partial(math.isclose, rel_tol=1e-6, abs_tol=5e-4))


def _comment(row: Mapping[str, str]) -> str:
    return without_mark(row.get(COMMENT, ""))


PICTURES = ("frame", "seconds", "label", "confidence")


def write_pictures(segmentation: Segmentation, path: Path) -> None:
    """Write a row for each video frame or, without an even rate of the video, for each row."""
    write_table(path, _picture_rows(segmentation))


def _picture_rows(segmentation: Segmentation) -> Iterator[Sequence[object]]:
    rate = None if segmentation.seconds(0) is None else picture_grid(segmentation)
    yield PICTURES
    first = 0
    for segment in segmentation:
        last = segment.stop if rate is None else picture(segmentation, segment.stop, rate)
        for frame in range(first, last):
            seconds = segmentation.seconds(frame) if rate is None else frame / rate
            yield frame, seconds, segment.label, segment.confidence
        first = last


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read rows of start, stop and label (or action), separated by commas, semicolons or tabs.

    The columns are `start_seconds` and `stop_seconds`, or `start_frame` and `stop_frame`, or
    `start` and `stop` in `options.unit`.
    """
    rows = []
    for where, row in read_table(path):
        lowered = {name.lower(): cell for name, cell in row.items()}
        if len(lowered) < len(row):
            raise InputError(path, "two columns whose names differ only in case", "rename one")
        rows.append((where, lowered))
    fix = "the columns are start, stop, label"
    if not rows:
        raise InputError(path, "no rows", fix)
    header = rows[0][1]
    label_column = "label" if "label" in header else "action"
    if label_column not in header:
        raise InputError(path, f"no column 'label' among {join_names(map(repr, header))}", fix)
    start_column, stop_column, unit = _find_columns(path, rows, options.unit)
    if unit == "seconds" and options.fps is not None:
        fix = "leave it out, or set --unit frames"
        raise InputError("--source-fps", f"the times of {path} are seconds", fix)

    has_videos = any(row.get("video", "").strip() for _, row in rows)
    # By the video as written, because a/x.mp4 and b/x.mp4 are different videos.
    rows_of: dict[str, list[Row]] = {}
    for where, row in rows:
        video = row.get("video", "")
        if has_videos and not video.strip():
            raise InputError(where, "video is empty, but other rows name theirs")
        rows_of.setdefault(video, []).append((where, row))

    annotations = []
    for video, video_rows in rows_of.items():
        spans = []
        for where, row in video_rows:
            if unit == "frames" and ":" in row[start_column] + row[stop_column]:
                advice = "write frame numbers, or set --unit seconds"
                raise InputError(where, "a time, but the unit is frames", advice)
            start = _time(where, row, start_column, options)
            stop = _time(where, row, stop_column, options)
            label = without_mark(row[label_column])
            spans.append(Span(start, stop, label, where, comment=_comment(row)))
        annotation = Annotation(path, spans, video_name(video), unit, options.fps)
        annotations.append(_with_background(annotation, video_rows, options))
    return annotations


def _with_background(annotation: Annotation, rows: Sequence[Row], options: Options) -> Annotation:
    """Return the annotation with the background and the length in rows of `write`."""
    # Somebody may have added rows without these cells.
    complete = [pair for pair in rows if pair[1].get("background") and pair[1].get("n_frames")]
    where, row = [*complete, *rows][0]
    rate = 1.0 if annotation.unit == "frames" else _rate(annotation.path, rows, options)
    if not complete:
        return annotation
    start = None
    if annotation.unit == "seconds" and row.get(_BEGIN):
        start = _time(where, row, _BEGIN, options)
    end = None
    if annotation.unit == "seconds" and row.get(_END):
        end = _time(where, row, _END, options)
    elif rate is not None:
        end = parse_seconds(where, row["n_frames"], "n_frames") / rate
    marked = {without_mark(row["label"]) for _, row in rows if row.get(_MARK) == _YES}
    return replace(
        annotation,
        start=start,
        end=end,
        background=without_mark(row["background"]),
        further_background=tuple(sorted(marked)),
    )


def usual_unit(path: Path) -> Unit | None:
    """Return the usual unit of `start` and `stop`, which is seconds, unless columns specify it.

    Args:
        path: Label file of any format.

    Returns:
        The unit, or None if the file specifies it.
    """
    if path.suffix.lower() != ".csv":
        return None
    header = "".join(read_text(path).lower().splitlines()[:2])  # the first may be for Excel
    if "start_frame" in header or "start_seconds" in header:
        return None
    return "seconds"


def _time(where: FileLocation, row: Mapping[str, str], column: str, options: Options) -> float:
    cell = row[column]
    if options.decimal == ",":
        cell = cell.replace(",", ".")
    return parse_seconds(where, cell, column)


def _find_columns(path: Path, rows: Sequence[Row], unit: Unit | None) -> tuple[str, str, Unit]:
    """Return the columns of the start and the stop, and their unit."""
    header = rows[0][1].keys()
    if unit != "frames" and header >= {"start_seconds", "stop_seconds"}:
        if any(row["start_seconds"] for _, row in rows):
            return "start_seconds", "stop_seconds", "seconds"
        if unit == "seconds":
            raise InputError("--unit", f"the seconds of {path} are empty", "set --unit frames")
        unit = "frames"  # `write` leaves the seconds empty if the rate is unknown
    if unit != "seconds" and header >= {"start_frame", "stop_frame"}:
        return "start_frame", "stop_frame", "frames"
    if not header >= {"start", "stop"}:
        columns = "start and stop" if unit is None else f"start and stop in {unit}"
        problem = f"no {columns} among the columns {', '.join(header)}"
        raise InputError(path if unit is None else "--unit", problem, "give start, stop, label")
    if unit is None:
        raise InputError(path, "'start' and 'stop' may be seconds or frames", "set --unit")
    return "start", "stop", unit


def read_epic(path: Path, options: Options) -> list[Annotation]:
    """Read the annotation CSV of Epic-Kitchens.

    A label is "verb,noun", by name or, without class files, by number.
    """
    if (options.verbs is None) != (options.nouns is None):
        option = "--verbs and --nouns"
        raise InputError(option, "one of them is missing", "give both or neither")
    verbs = _class_names(options.verbs)
    nouns = _class_names(options.nouns)
    columns = ("video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
    spans: dict[str, list[Span]] = {}
    for where, row in read_table(path, columns):
        if not row["video_id"].strip():
            raise InputError(where, "video_id is empty")
        verb = _class_name(where, row["verb_class"], "verb", verbs)
        noun = _class_name(where, row["noun_class"], "noun", nouns)
        start = parse_seconds(where, row["start_timestamp"], "start_timestamp")
        stop = parse_seconds(where, row["stop_timestamp"], "stop_timestamp")
        span = Span(start, stop, f"{verb},{noun}", where)
        spans.setdefault(row["video_id"], []).append(span)
    return [Annotation(path, video_spans, name) for name, video_spans in spans.items()]


def _class_names(path: Path | None) -> dict[str, str] | None:
    """Return the names of a class file by their number."""
    if path is None:
        return None
    names: dict[str, str] = {}
    for where, row in read_table(path, ("id", "key")):
        number = row["id"]
        if number in names or not is_name(row["key"]):
            problem = f"id {number!r}, key {row['key']!r}"
            raise InputError(where, problem, "give each id once, with a name")
        names[number] = row["key"]
    return names


def _class_name(
    where: FileLocation, number: str, kind: str, names: Mapping[str, str] | None
) -> str:
    """Return the name of a verb or noun, or its number without class files."""
    name = number if names is None else names.get(number, "")
    if not name.strip():
        problem = f"{kind}_class {number!r} is empty, or not among the ids of --{kind}s"
        raise InputError(where, problem)
    return name
