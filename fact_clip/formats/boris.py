"""BORIS: a project (.boris) to open and correct, and the table of events that BORIS exports."""

import csv
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, Field

from fact_clip.core import FileLocation, InputError, Segment, Segmentation
from fact_clip.core.io import read_value
from fact_clip.formats.base import (
    Annotation,
    Options,
    Span,
    choose,
    name_of,
    one_line,
    read_remark,
    remark,
    video_name,
    write_json,
)
from fact_clip.formats.table import no_formula, read_table, without_mark
from fact_clip.formats.times import Number, parse_seconds, picture, picture_rate, second_of, timed

logger = logging.getLogger(__name__)

COLUMNS = (
    "Observation id",
    "Observation date",
    "Description",
    "Observation duration",
    "Observation type",
    "Source",
    "Time offset (s)",
    "Media duration (s)",
    "FPS",
    "Subject",
    "Behavior",
    "Behavioral category",
    "Behavior type",
    "Time",
    "Media file name",
    "Image index",
    "Image file path",
    "Comment",
)
# the beginning of a comment of our writers
_CONFIDENCE = re.compile(r"\Aconfidence (unknown|[01]|[01]\.[0-9]+|[0-9.]+e-[0-9]+)(; |\Z)")
_BEHAVIOUR = {
    "key": "",
    "description": "",
    "color": "",
    "category": "",
    "modifiers": "",
    "excluded": "",
    "coding map": "",
}


def write_project(segmentation: Segmentation, path: Path) -> None:
    """Write a project with one observation.

    Each class is a state behaviour, each segment a start and a stop event.
    """
    video = segmentation.media or "video"
    name = Path(video).stem
    date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    events = _events(segmentation, path)
    behaviours = {}
    for number, code in enumerate(sorted({event.code for event in events})):
        behaviours[str(number)] = {"type": "State event", "code": code, **_BEHAVIOUR}
    players: dict[str, list[str]] = {str(player): [] for player in range(1, 9)}
    players["1"] = [video]
    # a millisecond more, because BORIS drops a last stop that is, as a decimal, above the binary
    # fraction of the length
    length = round(round(second_of(path, segmentation, segmentation.n_frames), 3) + 0.001, 3)

    observation = {
        "file": players,
        "type": "MEDIA",
        "date": date,
        "description": remark(segmentation),
        "time offset": 0.0,
        "events": [
            [event.time, "", event.code, "", event.comment, event.picture] for event in events
        ],
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {video: length},
            "fps": {video: picture_rate(segmentation)},
            "hasVideo": {video: True},
            "hasAudio": {video: False},
            "offset": {"1": 0.0},
        },
    }
    project = {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": name,
        "project_description": "written by fact-clip",
        "project_format_version": "7.0",
        "behaviors_conf": behaviours,
        "observations": {name: observation},
        "behavioral_categories": [],
        "behaviors_coding_map": [],
        "subjects_conf": {},
        "independent_variables": {},
        "coding_map": {},
        "converters": {},
    }
    write_json(path, project)


def write_events(segmentation: Segmentation, path: Path) -> None:
    """Write the table that BORIS 8 exports as tabular events.

    A segment has a row START and a row STOP.
    """
    video = segmentation.media or "video"
    end = f"{second_of(path, segmentation, segmentation.n_frames):.3f}"
    row = dict.fromkeys(COLUMNS, "")
    row |= {
        "Observation id": Path(video).stem,
        "Observation date": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        "Description": remark(segmentation),
        "Observation duration": end,
        "Observation type": "Media file(s)",
        "Source": f"player #1:{video}",
        "Time offset (s)": "0.0",
        "Media duration (s)": end,
        "FPS": f"{picture_rate(segmentation):.3f}",
        "Media file name": video,
        "Image file path": "NA",
    }
    events = _events(segmentation, path)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        for event in events:
            row |= {
                "Behavior": no_formula(event.code),
                "Behavior type": event.kind,
                "Time": f"{event.time:.3f}",
                "Image index": str(event.picture),
                "Comment": no_formula(event.comment),
            }
            table.writerow(row)


