"""ELAN (.eaf): actions on a tier, with confidences and comments on dependent tiers."""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fact_clip.core import (
    BACKGROUND,
    FileLocation,
    InputError,
    Segment,
    Segmentation,
    library_errors,
)
from fact_clip.core.io import check_file
from fact_clip.formats.base import (
    COMMENT,
    OURS,
    Annotation,
    Options,
    Span,
    background_note,
    choose,
    library,
    read_background_note,
)
from fact_clip.formats.gaps import with_framed_instants
from fact_clip.formats.times import milliseconds, parse_seconds, second_of

logger = logging.getLogger(__name__)

_Elements = Mapping[str, ElementTree.Element]

CONFIDENCE = "confidence"
_COMMENTS = re.compile(r"\bcomments?$", re.IGNORECASE)
# XML 1.0 cannot represent these characters.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BACKGROUND = "background"
_BEGIN = "begin_seconds"
_END = "end_seconds"
_POINTS = "points"
_MIME = {
    ".mp4": "video/mp4",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".mov": "video/quicktime",
}


def write_tracks(tracks: Mapping[str, Segmentation], path: Path, _ethogram: object) -> None:
    """Write segmentations of one video, each on a separate tier.

    Confidences and comments are on dependent tiers. Point events are annotations of one frame on a
    tier that a property names. Keys and colours are not written.
    """
    pympi = library(path, "pympi.Elan", "annotation")
    eaf = pympi.Eaf(author="fact-clip")
    eaf.adocument["DATE"] = datetime.now(UTC).isoformat(timespec="seconds")
    eaf.remove_tier("default")
    first = next(iter(tracks.values()))
    if first.media:
        eaf.add_linked_file(*_link(path, first.media))
    if first.seconds(0) is not None:
        eaf.add_property(_BEGIN, repr(second_of(first, 0)))
        eaf.add_property(_END, repr(second_of(first, first.n_frames)))
    for tier, segmentation in tracks.items():
        names = (*segmentation.background, *segmentation.transcript)
        _check_characters((tier, segmentation.media or "", *names))
        eaf.add_tier(tier)
        if segmentation.background:
            name = _BACKGROUND if segmentation is first else f"{_BACKGROUND} {tier}"
            eaf.add_property(name, background_note(segmentation))
        confidences = {}
        comments = {}
        for start, stop, segment in milliseconds(segmentation):
            eaf.add_annotation(tier, start, stop, segment.label)
            # Neighbours share an edge, so only the middle identifies an annotation.
            middle = (start + stop) / 2
            if segment.confidence is not None:
                confidences[middle] = repr(segment.confidence)
            if segment.comment:
                comments[middle] = segment.comment
        _check_characters(comments.values())
        _add_below(eaf, CONFIDENCE, tier, confidences, tracks)
        _add_below(eaf, COMMENT, tier, comments, tracks)
    for tier, segmentation in tracks.items():
        if segmentation.instants:
            _add_points(eaf, path, tier, segmentation)
    pympi.to_eaf(path, eaf)


def _add_points(eaf: Any, path: Path, tier: str, segmentation: Segmentation) -> None:
    """Add a tier of point events. A warning counts additional ones in the same frame."""
    name = f"{tier} {_POINTS}"
    while name in eaf.get_tier_names():
        name += "'"
    eaf.add_tier(name)
    eaf.add_property(f"{_POINTS} {tier}", name)
    gap = Segment(0, segmentation.n_frames, BACKGROUND)
    empty = replace(segmentation, segments=(gap,), background=(BACKGROUND,))
    framed = with_framed_instants(empty)
    comments = {}
    for start, stop, segment in milliseconds(framed):
        eaf.add_annotation(name, start, stop, segment.label)
        if segment.comment:
            comments[(start + stop) / 2] = segment.comment
    _check_characters((name, *framed.transcript, *comments.values()))
    _add_below(eaf, COMMENT, name, comments, eaf.get_tier_names())
    if framed.instants:
        message = "%s: %d point events are left out, since their frame already has one"
        logger.warning(message, path, len(framed.instants))


