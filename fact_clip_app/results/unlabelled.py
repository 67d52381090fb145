"""Unlabelled stretches of partly labelled tracks, in groups that one answer can name."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.special import log_softmax

from fact_clip.core import Array, Floats, InputError, Integers
from fact_clip.core.frames import IGNORED
from fact_clip.core.scores import Scores
from fact_clip.decoding.stretches import Stretch, find_stretches, shares_of_names
from fact_clip_app.api import answers
from fact_clip_app.results.grouping import coordinates, find_groups, whitening
from fact_clip_app.store.project import Track, VideoEntry
from fact_clip_app.workspace.class_colours import background_of
from fact_clip_app.workspace.drafts import Draft
from fact_clip_app.workspace.workspace import Workspace

MOST_STRETCHES = 3000
"""Stretches that are grouped, at most. The longest ones are."""

SURE = 0.5
"""Confidence of two drafts, at least, that cut a stretch between them."""

_MOST_ROWS = 500  # labelled rows of features that are kept of a track


@dataclass(frozen=True)
class OpenTrack:
    """A partly labelled track with its unlabelled stretches."""

    video: VideoEntry
    track: Track
    labels: Integers  # (T,) index of the name of each frame, or IGNORED
    stretches: list[Stretch]  # whose `video` is the place of the track in the list


@dataclass
class Findings:
    """The partly labelled tracks of a project, and the names in them."""

    tracks: list[OpenTrack] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)  # index of each labelled name


def groups(workspace: Workspace, viewer: str) -> answers.Groups:
    """Return groups of unlabelled stretches of all tracks that a person sees in part labelled.

    A stretch is time that is not rated (`Rating.rated`): a track that is marked as fully labelled
    has none, and one without segments is not begun.

    Args:
        workspace: The open project with its models and work.
        viewer: Whose eyes see the tracks.

    Returns:
        The groups, those with most seconds first.
    """
    findings = Findings()
    for video in workspace.project.full_videos():
        tracks = workspace.project.labelled_tracks(video.id, viewer=viewer)
        drafted = workspace.draft_track(tracks)
        for track in tracks:
            if track.complete or all(label.is_point for label in track.segments):
                continue
            drafts: list[Draft] = []
            if track is drafted:
                with suppress(InputError):  # the page shows it at the video
                    drafts = workspace.drafts(video, tracks, viewer)
            _add(findings, workspace, video, track, drafts)
    stretches = [stretch for track in findings.tracks for stretch in track.stretches]
    ranked = sorted(stretches, key=lambda stretch: -_seconds(findings, stretch))
    longest = ranked[:MOST_STRETCHES]
    result: answers.Groups = {
        "groups": [],
        "n_omitted": len(ranked) - len(longest),
        "without_features": [],
    }
    if not longest:
        return result
    means, result["without_features"] = _features(workspace, findings, longest)
    shares, guesses = _guesses(workspace, findings, longest, viewer)
    for group in find_groups(coordinates(longest, means, shares)):
        rows: list[answers.OpenStretch] = []
        for member, distance in zip(group.members, group.distances, strict=True):
            row = _row(findings, longest[member], distance)
            rows.append(row if guesses is None else {**row, "guess": guesses[member]})
        result["groups"].append({"stretches": rows})
    result["groups"].sort(key=lambda group: -sum(row["seconds"] for row in group["stretches"]))
    return result


def _add(
    findings: Findings,
    workspace: Workspace,
    video: VideoEntry,
    track: Track,
    drafts: Sequence[Draft],
) -> None:
    """Add the unlabelled stretches of a track to what is findings."""
    labels = np.full(video.n_frames, IGNORED)
    cuts = set()
    for label in track.segments:
        if not label.is_point:
            number = findings.names.setdefault(label.label, len(findings.names))
            labels[label.start : label.stop] = number
    for first, second in pairwise(drafts):
        sureness = min(first.confidence or 0.0, second.confidence or 0.0)
        if first.stop == second.start and first.label != second.label and sureness >= SURE:
            cuts.add(second.start)
    background = [
        findings.names[name] for name in background_of(workspace) if name in findings.names
    ]
    stretches = []
    for stretch in find_stretches(labels, background, len(findings.tracks)):
        edges = [stretch.start, *sorted(cuts), stretch.stop]
        inner = [edge for edge in edges if stretch.start <= edge <= stretch.stop]
        for start, stop in pairwise(inner):
            if start < stop:
                stretches.append(replace(stretch, start=start, stop=stop))
    findings.tracks.append(OpenTrack(video, track, labels, stretches))


def _seconds(findings: Findings, stretch: Stretch) -> float:
    times = findings.tracks[stretch.video].video.times
    return float(times[stretch.stop] - times[stretch.start])


def _row(findings: Findings, stretch: Stretch, distance: float) -> answers.OpenStretch:
    """Return a stretch as the page receives it."""
    names = dict(zip(findings.names.values(), findings.names, strict=True))
    video = findings.tracks[stretch.video].video
    track = findings.tracks[stretch.video].track
    return {
        "video": video.id,
        "name": video.name,
        "track": track.id,
        "track_name": track.name,
        "start": stretch.start,
        "stop": stretch.stop,
        "time": float(video.times[stretch.start]),
        "seconds": _seconds(findings, stretch),
        "last_action": names.get(stretch.last_action),
        "next_action": names.get(stretch.next_action),
        "distance": distance,
    }


def _features(
    workspace: Workspace, findings: Findings, stretches: Sequence[Stretch]
) -> tuple[Floats | None, list[str]]:
    """Return the whitened mean features (N, D) of stretches, and videos without features.

    Features of a width that most videos do not have count as none.
    """
    samples: dict[int, _Sample] = {}
    for index_of_track, track in enumerate(findings.tracks):
        track_stretches = [
            (index, stretch)
            for index, stretch in enumerate(stretches)
            if stretch.video == index_of_track
        ]
        with suppress(InputError):  # the page shows it at the video
            read = workspace.engine.feature_rows(track.video)
            if read is not None:
                samples[index_of_track] = _sample(track, track_stretches, *read)
    widths = [sample.rows.shape[1] for sample in samples.values()]
    width = max(widths, key=widths.count, default=0)
    usable = [sample for sample in samples.values() if sample.rows.shape[1] == width]
    rows = np.concatenate([sample.rows for sample in usable]) if usable else np.empty((0, 0))
    if not len(rows):
        return None, []
    mean, matrix = whitening(rows, np.concatenate([sample.classes for sample in usable]))
    means = np.full((len(stretches), width), np.nan)
    for sample in usable:
        for index, row in sample.means.items():
            means[index] = row
    missing = np.flatnonzero(np.isnan(means).any(1))
    names = {findings.tracks[stretches[index].video].video.name for index in missing.tolist()}
    whitened: Floats = (means - mean) @ matrix
    return whitened, sorted(names)


@dataclass(frozen=True)
class _Sample:
    """What is kept of the features of a track."""

    rows: Floats  # (N, D) some labelled rows
    classes: Integers  # (N,) their classes
    means: dict[int, Floats]  # (D,) mean of each stretch, by its index


def _sample(
    track: OpenTrack, stretches: Sequence[tuple[int, Stretch]], rows: Array, starts: Floats
) -> _Sample:
    """Return what is kept of the features (T, D) of a track whose rows have these starts (T + 1,).

    Rows that are not finite are left out.
    """
    frames = np.searchsorted(track.video.times, starts[:-1] + 1e-6, side="right") - 1
    classes = track.labels[frames.clip(0, track.video.n_frames - 1)]
    labelled = np.flatnonzero(classes != IGNORED)
    if len(labelled) > _MOST_ROWS:
        labelled = labelled[np.linspace(0, len(labelled) - 1, _MOST_ROWS).astype(int)]
    sampled = np.asarray(rows[labelled], dtype=np.float64)
    is_whole = np.isfinite(sampled).all(1)
    means = {}
    for index, stretch in stretches:
        first, last = _rows_between(starts, track.video, stretch)
        mean = np.asarray(rows[first:last], dtype=np.float64).mean(0)
        if np.isfinite(mean).all():
            means[index] = mean
    return _Sample(sampled[is_whole], classes[labelled][is_whole], means)


def _rows_between(starts: Floats, video: VideoEntry, stretch: Stretch) -> tuple[int, int]:
    """Return the rows that begin in a stretch, or the row that it lies in; at least one.

    Args:
        starts: (T + 1,) seconds at which rows start, and the end.
        video: The video of the stretch.
        stretch: The stretch.
    """
    last_row = len(starts) - 2
    first, last = np.searchsorted(starts, video.times[[stretch.start, stretch.stop]] - 1e-6)
    first = min(int(first), last_row)
    if last <= first:  # no row begins in it
        first = min(max(int(last) - 1, 0), last_row)
    return first, max(int(last), first + 1)


def _guesses(
    workspace: Workspace, findings: Findings, stretches: Sequence[Stretch], viewer: str
) -> tuple[Floats | None, list[str] | None]:
    """Return the shares (N, K) of the names that a model has, by both views, and the best ones.

    Without a model, or if it has a single name, there are none.
    """
    if not workspace.shows_drafts(viewer):
        return None, None
    background = {*background_of(workspace), *workspace.engine.background}
    tables: dict[int, tuple[Scores, Floats]] = {}
    for index_of_track, track in enumerate(findings.tracks):
        with suppress(InputError):  # the page shows it at the video
            scored = workspace.quick.run(partial(workspace.engine.scores, track.video))
            if scored is not None:
                tables[index_of_track] = scored
    names: Sequence[str] = ()
    for scores, _ in tables.values():
        names = [name for name in scores.names if name not in background]
    if len(names) < 2:
        return None, None
    table = np.full((len(stretches), len(names)), -np.log(len(names)))
    for index, stretch in enumerate(stretches):
        if stretch.video in tables:
            scores, starts = tables[stretch.video]
            columns = [scores.names.index(name) for name in names]
            first, last = _rows_between(starts, findings.tracks[stretch.video].video, stretch)
            logs = np.log(np.maximum(scores.array[first:last][:, columns], 1e-12))
            table[index] = log_softmax(logs.astype(np.float64), axis=1).mean(0)
    shares = shares_of_names(table, stretches)
    return shares, [names[best] for best in shares.argmax(1)]
