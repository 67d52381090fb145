"""A video divided into segments, for frames, tables, notebooks and files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fact_clip.core.arguments import names_of, number_of, table_of, whole_of
from fact_clip.core.errors import GapError, InputError
from fact_clip.core.extras import data_frame
from fact_clip.core.segments import Alternative, Instant, NewWord, Segment
from fact_clip.core.timeline_html import timeline_html
from fact_clip.core.types import Json, Names

if TYPE_CHECKING:
    from pandas import DataFrame

_MOST_SHOWN = 4  # labels in a `repr`


@dataclass(frozen=True, repr=False)
class Segmentation:
    """A video divided into segments without gaps or overlaps, from frame 0 to the last frame.

    It is a sequence of its segments. `from_frames` creates maximal runs of one label. Segments that
    you create may follow each other with the same label, such as two cups that are poured one after
    the other. Converting to frames joins them.

    Args:
        segments: One or more segments in order. Each starts at the stop of the previous one.
        fps: Frames per second, or None if unknown.
        times: Seconds at the start of each frame and at the end of the last one, (n_frames + 1,),
            for a video whose frames are not evenly spaced, or None if `fps` determines the times.
        media: Name of the video file, for formats that refer to it. This and all following
            arguments are ignored when segmentations are compared.
        video_fps: Video frames per second of the video file, or None if unknown.
        background: Labels that mean "no action". Files of most formats omit them (see `save`).
        new_words: Words of the candidates on which the model was not trained.
        instants: Events without a duration, in addition to the segments (see `save`).
    """

    segments: tuple[Segment, ...]
    fps: float | None = None
    times: tuple[float, ...] | None = None
    media: str | None = field(default=None, compare=False)
    video_fps: float | None = field(default=None, compare=False)
    background: Names = field(default=(), compare=False)
    new_words: tuple[NewWord, ...] = field(default=(), compare=False)
    instants: tuple[Instant, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "background", names_of(self.background, "background"))
        for name in ("segments", "new_words", "instants"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.segments or not all(isinstance(segment, Segment) for segment in self.segments):
            raise InputError("segments", "a segmentation needs one Segment or more")
        for name in ("fps", "video_fps"):
            rate = getattr(self, name)
            if rate is not None:
                number_of(rate, name, "frames per second, more than 0", sys.float_info.min)
        end = 0
        for segment in self.segments:
            if segment.start != end:
                is_gap = segment.start > end
                fault = "a gap" if is_gap else "an overlap"
                problem = f"starts at {segment.start}, {fault} after the previous segment, which "
                problem += f"stops at {end}"
                raise (GapError if is_gap else InputError)(f"segment {segment.label!r}", problem)
            end = segment.stop
        for instant in self.instants:
            whole_of(instant.frame, f"instant {instant.label!r}", 0, end)
        if self.times is not None:
            times = table_of(self.times, "times", (self.n_frames + 1,)).astype(np.float64)
            if times[0] < 0 or (np.diff(times) <= 0).any():
                raise InputError("times", "negative or not rising")
            object.__setattr__(self, "times", tuple(times.tolist()))

    @classmethod
    def from_frames(
        cls,
        labels: Sequence[str],
        fps: float | None = None,
        confidence: Sequence[float] | None = None,
        times: Sequence[float] | None = None,
    ) -> Segmentation:
        """Divide per-frame labels into maximal runs of one label.

        Args:
            labels: Action names (T,).
            fps: Frames per second, or None if unknown.
            confidence: Confidence of each frame, 0 to 1, (T,). A segment gets the mean of its
                frames.
            times: Seconds at the start of each frame and at the end, (T + 1,).

        Returns:
            The segmentation.
        """
        names = names_of(labels, "labels")
        if not names:
            raise InputError("labels", "no frames")
        frame_confidence = None
        if confidence is not None:
            frame_confidence = table_of(confidence, "confidence", (len(names),)).astype(float)
            if not ((frame_confidence >= 0) & (frame_confidence <= 1)).all():
                raise InputError("confidence", "numbers below 0 or above 1")

        segments = []
        start = 0
        for name, group in groupby(names):
            stop = start + len(list(group))
            mean = None
            if frame_confidence is not None:
                mean = float(frame_confidence[start:stop].mean())
            segments.append(Segment(start, stop, name, mean))
            start = stop
        return cls(tuple(segments), fps, None if times is None else tuple(times))

    def to_frames(self) -> list[str]:
        """Return one label per frame, length `n_frames`."""
        labels = []
        for segment in self.segments:
            labels += [segment.label] * segment.duration
        return labels

    @property
    def transcript(self) -> Names:
        """Return the labels of the segments in order."""
        return tuple(segment.label for segment in self.segments)

    @property
    def n_frames(self) -> int:
        """Return the length of the video in frames."""
        return self.segments[-1].stop

    def seconds(self, frame: int) -> float | None:
        """Return the time at which a frame starts.

        Args:
            frame: Frame number. `n_frames` is the end of the video.

        Returns:
            Time in seconds, or None if neither frame times nor a rate are known.
        """
        frame = whole_of(frame, "frame", 0, self.n_frames)
        if self.times is not None:
            return self.times[frame]
        return None if self.fps is None else frame / self.fps

    def __repr__(self) -> str:
        edges, unit = self._edges()
        names = " ".join(map(repr, self.transcript[:_MOST_SHOWN]))
        dots = " …" if len(self) > _MOST_SHOWN else ""
        size = f"{len(self)} segment{'s' * (len(self) > 1)}"
        return f"Segmentation({size}, {edges[-1]:.6g} {unit}, {names}{dots})"

    def __len__(self) -> int:
        return len(self.segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __getitem__(self, index: int) -> Segment:
        return self.segments[index]

    @property
    def foreground(self) -> tuple[Segment, ...]:
        """Return the segments that are not background, in order."""
        return tuple(part for part in self.segments if part.label not in self.background)

    def to_dataframe(self) -> DataFrame:
        """Convert to a pandas.DataFrame. Without pandas, raise an InputError.

        Returns:
            Table with one row per segment and the columns start, stop, start_seconds, stop_seconds,
            label and confidence. Unknown values are NaN.
        """
        numbers = dict.fromkeys(("start_seconds", "stop_seconds", "confidence"), float)
        columns = ["start", "stop", "start_seconds", "stop_seconds", "label", "confidence"]
        table = data_frame(self.to_dict()["segments"], columns=columns)
        return table.astype(numbers)  # None becomes NaN

    def _repr_html_(self) -> str:
        """Return the timeline and its legend as HTML for a notebook. It loads no other files."""
        edges, unit = self._edges()
        return timeline_html(self.segments, edges, unit, self.background)

    def _edges(self) -> tuple[list[float], str]:
        """Return the start times of the segments and the end, and their unit: "s" or "frames"."""
        frames = [0, *(segment.stop for segment in self.segments)]
        times = [self.seconds(frame) for frame in frames]
        edges = [time for time in times if time is not None]
        return (edges, "s") if edges else ([float(frame) for frame in frames], "frames")

    def joined(self) -> Segmentation:
        """Join consecutive segments of the same label.

        The confidence of a joined segment, and the scores of its alternatives, are means over its
        frames. An alternative that a part does not list is left out, because its mean is unknown.
        """
        segments = []
        for label, group in groupby(self.segments, lambda segment: segment.label):
            parts = list(group)
            if len(parts) == 1:
                segments += parts
                continue
            confidences: list[Any] = [part.confidence for part in parts]
            mean = None
            if None not in confidences:
                durations = [part.duration for part in parts]
                mean = min(float(np.average(confidences, weights=durations)), 1.0)
            joined = Segment(
                start=parts[0].start,
                stop=parts[-1].stop,
                label=label,
                confidence=mean,
                comment="; ".join(part.comment for part in parts if part.comment),
                alternatives=_mean_alternatives(parts),
            )
            segments.append(joined)
        return replace(self, segments=tuple(segments))

    def to_dict(self) -> Json:
        """Convert to plain values, in the layout of the JSON file (docs/formats.md).

        Returns:
            The object of the file.
        """
        from fact_clip.formats.json_file import as_dict

        return as_dict(self)

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Segmentation:
        """Read the object of `to_dict`.

        Args:
            tree: Object from `to_dict`.

        Returns:
            The segmentation.

        Raises:
            InputError: A key is missing or has a wrong value.
        """
        from fact_clip.formats.json_file import from_dict

        return from_dict(Path("tree"), tree)

    def save(self, path: str | Path, *, with_background: bool = False) -> Path:
        """Write a file in the format that its suffix determines (docs/formats.md).

        Args:
            path: File to write.
            with_background: Whether to write the labels of `background`, which most formats omit.

        Returns:
            The path.
        """
        # This is the only upward import. It is here so that core depends on `formats` only for
        # saving.
        from fact_clip.formats import save

        return save(self, path, with_background=with_background)

    @classmethod
    def load(
        cls, path: str | Path, *, background: str | None = None, n_frames: int | None = None
    ) -> Segmentation:
        """Read a file that `save` wrote.

        Args:
            path: File to read.
            background: Label of the frames that the file omits.
            n_frames: Length of the video in frames, if the file omits its end.

        Returns:
            The segmentation.
        """
        from fact_clip.formats import load

        return load(path, background=background, n_frames=n_frames)


def _mean_alternatives(segments: Sequence[Segment]) -> tuple[Alternative, ...]:
    """Return the alternatives that all segments list, with means over the frames, best first."""
    scores: dict[str, list[float]] = {}
    for segment in segments:
        for label, score in segment.alternatives:
            scores.setdefault(label, []).append(score)
    durations = [segment.duration for segment in segments]
    alternatives = []
    for label, scores_of_label in scores.items():
        if len(scores_of_label) == len(segments):
            mean = float(np.average(scores_of_label, weights=durations))
            alternatives.append(Alternative(label, mean))
    return tuple(sorted(alternatives, key=lambda alternative: -alternative.score))
