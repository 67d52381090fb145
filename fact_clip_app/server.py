"""The server of the page: its routes and answers."""

import hmac
import os
import secrets
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

from anyio import move_on_after, sleep, to_thread
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.background import BackgroundTask
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fact_clip.core import InputError
from fact_clip.core.messages import shortened
from fact_clip.core.paths import file_name
from fact_clip.core.version import __version__
from fact_clip.formats import format_called
from fact_clip.metrics.budget import group_budget, time_budget, transitions
from fact_clip.report.summary import FOLDER, TIMELINE, read_assets
from fact_clip_app import answers, requests, teach, views
from fact_clip_app.clips import Order
from fact_clip_app.clips import clips as class_clips
from fact_clip_app.engine import Engine, reads_names
from fact_clip_app.example import fill
from fact_clip_app.export import (
    check_number,
    export_set,
    labelled_videos,
    untrained_points,
)
from fact_clip_app.fields import read_fields
from fact_clip_app.guard import ERRORS, EVENTS, Guard, error_response, is_inside
from fact_clip_app.history import ConflictError, Edited, Person
from fact_clip_app.jobs import BusyError, Job
from fact_clip_app.label_files import plan, read_label_file, warnings_heard
from fact_clip_app.media import MEDIA_TYPES
from fact_clip_app.overview import overview as project_overview
from fact_clip_app.page import Options, Page
from fact_clip_app.project import (
    BLIND,
    FIELDS,
    Track,
    Unlabelled,
    VideoEntry,
    free_name,
)
from fact_clip_app.ratings import (
    background_of,
    is_unowned,
    rated_rows,
    rating_of,
    side_rating,
    warn_of_unrated,
)
from fact_clip_app.requests import LABELS, Upload, base_name, ending_of, receive_file, too_large
from fact_clip_app.tables import write_tables

STATIC = Path(__file__).parent / "static"
EVENT_SECONDS = 0.25
"""Seconds between two looks for changes."""

UNUSED_FILES = 10
"""Uploads of the greatest size that wait to be used, at most."""

_FILE = {"type": "string", "format": "binary"}
BINARY = {"application/octet-stream": {"schema": _FILE}}
_FORM = {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}
_BODY = {"content": {**BINARY, "multipart/form-data": {"schema": _FORM}}}

# Options of routes: for an uploaded file (raw or in a form), a download, and a segmentation.
UPLOAD: Any = {"openapi_extra": {"requestBody": _BODY}}
DOWNLOAD: Any = {"response_class": Response, "responses": {200: {"content": BINARY}}}
SEGMENTATION: Any = {
    "response_model": answers.Segmentation,
    "responses": {202: {"model": answers.Computation}},
}

_FAULT = {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}
_CODES = (400, 401, 403, 404, 408, 409, 413, 500, 503, 507)
FAULTS: dict[int | str, Any] = {
    "default": {"model": answers.Fault, "description": "An error"},
    # building a model for each would take a second
    **{code: {"content": _FAULT} for code in _CODES},
}


# --- what requests depend on ------------------------------------------------------------------


async def served_page(request: Request) -> Page:
    """Return the page that the application serves."""
    return request.app.state.page


Served = Annotated[Page, Depends(served_page)]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


def _cookie_name(request: Request) -> str:
    return f"fact_clip_{request.url.port or 80}"  # cookies are shared by all ports of a host


def _has_cookie(request: Request, page: Page) -> bool:
    value = request.cookies.get(_cookie_name(request), "")
    return hmac.compare_digest(value.encode(), page.cookie.encode())


def _is_token(token: str, page: Page) -> bool:
    return bool(token) and hmac.compare_digest(token.encode(), page.project.token.encode())


def authorise(page: Served, request: Request, bearer: Bearer) -> None:
    """Reject browsers without the cookie, and programs that do not send the token."""
    has_token = bearer is not None and _is_token(bearer.credentials, page)
    if not _has_cookie(request, page) and not has_token:
        message = "not let in; open the address that the command line printed"
        raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})


