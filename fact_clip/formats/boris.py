"""BORIS: a project (.boris) to open and correct, and the table of events that BORIS exports (.boris.tsv)."""

from __future__ import annotations

import csv
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from fact_clip.core import FileLocation, InputError, Segmentation
from fact_clip.core.io import read_value
from fact_clip.formats import base
from fact_clip.formats.base import Annotation, Options, Span, choose, read_remark, remark

logger = logging.getLogger(__name__)

COLUMNS = (
    "Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source",
    "Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior", "Behavioral category", "Behavior type",
    "Time", "Media file name", "Image index", "Image file path", "Comment",
)  # fmt: skip


def write_project(segmentation: Segmentation, path: Path) -> None:
    """Write a project with one observation: each class is a state behaviour, each segment a start and a stop event."""
    video = segmentation.media or "video"
    date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    events, end = (
        _events(segmentation, path),
        base.second_of(path, segmentation, segmentation.n_frames),
    )
    empty = dict.fromkeys(
        ("key", "description", "color", "category", "modifiers", "excluded", "coding map"), ""
    )
    codes = sorted({code for _, _, code, _, _ in events})
    observation = {
        "file": {str(player): [video] if player == 1 else [] for player in range(1, 9)},
        "type": "MEDIA",
        "date": date,
        "description": remark(segmentation),
        "time offset": 0.0,
        "events": [
            [time, "", code, "", comment, frame] for time, _, code, comment, frame in events
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
            # a millisecond more: BORIS drops a last stop that, as a decimal, is above the binary fraction of the length
            "length": {video: round(round(end, 3) + 0.001, 3)},
            "fps": {video: base.picture_rate(segmentation)},
            "hasVideo": {video: True},
            "hasAudio": {video: False},
            "offset": {"1": 0.0},
        },
    }
    project = {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": Path(video).stem,
        "project_description": "written by fact-clip",
        "project_format_version": "7.0",
        "behaviors_conf": {
            str(n): {"type": "State event", "code": code, **empty} for n, code in enumerate(codes)
        },
        "observations": {Path(video).stem: observation},
        **{key: [] for key in ("behavioral_categories", "behaviors_coding_map")},
        **{
            key: {}
            for key in ("subjects_conf", "independent_variables", "coding_map", "converters")
        },
    }
    base.write_json(path, project)


def write_events(segmentation: Segmentation, path: Path) -> None:
    """Write the table that BORIS 8 exports as tabular events: a row START and a row STOP per segment."""
    video = segmentation.media or "video"
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    events = _events(segmentation, path)
    end = f"{base.second_of(path, segmentation, segmentation.n_frames):.3f}"
    fixed = [
        Path(video).stem,
        date,
        remark(segmentation),
        end,
        "Media file(s)",
        f"player #1:{video}",
        "0.0",
        end,
    ]
    fixed += [f"{base.picture_rate(segmentation):.3f}", ""]
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(COLUMNS)
        for time, kind, code, comment, frame in events:
            rows.writerow(
                [
                    *fixed,
                    base.no_formula(code),
                    "",
                    kind,
                    f"{time:.3f}",
                    video,
                    frame,
                    "NA",
                    comment,
                ]
            )


def _events(segmentation: Segmentation, path: Path) -> list[tuple[float, str, str, str, int]]:
    """Return (seconds to the millisecond, START or STOP, class, comment, picture) in the order of time."""
    events = []
    for *times, segment in base.timed(path, segmentation):
        code = base.one_line(path, segment.label)
        start, stop = (round(time, 3) for time in times)
        comment = "" if segment.confidence is None else f"confidence {segment.confidence!r}"
        events.append((start, "START", code, comment, base.picture(segmentation, segment.start)))
        events.append((stop, "STOP", code, "", base.picture(segmentation, segment.stop)))
    return events


# of seconds, subject and behaviour; what else stands there (modifiers, comment, picture) is not read
_first_three = BeforeValidator(lambda event: tuple(event[:3]) if isinstance(event, list) else event)


class _Behaviour(BaseModel):
    code: str = ""
    type: Any = ""  # "State event", which has a length, or "Point event"


class _MediaInfo(BaseModel):
    length: dict[str, base.Number] = {}


class _Observation(BaseModel):
    events: list[Annotated[tuple[base.Number, str | None, str], _first_three]] = []
    file: dict[str, list[str]] = {}
    media_info: _MediaInfo = _MediaInfo()
    description: Any = None
    offset: base.Number | None = Field(None, alias="time offset")


