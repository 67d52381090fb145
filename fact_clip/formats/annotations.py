"""Annotations: segments in seconds or frames, with gaps and overlaps, and the way to one label per frame."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation
from fact_clip.core.clock import Clock
from fact_clip.core.io import is_number
from fact_clip.core.messages import is_name, listed
from fact_clip.core.segments import LEAST_FPS, MOST_FPS, MOST_FRAMES

logger = logging.getLogger(__name__)

Unit = Literal["seconds", "frames"]
LATEST = 1e9  # seconds (30 years) or frames; an end that is later is no end of a video
OURS = "action"  # the tier, attribute or control that our writers use
BACKGROUND = "background"  # label of gaps that nobody named
_SAYS = "background: "  # begins the remark of our writers that names what they left out


@dataclass(frozen=True)
class Options:
    """What a reader must be told where the file leaves it open."""

    tier: str | None = None  # of several tiers (ELAN), subjects (BORIS), attributes (VIA), controls (Label Studio)
    unit: Unit | None = None  # of the columns `start` and `stop` (CSV)
    fps: float | None = None  # of the frame numbers; None: as the file says, else the rate of the features
    classes: tuple[str, ...] = ()  # names by index (run-length JSON)
    verbs: Path | None = None  # the class files of Epic-Kitchens, both or neither
    nouns: Path | None = None


@dataclass(frozen=True)
class Span:
    """A labelled stretch `[start, stop)` in the unit of its annotation; it may be empty. Errors name `where`."""

    start: float
    stop: float
    label: str
    where: str = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label.strip())
        found = f"{self.label!r} from {self.start:g} to {self.stop:g}"
        if not (0 <= self.start < math.inf and self.stop < math.inf):
            raise InputError(self.where, f"{found}; expected times that are 0 or more")
        if self.stop > LATEST:
            raise InputError(self.where, f"{found}; expected times up to {LATEST:g}", "check the unit of the times")
        if self.stop < self.start:
            raise InputError(self.where, f"{found}; expected a stop after the start")
        if not is_name(self.label):
            raise InputError(self.where, f"label {found}; expected a name of one line that can be printed")


@dataclass(frozen=True)
class Annotation:
    """What a file says about one video."""

    name: str  # of the video, without folder and ending
    spans: tuple[Span, ...]  # in any order, with gaps and overlaps
    unit: Unit
    where: str  # the file, for error messages
    fps: float | None = None  # of the frame numbers; None: they are frames of the features
    end: float | None = None  # length of the video in `unit`, if the file tells it
    background: str | None = None  # label of what lies between the spans, if the file tells it

    def __post_init__(self) -> None:
        if self.fps is not None and not (is_number(self.fps) and LEAST_FPS <= self.fps <= MOST_FPS):
            found = f"{self.fps!r} frames per second"
            raise InputError(
                self.where, f"{found}; expected a number from {LEAST_FPS:g} to {MOST_FPS:g}", "set --source-fps"
            )
        if self.end is not None and not (is_number(self.end) and 0 <= self.end <= LATEST):
            raise InputError(self.where, f"a length of {self.end!r}; expected a number from 0 to {LATEST:g}")
        check_background(self.background, self.where)


@dataclass(frozen=True)
class Frames:
    """One label per frame, and what was decided on the way."""

    labels: list[str]  # (T,) names
    gaps: int  # frames without a segment
    contested: int  # frames that segments of different labels claimed
    lost: int  # segments that got no frame, because they are too short or others cover them
    background: str = BACKGROUND  # label of the gaps


def check_background(name: object, where: str) -> None:
    """An InputError where the label of the frames between segments is no name of one line; None is none."""
    if name is None:
        return
    if not is_name(name):
        raise InputError(where, f"the background {name!r}; expected a name of one line that can be printed")


Reader = Callable[[Path, Options], list[Annotation]]


def remark(segmentation: Segmentation) -> str:
    """What a file says of the background that it leaves out, for a place of free text; empty where there is none."""
    return f"{_SAYS}{segmentation.background[0]}" if segmentation.background else ""


def read_remark(text: object) -> str | None:
    """The background of a `remark`; None for any other text."""
    return text.removeprefix(_SAYS) if isinstance(text, str) and text.startswith(_SAYS) else None


def to_frames(annotation: Annotation, clock: Clock, background: str | None = None) -> Frames:
    """One label per frame of the features.

    A segment takes the frames between the boundaries nearest to its ends. **Where segments overlap, the one that
    started last gets the frame; if they started together, the shorter one.** Frames without a segment are `background`;
    where it is None they are what the file says, else "background".
    Segments may reach 10 frames or 1 % beyond the end of the features (where there are none, of the length that the
    file tells) and are cut off there; more is an InputError.
    """
    spans = sorted(annotation.spans, key=lambda span: (span.start, -span.stop))
    starts = _cuts(annotation, [span.start for span in spans], clock)
    stops = _cuts(annotation, [span.stop for span in spans], clock)
    reach = int(stops.max(initial=0))
    n_frames, source = clock.n_frames, "features"
    if n_frames is None:
        end, source = int(_cuts(annotation, [annotation.end or 0], clock)[0]), "a video"
        # a stop may be a moment after the end that the file tells, but one far from it is a mistake
        n_frames = max(reach, end) if not end or reach <= _last(end) else end
    if n_frames > MOST_FRAMES:
        found = f"segments of {annotation.name!r} to frame {n_frames:,}"
        raise InputError(
            annotation.where,
            f"{found}; expected {MOST_FRAMES:,} frames at most",
            "check --fps and the unit of the times",
        )
    if n_frames == 0 and spans:
        found = f"{len(spans)} segments of {annotation.name!r}, each shorter than a frame"
        raise InputError(annotation.where, f"{found}; expected longer ones", "check --fps and the unit of the times")
    if n_frames == 0:
        raise InputError(annotation.where, f"no segments for {annotation.name!r}; expected at least one, or a length")
    if reach > _last(n_frames):
        found = f"segments of {annotation.name!r} to frame {reach:,}, {source} of {n_frames:,} frames"
        raise InputError(
            annotation.where, f"{found}; expected segments within the video", "check --fps and --source-fps"
        )
    owner = np.full(n_frames, -1, dtype=np.int64)
    contested = np.zeros(n_frames, dtype=bool)
    names = np.array([span.label for span in spans], dtype=object)
    for index, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        under = owner[start:stop]
        contested[start:stop] |= (under >= 0) & (names[under] != names[index])
        owner[start:stop] = index
    lost = len(spans) - int((np.unique(owner) >= 0).sum())
    gap = (background or annotation.background or BACKGROUND).strip()
    labels = [gap if index < 0 else spans[index].label for index in owner]
    return Frames(labels, int((owner < 0).sum()), int(contested.sum()), lost, gap)


def _last(n_frames: int) -> int:
    """The last frame to which the segments of a video may reach."""
    return n_frames + max(n_frames // 100, 10)


def _cuts(annotation: Annotation, values: Sequence[float], clock: Clock) -> NDArray[np.int64]:
    """Frame boundaries of times in the annotation's unit."""
    if annotation.unit == "seconds":
        return clock.frames(values, annotation.where)
    if annotation.fps is None or (clock.fps is None and clock.times is None):
        broken = next((value for value in values if value != int(value)), None)
        if broken is not None:
            raise InputError(
                annotation.where, f"frame {broken:g}; expected whole frame numbers", "or are these seconds?"
            )
        return np.asarray(values, dtype=np.int64)
    return clock.frames([value / annotation.fps for value in values], annotation.where)