def stored_video(page: Served, video: str) -> VideoEntry:
    """Return the video of an id."""
    stored = page.project.video(video)
    if stored is None:
        raise HTTPException(404, "no such video")
    return stored


Stored = Annotated[VideoEntry, Depends(stored_video)]


Asker = Annotated[Person, Depends(Person)]  # by the query


def stored_track(page: Served, video: Stored, track: int, person: Asker) -> int:
    """Return the id of a track of a video that a person sees."""
    _check_seen(page, video, track, person)
    if track not in page.project.tracks(video.id):
        raise HTTPException(404, "no such track")
    return track


def _check_seen(page: Page, video: VideoEntry, track: int, person: Person) -> None:
    """Raise an HTTPException if a track is hidden from a person."""
    is_blind = page.project.blind_owner is not None
    if is_blind and track not in page.project.tracks(video.id, person.annotator):
        raise HTTPException(403, "this track is hidden from you")


def _check_named(page: Page, person: Person) -> None:
    """Raise an HTTPException if somebody without a name labels a blind project."""
    if page.project.blind_owner is not None and not person.annotator:
        raise HTTPException(403, "Blind is on: type your name first")


def _check_owner(page: Page, person: Person) -> None:
    """Raise an HTTPException if something is left to the owner of a blind project."""
    if not page.project.owns(person.annotator):
        owner = page.project.blind_owner
        message = f"Blind is on: this is left to {owner}, who has switched it on"
        raise HTTPException(403, message)


def segmenting(page: Served, job: str) -> Job:
    """Return the job of a segmentation."""
    stored = page.segmentings.get(job)
    if stored is None:
        raise HTTPException(404, "no such job")
    return stored


StoredTrack = Annotated[int, Depends(stored_track)]
Segmenting = Annotated[Job, Depends(segmenting)]
Viewer = Annotated[str, Query()]  # who asks, where `annotator` is whose labels are asked for
Repeated = Annotated[list[str] | None, Query()]

router = APIRouter(
    prefix="/api",
    dependencies=[Depends(authorise)],
    responses=FAULTS,
    generate_unique_id_function=lambda route: route.name,
)


# --- the project ------------------------------------------------------------------------------


@router.get("/state")
def state(page: Served, person: Asker) -> answers.State:
    """Return everything but the segments."""
    page.encode(page.project.videos())
    return views.state(page, person.annotator)


@router.get(EVENTS.removeprefix("/api"), response_class=EventSourceResponse)
async def events(page: Served) -> AsyncIterator[ServerSentEvent]:
    """Return an endless stream that says when anything has changed."""
    last_stamp = ""
    while not page.is_closed:
        stamp = await to_thread.run_sync(views.stamp, page)
        if stamp != last_stamp:
            last_stamp = stamp
            yield ServerSentEvent(data={"stamp": stamp}, event="change")
        await sleep(EVENT_SECONDS)


@router.post("/settings")
def settings(page: Served, body: requests.NewSettings) -> answers.State:
    """Change settings of decoding, the model, or whether people label blindly."""
    if body.model is not None:
        if body.model not in ("", *page.project.runs()):
            raise InputError("model", f"no model {body.model!r} in this project")
        page.engine.model(body.model)
    if body.blind is not None:
        _set_blind(page, body.blind, body.person)
    for key, value in body.model_dump(include={"model", "adjust"}, exclude_none=True).items():
        page.project.set(key, value)
    return state(page, body.person)


def _set_blind(page: Page, blind: bool, person: Person) -> None:
    """Switch Blind on, which makes a person its owner, or off, which its owner alone can do."""
    owner = page.project.blind_owner
    if owner is None and not blind:
        return
    if not person.annotator:
        raise InputError("blind", "it needs an owner", "type your name first")
    if owner in (None, person.annotator):
        page.project.set(BLIND, person.annotator if blind else False)
    elif not blind:
        _check_owner(page, person)


