"""VGG Image Annotator 3 (.via.json): a project with temporal segments of videos."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from fact_clip.core import FileLocation, InputError, Segmentation
from fact_clip.core.io import read_value
from fact_clip.formats import base
from fact_clip.formats.base import (
    OURS,
    Annotation,
    Number,
    Options,
    Span,
    choose,
    read_remark,
    remark,
)

logger = logging.getLogger(__name__)

CONFIDENCE = "confidence"
TEMPORAL = "FILE1_Z2_XY0"  # what VIA calls an attribute of a stretch of time


def write(segmentation: Segmentation, path: Path) -> None:
    """Write one temporal segment per segment, in seconds; the action is a choice, the confidence a text beside it."""
    video = segmentation.media or "video"
    classes = {
        label: label for label in sorted({segment.label for segment in segmentation.foreground})
    }
    attribute = {"anchor_id": TEMPORAL, "desc": "", "default_option_id": ""}
    metadata = {}
    for number, (start, stop, segment) in enumerate(base.timed(path, segmentation)):
        values = {"1": segment.label}
        if segment.confidence is not None:
            values["2"] = repr(segment.confidence)
        metadata[f"1_segment{number}"] = {
            "vid": "1",
            "flg": 0,
            "z": [start, stop],
            "xy": [],
            "av": values,
        }
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
            "file": {"loc_prefix": {str(number): "" for number in range(1, 5)}},
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
            # type 4: a choice, 1: a text
            "1": {
                "aname": OURS,
                "type": 4,
                "options": classes,
                **attribute,
                "desc": remark(segmentation),
            },
            "2": {"aname": CONFIDENCE, "type": 1, "options": {}, **attribute},
        },
        # type 4: a video; loc 1: on this computer
        "file": {"1": {"fid": "1", "fname": Path(video).name, "type": 4, "loc": 1, "src": video}},
        "metadata": metadata,
        "view": {"1": {"fid_list": ["1"]}},
    }
    base.write_json(path, project)


class _Attribute(BaseModel):
    aname: str = ""
    anchor_id: str = ""
    options: Annotated[dict[str, str], BeforeValidator(lambda options: options or {})] = {}
    desc: Any = ""


class _File(BaseModel):
    fname: str


class _View(BaseModel):
    fid_list: list[str] = []


class _Metadata(BaseModel):
    vid: str = ""
    z: list[Number] = Field([], max_length=2)
    xy: list[Any] = []
    av: dict[str, str] = {}


class _Project(BaseModel):
    attribute: dict[str, _Attribute]
    file: dict[str, _File]
    metadata: dict[str, _Metadata]
    view: dict[str, _View]


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the temporal segments of a VIA 3 project, labelled by one attribute; one annotation per video."""
    project = read_value(_Project, path, "give a VIA 3 project")
    temporal = [
        (key, attribute)
        for key, attribute in project.attribute.items()
        if attribute.anchor_id == TEMPORAL
    ]
    keys = {attribute.aname: key for key, attribute in temporal}
    if len(keys) < len(temporal):
        raise InputError(path, "two attributes of one name", "rename one in VIA")
    segments = {name: entry for name, entry in project.metadata.items() if len(entry.z) == 2}
    names = [
        name for name, key in keys.items() if any(entry.av.get(key) for entry in segments.values())
    ]
    tier = choose(path, "attribute", (name for name in names if name != CONFIDENCE), options.tier)
    key, choices = keys[tier], project.attribute[keys[tier]].options
    spans: dict[str, list[Span]] = {}  # by the key of the file: two files may have one name
    for name, entry in segments.items():
        if entry.av and key not in entry.av:
            continue
        where, label = FileLocation(path, part=f"segment {name!r}"), entry.av.get(key, "")
        if (
            label not in choices
            and (label.isdigit() or not choices.keys().isdisjoint(label.split(",")))
            and choices
        ):
            raise InputError(
                where, f"{label!r} is not one option of {tier!r}", "make a segment for each action"
            )
        files = project.view[entry.vid].fid_list if entry.vid in project.view else []
        if not files or files[0] not in project.file:
            raise InputError(where, f"no video {entry.vid!r} in the project")
        spans.setdefault(files[0], []).append(
            Span(entry.z[0], entry.z[1], choices.get(label, label), where)
        )
    points = sum(len(entry.z) == 1 and not entry.xy for entry in project.metadata.values())
    if points:
        logger.warning(
            "%s: segments of one time, which have no length, are left out: %d", path, points
        )
    videos, background = project.file, read_remark(project.attribute[key].desc)
    return [
        Annotation(
            base.video_name(videos[file].fname),
            tuple(parts),
            "seconds",
            path,
            background=background,
        )
        for file, parts in spans.items()
    ]
