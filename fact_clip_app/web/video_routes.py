"""Requests about files and videos."""

import time

from fastapi import HTTPException, Request, Response
from fastapi.responses import FileResponse

from fact_clip.core import InputError
from fact_clip_app.api import answers, request_bodies
from fact_clip_app.results.video_fields import read_fields
from fact_clip_app.store.project import FIELDS
from fact_clip_app.web import project_answers
from fact_clip_app.web.access import Asker, Served, Stored, check_named, check_owner, stored_video
from fact_clip_app.web.project_routes import state
from fact_clip_app.web.received_files import receive_upload
from fact_clip_app.web.route_options import DOWNLOAD, UPLOAD, api_router
from fact_clip_app.workspace.example_videos import fill
from fact_clip_app.workspace.media import MEDIA_TYPES

router = api_router()


@router.post("/files", **UPLOAD)
async def upload(workspace: Served, request: Request, name: str = "") -> answers.UploadedFile:
    """Store a file: the body of the request, or its part in a form."""
    upload = await receive_upload(workspace, request, name)
    key = upload.path.name
    workspace.files[key] = upload
    return {"file": key, "name": upload.name}


@router.post("/videos")
def add_video(workspace: Served, body: request_bodies.NewVideo) -> answers.AddedVideo:
    """Create a video from uploaded files, which are deleted if that fails."""
    count = len(workspace.project.videos())
    if count >= workspace.limits.videos:
        raise InputError("videos", f"{count} already", "begin another project")
    return {"video": workspace.quick.run(lambda: workspace.add_video(body.files)).id}


@router.post("/example")
def add_example(workspace: Served, person: Asker) -> answers.State:
    """Fill an empty project with SYNTHETIC films to try the page on, and their classes."""
    workspace.quick.run(lambda: fill(workspace))
    return state(workspace, person)


@router.post("/fields")
def load_fields(workspace: Served, body: request_bodies.NewFields) -> answers.State:
    """Set the fields of videos that a table contains. Other fields do not change."""
    check_owner(workspace, body.person)
    names = {video.id: video.name for video in workspace.project.videos()}
    fields = workspace.project.setting(FIELDS, {})
    for key, values in read_fields(workspace.upload(body.file).path, names).items():
        fields[key] = fields.get(key, {}) | values
    workspace.project.set(FIELDS, fields)
    return state(workspace, body.person)


@router.get("/videos/{video}")
def video(workspace: Served, video: Stored, person: Asker) -> answers.Video:
    """Return a video with its segments, and the seconds of its frames."""
    return {
        **project_answers.video(workspace, video.id, person),
        "times": video.times.round(6).tolist(),
    }


@router.patch("/videos/{video}")
def change_video(
    workspace: Served, video: Stored, body: request_bodies.VideoChange, person: Asker
) -> answers.Video:
    """Change values of a video."""
    values = body.model_dump(exclude_none=True)
    complete = values.pop("complete", None)
    workspace.project.change_video(video.id, **values)
    if complete is not None:
        for track in workspace.project.tracks(video.id, person.annotator):
            workspace.project.mark_track(video.id, track, complete, person.annotator)
    return project_answers.video(workspace, video.id, person)


@router.delete("/videos/{video}")
def remove_video(workspace: Served, video: Stored, person: Asker) -> answers.Empty:
    """Hide a video. Nothing is deleted."""
    check_named(workspace, person)
    workspace.project.change_video(
        video.id, removed=time.time()
    )  # first, so that no new job begins
    for queue in (workspace.queue, workspace.conversions.queue):
        queue.cancel(lambda job: job.owner == video.id)
    return {}


@router.post("/videos/{video}/restore")
def restore_video(workspace: Served, video: str) -> answers.Empty:
    """Restore a removed video."""
    workspace.project.change_video(video, removed=None)
    workspace.encode([stored_video(workspace, video)])
    return {}


@router.get("/videos/{video}/media", **DOWNLOAD)
def media(workspace: Served, video: Stored) -> Response:
    """Return a video file that browsers play, or a range of it."""
    playback = workspace.conversions.playback(video)
    path = playback.path
    if path is None or not path.is_file():
        raise HTTPException(404, playback.problem)
    kind = MEDIA_TYPES[path.suffix.lower()]
    return FileResponse(path, media_type=kind, content_disposition_type="inline")


@router.get("/videos/{video}/thumbnail", **DOWNLOAD)
def thumbnail(workspace: Served, video: Stored) -> Response:
    """Return a small image of a video as JPEG."""
    headers = {"cache-control": "private, max-age=86400"}
    return FileResponse(workspace.conversions.thumbnail(video), headers=headers)