@router.put("/actions")
def actions(page: Served, body: requests.NewActions) -> answers.State:
    """Replace the actions."""
    _check_owner(page, body.person)
    stored = {action.name: action for action in page.project.actions()}
    actions = {action.name: action.applied_to(stored) for action in body.actions}
    _check_names(page, actions)
    page.history.set_actions(list(actions.values()))
    return state(page, body.person)


@router.post("/actions")
def change_actions(page: Served, body: requests.ActionChange) -> answers.State:
    """Add, change, merge, delete or move actions, as one step of the project."""
    _check_names(page, body.new_names)
    if body.changes_labels and page.project.blind_owner is not None:
        message = "Blind is on: classes with their labels stay as they are until it is switched off"
        raise HTTPException(403, message)
    body.apply(page.history, page.engine.background)
    return state(page, body.person)


def _check_names(page: Page, names: Iterable[str]) -> None:
    """Raise an InputError for names that the model cannot take."""
    model = page.engine.model()
    if model is not None and reads_names(model):
        new_names = [name for name in names if name not in model.vocabulary.background]
        model.choose(new_names or None)


@router.post("/actions/{word}")
def step_actions(page: Served, word: requests.Word, body: requests.Signed) -> answers.State:
    """Undo or redo the last step of a person that is one of the project."""
    page.history.step(None, body.person, back=word == "undo")
    return state(page, body.person)


# --- files and videos -------------------------------------------------------------------------


@router.post("/files", **UPLOAD)
async def upload(page: Served, request: Request, name: str = "") -> answers.File:
    """Store a file: the body of the request, or its part in a form."""
    upload = await _receive(page, request, name)
    key = upload.path.name
    page.files[key] = upload
    return {"file": key, "name": upload.name}


async def _receive(page: Page, request: Request, name: str) -> Upload:
    """Store the file of a request."""
    page.incoming.mkdir(parents=True, exist_ok=True)
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    if name or not is_form:
        name = base_name(name)
    limits = page.limits
    limit = limits.file_bytes
    if name and ending_of(name) in LABELS:
        limit = min(limit, limits.label_bytes)
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large(name, limit)
    client = "" if request.client is None else request.client.host
    uploads = page.uploads
    excess = max(uploads.total() - limits.uploads, uploads[client] - limits.uploads_each)
    if excess >= 0:
        raise BusyError(excess + 1)
    if page.unused_bytes() >= UNUSED_FILES * limits.file_bytes:
        raise HTTPException(507, f"{name}: too many uploads wait to be used; use them, or wait")
    path = page.incoming / secrets.token_hex(12)
    uploads[client] += 1
    try:
        part_name = await receive_file(request, path, name, limit, limits)
        if not name:
            name = base_name(part_name)
            if ending_of(name) in LABELS and path.stat().st_size > limits.label_bytes:
                raise too_large(name, limits.label_bytes)
        # no other part of the path comes from a user
        path = path.rename(path.with_suffix(ending_of(name)))
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk
            raise HTTPException(507, f"{name}: cannot be stored ({error.strerror})") from None
        raise
    finally:
        uploads[client] -= 1
    return Upload(path, name)


@router.post("/videos")
def add_video(page: Served, body: requests.NewVideo) -> answers.AddedVideo:
    """Create a video from uploaded files, which are deleted if that fails."""
    count = len(page.project.videos())
    if count >= page.limits.videos:
        raise InputError("videos", f"{count} already", "begin another project")
    return {"video": page.quick.run(lambda: page.add_video(body.files)).id}


@router.post("/example")
def add_example(page: Served, person: Asker) -> answers.State:
    """Fill an empty project with SYNTHETIC films to try the page on, and their classes."""
    page.quick.run(lambda: fill(page))
    return state(page, person)


@router.post("/fields")
def load_fields(page: Served, body: requests.NewFields) -> answers.State:
    """Set the fields that a table has for its videos. Their other fields stay."""
    _check_owner(page, body.person)
    names = {video.id: video.name for video in page.project.videos()}
    fields = page.project.setting(FIELDS, {})
    for key, values in read_fields(page.upload(body.file).path, names).items():
        fields[key] = fields.get(key, {}) | values
    page.project.set(FIELDS, fields)
    return state(page, body.person)