class _Project(BaseModel):
    behaviors_conf: dict[str, _Behaviour] = {}
    observations: dict[str, _Observation]


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the state events of a BORIS project, or of its table of events (.tsv or .csv, tabular or aggregated).

    A video is named after its media file, or after the observation if that has several.
    """
    is_table = path.suffix.lower() in (".tsv", ".csv")
    annotations, n_points = (_read_table if is_table else _read_project)(path, options.tier)
    if n_points and not annotations:
        raise InputError(
            path, "only point events, which have no length", "make state events of them"
        )
    if n_points:
        logger.warning(
            "%s: %d point events are left out, since they have no length", path, n_points
        )
    return annotations


def _read_project(path: Path, tier: str | None) -> tuple[list[Annotation], int]:
    """Return what a project says of each video, and the number of point events."""
    project = read_value(_Project, path, "give a BORIS project")
    behaviours = project.behaviors_conf.values()
    points = {
        behaviour.code
        for behaviour in behaviours
        if str(behaviour.type).lower().startswith("point")
    }
    annotations, n_points = list[Annotation](), 0
    for name, observation in project.observations.items():
        where = FileLocation(path, part=f"observation {name!r}")
        _check_offset(where, observation.offset)
        events = [
            (time, subject or "", code)
            for time, subject, code in observation.events
            if code not in points
        ]
        n_points += len(observation.events) - len(events)
        if not events:  # not coded yet
            continue
        chosen = choose(where, "subject", (subject for _, subject, _ in events), tier)
        spans = _states(
            where, [(time, code, "") for time, subject, code in events if subject == chosen]
        )
        media = [file for files in observation.file.values() for file in files]
        video = base.video_name(media[0]) if len(media) == 1 else name
        lengths, background = (
            set(observation.media_info.length.values()),
            read_remark(observation.description),
        )
        annotations.append(_annotation(path, video, spans, lengths, background))
    return annotations, n_points


def _annotation(
    path: Path, video: str, spans: list[Span], lengths: set[float], background: str | None
) -> Annotation:
    end = lengths.pop() if len(lengths) == 1 else None
    return Annotation(video, tuple(spans), "seconds", path, None, end, background)


def _check_offset(where: FileLocation, offset: float | None) -> None:
    """Raise an InputError where the times are not those of the video, but later."""
    if offset:
        raise InputError(
            where, f"a time offset of {offset:g} s from the video", "set it to 0 in BORIS"
        )


def _read_table(path: Path, tier: str | None) -> tuple[list[Annotation], int]:
    """Return what a table of events says of each video, and the number of point events."""
    rows = list(base.read_table(path, ("Behavior",)))
    chosen = choose(path, "subject", (row.get("Subject", "") for _, row in rows), tier)
    kinds = [(row.get("Behavior type") or row.get("Status") or "").upper() for _, row in rows]
    videos: dict[
        tuple[str, str], list[tuple[str, base.Row]]
    ] = {}  # by path and name: a/x.mp4 and b/x.mp4 are two
    for kind, (where, row) in zip(kinds, rows, strict=True):
        if offset := row.get("Time offset (s)"):
            _check_offset(where, base.seconds(where, offset, "Time offset (s)"))
        if row.get("Subject", "") == chosen and kind != "POINT":
            media = (
                row.get("Media file name")
                or row.get("Media file path")
                or row.get("Media file")
                or ""
            )
            name = (
                base.video_name(media) if media else row.get("Observation id") or base.name_of(path)
            )
            videos.setdefault((media, name), []).append((kind, (where, row)))
    annotations = []
    for (_, name), rows_of_video in videos.items():
        spans, events, lengths = list[Span](), list[tuple[float, str, str]](), set[float]()
        for kind, (where, row) in rows_of_video:
            length = row.get("Media duration (s)") or row.get("Total length") or ""
            if re.fullmatch(r"[0-9.]+", length):  # of several files, or of none, it is no number
                lengths.add(base.seconds(where, length, "the length of the video"))
            label = base.without_mark(row["Behavior"])
            if row.get("Start (s)") and row.get("Stop (s)"):
                start, stop = (
                    base.seconds(where, row[column], column) for column in ("Start (s)", "Stop (s)")
                )
                spans.append(Span(start, stop, label, where))
            elif "Time" in row:
                events.append((base.seconds(where, row["Time"], "Time"), label, kind))
            else:
                raise InputError(where, "neither Time, nor Start (s) and Stop (s)")
        spans += _states(FileLocation(path, part=repr(name)), events)
        background = read_remark(rows_of_video[0][1][1].get("Description"))
        annotations.append(_annotation(path, name, spans, lengths, background))
    return annotations, kinds.count("POINT")


def _states(where: FileLocation, events: list[tuple[float, str, str]]) -> list[Span]:
    """Pair events (seconds, behaviour, START, STOP or unknown): one starts a behaviour and the next one stops it."""
    spans = []
    running: dict[str, float] = {}
    for time, code, kind in sorted(events, key=lambda event: event[0]):
        if kind == ("START" if code in running else "STOP"):
            problem = f"{code!r} {'starts again' if code in running else 'stops without a start'} at {time:g} s"
            raise InputError(where, problem, "correct it in BORIS")
        if code in running:
            spans.append(Span(running.pop(code), time, code, where))
        else:
            running[code] = time
    for code, start in running.items():
        raise InputError(
            where, f"{code!r} starts at {start:g} s and never stops", "add its stop in BORIS"
        )
    return spans
