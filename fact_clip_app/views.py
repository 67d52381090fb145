"""JSON sent to the page, and segmentations for files."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import count, filterfalse
from pathlib import Path
from typing import Any

from fact_clip.core import Clock, Segment, Segmentation
from fact_clip.core.colours import palette
from fact_clip.core.decode_settings import CONTROLS
from fact_clip.core.paths import file_name
from fact_clip.formats import FORMATS, format_called, save_tracks
from fact_clip.metrics.agreement import agreement
from fact_clip.report.budget import (
    Stretch,
    boundary_distance,
    duration_icc,
    time_budget,
    transitions,
)
from fact_clip_app.edits import BACKGROUND, Draft, gapless
from fact_clip_app.page import Job, Page
from fact_clip_app.project import Label, VideoEntry

LEAST_CERTAIN = 30  # Segments on the list of the least certain ones


def state(page: Page) -> dict[str, Any]:
    """Return everything but the segments."""
    engine, project, model = page.engine, page.project, page.engine.model()
    counts, actions, growing = project.count(), project.actions(), page.options.training_set
    scorer, run = None if model is None else model.scorer, page.options.run
    calibration = None if scorer is None else scorer.calibration
    return {
        "project": {"folder": str(project.folder), "recent": list(page.options.recent)},
        "model": {
            "title": "none" if engine.base is None else "no training" if run is None else run.name,
            "exists": model is not None,
            "can_learn": model is not None and model.scorer.run is not None,
            "chosen": engine.chosen,
            "models": ["", *project.runs()],
        },
        "actions": [asdict(action) for action in actions],
        "colours": _colours(page, [action.name for action in actions]),
        "background": background_of(page),
        "unseen": sorted(engine.unseen(action.name for action in actions)),
        "adjust": engine.settings.model_dump(),
        "adjustable": [] if scorer is None else list(scorer.adjustable),
        "sliders": {name: asdict(control) for name, control in CONTROLS.items()},
        "defaults": {
            "gamma": 0.0 if calibration is None else calibration.gamma,
            "switch_penalty": 0.0 if scorer is None else scorer.settings.switch_penalty or 0.0,
        },
        "videos": [
            {
                **_facts(video),
                "job": job(page, engine.work(video.id).job),
                "labels": counts.get(video.id, 0),
                "predicted": engine.work(video.id).prediction is not None,
            }
            for video in project.videos()
        ],
        "removed": [{"id": video.id, "name": video.name} for video in project.videos(removed=True)],
        "training_set": None if growing is None else str(growing.root),
        "can_adapt": growing is not None and run is not None,
        "training": job(page, page.training),
        "runs": {name: figures for name, (_, _, figures) in project.runs().items()},
        "formats": list(FORMATS),
        "limits": {"megabytes": page.limits.file_bytes / 1e6, "minutes": page.limits.minutes},
    }


def _facts(video: VideoEntry) -> dict[str, Any]:
    return {
        "id": video.id,
        "name": video.name,
        "revision": video.revision,
        "complete": video.complete,
    }


def background_of(page: Page, *default: str) -> list[str]:
    """Return the names that mean no action: those of the model, else the default."""
    model = page.engine.model()
    return list(default) if model is None else list(model.vocabulary.background) or list(default)


def job(page: Page, job: Job | None) -> dict[str, Any] | None:
    """Return how far a job is."""
    if job is None:
        return None
    progress = {"state": job.state, "done": job.done, "total": job.total, "note": job.note}
    return {**progress, "error": page.line(job.error), "place": page.queue.position(job)}


def video(page: Page, video: VideoEntry) -> dict[str, Any]:
    """Return a video with its tracks, in frames; a segment that nobody labelled is a draft."""
    project, shown, names_of_tracks = page.project, page.shown(video), page.project.tracks(video.id)
    drafts = page.engine.drafts(video)
    labels = [
        part.label for parts in (*shown.values(), list[Draft | Label](drafts)) for part in parts
    ]
    names = list(dict.fromkeys([*(action.name for action in project.actions()), *labels]))
    unseen, prediction = page.engine.unseen(names), page.engine.work(video.id).prediction
    far_words = (
        f"{word.word}: far from every trained {word.slot}{f', the nearest is {word.nearest}' if word.nearest else ''}"
        for word in (() if prediction is None else prediction.new_words)
        if word.far
    )
    can_undo, can_redo = project.can_step(video.id)
    return {
        **_facts(video),
        "job": job(page, page.engine.work(video.id).job),
        "media": video.media is not None,
        "undo": can_undo,
        "redo": can_redo,
        "tracks": [
            {
                "id": track,
                "name": names_of_tracks[track],
                "segments": [_segment(part, unseen) for part in parts],
            }
            for track, parts in shown.items()
        ],
        "drafts": [_segment(draft, unseen) for draft in drafts],
        "background": background_of(page),
        "colours": _colours(page, names),
        "new_words": list(dict.fromkeys(far_words)),
        "command": command(page, video),
    }


def _segment(part: Draft | Label, unseen: Iterable[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"start": part.start, "stop": part.stop, "label": part.label}
    if isinstance(part, Label):
        shown |= {
            "confidence": None,
            "origin": part.origin,
            "comment": part.comment,
            "corrected": True,
        }
    else:
        shown |= {
            "confidence": part.confidence,
            "origin": "draft",
            "comment": "",
            "corrected": False,
        }
    return {**shown, "unseen": part.label in unseen}


def _colours(page: Page, names: Sequence[str]) -> dict[str, Any]:
    """The colour and number of each name: those of an action stay, whatever becomes of the list."""
    background = background_of(page)
    numbers = {
        action.name: action.colour
        for action in page.project.actions()
        if action.name not in background
    }
    others = [
        name for name in dict.fromkeys(names) if name not in numbers and name not in background
    ]
    free = filterfalse({*numbers.values()}.__contains__, count())
    numbers |= dict(zip(others, free, strict=False))
    colours = palette(max(numbers.values(), default=-1) + 1)
    shown = {
        name: {"colour": colours[number], "number": number + 1} for name, number in numbers.items()
    }
    return {
        name: shown.get(name, {"colour": None, "number": None})
        for name in dict.fromkeys([*names, *background])
    }


def uncertain(page: Page) -> list[dict[str, Any]]:
    """Return the least certain drafts of all videos, the least certain first."""
    drafts = [
        (part, video)
        for video in page.project.full_videos()
        if page.engine.work(video.id).prediction is not None
        for part in next(iter(page.shown(video).values()))
        if isinstance(part, Draft) and part.confidence is not None
    ]
    drafts.sort(key=lambda entry: entry[0].confidence or 0.0)
    return [
        {
            "video": video.id,
            "name": video.name,
            "time": float(video.times[draft.start]),
            **_segment(draft, ()),
        }
        for draft, video in drafts[:LEAST_CERTAIN]
    ]


def tracks_of(page: Page, video: VideoEntry) -> dict[str, Segmentation]:
    """Return what is shown on each track of a video, by its name; what is not labelled is background."""
    names, background = page.project.tracks(video.id), background_of(page, BACKGROUND)
    length = float(video.times[-1] - video.times[0])
    rate = round(video.n_frames / length, 6) if length > 0 else None
    media = None if video.media is None else video.name + video.media.suffix
    clock = Clock(video.n_frames, rate, video.times, media, rate if media else None)
    tracks = dict[str, Segmentation]()
    for track, parts in page.shown(video).items():
        segments = gapless(parts, video.n_frames, background[0])
        tracks[names[track]] = clock.apply_to(Segmentation(segments, background=tuple(background)))
    return tracks


def export_files(
    page: Page, folder: Path, formats: Iterable[str], background: bool
) -> Iterator[Path]:
    """Write every track of every video in some formats; yield each file. A name that is taken gets the video's id.

    Tracks of a video share a file where the format has tracks; else each has its own.
    """
    written = set[Path]()
    for video in page.project.full_videos():
        tracks = tracks_of(page, video)
        for kind in formats:
            form = format_called(kind)
            is_shared = form.write_tracks is not None or len(tracks) == 1
            parts = (
                {"": tracks}
                if is_shared
                else {f".{track}": {track: tracks[track]} for track in tracks}
            )
            for mark, part in parts.items():
                name = file_name(f"{video.name}{mark}")
                path = folder / f"{name}{form.ending}"
                path = folder / f"{name}-{video.id}{form.ending}" if path in written else path
                written.add(path)
                save(part, path, background)
                yield path


def save(tracks: Mapping[str, Segmentation], path: Path, background: bool) -> None:
    """Write a track, or several into one file."""
    if len(tracks) > 1:
        save_tracks(tracks, path, with_background=background)
    else:
        next(iter(tracks.values())).save(path, with_background=background)


def budget(page: Page) -> dict[str, list[dict[str, Any]]]:
    """Return how long, how often and when each action was labelled, on each track, and what follows what."""
    parts, durations = dict[str, list[Stretch]](), dict[str, float]()
    for video in page.project.full_videos():
        tracks = page.project.tracks(video.id)
        for track, labels in page.project.labels(video.id).items():
            name = video.name if len(tracks) == 1 else f"{video.name}, {tracks[track]}"
            name = f"{name} ({video.id})" if name in parts else name
            times = video.times.tolist()
            parts[name] = [(times[label.start], times[label.stop], label.label) for label in labels]
            durations[name] = times[-1] - times[0]
    return {"time": time_budget(parts, durations), "transitions": transitions(parts.values())}


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

    stretches = []
    for segments in (first, second):
        parts = segments.without(background)
        stretches.append([(times[part.start], times[part.stop], part.label) for part in parts])
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
    """Return the command line that gives the drafts; "" without a model."""
    model, words = page.engine.model(), list(page.options.command)
    if model is None:
        return ""
    if page.engine.chosen:
        words = ["fact-clip", "segment", "--run", str(page.project.runs()[page.engine.chosen][0])]
    words.insert(2, video.name + (".npy" if video.media is None else video.media.suffix))
    if names := page.engine.names():
        line = io.StringIO()  # a name with a comma in double quotes
        csv.writer(line, lineterminator="").writerow(names)
        has_commas = any("," in name for name in names)
        words += [
            "--actions",
            line.getvalue() if has_commas else line.getvalue().replace(",", ", "),
        ]
    for name, value in page.engine.settings:
        if value is not None and name in model.scorer.adjustable:
            words += [CONTROLS[name].option, f"{value:g}"]
    return shlex.join(words)