class _Event(NamedTuple):
    """The start or the stop of a segment."""

    time: float  # seconds, to the millisecond
    kind: str  # START, STOP, or "" if a file does not say
    code: str  # the class
    comment: str = ""
    picture: int = 0


def _events(segmentation: Segmentation, path: Path) -> list[_Event]:
    """Return the events of all segments in the order of time."""
    events = []
    for start, stop, segment in timed(path, segmentation):
        code = one_line(path, segment.label)
        first = picture(segmentation, segment.start)
        last = picture(segmentation, segment.stop)
        events.append(_Event(round(start, 3), "START", code, _comment_cell(segment), first))
        events.append(_Event(round(stop, 3), "STOP", code, "", last))
    return events


def _comment_cell(segment: Segment) -> str:
    """Return the comment of an event: the confidence of a segment, then its comment."""
    parts = []
    if segment.confidence is not None:
        parts.append(f"confidence {segment.confidence!r}")
    elif _CONFIDENCE.match(segment.comment):  # it would be read as a confidence
        parts.append("confidence unknown")
    if segment.comment:
        parts.append(segment.comment)
    return "; ".join(parts)


def _read_comment(cell: str) -> str:
    """Return the comment of an event without the confidence that our writers put before it."""
    return _CONFIDENCE.sub("", cell)


def _four_of(event: object) -> object:
    """Return seconds, subject, behaviour and comment. Modifiers and picture are not read."""
    if not isinstance(event, list):
        return event
    comment = ""
    if len(event) > 4 and isinstance(event[4], str):
        comment = _read_comment(event[4])
    return (*event[:3], comment)


class _Behaviour(BaseModel):
    code: str = ""
    type: Any = ""  # "State event", which has a length, or "Point event"


class _MediaInfo(BaseModel):
    length: dict[str, Number] = {}


class _Observation(BaseModel):
    events: list[Annotated[tuple[Number, str | None, str, str], BeforeValidator(_four_of)]] = []
    file: dict[str, list[str]] = {}
    media_info: _MediaInfo = _MediaInfo()
    description: Any = None
    offset: Number | None = Field(None, alias="time offset")


