"""Annotations in tables and lists: CSV segment lists, run-length JSON, Epic-Kitchens."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from fact_clip.core import InputError
from fact_clip.core.files import read_text
from fact_clip.formats.annotations import Annotation, Span, Unit

Row = tuple[str, Mapping[str, str]]


@dataclass(frozen=True)
class Options:
    """What a file may leave open.

    Args:
        tier: which of several: tier (ELAN), subject (BORIS), attribute (VIA), control (Label Studio).
        unit: of the columns `start` and `stop` (CSV).
        fps: frames a second that frames in the file are counted at; None: as the file says, else the features'.
        classes: names by index (run-length JSON).
        verbs, nouns: the class files of Epic-Kitchens, both or none.
    """

    tier: str | None = None
    unit: Unit | None = None
    fps: float | None = None
    classes: tuple[str, ...] = ()
    verbs: Path | None = None
    nouns: Path | None = None


def video_name(media: str) -> str:
    """Name of a video without folder (of any system), address and ending."""
    name = PureWindowsPath(media.split("?")[0]).name
    return name.rpartition(".")[0] or name


def read_csv(path: Path, options: Options) -> list[Annotation]:
    """Rows of start, stop and label (or action); commas, semicolons or tabs.

    Columns `start_seconds` and `stop_seconds`, or `start_frame` and `stop_frame`, or `start` and `stop` in
    `options.unit`; times may be 00:01:02.5. A column `video` tells several videos apart, else the file is one.

    Raises:
        InputError: a missing column, no unit, or a cell that is no time (file:line).
    """
    rows = list(table(path))
    header = list(rows[0][1]) if rows else []
    label = next((name for name in ("label", "action") if name in header), None)
    if label is None:
        raise InputError(path, "no column 'label'" if rows else "no rows", "columns start, stop, label")
    start, stop, unit = _columns(path, header, rows, options.unit)
    spans: dict[str, list[Span]] = {}
    for where, row in rows:
        name = video_name(row["video"]) if row.get("video") else path.name.partition(".")[0]
        times = seconds(where, row[start], start), seconds(where, row[stop], stop)
        spans.setdefault(name, []).append(Span(*times, row[label], where))
    fps = options.fps if unit == "frames" else None
    return [Annotation(name, tuple(found), unit, str(path), fps) for name, found in spans.items()]


def _columns(path: Path, header: Sequence[str], rows: Sequence[Row], unit: Unit | None) -> tuple[str, str, Unit]:
    if unit != "frames" and {"start_seconds", "stop_seconds"} <= set(header):
        if all(row["start_seconds"] for _, row in rows):
            return "start_seconds", "stop_seconds", "seconds"
        unit = unit or "frames"  # as `fact-clip segment` writes where it knows no rate
    if unit != "seconds" and {"start_frame", "stop_frame"} <= set(header):
        return "start_frame", "stop_frame", "frames"
    if not {"start", "stop"} <= set(header):
        raise InputError(path, f"columns {', '.join(header)}", "columns start, stop, label")
    if unit is None:
        raise InputError(path, "columns 'start' and 'stop' without a unit", "seconds or frames", "set --unit")
    return "start", "stop", unit


def read_runs(path: Path, options: Options) -> list[Annotation]:
    """JSON of NAME -> [[class, frames], ...]; a class is a name, or an index into `options.classes`.

    Raises:
        InputError: not JSON of this form, or an index without a name.
    """
    spans: list[Span]
    found = []
    for name, runs in json_object(path, "NAME: [[class, frames], ...]").items():
        spans, at = [], 0
        if not isinstance(runs, list) or "/" in name or "\\" in name:
            raise InputError(path, f"{name!r}: {str(runs)[:40]}", "a name and its list of [class, frames]")
        for number, run in enumerate(runs):
            where = f"{path}, {name!r}, run {number}"
            if not isinstance(run, list) or len(run) != 2 or type(run[1]) is not int or run[1] < 1:
                raise InputError(where, repr(run), "[class, frames]")
            spans.append(Span(at, at + run[1], _class_name(where, run[0], options.classes), where))
            at += run[1]
        found.append(Annotation(name, tuple(spans), "frames", str(path), options.fps))
    return found


def _class_name(where: str, value: Any, classes: Sequence[str]) -> str:
    if isinstance(value, str):
        return value
    if type(value) is not int or not classes:
        todo = "" if classes else "give the names by --mapping"
        raise InputError(where, f"class {value!r}", "a name or an index into the mapping", todo)
    if not 0 <= value < len(classes):
        raise InputError(where, f"class {value}", f"0 to {len(classes) - 1}, the classes of the mapping")
    return classes[value]


def read_epic(path: Path, options: Options) -> list[Annotation]:
    """The annotation CSV of Epic-Kitchens: one action "verb,noun" a row, with timestamps; overlaps occur.

    The name is made of the keys of the class files, or of the two class numbers where none are given.

    Raises:
        InputError: a missing column, a class number that the class file lacks, or a cell that is no time.
    """
    needed = ("video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
    if (options.verbs is None) != (options.nouns is None):
        raise InputError("--verbs and --nouns", "only one of them", "both or none")
    verbs = None if options.verbs is None else _class_keys(options.verbs)
    nouns = None if options.nouns is None else _class_keys(options.nouns)
    spans: dict[str, list[Span]] = {}
    for where, row in table(path, needed):
        verb, noun = _key(where, row["verb_class"], verbs), _key(where, row["noun_class"], nouns)
        start, stop = (seconds(where, row[column], column) for column in needed[1:3])
        spans.setdefault(row["video_id"], []).append(Span(start, stop, f"{verb},{noun}", where))
    return [Annotation(name, tuple(found), "seconds", str(path)) for name, found in spans.items()]


def _class_keys(path: Path) -> dict[str, str]:
    return {row["id"]: row["key"] for _, row in table(path, ("id", "key"))}


def _key(where: str, number: str, keys: Mapping[str, str] | None) -> str:
    if keys is None:
        return number
    if number not in keys:
        raise InputError(where, f"class {number}", f"one of the {len(keys)} of the class file")
    return keys[number]


def table(path: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of a text table with a header, each with its file:line; commas, semicolons or tabs part the cells.

    Lines before the first that has all of `columns` are skipped, as BORIS writes some.

    Raises:
        InputError: unreadable, not UTF-8, or a column that is missing.
    """
    lines = io.StringIO(read_text(path), newline="")
    skipped, header = 0, ""
    for header in lines:
        if all(column in header for column in columns) and header.strip():
            break
        skipped += 1
    else:
        raise InputError(path, "no such columns" if columns else "no rows", f"columns {', '.join(columns)}".rstrip())
    sign = max("\t;,", key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=sign))]
    missing = [column for column in columns if column not in names]
    if missing:
        raise InputError(f"{path}:{skipped + 1}", f"no column {missing[0]!r}", f"columns {', '.join(columns)}")
    rows = csv.reader(lines, delimiter=sign, strict=True)
    try:
        for cells in rows:
            where = f"{path}:{skipped + 1 + rows.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(names):
                raise InputError(where, f"{len(cells)} cells", f"{len(names)}, as in the header")
            yield where, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}:{skipped + 1 + rows.line_num}", f"not a table ({error})", "one row a line") from None


def seconds(where: str, text: str, column: str) -> float:
    """A number, or a time as 00:01:02.5; an InputError names the column."""
    total = 0.0
    try:
        for part in text.strip().split(":"):
            total = 60 * total + float(part)
    except ValueError:
        raise InputError(where, f"{column} is {text or 'empty'!r}", "a number or 00:00:00.0") from None
    return total


def json_object(path: Path, expected: str) -> dict[str, Any]:
    """The object that a JSON file holds; an InputError where it is another thing."""
    tree = json_tree(path, expected)
    if not isinstance(tree, dict):
        raise InputError(path, f"a {type(tree).__name__}", expected)
    return tree


def json_tree(path: Path, expected: str) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}", f"not JSON ({error.msg})", expected) from None
