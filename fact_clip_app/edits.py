"""Labels: drafts beneath them, label files of any tool, two labellings. In frames of the video everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Clock, InputError, Segment, Segmentation
from fact_clip.core.io import read_text
from fact_clip.formats import FORMATS, load
from fact_clip.formats.base import Annotation, Options, TiersError, Unit, last_frame
from fact_clip_app.project import Label

BACKGROUND = "background"  # Label of what nobody labelled, where the model has no name for it


@dataclass(frozen=True)
class Draft:
    """A predicted stretch, in frames of the video."""

    start: int
    stop: int
    label: str
    confidence: float | None = None


def drafts_of(
    predicted: Segmentation, rows: NDArray[np.float64], times: NDArray[np.float64]
) -> list[Draft]:
    """Return a prediction in rows that start at `rows` seconds, (T + 1,), in the frames of `times`, (N + 1,)."""
    n_frames = len(times) - 1
    frames = np.minimum(Clock(n_frames, times=times).frames(rows.tolist(), "rows"), n_frames)
    frames[-1] = n_frames
    drafts = (
        Draft(
            int(frames[segment.start]), int(frames[segment.stop]), segment.label, segment.confidence
        )
        for segment in predicted
    )
    return [draft for draft in drafts if draft.start < draft.stop]


def overlaid(drafts: Sequence[Draft], labels: Sequence[Label]) -> list[Draft | Label]:
    """Return the labels, in order, and what is left of the drafts between them."""
    shown, end = list[Draft | Label](), 0
    for label in [*labels, None]:
        for draft in drafts:
            start, stop = (
                max(draft.start, end),
                draft.stop if label is None else min(draft.stop, label.start),
            )
            if start < stop:
                shown.append(Draft(start, stop, draft.label, draft.confidence))
        if label is not None:
            shown.append(label)
            end = max(end, label.stop)
    return shown


def gapless(
    shown: Iterable[Draft | Label], n_frames: int, background: str = BACKGROUND
) -> tuple[Segment, ...]:
    """Return the segments for a file, from the first frame to the last.

    What is left of a draft joins a neighbour of its name; two labels of one name stay apart, since somebody cut them.
    An instant gets a frame where no segment is. Confidence is that of the model; where a hand was in it there is none.
    """
    pieces, end = list[Draft | Label](), 0
    for part in sorted(shown, key=lambda part: (part.start, part.start == part.stop)):
        if part.start < end:  # an instant where a segment is
            continue
        if part.start > end:
            pieces.append(Draft(end, part.start, background))
        end = max(part.stop, part.start + 1)
        pieces.append(replace(part, stop=end))
    if end < n_frames:
        pieces.append(Draft(end, n_frames, background))
    results, is_label = list[Segment](), False
    for part in pieces:
        by_hand = isinstance(part, Label)
        if results and results[-1].label == part.label and not (is_label and by_hand):
            results[-1], is_label = (
                Segment(results[-1].start, part.stop, part.label),
                is_label or by_hand,
            )
        else:
            confidence = part.confidence if isinstance(part, Draft) else None
            results.append(Segment(part.start, part.stop, part.label, confidence))
            is_label = by_hand
    return tuple(results)


def row_labels(
    parts: Iterable[Draft | Label],
    times: NDArray[np.float64],
    rows: NDArray[np.float64],
    other: str,
) -> list[str]:
    """Return a label for each row of features, that of its middle; `other` where there is none.

    Parts are in frames that start at `times` seconds, (N + 1,); `rows` are the seconds where rows start, (T + 1,).
    """
    middles, labels = (rows[1:] + rows[:-1]) / 2, np.full(len(rows) - 1, other, dtype=object)
    for part in parts:
        first, last = np.searchsorted(middles, [times[part.start], times[part.stop]])
        labels[first:last] = part.label
    return labels.tolist()


MAIN = "main"  # The track of a file that has one tier


def read_tracks(
    path: Path, ending: str, times: NDArray[np.float64], background: Iterable[str] = ()
) -> dict[str, list[Label]]:
    """Read a label file of one video, in the frames that start at `times` seconds, (N + 1,), without `background`.

    Tiers of ELAN and subjects of BORIS are tracks; of overlapping segments, the later one goes to a further track.
    """
    form = next((form for form in FORMATS.values() if form.ending == ending), None)
    if form is None or (form.read is None and form.annotations is None):
        readable = ", ".join(
            name for name, form in FORMATS.items() if form.read or form.annotations
        )
        raise InputError(path, "a format that is only written", f"choose one of {readable}")
    if form.read is not None:
        try:
            segmentation = load(path)
            left_out = {*background, BACKGROUND, *segmentation.background}
            return {
                MAIN: [
                    label
                    for label in _of_frames(path, segmentation, times)
                    if label.label not in left_out
                ]
            }
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
        annotations = {
            tier or MAIN: form.annotations(path, Options(tier=tier)) for tier in error.tiers
        }
    tracks: dict[str, list[Label]] = {}
    for name, entries in annotations.items():
        if len(entries) != 1:
            raise InputError(path, f"{len(entries)} videos", "give the labels of one")
        left_out = {*background, BACKGROUND, entries[0].background or BACKGROUND}
        apart = _apart(_of_spans(entries[0], times, left_out), len(times) - 1)
        tracks |= {
            name if not number else f"{name} {number + 1}": labels
            for number, labels in enumerate(apart)
        }
    return tracks


def _of_frames(path: Path, segmentation: Segmentation, times: NDArray[np.float64]) -> list[Label]:
    """The segments of a file with a label a frame, whose frames may be rows of features."""
    count, n_frames = segmentation.n_frames, len(times) - 1
    edges = np.arange(count + 1)
    if count != n_frames:
        seconds, length = (
            [segmentation.seconds(frame) for frame in range(count + 1)],
            times[-1] - times[0],
        )
        if (
            seconds[0] is None and not length <= count <= n_frames
        ):  # rows of features, at least one a second
            raise InputError(
                path, f"{count} labels for {n_frames} frames", "give the labels of this video"
            )
        starts = (
            edges / count * length + times[0]
            if seconds[0] is None
            else np.array(seconds, dtype=np.float64)
        )
        edges = _frames(path, starts, times)
    labels = (
        Label(int(edges[part.start]), int(edges[part.stop]), part.label, "imported")
        for part in segmentation
    )
    return [label for label in labels if label.start < label.stop]


def _of_spans(
    annotation: Annotation, times: NDArray[np.float64], left_out: set[str]
) -> list[Label]:
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


def _frames(
    path: Path, seconds: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The frames nearest to times; an InputError where these go far beyond the end of the video."""
    n_frames = len(times) - 1
    frames = Clock(n_frames, times=times).frames(seconds.tolist(), path)
    if len(frames) and frames.max() > last_frame(n_frames):
        raise InputError(
            path, f"segments up to {max(seconds):.1f} s of a video of {times[-1]:.1f} s"
        )
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
