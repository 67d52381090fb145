"""Label files of any tool as tracks of a video."""

import logging
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from fact_clip.core import (
    BACKGROUND,
    Floats,
    InputError,
    Instant,
    Integers,
    Location,
    Names,
    Segment,
    Segmentation,
)
from fact_clip.core.io import read_text
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.formats import FORMATS, READERS, format_of, load
from fact_clip.formats.base import Annotation, Options, Span, TiersError
from fact_clip.formats.boris import read_ethogram
from fact_clip.formats.csv_file import usual_unit
from fact_clip.formats.gaps import last_frame
from fact_clip_app.store.frames import nearest_frames
from fact_clip_app.store.project import (
    KEYS,
    MAX_COMMENT,
    MAX_NAME,
    Action,
    Label,
    Project,
    Track,
    VideoEntry,
    actions_named,
    free_name,
    gaps_between,
)

MAX_OVERLAPS = 20
"""Segments of one tier that overlap, at most. Each needs a track."""

MAX_TIERS = 100
"""Tiers of a file, at most."""

MAX_MISSING = 2.0
"""Seconds by which the video of a file may be shorter without a warning."""

_NO_TIER = "\n"  # no tier has this name, so that a reader names those that there are

MAIN = "main"
"""The track of a file that has one tier."""

logger = logging.getLogger(__name__)

_Part = TypeVar("_Part", Segment, Span)

_LABEL = TypeAdapter(Label)
_ACTION = TypeAdapter(Action)


class _Listener(logging.Handler):
    """The warnings of one thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


@contextmanager
def warnings_heard() -> Iterator[list[str]]:
    """Yield a list that gets the warnings about files that this block reads or writes."""
    listener = _Listener()
    loggers = [logging.getLogger(name) for name in ("fact_clip_app", "fact_clip.formats")]
    for source in loggers:
        source.addHandler(listener)
    try:
        yield listener.lines
    finally:
        for source in loggers:
            source.removeHandler(listener)


@dataclass(frozen=True)
class Loading:
    """What a label file changes."""

    tracks: dict[str, list[Label]]  # the new labels, by the name of the track
    replaced: dict[str, int]  # the number of labels of tracks that have some
    actions: list[Action]  # new ones
    marked: Collection[str] = ()  # the tracks of which a part is marked as unlabelled

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of new labels of each track."""
        return {name: len(labels) for name, labels in self.tracks.items()}


def plan(
    project: Project,
    video: VideoEntry,
    path: Path,
    *,
    background: Collection[str] = (),
    track: int | None = None,
    name: str | None = None,
    viewer: str | None = None,
    is_rough: bool = False,
) -> Loading:
    """Return what a label file would change.

    Args:
        project: Project that has the video.
        video: Video that the labels are for.
        path: Label file.
        background: Names that are marked as background if they are new actions.
        track: Track for a file with one tier.
        name: Name of the track, or the beginning of its name if there are several tiers.
            Without either, the tracks are named as the tiers.
        viewer: Person who loads the file. Tracks that this person cannot see keep their names.
        is_rough: Whether segments become point events in their middles.

    Raises:
        InputError: The track does not exist, or `track` is given for several tiers.
    """
    tracks = read_label_file(
        path,
        video.times,
        is_film=video.media is not None,
        background=project.background,
        video_name=video.name,
        is_rough=is_rough,
    ).tracks
    if track is not None:
        if len(tracks) != 1:
            fix = "load them onto new tracks"
            raise InputError(path, f"{len(tracks)} tiers for one track", fix)
        name = project.tracks(video.id, viewer).get(track)
        if name is None:
            raise InputError("track", "no such track")
    if name is not None and len(tracks) == 1:
        (labels,) = tracks.values()
        tracks = {name: labels}
    elif name is not None:
        tracks = {f"{name}: {tier}": labels for tier, labels in tracks.items()}
    visible_tracks = project.labelled_tracks(video.id, viewer=viewer)
    counts = {row.name: len(row.segments) for row in visible_tracks}
    hidden = {*project.tracks(video.id).values()} - {*counts}
    named: dict[str, list[Label]] = {}
    marked = set()
    for tier, labels in tracks.items():
        track_name = free_name(tier, {*hidden, *named})
        named[track_name] = [label for label in labels if label.label != UNLABELLED]
        if len(named[track_name]) < len(labels):
            marked.add(track_name)
    tracks = named
    for row in visible_tracks:
        if row.complete and row.name in marked:
            logger.warning("%s: unlabelled in part, so not complete: track %r", path, row.name)
    _empty_overlaps(project, tracks, visible_tracks)
    replaced = {name: counts[name] for name in tracks if counts.get(name)}
    actions = {action.name: action for action in _read_actions(path, background)}
    for labels in tracks.values():
        for action in actions_named([label.label for label in labels], background):
            actions.setdefault(action.name, action)
    for action in project.actions():
        actions.pop(action.name, None)
    return Loading(tracks, replaced, list(actions.values()), marked)


