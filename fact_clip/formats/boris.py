"""BORIS: a project (.boris) to open and correct, and the table of events that it exports (.boris.tsv)."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from fact_clip.core import Segment, Segmentation
from fact_clip.formats.base import Format, mean_rate, now, one_line, span

COLUMNS = (
    "Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source",
    "Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior", "Behavioral category", "Behavior type",
    "Time", "Media file name", "Image index", "Image file path", "Comment",
)  # fmt: skip


def write_project(segmentation: Segmentation, path: Path) -> None:
    """A project of one observation: each class a state behaviour, each segment its start and its stop.

    Times are seconds to the millisecond, as BORIS keeps them; the confidence is the comment of the start.

    Raises:
        InputError: no seconds are known, or a label that does not fill one line.
    """
    video = segmentation.media or "video"
    codes = sorted({one_line(path, label) for label in segmentation.transcript})
    date = now().removesuffix("+00:00")
    events = [
        [time, "", segment.label, "", _comment(segment) if kind == "START" else "", frame]
        for time, kind, frame, segment in _events(segmentation, path)
    ]
    project = {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": Path(video).stem,
        "project_description": "written by fact-clip",
        "project_format_version": "7.0",
        "subjects_conf": {},
        "behaviors_conf": {str(number): _behaviour(code) for number, code in enumerate(codes)},
        "observations": {Path(video).stem: _observation(segmentation, video, date, events)},
        "behavioral_categories": [],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    path.write_text(json.dumps(project, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_events(segmentation: Segmentation, path: Path) -> None:
    """The table that BORIS 8 exports as tabular events: two rows a segment, START and STOP, tabs between columns.

    Raises:
        InputError: as `write_project`.
    """
    video = segmentation.media or "video"
    date = now().removesuffix("+00:00").replace("T", " ")
    events = _events(segmentation, path)
    length, rate = f"{events[-1][0]:.3f}", f"{mean_rate(segmentation):.3f}"
    fixed = (Path(video).stem, date, "", length, "Media file(s)", f"player #1:{video}", "0.0", length, rate, "")
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(COLUMNS)
        for time, kind, frame, segment in events:
            event = (one_line(path, segment.label), "", kind, f"{time:.3f}", video, frame, "NA")
            rows.writerow([*fixed, *event, _comment(segment) if kind == "START" else ""])


def _events(segmentation: Segmentation, path: Path) -> list[tuple[float, str, int, Segment]]:
    """(seconds, START or STOP, frame, segment) in the order of time."""
    events = []
    for segment in segmentation:
        start, stop = span(path, segmentation, segment)
        events.append((round(start, 3), "START", segment.start, segment))
        events.append((round(stop, 3), "STOP", segment.stop, segment))
    return events


def _comment(segment: Segment) -> str:
    return "" if segment.confidence is None else f"confidence {segment.confidence!r}"


def _behaviour(code: str) -> dict[str, Any]:
    empty = dict.fromkeys(("key", "description", "color", "category", "modifiers", "excluded", "coding map"), "")
    return {"type": "State event", "code": code, **empty}


def _observation(segmentation: Segmentation, video: str, date: str, events: list[list[Any]]) -> dict[str, Any]:
    info = {
        # a millisecond more: BORIS drops a last stop whose decimal is above the binary fraction of the length
        "length": {video: round(events[-1][0] + 0.001, 3)},
        "fps": {video: mean_rate(segmentation)},
        "hasVideo": {video: True},
        "hasAudio": {video: False},
        "offset": {"1": 0.0},
    }
    return {
        "file": {str(player): [video] if player == 1 else [] for player in range(1, 9)},
        "type": "MEDIA",
        "date": date,
        "description": "",
        "time offset": 0.0,
        "events": events,
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": info,
    }


PROJECT = Format(write_project, None, "BORIS project: a state behaviour a class; confidence in comments")
EVENTS = Format(write_events, None, "BORIS tabular events: START and STOP rows; confidence in comments")
