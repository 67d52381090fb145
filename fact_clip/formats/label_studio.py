"""Label Studio (.label-studio.json): a task with pre-annotations for timeline labels on a video, and its exports."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from fact_clip.core import InputError, Segmentation
from fact_clip.core.errors import FileLocation
from fact_clip.core.io import read_value
from fact_clip.formats.annotations import BACKGROUND, OURS, Annotation, Options, Span, Unit, choose, warn_of_others
from fact_clip.formats.base import Number, picture, picture_rate, seconds, video_name, write_json

logger = logging.getLogger(__name__)


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a task with one prediction: one region per segment, whose score is the confidence.

    Label Studio counts frames from 1, both ends included, at the even frame rate of its <Video> tag (see
    docs/formats.md for the labelling setup). They are the video's; where its rate is unknown they are those of the
    segmentation, and frame times become frames at their mean rate.
    """
    rate = picture_rate(segmentation)
    data: dict[str, Any] = {"video": segmentation.media or "video", **({} if rate is None else {"fps": rate})}
    if segmentation.background:
        data[BACKGROUND] = segmentation.background[0]
    result = []
    for number, segment in enumerate(segmentation.foreground):
        start, stop = (picture(segmentation, frame) for frame in (segment.start, segment.stop))
        if segmentation.times is not None and segmentation.video_fps is None and rate is not None:
            start, stop = (round(segmentation.times[frame] * rate) for frame in (segment.start, segment.stop))
        region = {
            "id": f"segment-{number}",
            "type": "timelinelabels",
            "from_name": OURS,
            "to_name": "video",
            "value": {"ranges": [{"start": start + 1, "end": max(stop, start + 1)}], "timelinelabels": [segment.label]},
        }
        result.append(region if segment.confidence is None else {**region, "score": segment.confidence})
    confidences = [segment.confidence for segment in segmentation.foreground if segment.confidence is not None]
    score = {"score": sum(confidences) / len(confidences)} if confidences else {}
    tasks = [{"data": data, "predictions": [{"model_version": "fact-clip", **score, "result": result}]}]
    write_json(path, tasks)


class _Range(BaseModel):
    """Frames from 1 on, both ends included."""

    start: int = Field(ge=1)
    end: int


class _Value(BaseModel):
    """What a region is: ranges of frames, or `start` and `end` in seconds on a sound track; or a box, and so on."""

    ranges: list[_Range] | None = None
    timelinelabels: list[str] | None = None
    labels: list[str] | None = None
    start: Any = None  # a text in regions of texts
    end: Any = None


class _Region(BaseModel):
    """A labelled stretch, which the control `from_name` made."""

    id: Any = None
    from_name: Any = None
    value: _Value = _Value()

    @property
    def labels(self) -> list[str]:
        """The labels of a stretch of time; none for a region of another kind."""
        is_sound = self.value.ranges is None and self.value.start is not None
        return self.value.timelinelabels or (self.value.labels if is_sound else None) or []


class _Answer(BaseModel):
    """An annotation or a prediction."""

    result: list[_Region] | None = None
    was_cancelled: Any = False
    version: Any = Field(None, alias="model_version")


class _Data(BaseModel):
    """What a task is about."""

    video: str | None = None
    fps: Number | None = None
    background: str | None = None


class _Task(BaseModel):
    """A video; exports may have the numbers of predictions in their stead."""

    id: Any = None
    data: _Data
    file_upload: str | None = None
    annotations: list[_Answer] | None = None
    predictions: list[_Answer | int] | None = None


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the timeline labels of a Label Studio export (JSON, not JSON-MIN), or of its pre-annotations.

    Of several annotations of a task, the last one that was not cancelled is read; without any, the last prediction.
    Frames count from 1, both ends included, at `options.fps`, else at the task's `data.fps`. Labels on a sound track
    are in seconds.
    """
    annotations, n_predicted = list[Annotation](), 0
    controls, chosen = list[str](), set[str]()
    for number, task in enumerate(read_value(list[_Task], path, "export from Label Studio as JSON")):
        task_id = number if task.id is None else task.id
        where = FileLocation(path, part=f"task {task_id}")
        # Label Studio puts eight digits before an upload
        name = re.sub(r"^[0-9a-f]{8}-", "", video_name(task.file_upload or task.data.video or ""))
        if not name:
            raise InputError(where, "no video", "name it in data.video")
        answers = [answer for answer in task.annotations or [] if not answer.was_cancelled]
        is_predicted = not answers
        answers = answers or [answer for answer in task.predictions or [] if isinstance(answer, _Answer)]
        if not answers:  # not labelled yet
            continue
        regions = [region for region in answers[-1].result or [] if _check_labels(where, region)]
        names = [str(region.from_name) for region in regions]
        control = choose(where, "control", names, options.tier)
        controls += names
        chosen.add(control)
        regions = [region for region in regions if str(region.from_name) == control]
        units: set[Unit] = {"seconds" if region.value.ranges is None else "frames" for region in regions}
        if len(units) > 1:
            raise InputError(where, f"the control {control!r} has both frames and seconds")
        unit, fps = units.pop(), options.fps or task.data.fps
        # our predictions count feature rows where no rate is known
        if unit == "frames" and fps is None and not (is_predicted and answers[-1].version == "fact-clip"):
            raise InputError(where, "frames, but no fps in its data", "set --source-fps")
        spans = tuple(span for region in regions for span in _spans(where, region))
        annotations.append(Annotation(name, spans, unit, path, fps, background=task.data.background))
        n_predicted += is_predicted
    warn_of_others(path, "control", controls, chosen, options.tier)
    if n_predicted:
        counts = n_predicted, len(annotations)
        logger.warning("%s: nobody has annotated %d of %d tasks, so predictions are read", path, *counts)
    return annotations


def _check_labels(task: FileLocation, region: _Region) -> bool:
    """Whether a region is a stretch of time, which has one label."""
    where, labels = replace(task, part=f"{task.part}, region {region.id!r}"), region.labels
    if len(labels) > 1:
        raise InputError(where, f"several labels, {', '.join(labels)}", "make a region for each")
    if region.value.ranges is not None and not labels:
        raise InputError(where, "no label", "choose one in Label Studio, or delete the region")
    return bool(labels)


def _spans(task: FileLocation, region: _Region) -> list[Span]:
    """Return the stretches of a region, frames as [start, stop) from 0."""
    where, value, label = replace(task, part=f"{task.part}, region {region.id!r}"), region.value, region.labels[0]
    if value.ranges is None:
        return [Span(seconds(where, value.start, "start"), seconds(where, value.end, "end"), label, where)]
    return [Span(frames.start - 1, frames.end, label, where) for frames in value.ranges]