def _empty_overlaps(
    project: Project, tracks: dict[str, list[Label]], stored: Iterable[Track]
) -> None:
    """Add the tracks of earlier overlaps that the file no longer has, without labels.

    A track of overlaps was filled in one step with the first one.
    """
    imported = {}
    for row in stored:
        if all(label.origin == "imported" for label in row.segments):
            imported[row.name] = row.id
    ids = {row.name: row.id for row in stored}
    query = """SELECT count(*) FROM part AS first_part JOIN part USING (step)
               JOIN step ON step.id = step
               WHERE first_part.track = ? AND part.track = ? AND video IS NOT NULL"""
    for name in list(tracks):
        for number in count(2):
            overlap = f"{name} {number}"
            if overlap in tracks:
                continue
            if overlap not in imported or not project.value(query, ids.get(name), ids[overlap]):
                break
            tracks[overlap] = []


def _read_actions(path: Path, background: Collection[str]) -> list[Action]:
    """Return the actions of a BORIS project, with keys and colours. Other files have none."""
    if format_of(path).ending != ".boris":
        return []
    actions = []
    for name, behaviour in read_ethogram(path).items():
        if name in (BACKGROUND, UNLABELLED):
            continue
        values = {
            "name": name,
            "key": behaviour.key
            if behaviour.key.lower() in KEYS
            else "",  # commands have the others
            "description": behaviour.description.replace("\r\n", "\n").replace("\t", " "),
            "paint": behaviour.colour,
            "point": behaviour.is_point,
            "background": name in background,
        }
        try:
            actions.append(_ACTION.validate_python(values))
        except ValidationError as error:
            problem = f"behaviour {name!r}: {error.errors()[0]['msg']}"
            raise InputError(path, problem, "correct it in BORIS") from None
    return actions


@dataclass(frozen=True)
class LabelFile:
    """The content of a label file."""

    tracks: dict[str, list[Label]]  # the labels of each track, in frames of the video
    background: Names  # names that mean no action in it


def read_label_file(
    path: Path,
    times: Floats,
    *,
    is_film: bool = True,
    background: Collection[str] = (),
    video_name: str = "",
    is_rough: bool = False,
) -> LabelFile:
    """Read a label file of one video.

    Args:
        path: Label file.
        times: Start times of the frames and the end of the last frame, in seconds, (N + 1,).
        is_film: Whether frames are video frames, or else rows of features.
        background: Names of background that labels keep if a file marks time as unlabelled.
        video_name: Name of the video. A file that names a different video is read with a warning.
        is_rough: Whether segments become point events in their middles, as the times are rough.

    Returns:
        The labels of each track, and the names of background. Tiers of ELAN and subjects of BORIS
        are tracks, those without labels only if all are.
        Of overlapping segments, the later one goes to a further track. What is marked as
        unlabelled has the label UNLABELLED.
    """
    form = format_of(path)
    if is_rough and form is FORMATS["json"]:  # seconds are enough, as in answers of other models
        form = replace(form, annotations=READERS["json"])
    if form.annotations is None and form.read is not None:
        labelling = load(path)
        names = {BACKGROUND: None, **dict.fromkeys(labelling.background)}
        labels = _of_frames(path, labelling, times, names, background, is_film=is_film)
        if is_rough:
            labels = _middles(path, labels)
        return LabelFile({MAIN: labels}, _without_mark(names))
    if form.annotations is None:
        readable = [name for name, form in FORMATS.items() if form.read or form.annotations]
        fix = f"choose one of {', '.join(readable)}"
        raise InputError(path, "a format that is only written", fix)
    try:
        options = Options(tier=_NO_TIER, unit=usual_unit(path), instants=True)
        tiers = {MAIN: form.annotations(path, options)}
    except TiersError as error:
        if len(error.tiers) > MAX_TIERS:
            fix = f"load files of at most {MAX_TIERS}"
            raise InputError(path, f"{len(error.tiers)} tiers", fix) from None
        tiers = {}
        for tier in error.tiers:
            name = tier or free_name(MAIN, error.tiers)
            if len(error.tiers) == 1 and form is not FORMATS["boris"]:  # a subject is somebody
                name = MAIN
            tiers[name] = form.annotations(path, Options(tier=tier, instants=True))
    tracks: dict[str, list[Label]] = {tier: [] for tier in tiers}  # overlaps get other names
    all_names: dict[str, None] = {BACKGROUND: None}
    for tier, videos in tiers.items():
        if len(videos) != 1:
            raise InputError(path, f"{len(videos)} videos", "give the labels of one")
        (annotation,) = videos
        if annotation.name not in (Annotation(path, ()).name, video_name or annotation.name):
            logger.warning("%s: labels of a video named %r", path, annotation.name)
        names = {BACKGROUND: None, annotation.background or BACKGROUND: None}
        names |= dict.fromkeys(annotation.further_background)
        all_names |= names
        labels = _of_spans(annotation, times, names, background, is_film=is_film)
        if is_rough:
            labels = _middles(path, labels)
        marks = [label for label in labels if label.label == UNLABELLED]
        tracks[tier], *overlaps = _apart(
            path, (label for label in labels if label.label != UNLABELLED)
        )
        tracks[tier] += marks
        for part in overlaps:
            tracks[free_name(tier, tracks)] = part
    tracks = {tier: labels for tier, labels in tracks.items() if labels} or tracks
    return LabelFile(tracks, _without_mark(all_names))


