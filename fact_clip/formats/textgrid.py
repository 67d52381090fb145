"""Praat (.TextGrid): actions on one interval tier, confidences and comments on further ones."""

from collections.abc import Iterator
from pathlib import Path

from fact_clip.core import Segmentation
from fact_clip.formats.base import COMMENT, OURS
from fact_clip.formats.times import second_of, timed

CONFIDENCE = "confidence"

Interval = tuple[float, float, str]


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a long text file: tier `action`, and `confidence` and `comment` if there are some.

    Background is an empty interval.
    """
    tiers: dict[str, list[Interval]] = {OURS: [], CONFIDENCE: [], COMMENT: []}
    for start, stop, segment in timed(segmentation):
        confidence = "" if segment.confidence is None else repr(segment.confidence)
        marks = (segment.label, confidence, segment.comment)
        for intervals, mark in zip(tiers.values(), marks, strict=True):
            intervals.append((start, stop, mark))
    for name in (CONFIDENCE, COMMENT):
        if not any(mark for *_, mark in tiers[name]):
            del tiers[name]

    end = second_of(segmentation, segmentation.n_frames)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end!r}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, labelled) in enumerate(tiers.items(), start=1):
        complete = list(_without_gaps(labelled, end))
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {end!r}",
            f"        intervals: size = {len(complete)}",
        ]
        for index, (start, stop, label) in enumerate(complete, start=1):
            quoted = label.replace('"', '""')
            lines += [
                f"        intervals [{index}]:",
                f"            xmin = {start!r}",
                f"            xmax = {stop!r}",
                f'            text = "{quoted}"',
            ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _without_gaps(intervals: list[Interval], end: float) -> Iterator[Interval]:
    """Yield intervals from 0 to the end, with empty ones in the gaps, which a tier has not."""
    last = 0.0
    for start, stop, label in intervals:
        if start > last:
            yield last, start, ""
        if stop > start:
            yield start, stop, label
        last = stop
    if end > last:
        yield last, end, ""
