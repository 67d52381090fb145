"""VGG Image Annotator 3 (.via.json): a project with temporal segments of videos."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.annotations import OURS, Annotation, Options, Span, choose, read_remark, remark, tell_others
from fact_clip.formats.base import media_of, number, read_json, timed, typed, video_name, write_json

logger = logging.getLogger(__name__)

CONFIDENCE = "confidence"
TEMPORAL = "FILE1_Z2_XY0"  # what VIA calls an attribute of a stretch of time


def write(segmentation: Segmentation, path: Path) -> None:
    """Write one temporal segment per segment, in seconds; the action is a choice, the confidence a text beside it."""
    video = media_of(segmentation)
    classes = {label: label for label in sorted({segment.label for segment in segmentation.foreground})}
    attribute = {"anchor_id": TEMPORAL, "desc": "", "default_option_id": ""}
    metadata = {}
    for place, (start, stop, segment) in enumerate(timed(path, segmentation)):
        values = {"1": segment.label}
        if segment.confidence is not None:
            values["2"] = repr(segment.confidence)
        metadata[f"1_segment{place}"] = {"vid": "1", "flg": 0, "z": [start, stop], "xy": [], "av": values}
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
            "1": {
                "aname": OURS,
                "type": 4,
                "options": classes,
                **attribute,
                "desc": remark(segmentation),
            },  # 4: a choice
            "2": {"aname": CONFIDENCE, "type": 1, "options": {}, **attribute},  # 1: a text
        },
        # type 4: a video; loc 1: on this computer
        "file": {"1": {"fid": "1", "fname": Path(video).name, "type": 4, "loc": 1, "src": video}},
        "metadata": metadata,
        "view": {"1": {"fid_list": ["1"]}},
    }
    write_json(path, project)


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """The temporal segments of a VIA 3 project, labelled by one attribute; one annotation per video."""
    project = read_json(path, "a VIA 3 project", dict)
    if not all(isinstance(project.get(key), dict) for key in ("attribute", "file", "metadata", "view")):
        raise InputError(path, "no attribute, file, metadata and view; expected a VIA 3 project")
    key, attribute = _attribute(path, project["attribute"], options.tier)
    others, points = set[str](), 0  # keys of the attributes that segments have
    tier, choices = attribute["aname"], typed(attribute.get("options") or {}, dict, str(path), "options")
    spans: dict[str, list[Span]] = {}  # by the key of the file: two files may have one name
    for entry, content in project["metadata"].items():
        where = f"{path}, segment {entry!r}"
        found = typed(content, dict, where, "it")
        times = typed(found.get("z", []), list, where, "z")
        values = typed(found.get("av", {}), dict, where, "av")
        points += len(times) == 1 and not found.get("xy")  # with a shape it is a region of one picture
        if len(times) > 2:
            raise InputError(where, f"z of {len(times)} times; expected start and stop")
        if len(times) != 2:
            continue
        others.update(other for other, value in values.items() if value)
        if values and key not in values:
            continue
        label = typed(values.get(key, ""), str, where, f"the value of {tier!r}")
        if label not in choices and not choices.keys().isdisjoint(label.split(",")):
            raise InputError(
                where, f"several options, {label}; expected one action at a time", "make a segment for each"
            )
        if choices and label.isdigit() and label not in (*choices, *choices.values()):
            raise InputError(where, f"option {label!r}; expected one of those of {tier!r}: {', '.join(choices)}")
        start, stop = (number(end, where, "z") for end in times)
        file = _file(where, project, found.get("vid"))
        spans.setdefault(file, []).append(Span(start, stop, str(choices.get(label, label)), where))
    if not spans:
        raise InputError(path, f"no segments with attribute {tier!r}; expected at least one")
    filled = [each for key, each in project["attribute"].items() if key in others]
    names = [each["aname"] for each in filled if each.get("anchor_id") == TEMPORAL]
    tell_others(path, "attribute", names, [tier, CONFIDENCE], options.tier)
    if points:
        logger.warning("%s: segments of one time, which have no length, are left out: %d", path, points)
    background = read_remark(attribute.get("desc"))
    return [
        Annotation(_name(path, project["file"][file]), tuple(listed), "seconds", str(path), background=background)
        for file, listed in spans.items()
    ]


def _attribute(path: Path, attributes: dict[str, Any], tier: str | None) -> tuple[str, dict[str, Any]]:
    """The key and the content of the attribute whose name is chosen."""
    keys: dict[str, str] = {}
    for key, content in attributes.items():
        where = f"{path}, attribute {key!r}"
        each = typed(content, dict, where, "it")
        if each.get("anchor_id") != TEMPORAL:
            continue
        name = typed(each.get("aname"), str, where, "aname")
        if name in keys:
            raise InputError(where, f"the name {name!r} again; expected each once")
        keys[name] = key
    key = keys[choose(path, "attribute", keys, tier)]
    return key, attributes[key]


def _file(where: str, project: dict[str, Any], view: object) -> str:
    """The key of the file that a view shows."""
    try:
        found = project["view"][view]["fid_list"][0]
        if isinstance(project["file"][found], dict):
            return str(found)
    except (KeyError, IndexError, TypeError):
        pass
    raise InputError(where, f"video {view!r}; expected one of the files of the project")


def _name(path: Path, file: dict[str, Any]) -> str:
    name = video_name(typed(file.get("fname"), str, str(path), "fname of a file"))
    if not name:
        raise InputError(path, "a file without a name; expected fname: the name of the video")
    return name
