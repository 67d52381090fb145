"""VGG Image Annotator 3 (.via.json): a project with temporal segments of one video."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from fact_clip.core import Segmentation
from fact_clip.formats.base import Format, now, span

ATTRIBUTE = "action"
CONFIDENCE = "confidence"
SEGMENT = "FILE1_Z2_XY0"  # VIA's name for an attribute of a stretch of time
_TEXT, _SELECT, _VIDEO, _LOCAL = 1, 4, 4, 1


def write(segmentation: Segmentation, path: Path) -> None:
    """One temporal segment each, in seconds; the action is a choice, the confidence a text of the same segment.

    Raises:
        InputError: no seconds are known.
    """
    video = segmentation.media or "video"
    actions = {label: label for label in sorted(set(segmentation.transcript))}
    metadata = {}
    for number, segment in enumerate(segmentation):
        values = {"1": segment.label}
        if segment.confidence is not None:
            values["2"] = repr(segment.confidence)
        times = list(span(path, segmentation, segment))
        metadata[f"1_segment{number}"] = {"vid": "1", "flg": 0, "z": times, "xy": [], "av": values}
    project = {
        "project": _project(Path(video).stem),
        "config": {"file": {"loc_prefix": {str(place): "" for place in range(1, 5)}}, "ui": _UI},
        "attribute": {
            "1": _attribute(ATTRIBUTE, _SELECT, actions),
            "2": _attribute(CONFIDENCE, _TEXT, {}),
        },
        "file": {"1": {"fid": "1", "fname": Path(video).name, "type": _VIDEO, "loc": _LOCAL, "src": video}},
        "metadata": metadata,
        "view": {"1": {"fid_list": ["1"]}},
    }
    path.write_text(json.dumps(project, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


_UI = {
    "file_content_align": "center",
    "file_metadata_editor_visible": True,
    "spatial_metadata_editor_visible": False,
    "temporal_segment_metadata_editor_visible": True,
    "spatial_region_label_attribute_id": "",
    "gtimeline_visible_row_count": "4",
}


def _project(name: str) -> dict[str, Any]:
    # VIA puts in the ids of its server where a project is shared; one that never was has these placeholders
    return {
        "pid": "__VIA_PROJECT_ID__",
        "rev": "__VIA_PROJECT_REV_ID__",
        "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
        "pname": name,
        "creator": "fact-clip",
        "created": int(1000 * datetime.fromisoformat(now()).timestamp()),
        "data_format_version": "3.1.1",
        "vid_list": ["1"],
    }


def _attribute(name: str, kind: int, options: dict[str, str]) -> dict[str, Any]:
    return {
        "aname": name,
        "anchor_id": SEGMENT,
        "type": kind,
        "desc": "",
        "options": options,
        "default_option_id": "",
    }


FORMAT = Format(write, None, "VGG Image Annotator 3: temporal segments of a video")
