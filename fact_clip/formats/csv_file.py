"""CSV: one segment per row, for spreadsheets; segment lists of other programs; the annotations of Epic-Kitchens."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from fact_clip.core import CommandOption, FileLocation, InputError, Segment, Segmentation, located
from fact_clip.core.messages import is_name, join_names
from fact_clip.formats import base
from fact_clip.formats.base import Annotation, Options, Span, Unit

logger = logging.getLogger(__name__)


def write(segmentation: Segmentation, path: Path) -> None:
    """Write the `COLUMNS` in full precision, without background; cells without a rate or a confidence are empty."""
    base.write_table(path, [base.COLUMNS, *base.cells(segmentation, segmentation.foreground)])


def read(path: Path, gaps: base.Gaps) -> Segmentation:
    """Read what `write` wrote. The frame rate is worked out from the seconds (`rate_of`); frame times are lost."""
    segments, times = [], []
    for where, row in base.read_table(path, base.COLUMNS):
        start, stop = (base.seconds(where, row[column], column) for column in ("start", "stop"))
        if not (start.is_integer() and stop.is_integer()):
            raise InputError(where, f"{row['start']} and {row['stop']} are not whole frame numbers")
        confidence = (
            base.seconds(where, row["confidence"], "confidence") if row["confidence"] else None
        )
        with located(where):
            segments.append(
                Segment(int(start), int(stop), base.without_mark(row["action"]), confidence)
            )
        if row["stop_seconds"]:
            times.append((int(stop), base.seconds(where, row["stop_seconds"], "stop_seconds")))
    return base.gapless(path, segments, base.rate_of(times), gaps)


PICTURES = ("frame", "seconds", "action", "confidence")


def write_pictures(segmentation: Segmentation, path: Path) -> None:
    """Write a row for each picture of the video, or for each feature row where rate or seconds are unknown."""
    rate = None if segmentation.seconds(0) is None else segmentation.video_fps

    def rows() -> Iterator[Sequence[object]]:
        yield PICTURES
        first = 0
        for segment in segmentation:
            last = segment.stop if rate is None else base.picture(segmentation, segment.stop)
            for frame in range(first, last):
                seconds = segmentation.seconds(frame) if rate is None else frame / rate
                yield frame, seconds, segment.label, segment.confidence
            first = last

    base.write_table(path, rows())


def read_pictures(path: Path, gaps: base.Gaps) -> Segmentation:
    """Read what `write_pictures` wrote, a frame a row; rows of one label and one confidence are a segment."""
    rows = list(base.read_table(path, PICTURES))
    labels = [(base.without_mark(row["action"]), row["confidence"]) for _, row in rows]
    segments, times = [], []
    for number, (where, row) in enumerate(rows):
        if row["frame"] != str(number):
            raise InputError(
                where, f"frame {row['frame']!r}, not {number}", "give a row for each frame, from 0"
            )
        if row["seconds"]:
            times.append((number, base.seconds(where, row["seconds"], "seconds")))
    for (label, text), group in groupby(range(len(rows)), key=labels.__getitem__):
        numbers = list(group)
        where = rows[numbers[0]][0]
        confidence = base.seconds(where, text, "confidence") if text else None
        with located(where):
            segments.append(Segment(numbers[0], numbers[-1] + 1, label, confidence))
    return base.gapless(path, segments, base.rate_of(times), gaps)


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read rows of start, stop and label (or action), separated by commas, semicolons or tabs.

    The columns are `start_seconds` and `stop_seconds`, or `start_frame` and `stop_frame`, or `start` and `stop` in
    `options.unit`. All bad rows are named in one InputError, or left out with a warning each (`options.skip_bad`).
    """
    faults = list[InputError]()
    table = base.read_table(path, faults=faults)
    rows = [(where, {name.lower(): cell for name, cell in row.items()}) for where, row in table]
    header = rows[0][1] if rows else {}
    label = next((name for name in ("label", "action") if name in header), None)
    if label is None:
        problem = f"no column 'label' among {join_names(map(repr, header))}" if rows else "no rows"
        raise InputError(path, problem, "the columns are start, stop, label")
    start, stop, unit = _columns(path, rows, options.unit)
    if unit == "seconds" and options.fps is not None and "start_frame" not in header:
        raise InputError(
            CommandOption("--source-fps"), f"the times of {path} are seconds", "leave it out"
        )
    named = [bool(row.get("video", "").strip()) for _, row in rows]
    spans: dict[str, list[Span]] = {}  # by the video as it is written: a/x.mp4 and b/x.mp4 are two
    for (where, row), has_name in zip(rows, named, strict=True):
        try:
            if any(named) and not has_name:
                raise InputError(where, "video is empty, but other rows name theirs")
            if options.decimal == ",":
                row |= {name: row[name].replace(",", ".") for name in (start, stop)}
            times = base.seconds(where, row[start], start), base.seconds(where, row[stop], stop)
            span = Span(*times, base.without_mark(row[label]), where)
        except InputError as error:
            faults.append(error)
            continue
        spans.setdefault(row.get("video", ""), []).append(span)
    _report(faults, options.skip_bad)
    names = {video: base.video_name(video) if video else base.name_of(path) for video in spans}
    return [
        Annotation(names[video], tuple(of_video), unit, path, options.fps)
        for video, of_video in spans.items()
    ]


