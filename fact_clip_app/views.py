"""JSON for the page, and segmentations for files."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from fact_clip.core import Clock, Segment, Segmentation
from fact_clip.core.colours import palette
from fact_clip.core.paths import file_name
from fact_clip.formats import FORMATS, Format, format_called, save_tracks
from fact_clip.metrics.agreement import agreement
from fact_clip.report.budget import (
    Stretch,
    boundary_distance,
    duration_icc,
    time_budget,
    transitions,
)
from fact_clip_app.controls import CONTROLS
from fact_clip_app.drafts import BACKGROUND, Draft, gapless
from fact_clip_app.engine import run_of
from fact_clip_app.jobs import Job
from fact_clip_app.page import Page
from fact_clip_app.project import Label, Track, VideoEntry

DRAFTS = "drafts"
"""The track of a file that holds what the model predicts."""

MAX_UNCERTAIN = 30
"""Segments on the list of the least certain ones."""


def state(page: Page) -> dict[str, Any]:
    """Return everything but the segments."""
    engine = page.engine
    project = page.project
    run = page.options.run
    training_set = page.options.training_set
    actions = project.actions()
    counts = project.count()
    title = "none" if engine.base is None else "no training"
    if engine.base is not None and run is not None:
        title = run.name
    return {
        "project": {"folder": str(project.folder), "recent": list(page.options.recent)},
        "model": {
            "title": title,
            "exists": engine.model() is not None,
            "can_learn": run_of(engine.model()) is not None,
            "chosen": engine.run_name,
            "models": ["", *project.runs()],
        },
        "actions": [asdict(action) for action in actions],
        "colours": _colours(page, [action.name for action in actions]),
        "background": background_of(page),
        "unseen": sorted(engine.unseen(action.name for action in actions)),
        "adjust": engine.settings.model_dump(),
        "sliders": {name: asdict(control) for name, control in CONTROLS.items()},
        **_decoding(page),
        "videos": [_video_state(page, video, counts) for video in project.videos()],
        "removed": [{"id": video.id, "name": video.name} for video in project.videos(removed=True)],
        "training_set": None if training_set is None else str(training_set.root),
        "can_adapt": training_set is not None and run is not None,
        "training": job(page, page.training),
        "runs": {name: figures for name, (_, _, figures) in project.runs().items()},
        "formats": list(FORMATS),
        "limits": {"megabytes": page.limits.file_bytes / 1e6, "minutes": page.limits.minutes},
    }


def _decoding(page: Page) -> dict[str, Any]:
    """Return the settings that the model in use has, and their defaults."""
    defaults = {"gamma": 0.0, "switch_penalty": 0.0}
    model = page.engine.model()
    if model is None:
        return {"adjustable": [], "defaults": defaults}
    scorer = model.scorer
    if scorer.calibration is not None:
        defaults["gamma"] = scorer.calibration.gamma
    defaults["switch_penalty"] = scorer.settings.switch_penalty or 0.0
    return {"adjustable": list(scorer.adjustable), "defaults": defaults}


def _video_state(page: Page, video: VideoEntry, counts: Mapping[str, int]) -> dict[str, Any]:
    work = page.engine.work(video.id)
    return {
        **_facts(video),
        "job": job(page, work.job),
        **_playback(page, video),
        "labels": counts.get(video.id, 0),
        "predicted": work.prediction is not None,
    }


def _facts(video: VideoEntry) -> dict[str, Any]:
    return {
        "id": video.id,
        "name": video.name,
        "revision": video.revision,
        "complete": video.complete,
    }


def _playback(page: Page, video: VideoEntry) -> dict[str, Any]:
    """Return what a browser plays of a video, and the conversion to that."""
    playback = page.conversions.playback(video)
    return {"media": playback.kind, "conversion": job(page, playback.job)}


def background_of(page: Page, *default: str) -> list[str]:
    """Return the names that mean no action: those of the model, or the default."""
    model = page.engine.model()
    names = [] if model is None else list(model.vocabulary.background)
    return names or list(default)


def job(page: Page, job: Job | None) -> dict[str, Any] | None:
    """Return the progress of a job."""
    if job is None:
        return None
    return {
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "note": job.note,
        "error": page.line(job.error),
        "place": page.queue.position(job) or page.conversions.queue.position(job),
    }


def video(page: Page, video: VideoEntry) -> dict[str, Any]:
    """Return a video with its tracks and drafts, in frames."""
    project = page.project
    timelines = page.timelines(video)
    drafts = page.drafts(video)
    names = dict.fromkeys(action.name for action in project.actions())
    for timeline in timelines:
        names |= dict.fromkeys(part.label for part in timeline.parts)
    names |= dict.fromkeys(draft.label for draft in drafts)
    unseen = page.engine.unseen(names)
    tracks = []
    for timeline in timelines:
        track = timeline.track
        segments = [_segment(part, unseen) for part in timeline.parts]
        tracks.append({"id": track.id, "name": track.name, "segments": segments})
    can_undo, can_redo = project.can_step(video.id)
    return {
        **_facts(video),
        "job": job(page, page.engine.work(video.id).job),
        **_playback(page, video),
        "undo": can_undo,
        "redo": can_redo,
        "tracks": tracks,
        "drafts": [_segment(draft, unseen) for draft in drafts],
        "background": background_of(page),
        "colours": _colours(page, list(names)),
        "new_words": _new_words(page.engine.work(video.id).prediction),
        "command": command(page, video),
    }


def _new_words(prediction: Segmentation | None) -> list[str]:
    """Return a line for each word of a name that is far from training."""
    lines: dict[str, None] = {}
    for word in () if prediction is None else prediction.new_words:
        if word.far:
            line = f'"{word.word}" is new to the model'
            if word.nearest:
                line += f" (closest trained {word.slot}: {word.nearest})"
            lines[f"{line}. Label some examples before you trust it."] = None
    return list(lines)


def _segment(part: Draft | Label, unseen: Iterable[str]) -> dict[str, Any]:
    segment: dict[str, Any] = {"start": part.start, "stop": part.stop, "label": part.label}
    if isinstance(part, Label):
        segment |= {"confidence": None, "origin": part.origin, "comment": part.comment}
    else:
        segment |= {"confidence": part.confidence, "origin": "draft", "comment": ""}
    segment["corrected"] = isinstance(part, Label)
    segment["unseen"] = part.label in unseen
    return segment


def _colours(page: Page, names: Sequence[str]) -> dict[str, Any]:
    """Return the colour and number of each name. Those of an action never change."""
    background = background_of(page)
    numbers = {}
    for action in page.project.actions():
        if action.name not in background:
            numbers[action.name] = action.colour
    taken = set(numbers.values())
    free = (number for number in count() if number not in taken)
    for name in names:
        if name not in numbers and name not in background:
            numbers[name] = next(free)
    colours = palette(max(numbers.values(), default=-1) + 1)
    result: dict[str, Any] = {}
    for name in [*names, *background]:
        result[name] = {"colour": None, "number": None}
        if name in numbers:
            result[name] = {"colour": colours[numbers[name]], "number": numbers[name] + 1}
    return result


def uncertain(page: Page) -> list[dict[str, Any]]:
    """Return the least certain drafts of all videos, least certain first."""
    rows = []
    for video in page.project.full_videos():
        if video.complete or page.engine.work(video.id).prediction is None:
            continue
        first_timeline = page.timelines(video)[0]
        for part in first_timeline.parts:
            if isinstance(part, Draft) and part.confidence is not None:
                row = {
                    "video": video.id,
                    "name": video.name,
                    "time": float(video.times[part.start]),
                    **_segment(part, ()),
                }
                rows.append(row)
    rows.sort(key=lambda row: row["confidence"])
    return rows[:MAX_UNCERTAIN]


def segmentations_of(
    page: Page, video: VideoEntry, tracks: Iterable[Track], with_drafts: bool = False
) -> dict[str, Segmentation]:
    """Return the labels of each track as a segmentation. Unlabelled frames are background.

    Args:
        page: the page.
        video: the video.
        tracks: its tracks. The model is run only for drafts.
        with_drafts: whether what the model predicts between the labels of the first track follows
            as a track of its own, named DRAFTS.

    Returns:
        The name of a track -> its segmentation.
    """
    parts_of: dict[str, Sequence[Draft | Label]] = {track.name: track.labels for track in tracks}
    if with_drafts:
        first_timeline = page.timelines(video)[0]
        drafts = [part for part in first_timeline.parts if isinstance(part, Draft)]
        if drafts:
            parts_of[_free_name(DRAFTS, parts_of)] = drafts

    background = background_of(page, BACKGROUND)
    clock = _clock(video)
    segmentations = {}
    for name, parts in parts_of.items():
        segments = gapless(parts, video.n_frames, background[0])
        segmentation = Segmentation(segments, background=tuple(background))
        segmentations[name] = clock.apply_to(segmentation)
    return segmentations


def _free_name(name: str, taken: Container[str]) -> str:
    """Return the name, with a number if it is taken."""
    free = name
    number = 1
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free


def _clock(video: VideoEntry) -> Clock:
    length = float(video.times[-1] - video.times[0])
    rate = round(video.n_frames / length, 6) if length > 0 else None
    if video.media is None:
        return Clock(video.n_frames, rate, video.times)
    return Clock(video.n_frames, rate, video.times, video.name + video.media.suffix, rate)


def export_files(
    page: Page,
    folder: Path,
    formats: Iterable[str],
    background: bool,
    with_drafts: bool = False,
) -> Iterator[Path]:
    """Write every track of every video that has labels.

    Args:
        page: the page.
        folder: the folder to write to.
        formats: names of formats. Tracks share a file where the format has tracks.
        background: write background to formats that leave it out.
        with_drafts: also write what the model predicts, as a track of its own.

    Yields:
        Each file. If two videos have one name, the second file is named after its id too.
    """
    written = set[Path]()
    for video in page.project.full_videos():
        tracks = page.project.labelled_tracks(video.id)
        has_labels = any(track.labels for track in tracks)
        if not has_labels and not with_drafts:
            continue
        segmentations = segmentations_of(page, video, tracks, with_drafts)
        for kind in formats:
            form = format_called(kind)
            for title, parts in files_of(segmentations, video.name, form).items():
                path = folder / f"{title}{form.ending}"
                if path in written:
                    path = folder / f"{title}-{video.id}{form.ending}"
                written.add(path)
                save(parts, path, background)
                yield path


def files_of(
    tracks: Mapping[str, Segmentation], name: str, form: Format
) -> dict[str, Mapping[str, Segmentation]]:
    """Return the tracks of each file: one file if the format has tracks, else one a track.

    Args:
        tracks: the tracks of a video.
        name: the name of the video.
        form: the format.

    Returns:
        The name of a file, without its ending -> its tracks.
    """
    if form.write_tracks is not None or len(tracks) == 1:
        return {file_name(name): tracks}
    return {file_name(f"{name}.{track}"): {track: part} for track, part in tracks.items()}


def save(tracks: Mapping[str, Segmentation], path: Path, background: bool) -> None:
    """Write a track, or several tracks into one file."""
    if len(tracks) > 1:
        save_tracks(tracks, path, with_background=background)
    else:
        next(iter(tracks.values())).save(path, with_background=background)


def budget(page: Page) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of how long, how often and when actions were labelled on each track."""
    stretches: dict[str, list[Stretch]] = {}
    durations = {}
    for video in page.project.full_videos():
        times = video.times.tolist()
        tracks = page.project.labelled_tracks(video.id)
        for track in tracks:
            if not track.labels:
                continue
            name = video.name if len(tracks) == 1 else f"{video.name}, {track.name}"
            if name in stretches:
                name = f"{name} ({video.id})"
            stretches[name] = _stretches(track.labels, times)
            durations[name] = times[-1] - times[0]
    return {
        "time": time_budget(stretches, durations),
        "transitions": transitions(stretches.values()),
    }


