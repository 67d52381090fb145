"""Label Studio (.label-studio.json): a task with pre-annotations for timeline labels on a video, and its exports."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from fact_clip.core import FileLocation, InputError, Segmentation
from fact_clip.core.io import read_value
from fact_clip.formats import base
from fact_clip.formats.base import BACKGROUND, OURS, Annotation, Number, Options, Span, Unit, choose

logger = logging.getLogger(__name__)


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a task with one prediction: one region per segment, whose score is the confidence.

    Label Studio counts frames from 1, both ends included, at the even rate of the video, else of the segmentation.
    """
    rate = base.picture_rate(segmentation)
    data: dict[str, Any] = {
        "video": segmentation.media or "video",
        **({} if rate is None else {"fps": rate}),
    }
    if segmentation.background:
        data[BACKGROUND] = segmentation.background[0]
    result = []
    for number, segment in enumerate(segmentation.foreground):
        start, stop = (base.picture(segmentation, frame) for frame in (segment.start, segment.stop))
        region = {
            "id": f"segment-{number}",
            "type": "timelinelabels",
            "from_name": OURS,
            "to_name": "video",
            "value": {
                "ranges": [{"start": start + 1, "end": max(stop, start + 1)}],
                "timelinelabels": [segment.label],
            },
        }
        result.append(
            region if segment.confidence is None else {**region, "score": segment.confidence}
        )
    confidences = [
        segment.confidence for segment in segmentation.foreground if segment.confidence is not None
    ]
    score = {"score": sum(confidences) / len(confidences)} if confidences else {}
    tasks = [
        {"data": data, "predictions": [{"model_version": "fact-clip", **score, "result": result}]}
    ]
    base.write_json(path, tasks)


class _Range(BaseModel):
    start: int = Field(ge=1)  # frames from 1 on, both ends included
    end: int


class _Value(BaseModel):
    ranges: list[_Range] | None = None
    timelinelabels: list[str] | None = None
    labels: list[str] | None = None
    start: Any = None  # seconds on a sound track; a text in regions of texts
    end: Any = None


class _Region(BaseModel):
    id: Any = None
    from_name: Any = None
    value: _Value = _Value()

    @property
    def is_timed(self) -> bool:
        """Whether it is a stretch of time: frames, or labels on a sound."""
        value = self.value
        return value.ranges is not None or bool(
            value.timelinelabels or (value.start is not None and value.labels)
        )


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
    """Read the timeline labels of a Label Studio export (JSON, not JSON-MIN), or of its pre-annotations.

    Of several annotations of a task, the last one that was not cancelled is read; without any, the last prediction.
    """
    annotations, n_predicted = list[Annotation](), 0
    for number, task in enumerate(
        read_value(list[_Task], path, "export from Label Studio as JSON")
    ):
        task_id = number if task.id is None else task.id
        where = FileLocation(path, part=f"task {task_id}")
        # Label Studio puts eight digits before an upload
        name = re.sub(
            r"^[0-9a-f]{8}-", "", base.video_name(task.file_upload or task.data.video or "")
        )
        if not name:
            raise InputError(where, "no video", "name it in data.video")
        answers = [answer for answer in task.annotations or [] if not answer.was_cancelled]
        is_predicted = not answers
        answers = answers or [
            answer for answer in task.predictions or [] if isinstance(answer, _Answer)
        ]
        if not answers:  # not labelled yet
            continue
        regions = [region for region in answers[-1].result or [] if region.is_timed]
        control = choose(
            where, "control", (str(region.from_name) for region in regions), options.tier
        )
        regions = [region for region in regions if str(region.from_name) == control]
        units: set[Unit] = {
            "seconds" if region.value.ranges is None else "frames" for region in regions
        }
        if len(units) > 1:
            raise InputError(where, f"the control {control!r} has both frames and seconds")
        unit, fps = units.pop(), options.fps or task.data.fps
        # our predictions count feature rows where no rate is known
        if (
            unit == "frames"
            and fps is None
            and not (is_predicted and answers[-1].version == "fact-clip")
        ):
            raise InputError(where, "frames, but no fps in its data", "set --source-fps")
        spans = tuple(span for region in regions for span in _spans(where, region))
        annotations.append(
            Annotation(name, spans, unit, path, fps, background=task.data.background)
        )
        n_predicted += is_predicted
    if n_predicted:
        counts = n_predicted, len(annotations)
        logger.warning(
            "%s: nobody has annotated %d of %d tasks, so predictions are read", path, *counts
        )
    return annotations


def _spans(task: FileLocation, region: _Region) -> list[Span]:
    """Return the stretches of a region, frames as [start, stop) from 0."""
    where, value = replace(task, part=f"{task.part}, region {region.id!r}"), region.value
    labels = value.timelinelabels or value.labels or []
    if len(labels) != 1:
        raise InputError(
            where,
            f"{len(labels)} labels",
            "give each region one label in Label Studio, or delete it",
        )
    (label,) = labels
    if value.ranges is None:
        return [
            Span(
                base.seconds(where, value.start, "start"),
                base.seconds(where, value.end, "end"),
                label,
                where,
            )
        ]
    return [Span(frames.start - 1, frames.end, label, where) for frames in value.ranges]
