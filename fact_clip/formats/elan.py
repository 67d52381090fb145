"""ELAN (.eaf): actions on one tier, their confidence on a tier below it; written by pympi."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from fact_clip.core import FileLocation, InputError, Segmentation, library_errors
from fact_clip.core.io import check_file
from fact_clip.formats.base import (
    BACKGROUND,
    OURS,
    Annotation,
    Options,
    Span,
    choose,
    library,
    milliseconds,
    name_of,
)

CONFIDENCE = "confidence"
# XML 1.0 has no way to write these.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MIME = {
    ".mp4": "video/mp4",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".mov": "video/quicktime",
}


def write(segmentation: Segmentation, path: Path) -> None:
    """Write annotations to the millisecond, ELAN's unit, on the tier `action`, each with its confidence below it."""
    write_tracks({OURS: segmentation}, path)


def write_tracks(tracks: Mapping[str, Segmentation], path: Path) -> None:
    """Write segmentations of one video, each on a tier of its own."""
    pympi = library(path, "pympi.Elan", "pympi-ling", "annotation")
    eaf = pympi.Eaf(author="fact-clip")
    eaf.adocument["DATE"] = datetime.now(UTC).isoformat(timespec="seconds")
    eaf.remove_tier("default")
    first = next(iter(tracks.values()))
    if first.media:
        eaf.add_linked_file(*_link(path, Path(first.media)))
    for tier, segmentation in tracks.items():
        for text in (
            tier,
            segmentation.media or "",
            *segmentation.background,
            *segmentation.transcript,
        ):
            if _NO_XML.search(text):
                raise InputError(
                    path, f"{text!r} has a character that XML cannot hold", "write .csv or .json"
                )
        eaf.add_tier(tier)
        below = CONFIDENCE if tier == OURS else f"{tier} {CONFIDENCE}"
        if any(segment.confidence is not None for segment in segmentation.foreground):
            if CONFIDENCE not in eaf.get_linguistic_type_names():
                eaf.add_linguistic_type(CONFIDENCE, "Symbolic_Association", timealignable=False)
            eaf.add_tier(below, CONFIDENCE, parent=tier)
        for start, stop, segment in milliseconds(path, segmentation):
            eaf.add_annotation(tier, start, stop, segment.label)
            if segment.confidence is not None:
                # neighbours share an end, so only the middle tells which annotation is meant
                eaf.add_ref_annotation(below, tier, (start + stop) / 2, repr(segment.confidence))
    if first.background:
        eaf.add_property(BACKGROUND, first.background[0])
    pympi.to_eaf(path, eaf)


def _link(path: Path, video: Path) -> tuple[str, str, str]:
    """Return the address of a video, unescaped as ELAN has it, its path relative to `path`, and its type."""
    mime = _MIME.get(video.suffix.lower(), "unknown")
    if not video.is_absolute():
        return video.name, f"./{video.name}", mime
    try:
        relative = Path(os.path.relpath(video, path.parent.absolute())).as_posix()
    except ValueError:  # on another drive
        relative = video.name
    return (
        f"file://{'' if video.as_posix().startswith('/') else '/'}{video.as_posix()}",
        f"./{relative}",
        mime,
    )


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the aligned annotations of one tier, in seconds; the video is named after the file."""
    root = _document(path)
    slots = _by_id(path, root.iter("TIME_SLOT"), "TIME_SLOT_ID")
    tiers = _by_id(path, root.iter("TIER"), "TIER_ID")
    aligned = {
        name: tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION") for name, tier in tiers.items()
    }
    # ours is empty where a video is nothing but background
    names = [name for name in aligned if aligned[name]] or [
        name for name in aligned if name == OURS
    ]
    tier = choose(path, "tier", names, options.tier)
    spans = []
    for key, annotation in _by_id(path, aligned[tier], "ANNOTATION_ID").items():
        where = FileLocation(path, part=f"tier {tier!r}, annotation {key}")
        ends = (slots.get(annotation.get(f"TIME_SLOT_REF{end}", "")) for end in (1, 2))
        start, stop = ("" if end is None else end.get("TIME_VALUE", "").strip() for end in ends)
        if not re.fullmatch("[0-9]{1,12},[0-9]{1,12}", f"{start},{stop}"):
            raise InputError(
                where,
                f"times of {start!r} and {stop!r}, not milliseconds",
                "align both ends in ELAN",
            )
        spans.append(
            Span(
                int(start) / 1000,
                int(stop) / 1000,
                annotation.findtext("ANNOTATION_VALUE") or "",
                where,
            )
        )
    properties = {entry.get("NAME"): entry.text for entry in root.iterfind("HEADER/PROPERTY")}
    return [
        Annotation(
            name_of(path), tuple(spans), "seconds", path, background=properties.get(BACKGROUND)
        )
    ]


class _Builder(ElementTree.TreeBuilder):
    """Refuses a document type, in which entities are declared that name other files, or multiply."""

    def doctype(self, *_: object) -> None:
        raise ValueError("it has a document type, which ELAN writes none of")


def _document(path: Path) -> ElementTree.Element:
    """Return the root of an ELAN document whose times are milliseconds of its video."""
    check_file(path, "an ELAN document")
    kinds = OSError, ElementTree.ParseError, LookupError, ValueError
    with library_errors(path, "not an ELAN document", *kinds, fix="save it again in ELAN"):
        root = ElementTree.parse(path, ElementTree.XMLParser(target=_Builder())).getroot()
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(path, f"XML of <{root.tag}>, not an ELAN document")
    for header in root.iterfind("HEADER"):
        if (unit := header.get("TIME_UNITS", "milliseconds")) != "milliseconds":
            raise InputError(
                path, f"its times are {unit}", "save it in ELAN with times in milliseconds"
            )
        media = header.find("MEDIA_DESCRIPTOR")
        if media is not None and media.get("TIME_ORIGIN", "0") != "0":
            problem = (
                f"the video begins {media.get('TIME_ORIGIN')} ms before the times (TIME_ORIGIN)"
            )
            raise InputError(path, problem, "set its offset to 0 in ELAN")
    return root


def _by_id(
    path: Path, elements: Iterable[ElementTree.Element], attribute: str
) -> dict[str, ElementTree.Element]:
    """Return elements by their identifier, which no two share."""
    by_id: dict[str, ElementTree.Element] = {}
    for element in elements:
        if by_id.setdefault(element.get(attribute, ""), element) is not element:
            raise InputError(path, f"two elements with the {attribute} {element.get(attribute)!r}")
    return by_id