def _stretches(parts: Iterable[Label | Segment], times: Sequence[float]) -> list[Stretch]:
    return [(times[part.start], times[part.stop], part.label) for part in parts]


def comparison(
    page: Page, video: VideoEntry, labellings: Sequence[tuple[str, list[str]]]
) -> dict[str, Any]:
    """Compare two labellings of a video.

    Args:
        page: the page.
        video: the video.
        labellings: the name and the frame labels (N,) of each of the two.

    Returns:
        Figures, and the rows of a timeline: both labellings, and where they differ.
    """
    background = background_of(page, BACKGROUND)
    times = video.times.round(6).tolist()
    (first_name, first_labels), (second_name, second_labels) = labellings
    result = agreement(first_labels, second_labels, background_of(page))
    first = Segmentation.from_frames(first_labels)
    second = Segmentation.from_frames(second_labels)

    stretches = [
        _stretches(first.without(background), times),
        _stretches(second.without(background), times),
    ]
    figures = {
        **result.figures,
        "edges_s": boundary_distance(*stretches),
        "icc": duration_icc(*stretches),
    }
    names = list(dict.fromkeys([*first.transcript, *second.transcript]))
    rows = [
        _timeline_row(first_name, first),
        _timeline_row(second_name, second),
        _timeline_row("differences", result.differences),
    ]
    return {"figures": figures, "rows": rows, "colours": _colours(page, names)}


def _timeline_row(name: str, segments: Iterable[Segment]) -> dict[str, Any]:
    parts = [{"start": part.start, "stop": part.stop, "label": part.label} for part in segments]
    return {"name": name, "segments": parts}


def command(page: Page, video: VideoEntry) -> str:
    """Return the command line that gives the drafts, or "" without a model."""
    engine = page.engine
    model = engine.model()
    if model is None:
        return ""
    words = list(page.options.command)
    if engine.run_name:
        words = ["fact-clip", "segment", "--run", str(page.project.runs()[engine.run_name][0])]
    words.insert(2, video.name + (".npy" if video.media is None else video.media.suffix))
    names = engine.names()
    if names:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(names)  # quotes names with a comma
        separator = "," if any("," in name for name in names) else ", "
        words += ["--actions", line.getvalue().replace(",", separator)]
    for name, value in engine.settings:
        if value is not None and name in model.scorer.adjustable:
            words += [CONTROLS[name].option, f"{value:g}"]
    return shlex.join(words)