def choose(where: str | Path, kind: str, names: Iterable[str], tier: str | None) -> str:
    """The `tier` if given, else the only one of `names`, else `OURS`; `kind` is what the tool calls a tier.

    Where `OURS` is one of several, `tell_others` says what it leaves out.
    """
    every = list(dict.fromkeys(names))
    if not every:
        raise InputError(where, f"no {kind} with segments; expected at least one")
    if tier is not None and tier not in every:
        known = f"one of {listed([*map(repr, every)])}" if every != [""] else f"no --tier: no segment has a {kind}"
        raise InputError(where, f"no {kind} {tier!r}; expected {known}")
    if tier is None and len(every) > 1 and OURS not in every:
        raise InputError(where, f"several: {listed([*map(repr, every)])}; expected one {kind}", "choose it with --tier")
    return tier if tier is not None else OURS if OURS in every else every[0]


def tell_others(path: Path, kind: str, names: Iterable[str], chosen: Iterable[str], tier: str | None) -> None:
    """A warning where a file has segments under `names` that are not `chosen`, unless somebody chose a `tier`."""
    others = [repr(name) for name in dict.fromkeys(names) if name not in chosen]
    if tier is None and others:
        text = "%s: the segments of %s %s are left out, since there is %r; --tier chooses another"
        logger.warning(text, path, kind, listed(others), OURS)
