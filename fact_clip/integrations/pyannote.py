"""Conversion of segmentations to and from `pyannote.core.Annotation`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fact_clip.core import BACKGROUND, Clock, FileLocation, InputError, Segmentation
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
        segmentation: Segments with a frame rate or times.

    Returns:
        The annotation. Its `uri` is the video, and its tracks are numbered.

    Raises:
        InputError: The segmentation has no frame rate.
    """
    require("to_annotation", "pyannote.core", "pyannote")
    from pyannote.core import Annotation, Segment

    if segmentation.instants:
        message = "%s: %d point events are left out, as an annotation cannot store them"
        logger.warning(message, segmentation.media or "annotation", len(segmentation.instants))
    annotation = Annotation(uri=segmentation.media)
    for number, (start, stop, segment) in enumerate(timed(segmentation)):
        annotation[Segment(start, stop), number] = segment.label
    return annotation


def from_annotation(
    annotation: Annotation,
    fps: float | None,
    n_frames: int | None = None,
    background: str = BACKGROUND,
    times: Sequence[float] | None = None,
) -> Segmentation:
    """Convert an annotation to one label per frame. If segments overlap, the later one counts.

    Args:
        annotation: Annotation to convert.
        fps: Frames per second, or None if `times` is set.
        n_frames: Number of frames of the video, or None to end with the last segment.
        background: Label of frames without a segment.
        times: Seconds at the start of each frame and at the end (n_frames + 1,), or None if the
            frames follow each other at `fps`.

    Returns:
        The segmentation.

    Raises:
        InputError: A label is not a name, or segments lie beyond the end.
    """
    path = Path(annotation.uri or "annotation")
    spans = []
    for segment, track, label in annotation.itertracks(yield_label=True):
        where = FileLocation(path, part=f"track {track}")
        spans.append(base.Span(segment.start, segment.end, str(label), where))
    source = base.Annotation(path, spans)
    if fps is None and times is None:
        raise InputError("fps", "neither a rate nor times of frames", "give one of them")
    clock = Clock(n_frames, fps, None if times is None else np.array(times), annotation.uri)
    frames = to_frames(source, clock, background)
    if frames.lost:
        logger.warning(
            "%s: %d segments get no frame: they are shorter than half a frame, or other segments "
            "cover them",
            path,
            frames.lost,
        )
    segmentation = Segmentation.from_frames(frames.labels, fps)
    segmentation = clock.apply_to(segmentation)
    return replace(segmentation, background=(frames.background,))
