"""VGG Image Annotator 3 (.via.json): a project with temporal segments of videos."""

import logging
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from fact_clip.core import FileLocation, InputError, Segmentation
from fact_clip.core.io import read_mapping, read_value
from fact_clip.formats.base import (
    OURS,
    Annotation,
    Options,
    Span,
    choose,
    read_remark,
    remark,
    video_name,
    write_json,
    written_segments,
)
from fact_clip.formats.times import Number, timed

logger = logging.getLogger(__name__)

CONFIDENCE = "confidence"
TEMPORAL = "FILE1_Z2_XY0"  # VIA's name for an attribute of a time interval


def write(segmentation: Segmentation, path: Path) -> None:
    """Write one temporal segment per segment, in seconds.

    The action is a choice, and the confidence is a text next to it.
    """
    video = segmentation.media or "video"
    labels = sorted({segment.label for segment in written_segments(segmentation)})
    metadata = {}
    for number, (start, stop, segment) in enumerate(timed(segmentation)):
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
    # A project that was never shared on VIA's server, with a choice (type 4) and a text (type 1).
    project = read_mapping(Path(__file__).with_suffix(".json"), "a blank project")
    project["project"] |= {"pname": Path(video).stem, "created": int(1000 * time.time())}
    options = {label: label for label in labels}
    project["attribute"]["1"] |= {"options": options, "desc": remark(segmentation)}
    project["file"]["1"] |= {"fname": Path(video).name, "src": video}
    project["metadata"] = metadata
    write_json(path, project)


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
    """Read the temporal segments of a VIA 3 project, labelled by one attribute."""
    project = read_value(_Project, path, "give a VIA 3 project")
    segments = {}
    n_points = 0
    for name, segment in project.metadata.items():
        if len(segment.z) == 2:
            segments[name] = segment
        elif len(segment.z) == 1 and not segment.xy:
            n_points += 1

    key = _choose_attribute(path, project, list(segments.values()), options.tier)
    attribute = project.attribute[key]
    spans: dict[str, list[Span]] = {}  # by file key, because two files may have the same name
    for name, segment in segments.items():
        if segment.av and key not in segment.av:
            continue
        where = FileLocation(path, part=f"segment {name!r}")
        label = _label(where, segment.av.get(key, ""), attribute)
        files = project.view[segment.vid].fid_list if segment.vid in project.view else []
        if not files or files[0] not in project.file:
            raise InputError(where, f"no video {segment.vid!r} in the project")
        spans.setdefault(files[0], []).append(Span(segment.z[0], segment.z[1], label, where))
    if n_points:
        message = "%s: segments with a single time, which have no length, are left out: %d"
        logger.warning(message, path, n_points)

    background = read_remark(attribute.desc)
    is_ours = bool(background) and len(project.file) == 1  # without additional videos
    annotations = []
    for file, facts in project.file.items():
        if file in spans or is_ours:
            name = video_name(facts.fname)
            video_spans = spans.get(file, [])
            tier = attribute.aname
            annotation = Annotation(path, video_spans, name, tier=tier)
            annotations.append(annotation.with_background(background))
    return annotations


def _choose_attribute(
    path: Path, project: _Project, segments: list[_Metadata], tier: str | None
) -> str:
    """Return the key of the attribute that labels the segments."""
    keys: dict[str, str] = {}
    for key, attribute in project.attribute.items():
        if attribute.anchor_id == TEMPORAL:
            if attribute.aname in keys:
                raise InputError(path, "two attributes with one name", "rename one in VIA")
            keys[attribute.aname] = key
    names = []
    for name, key in keys.items():
        if name != CONFIDENCE and any(segment.av.get(key) for segment in segments):
            names.append(name)
    if not names and OURS in keys and read_remark(project.attribute[keys[OURS]].desc):
        names = [OURS]  # nothing but background
    return keys[choose(path, "attribute", names, tier)]


def _label(where: FileLocation, value: str, attribute: _Attribute) -> str:
    """Return the label of a segment: a key of the options, or a text if it names none of them."""
    choices = attribute.options
    if choices and value not in choices:
        has_choice = not choices.keys().isdisjoint(value.split(","))
        if value.isdigit() or has_choice:
            problem = f"{value!r} is not one option of {attribute.aname!r}"
            raise InputError(where, problem, "create one segment per action")
    return choices.get(value, value)
