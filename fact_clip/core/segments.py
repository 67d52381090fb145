"""Labels of frames; the segments of a video, half-open frame ranges with a name; and when its frames start."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core.arguments import array_of, names_of, number_of, table_of, whole_of
from fact_clip.core.colours import class_colours
from fact_clip.core.errors import GapError, InputError, library_errors


def frame_labels(labels: ArrayLike, where: str) -> NDArray[np.int64]:
    """Check that `labels` are per-frame class indices (T,), called `where` in an error; give them back as int64."""
    array = array_of(labels, where, "integer class indices, one per frame, shape (T,)", "iu")
    if array.ndim != 1:
        raise InputError(
            where, f"an array of shape {array.shape}, not one label per frame, shape (T,)"
        )
    return array.astype(np.int64, copy=False)


def _some_labels(labels: ArrayLike, stride: int = 1) -> NDArray[np.int64]:
    whole_of(stride, "stride", 1, 1 << 62)
    array = frame_labels(labels, "labels")
    if array.size == 0:
        raise InputError("labels", "no frames")
    return array


def runs(labels: ArrayLike) -> list[tuple[int, int, int]]:
    """Cut per-frame labels (T,), T > 0, into maximal runs: (start, stop, label), half-open, in order."""
    array = _some_labels(labels)
    edges = [0, *(np.flatnonzero(np.diff(array)) + 1).tolist(), array.size]
    return [(start, stop, int(array[start])) for start, stop in pairwise(edges)]


def majority_stride(labels: ArrayLike, stride: int, ignore: int = -1) -> NDArray[np.int64]:
    """Most frequent label of each stride, of equally frequent ones the first: labels (T,) -> (ceil(T / stride),).

    Frames labelled `ignore` have no vote; a stride gets `ignore` only if all its frames have it.
    """
    array, ignore = _some_labels(labels, stride), whole_of(ignore, "ignore", -(1 << 62), 1 << 62)
    stride = min(stride, array.size)  # a longer one is the whole video too
    padded = np.append(array, np.full(-array.size % stride, ignore, dtype=np.int64))
    windows = padded.reshape(-1, stride)  # (N, stride)
    votes = np.zeros(windows.shape, dtype=np.int64)
    for offset in range(stride):
        votes += windows == windows[:, offset : offset + 1]
    votes[windows == ignore] = 0
    # argmax takes the first frame of the highest count, hence the label that comes first
    chosen: NDArray[np.int64] = windows[np.arange(len(windows)), votes.argmax(axis=1)]
    return chosen


def stretch(labels: ArrayLike, stride: int, n_frames: int) -> NDArray[np.int64]:
    """Labels of strides at full rate: (ceil(n_frames / stride),) -> (n_frames,); frame t gets label t // stride."""
    array = _some_labels(labels, stride)
    expected = -(-n_frames // stride)
    if array.size != expected:
        raise InputError(
            "labels", f"{array.size} at stride {stride}, not {expected} for {n_frames} frames"
        )
    return array[np.arange(n_frames) // stride]


LEAST_FPS, MOST_FPS = (
    1e-6,
    100_000.0,
)  # Frames a second: one in twelve days, and twice what sound has
MAX_FRAMES = 20_000_000  # Of a video: a week at 30 frames a second; what ends later is a mistake


@dataclass(frozen=True, order=True)
class Segment:
    """One action of a video, in the frames `[start, stop)`; ordered by start, then stop, then label."""

    start: int
    stop: int
    label: str
    confidence: float | None = field(default=None, compare=False)  # 0 to 1; None: unknown

    def __post_init__(self) -> None:
        where = f"segment {self.label!r}"
        if not isinstance(self.label, str):
            raise InputError(where, "label is not a string")
        # plain integers, so that numpy's own never reach a file
        object.__setattr__(self, "start", whole_of(self.start, where, 0, MAX_FRAMES))
        object.__setattr__(self, "stop", whole_of(self.stop, where, self.start + 1, MAX_FRAMES))
        if self.confidence is not None:
            number_of(self.confidence, f"the confidence of {where}", "a number from 0 to 1", 0, 1)

    @property
    def duration(self) -> int:
        """Length in frames."""
        return self.stop - self.start


@dataclass(frozen=True)
class NewWord:
    """A word of a candidate that no trained class has, beside the nearest one that some class has."""

    action: str  # the candidate
    slot: str  # what the word is, as "verb"; "phrase" for a whole name that has no parts
    word: str  # the word itself
    nearest: str  # the most similar trained word of that slot (for a phrase: the trained name); "" if there is none
    similarity: float  # cosine of their vectors by the sentence encoder, -1 to 1
    far: bool  # whether that is too little for the model to know what the word means


@dataclass(frozen=True)
class Segmentation:
    """A video cut into segments without gap or overlap, from frame 0 to its last; a sequence of its segments.

    `from_frames` makes maximal runs of one label. Segments given by hand may follow each other with the
    same label (two cups poured one after the other); going through frames joins them.
    """

    # at least one, in order, the first starting at 0 and each where the one before stopped
    segments: tuple[Segment, ...]
    fps: float | None = None  # frames per second, or None if unknown
    # seconds at which each frame starts, and the end of the last one, (n_frames + 1,), for a video whose frames are
    # not evenly spaced; seconds are then read from here. None: they follow from `fps`.
    times: tuple[float, ...] | None = None
    # name of the video file, for formats that point to it. Does not count for equality, nor does what follows.
    media: str | None = field(default=None, compare=False)
    # pictures per second of the video file, for formats that count them; None if unknown
    video_fps: float | None = field(default=None, compare=False)
    # the labels that mean "no action"; files of most formats leave them out (see `save`)
    background: tuple[str, ...] = field(default=(), compare=False)
    # words of the candidates that the model was not trained on
    new_words: tuple[NewWord, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", tuple(self.segments))
        object.__setattr__(self, "background", names_of(self.background, "background"))
        object.__setattr__(self, "new_words", tuple(self.new_words))
        if not self.segments or not all(isinstance(segment, Segment) for segment in self.segments):
            raise InputError("segments", "a segmentation needs one Segment or more")
        for name, rate in (("fps", self.fps), ("video_fps", self.video_fps)):
            if rate is not None:
                number_of(rate, name, "frames a second, more than 0", sys.float_info.min)
        end = 0
        for segment in self.segments:
            if segment.start != end:
                kind, name = (
                    (GapError, "a gap") if segment.start > end else (InputError, "an overlap")
                )
                problem = f"starts at {segment.start}, {name} after the segment before, which stops at {end}"
                raise kind(f"segment {segment.label!r}", problem)
            end = segment.stop
        if self.times is not None:  # the start of each frame, and the end
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
        """Cut labels (T,) into maximal runs, with the mean of the `confidence` (T,); `times` are (T + 1,)."""
        names = names_of(labels, "labels")
        if not names:
            raise InputError("labels", "no frames")
        values = (
            None
            if confidence is None
            else table_of(confidence, "confidence", (len(names),)).astype(float)
        )
        if values is not None and not ((values >= 0) & (values <= 1)).all():
            raise InputError("confidence", "numbers below 0 or above 1")
        edges = [
            0,
            *(frame for frame in range(1, len(names)) if names[frame] != names[frame - 1]),
            len(names),
        ]
        segments = [
            Segment(
                start,
                stop,
                names[start],
                None if values is None else float(values[start:stop].mean()),
            )
            for start, stop in pairwise(edges)
        ]
        return cls(tuple(segments), fps, None if times is None else tuple(times))

    def to_frames(self) -> list[str]:
        """One label per frame, length `n_frames`."""
        return [segment.label for segment in self.segments for _ in range(segment.duration)]

    @property
    def transcript(self) -> tuple[str, ...]:
        """Labels of the segments in order."""
        return tuple(segment.label for segment in self.segments)

    @property
    def n_frames(self) -> int:
        """Length of the video in frames."""
        return self.segments[-1].stop

    def seconds(self, frame: int) -> float | None:
        """Time at which a frame starts (`n_frames`: the end); None if neither times nor rate are known."""
        frame = whole_of(frame, "frame", 0, self.n_frames)
        if self.times is not None:
            return self.times[frame]
        return None if self.fps is None else frame / self.fps

    def __len__(self) -> int:
        return len(self.segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __getitem__(self, index: int) -> Segment:
        return self.segments[index]

    @property
    def foreground(self) -> tuple[Segment, ...]:
        """The segments that are no background, in order."""
        return self.without(self.background)

    def without(self, labels: Iterable[str]) -> tuple[Segment, ...]:
        """The segments whose label is not among `labels`, in order; for leaving out background."""
        left_out = {labels} if isinstance(labels, str) else set(names_of(labels, "labels"))
        return tuple(segment for segment in self.segments if segment.label not in left_out)

    def to_dataframe(self) -> Any:
        """Return a pandas.DataFrame, a row a segment: start, stop, start_seconds, stop_seconds, label, confidence.

        What is unknown is NaN. An InputError where pandas is not installed.
        """
        with library_errors(
            "to_dataframe", "pandas is not installed", ImportError, fix="pip install pandas"
        ):
            import pandas as pd
        rows = [
            (s.start, s.stop, self.seconds(s.start), self.seconds(s.stop), s.label, s.confidence)
            for s in self.segments
        ]
        columns = ["start", "stop", "start_seconds", "stop_seconds", "label", "confidence"]
        numbers = dict.fromkeys(
            ("start_seconds", "stop_seconds", "confidence"), float
        )  # None becomes NaN
        return pd.DataFrame(rows, columns=columns).astype(numbers)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the timeline and its colours; it loads nothing, in light and dark."""
        unit, frames = (
            "frames" if self.seconds(0) is None else "s",
            [0, *(segment.stop for segment in self.segments)],
        )
        edges = [float(frame if unit == "frames" else self.seconds(frame) or 0) for frame in frames]
        looks = class_colours(list(dict.fromkeys(self.transcript)), self.background)
        colour_of = {
            label: look["colour"] or "rgba(128,128,128,.35)" for label, look in looks.items()
        }
        bars = list[str]()
        for segment, (start, stop) in zip(self.segments, pairwise(edges), strict=True):
            sure = "" if segment.confidence is None else f", confidence {segment.confidence:.2f}"
            title = escape(f"{segment.label}: {start:.6g} to {stop:.6g} {unit}{sure}")
            share, colour = 100 * (stop - start) / (edges[-1] - edges[0]), colour_of[segment.label]
            bars.append(
                f'<span title="{title}" style="width:{share:.4f}%;background:{colour}"></span>'
            )
        legend = [
            f'<span style="white-space:nowrap;margin-right:1em"><span style="display:inline-block;width:.8em;'
            f'height:.8em;margin-right:.3em;background:{colour}"></span>{escape(label)}</span> '
            for label, colour in colour_of.items()
        ]
        head = f"{len(self)} segments, {edges[0]:.6g} to {edges[-1]:.6g} {unit}"
        return (
            f'<div style="font:13px system-ui,sans-serif;color:inherit"><div>{head}</div><div style="display:flex;'
            f'height:28px;margin:4px 0">{"".join(bars)}</div><div>{"".join(legend)}</div></div>'
        )

    def save(self, path: str | Path, *, with_background: bool = False) -> Path:
        """Write to a file whose ending tells the format (docs/formats.md), most of which leave out `background`."""
        # The one arrow upward in the house; imported here so that core stays alone until someone saves.
        from fact_clip.formats import save

        return save(self, path, with_background=with_background)

    @classmethod
    def load(
        cls, path: str | Path, *, background: str | None = None, n_frames: int | None = None
    ) -> Segmentation:
        """Read a file that `save` wrote; `background` fills what it leaves out, up to `n_frames`."""
        from fact_clip.formats import load

        return load(path, background=background, n_frames=n_frames)


_ROUNDING = 1.5e-3  # seconds; files round times to milliseconds


def row_times(shown: ArrayLike, fps: float, end: float | None = None) -> NDArray[np.float64]:
    """When rows that were sampled from a video at n / fps seconds start, and when the last one ends: (T,) -> (T + 1,).

    A row starts with the picture that it shows, which came up at n / fps or a moment before (`shown`, in seconds);
    where that would not rise, at n / fps. The last row ends with the video, at `end` seconds, or at T / fps if that is
    sooner.
    """
    times = table_of(shown, "shown", ("T",)).astype(np.float64)
    grid = np.arange(len(times) + 1) / fps
    new = np.append(True, times[1:] > times[:-1]) & (times <= grid[:-1] + _ROUNDING)
    starts = np.where(new, np.maximum(times, 0.0), grid[:-1])
    last = grid[-1] if end is None or not starts[-1] + _ROUNDING < end else min(end, grid[-1])
    return np.append(starts, last)


@dataclass(frozen=True, eq=False)
class Clock:
    """The frames of one video's features."""

    n_frames: int | None = None  # None: as many as the annotation has
    fps: float | None = None  # frames per second; None if unknown
    times: NDArray[np.float64] | None = (
        None  # seconds at the start of each frame and at the end, (n_frames + 1,)
    )
    media: str | None = None  # path of the video
    video_fps: float | None = None  # pictures per second of the video; None if unknown

    def put_on(self, segmentation: Segmentation) -> Segmentation:
        """The segmentation with these rates and video, and with frame times unless they are those of the rate."""
        times = self.times
        if (
            times is not None
            and self.fps
            and np.abs(times - np.arange(len(times)) / self.fps).max() < _ROUNDING
        ):
            times = None
        seconds = None if times is None else tuple(times.tolist())
        return replace(
            segmentation, fps=self.fps, times=seconds, media=self.media, video_fps=self.video_fps
        )

    def frames(self, seconds: Sequence[float], where: str | Path) -> NDArray[np.int64]:
        """The frame boundary nearest to each time; of two equally near the later."""
        values = np.asarray(seconds, dtype=np.float64)
        if self.times is not None:
            # the count continues after the end, so that labels of another video are noticed
            step = float(np.median(np.diff(self.times)))
            beyond = np.maximum(values - self.times[-1], 0) / step
            middles = (self.times[1:] + self.times[:-1]) / 2
            within = np.searchsorted(middles, values, side="right").astype(np.int64)
            frames: NDArray[np.int64] = within + np.floor(beyond + 0.5).astype(np.int64)
            return frames
        if self.fps is None:
            raise InputError(
                where, "times in seconds, but no frame rate is known", "set --fps or --features"
            )
        # the rounding of a rate and of its division must not decide on a half
        return np.floor(values * self.fps + 0.5 + 1e-9).astype(np.int64)