def _middles(path: Path, labels: Iterable[Label]) -> list[Label]:
    """Return point events in the middles of labels, without what is marked as unlabelled."""
    points = []
    for label in labels:
        if label.label != UNLABELLED:
            middle = (label.start + label.stop) // 2
            points.append(replace(label, start=middle, stop=middle))
    logger.warning("%s: rough times, so point events in the middles: %d", path, len(points))
    return points


def _without_mark(names: Iterable[str]) -> Names:
    """Return names of background without the mark of unlabelled time."""
    return tuple(name for name in names if name != UNLABELLED)


def _known(
    parts: Iterable[_Part],
    ignored: Collection[str],
    background: Collection[str],
    *,
    is_marked: bool = False,
) -> list[_Part]:
    """Return the parts that become labels. Background does so only if a file marks UNLABELLED time.

    Args:
        parts: Parts of a file.
        ignored: Names of background.
        background: Names of background that stay labels.
        is_marked: Whether the time between the parts is UNLABELLED.
    """
    parts = list(parts)
    if not is_marked and all(part.label != UNLABELLED for part in parts):
        return [part for part in parts if part.label not in ignored]
    names = {*ignored} - {*background, UNLABELLED}
    return [replace(part, label=BACKGROUND) if part.label in names else part for part in parts]


def _of_frames(
    path: Path,
    segmentation: Segmentation,
    times: Floats,
    ignored: Collection[str],
    background: Collection[str],
    *,
    is_film: bool,
) -> list[Label]:
    """Convert the segments of a file with a label a frame, or a label a row of features."""
    count = segmentation.n_frames
    n_frames = len(times) - 1
    edges = np.arange(count + 1)
    if count != n_frames:
        seconds = [segmentation.seconds(frame) for frame in range(count + 1)]
        if seconds[0] is not None:
            starts = np.array(seconds, dtype=np.float64)
            _warn_of_end(path, starts[-1], times)
        else:
            length = times[-1] - times[0]
            if not length <= count <= n_frames:  # rows of features, at least one a second
                problem = f"{count} labels for {n_frames} frames"
                raise InputError(path, problem, "give the labels of this video")
            noun = "frames" if is_film else "rows"
            logger.warning("%s: %d labels, stretched over %d %s", path, count, n_frames, noun)
            starts = edges / count * length + times[0]
        edges = _frames(path, starts, times)
    labels = []
    n_short = 0
    is_marked = UNLABELLED in segmentation.background
    segments = _known(segmentation, ignored, background, is_marked=is_marked)
    parts: list[Segment | Instant] = [*segments]
    parts += [instant for instant in segmentation.instants if instant.label not in ignored]
    for part in parts:
        label = _label(path, edges[part.start], edges[part.stop], part)
        if label.start < label.stop or part.start == part.stop:
            labels.append(label)
        else:
            n_short += 1
    if n_short:
        logger.warning("%s: shorter than half a frame, so left out: %d", path, n_short)
    return labels


