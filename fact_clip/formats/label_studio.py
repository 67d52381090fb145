"""Label Studio (.label-studio.json): a task with pre-annotations for timeline labels on a video, and its exports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.annotations import BACKGROUND, OURS, Annotation, Options, Span, Unit, choose, expects
from fact_clip.formats.base import media_of, picture, picture_rate, read_json, video_name, write_json


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
    with expects(path, "an export of Label Studio as JSON"):
        tasks = read_json(path, "an export of Label Studio as JSON")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
            raise InputError(path, "no list of tasks with data", "an export of Label Studio as JSON")
        found = []
        for number, task in enumerate(tasks):
            where = f"{path}, task {task.get('id', number)}"
            media = str(task.get("file_upload") or task["data"].get("video") or "")
            name = re.sub(r"^[0-9a-f]{8}-", "", video_name(media))  # Label Studio puts eight digits before an upload
            if not name:
                raise InputError(where, "no data.video", "the video of the task")
            answers = [each for each in task.get("annotations") or [] if not each.get("was_cancelled")]
            answers = answers or task.get("predictions") or []
            if not answers:  # not labelled yet
                continue
            regions = [region for region in answers[-1].get("result") or [] if _labels(region)]
            control = choose(where, "control", (str(each.get("from_name")) for each in regions), options.tier)
            regions = [region for region in regions if region.get("from_name") == control]
            in_frames = {"ranges" in region["value"] for region in regions}
            if len(in_frames) > 1:
                raise InputError(where, f"frames and seconds in control {control!r}", "one of them")
            spans = tuple(span for region in regions for span in _spans(where, region))
            fps = options.fps or task["data"].get("fps")
            unit: Unit = "frames" if True in in_frames else "seconds"
            found.append(Annotation(name, spans, unit, str(path), fps, None, task["data"].get(BACKGROUND)))
        return found


def _labels(region: Mapping[str, Any]) -> list[str]:
    value = region.get("value", {})
    return list(value.get("timelinelabels") or (value.get("labels") if "start" in value else None) or [])


def _spans(where: str, region: Mapping[str, Any]) -> list[Span]:
    value, where = region["value"], f"{where}, region {region.get('id')!r}"
    try:
        if "ranges" in value:
            ends = [(each["start"] - 1, each["end"]) for each in value["ranges"]]
        else:
            ends = [(value["start"], value["end"])]
        return [Span(float(start), float(stop), str(_labels(region)[0]), where) for start, stop in ends]
    except (KeyError, TypeError):
        raise InputError(where, f"{value}", "start and end") from None
