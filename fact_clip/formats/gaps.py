"""Segments with gaps and overlaps, converted to one label per frame or to a segmentation."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.core import (
    BACKGROUND,
    MAX_FRAMES,
    Clock,
    FileLocation,
    GapError,
    InputError,
    Instant,
    Integers,
    Segment,
    Segmentation,
)
from fact_clip.formats.base import Annotation, Span

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gaps:
    """How to fill the frames that a file omits."""

    background: str | None = None  # label of these frames, or None if none may be omitted
    n_frames: int | None = None  # length of the video, or None to end with the last segment

    def filled(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Return the segments of a file, in order, with background in all gaps."""
        if self.background is None:
            return tuple(segments)
        filled: list[Segment] = []
        end = 0
        for segment in segments:
            if segment.start > end:
                filled.append(Segment(end, segment.start, self.background))
            filled.append(segment)
            end = segment.stop
        if self.n_frames is not None and end < self.n_frames:
            filled.append(Segment(end, self.n_frames, self.background))
        return tuple(filled)


def gapless(
    path: Path, segments: Sequence[Segment], fps: float | None, gaps: Gaps, **values: Any
) -> Segmentation:
    """Return the segmentation of a file.

    Args:
        path: Path of the file, for errors.
        segments: Segments of the file in order.
        fps: Frame rate of the file, if known.
        gaps: Rules for filling the frames that it omits.
        values: Other fields of `Segmentation`.

    Returns:
        The segmentation. A gap that is not filled, or an overlap, raises an InputError.
    """
    segments = gaps.filled(segments)
    if not segments and gaps.background is not None:
        fix = "name it: load(path, background=..., n_frames=...)"
        raise InputError(path, "no segments, so the length of the video is unknown", fix)
    try:
        return Segmentation(segments, fps, **values)
    except InputError as error:
        fix = error.fix
        has_gaps = not segments or isinstance(error, GapError)
        if gaps.background is None and has_gaps:
            fix = "name the background that was left out: load(path, background=...)"
        raise InputError(FileLocation(path, part=str(error.where)), error.problem, fix) from None


def with_framed_instants(segmentation: Segmentation) -> Segmentation:
    """Return the segmentation with a segment of one frame for each instant in background.

    If a frame has several instants, the first one gets it. An instant at the end gets the last
    frame. Other instants are kept as they are.
    """
    if not segmentation.instants or not segmentation.background:
        return segmentation
    instants: dict[int, Instant] = {}
    for instant in segmentation.instants:
        frame = min(instant.frame, segmentation.n_frames - 1)
        instants.setdefault(frame, instant)
    segments: list[Segment] = []
    framed = []
    frames = sorted(instants)
    for segment in segmentation:
        start = segment.start
        is_background = segment.label in segmentation.background
        for frame in frames:
            if is_background and start <= frame < segment.stop:
                if start < frame:
                    segments.append(replace(segment, start=start, stop=frame))
                start = frame + 1
                instant = instants[frame]
                segments.append(Segment(frame, start, instant.label, comment=instant.comment))
                framed.append(instant)
        if start < segment.stop:
            segments.append(replace(segment, start=start))
    unframed = tuple(instant for instant in segmentation.instants if instant not in framed)
    return replace(segmentation, segments=tuple(segments), instants=unframed)


@dataclass(frozen=True)
class Frames:
    """One label per frame, and the decisions that led to it."""

    spans: Sequence[Span]  # segments sorted by start
    owners: Integers  # (T,) index of the segment that has each frame, -1 in gaps
    contested: int  # number of frames in segments of different labels
    background: str = BACKGROUND  # label of the gaps

    @cached_property
    def labels(self) -> list[str]:
        """Return the label of each frame, (T,) names."""
        names = [span.label for span in self.spans]
        return [self.background if owner < 0 else names[owner] for owner in self.owners]

    @property
    def gaps(self) -> int:
        """Return the number of frames without a segment."""
        return int((self.owners < 0).sum())

    @property
    def lost(self) -> int:
        """Return the number of segments without a frame: too short, or covered by others."""
        return len(self.spans) - int((np.unique(self.owners) >= 0).sum())