def _add_below(
    eaf: Any, kind: str, tier: str, values: Mapping[float, str], tracks: Iterable[str]
) -> None:
    """Add a dependent tier of values, by the middle of their annotation, if there are any."""
    if not values:
        return
    if kind not in eaf.get_linguistic_type_names():
        eaf.add_linguistic_type(kind, "Symbolic_Association", timealignable=False)
    name = kind if tier == OURS else f"{tier} {kind}"
    while name in tracks:
        name += "'"
    eaf.add_tier(name, kind, parent=tier)
    for middle, value in values.items():
        eaf.add_ref_annotation(name, tier, middle, value)


def _check_characters(names: Iterable[str]) -> None:
    for name in names:
        if _NO_XML.search(name):
            problem = f"{name!r} has a character that XML cannot represent"
            raise InputError("name", problem, "write .csv or .json")


def _link(path: Path, media: str) -> tuple[str, str, str]:
    """Return the address of a video, its path relative to `path`, and its type.

    ELAN does not escape characters in addresses.
    """
    video = Path(media)
    mime = _MIME.get(video.suffix.lower(), "unknown")
    if "://" in media:
        return media, media, mime
    if not video.is_absolute():
        return video.name, f"./{video.name}", mime
    try:
        relative = Path(os.path.relpath(video, path.parent.absolute())).as_posix()
    except ValueError:  # on a different drive
        relative = video.name
    return f"file:///{video.as_posix().removeprefix('/')}", f"./{relative}", mime


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the aligned annotations of one tier, in seconds. The video has the name of the file.

    A tier without annotations is read only if the options name it. Comments are read from a
    dependent tier whose name or type ends with "comment". Point events that this package has
    written are empty spans, which are left out unless `options.instants` is set.
    """
    root = _document(path)
    slots = _by_id(path, root.iter("TIME_SLOT"), "TIME_SLOT_ID")
    tiers = _by_id(path, root.iter("TIER"), "TIER_ID")
    aligned = {
        name: tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION") for name, tier in tiers.items()
    }
    properties = {}
    for element in root.iterfind("HEADER/PROPERTY"):
        properties[element.get("NAME")] = element.text
    points_of = {tier: properties.get(f"{_POINTS} {tier}") for tier in tiers}
    choice = _choose_tier(path, tiers, aligned, points_of, options.tier, _BACKGROUND in properties)

    spans = _spans(path, choice, tiers, slots, aligned)
    points_tier = points_of[choice]
    if points_tier is not None and points_tier in aligned:
        points = _spans(path, points_tier, tiers, slots, aligned)
        if options.instants:
            spans += [replace(point, stop=point.start) for point in points]
        elif points:
            message = "%s: %d point events are left out, since they have no length"
            logger.warning(message, path, len(points))
    start = _second(path, properties.get(_BEGIN))
    end = _second(path, properties.get(_END))
    annotation = Annotation(path, spans, start=start, end=end, tier=choice)
    note = properties.get(f"{_BACKGROUND} {choice}", properties.get(_BACKGROUND))
    return [annotation if note is None else annotation.with_background(read_background_note(note))]


def _choose_tier(
    path: Path,
    tiers: _Elements,
    aligned: Mapping[str, list[ElementTree.Element]],
    points_of: Mapping[str, str | None],
    tier: str | None,
    is_ours: bool,
) -> str:
    """Return the tier to read. A tier of points is read only if the options name it."""
    points_tiers = {*points_of.values()} - {tier}
    roots = [
        name
        for name in tiers
        if "PARENT_REF" not in tiers[name].attrib and name not in points_tiers
    ]
    names = []
    for name in roots:
        # The tier is empty if the whole video is background.
        may_be_empty = name == OURS or tier is not None
        if aligned[name] or aligned.get(points_of[name] or "") or may_be_empty:
            names.append(name)
    if is_ours and not names:
        names = roots
    return choose(path, "tier", names, tier)


def _second(path: Path, value: str | None) -> float | None:
    """Return the value of a property in seconds, or None if the file does not contain it."""
    return None if value is None else parse_seconds(FileLocation(path), value, "a property")


def _spans(
    path: Path,
    choice: str,
    tiers: _Elements,
    slots: _Elements,
    aligned: Mapping[str, list[ElementTree.Element]],
) -> list[Span]:
    """Return the annotations of a tier, with their comments."""
    comments = {}
    for tier in tiers.values():
        kinds = (tier.get("TIER_ID", ""), tier.get("LINGUISTIC_TYPE_REF", ""))
        if tier.get("PARENT_REF") == choice and any(map(_COMMENTS.search, kinds)):
            for annotation in tier.iterfind("ANNOTATION/REF_ANNOTATION"):
                parent = annotation.get("ANNOTATION_REF")
                comments[parent] = annotation.findtext("ANNOTATION_VALUE", "")

    spans = []
    for key, annotation in _by_id(path, aligned[choice], "ANNOTATION_ID").items():
        where = FileLocation(path, part=f"tier {choice!r}, annotation {key}")
        start = _time_value(slots, annotation.get("TIME_SLOT_REF1", ""))
        stop = _time_value(slots, annotation.get("TIME_SLOT_REF2", ""))
        if not re.fullmatch("[0-9]{1,12},[0-9]{1,12}", f"{start},{stop}"):
            problem = f"times of {start!r} and {stop!r}, not milliseconds"
            raise InputError(where, problem, "align both ends in ELAN")
        label = annotation.findtext("ANNOTATION_VALUE", "")
        comment = comments.get(key, "")
        spans.append(Span(int(start) / 1000, int(stop) / 1000, label, where, comment))
    return spans


def _time_value(slots: Mapping[str, ElementTree.Element], key: str) -> str:
    """Return the time of a slot as it is in the file, or ""."""
    return slots[key].get("TIME_VALUE", "").strip() if key in slots else ""


class _Builder(ElementTree.TreeBuilder):
    """Reject DOCTYPE declarations (external entities, entity expansion)."""

    def doctype(self, *_: object) -> None:
        raise ValueError("it has a document type, which ELAN never writes")


def _document(path: Path) -> ElementTree.Element:
    """Return the root of an ELAN document whose times are milliseconds of its video."""
    check_file(path, "an ELAN document")
    kinds = (OSError, ElementTree.ParseError, LookupError, ValueError)
    with library_errors(path, "not an ELAN document", *kinds, fix="save it again in ELAN"):
        root = ElementTree.parse(path, ElementTree.XMLParser(target=_Builder())).getroot()
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(path, f"XML of <{root.tag}>, not an ELAN document")
    for header in root.iterfind("HEADER"):
        unit = header.get("TIME_UNITS", "milliseconds")
        if unit != "milliseconds":
            fix = "save it in ELAN with times in milliseconds"
            raise InputError(path, f"its times are {unit}", fix)
        media = header.find("MEDIA_DESCRIPTOR")
        origin = "0" if media is None else media.get("TIME_ORIGIN", "0")
        if origin != "0":
            problem = f"the video begins {origin} ms before the times (TIME_ORIGIN)"
            raise InputError(path, problem, "set its offset to 0 in ELAN")
    return root


def _by_id(
    path: Path, elements: Iterable[ElementTree.Element], attribute: str
) -> dict[str, ElementTree.Element]:
    """Return elements by their identifiers, which must be unique."""
    by_id: dict[str, ElementTree.Element] = {}
    for element in elements:
        if by_id.setdefault(element.get(attribute, ""), element) is not element:
            raise InputError(path, f"two elements with the {attribute} {element.get(attribute)!r}")
    return by_id
