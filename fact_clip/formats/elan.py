"""ELAN (.eaf): actions on one tier, their confidence on a tier below it; written by pympi."""

from __future__ import annotations

import os
import re
from collections.abc import Container
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from fact_clip.core import InputError, Segmentation
from fact_clip.core.errors import FileLocation
from fact_clip.core.io import check_file
from fact_clip.core.messages import listed
from fact_clip.formats.annotations import BACKGROUND, OURS, Annotation, Options, Span, choose, tell_others
from fact_clip.formats.base import library, milliseconds, name_of

CONFIDENCE = "confidence"
# XML 1.0 has no way to write these.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MIME = {".mp4": "video/mp4", ".mpg": "video/mpeg", ".mpeg": "video/mpeg", ".mov": "video/quicktime"}


def write(segmentation: Segmentation, path: Path) -> None:
    """Write annotations to the millisecond, ELAN's unit, on the tier `action`, each with its confidence below it."""
    pympi = library(path, "pympi.Elan", "pympi-ling", "annotation")
    eaf = pympi.Eaf(author="fact-clip")
    eaf.adocument["DATE"] = datetime.now(UTC).isoformat(timespec="seconds")
    eaf.remove_tier("default")
    eaf.add_tier(OURS)
    if any(segment.confidence is not None for segment in segmentation.foreground):
        eaf.add_linguistic_type(CONFIDENCE, "Symbolic_Association", timealignable=False)
        eaf.add_tier(CONFIDENCE, CONFIDENCE, parent=OURS)
    if segmentation.media:
        eaf.add_linked_file(*_link(path, Path(segmentation.media)))
    for text in (segmentation.media or "", *segmentation.background, *segmentation.transcript):
        if _NO_XML.search(text):
            raise InputError(path, f"{text!r}; expected a name whose signs XML allows", "write .csv or .json")
    for start, stop, segment in milliseconds(path, segmentation):
        eaf.add_annotation(OURS, start, stop, segment.label)
        if segment.confidence is not None:
            # neighbours share an end, so only the middle tells which annotation is meant
            eaf.add_ref_annotation(CONFIDENCE, OURS, (start + stop) / 2, repr(segment.confidence))
    if segmentation.background:
        eaf.add_property(BACKGROUND, segmentation.background[0])
    pympi.to_eaf(path, eaf)


def _link(path: Path, video: Path) -> tuple[str, str, str]:
    """Address of a video, its path relative to `path` (they may move together), its type; ELAN escapes nothing."""
    mime = _MIME.get(video.suffix.lower(), "unknown")
    if not video.is_absolute():
        return video.name, f"./{video.name}", mime
    try:
        relative = Path(os.path.relpath(video, path.parent.absolute())).as_posix()
    except ValueError:  # on another drive
        relative = video.name
    return f"file://{'' if video.as_posix().startswith('/') else '/'}{video.as_posix()}", f"./{relative}", mime


def _check_no_document_type(path: Path) -> None:
    """An InputError for a document type, in which entities are declared that name other files, or multiply."""

    def refuse(*_: object) -> None:
        raise InputError(path, "a document type; expected an ELAN document, which has none", "save it again in ELAN")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except InputError:
        raise
    except (expat.ExpatError, LookupError, ValueError, OSError):
        return  # said where it is read


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """The aligned annotations of one tier, in seconds; the video is named after the file."""
    root = _document(path)
    times = _times(path, root)
    tiers: dict[str, list[ElementTree.Element]] = {}
    for each in root.iter("TIER"):
        name = _id(path, each, "TIER_ID", tiers)
        tiers[name] = each.findall("ANNOTATION/ALIGNABLE_ANNOTATION")
    annotated = [name for name, aligned in tiers.items() if aligned]
    # ours is empty where a video is nothing but background
    names = annotated or [name for name in tiers if name == OURS]
    if options.tier in tiers and options.tier not in names:
        expected = f"one of {listed([*map(repr, names)])}" if names else "a tier with some"
        raise InputError(
            path, f"the tier {options.tier!r} has no annotations with times of their own; expected {expected}"
        )
    tier = choose(path, "tier", names, options.tier)
    tell_others(path, "tier", names, [tier], options.tier)
    spans: dict[str, Span] = {}
    for each in tiers[tier]:
        key = _id(path, each, "ANNOTATION_ID", spans)
        where = f"{path}, tier {tier!r}, annotation {key}"
        start, stop = (times.get(each.get(f"TIME_SLOT_REF{end}", "")) for end in (1, 2))
        if start is None or stop is None:
            raise InputError(where, "an end without a time; expected an aligned annotation", "align it in ELAN")
        spans[key] = Span(start / 1000, stop / 1000, each.findtext("ANNOTATION_VALUE") or "", where)
    properties = {each.get("NAME"): each.text for each in root.iterfind("HEADER/PROPERTY")}
    background = properties.get(BACKGROUND)
    return [Annotation(name_of(path), tuple(spans.values()), "seconds", str(path), background=background)]


def _document(path: Path) -> ElementTree.Element:
    """An ELAN document whose times are milliseconds of its video."""
    check_file(path, "an ELAN document")
    _check_no_document_type(path)
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror}); expected an ELAN document") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise InputError(path, f"not XML ({error}); expected an ELAN document") from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(path, f"XML of <{root.tag}>; expected an ELAN document, <ANNOTATION_DOCUMENT>")
    for header in root.iterfind("HEADER"):
        if header.get("TIME_UNITS", "milliseconds") != "milliseconds":
            raise InputError(path, f"TIME_UNITS {header.get('TIME_UNITS')!r}; expected milliseconds", "save it in ELAN")
        moved = [each.get("TIME_ORIGIN") for each in header.iterfind("MEDIA_DESCRIPTOR")][:1]
        if moved not in ([], [None], ["0"]):
            found = f"a video that begins {moved[0]} ms before the times (TIME_ORIGIN)"
            raise InputError(path, f"{found}; expected times of the video", "set its offset to 0 in ELAN")
    return root


def _times(path: Path, root: ElementTree.Element) -> dict[str, int]:
    """Milliseconds of the time slots that have some."""
    times: dict[str, int] = {}
    seen = set[str]()
    for slot in root.iter("TIME_SLOT"):
        key = _id(path, slot, "TIME_SLOT_ID", seen)
        seen.add(key)
        text = slot.get("TIME_VALUE")
        if text is None:
            continue
        if not re.fullmatch(r"[0-9]{1,12}", text.strip()):
            raise InputError(
                FileLocation(path, part=f"time slot {key}"),
                f"TIME_VALUE {text!r}; expected whole milliseconds, 0 or more",
            )
        times[key] = int(text)
    return times


def _id(path: Path, element: ElementTree.Element, attribute: str, known: Container[str]) -> str:
    """The identifier of an element, which is there and new."""
    found = element.get(attribute)
    if found is None or found in known:
        problem = f"<{element.tag}> without {attribute}" if found is None else f"{attribute} {found!r} twice"
        raise InputError(path, f"{problem}; expected each element with an identifier of its own")
    return found
