"""JSON sent to the page, and segmentations for export."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from fact_clip.app.compare import as_segmentation
from fact_clip.app.edits import joined
from fact_clip.app.page import Page
from fact_clip.app.sessions import Session, Video
from fact_clip.app.work import Job
from fact_clip.core import Segment, Segmentation
from fact_clip.core.clock import Clock
from fact_clip.core.decode_settings import CONTROLS
from fact_clip.formats import FORMATS
from fact_clip.report.colours import class_colours

LEAST_CERTAIN = 30
"""Segments on the list of the least certain ones."""


def state(page: Page, session: Session) -> dict[str, Any]:
    """Return everything but the segments."""
    model = page.engine.model(session)
    scorer, names = model.scorer, page.engine.names(session)
    return {
        "model": {
            "title": page.options.run.name if page.options.run is not None else "no training",
            "trained": scorer.run is not None,
            "reads_text": page.engine.reads_text,
            "chosen": session.model,
            "models": ["", *session.adapted],
        },
        "actions": list(names),
        "background": list(model.vocabulary.background),
        "unseen": sorted(page.engine.unseen(session, names)),
        "adjust": session.settings.model_dump(),
        "adjustable": list(scorer.adjustable),
        "sliders": {name: asdict(control) for name, control in CONTROLS.items()},
        "defaults": {
            "gamma": 0.0 if scorer.calibration is None else scorer.calibration.gamma,
            "switch_penalty": scorer.settings.switch_penalty or 0.0,
        },
        "videos": [_video_row(page, session, video) for video in session.videos.values()],
        "training_set": None if page.training_set is None else str(page.training_set.root),
        "can_adapt": page.training_set is not None and page.options.run is not None,
        "training": _job(page, session, session.training),
        "formats": list(FORMATS),
        "limits": {"megabytes": page.limits.file_bytes / 1e6, "minutes": page.limits.minutes},
    }


def _video_row(page: Page, session: Session, video: Video) -> dict[str, Any]:
    return {
        "id": video.id,
        "name": video.name,
        "ready": video.ready,
        "job": _job(page, session, video.job),
        "corrected": len(video.corrected),
        "added": video.added,
    }


def _job(page: Page, session: Session, job: Job | None) -> dict[str, Any] | None:
    if job is None:
        return None
    progress = {"state": job.state, "done": job.done, "total": job.total, "note": job.note}
    return {**progress, "error": session.line(job.error), "place": page.queue.position(job)}


def video(page: Page, session: Session, video: Video, *, with_times: bool = False) -> dict[str, Any]:
    """Return a video with its segments in frames, and the seconds of every frame where they are asked for."""
    shown = video.shown
    times = {"times": frame_times(video.rows, video.result.n_frames)} if with_times else {}
    background = video.result.background
    labels = [segment.label for segment in (*(part.segment for part in shown), *video.result)]
    names = list(dict.fromkeys([*page.engine.names(session), *labels]))
    unseen = page.engine.unseen(session, names) - set(background)
    return {
        "id": video.id,
        "name": video.name,
        "media": video.media is not None,
        **times,
        "shown": [_segment(part.segment, part.corrected, unseen) for part in shown],
        "predicted": [_segment(segment, False, unseen) for segment in video.result],
        "background": list(background),
        "colours": _colours(session, names, background),
        "new_words": _far_words(video),
        "command": command(page, session, video),
        "added": video.added,
    }


def _far_words(video: Video) -> list[str]:
    """A line for each word of the candidates that is far from what was trained."""
    lines = (
        f"{word.word}: far from every trained {word.slot}{f', the nearest is {word.nearest}' if word.nearest else ''}"
        for word in video.result.new_words
        if word.far
    )
    return list(dict.fromkeys(lines))


def _colours(session: Session, names: Sequence[str], background: Sequence[str]) -> dict[str, Any]:
    """The colour and number of each name, which stay while the list changes."""
    numbers = session.number_colours(name for name in names if name not in background)
    in_order = [f"\0{number}" for number in range(max(numbers.values(), default=-1) + 1)]  # as no name begins
    for name, number in numbers.items():
        in_order[number] = name
    colours = class_colours([*in_order, *background], background)
    return {name: colours[name] for name in dict.fromkeys([*names, *background])}


def _segment(segment: Segment, corrected: bool, unseen: Iterable[str]) -> dict[str, Any]:
    return {
        "start": segment.start,
        "stop": segment.stop,
        "label": segment.label,
        "confidence": segment.confidence,
        "corrected": corrected,
        "unseen": segment.label in unseen,
    }


def frame_times(clock: Clock, n_frames: int) -> list[float]:
    """Return the seconds where frames start, and the end, (T + 1,); without a rate a frame counts as a second."""
    times = np.arange(n_frames + 1) / (clock.fps or 1.0) if clock.times is None else clock.times
    return np.round(times, 4).tolist()


def uncertain(session: Session) -> list[dict[str, Any]]:
    """Return the least certain predicted segments of all videos of a session, the least certain first."""
    segments = [
        (part.segment, video, frame_times(video.rows, video.result.n_frames)[part.segment.start])
        for video in session.videos.values()
        if video.prediction is not None and video.clock is not None
        for part in video.shown
        if not part.corrected and part.segment.confidence is not None
    ]
    segments.sort(key=lambda entry: entry[0].confidence or 0.0)
    return [
        {"video": video.id, "name": video.name, "time": time, **_segment(segment, False, ())}
        for segment, video, time in segments[:LEAST_CERTAIN]
    ]


def segmentation(video: Video) -> Segmentation:
    """Return what is shown of a video, for a file."""
    return replace(video.result, segments=joined(video.shown))


def facts_of(video: Video) -> dict[str, Any]:
    """Return the JSON beside the features of a training video: rate and times, but no path of the server."""
    assert video.features is not None
    path = video.features.with_suffix(".json")
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    facts.pop("video", None)
    if "fps" not in facts and video.clock is not None and video.clock.fps is not None:
        facts["fps"] = video.clock.fps
    return facts


def comparison(video: Video, labels: Sequence[tuple[str, list[str]]], agreement: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures, and rows of a timeline: both labellings and where they differ."""
    rows = [
        {"name": name, "segments": [_segment(segment, False, ()) for segment in as_segmentation(frames, video.rows)]}
        for name, frames in labels
    ]
    rows.append({"name": "differences", "segments": list(agreement["differences"])})
    names = dict.fromkeys(label for _, frames in labels for label in frames)
    return {
        "figures": agreement["figures"],
        "rows": rows,
        "times": frame_times(video.rows, video.result.n_frames),
        "colours": class_colours(list(names), video.result.background),
    }


def command(page: Page, session: Session, video: Video) -> str:
    """Return the command line that gives this prediction."""
    words = list(page.options.command)
    if session.model:
        words[words.index("--run") + 1] = str(session.adapted[session.model])
    words.insert(2, video.name + (".npy" if video.media is None else video.media.ending))
    if session.actions is not None:
        words += ["--actions", quoted(session.actions)]
    for name, value in session.settings:
        if value is not None and name in page.engine.model(session).scorer.adjustable:
            words += [CONTROLS[name].option, f"{value:g}"]
    return shlex.join(words)


def quoted(names: Iterable[str]) -> str:
    """Return names as `--actions` takes them: a name with a comma in double quotes."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue().replace(",", ", ") if not any("," in name for name in names) else line.getvalue()
