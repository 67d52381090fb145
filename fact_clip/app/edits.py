"""Labels of a person over predicted drafts. Frames of the video everywhere; no draft overwrites a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fact_clip.app.project import Label
from fact_clip.core import Segment, Segmentation
from fact_clip.core.clock import Clock

BACKGROUND = "background"
"""Label of what nobody labelled, where the model has no name for it."""


@dataclass(frozen=True)
class Draft:
    """A predicted stretch, in frames of the video."""

    start: int
    stop: int
    label: str
    confidence: float | None = None


def drafts_of(predicted: Segmentation, rows: NDArray[np.float64], times: NDArray[np.float64]) -> list[Draft]:
    """Return a prediction in rows that start at `rows` seconds, (T + 1,), in the frames of `times`, (N + 1,)."""
    n_frames = len(times) - 1
    frames = np.minimum(Clock(n_frames, times=times).frames(rows.tolist(), "rows"), n_frames)
    frames[-1] = n_frames
    drafts = (
        Draft(int(frames[segment.start]), int(frames[segment.stop]), segment.label, segment.confidence)
        for segment in predicted
    )
    return [draft for draft in drafts if draft.start < draft.stop]


def overlaid(drafts: Sequence[Draft], labels: Sequence[Label]) -> list[Draft | Label]:
    """Return the labels, in order, and what is left of the drafts between them."""
    shown, end = list[Draft | Label](), 0
    for label in [*labels, None]:
        for draft in drafts:
            start, stop = max(draft.start, end), draft.stop if label is None else min(draft.stop, label.start)
            if start < stop:
                shown.append(Draft(start, stop, draft.label, draft.confidence))
        if label is not None:
            shown.append(label)
            end = max(end, label.stop)
    return shown


def gapless(shown: Iterable[Draft | Label], n_frames: int, background: str = BACKGROUND) -> tuple[Segment, ...]:
    """Return the segments for a file, from the first frame to the last.

    What is left of a draft joins a neighbour of its name; two labels of one name stay apart, since somebody cut them.
    An instant gets a frame where no segment is. Confidence is that of the model; where a hand was in it there is none.
    """
    results, labelled, end = list[Segment](), list[bool](), 0

    def add(start: int, stop: int, name: str, confidence: float | None, by_hand: bool) -> None:
        if results and results[-1].label == name and not (labelled[-1] and by_hand):
            results[-1] = Segment(results[-1].start, stop, name)
            labelled[-1] |= by_hand
        else:
            results.append(Segment(start, stop, name, confidence))
            labelled.append(by_hand)

    parts = [part for part in shown if part.start < part.stop]
    covered = {part.start for part in parts}
    instants = [part for part in shown if part.start == part.stop and part.start not in covered]
    for part in sorted([*parts, *instants], key=lambda part: part.start):
        stop = max(part.stop, part.start + 1)
        if part.start < end:  # an instant within a segment
            continue
        if part.start > end:
            add(end, part.start, background, None, False)
        add(part.start, stop, part.label, part.confidence if isinstance(part, Draft) else None, isinstance(part, Label))
        end = stop
    if end < n_frames:
        add(end, n_frames, background, None, False)
    return tuple(results)


def row_labels(
    parts: Iterable[Draft | Label], times: NDArray[np.float64], rows: NDArray[np.float64], other: str
) -> list[str]:
    """Return a label for each row of features, that of its middle; `other` where there is none.

    Args:
        parts: stretches in frames that start at `times` seconds, (N + 1,).
        times: of the frames of the video.
        rows: seconds at which the rows start, and the end, (T + 1,).
        other: label of rows without a stretch.
    """
    middles, labels = (rows[1:] + rows[:-1]) / 2, np.full(len(rows) - 1, other, dtype=object)
    for part in parts:
        first, last = np.searchsorted(middles, [times[part.start], times[part.stop]])
        labels[first:last] = part.label
    return labels.tolist()
