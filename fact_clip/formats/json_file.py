"""JSON: a segmentation as one object, or one segment per line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from fact_clip.core import (
    MAX_FRAMES,
    FileLocation,
    InputError,
    Instant,
    Json,
    Names,
    NewWord,
    Segment,
    Segmentation,
    located,
)
from fact_clip.core.io import parse_value, read_text, read_value
from fact_clip.formats.base import (
    COMMENT,
    Annotation,
    Options,
    Span,
    video_name,
    write_json,
    write_text,
)
from fact_clip.formats.gaps import Gaps, gapless
from fact_clip.formats.table import COLUMNS, cells
from fact_clip.formats.times import Number, rate_of

FORMAT = 2  # version of the format of a segmentation


class _Segment(BaseModel):
    start: int
    stop: int
    label: str
    confidence: float | None = None
    start_seconds: float | None = None
    stop_seconds: float | None = None
    comment: str = ""

    def segment(self) -> Segment:
        """Return the segment."""
        return Segment(self.start, self.stop, self.label, self.confidence, comment=self.comment)


class _Instant(BaseModel):
    frame: int = Field(ge=0)
    label: str
    comment: str = ""


class _File(BaseModel):
    format: int = FORMAT
    segments: list[_Segment]
    fps: float | None = None
    n_frames: int | None = Field(None, ge=1, le=MAX_FRAMES)
    times: tuple[float, ...] | None = None
    media: str | None = None
    video_fps: float | None = None
    background: Names = ()
    new_words: tuple[NewWord, ...] = ()
    instants: tuple[_Instant, ...] = ()


def as_dict(segmentation: Segmentation) -> Json:
    """Return a segmentation as plain JSON (docs/formats.md), without unknown and empty values."""
    tree: Json = {
        "format": FORMAT,
        "fps": segmentation.fps,
        "n_frames": segmentation.n_frames,
    }
    optional = {
        "media": segmentation.media,
        "video_fps": segmentation.video_fps,
        "background": list(segmentation.background),
        "new_words": [asdict(word) for word in segmentation.new_words],
    }
    tree |= {key: value for key, value in optional.items() if value not in (None, [])}
    rows = cells(segmentation, segmentation.segments)
    tree["segments"] = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    for segment, row in zip(segmentation, tree["segments"], strict=True):
        if segment.comment:
            row[COMMENT] = segment.comment
    if segmentation.instants:
        tree["instants"] = [
            {**asdict(instant), "seconds": segmentation.seconds(instant.frame)}
            for instant in segmentation.instants
        ]
    if segmentation.times is not None:
        tree["times"] = list(segmentation.times)
    return tree


def write(segmentation: Segmentation, path: Path) -> None:
    """Write `as_dict`."""
    write_json(path, as_dict(segmentation), indent=2)


def read(path: Path, gaps: Gaps) -> Segmentation:
    """Read a file of `write`. The length and the seconds may be missing."""
    file = read_value(_File, path, "give an object with fps and segments")
    return _segmentation(path, file, gaps)


def from_dict(path: Path, tree: Mapping[str, Any]) -> Segmentation:
    """Return the segmentation of an `as_dict` tree. `path` is the location for errors."""
    return _segmentation(path, parse_value(_File, tree, path), Gaps())


def _times(rows: Iterable[_Segment]) -> Iterator[tuple[int, float]]:
    """Yield frame and second of both ends of the rows that have seconds."""
    for row in rows:
        for frame, second in ((row.start, row.start_seconds), (row.stop, row.stop_seconds)):
            if second is not None:
                yield frame, second


def _segmentation(path: Path, file: _File, gaps: Gaps) -> Segmentation:
    if file.format != FORMAT:
        problem = f"format {file.format}, but this version reads {FORMAT}"
        raise InputError(path, problem, "use the fact-clip version that wrote it")
    segments = []
    for number, row in enumerate(file.segments):
        with located(FileLocation(path, part=f"segment {number}")):
            segments.append(row.segment())
    if gaps.n_frames is None:
        gaps = replace(gaps, n_frames=file.n_frames)
    segmentation = gapless(
        path,
        segments,
        file.fps,
        gaps,
        times=file.times,
        media=file.media,
        video_fps=file.video_fps,
        background=file.background,
        new_words=file.new_words,
        instants=[Instant(**instant.model_dump()) for instant in file.instants],
    )
    if file.n_frames not in (None, segmentation.n_frames):
        problem = f"segments up to frame {segmentation.n_frames}, but n_frames is {file.n_frames}"
        raise InputError(path, problem)
    return segmentation


def write_lines(segmentation: Segmentation, path: Path) -> None:
    """Write the `segments` of the JSON file, one per line."""
    segments = as_dict(segmentation)["segments"]
    write_text(path, (json.dumps(segment, ensure_ascii=False) + "\n" for segment in segments))


def read_lines(path: Path, gaps: Gaps) -> Segmentation:
    """Read a file of `write_lines`. The rate follows from the seconds (`rate_of`)."""
    segments = []
    rows = []
    # Do not use splitlines, because JSON may contain other line ends of Unicode.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        with located(FileLocation(path, number)):
            row = parse_value(_Segment, line, path, "give one segment per line")
            segments.append(row.segment())
        rows.append(row)
    return gapless(path, segments, rate_of(_times(rows)), gaps)


class _Interval(BaseModel):
    start_seconds: Number
    stop_seconds: Number
    label: str
    video: str = ""
    comment: str = ""


class _Moment(BaseModel):
    seconds: Number
    label: str
    comment: str = ""


class _Intervals(BaseModel):
    segments: list[_Interval]
    instants: list[_Moment] = []
    media: str = ""
    background: Names = ()


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read segments in seconds, for example by a vision-language model, or a file of `write`."""
    file = read_value(_Intervals, path, "give segments with start_seconds, stop_seconds and label")
    spans: dict[str, list[Span]] = {}
    for number, row in enumerate(file.segments):
        where = FileLocation(path, part=f"segment {number}")
        span = Span(row.start_seconds, row.stop_seconds, row.label, where, row.comment)
        spans.setdefault(row.video, []).append(span)
    if "" in spans and len(spans) > 1:
        raise InputError(path, "some segments name their video, others do not", "name all or none")
    if options.instants:
        for number, point in enumerate(file.instants):
            where = FileLocation(path, part=f"instant {number}")
            span = Span(point.seconds, point.seconds, point.label, where, point.comment)
            spans.setdefault("", []).append(span)
    annotations = []
    for video, video_spans in spans.items():
        annotation = Annotation(path, video_spans, video_name(video or file.media))
        annotations.append(annotation.with_background(file.background))
    return annotations
