"""What people annotate, brought to one label a frame: segments in seconds or frames, with gaps and overlaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.core.clock import Clock

Unit = Literal["seconds", "frames"]


@dataclass(frozen=True)
class Span:
    """A labelled stretch, half-open, in the unit of its annotation; it may be empty where start and stop agree.

    Raises:
        InputError: a time that is negative or not finite, stop before start, or a blank label; it names `where`.
    """

    start: float
    stop: float
    label: str
    where: str = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label.strip())
        times = f"{self.start:g} to {self.stop:g}"
        if not (math.isfinite(self.start) and math.isfinite(self.stop)) or self.start < 0:
            raise InputError(self.where, f"{self.label!r} from {times}", "times that are 0 or more")
        if self.stop < self.start:
            raise InputError(self.where, f"{self.label!r} from {times}", "a stop after the start")
        if not self.label or "\n" in self.label or "\r" in self.label:
            raise InputError(self.where, f"label {self.label!r} from {times}", "a name of one line")


@dataclass(frozen=True)
class Annotation:
    """What a file says of one video.

    Args:
        name: name of the video without folder and ending.
        spans: in any order, with gaps and overlaps.
        unit: of the spans.
        where: the file, for messages.
        fps: frames a second that `frames` are counted at; None: they are those of the features.
        end: length of the video in `unit`, where the file tells it.
    """

    name: str
    spans: tuple[Span, ...]
    unit: Unit
    where: str
    fps: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Frames:
    """One label a frame, and what it cost to get there.

    Args:
        labels: (T,) names.
        gaps: frames of no segment.
        contested: frames that segments of different labels claimed; the rule of `to_frames` decided them.
        lost: segments without a frame: shorter than one, or wholly under others.
    """

    labels: list[str]
    gaps: int
    contested: int
    lost: int


def to_frames(annotation: Annotation, clock: Clock, background: str) -> Frames:
    """One label a frame of the features.

    A segment takes the frames between the boundaries nearest to its ends. **Where segments overlap, the one that
    started last has the frame; of those that start together, the shorter.** Frames of no segment are background.

    Raises:
        InputError: seconds without a frame rate, no frames, or segments beyond the end of the features (more than
            1 % and 10 frames; less is cut).
    """
    spans = sorted(annotation.spans, key=lambda span: (span.start, -span.stop))
    cuts = _cuts(annotation, [span.start for span in spans] + [span.stop for span in spans], clock)
    starts, stops = cuts[: len(spans)], cuts[len(spans) :]
    reach = int(stops.max(initial=0))
    n_frames = clock.n_frames
    if n_frames is None:
        end = 0 if annotation.end is None else int(_cuts(annotation, [annotation.end], clock)[0])
        n_frames = max(reach, end)
    if n_frames == 0:
        raise InputError(annotation.where, f"no segments for {annotation.name!r}", "at least one, or a length")
    if reach > n_frames + max(n_frames // 100, 10):
        found = f"segments of {annotation.name!r} to frame {reach}, features of {n_frames} frames"
        raise InputError(annotation.where, found, "segments within the video", "check --fps and --source-fps")
    owner = np.full(n_frames, -1, dtype=np.int64)
    contested = np.zeros(n_frames, dtype=bool)
    names = np.array([span.label for span in spans], dtype=object)
    for index, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        under = owner[start:stop]
        contested[start:stop] |= (under >= 0) & (names[under] != names[index])
        owner[start:stop] = index
    lost = len(spans) - len(set(owner.tolist()) - {-1})
    labels = [background if index < 0 else spans[index].label for index in owner]
    return Frames(labels, int((owner < 0).sum()), int(contested.sum()), lost)


def _cuts(annotation: Annotation, values: Sequence[float], clock: Clock) -> NDArray[np.int64]:
    """Frame boundaries of times in the annotation's unit."""
    if annotation.unit == "seconds":
        return clock.frames(values, annotation.where)
    if annotation.fps is None or (clock.fps is None and clock.times is None):
        broken = next((value for value in values if value != int(value)), None)
        if broken is not None:
            raise InputError(annotation.where, f"frame {broken:g}", "whole frame numbers", "or are these seconds?")
        return np.asarray(values, dtype=np.int64)
    return clock.frames([value / annotation.fps for value in values], annotation.where)
