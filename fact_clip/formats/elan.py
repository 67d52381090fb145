"""ELAN (.eaf): actions on one tier, their confidence on a tier below it; read and written by pympi."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from fact_clip.core import InputError, Segmentation
from fact_clip.core.files import LARGEST_TEXT, check_file
from fact_clip.formats.annotations import BACKGROUND, OURS, Annotation, Options, Span, choose, expects
from fact_clip.formats.base import library, milliseconds

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
            raise InputError(path, f"{text!r}", "a name whose signs XML allows", "write .csv or .json")
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
        raise InputError(path, "a document type", "an ELAN document, which has none", "save it again in ELAN")

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
    with expects(path, "an ELAN document"):
        pympi = library(path, "pympi.Elan", "pympi-ling", "annotation")
        check_file(path, "an ELAN document", LARGEST_TEXT)
        _check_no_document_type(path)
        try:  # pympi does not say what is wrong with a file that is not ELAN's
            root = ElementTree.parse(path).getroot()
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", "an ELAN document") from None
        except (ElementTree.ParseError, LookupError, ValueError) as error:
            raise InputError(path, f"not XML ({error})", "an ELAN document") from None
        if root.tag != "ANNOTATION_DOCUMENT":
            raise InputError(path, f"XML of <{root.tag}>", "an ELAN document, <ANNOTATION_DOCUMENT>")
        eaf = pympi.Eaf()
        # pympi deletes this attribute, and would fail on a document without it
        eaf.adocument["{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"] = ""
        pympi.parse_eaf(path, eaf, suppress_version_warning=True)
        annotated = [name for name, (aligned, *_) in eaf.tiers.items() if aligned]
        # ours is empty where a video is nothing but background
        tier = choose(path, "tier", annotated or [name for name in eaf.tiers if name == OURS], options.tier)
        spans = []
        for key, (first, last, label, _) in eaf.tiers[tier][0].items():
            where = f"{path}, tier {tier!r}, annotation {key}"
            start, stop = eaf.timeslots.get(first), eaf.timeslots.get(last)
            if start is None or stop is None:
                raise InputError(where, "an end without a time", "an aligned annotation", "align it in ELAN")
            spans.append(Span(start / 1000, stop / 1000, label, where))
        background = dict(eaf.properties).get(BACKGROUND)
        return [Annotation(path.name.partition(".")[0], tuple(spans), "seconds", str(path), background=background)]
