"""Corrected segments over predicted ones. Frames everywhere; a correction is a segment that nothing else overwrites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fact_clip.core import InputError, Segment, Segmentation

LONGEST_NAME = 200
"""Characters of an action name, at most."""

MOST = 20_000
"""Corrected segments of a video, at most."""


@dataclass(frozen=True)
class Shown:
    """A segment as the page shows it."""

    segment: Segment
    corrected: bool


def action_name(value: Any, where: str) -> str:
    """A name of one line without control characters, stripped; anything else is an InputError."""
    name = value.strip() if isinstance(value, str) else ""
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        shown = repr(value) if len(repr(value)) < 80 else repr(value)[:80] + "..."
        raise InputError(where, f"{shown}; expected a name of one line, at most {LONGEST_NAME} characters")
    return name


def read_corrections(entries: Any, n_frames: int) -> tuple[Segment, ...]:
    """Corrected segments from JSON, ``[{"start", "stop", "label"}, ...]`` in frames, in order and without overlap."""
    if not isinstance(entries, list) or len(entries) > MOST:
        raise InputError("segments", f"no list, or too long a one; expected at most {MOST} segments")
    found: list[Segment] = []
    for number, entry in enumerate(entries):
        where = f"segments[{number}]"
        if not isinstance(entry, dict) or not {"start", "stop", "label"} <= entry.keys():
            raise InputError(where, "no object with start, stop and label; expected one of each")
        start, stop = entry["start"], entry["stop"]
        if type(start) is not int or type(stop) is not int or not 0 <= start < stop <= n_frames:
            raise InputError(where, f"frames [{start!r}, {stop!r}); expected 0 <= start < stop <= {n_frames}")
        found.append(Segment(start, stop, action_name(entry["label"], where)))
    found.sort()
    for before, after in pairwise(found):
        if after.start < before.stop:
            raise InputError("segments", f"two that share frame {after.start}; expected corrected segments apart")
    return tuple(found)


def overlaid(predicted: Segmentation, corrected: Sequence[Segment]) -> list[Shown]:
    """The corrected segments, in order, and what is left of the predicted ones between them."""
    shown, end = list[Shown](), 0
    for fixed in [*corrected, None]:
        stop = predicted.n_frames if fixed is None else fixed.start
        if end < stop:
            shown += [
                Shown(Segment(max(each.start, end), min(each.stop, stop), each.label, each.confidence), False)
                for each in predicted
                if each.stop > end and each.start < stop
            ]
        if fixed is not None:
            shown.append(Shown(fixed, True))
            end = fixed.stop
    return shown


def joined(shown: Iterable[Shown]) -> tuple[Segment, ...]:
    """The segments for a file: what is left of a predicted one joins a neighbour of its name.

    Two corrected segments of one name stay apart, since somebody cut them. Confidence is that of the model; where a
    hand was in it there is none.
    """
    found = list[Shown]()
    for each in shown:
        last = found[-1] if found else None
        if last is not None and last.segment.label == each.segment.label and not (last.corrected and each.corrected):
            whole = Segment(last.segment.start, each.segment.stop, each.segment.label)
            found[-1] = Shown(whole, last.corrected or each.corrected)
        else:
            found.append(each)
    return tuple(each.segment for each in found)


def frame_names(shown: Iterable[Shown], unlabelled: str | None = None) -> list[str]:
    """One name a frame; `unlabelled`, where given, for frames that nobody corrected."""
    return [
        each.segment.label if each.corrected or unlabelled is None else unlabelled
        for each in shown
        for _ in range(each.segment.duration)
    ]