def _report(faults: Sequence[InputError], skip: bool) -> None:
    """Raise the first of the rows' faults, with the lines of the others; if `skip`, warn of each instead."""
    for fault in faults if skip else ():
        logger.warning("left out: %s", fault)
    if faults and not skip:
        lines = [str(fault.where.line) for fault in faults if isinstance(fault.where, FileLocation)]
        more = f"; {len(lines)} bad rows, lines {', '.join(lines)}" if len(lines) > 1 else ""
        fix = f"{faults[0].fix or 'correct it'}, or leave bad rows out with --skip-bad"
        raise InputError(faults[0].where, f"{faults[0].problem}{more}", fix)


def _columns(path: Path, rows: Sequence[base.Row], unit: Unit | None) -> tuple[str, str, Unit]:
    """Return the columns of start and stop, and their unit."""
    header = rows[0][1].keys()
    if unit != "frames" and header >= {"start_seconds", "stop_seconds"}:
        if any(row["start_seconds"] for _, row in rows):
            return "start_seconds", "stop_seconds", "seconds"
        unit = unit or "frames"  # `write` leaves the seconds empty where it knows no rate
    if unit != "seconds" and header >= {"start_frame", "stop_frame"}:
        return "start_frame", "stop_frame", "frames"
    if not header >= {"start", "stop"}:
        problem = f"no start and stop{f' in {unit}' if unit else ''} among the columns {', '.join(header)}"
        raise InputError(path if unit is None else "--unit", problem, "give start, stop, label")
    if unit is None:
        raise InputError(path, "'start' and 'stop' may be seconds or frames", "set --unit")
    return "start", "stop", unit


def read_epic(path: Path, options: Options) -> list[Annotation]:
    """Read the annotation CSV of Epic-Kitchens: "verb,noun" per row, by name or (without class files) by number."""
    columns = ("video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
    if (options.verbs is None) != (options.nouns is None):
        raise InputError(
            CommandOption("--verbs and --nouns"), "one of them is missing", "give both or neither"
        )
    names = {"verb": _class_names(options.verbs), "noun": _class_names(options.nouns)}
    spans: dict[str, list[Span]] = {}
    for where, row in base.read_table(path, columns):
        if not row["video_id"].strip():
            raise InputError(where, "video_id is empty")
        label = ",".join(
            _class_name(where, row[f"{kind}_class"], kind, names[kind]) for kind in names
        )
        start, stop = (
            base.seconds(where, row[column], column)
            for column in ("start_timestamp", "stop_timestamp")
        )
        spans.setdefault(row["video_id"], []).append(Span(start, stop, label, where))
    return [
        Annotation(name, tuple(spans_of_video), "seconds", path)
        for name, spans_of_video in spans.items()
    ]


def _class_names(path: Path | None) -> dict[str, str] | None:
    """Return the names of a class file by their number."""
    if path is None:
        return None
    names: dict[str, str] = {}
    for where, row in base.read_table(path, ("id", "key")):
        if row["id"] in names or not is_name(row["key"]):
            raise InputError(
                where, f"id {row['id']!r}, key {row['key']!r}", "give each id once, with a name"
            )
        names[row["id"]] = row["key"]
    return names


def _class_name(
    where: FileLocation, number: str, kind: str, names: Mapping[str, str] | None
) -> str:
    """Return the name of a verb or noun, or its number where there are no class files."""
    name = number if names is None else names.get(number, "")
    if not name.strip():
        raise InputError(
            where, f"{kind}_class {number!r} is empty, or not among the ids of --{kind}s"
        )
    return name
