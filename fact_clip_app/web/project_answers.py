"""The state of a project and of a video, as JSON for the page."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import chain
from typing import Any

from fact_clip.core import InputError
from fact_clip.formats import FORMATS
from fact_clip_app.api import answers
from fact_clip_app.api.decoding_controls import CONTROLS
from fact_clip_app.store.history import Person
from fact_clip_app.store.project import FIELDS, ROLES, UNUSED, Action, LabelFacts, VideoEntry
from fact_clip_app.workspace.class_colours import colours
from fact_clip_app.workspace.engine import run_of, typed_names
from fact_clip_app.workspace.jobs import Job
from fact_clip_app.workspace.workspace import Workspace


def state(workspace: Workspace, viewer: str) -> answers.State:
    """Return everything but the segments, for one person."""
    engine = workspace.engine
    project = workspace.project
    run = workspace.options.run
    usage = project.usage(viewer)
    action_rows: Any = []
    stored_rows = project.action_rows()
    for stored in stored_rows:
        counts = usage.get(stored.name, UNUSED)
        action_rows.append({"id": stored.id, **asdict(stored.action), **counts})
    names = [row["name"] for row in action_rows]
    label_facts = project.label_facts(viewer)
    videos = []
    is_owner = project.owns(viewer)
    roles = project.setting(ROLES, {})
    for video in project.videos():
        facts = label_facts.get(video.id, LabelFacts())
        row: answers.VideoState = {
            **_facts(
                workspace, video, is_labelled=facts.is_labelled, is_complete=facts.is_complete
            ),
            "labels": facts.n_segments,
            "share": facts.share,
            "annotators": list(facts.annotators),
            "predicted": engine.work(video.id).prediction is not None,
            "tests": is_owner and roles.get(video.id, False),
        }
        videos.append(row)
    training = job(workspace, workspace.training)
    if training is not None and not is_owner:  # it tells how many segments were found
        training["note"] = ""
    runs = {name: figures if is_owner else {} for name, (_, figures) in project.runs().items()}
    model = engine.model()
    adjustable: Sequence[str] = ()
    defaults = {"gamma": 0.0, "switch_penalty": 0.0}
    if model is not None:
        adjustable = model.scorer.adjustable
        defaults["switch_penalty"] = model.scorer.settings.switch_penalty or 0.0
        if model.scorer.calibration is not None:
            defaults["gamma"] = model.scorer.calibration.gamma
    title = "none" if engine.base is None else "no training"
    if run is not None:
        title = run.name
    return {
        "project": {
            "folder": str(project.folder),
            "name": project.folder.name,
            "blind": project.blind_owner is not None,
            "blind_owner": project.blind_owner or "",
        },
        "model": {
            "title": title,
            "exists": model is not None,
            "can_learn": run_of(model) is not None,
            "chosen": engine.run_name,
            "models": ["", *project.runs()],
        },
        "actions": action_rows,
        "colours": colours(workspace, names),
        "background": list(project.background),
        "unseen": sorted(engine.unseen(names)),
        "adjust": engine.settings,
        "sliders": CONTROLS,
        "adjustable": list(adjustable),
        "defaults": defaults,
        "videos": videos,
        "removed": [{"id": video.id, "name": video.name} for video in project.videos(removed=True)],
        "training": training,
        "runs": runs,
        "formats": list(FORMATS),
        "fields": list(dict.fromkeys(chain.from_iterable(project.setting(FIELDS, {}).values()))),
        "actions_revision": revision_of([stored.action for stored in stored_rows]),
        "stamp": stamp(workspace),
    }


def revision_of(actions: Sequence[Action]) -> str:
    """Return a text that changes when the actions, their order or their values change."""
    content = repr(actions)
    return sha256(content.encode(errors="backslashreplace")).hexdigest()[:16]


def stamp(workspace: Workspace) -> str:
    """Return a text that changes when anything changes, and does not tell what, or how often."""
    progress = workspace.queue.stamp() + workspace.conversions.queue.stamp()
    content = f"{id(workspace)}.{workspace.project.stamp()}.{progress}"
    return sha256(content.encode(errors="backslashreplace")).hexdigest()[:16]


def _facts(
    workspace: Workspace, video: VideoEntry, *, is_labelled: bool, is_complete: bool
) -> answers.VideoFacts:
    """Return the properties of a video in all responses, for a person who sees these labels."""
    progress: answers.Progress = "started" if is_labelled else "unlabelled"
    playback = workspace.conversions.playback(video)
    conversion = job(workspace, playback.job)  # at once, as the job goes on
    return {
        "id": video.id,
        "name": video.name,
        "revision": video.revision,
        "complete": is_complete,
        "progress": "complete" if is_complete else progress,
        "duration": workspace.project.duration(video.id),
        "media": playback.kind,
        "conversion": conversion,
        "job": job(workspace, workspace.engine.work(video.id).job),
    }


def job(workspace: Workspace, job: Job | None) -> answers.Work | None:
    """Return the progress of a job."""
    if job is None:
        return None
    error = job.error
    if isinstance(error, InputError):
        error = workspace.named(error)
    return {
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "note": job.note,
        "error": str(error),
        "place": workspace.queue.position(job) or workspace.conversions.queue.position(job),
    }


def video(workspace: Workspace, key: str, person: Person) -> answers.Video:
    """Return a video, by its id, with its tracks and drafts, in frames, for one person."""
    project = workspace.project
    video = project.video(key)
    if video is None:
        raise InputError("video", "it was removed a moment ago")
    viewer = person.annotator
    rows = project.labelled_tracks(video.id, viewer=viewer)
    drafted = workspace.draft_track(rows)
    drafts = []
    problem = ""
    try:
        video.check_file()
        drafts = workspace.drafts(video, rows, viewer)
    except InputError as error:  # labels need no model
        problem = str(workspace.named(error))
    titles = workspace.history.titles(video.id, person)
    labelled_tracks = [row for row in rows if row.is_labelled]
    names = [action.name for action in project.actions()]
    for row in rows:
        names += [segment.label for segment in row.segments]
    names += [draft.label for draft in drafts]
    prediction = workspace.engine.work(video.id).prediction
    warnings = []  # a line for each word of a name that is far from training
    for word in () if prediction is None else prediction.new_words:
        if word.far:
            line = f'"{word.word}" is new to the model'
            if word.nearest:
                line += f" (closest trained {word.slot}: {word.nearest})"
            warnings.append(f"{line}. Label some examples before you trust it.")
    return {
        **_facts(
            workspace,
            video,
            is_labelled=bool(labelled_tracks),
            is_complete=bool(labelled_tracks) and all(row.complete for row in labelled_tracks),
        ),
        "undo": titles["undo"],
        "redo": titles["redo"],
        "tracks": rows,
        "draft_track": None if drafted is None else drafted.id,
        "drafts": drafts,
        "problem": problem,
        "unseen": sorted(workspace.engine.unseen(names)),
        "background": list(project.background),
        "colours": colours(workspace, list(dict.fromkeys(names))),
        "new_words": list(dict.fromkeys(warnings)),
        "command": command(workspace, video),
    }


def command(workspace: Workspace, video: VideoEntry) -> str:
    """Return the command line that gives the drafts, or "" without a model."""
    engine = workspace.engine
    model = engine.model()
    if model is None:
        return ""
    words = list(workspace.options.command)
    if engine.run_name:
        words = ["fact-clip", "segment", "--run", str(workspace.project.runs()[engine.run_name][0])]
    path = video.features or video.media
    words.insert(2, video.name + (".npy" if path is None else path.suffix))
    names = engine.names(model)
    if names:
        words += ["--actions", typed_names(names)]
    for name, value in engine.settings:
        if value is not None and name in model.scorer.adjustable:
            words += [CONTROLS[name].option, f"{value:g}"]
    return shlex.join(words)
