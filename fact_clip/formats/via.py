"""VGG Image Annotator 3 (.via.json): a project with temporal segments of videos."""

from __future__ import annotations

import time
from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.annotations import OURS, Annotation, Options, Span, choose, expects, read_remark, remark
from fact_clip.formats.base import media_of, read_json, seconds, timed, video_name, write_json

TEMPORAL = "FILE1_Z2_XY0"  # what VIA calls an attribute of a stretch of time


def write(segmentation: Segmentation, path: Path) -> None:
    """Write one temporal segment per segment, in seconds; the action is a choice, the confidence a text beside it."""
    video = media_of(segmentation)
    classes = {label: label for label in sorted({segment.label for segment in segmentation.foreground})}
    attribute = {"anchor_id": TEMPORAL, "desc": "", "default_option_id": ""}
    metadata = {}
    for number, (start, stop, segment) in enumerate(timed(path, segmentation)):
        values = {"1": segment.label}
        if segment.confidence is not None:
            values["2"] = repr(segment.confidence)
        metadata[f"1_segment{number}"] = {"vid": "1", "flg": 0, "z": [start, stop], "xy": [], "av": values}
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
            "2": {"aname": "confidence", "type": 1, "options": {}, **attribute},  # 1: a text
        },
        # type 4: a video; loc 1: on this computer
        "file": {"1": {"fid": "1", "fname": Path(video).name, "type": 4, "loc": 1, "src": video}},
        "metadata": metadata,
        "view": {"1": {"fid_list": ["1"]}},
    }
    write_json(path, project)


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """The temporal segments of a VIA 3 project, labelled by one attribute; one annotation per video."""
    with expects(path, "a VIA 3 project"):
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
        background = read_remark(attributes[keys[tier]].get("desc"))
        return [
            Annotation(name, tuple(listed), "seconds", str(path), background=background)
            for name, listed in spans.items()
        ]