@router.get("/videos/{video}")
def video(page: Served, video: Stored, person: Asker) -> answers.Video:
    """Return a video with its segments, and the seconds of its frames."""
    return {**views.video(page, video.id, person), "times": video.times.round(6).tolist()}


@router.patch("/videos/{video}")
def change_video(
    page: Served, video: Stored, body: requests.VideoChange, person: Asker
) -> answers.Video:
    """Change values of a video."""
    values = body.model_dump(exclude_none=True)
    complete = values.pop("complete", None)
    page.project.change_video(video.id, **values)
    if complete is not None:
        for track in page.project.tracks(video.id, person.annotator):
            page.project.mark_track(video.id, track, complete, person.annotator)
    return views.video(page, video.id, person)


@router.delete("/videos/{video}")
def remove_video(page: Served, video: Stored, person: Asker) -> answers.Empty:
    """Hide a video. Nothing is deleted."""
    _check_named(page, person)
    page.project.change_video(video.id, removed=time.time())  # first, so that no new job begins
    for queue in (page.queue, page.conversions.queue):
        queue.cancel(lambda job: job.owner == video.id)
    return {}


@router.post("/videos/{video}/restore")
def restore_video(page: Served, video: str) -> answers.Empty:
    """Restore a removed video."""
    page.project.change_video(video, removed=None)
    page.encode([stored_video(page, video)])
    return {}


@router.get("/videos/{video}/media", **DOWNLOAD)
def media(page: Served, video: Stored) -> Response:
    """Return a video file that browsers play, or a range of it."""
    playback = page.conversions.playback(video)
    path = playback.path
    if path is None or not path.is_file():
        raise HTTPException(404, playback.problem)
    kind = MEDIA_TYPES[path.suffix.lower()]
    return FileResponse(path, media_type=kind, content_disposition_type="inline")


@router.get("/videos/{video}/thumbnail", **DOWNLOAD)
def thumbnail(page: Served, video: Stored) -> Response:
    """Return a small picture of a video, as JPEG."""
    headers = {"cache-control": "private, max-age=86400"}
    return FileResponse(page.conversions.thumbnail(video), headers=headers)


# --- segmenting without a project -------------------------------------------------------------


@router.post("/segment", **UPLOAD, **SEGMENTATION)
async def segment(
    page: Served,
    request: Request,
    person: Asker,
    name: str = "",
    uri: str = "",
    action: Repeated = None,
    wait: Annotated[float, Query(ge=0, le=60)] = 20.0,
) -> Response:
    """Segment a file by the model in use, and keep nothing.

    The file is the body of the request, or `uri` in a store that the server allows. A segmentation
    that takes longer than `wait` seconds is a job, which `segmented` asks for.
    """
    if page.engine.model() is None:
        raise HTTPException(409, "there is no model; start the page with one, or train one")
    _check_drafts(page, person)
    parts = unquote(uri).replace("\\", "/").split("/")
    is_allowed = any(is_inside(uri, store) for store in page.options.stores)
    if uri and (".." in parts or not is_allowed):
        fix = "start the page with --store and its folder"
        raise InputError("uri", "this store is not allowed", fix)
    upload = None if uri else await _receive(page, request, name)
    try:
        job = page.segment(upload, uri, action)
    except BusyError:
        if upload is not None:
            upload.path.unlink()
        raise
    with move_on_after(wait):
        while not job.is_over:
            await sleep(EVENT_SECONDS / 4)
    return segmented(page, job)


def _check_drafts(page: Page, person: Person) -> None:
    """Raise an HTTPException if the model in use has learned labels that are hidden."""
    if not page.shows_drafts(person.annotator):
        _check_owner(page, person)


