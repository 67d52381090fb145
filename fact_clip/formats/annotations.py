"""Annotations: segments in seconds or frames, with gaps and overlaps, and the way to one label per frame."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation
from fact_clip.core.arguments import check_name
from fact_clip.core.errors import FileLocation, Location
from fact_clip.core.messages import listed
from fact_clip.core.segments import LEAST_FPS, MAX_FRAMES, MOST_FPS, Clock

logger = logging.getLogger(__name__)

Unit = Literal["seconds", "frames"]
LATEST = 1e9  # seconds (30 years) or frames; an end that is later is no end of a video
OURS = "action"  # the tier, attribute or control that our writers use
BACKGROUND = "background"  # label of gaps that nobody named
_REMARK = "background: "  # begins the remark of our writers that names what they left out


@dataclass(frozen=True)
class Options:
    """What a reader must be told where the file leaves it open."""

    tier: str | None = None  # of several tiers (ELAN), subjects (BORIS), attributes (VIA), controls (Label Studio)
    unit: Unit | None = None  # of the columns `start` and `stop` (CSV)
    fps: float | None = None  # of the frame numbers; None: as the file says, else the rate of the features
    classes: tuple[str, ...] = ()  # names by index (run-length JSON)
    verbs: Path | None = None  # the class files of Epic-Kitchens, both or neither
    nouns: Path | None = None
    decimal: Literal[".", ","] = "."  # in the times (CSV)
    skip_bad: bool = False  # leave out rows that cannot be read (CSV)


@dataclass(frozen=True)
class Span:
    """A labelled stretch `[start, stop)` in the unit of its annotation; it may be empty. Errors name `where`."""

    start: float
    stop: float
    label: str
    where: FileLocation = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label.strip())
        if not 0 <= self.start <= self.stop <= LATEST:  # NaN is not
            problem = f"{self.label!r} from {self.start:g} to {self.stop:g}"
            raise InputError(self.where, problem, f"give times from 0 to {LATEST:,.0f}, the start before the stop")
        check_name(self.label, self.where)


@dataclass(frozen=True)
class Annotation:
    """What a file says about one video."""

    name: str  # of the video, without folder and ending
    spans: tuple[Span, ...]  # in any order, with gaps and overlaps
    unit: Unit
    path: Path  # the file, for error messages
    fps: float | None = None  # of the frame numbers; None: they are frames of the features
    end: float | None = None  # length of the video in `unit`, if the file tells it
    background: str | None = None  # label of what lies between the spans, if the file tells it

    def __post_init__(self) -> None:
        if self.fps is not None and not LEAST_FPS <= self.fps <= MOST_FPS:
            raise InputError(self.path, f"{self.fps:g} frames a second", "set --source-fps")
        if self.end is not None and not 0 <= self.end <= LATEST:
            raise InputError(self.path, f"the length of {self.name!r} is {self.end:g}")
        if self.background is not None:
            check_name(self.background, self.path)


@dataclass(frozen=True)
class Frames:
    """One label per frame, and what was decided on the way."""

    labels: list[str]  # (T,) names
    gaps: int  # frames without a segment
    contested: int  # frames that segments of different labels claimed
    lost: int  # segments that got no frame, because they are too short or others cover them
    background: str = BACKGROUND  # label of the gaps


Reader = Callable[[Path, Options], list[Annotation]]


def remark(segmentation: Segmentation) -> str:
    """Return what a file says of the background that it leaves out, for a field of free text; "" if there is none."""
    return f"{_REMARK}{segmentation.background[0]}" if segmentation.background else ""


def read_remark(text: object) -> str | None:
    """Return the background of a `remark`; None for any other text."""
    return text.removeprefix(_REMARK) if isinstance(text, str) and text.startswith(_REMARK) else None


def to_frames(annotation: Annotation, clock: Clock, background: str | None = None) -> Frames:
    """Return one label per frame of the features.

    A segment takes the frames between the boundaries nearest to its ends. **Where segments overlap, the one that
    started last gets the frame; if they started together, the shorter one.** Frames without a segment are `background`,
    else what the file says. Segments may reach 10 frames or 1 % beyond the end and are cut off there; more is an
    InputError.
    """
    spans = sorted(annotation.spans, key=lambda span: (span.start, -span.stop))
    starts = _cuts(annotation, [span.start for span in spans], clock)
    stops = _cuts(annotation, [span.stop for span in spans], clock)
    reach = int(stops.max(initial=0))
    n_frames = clock.n_frames
    if n_frames is None:
        end = int(_cuts(annotation, [annotation.end or 0], clock)[0])
        # a stop may be a moment after the end that the file tells, but one far from it is a mistake
        n_frames = max(reach, end) if not end or reach <= last_frame(end) else end
    if n_frames == 0:
        problem = f"no segment of {annotation.name!r} that is as long as a frame"
        raise InputError(annotation.path, problem, "check --fps and the unit of the times")
    if n_frames > MAX_FRAMES or reach > last_frame(n_frames):
        problem = f"segments of {annotation.name!r} up to frame {reach:,} of {min(n_frames, MAX_FRAMES):,}"
        raise InputError(annotation.path, problem, "check --fps, --source-fps and the unit of the times")
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


def last_frame(n_frames: int) -> int:
    """Return the last frame to which the segments of a video may reach."""
    return n_frames + max(n_frames // 100, 10)


def _cuts(annotation: Annotation, values: Sequence[float], clock: Clock) -> NDArray[np.int64]:
    """Return the frame boundaries of times in the annotation's unit."""
    if annotation.unit == "seconds":
        return clock.frames(values, annotation.path)
    if annotation.fps is not None and (clock.fps is not None or clock.times is not None):
        return clock.frames([value / annotation.fps for value in values], annotation.path)
    fraction = next((value for value in values if value != int(value)), None)
    if fraction is not None:
        raise InputError(annotation.path, f"frame {fraction:g} is not a whole number", "or are these seconds?")
    return np.asarray(values, dtype=np.int64)


class TiersError(InputError):
    """Segments of several tiers, none of which was chosen; `tiers` are their names."""

    tiers: tuple[str, ...] = ()


def choose(where: Location | Path, kind: str, names: Iterable[str], tier: str | None) -> str:
    """Return the `tier` if given, else the only one of `names`, else `OURS`; a warning names what that leaves out."""
    candidates = list(dict.fromkeys(names))
    if not candidates:
        raise InputError(where, f"no {kind} with segments")
    chosen = tier if tier is not None else candidates[0] if len(candidates) == 1 else OURS
    if chosen not in candidates:
        problem = f"no {kind} {tier!r}" if tier is not None else f"segments of more than one {kind}"
        error = TiersError(where, problem, f"choose one with --tier: {listed(map(repr, candidates))}")
        error.tiers = tuple(candidates)
        raise error
    if tier is None and len(candidates) > 1:
        others = listed(repr(name) for name in candidates if name != OURS)
        text = "%s: the segments of %s %s are left out, since there is %r; --tier chooses another"
        logger.warning(text, where, kind, others, OURS)
    return chosen