class _Project(BaseModel):
    behaviors_conf: dict[str, _Behaviour] = {}
    observations: dict[str, _Observation]


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the state events of a BORIS project, or of its table of events.

    The table is .tsv or .csv, tabular or aggregated. A video is named after its media file, or
    after the observation if that has several.
    """
    is_table = path.suffix.lower() in (".tsv", ".csv")
    read = _read_table if is_table else _read_project
    annotations, n_points = read(path, options.tier)
    if n_points and not annotations:
        problem = "only point events, which have no length"
        raise InputError(path, problem, "make state events of them")
    if n_points:
        message = "%s: %d point events are left out, since they have no length"
        logger.warning(message, path, n_points)
    return annotations


def _read_project(path: Path, tier: str | None) -> tuple[list[Annotation], int]:
    """Return the annotation of each video of a project, and the number of point events."""
    project = read_value(_Project, path, "give a BORIS project")
    points = set()
    for behaviour in project.behaviors_conf.values():
        if str(behaviour.type).lower().startswith("point"):
            points.add(behaviour.code)

    annotations = []
    n_points = 0
    for name, observation in project.observations.items():
        where = FileLocation(path, part=f"observation {name!r}")
        _check_offset(where, observation.offset)
        events: dict[str, list[_Event]] = {}  # by subject
        for time, subject, code, comment in observation.events:
            if code in points:
                n_points += 1
            else:
                events.setdefault(subject or "", []).append(_Event(time, "", code, comment))
        if not events:  # not coded yet
            continue

        subject = choose(where, "subject", events, tier)
        media = [file for files in observation.file.values() for file in files]
        video = _Video(video_name(media[0]) if len(media) == 1 else name)
        video.spans = _states(where, events[subject])
        video.lengths = set(observation.media_info.length.values())
        video.description = observation.description
        annotations.append(video.annotation(path))
    return annotations, n_points


@dataclass
class _Video:
    """The data of one video while a file is read."""

    name: str
    spans: list[Span] = field(default_factory=list)
    events: list[_Event] = field(default_factory=list)
    lengths: set[float] = field(default_factory=set)  # of its media files
    description: object = None

    def annotation(self, path: Path) -> Annotation:
        """Return the annotation."""
        return Annotation(
            name=self.name,
            spans=self.spans,
            unit="seconds",
            path=path,
            end=next(iter(self.lengths)) if len(self.lengths) == 1 else None,
            background=read_remark(self.description),
        )


def _check_offset(where: FileLocation, offset: float | None) -> None:
    """Raise an InputError if the times are later than those of the video."""
    if offset:
        problem = f"a time offset of {offset:g} s from the video"
        raise InputError(where, problem, "set it to 0 in BORIS")


def _read_table(path: Path, tier: str | None) -> tuple[list[Annotation], int]:
    """Return the annotation of each video of a table of events, and the number of point events."""
    rows = list(read_table(path, ("Behavior",)))
    subject = choose(path, "subject", (row.get("Subject", "") for _, row in rows), tier)
    # by path and name: a/x.mp4 and b/x.mp4 are two
    videos: dict[tuple[str, str], _Video] = {}
    selected = []
    n_points = 0
    for where, row in rows:
        offset = row.get("Time offset (s)")
        if offset:
            _check_offset(where, parse_seconds(where, offset, "Time offset (s)"))
        kind = (row.get("Behavior type") or row.get("Status") or "").upper()
        if kind == "POINT":
            n_points += 1
        elif row.get("Subject", "") == subject:
            selected.append((where, row, kind))

    for where, row, kind in selected:
        media = _first(row, ("Media file name", "Media file path", "Media file"))
        name = video_name(media) if media else row.get("Observation id") or name_of(path)
        new_video = _Video(name, description=row.get("Description"))
        video = videos.setdefault((media, name), new_video)
        _add_row(video, where, row, kind)
    for video in videos.values():
        video.spans += _states(FileLocation(path, part=repr(video.name)), video.events)
    return [video.annotation(path) for video in videos.values()], n_points


def _add_row(video: _Video, where: FileLocation, row: Mapping[str, str], kind: str) -> None:
    """Add a row of a table of events to its video."""
    length = _first(row, ("Media duration (s)", "Total length"))
    if re.fullmatch(r"[0-9.]+", length):  # it is no number for several files, or for none
        video.lengths.add(parse_seconds(where, length, "the length of the video"))
    label = without_mark(row["Behavior"])
    comment = _first(row, ("Comment", "Comment start", "Comment stop"))
    comment = _read_comment(without_mark(comment))
    if row.get("Start (s)") and row.get("Stop (s)"):
        start = parse_seconds(where, row["Start (s)"], "Start (s)")
        stop = parse_seconds(where, row["Stop (s)"], "Stop (s)")
        video.spans.append(Span(start, stop, label, where, comment=comment))
    elif "Time" in row:
        time = parse_seconds(where, row["Time"], "Time")
        video.events.append(_Event(time, kind, label, comment))
    else:
        raise InputError(where, "neither Time, nor Start (s) and Stop (s)")


def _first(row: Mapping[str, str], columns: Iterable[str]) -> str:
    """Return the first cell of some columns that is not empty, or ""."""
    return next((row[column] for column in columns if row.get(column)), "")


def _states(where: FileLocation, events: list[_Event]) -> list[Span]:
    """Pair events: one starts a behaviour and the next one stops it."""
    spans = []
    start_of: dict[str, _Event] = {}
    for event in sorted(events, key=lambda event: event.time):
        code = event.code
        is_running = code in start_of
        if event.kind == ("START" if is_running else "STOP"):
            fault = "starts again" if is_running else "stops without a start"
            raise InputError(where, f"{code!r} {fault} at {event.time:g} s", "correct it in BORIS")
        if is_running:
            start = start_of.pop(code)
            comment = start.comment or event.comment
            spans.append(Span(start.time, event.time, code, where, comment=comment))
        else:
            start_of[code] = event
    for code, start in start_of.items():
        problem = f"{code!r} starts at {start.time:g} s and never stops"
        raise InputError(where, problem, "add its stop in BORIS")
    return spans
