"""BORIS: a project (.boris) to open and correct, and the table of events that BORIS exports (.boris.tsv)."""

from __future__ import annotations

import csv
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.annotations import Annotation, Options, Span, choose, read_remark, remark, tell_others
from fact_clip.formats.base import (
    length,
    media_of,
    name_of,
    no_formula,
    number,
    one_line,
    picture,
    picture_rate,
    read_json,
    seconds,
    timed,
    typed,
    video_name,
    without_mark,
    write_json,
)
from fact_clip.formats.table import read_table

logger = logging.getLogger(__name__)

COLUMNS = (
    "Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source",
    "Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior", "Behavioral category", "Behavior type",
    "Time", "Media file name", "Image index", "Image file path", "Comment",
)  # fmt: skip


def write_project(segmentation: Segmentation, path: Path) -> None:
    """Write a project with one observation: each class is a state behaviour, each segment a start and a stop event."""
    video = media_of(segmentation)
    date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    events, end = _events(segmentation, path), length(path, segmentation)
    empty = dict.fromkeys(("key", "description", "color", "category", "modifiers", "excluded", "coding map"), "")
    codes = sorted({code for _, _, code, _, _ in events})
    observation = {
        "file": {str(player): [video] if player == 1 else [] for player in range(1, 9)},
        "type": "MEDIA",
        "date": date,
        "description": remark(segmentation),
        "time offset": 0.0,
        "events": [[time, "", code, "", comment, frame] for time, _, code, comment, frame in events],
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
            "fps": {video: picture_rate(segmentation)},
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
        "behaviors_conf": {str(n): {"type": "State event", "code": code, **empty} for n, code in enumerate(codes)},
        "observations": {Path(video).stem: observation},
        **{key: [] for key in ("behavioral_categories", "behaviors_coding_map")},
        **{key: {} for key in ("subjects_conf", "independent_variables", "coding_map", "converters")},
    }
    write_json(path, project)


