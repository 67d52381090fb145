"""Corrected segments over predicted ones. Frames everywhere; a correction is a segment that nothing else overwrites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fact_clip.core import Segment, Segmentation


@dataclass(frozen=True)
class Shown:
    """A segment as the page shows it."""

    segment: Segment
    corrected: bool


def overlaid(predicted: Segmentation, corrected: Sequence[Segment]) -> list[Shown]:
    """Return the corrected segments, in order, and what is left of the predicted ones between them."""
    shown, end = list[Shown](), 0
    for fixed in [*corrected, None]:
        stop = predicted.n_frames if fixed is None else fixed.start
        if end < stop:
            shown += [
                Shown(
                    Segment(max(segment.start, end), min(segment.stop, stop), segment.label, segment.confidence), False
                )
                for segment in predicted
                if segment.stop > end and segment.start < stop
            ]
        if fixed is not None:
            shown.append(Shown(fixed, True))
            end = fixed.stop
    return shown


def joined(shown: Iterable[Shown]) -> tuple[Segment, ...]:
    """Return the segments for a file: what is left of a predicted one joins a neighbour of its name.

    Two corrected segments of one name stay apart, since somebody cut them. Confidence is that of the model; where a
    hand was in it there is none.
    """
    results = list[Shown]()
    for part in shown:
        last = results[-1] if results else None
        if last is not None and last.segment.label == part.segment.label and not (last.corrected and part.corrected):
            segment = Segment(last.segment.start, part.segment.stop, part.segment.label)
            results[-1] = Shown(segment, last.corrected or part.corrected)
        else:
            results.append(part)
    return tuple(part.segment for part in results)


def frame_names(shown: Iterable[Shown], unlabelled: str | None = None) -> list[str]:
    """Return one name a frame; `unlabelled`, where given, for frames that nobody corrected."""
    return [
        part.segment.label if part.corrected or unlabelled is None else unlabelled
        for part in shown
        for _ in range(part.segment.duration)
    ]
