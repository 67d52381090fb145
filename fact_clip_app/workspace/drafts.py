"""Predicted segments under labels. All frames are frames of the video."""

import logging
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
        predicted: segments of T rows.
        rows: seconds at which rows start, and the end, (T + 1,).
        times: seconds at which frames start, and the end, (N + 1,).

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
    """Return drafts, those of some names under another one."""
    return [replace(draft, label=name) if draft.label in names else draft for draft in drafts]


def overlaid(drafts: Sequence[Draft], labels: Sequence[Label]) -> list[Draft | Label]:
    """Return labels, in order, and the parts of drafts between them."""
    parts: list[Draft | Label] = []
    end = 0
    for label in [*labels, None]:
        for draft in drafts:
            start = max(draft.start, end)
            stop = draft.stop if label is None else min(draft.stop, label.start)
            if start < stop:
                parts.append(replace(draft, start=start, stop=stop))
        if label is not None:
            parts.append(label)
            end = label.stop
    return parts


def between(drafts: Sequence[Draft], labels: Iterable[Label]) -> list[Draft]:
    """Return the parts of drafts between segments. Point events part no draft."""
    segments = [label for label in labels if label.start < label.stop]
    return [part for part in overlaid(drafts, segments) if isinstance(part, Draft)]


def segmentation_of(
    parts: Iterable[Draft | Label], n_frames: int, background: Names
) -> Segmentation:
    """Return labels or drafts as a file has them, from the first frame to the last.

    Args:
        parts: labels with their comment, or drafts with their confidence.
        n_frames: the length of the video.
        background: the background, whose first label is that of gaps.
    """
    segments = []
    instants = []
    for part in parts:
        if isinstance(part, Draft):
            segments.append(Segment(part.start, part.stop, part.label, part.confidence))
        elif part.start == part.stop:
            instants.append(Instant(part.start, part.label, part.comment))
        else:
            segments.append(Segment(part.start, part.stop, part.label, comment=part.comment))
    complete = Gaps(background[0], n_frames).filled(segments)
    return Segmentation(segments=complete, background=background, instants=tuple(instants))


def click_labels(points: Sequence[Point], rows: Floats) -> list[str]:
    """Return the labels of the rows of features in which point events lie.

    Args:
        points: the point events.
        rows: seconds at which rows start, and the end, (T + 1,).

    Returns:
        T labels, "?" for the other rows.
    """
    labels = [UNLABELLED] * (len(rows) - 1)
    for point in points:
        row = int(np.searchsorted(rows, point.time, side="right")) - 1
        labels[min(max(row, 0), len(labels) - 1)] = point.label
    n_lost = len(points) - len(labels) + labels.count(UNLABELLED)
    if n_lost:
        line = "%d point events are not trained on: later ones are in the same rows of features"
        logger.warning(line, n_lost)
    return labels
