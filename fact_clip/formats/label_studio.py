"""Label Studio (.label-studio.json): a task with pre-annotations for timeline labels on a video, and its exports."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.annotations import BACKGROUND, OURS, Annotation, Options, Span, Unit, choose, tell_others
from fact_clip.formats.base import media_of, number, picture, picture_rate, read_json, typed, video_name, write_json

logger = logging.getLogger(__name__)


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a task with one prediction: one region per segment, whose score is the confidence.

    Label Studio counts frames from 1, both ends included, at the even frame rate of its <Video> tag (see
    docs/formats.md for the labelling setup). They are the video's; where its rate is unknown they are those of the
    segmentation, and frame times become frames at their mean rate.
    """
    rate = picture_rate(segmentation)
    data: dict[str, Any] = {"video": media_of(segmentation), **({} if rate is None else {"fps": rate})}
    if segmentation.background:
        data[BACKGROUND] = segmentation.background[0]
    result = []
    for place, segment in enumerate(segmentation.foreground):
        start, stop = (picture(segmentation, frame) for frame in (segment.start, segment.stop))
        if segmentation.times is not None and segmentation.video_fps is None and rate is not None:
            start, stop = (round(segmentation.times[frame] * rate) for frame in (segment.start, segment.stop))
        region = {
            "id": f"segment-{place}",
            "type": "timelinelabels",
            "from_name": OURS,
            "to_name": "video",
            "value": {"ranges": [{"start": start + 1, "end": max(stop, start + 1)}], "timelinelabels": [segment.label]},
        }
        result.append(region if segment.confidence is None else {**region, "score": segment.confidence})
    known = [segment.confidence for segment in segmentation.foreground if segment.confidence is not None]
    score = {"score": sum(known) / len(known)} if known else {}
    tasks = [{"data": data, "predictions": [{"model_version": "fact-clip", **score, "result": result}]}]
    write_json(path, tasks)


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """The timeline labels of a Label Studio export (JSON, not JSON-MIN), or of its pre-annotations.

    Of several annotations of a task, the last one that was not cancelled is read; without any, the last prediction.
    Frames count from 1, both ends included, at `options.fps`, else at the task's `data.fps`. Labels on a sound track
    are in seconds.
    """
    tasks = read_json(path, "an export of Label Studio as JSON")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise InputError(path, "no list of tasks with data; expected an export of Label Studio as JSON")
    found, predicted = list[Annotation](), 0
    every, chosen = list[str](), set[str]()
    for place, task in enumerate(tasks):
        where = f"{path}, task {task.get('id', place)}"
        data = typed(task["data"], dict, where, "data")
        media = typed(task.get("file_upload") or data.get("video") or "", str, where, "the video")
        name = re.sub(r"^[0-9a-f]{8}-", "", video_name(media))  # Label Studio puts eight digits before an upload
        if not name:
            raise InputError(where, "no data.video; expected the video of the task")
        regions = _regions(where, task)
        if regions is None:  # not labelled yet
            continue
        controls = [str(each.get("from_name")) for each in regions]
        control = choose(where, "control", controls, options.tier)
        every += controls
        chosen.add(control)
        regions = [region for region in regions if str(region.get("from_name")) == control]
        in_frames = {"ranges" in region["value"] for region in regions}
        if len(in_frames) > 1:
            raise InputError(where, f"frames and seconds in control {control!r}; expected one of them")
        spans = tuple(span for region in regions for span in _spans(where, region))
        unit: Unit = "frames" if True in in_frames else "seconds"
        annotated = _is_annotated(task)
        predicted += not annotated
        fps = options.fps or data.get("fps")
        if unit == "frames" and fps is None and not (_is_ours(task) and not annotated):
            raise InputError(
                where, "frames, and no fps in its data; expected the frame rate of its video", "set --source-fps"
            )
        found.append(Annotation(name, spans, unit, str(path), fps, None, data.get(BACKGROUND)))
    tell_others(path, "control", every, chosen, options.tier)
    if predicted:
        logger.warning("%s: nobody has annotated %d of %d tasks, so predictions are read", path, predicted, len(found))
    return found


def _is_ours(task: Mapping[str, Any]) -> bool:
    """Whether its last prediction is one of ours, which count feature rows where no rate is known."""
    last = (task.get("predictions") or [{}])[-1]
    return isinstance(last, dict) and last.get("model_version") == "fact-clip"


def _is_annotated(task: Mapping[str, Any]) -> bool:
    """Whether a person has answered."""
    return any(not each.get("was_cancelled") for each in task.get("annotations") or [])


def _regions(where: str, task: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The labelled stretches of the answer of a task that counts; None where it has no answer."""
    answers = {key: typed(task.get(key) or [], list, where, key) for key in ("annotations", "predictions")}
    listed = [typed(each, dict, where, "an annotation") for each in answers["annotations"]]
    listed = [each for each in listed if not each.get("was_cancelled")]
    listed = listed or [typed(each, dict, where, "a prediction") for each in answers["predictions"]]
    if not listed:
        return None
    regions = [
        typed(each, dict, where, "a region") for each in typed(listed[-1].get("result") or [], list, where, "result")
    ]
    return [each for each in regions if _labels(f"{where}, region {each.get('id')!r}", each)]


def _labels(where: str, region: Mapping[str, Any]) -> list[Any]:
    value = typed(region.get("value", {}), dict, where, "value")
    if "ranges" in value and not value.get("timelinelabels"):
        raise InputError(where, "no label; expected one", "choose one in Label Studio, or delete the region")
    labels = value.get("timelinelabels") or (value.get("labels") if "start" in value else None) or []
    return typed(labels, list, where, "labels")


def _spans(where: str, region: Mapping[str, Any]) -> list[Span]:
    value, where = region["value"], f"{where}, region {region.get('id')!r}"
    labels = _labels(where, region)
    if len(labels) > 1:
        raise InputError(
            where, f"several labels, {', '.join(map(str, labels))}; expected one", "make a region for each"
        )
    label = typed(labels[0], str, where, "its label")
    if "ranges" not in value:
        times = [number(value.get(end), where, end) for end in ("start", "end")]
        return [Span(times[0], times[1], label, where)]
    spans = []
    for each in typed(value["ranges"], list, where, "ranges"):
        start, stop = (typed(each, dict, where, "a range").get(end) for end in ("start", "end"))
        if type(start) is not int or type(stop) is not int:
            raise InputError(where, f"start {start!r}, end {stop!r}; expected whole frame numbers")
        if start < 1:
            raise InputError(where, f"start {start}; expected frames that count from 1")
        spans.append(Span(start - 1, stop, label, where))
    return spans