@router.get("/segment/{job}", **SEGMENTATION)
def segmented(page: Served, job: Segmenting) -> Response:
    """Return the segments of a job, which are forgotten then, or its progress (202)."""
    if not job.is_over:
        body = {"job": job.owner, **(views.job(page, job) or {})}
        return JSONResponse(body, 202, {"location": f"/api/segment/{job.owner}"})
    page.segmentings.pop(job.owner, None)  # another request may have forgotten it
    if isinstance(job.error, InputError):
        raise job.error
    if job.segmentation is None:
        raise HTTPException(500, job.error)
    return JSONResponse(job.segmentation.to_dict())


@router.delete("/segment/{job}")
def cancel_segmenting(page: Served, job: Segmenting) -> answers.Empty:
    """Stop the job of a segmentation, and forget it."""
    page.queue.cancel(lambda candidate: candidate is job)
    page.segmentings.pop(job.owner, None)
    return {}


# --- labels -----------------------------------------------------------------------------------


@router.get("/clips")
def clips(page: Served, person: Asker, label: str = "", order: Order = "longest") -> answers.Clips:
    """Return segments and drafts of a class, or of all, over all videos, in an order."""
    return {"segments": class_clips(page, label, order, person.annotator)}


def _track(page: Page, video: VideoEntry, body: requests.Edit) -> Track | None:
    """Return the track of a change as it is now."""
    tracks = page.project.labelled_tracks(video.id, viewer=body.annotator)
    return next((track for track in tracks if track.id == body.track), None)


@router.post("/videos/{video}/edits")
def edit(page: Served, video: Stored, body: requests.Edit) -> Edited:
    """Remove and add segments of a track, as one step."""
    _check_seen(page, video, body.track, body.person)
    try:
        return page.history.edit(
            video.id, body.part, body.person, body.edit, page.engine.background
        )
    except ConflictError as error:
        error.fields["track"] = _track(page, video, body)
        raise


@router.put("/videos/{video}/segments")
def label(page: Served, video: Stored, body: requests.Segments) -> answers.Video:
    """Replace the segments of a track, as one step."""
    _check_seen(page, video, body.track, body.person)
    page.history.replace(
        video.id,
        body.track,
        body.segments,
        revision=body.revision,
        person=body.person,
        background=page.engine.background,
    )
    return views.video(page, video.id, body.person)


@router.post("/videos/{video}/tracks")
def add_track(page: Served, video: Stored, body: requests.NewTrack, person: Asker) -> answers.Video:
    """Add a track to a video."""
    _check_named(page, person)
    name = body.name
    owner = body.annotator
    if page.project.blind_owner is not None:
        owner = person.annotator
        names = page.project.tracks(video.id).values()
        visible_names = page.project.tracks(video.id, owner).values()
        name = free_name(name, {*names} - {*visible_names})
    page.project.add_track(video.id, name, owner)
    return views.video(page, video.id, person)


@router.patch("/videos/{video}/tracks/{track}")
def change_track(
    page: Served, video: Stored, track: StoredTrack, body: requests.TrackChange, person: Asker
) -> answers.Video:
    """Change values of a track."""
    if page.project.blind_owner is not None and body.annotator not in (None, person.annotator):
        raise HTTPException(403, "Blind is on: a track is yours alone")
    (stored,) = [row for row in page.project.labelled_tracks(video.id) if row.id == track]
    if page.project.blind_owner is not None and body.annotator and is_unowned(stored):
        raise HTTPException(403, "Blind is on: somebody has marked this track as fully labelled")
    values = body.model_dump(exclude_none=True)
    complete = values.pop("complete", None)
    page.project.change_track(video.id, track, **values)
    if complete is not None:
        page.project.mark_track(video.id, track, complete, person.annotator)
    return views.video(page, video.id, person)


@router.delete("/videos/{video}/tracks/{track}")
def remove_track(page: Served, video: Stored, track: StoredTrack, person: Asker) -> answers.Video:
    """Remove a track without segments."""
    if len(page.project.tracks(video.id, person.annotator)) == 1:
        raise InputError("track", "it is the only one", "add another one first")
    page.project.remove_track(video.id, track)
    return views.video(page, video.id, person)


