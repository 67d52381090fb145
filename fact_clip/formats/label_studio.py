"""Label Studio (.label-studio.json): a task with pre-annotations for timeline labels on a video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fact_clip.core import Segment, Segmentation
from fact_clip.formats.base import Format, mean_rate

CONTROL = "action"


def write(segmentation: Segmentation, path: Path) -> None:
    """One task with one prediction, a region a segment; the confidence is the region's score.

    Label Studio counts frames from 1, both ends included, at the frame rate of its <Video> tag: set
    ``frameRate="$fps"`` there. With frame times, frames are those of an even clock of that rate; without
    times or rate they are those of the segmentation. A labelling setup that fits::

        <View>
          <Video name="video" value="$video" frameRate="$fps"/>
          <TimelineLabels name="action" toName="video"> <Label value="..."/> ... </TimelineLabels>
        </View>
    """
    data: dict[str, Any] = {"video": segmentation.media or "video"}
    rate = mean_rate(segmentation)
    if rate is not None:
        data["fps"] = rate
    result = [_region(segmentation, number, segment, rate) for number, segment in enumerate(segmentation)]
    known = [segment.confidence for segment in segmentation if segment.confidence is not None]
    score = {"score": sum(known) / len(known)} if known else {}
    tasks = [{"data": data, "predictions": [{"model_version": "fact-clip", **score, "result": result}]}]
    path.write_text(json.dumps(tasks, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _region(segmentation: Segmentation, number: int, segment: Segment, rate: float | None) -> dict[str, Any]:
    start, stop = segment.start, segment.stop
    if segmentation.times is not None and rate is not None:
        start, stop = (round(segmentation.times[frame] * rate) for frame in (start, stop))
    region = {
        "id": f"segment-{number}",
        "type": "timelinelabels",
        "from_name": CONTROL,
        "to_name": "video",
        "value": {"ranges": [{"start": start + 1, "end": max(stop, start + 1)}], "timelinelabels": [segment.label]},
    }
    return region if segment.confidence is None else {**region, "score": segment.confidence}


FORMAT = Format(write, None, "Label Studio: pre-annotations as timeline labels, with scores")
