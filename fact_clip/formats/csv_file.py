"""CSV: one segment per row, for spreadsheets; segment lists of other programs; the annotations of Epic-Kitchens."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.core.errors import CommandOption
from fact_clip.core.messages import is_name, listed
from fact_clip.formats.annotations import Annotation, Options, Span, Unit
from fact_clip.formats.base import (
    COLUMNS,
    Gaps,
    cells,
    gapless,
    name_of,
    no_formula,
    rate_of,
    seconds,
    segment_at,
    video_name,
    without_mark,
)
from fact_clip.formats.table import Row, read_table


def write(segmentation: Segmentation, path: Path) -> None:
    """Write the `COLUMNS` in full precision, without background; cells without a rate or a confidence are empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [[*row[:4], no_formula(row[4]), row[5]] for row in cells(segmentation, segmentation.foreground)]
        # with \r\n as line end, csv quotes either character inside a name
        csv.writer(file, lineterminator="\r\n").writerows([COLUMNS, *rows])


def read(path: Path, gaps: Gaps) -> Segmentation:
    """Read what `write` wrote. The frame rate is worked out from the seconds (`rate_of`); frame times are lost."""
    segments, times = [], []
    for where, row in read_table(path, COLUMNS):
        start, stop = (seconds(where, row[column], column) for column in ("start", "stop"))
        if not (start.is_integer() and stop.is_integer()):
            raise InputError(where, f"frames {row['start']} to {row['stop']}; expected whole frame numbers")
        confidence = seconds(where, row["confidence"], "confidence") if row["confidence"] else None
        segments.append(segment_at(where, int(start), int(stop), without_mark(row["action"]), confidence))
        if row["stop_seconds"]:
            times.append((int(stop), seconds(where, row["stop_seconds"], "stop_seconds")))
    return gapless(path, segments, rate_of(times), gaps)


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Rows of start, stop and label (or action), separated by commas, semicolons or tabs.

    The columns are `start_seconds` and `stop_seconds`, or `start_frame` and `stop_frame`, or `start` and `stop` in
    `options.unit`. A time may be written 00:01:02.5. Without a column `video` the file is one video.
    """
    rows = list(read_table(path))
    header = rows[0][1] if rows else {}
    label = next((name for name in ("label", "action") if name in header), None)
    if label is None:
        found = f"no column 'label' among {listed([*map(repr, header)])}" if rows else "no rows"
        raise InputError(path, f"{found}; expected columns start, stop, label")
    start, stop, unit = _columns(path, rows, options.unit)
    if unit == "seconds" and options.fps is not None and "start_frame" not in rows[0][1]:
        raise InputError(
            CommandOption("--source-fps"), f"for {path}, whose times are seconds; expected frames", "leave it out"
        )
    without = next((where for where, row in rows if not row.get("video", "").strip()), None)
    if without is not None and any(row.get("video", "").strip() for _, row in rows):
        raise InputError(without, "video is empty; expected the name of a video, as in other rows")
    if options.unit is None:
        _check_seconds(rows)
    spans: dict[str, list[Span]] = {}  # by the video as it is written: a/x.mp4 and b/x.mp4 are two
    for where, row in rows:
        times = seconds(where, row[start], start), seconds(where, row[stop], stop)
        spans.setdefault(row.get("video", ""), []).append(Span(*times, without_mark(row[label]), where))
    return [
        Annotation(video_name(video) if video else name_of(path), tuple(found), unit, str(path), options.fps)
        for video, found in spans.items()
    ]


def _columns(path: Path, rows: Sequence[Row], unit: Unit | None) -> tuple[str, str, Unit]:
    header = rows[0][1].keys()
    if unit != "frames" and header >= {"start_seconds", "stop_seconds"}:
        empty = next((where for where, row in rows if not row["start_seconds"]), None)
        if empty is None:
            return "start_seconds", "stop_seconds", "seconds"
        if any(row["start_seconds"] or row["stop_seconds"] for _, row in rows):
            raise InputError(empty, "start_seconds is empty; expected seconds in all rows, or in none")
        unit = unit or "frames"  # `write` leaves the seconds empty where it knows no rate
    if unit != "seconds" and header >= {"start_frame", "stop_frame"}:
        return "start_frame", "stop_frame", "frames"
    other = "seconds" if unit == "frames" else "frame"
    if unit is not None and header >= {f"start_{other}", f"stop_{other}"} and not header >= {"start", "stop"}:
        raise InputError(
            CommandOption("--unit"),
            f"{unit} for {path}, which has start_{other}; expected columns start, stop",
            "leave it out",
        )
    if not header >= {"start", "stop"}:
        raise InputError(path, f"columns {', '.join(header)}; expected columns start, stop, label")
    if unit is None:
        raise InputError(path, "columns 'start' and 'stop' without a unit; expected seconds or frames", "set --unit")
    return "start", "stop", unit


_AGREE = 1.5  # frames; a frame may start a moment off the grid


def _check_seconds(rows: Sequence[Row]) -> None:
    """An InputError for a row whose frames and seconds are not the same time, where most other rows tell a rate."""
    header = rows[0][1].keys()
    names = ("start_frame", "stop_frame") if "start_frame" in header else ("start", "stop")
    if not header >= {*names, "start_seconds", "stop_seconds"}:
        return
    found: dict[str, list[tuple[str, Row, float, float]]] = {}  # of each video: end, row, frame, second
    for row in rows:
        for end, name in zip(("start", "stop"), names, strict=True):
            cell, other = row[1][name].strip(), row[1][f"{end}_seconds"].strip()
            if not (cell.isdecimal() and other):
                return  # no frames, or nothing to compare them with
            time = seconds(row[0], other, f"{end}_seconds")
            found.setdefault(row[1].get("video", ""), []).append((end, row, float(cell), time))
    for ends in found.values():
        rates = [frame / time for _, _, frame, time in ends if frame > 0 and time > 0]
        rate = statistics.median(rates) if rates else 0.0
        ends.sort(key=lambda end: end[2])
        late = [time * rate - frame for _, _, frame, time in ends]  # in frames
        off = [end for end, frames in zip(ends, late, strict=True) if abs(frames) > _AGREE]
        # where a recorder paused, all that follows is late
        follow = late[len(late) - len(off) :]
        paused = len({end[2] for end in off}) > 1 and off == ends[len(ends) - len(off) :]
        paused = paused and all(after >= before - _AGREE for before, after in pairwise(follow))
        if off and 2 * len(off) < len(ends) and not paused:
            end, (where, _), frame, time = off[0]
            expected = f"frame {frame:g} at about {frame / rate:g} s, as other rows say"
            todo = "correct one of them, or say which counts with --unit seconds or --unit frames"
            raise InputError(
                where, f"{end} is frame {frame:g}, but {end}_seconds is {time:g}; expected {expected}", todo
            )


def read_epic(path: Path, options: Options) -> list[Annotation]:
    """The annotation CSV of Epic-Kitchens: "verb,noun" per row, by name or (without class files) by number."""
    needed = ("video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
    if (options.verbs is None) != (options.nouns is None):
        raise InputError(CommandOption("--verbs and --nouns"), "only one of them; expected both or none")
    verbs, nouns = _class_names(options.verbs), _class_names(options.nouns)
    spans: dict[str, list[Span]] = {}
    for where, row in read_table(path, needed):
        if not row["video_id"].strip():
            raise InputError(where, "video_id is empty; expected the name of a video")
        label = f"{_class_name(where, row, 'verb', verbs)},{_class_name(where, row, 'noun', nouns)}"
        start, stop = (seconds(where, row[column], column) for column in ("start_timestamp", "stop_timestamp"))
        spans.setdefault(row["video_id"], []).append(Span(start, stop, label, where))
    return [Annotation(name, tuple(found), "seconds", str(path)) for name, found in spans.items()]


def _class_names(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    found: dict[str, str] = {}
    for where, row in read_table(path, ("id", "key")):
        if row["id"] in found or not is_name(row["key"]):
            raise InputError(where, f"id {row['id']!r}, key {row['key']!r}; expected each id once, with a name")
        found[row["id"]] = row["key"]
    return found


def _class_name(where: str, row: Mapping[str, str], kind: str, names: Mapping[str, str] | None) -> str:
    number = row[f"{kind}_class"]
    if names is None and not number.strip():
        raise InputError(where, "an empty class; expected its number or name")
    if names is None:
        return number
    if number not in names:
        raise InputError(where, f"{kind}_class {number}; expected one of the {len(names)} ids of --{kind}s")
    return names[number]