def to_frames(annotation: Annotation, clock: Clock, background: str | None = None) -> Frames:
    """Convert an annotation to one label per frame of the features.

    A segment covers the frames between the boundaries nearest to its ends. **If segments overlap,
    the one that started last gets the frame. If they started together, the shorter one gets it.**
    Segments may extend 10 frames or 1 % beyond the end, and are cut off there. Longer ones are an
    InputError.

    Args:
        annotation: Segments with gaps and overlaps.
        clock: Frames of the features.
        background: Label of frames without a segment, or None to use the file's.

    Returns:
        The labels.
    """
    # Later spans overwrite earlier ones.
    spans = sorted(annotation.spans, key=lambda span: (span.start, -span.stop))
    starts = boundaries(annotation, [span.start for span in spans], clock)
    stops = boundaries(annotation, [span.stop for span in spans], clock)
    reach = int(stops.max(initial=0))
    n_frames = clock.n_frames
    end = int(boundaries(annotation, [annotation.end or 0], clock)[0])
    if n_frames is None:
        n_frames = end
        # A stop may be slightly after the end in the file, but not far after it.
        if n_frames == 0 or reach <= last_frame(n_frames):
            n_frames = max(reach, n_frames)
    if not 1 <= n_frames <= MAX_FRAMES or reach > last_frame(n_frames):
        length = min(n_frames, MAX_FRAMES)
        problem = f"segments of {annotation.name!r} up to frame {reach:,} of {length:,}"
        fix = "check --fps, --source-fps and the unit of the times"
        if not annotation.spans and not n_frames:
            problem = f"{annotation.name!r} has no segments, and the file has no length"
            fix = "give --features"
        elif annotation.unit == "frames" and annotation.fps is None:
            problem += ", as frames of the features"
            fix = "give --source-fps, the frames per second of the file"
        raise InputError(annotation.path, problem, fix)
    check_length(annotation, clock, n_frames)

    owner = np.full(n_frames, -1, dtype=np.int64)  # index of the span of each frame
    contested = np.zeros(n_frames, dtype=bool)
    names = np.array([span.label for span in spans], dtype=object)
    for index, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        covered = owner[start:stop]
        contested[start:stop] |= (covered >= 0) & (names[covered] != names[index])
        owner[start:stop] = index

    gap = (background or annotation.background or BACKGROUND).strip()
    return Frames(
        spans=spans,
        owners=owner,
        contested=int(contested.sum()),
        background=gap,
    )


def check_length(annotation: Annotation, clock: Clock, n_frames: int) -> None:
    """Warn if the video of an annotation is longer or shorter than its features."""
    if not annotation.end:
        return
    end = int(boundaries(annotation, [annotation.end], clock)[0])
    if max(end, n_frames) > last_frame(min(end, n_frames)):
        message = "%s: labels for a video of %d frames, but %d feature rows; check --fps"
        logger.warning(message, annotation.path, end, n_frames)


def last_frame(n_frames: int) -> int:
    """Return the last frame to which the segments of a video may extend."""
    return n_frames + max(n_frames // 100, 10)


def boundaries(annotation: Annotation, values: Sequence[float], clock: Clock) -> Integers:
    """Return the frame boundaries of times in the annotation's unit."""
    if annotation.unit == "seconds":
        return clock.frames(values, annotation.path)
    fps = annotation.fps
    if fps is not None and (clock.fps is not None or clock.times is not None):
        return clock.frames([value / fps for value in values], annotation.path)
    if fps is not None and clock.n_frames is not None:
        problem = f"frames at {fps:g} per second, but the rate of the features is unknown"
        raise InputError(annotation.path, problem, "set --fps")
    for value in values:
        if value != int(value):
            problem = f"frame {value:g} is not a whole number"
            raise InputError(annotation.path, problem, "or are these seconds?")
    return np.array(values, np.int64)
