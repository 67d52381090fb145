"""JSON, for other programs: a segmentation as one object, or as one line per segment; run-length labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from fact_clip.core import (
    MAX_FRAMES,
    FileLocation,
    InputError,
    NewWord,
    Segment,
    Segmentation,
    located,
)
from fact_clip.core.io import parse_value, read_text, read_value
from fact_clip.formats import base
from fact_clip.formats.base import Annotation, Options, Span


class _Segment(BaseModel):
    start: int
    stop: int
    action: str
    confidence: float | None = None
    stop_seconds: float | None = None


FORMAT = 1  # of a segmentation; files of earlier versions have no number


class _File(BaseModel):
    format: int = FORMAT
    segments: list[_Segment]
    fps: float | None = None
    n_frames: int | None = Field(None, ge=1, le=MAX_FRAMES)
    times: tuple[float, ...] | None = None
    media: str | None = None
    video_fps: float | None = None
    background: tuple[str, ...] = ()
    new_words: tuple[NewWord, ...] = ()


def as_dict(segmentation: Segmentation) -> dict[str, Any]:
    """Return a segmentation as plain JSON: fps, n_frames, all segments, and what else is known (docs/json.md)."""
    tree: dict[str, Any] = {
        "format": FORMAT,
        "fps": segmentation.fps,
        "n_frames": segmentation.n_frames,
    }
    words = list(map(asdict, segmentation.new_words))
    more: dict[str, Any] = {"media": segmentation.media, "video_fps": segmentation.video_fps}
    more |= {"background": list(segmentation.background), "new_words": words}
    tree |= {key: value for key, value in more.items() if value not in (None, [])}
    rows = base.cells(segmentation, segmentation.segments)
    tree["segments"] = [dict(zip(base.COLUMNS, row, strict=True)) for row in rows]
    if segmentation.times is not None:
        tree["times"] = list(segmentation.times)
    return tree


def write(segmentation: Segmentation, path: Path) -> None:
    """Write `as_dict`."""
    base.write_json(path, as_dict(segmentation), indent=2)


def read(path: Path, gaps: base.Gaps) -> Segmentation:
    """Read what `write` wrote; n_frames and the seconds may be missing, as frames and fps decide."""
    return _segmentation(
        path, read_value(_File, path, "give an object with fps and segments"), gaps
    )


def from_dict(path: Path, tree: Mapping[str, Any]) -> Segmentation:
    """Return the segmentation of which `as_dict` gave `tree`; `path` is named in errors."""
    return _segmentation(path, parse_value(_File, tree, path), base.Gaps())


def _segmentation(path: Path, file: _File, gaps: base.Gaps) -> Segmentation:
    """Return the segmentation in a file."""
    if file.format > FORMAT:
        raise InputError(
            path, f"format {file.format}, but this version reads {FORMAT}", "update fact-clip"
        )
    segments = []
    for number, row in enumerate(file.segments):
        with located(FileLocation(path, part=f"segment {number}")):
            segments.append(Segment(row.start, row.stop, row.action, row.confidence))
    if gaps.n_frames is None:
        gaps = replace(gaps, n_frames=file.n_frames)
    values = {
        name: getattr(file, name)
        for name in ("times", "media", "video_fps", "background", "new_words")
    }
    segmentation = base.gapless(path, segments, file.fps, gaps, **values)
    if file.n_frames not in (None, segmentation.n_frames):
        raise InputError(
            path, f"segments up to frame {segmentation.n_frames}, but n_frames is {file.n_frames}"
        )
    return segmentation


def write_lines(segmentation: Segmentation, path: Path) -> None:
    """Write the `segments` of the JSON file, one per line."""
    lines = [
        json.dumps(segment, ensure_ascii=False) + "\n"
        for segment in as_dict(segmentation)["segments"]
    ]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def read_lines(path: Path, gaps: base.Gaps) -> Segmentation:
    """Read what `write_lines` wrote. The frame rate is worked out from the seconds (`rate_of`)."""
    segments, times = [], []
    # not splitlines: JSON may contain the other line ends of Unicode
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            with located(FileLocation(path, number)):
                row = parse_value(_Segment, line, path, "give one segment per line")
                segments.append(Segment(row.start, row.stop, row.action, row.confidence))
            if row.stop_seconds is not None:
                times.append((row.stop, row.stop_seconds))
    return base.gapless(path, segments, base.rate_of(times), gaps)


_Runs = dict[str, list[tuple[Any, Annotated[int, Field(ge=1)]]]]


def read_runs(path: Path, options: Options) -> list[Annotation]:
    """Read run-length labels: NAME -> [[class, frames], ...]; a class is a name or an index into `options.classes`."""
    annotations = []
    for name, runs in read_value(_Runs, path, "give NAME: [[class, frames], ...]").items():
        spans: list[Span] = []
        start = 0
        for number, (value, n_frames) in enumerate(runs):
            where = FileLocation(path, part=f"{name!r}, run {number}")
            if type(value) is int and 0 <= value < len(options.classes):
                value = options.classes[value]
            if not isinstance(value, str):
                raise InputError(
                    where, f"no class {value!r}", "give names, or with --mapping their index in it"
                )
            spans.append(Span(start, start + n_frames, value, where))
            start += n_frames
        annotations.append(Annotation(name, tuple(spans), "frames", path, options.fps))
    return annotations
