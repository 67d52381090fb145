"""VGG Image Annotator 3 (.via.json): a project with temporal segments of videos."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.annotations import OURS, Annotation, Options, Span, choose, expects
from fact_clip.formats.base import read_json, seconds, span, video_name

TEMPORAL = "FILE1_Z2_XY0"  # what VIA calls an attribute of a stretch of time


def write(segmentation: Segmentation, path: Path) -> None:
    """Write one temporal segment per segment, in seconds; the action is a choice, the confidence a text beside it.

    Raises:
        InputError: no seconds are known.
    """
    video = segmentation.media or "video"
    metadata = {}
    for number, segment in enumerate(segmentation):
        values = {"1": segment.label}
        if segment.confidence is not None:
            values["2"] = repr(segment.confidence)
        times = list(span(path, segmentation, segment))
        metadata[f"1_segment{number}"] = {"vid": "1", "flg": 0, "z": times, "xy": [], "av": values}
    project = {
        "project": {
            # the id placeholders of a project that was never shared on VIA's server
            "pid": "__VIA_PROJECT_ID__",
            "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
            "pname": Path(video).stem,
            "creator": "fact-clip",
            "created": int(1000 * time.time()),
            "data_format_version": "3.1.1",
            "vid_list": ["1"],
        },
        "config": {
            "file": {"loc_prefix": {str(place): "" for place in range(1, 5)}},
            "ui": {
                "file_content_align": "center",
                "file_metadata_editor_visible": True,
                "spatial_metadata_editor_visible": False,
                "temporal_segment_metadata_editor_visible": True,
                "spatial_region_label_attribute_id": "",
                "gtimeline_visible_row_count": "4",
            },
        },
        "attribute": {
            "1": _attribute(OURS, 4, {label: label for label in sorted(set(segmentation.transcript))}),  # 4: a choice
            "2": _attribute("confidence", 1, {}),  # 1: a text
        },
        # type 4: a video; loc 1: on this computer
        "file": {"1": {"fid": "1", "fname": Path(video).name, "type": 4, "loc": 1, "src": video}},
        "metadata": metadata,
        "view": {"1": {"fid_list": ["1"]}},
    }
    path.write_text(json.dumps(project, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _attribute(name: str, kind: int, options: dict[str, str]) -> dict[str, Any]:
    fixed = {"anchor_id": TEMPORAL, "desc": "", "default_option_id": ""}
    return {"aname": name, "type": kind, "options": options, **fixed}


@expects("a VIA 3 project")
def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """The temporal segments of a VIA 3 project, labelled by one attribute; one annotation per video.

    Raises:
        InputError: another kind of file, or several attributes of segments and no `options.tier`.
    """
    project = read_json(path, "a VIA 3 project", dict)
    if not all(isinstance(project.get(key), dict) for key in ("attribute", "file", "metadata", "view")):
        raise InputError(path, "no attribute, file, metadata and view", "a VIA 3 project")
    attributes = project["attribute"]
    keys = {str(each.get("aname")): key for key, each in attributes.items() if each.get("anchor_id") == TEMPORAL}
    tier = choose(path, "attribute", keys, options.tier)
    choices: dict[str, str] = attributes[keys[tier]].get("options") or {}
    spans: dict[str, list[Span]] = {}
    for entry, found in project["metadata"].items():
        times, value = found.get("z", []), found.get("av", {}).get(keys[tier])
        if len(times) != 2 or value is None:
            continue
        where = f"{path}, segment {entry!r}"
        try:
            file = project["file"][project["view"][found["vid"]]["fid_list"][0]]
        except (KeyError, IndexError):
            raise InputError(where, f"video {found.get('vid')!r}", "one of the files of the project") from None
        start, stop = (seconds(where, str(end), "z") for end in times)
        name = video_name(file.get("fname", ""))
        spans.setdefault(name, []).append(Span(start, stop, choices.get(value, value), where))
    if not spans:
        raise InputError(path, f"no segments with attribute {tier!r}", "at least one")
    return [Annotation(name, tuple(listed), "seconds", str(path)) for name, listed in spans.items()]
