"""Label Studio (.label-studio.json): a task with pre-annotations for a video, and its exports."""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from fact_clip.core import MAX_FRAMES, FileLocation, InputError, Json, Segment, Segmentation
from fact_clip.core.io import read_value
from fact_clip.formats.base import (
    OURS,
    Annotation,
    Options,
    Span,
    Unit,
    background_note,
    choose,
    read_background_note,
    video_name,
    write_json,
    written_segments,
)
from fact_clip.formats.times import Number, parse_seconds, picture, picture_grid, picture_rate

logger = logging.getLogger(__name__)

MILLISECONDS = 1000.0
"""Frames per second of a task whose frames are not evenly spaced."""


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a task with one prediction: one region per segment, whose score is the confidence.

    Label Studio counts frames from 1, with both ends included, at the even rate of the video, or
    else of the segmentation. It supports only evenly spaced frames, so uneven frames are counted in
    milliseconds.
    """
    data: Json = {"video": segmentation.media or "video"}
    rate = picture_rate(segmentation)
    grid = picture_grid(segmentation)
    if segmentation.times is not None and grid is None:
        rate = MILLISECONDS
        grid = MILLISECONDS
    if rate is not None:
        data["fps"] = rate
    note = background_note(segmentation)
    if note:
        data["background"] = note

    segments = written_segments(segmentation)
    prediction: Json = {"model_version": "fact-clip"}
    scores = [segment.confidence for segment in segments if segment.confidence is not None]
    if scores:
        prediction["score"] = sum(scores) / len(scores)
    prediction["result"] = [
        _region(f"segment-{number}", segmentation, segment, grid)
        for number, segment in enumerate(segments)
    ]
    write_json(path, [{"data": data, "predictions": [prediction]}])


def _region(name: str, segmentation: Segmentation, segment: Segment, grid: float | None) -> Json:
    start = picture(segmentation, segment.start, grid) + 1
    end = max(picture(segmentation, segment.stop, grid), start)
    region: Json = {
        "id": name,
        "type": "timelinelabels",
        "from_name": OURS,
        "to_name": "video",
        "value": {
            "ranges": [{"start": start, "end": end}],
            "timelinelabels": [segment.label],
        },
    }
    if segment.confidence is not None:
        region["score"] = segment.confidence
    return region


class _Range(BaseModel):
    start: int = Field(ge=1, le=MAX_FRAMES)  # frames from 1, with both ends included
    end: int = Field(le=MAX_FRAMES)


class _Value(BaseModel):
    ranges: list[_Range] | None = None
    timelinelabels: list[str] | None = None
    labels: list[str] | None = None
    start: Any = None  # seconds on a sound track; a string in regions of texts
    end: Any = None


class _Region(BaseModel):
    id: Any = None
    from_name: Any = None
    value: _Value = _Value()

    @property
    def is_timed(self) -> bool:
        """Return whether it is a stretch of time: frames, or labels on a sound track."""
        value = self.value
        is_sound = value.start is not None and bool(value.labels)
        return value.ranges is not None or bool(value.timelinelabels) or is_sound


class _Answer(BaseModel):
    result: list[_Region] | None = None
    was_cancelled: Any = False
    version: Any = Field(None, alias="model_version")


class _Data(BaseModel):
    video: str | None = None
    fps: Number | None = None
    background: str | None = None


class _Task(BaseModel):
    id: Any = None
    data: _Data
    file_upload: str | None = None
    annotations: list[_Answer] | None = None
    predictions: list[_Answer | int] | None = None  # exports may have their numbers


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the timeline labels of a Label Studio export (JSON, not JSON-MIN).

    If a task has several annotations, the last one that was not cancelled is read. Without
    annotations, the last prediction is read.
    """
    annotations = []
    n_predicted = 0
    tasks = read_value(list[_Task], path, "export from Label Studio as JSON")
    for number, task in enumerate(tasks):
        where = FileLocation(path, part=f"task {number if task.id is None else task.id}")
        # The uploaded file may be a table of tasks.
        media = task.data.video or task.file_upload or ""
        name = video_name(media)
        if media == task.file_upload or media.startswith("/data/upload/"):
            name = re.sub(r"^[0-9a-f]{8}-", "", name)  # digits that mark an upload
        if not name:
            raise InputError(where, "no video", "name it in data.video")
        answers = [answer for answer in task.annotations or [] if not answer.was_cancelled]
        is_predicted = not answers
        if is_predicted:
            answers = [answer for answer in task.predictions or [] if isinstance(answer, _Answer)]
        if not answers:  # not labelled yet
            continue
        annotations.append(_annotation(where, name, task.data, answers[-1], is_predicted, options))
        n_predicted += is_predicted
    if n_predicted:
        message = "%s: nobody has annotated %d of %d tasks, so predictions are read"
        logger.warning(message, path, n_predicted, len(annotations))
    return annotations


def _annotation(
    where: FileLocation,
    name: str,
    data: _Data,
    answer: _Answer,
    is_predicted: bool,
    options: Options,
) -> Annotation:
    """Return the annotation of one task."""
    regions = [region for region in answer.result or [] if region.is_timed]
    controls = [str(region.from_name) for region in regions]
    is_ours = is_predicted and answer.version == "fact-clip"
    background = () if data.background is None else read_background_note(data.background)
    if not answer.result:  # nothing but background
        return Annotation(where.path, [], name, "frames").with_background(background)
    control = choose(where, "control", controls, options.tier)
    regions = [region for region in regions if str(region.from_name) == control]
    kinds = {region.value.ranges is None for region in regions}
    if len(kinds) > 1:
        raise InputError(where, f"the control {control!r} has both frames and seconds")
    unit: Unit = "seconds" if kinds.pop() else "frames"
    fps = options.fps or data.fps or options.default_fps
    # Our predictions count feature rows if the rate is unknown.
    if unit == "frames" and fps is None and not is_ours:
        fix = "give their rate with --source-fps (data convert) or --fps (summary)"
        raise InputError(where, "frames, but no fps in its data", fix)

    spans: list[Span] = []
    for region in regions:
        spans += _spans(where, region)
    annotation = Annotation(where.path, spans, name, unit, fps, tier=control)
    return annotation.with_background(background)


def _spans(task: FileLocation, region: _Region) -> list[Span]:
    """Return the stretches of a region, with frames as [start, stop) from 0."""
    where = replace(task, part=f"{task.part}, region {region.id!r}")
    value = region.value
    labels = value.timelinelabels or value.labels or []
    if len(labels) != 1:
        fix = "give each region one label in Label Studio, or delete it"
        raise InputError(where, f"{len(labels)} labels", fix)
    (label,) = labels
    if value.ranges is not None:
        return [Span(frames.start - 1, frames.end, label, where) for frames in value.ranges]
    start = parse_seconds(where, value.start, "start")
    return [Span(start, parse_seconds(where, value.end, "end"), label, where)]