def write_events(segmentation: Segmentation, path: Path) -> None:
    """Write the table that BORIS 8 exports as tabular events: a row START and a row STOP per segment."""
    video = media_of(segmentation)
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    events = _events(segmentation, path)
    end, rate = f"{length(path, segmentation):.3f}", f"{picture_rate(segmentation):.3f}"
    fixed = (
        Path(video).stem,
        date,
        remark(segmentation),
        end,
        "Media file(s)",
        f"player #1:{video}",
        "0.0",
        end,
        rate,
        "",
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(COLUMNS)
        for time, kind, code, comment, frame in events:
            rows.writerow([*fixed, no_formula(code), "", kind, f"{time:.3f}", video, frame, "NA", comment])


def _events(segmentation: Segmentation, path: Path) -> list[tuple[float, str, str, str, int]]:
    """(seconds to the millisecond, START or STOP, class, comment, picture) in the order of time."""
    events = []
    for *times, segment in timed(path, segmentation):
        code = one_line(path, segment.label)
        start, stop = (round(time, 3) for time in times)
        comment = "" if segment.confidence is None else f"confidence {segment.confidence!r}"
        events.append((start, "START", code, comment, picture(segmentation, segment.start)))
        events.append((stop, "STOP", code, "", picture(segmentation, segment.stop)))
    return events


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """The state events of a BORIS project, or of its table of events (.tsv or .csv, tabular or aggregated).

    A video is named after its media file, or after the observation if that has several. Point events and modifiers
    are left out; a start without a stop is an InputError.
    """
    if path.suffix.lower() in (".tsv", ".csv"):
        return _read_events(path, options)
    project = read_json(path, "a BORIS project", dict)
    where, found, left_out = str(path), list[Annotation](), 0
    subjects, read = list[str](), set[str]()
    behaviours = typed(project.get("behaviors_conf", {}), dict, where, "behaviors_conf")
    kinds = [typed(each, dict, where, f"behaviour {key}") for key, each in behaviours.items()]
    points = {each.get("code") for each in kinds if str(each.get("type", "")).lower().startswith("point")}
    for name, content in typed(project.get("observations"), dict, where, "observations").items():
        where = f"{path}, observation {name!r}"
        observation = typed(content, dict, where, "it")
        _check_offset(where, observation.get("time offset"))
        rows = []
        for place, event in enumerate(typed(observation.get("events", []), list, where, "events")):
            what = f"event {place}"
            if len(typed(event, list, where, what)) < 3:
                raise InputError(where, f"{what} is {event}; expected [time, subject, behaviour, ...]")
            code, subject = typed(event[2], str, where, f"{what}, behaviour"), event[1] or ""
            rows.append(
                (number(event[0], where, f"{what}, time"), typed(subject, str, where, f"{what}, subject"), code)
            )
        left_out += sum(row[2] in points for row in rows)
        rows = [row for row in rows if row[2] not in points]
        if not rows:  # not coded yet
            continue
        chosen = choose(where, "subject", (subject for _, subject, _ in rows), options.tier)
        subjects += [subject for _, subject, _ in rows]
        read.add(chosen)
        spans = _states(where, [(time, code, "") for time, subject, code in rows if subject == chosen])
        background = read_remark(observation.get("description"))
        video = _video(where, observation) or name
        found.append(Annotation(video, spans, "seconds", str(path), None, _length(where, observation), background))
    tell_others(path, "subject", subjects, read, options.tier)
    _tell_points(path, left_out, bool(found))
    return found


def _tell_points(path: Path, left_out: int, has_states: bool) -> None:
    """A warning where point events are left out, and an InputError where there is nothing else."""
    if left_out and not has_states:
        raise InputError(
            path, "only point events; expected state events, which start and stop", "make state events of them"
        )
    if left_out:
        logger.warning("%s: %d point events are left out, since they have no length", path, left_out)


def _check_offset(where: str, offset: object) -> None:
    """An InputError where the times are not those of the video, but a stated while later."""
    if offset not in (None, "", 0) and number(offset, where, "time offset") != 0:
        todo = "set its time offset to 0 in BORIS"
        raise InputError(where, f"a time offset of {offset} s; expected times of the video", todo)


def _video(where: str, observation: dict[str, Any]) -> str | None:
    """The name of the one video of an observation; None where it has none, or several."""
    players = typed(observation.get("file", {}), dict, where, "file").items()
    listed = [file for player, files in players for file in typed(files, list, where, f"file of player {player}")]
    media = [typed(file, str, where, "a media file") for file in listed]
    return video_name(media[0]) if len(media) == 1 else None


def _length(where: str, observation: dict[str, Any]) -> float | None:
    """Seconds of the one video of an observation."""
    known = typed(observation.get("media_info", {}), dict, where, "media_info")
    lengths = typed(known.get("length", {}), dict, where, "media_info.length").items()
    found = [number(length, where, f"the length of {video!r}") for video, length in lengths]
    return found[0] if len(found) == 1 else None


def _read_events(path: Path, options: Options) -> list[Annotation]:
    rows = list(read_table(path, ("Behavior",)))
    subjects = [row.get("Subject", "") for _, row in rows]
    subject = choose(path, "subject", subjects, options.tier)
    tell_others(path, "subject", subjects, [subject], options.tier)
    files = set[str]()
    events: dict[str, list[tuple[float, str, str]]] = {}
    spans: dict[str, list[Span]] = {}
    background: dict[str, str | None] = {}
    lengths: dict[str, set[float]] = {}
    points = 0
    for where, row in rows:
        kind = (row.get("Behavior type") or row.get("Status") or "").upper()
        points += kind == "POINT"
        _check_offset(where, row.get("Time offset (s)"))
        if row.get("Subject", "") != subject or kind == "POINT":
            continue
        if kind not in ("START", "STOP", "STATE", ""):
            raise InputError(where, f"{kind!r}; expected START, STOP, STATE or POINT")
        media = row.get("Media file name") or row.get("Media file path") or row.get("Media file") or ""
        # as it is written: a/x.mp4 and b/x.mp4 are two videos
        name = media or row.get("Observation id") or name_of(path)
        background[name] = read_remark(row.get("Description"))
        stated = row.get("Media duration (s)") or row.get("Total length") or ""
        if re.fullmatch(r"[0-9.]+", stated):  # of several files, or of none, it is no number
            lengths.setdefault(name, set()).add(seconds(where, stated, "the length of the video"))
        if row.get("Start (s)") and row.get("Stop (s)"):
            start, stop = (seconds(where, row[column], column) for column in ("Start (s)", "Stop (s)"))
            spans.setdefault(name, []).append(Span(start, stop, without_mark(row["Behavior"]), where))
        elif "Time" not in row:
            raise InputError(
                where, "no Time, and not both of Start (s) and Stop (s); expected when it starts and stops"
            )
        else:
            time = seconds(where, row["Time"], "Time")
            events.setdefault(name, []).append((time, without_mark(row["Behavior"]), kind))
        if media:
            files.add(name)
    called = {name: video_name(name) if name in files else name for name in (*events, *spans)}
    _tell_points(path, points, bool(called))
    for name, found in events.items():
        spans.setdefault(name, []).extend(_states(f"{path}, {called[name]!r}", found))
    ends = {name: own.pop() for name, own in lengths.items() if len(own) == 1}
    return [
        Annotation(called[name], tuple(listed), "seconds", str(path), None, ends.get(name), background[name])
        for name, listed in spans.items()
    ]


def _states(where: str, events: list[tuple[float, str, str]]) -> tuple[Span, ...]:
    """Pair events (seconds, behaviour, kind): of a behaviour one starts it and the next one stops it.

    The kind is START, STOP, or anything else where the file does not say it.
    """
    spans = []
    running: dict[str, float] = {}
    for time, code, kind in sorted(events, key=lambda event: event[0]):
        if kind == ("START" if code in running else "STOP"):
            found = f"{code!r} {'starts again' if code in running else 'stops'} at {time:g} s"
            raise InputError(where, f"{found}; expected a start and a stop in turn", "correct it in BORIS")
        if code in running:
            spans.append(Span(running.pop(code), time, code, where))
        else:
            running[code] = time
    for code, start in running.items():
        raise InputError(where, f"{code!r} starts at {start:g} s and never stops; expected a stop", "add it in BORIS")
    return tuple(spans)
