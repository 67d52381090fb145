"""ELAN (.eaf): actions on one tier, their confidence on a tier below it."""

from __future__ import annotations

import os
from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.base import Format, milliseconds, now

TIER = "action"
CONFIDENCE = "confidence"


def write(segmentation: Segmentation, path: Path) -> None:
    """Annotations to the millisecond, ELAN's unit, on the tier `action`.

    The video is linked by its path and by the way to it from the file's folder, so that both may be moved together.
    Where a segment has a confidence it is an annotation of the tier `confidence`, associated with that of the action.

    Raises:
        InputError: no seconds are known, a segment shorter than a millisecond, or pympi-ling is missing.
    """
    try:
        from pympi.Elan import Eaf, to_eaf
    except ImportError:
        raise InputError(path, "pympi-ling is not installed", "", "pip install 'fact-clip[annotation]'") from None
    eaf = Eaf(author="fact-clip")
    eaf.adocument["DATE"] = now()
    eaf.remove_tier("default")
    eaf.add_tier(TIER)
    if any(segment.confidence is not None for segment in segmentation):
        eaf.add_linguistic_type(CONFIDENCE, "Symbolic_Association", timealignable=False)
        eaf.add_tier(CONFIDENCE, CONFIDENCE, parent=TIER)
    if segmentation.media:
        eaf.add_linked_file(*_link(path, Path(segmentation.media)))
    for start, stop, segment in milliseconds(path, segmentation):
        eaf.add_annotation(TIER, start, stop, segment.label)
        if segment.confidence is not None:
            # neighbours share an end, so that only the middle says which annotation is meant
            eaf.add_ref_annotation(CONFIDENCE, TIER, (start + stop) / 2, repr(segment.confidence))
    to_eaf(path, eaf)


def _link(path: Path, video: Path) -> tuple[str, str, str]:
    """Address of a video, the way to it from the folder of `path`, and its kind; nothing is escaped in ELAN."""
    mime = _MIME.get(video.suffix.lower(), "unknown")
    if not video.is_absolute():
        return video.name, f"./{video.name}", mime
    try:
        way = Path(os.path.relpath(video, path.parent.absolute())).as_posix()
    except ValueError:  # on another drive
        way = video.name
    return f"file://{'' if video.as_posix().startswith('/') else '/'}{video.as_posix()}", f"./{way}", mime


_MIME = {".mp4": "video/mp4", ".mpg": "video/mpeg", ".mpeg": "video/mpeg", ".mov": "video/quicktime"}

FORMAT = Format(write, None, "ELAN: a tier of actions, a tier of confidence below it")
