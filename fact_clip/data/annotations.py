"""What people annotate, brought to one label a frame: segments in seconds or frames, with gaps and overlaps."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation
from fact_clip.data.benchmarks import Layout
from fact_clip.data.features import load_features
from fact_clip.export.formats import read_text
from fact_clip.export.json_file import is_number

Unit = Literal["seconds", "frames"]

_SAME = 1.5e-3  # seconds; files round times to milliseconds


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


@dataclass(frozen=True, eq=False)
class Clock:
    """The frames of one video's features.

    Args:
        n_frames: how many; None: as many as the annotation reaches.
        fps: frames a second; None where nobody said.
        times: seconds at the start of each frame and at the end, (n_frames + 1,), read in place of `fps`.
        media: path of the video.
    """

    n_frames: int | None = None
    fps: float | None = None
    times: NDArray[np.float64] | None = None
    media: str | None = None

    @classmethod
    def of_features(cls, path: Path, fps: float | None = None, layout: Layout | None = None) -> Clock:
        """The clock of NAME.npy; NAME.json beside it may tell ``fps``, ``times`` (T or T + 1 seconds) and ``video``.

        Args:
            path: the feature file.
            fps: used where the JSON file tells neither.
            layout: of the array; None: (T, D) where there is a JSON file, else an InputError.
        """
        told = _sidecar(path.with_suffix(".json"))
        if layout is None and told is None:
            raise InputError(path, "no .json beside it and no layout", "TD or DT", "set --layout")
        n_frames = len(load_features(path, layout or "TD"))
        told = told or {}
        fps, media = told.get("fps") or fps, told.get("video")
        if told.get("times") is None:
            return cls(n_frames, fps, None, media)
        times = np.asarray(told["times"], dtype=np.float64)
        if times.shape == (n_frames,):
            step = float(np.median(np.diff(times))) if n_frames > 1 else 1 / (fps or 1.0)
            times = np.append(times, times[-1] + step)
        if times.shape != (n_frames + 1,) or not (np.diff(times) > 0).all():
            found = f"{times.size} times for {n_frames} frames, or times that do not rise"
            raise InputError(path.with_suffix(".json"), found, "one a frame, and the end")
        return cls(n_frames, fps, times, media)

    def put_on(self, segmentation: Segmentation) -> Segmentation:
        """The segmentation with this rate and video, and with frame times where they are not those of the rate."""
        times = self.times
        if times is not None and self.fps and np.abs(times - np.arange(len(times)) / self.fps).max() < _SAME:
            times = None
        seconds = None if times is None else tuple(times.tolist())
        return replace(segmentation, fps=self.fps, times=seconds, media=self.media)

    def frames(self, seconds: Sequence[float], where: str) -> NDArray[np.int64]:
        """The frame boundary nearest to each time; of two equally near the later."""
        values = np.asarray(seconds, dtype=np.float64)
        if self.times is not None:
            # past the end the count goes on, so that labels of another video are noticed
            step = float(np.median(np.diff(self.times)))
            beyond = np.maximum(values - self.times[-1], 0) / step
            middles = (self.times[1:] + self.times[:-1]) / 2
            return np.searchsorted(middles, values, side="right") + np.floor(beyond + 0.5).astype(np.int64)
        if self.fps is None:
            raise InputError(where, "times in seconds and no frame rate", "frames a second", "set --fps or --features")
        # what a rate and its division lose must not decide on a half
        return np.floor(values * self.fps + 0.5 + 1e-9).astype(np.int64)


def encoder_of(features: Iterable[Path]) -> str | None:
    """The frame encoder that the JSON files beside some feature files name; None where none does.

    Raises:
        InputError: two encoders; a model that was trained on both would be one for neither.
    """
    first: dict[str, Path] = {}
    for path in features:
        name = (_sidecar(path.with_suffix(".json")) or {}).get("encoder")
        if isinstance(name, str):
            first.setdefault(name, path)
    if len(first) > 1:
        (one, path), (other, further) = list(first.items())[:2]
        raise InputError(further, f"features by {other}", f"{one}, as {path}", "extract all by one encoder")
    return next(iter(first), None)


def _sidecar(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        told = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}", f"not JSON ({error.msg})", "fps and times of the features") from None
    if not isinstance(told, dict):
        raise InputError(path, "no object", "fps and times of the features")
    fps, times, video = told.get("fps"), told.get("times"), told.get("video")
    if video is not None and not isinstance(video, str):
        raise InputError(path, f"video {video!r}", "the path of a video")
    if fps is not None and not (is_number(fps) and fps > 0):
        raise InputError(path, f"fps {fps!r}", "frames a second, more than 0")
    if times is not None and not (isinstance(times, list) and all(map(is_number, times))):
        raise InputError(path, "times that are no list of numbers", "seconds, one a frame, and the end")
    return told


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