def _of_spans(
    annotation: Annotation,
    times: Floats,
    ignored: Collection[str],
    background: Collection[str],
    *,
    is_film: bool,
) -> list[Label]:
    path = annotation.path
    n_frames = len(times) - 1
    is_marked = annotation.background == UNLABELLED
    spans = _known(annotation.spans, ignored, background, is_marked=is_marked)
    n_ignored = len(annotation.spans) - len(spans)
    if n_ignored and annotation.background is None:  # its gaps may have a different meaning
        logger.warning("%s: background, so left out: %d", path, n_ignored)
    frames = np.array([[span.start, span.stop] for span in spans]).reshape(-1, 2)
    rate = 1.0 if annotation.unit == "seconds" else annotation.fps
    if rate is not None:
        frames = _frames(path, frames.ravel() / rate, times).reshape(-1, 2)
        if annotation.end is not None:
            _warn_of_end(path, annotation.end / rate, times)
    else:
        _check_frames(annotation, n_frames, is_film=is_film)
    labels = []
    n_late = 0
    n_short = 0
    for span, (start, stop) in zip(spans, frames, strict=True):
        if start >= n_frames:
            n_late += 1
            continue
        n_short += start == stop and span.start < span.stop
        labels.append(_label(span.where, start, stop, span))
    if n_late:
        logger.warning("%s: after the end of the video, so left out: %d", path, n_late)
    if n_short:
        logger.warning("%s: shorter than half a frame, so point events now: %d", path, n_short)
    if is_marked:
        labels += gaps_between(labels, n_frames)
    return labels


def _warn_of_end(path: Path, end: float, times: Floats) -> None:
    """Warn if the video of a file, which ends at `end` seconds, is shorter than this one."""
    if end < times[-1] - MAX_MISSING:
        message = "%s: the labels of a video of %.1f s, but this video has %.1f s"
        logger.warning(message, path, end, times[-1])


def _check_frames(annotation: Annotation, n_frames: int, *, is_film: bool) -> None:
    """Raise an InputError if frame numbers without a rate may not fit the video."""
    path = annotation.path
    edges = {edge for span in annotation.spans for edge in (span.start, span.stop)}
    end = max(edges, default=0)
    if end > n_frames or any(edge % 1 for edge in edges):
        problem = f"frames up to {end:g} of a video of {n_frames}, or parts of a frame"
        raise InputError(path, problem, "give seconds, or whole frames of this video")
    # A file of ours for features without a rate leaves the seconds empty.
    if is_film and end < n_frames and "start_seconds" in read_text(path).lower():
        fix = "segment with --fps, or give the seconds"
        raise InputError(path, "frame numbers of features whose rate is unknown", fix)
    n_labelled = int(annotation.end or n_frames)
    if max(n_labelled, n_frames) > last_frame(min(n_labelled, n_frames)):
        problem = f"labels of {n_labelled} frames for a video of {n_frames}"
        raise InputError(path, problem, "give a label for each frame of this video, or seconds")


def _label(where: Location, start: float, stop: float, part: Segment | Instant | Span) -> Label:
    """Return the label of a segment. What the page does not allow is an InputError."""
    label = Label(int(start), int(stop), part.label, "imported", comment=part.comment)
    try:
        return _LABEL.validate_python(asdict(label))
    except ValidationError:
        name = label.label[:40]
        problem = f"the name or comment of {name!r} is too long or has control characters"
        fix = f"use at most {MAX_NAME} characters ({MAX_COMMENT:,} for a comment), without tabs"
        raise InputError(where, problem, fix) from None


def _frames(path: Path, seconds: Floats, times: Floats) -> Integers:
    """Return the nearest frames, unless the times go far beyond the end of the video."""
    n_frames = len(times) - 1
    frames = nearest_frames(seconds, times)
    if len(frames) and frames.max() > last_frame(n_frames):
        problem = f"segments up to {max(seconds):.1f} s of a video of {times[-1]:.1f} s"
        raise InputError(path, problem)
    return np.minimum(frames, n_frames)


def _apart(path: Path, labels: Iterable[Label]) -> list[list[Label]]:
    """Distribute labels over tracks so that segments of one track do not overlap.

    Point events may lie over segments. Of two point events in one frame, the later one goes to a
    different track.
    """
    tracks: list[list[Label]] = [[]]
    free_from = [0]  # the first frame that is free for a segment, of each track
    last_points = [-1]  # the frame of the last point event, of each track
    for label in sorted(labels):
        for number in range(len(tracks)):
            end = last_points[number] + 1 if label.is_point else free_from[number]
            if end <= label.start:
                break
        else:
            number = len(tracks)
            tracks.append([])
            free_from.append(0)
            last_points.append(-1)
        tracks[number].append(label)
        if label.is_point:
            last_points[number] = label.start
        else:
            free_from[number] = label.stop
        if len(tracks) > MAX_OVERLAPS:
            problem = f"more than {MAX_OVERLAPS} segments overlap at frame {label.start}"
            raise InputError(path, problem, "give each subject or rater a separate file or tier")
    return tracks
