"""Label files of any tool as tracks of a video."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.app.edits import BACKGROUND, Draft
from fact_clip.app.project import Label
from fact_clip.core import InputError, Segmentation
from fact_clip.core.clock import Clock
from fact_clip.core.io import read_text
from fact_clip.formats import FORMATS, load
from fact_clip.formats.annotations import Annotation, Options, TiersError, Unit

MAIN = "main"
"""The track of a file that has one tier."""


def read_tracks(
    path: Path, ending: str, times: NDArray[np.float64], background: Iterable[str] = ()
) -> dict[str, list[Label]]:
    """Read a label file of one video, in the frames that start at `times` seconds, (N + 1,).

    Tiers of ELAN and subjects of BORIS are tracks. Where segments of one overlap, the later one goes to a further
    track. Segments of `background` are left out.
    """
    form = next((form for form in FORMATS.values() if form.ending == ending), None)
    if form is None or (form.read is None and form.annotations is None):
        readable = ", ".join(name for name, form in FORMATS.items() if form.read or form.annotations)
        raise InputError(path, "a format that is only written", f"choose one of {readable}")
    if form.read is not None:
        try:
            segmentation = load(path)
            left_out = {*background, BACKGROUND, *segmentation.background}
            return {MAIN: [label for label in _of_frames(path, segmentation, times) if label.label not in left_out]}
        except InputError:
            if form.annotations is None:
                raise
    assert form.annotations is not None
    unit: Unit | None = None
    if ending == ".csv":  # times that a person wrote are seconds
        unit = "seconds" if "start_frame" not in read_text(path).partition("\n")[0] else None
    try:
        annotations = {MAIN: form.annotations(path, Options(unit=unit))}
    except TiersError as error:
        annotations = {tier or MAIN: form.annotations(path, Options(tier=tier)) for tier in error.tiers}
    tracks: dict[str, list[Label]] = {}
    for name, entries in annotations.items():
        if len(entries) != 1:
            raise InputError(path, f"{len(entries)} videos", "give the labels of one")
        left_out = {*background, BACKGROUND, entries[0].background or BACKGROUND}
        apart = _apart(_of_spans(entries[0], times, left_out), len(times) - 1)
        tracks |= {name if not number else f"{name} {number + 1}": labels for number, labels in enumerate(apart)}
    return tracks


def _of_frames(path: Path, segmentation: Segmentation, times: NDArray[np.float64]) -> list[Label]:
    """The segments of a file with a label a frame, whose frames may be rows of features."""
    count, n_frames = segmentation.n_frames, len(times) - 1
    edges = np.arange(count + 1)
    if count != n_frames:
        seconds = [segmentation.seconds(int(frame)) for frame in edges]
        starts_s = [second for second in seconds if second is not None]
        if not starts_s and not times[-1] - times[0] <= count <= n_frames:  # rows of features, at least one a second
            raise InputError(path, f"{count} labels for {n_frames} frames", "give the labels of this video")
        starts = (
            np.asarray(starts_s) if len(starts_s) == len(seconds) else edges / count * (times[-1] - times[0]) + times[0]
        )
        edges = _frames(path, starts, times)
    labels = (Label(int(edges[part.start]), int(edges[part.stop]), part.label, "imported") for part in segmentation)
    return [label for label in labels if label.start < label.stop]


def _of_spans(annotation: Annotation, times: NDArray[np.float64], left_out: set[str]) -> list[Label]:
    spans = [span for span in annotation.spans if span.label not in left_out]
    values = np.array([[span.start, span.stop] for span in spans]).reshape(-1)
    if annotation.unit == "seconds" or annotation.fps is not None:
        scale = 1.0 if annotation.unit == "seconds" else annotation.fps
        frames = _frames(annotation.path, values / scale, times)
    else:
        frames = values.astype(np.int64)
    return [
        Label(int(start), int(stop), span.label, "imported")
        for span, start, stop in zip(spans, frames[::2], frames[1::2], strict=True)
    ]


def _frames(path: Path, seconds: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """The frames nearest to times; an InputError where these go far beyond the end of the video."""
    n_frames = len(times) - 1
    frames = Clock(n_frames, times=times).frames(seconds.tolist(), path)
    if len(frames) and frames.max() > n_frames + max(n_frames // 100, 10):
        problem = f"segments up to {max(seconds):.1f} s of a video of {times[-1]:.1f} s"
        raise InputError(path, problem, "give the labels of this video")
    return np.minimum(frames, n_frames)


def _apart(labels: Iterable[Label], n_frames: int) -> list[list[Label]]:
    """Deal labels out so that those of one track do not overlap; one track at least."""
    tracks: list[list[Label]] = [[]]
    for label in sorted(labels):
        if label.start >= n_frames:
            continue
        for track in tracks:
            if not track or (track[-1].stop <= label.start and track[-1].start < label.start):
                track.append(label)
                break
        else:
            tracks.append([label])
    return tracks


def frame_names(parts: Iterable[Draft | Label], n_frames: int, other: str) -> list[str]:
    """Return one name a frame; `other` where there is no label."""
    names = [other] * n_frames
    for part in parts:
        names[part.start : part.stop] = [part.label] * (part.stop - part.start)
    return names
