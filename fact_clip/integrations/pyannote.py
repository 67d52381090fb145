"""Segmentations to and from `pyannote.core.Annotation`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fact_clip.core import BACKGROUND, Clock, FileLocation, Segmentation
from fact_clip.core.extras import require
from fact_clip.formats import base
from fact_clip.formats.gaps import to_frames
from fact_clip.formats.times import timed

if TYPE_CHECKING:
    from pyannote.core import Annotation

logger = logging.getLogger(__name__)

__all__ = ["from_annotation", "to_annotation"]


def to_annotation(segmentation: Segmentation) -> Annotation:
    """Convert a segmentation to an annotation in seconds, without background and point events.

    Args:
        segmentation: the segments, with a frame rate or times.

    Returns:
        The annotation. Its `uri` is the video, and its tracks are numbered.

    Raises:
        InputError: the segmentation has no frame rate.
    """
    require("to_annotation", "pyannote.core", "pyannote")
    from pyannote.core import Annotation, Segment

    if segmentation.instants:
        message = "%s: %d point events have no place in an annotation, and are left out"
        logger.warning(message, segmentation.media or "annotation", len(segmentation.instants))
    annotation = Annotation(uri=segmentation.media)
    for number, (start, stop, segment) in enumerate(timed(segmentation)):
        annotation[Segment(start, stop), number] = segment.label
    return annotation


def from_annotation(
    annotation: Annotation,
    fps: float,
    n_frames: int | None = None,
    background: str = BACKGROUND,
) -> Segmentation:
    """Convert an annotation to one label a frame; of overlapping segments the later one counts.

    Args:
        annotation: the annotation.
        fps: frames a second.
        n_frames: the length of the video. None: to the end of the last segment.
        background: the label of frames without a segment.

    Returns:
        The segmentation.

    Raises:
        InputError: a label is not a name, or segments lie beyond the end.
    """
    path = Path(annotation.uri or "annotation")
    spans = []
    for segment, track, label in annotation.itertracks(yield_label=True):
        where = FileLocation(path, part=f"track {track}")
        spans.append(base.Span(segment.start, segment.end, str(label), where))
    source = base.Annotation(path, spans)
    frames = to_frames(source, Clock(n_frames, fps), background)
    if frames.lost:
        logger.warning(
            "%s: %d segments get no frame: they are shorter than half of one, or others cover them",
            path,
            frames.lost,
        )
    segmentation = Segmentation.from_frames(frames.labels, fps)
    segmentation = Clock(fps=fps, media=annotation.uri).apply_to(segmentation)
    return replace(segmentation, background=(frames.background,))
