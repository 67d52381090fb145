"""The middle frames of segments whose times are imprecise."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fact_clip.core import Clock, InputError
from fact_clip.formats.base import Annotation, Span
from fact_clip.formats.gaps import boundaries, check_length, last_frame


@dataclass(frozen=True)
class Middles:
    """The middle frame of each segment of a video, and doubtful segments."""

    clicks: list[tuple[int, str]]
    """Frames and labels, in order."""
    empty: list[Span] = field(default_factory=list)
    """Segments that start and stop in the same frame."""
    inside: list[Span] = field(default_factory=list)
    """Segments that lie within a longer one."""
    shared: list[Span] = field(default_factory=list)
    """Segments that are omitted, because a shorter one has the same middle frame."""


def to_middles(annotation: Annotation, clock: Clock) -> Middles:
    """Return the middle frame of each segment of an annotation.

    Args:
        annotation: Segments with gaps and overlaps.
        clock: Frames of the features.

    Returns:
        The middles. If several segments have the same middle frame, the shortest one gets it.

    Raises:
        InputError: A middle is 10 frames and 1 % or more beyond the end of the video.
    """
    spans = sorted(annotation.spans, key=lambda span: (span.stop - span.start, span.start))
    starts = boundaries(annotation, [span.start for span in spans], clock)
    stops = boundaries(annotation, [span.stop for span in spans], clock)
    frames = ((starts + stops) // 2).tolist()
    if clock.n_frames is not None:
        check_length(annotation, clock, clock.n_frames)
    middles = Middles([])
    label_of: dict[int, str] = {}
    for span, start, stop, frame in zip(spans, starts, stops, frames, strict=True):
        if clock.n_frames is not None:
            if frame > last_frame(clock.n_frames):
                problem = f"the middle of {span.label!r} is frame {frame:,} of {clock.n_frames:,}"
                fix = "check --fps, --source-fps and the unit of the times"
                raise InputError(span.where, problem, fix)
            frame = min(frame, clock.n_frames - 1)
        if start == stop:
            middles.empty.append(span)
        if frame in label_of:
            middles.shared.append(span)
        label_of.setdefault(frame, span.label)
    middles.clicks.extend(sorted(label_of.items()))
    middles.inside.extend(_inside_others(spans))
    return middles


def _inside_others(spans: Sequence[Span]) -> list[Span]:
    """Return the segments that lie within a longer one, in the order of their starts."""
    inside = []
    reach = -1.0
    for span in sorted(spans, key=lambda span: (span.start, -span.stop)):
        if span.stop <= reach:
            inside.append(span)
        reach = max(reach, span.stop)
    return inside
