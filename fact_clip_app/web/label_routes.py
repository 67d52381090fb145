"""Requests about labels and tracks."""

from fastapi import HTTPException

from fact_clip.core import InputError
from fact_clip_app.api import answers, request_bodies
from fact_clip_app.results import unlabelled
from fact_clip_app.results.clips import Order
from fact_clip_app.results.clips import clips as class_clips
from fact_clip_app.results.ratings import is_unowned
from fact_clip_app.store.history import ConflictError, Edited
from fact_clip_app.store.label_files import plan, warnings_heard
from fact_clip_app.store.project import Track, VideoEntry, free_name
from fact_clip_app.web import project_answers
from fact_clip_app.web.access import (
    Asker,
    Served,
    Stored,
    StoredTrack,
    check_named,
    check_seen,
    check_track,
)
from fact_clip_app.web.route_options import api_router
from fact_clip_app.workspace.workspace import Workspace

router = api_router()


@router.get("/clips")
def clips(
    workspace: Served, person: Asker, label: str = "", order: Order = "longest"
) -> answers.Clips:
    """Return segments and drafts of a class, or of all, over all videos, in an order."""
    return {"segments": class_clips(workspace, label, order, person.annotator)}


@router.get("/groups")
def groups(workspace: Served, person: Asker) -> answers.Groups:
    """Return groups of unlabelled stretches in partly labelled tracks. One answer names a group."""
    return unlabelled.groups(workspace, person.annotator)


@router.post("/groups")
def label_group(workspace: Served, body: request_bodies.GroupAnswer) -> answers.Filled:
    """Give unlabelled stretches a label, as one step. What has a label by now is left out."""
    check_named(workspace, body.person)
    stretches: dict[int, list[tuple[int, int]]] = {}
    for span in body.stretches:
        stretches.setdefault(span.track, []).append((span.start, span.stop))
    for track in stretches:
        check_track(workspace, track, body.person)
    filling = workspace.history.fill(
        stretches, body.label, body.person, background=workspace.engine.background
    )
    return {"labelled": filling.labelled, "taken": filling.taken, "gone": filling.gone}


def _track(workspace: Workspace, video: VideoEntry, body: request_bodies.Edit) -> Track | None:
    """Return the track of a change as it is now."""
    tracks = workspace.project.labelled_tracks(video.id, viewer=body.annotator)
    return next((track for track in tracks if track.id == body.track), None)


@router.post("/videos/{video}/edits")
def edit(workspace: Served, video: Stored, body: request_bodies.Edit) -> Edited:
    """Remove and add segments of a track, as one step."""
    check_seen(workspace, video, body.track, body.person)
    try:
        return workspace.history.edit(
            video.id,
            body.part,
            body.person,
            edit=body.edit,
            background=workspace.engine.background,
        )
    except ConflictError as error:
        error.fields["track"] = _track(workspace, video, body)
        raise


@router.put("/videos/{video}/segments")
def label(workspace: Served, video: Stored, body: request_bodies.Segments) -> answers.Video:
    """Replace the segments of a track, as one step."""
    check_seen(workspace, video, body.track, body.person)
    workspace.history.replace(
        video.id,
        body.track,
        body.segments,
        revision=body.revision,
        person=body.person,
        background=workspace.engine.background,
    )
    return project_answers.video(workspace, video.id, body.person)


@router.post("/videos/{video}/tracks")
def add_track(
    workspace: Served, video: Stored, body: request_bodies.NewTrack, person: Asker
) -> answers.Video:
    """Add a track to a video."""
    check_named(workspace, person)
    name = body.name
    owner = body.annotator
    if workspace.project.blind_owner is not None:
        owner = person.annotator
        names = workspace.project.tracks(video.id).values()
        visible_names = workspace.project.tracks(video.id, owner).values()
        name = free_name(name, {*names} - {*visible_names})
    workspace.project.add_track(video.id, name, owner)
    return project_answers.video(workspace, video.id, person)


@router.patch("/videos/{video}/tracks/{track}")
def change_track(
    workspace: Served,
    video: Stored,
    track: StoredTrack,
    body: request_bodies.TrackChange,
    person: Asker,
) -> answers.Video:
    """Change values of a track."""
    if workspace.project.blind_owner is not None and body.annotator not in (None, person.annotator):
        raise HTTPException(403, "Blind is on: you can only assign a track to yourself")
    (stored,) = [row for row in workspace.project.labelled_tracks(video.id) if row.id == track]
    if workspace.project.blind_owner is not None and body.annotator and is_unowned(stored):
        raise HTTPException(403, "Blind is on: somebody has marked this track as fully labelled")
    values = body.model_dump(exclude_none=True)
    complete = values.pop("complete", None)
    workspace.project.change_track(video.id, track, **values)
    if complete is not None:
        workspace.project.mark_track(video.id, track, complete, person.annotator)
    return project_answers.video(workspace, video.id, person)


@router.delete("/videos/{video}/tracks/{track}")
def remove_track(
    workspace: Served, video: Stored, track: StoredTrack, person: Asker
) -> answers.Video:
    """Remove a track without segments."""
    if len(workspace.project.tracks(video.id, person.annotator)) == 1:
        raise InputError("track", "it is the only one", "add another one first")
    workspace.project.remove_track(video.id, track)
    return project_answers.video(workspace, video.id, person)


@router.post("/videos/{video}/labels")
def import_labels(
    workspace: Served, video: Stored, body: request_bodies.NewLabels
) -> answers.Video | answers.Trial:
    """Replace the segments of tracks by the tiers of a label file, as one step."""
    check_named(workspace, body.person)
    upload = workspace.upload(body.file)
    with warnings_heard() as lines:
        loading = plan(
            workspace.project,
            video,
            upload.path,
            background=workspace.engine.background,
            track=body.track,
            name=body.name,
            viewer=body.annotator,
            is_rough=body.rough,
        )
    warnings = upload.renamed(lines)
    if body.dry:
        return {
            "tracks": loading.counts,
            "replaces": loading.replaced,
            "classes": [action.name for action in loading.actions],
            "warnings": warnings,
        }
    if loading.replaced and not body.replace:
        names = ", ".join(loading.replaced)
        message = f"{names}: there are labels already. Replace them, or use another track."
        raise ConflictError(message, replaces=loading.replaced)
    workspace.history.load(video.id, loading, body.person, f"load {upload.name}")
    stored = project_answers.video(workspace, video.id, body.person)
    return {**stored, "imported": loading.counts, "warnings": warnings}


@router.post("/videos/{video}/{word}")  # after the other requests of a video
def step(
    workspace: Served, video: Stored, word: request_bodies.Word, body: request_bodies.Signed
) -> answers.Video:
    """Undo or redo the last step of a person on a video, or of the project."""
    workspace.history.step(video.id, body.person, back=word == "undo")
    return project_answers.video(workspace, video.id, body.person)