@router.post("/videos/{video}/labels")
def import_labels(
    page: Served, video: Stored, body: requests.NewLabels
) -> answers.Video | answers.Trial:
    """Replace the segments of tracks by the tiers of a label file, as one step."""
    _check_named(page, body.person)
    upload = page.upload(body.file)
    with warnings_heard() as lines:
        loading = plan(
            page.project,
            video,
            upload.path,
            page.engine.background,
            body.track,
            body.name,
            body.annotator,
            body.rough,
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
    page.history.load(video.id, loading, body.person, f"load {upload.name}")
    stored = views.video(page, video.id, body.person)
    return {**stored, "imported": loading.counts, "warnings": warnings}


# --- downloads --------------------------------------------------------------------------------


def _download(
    write: Callable[[Path], Path], kind: str | None = "application/octet-stream"
) -> Response:
    """Answer a file, or a folder as a zip. The header x-warnings has what is lost.

    Args:
        write: writes it to a temporary folder, and returns its path.
        kind: the type of the content. None: by the ending.
    """
    folder = tempfile.TemporaryDirectory(prefix="fact-clip-")
    try:
        with warnings_heard() as lines:
            path = write(Path(folder.name))
    except (InputError, HTTPException):
        folder.cleanup()
        raise
    warnings = [line.removeprefix(folder.name + os.sep) for line in lines]
    headers = {"x-warnings": quote(shortened("\n".join(warnings)))}  # proxies take short headers
    if path.is_dir():
        files = sorted(path.rglob("*"))
        path = Path(f"{path}.zip")
        kind = "application/zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(folder.name))
    return FileResponse(
        path, 200, headers, kind, BackgroundTask(folder.cleanup), filename=path.name
    )


@router.get("/videos/{video}/export", **DOWNLOAD)
def export(
    page: Served,
    video: Stored,
    format: str = "",
    background: bool = False,
    track: int | None = None,
    drafts: bool = False,
    annotator: Repeated = None,
    viewer: Viewer = "",
) -> Response:
    """Return the labels of a video as a file: a track, or all if the format has tracks.

    Without a track, a format that has no tracks gets the first one. Drafts are a track of their
    own, so that a format that has no tracks gets a zip of two files.
    """
    form = format_called(format)
    tracks = views.tracks_by(page, video.id, annotator, viewer)
    if track is not None:
        tracks = [candidate for candidate in tracks if candidate.id == track]
    if not tracks:
        raise HTTPException(404, "no such track")
    if track is None and form.write_tracks is None:
        tracks = tracks[:1]

    def write(folder: Path) -> Path:
        folder = folder / file_name(video.name)
        files: list[Path] = []
        predicted = page.drafts_between(video, viewer) if drafts else []
        views.write_tracks(page, folder, video, tracks, form, background, predicted, files)
        if not files:
            raise InputError(video.name, "no segments", "choose another format")
        return files[0] if len(files) == 1 else folder

    return _download(write)


@router.get("/export", **DOWNLOAD)
def export_all(
    page: Served,
    format: Repeated = None,
    background: bool = False,
    drafts: bool = False,
    annotator: Repeated = None,
    viewer: Viewer = "",
) -> Response:
    """Return the tracks of every labelled video as a zip of files in some formats."""

    def write(folder: Path) -> Path:
        folder = folder / "labels"
        folder.mkdir()
        formats = format or ["json"]
        views.export_files(page, folder, formats, background, drafts, annotator, viewer)
        return folder

    return _download(write)


@router.get("/export/training", **DOWNLOAD)
def export_training(
    page: Served, person: Asker, track: str, unlabelled: Unlabelled | None = None
) -> Response:
    """Return the labelled videos of a track as a zip of a data set with features.

    `unlabelled` says what the unlabelled frames of videos are that are not complete.
    """

    def write(folder: Path) -> Path:
        export_set(page, track, folder / "training", unlabelled, person.annotator)
        return folder / "training"

    return _download(write)


@router.get("/overview")
def overview(page: Served, person: Asker) -> answers.Overview:
    """Return how far the project is, and a sentence about it."""
    return project_overview(page, person.annotator)


@router.get("/summary", response_model=answers.Summary)
def summary(
    page: Served,
    format: Literal["json", "csv", "xlsx"] = "json",
    table: Literal["time", "transitions", "segments"] = "time",
    by: str = "",
    annotator: Repeated = None,
    viewer: Viewer = "",
) -> Response:
    """Return how long, how often and when actions were labelled, as JSON or as a table.

    A spreadsheet has all tables, among them each segment with its origin and its annotator.
    With `by`, the name of a field, the groups of videos that have one value of it come first.
    """
    rows = rated_rows(page, annotator, viewer)
    time_rows = time_budget(rows.ratings)
    if by:
        groups = {name: f"{by}: {fields.get(by) or '–'}" for name, fields in rows.fields.items()}
        time_rows = group_budget(rows.ratings, groups, rows.ids) + time_rows
    no_fields = dict.fromkeys(chain.from_iterable(rows.fields.values()), "")
    for row in chain(time_rows, rows.segments):
        fields = no_fields | rows.fields.get(row["video"], {})
        row |= {field: value for field, value in fields.items() if field not in row}
    tables = {
        "time": time_rows,
        "transitions": transitions(rows.ratings.values()),
    }
    if format == "json":
        omissions = {"unrated": rows.unrated, "unowned": rows.unowned}
        return JSONResponse({**tables, "several": rows.several, **omissions})
    tables["segments"] = rows.segments
    if format == "csv":
        tables = {table: tables[table]}

    def write(folder: Path) -> Path:
        warn_of_unrated(rows)
        return write_tables(folder / f"{table}.{format}", tables)[0]

    return _download(write)


@router.get("/plots/{plot}.{format}", **DOWNLOAD)
def plot(
    page: Served,
    plot: str,
    format: Literal["svg", "png"],
    annotator: Repeated = None,
    viewer: Viewer = "",
) -> Response:
    """Return a plot of the labels or the trainings as a picture."""
    from fact_clip_app import plots  # not at the top, as matplotlib takes long to import

    if plot not in plots.PLOTS:
        raise HTTPException(404, f"no such plot; choose one of {', '.join(plots.PLOTS)}")

    def write(folder: Path) -> Path:
        path = folder / f"{plot}.{format}"
        page.quick.run(lambda: plots.draw(page, plot, annotator, viewer, path))
        return path

    return _download(write, kind=None)


# --- trainings --------------------------------------------------------------------------------


@router.post("/train")
def train(page: Served, body: requests.Training) -> answers.Empty:
    """Start a training on the labels of a track, of a new model or of the run in use."""
    _check_owner(page, body.person)
    teach.learn(page, body)
    return {}


@router.delete("/train")
def cancel_training(page: Served) -> answers.Empty:
    """Stop the training that is waiting or under way."""
    page.queue.cancel(lambda job: job is page.training)
    return {}


@router.get("/train")
def incomplete(page: Served, track: str, person: Asker) -> answers.Incomplete:
    """Return the labelled videos of a track that is not marked as fully labelled."""
    examples = labelled_videos(page, track, person.annotator)
    check_number(examples)
    videos: list[answers.OpenVideo] = [
        {
            "id": example.video.id,
            "name": example.video.name,
            "labelled_to": example.labelled_to,
            "duration": example.video.duration,
        }
        for example in examples
        if example.is_open
    ]
    return {"videos": videos, "points": untrained_points(examples)}


# --- agreement --------------------------------------------------------------------------------


@router.get("/agreement")
def agreement(page: Served, first: str, second: str, person: Asker) -> answers.Agreement:
    """Return the agreement of two tracks or two people in all videos that both labelled."""
    return views.agreement_of_all(page, first, second, person.annotator)


@router.post("/videos/{video}/compare")
def compare(page: Served, video: Stored, body: requests.Comparison) -> answers.Compared:
    """Compare two labellings of a video."""
    tracks = page.project.labelled_tracks(video.id, viewer=body.annotator)
    background = background_of(page)
    sides = []
    warnings: list[str] = []
    for key in (body.first, body.second):
        name = key
        rating = side_rating(page, video, tracks, key)
        if key == "shown":
            timeline = page.timeline(video, body.annotator)
            rating = rating_of(video, timeline, background, source=key)
        elif key == "predicted":
            _check_drafts(page, body.person)
            drafts = page.quick.run(lambda: page.engine.drafts(video))
            if page.engine.work(video.id).prediction is None:
                fix = "choose a model, or wait until the video is encoded"
                raise InputError(key, f"{video.name} has no prediction", fix)
            rating = rating_of(video, drafts, background, source=key)
        elif rating is None and " " in key:  # as no key of an upload has
            fix = f"choose another video or side{views.blind_remark(page)}"
            raise InputError(key, f"no labels in {video.name}", fix)
        elif rating is None:
            upload = page.upload(key)
            name = upload.name
            with warnings_heard() as lines:
                file = read_label_file(
                    upload.path,
                    video.times,
                    is_film=video.media is not None,
                    video_name=video.name,
                )
            warnings += upload.renamed(lines)
            if len(file.tracks) > 1:
                fix = "load it as labels, and compare the tracks"
                raise InputError(upload.path, f"{len(file.tracks)} tracks", fix)
            (labels,) = file.tracks.values()
            rating = rating_of(video, labels, file.background, source=name)
        sides.append((name, rating))
    return {**views.comparison(page, video, sides), "warnings": list(dict.fromkeys(warnings))}


# --- undo, the page itself, and the application -----------------------------------------------


@router.post("/videos/{video}/{word}")  # after the other requests of a video
def step(page: Served, video: Stored, word: requests.Word, body: requests.Signed) -> answers.Video:
    """Undo or redo the last step of a person on a video, or of the project."""
    page.history.step(video.id, body.person, back=word == "undo")
    return views.video(page, video.id, body.person)


@router.get("", include_in_schema=False)
def requests_page() -> Response:
    """Return the list of requests."""
    return FileResponse(STATIC / "api.html")


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> Any:
    """Return the description of the requests."""
    return request.app.openapi()


def index(request: Request) -> Response:
    """Return the page, and the cookie to a browser whose address has the token."""
    page = request.app.state.page
    response = FileResponse(STATIC / "index.html", media_type="text/html")
    if _has_cookie(request, page):
        return response
    if not _is_token(request.query_params.get("token", ""), page):
        return FileResponse(STATIC / "refused.html", status_code=403, media_type="text/html")
    response.set_cookie(
        _cookie_name(request),
        page.cookie,
        secure=request.url.scheme == "https",  # behind a proxy
        httponly=True,
        samesite="strict",
    )
    return response


def timeline_script(request: Request) -> Response:
    """Return the scripts of the timeline."""
    return Response(read_assets(*TIMELINE), media_type="text/javascript")


def timeline_style(request: Request) -> Response:
    """Return the style of the timeline."""
    return FileResponse(FOLDER / "timeline.css")


def health() -> answers.Health:
    """Return that the server answers."""
    return {"status": "ok"}


def make_app(engine: Engine, options: Options) -> FastAPI:
    """Return the page as an ASGI application."""
    page = Page(engine, options)
    page.begin_to_serve()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            page.close()

    async def answer(request: Request, error: Exception) -> Response:
        return error_response(error, page.named)

    handlers: Any = dict.fromkeys(ERRORS, answer)
    app = FastAPI(
        title="FACT-CLIP",
        version=__version__,
        routes=[
            *router.routes,
            Route("/", index),
            Route("/static/timeline.js", timeline_script),
            Route("/static/timeline.css", timeline_style),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        lifespan=lifespan,
        exception_handlers=handlers,
        separate_input_output_schemas=False,
        docs_url=None,  # ours are behind the token
        redoc_url=None,
        openapi_url=None,
    )
    app.get("/health", operation_id="health")(health)
    app.add_middleware(Guard, options.host, engine.limits.patience, options.served_as)
    app.state.page = page
    return app
