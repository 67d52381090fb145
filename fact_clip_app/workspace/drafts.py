"""Predicted segments that are shown under the labels. All frames are frames of the video."""

import logging
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fact_clip.core import Floats, Instant, Names, Point, Segment, Segmentation
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.formats.gaps import Gaps
from fact_clip_app.store.frames import nearest_frames
from fact_clip_app.store.project import Label

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draft:
    """A predicted segment."""

    start: int
    stop: int
    label: str
    confidence: float | None = None


def drafts_of(predicted: Segmentation, rows: Floats, times: Floats) -> list[Draft]:
    """Convert a prediction on rows of features to frames of the video.

    Args:
        predicted: Segments of T rows.
        rows: Seconds at which rows start, and the end, (T + 1,).
        times: Seconds at which frames start, and the end, (N + 1,).

    Returns:
        The segments that have a frame.
    """
    n_frames = len(times) - 1
    frames = np.minimum(nearest_frames(rows, times), n_frames)
    frames[-1] = n_frames
    drafts = []
    for segment in predicted:
        start = int(frames[segment.start])
        stop = int(frames[segment.stop])
        if start < stop:
            drafts.append(Draft(start, stop, segment.label, segment.confidence))
    return drafts


def renamed(drafts: Iterable[Draft], names: Collection[str], name: str) -> list[Draft]:
    """Return drafts in which some names are replaced by one name."""
    return [replace(draft, label=name) if draft.label in names else draft for draft in drafts]


def overlaid(drafts: Sequence[Draft], labels: Sequence[Label]) -> list[Draft | Label]:
    """Return labels and the parts of drafts between segments, in order of time.

    Point events lie over drafts and do not divide them.
    """
    parts: list[Draft | Label] = [*labels, *between(drafts, labels)]
    return sorted(parts, key=lambda part: (part.start, part.stop))


def between(drafts: Sequence[Draft], labels: Iterable[Label]) -> list[Draft]:
    """Return the parts of drafts between segments, in order of time.

    Args:
        drafts: Drafts in order of time, which do not overlap.
        labels: Labels in order of time.
    """
    parts = []
    begin = 0  # of the gap before a segment
    first = 0  # all drafts before this one end before the gap
    segments = [(label.start, label.stop) for label in labels if not label.is_point]
    for start, stop in [*segments, (sys.maxsize, sys.maxsize)]:
        while first < len(drafts) and drafts[first].stop <= begin:
            first += 1
        index = first
        while index < len(drafts) and drafts[index].start < start:
            draft = drafts[index]
            cut = replace(draft, start=max(draft.start, begin), stop=min(draft.stop, start))
            if cut.start < cut.stop:
                parts.append(cut)
            index += 1
        begin = stop
    return parts


def segmentation_of(
    parts: Iterable[Draft | Label], n_frames: int, background: Names
) -> Segmentation:
    """Return labels or drafts as segments without gaps, from the first frame to the last.

    Args:
        parts: Labels with their comment, or drafts with their confidence.
        n_frames: Length of the video.
        background: Names of background. Gaps get the first one.
    """
    segments = []
    instants = []
    for part in parts:
        if isinstance(part, Draft):
            segments.append(Segment(part.start, part.stop, part.label, part.confidence))
        elif part.is_point:
            instants.append(Instant(part.start, part.label, part.comment))
        else:
            segments.append(Segment(part.start, part.stop, part.label, comment=part.comment))
    complete = Gaps(background[0], n_frames).filled(segments)
    return Segmentation(segments=complete, background=background, instants=tuple(instants))


def click_labels(points: Sequence[Point], rows: Floats) -> list[str]:
    """Return the labels of the rows of features in which point events lie.

    Args:
        points: Point events in order of time.
        rows: Seconds at which rows start, and the end, (T + 1,).

    Returns:
        T labels, "?" for the other rows.
    """
    labels = [UNLABELLED] * (len(rows) - 1)
    for point in points:
        row = int(np.searchsorted(rows, point.time, side="right")) - 1
        labels[min(max(row, 0), len(labels) - 1)] = point.label
    n_lost = len(points) - len(labels) + labels.count(UNLABELLED)
    if n_lost:
        line = (
            "%d point events are not used for training: later ones are in the same rows of features"
        )
        logger.warning(line, n_lost)
    return labels
