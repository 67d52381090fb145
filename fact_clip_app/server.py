"""The server of the page: its routes and answers."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shlex
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import move_on_after, sleep, to_thread
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.background import BackgroundTask
from starlette.staticfiles import StaticFiles

from fact_clip import __version__
from fact_clip.core import InputError
from fact_clip.core.paths import file_name
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.formats import format_called
from fact_clip.report.assets import FOLDER, TIMELINE, read_assets
from fact_clip.report.budget import time_budget, transitions, write_tables
from fact_clip.video.decode import SUFFIXES
from fact_clip_app import answers, requests, teach, views
from fact_clip_app.drafts import BACKGROUND, Draft
from fact_clip_app.engine import Engine, reads_names
from fact_clip_app.export import add_video, check_number, export_set, labelled_videos
from fact_clip_app.guard import ERRORS, EVENTS, Guard, error_response
from fact_clip_app.history import ConflictError, Person
from fact_clip_app.jobs import BusyError, Job
from fact_clip_app.label_files import plan, read_actions, read_tracks
from fact_clip_app.media import MEDIA_TYPES
from fact_clip_app.page import Options, Page
from fact_clip_app.project import Annotator, Label, Track, Unlabelled, VideoEntry
from fact_clip_app.requests import FEATURES, Upload, base_name, ending_of, receive_file, too_large

STATIC = Path(__file__).parent / "static"
EVENT_SECONDS = 0.25
"""Seconds between two looks for changes."""

People = Annotated[list[str] | None, Query()]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
_FILE = {"type": "string", "format": "binary"}
BINARY = {"application/octet-stream": {"schema": _FILE}}
_FORM = {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}
BODY = {"requestBody": {"content": {**BINARY, "multipart/form-data": {"schema": _FORM}}}}
"""The description of an uploaded file, raw or in a form."""

FAULTS: dict[int | str, Any] = {"default": {"model": answers.Fault, "description": "An error"}}
_FAULT = {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}
for _code in (400, 401, 403, 404, 408, 409, 413, 500, 503, 507):
    FAULTS[_code] = {"content": _FAULT}  # building a model for each would take a second


def person(browser: requests.Token = "", annotator: Annotator = "") -> Person:
    """Return who asks, by the query of a request."""
    return Person(browser, annotator)


Asker = Annotated[Person, Depends(person)]


class Server:
    """The answers to the requests of a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.limits = page.limits
        self.project = page.project
        self.history = page.history
        self.engine = page.engine
        # The cookie of a browser that has opened the address with the token.
        self.cookie = hashlib.sha256(f"cookie {page.project.token}".encode()).hexdigest()

    def _cookie_name(self, request: Request) -> str:
        return f"fact_clip_{request.url.port or 80}"  # cookies are shared by all ports of a host

    def _has_cookie(self, request: Request) -> bool:
        value = request.cookies.get(self._cookie_name(request), "")
        return hmac.compare_digest(value.encode(), self.cookie.encode())

    def _is_token(self, token: str) -> bool:
        return bool(token) and hmac.compare_digest(token.encode(), self.project.token.encode())

    def authorise(self, request: Request, bearer: Bearer) -> None:
        """Reject browsers without the cookie, and programs that do not send the token."""
        has_token = bearer is not None and self._is_token(bearer.credentials)
        if not self._has_cookie(request) and not has_token:
            message = "not let in; open the address that the command line printed"
            raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})

    def index(self, request: Request, token: str = "") -> Response:
        """Return the page, and the cookie to a browser whose address has the token."""
        page = FileResponse(STATIC / "index.html", media_type="text/html")
        if self._has_cookie(request):
            return page
        if not self._is_token(token):
            return FileResponse(STATIC / "refused.html", status_code=403, media_type="text/html")
        page.set_cookie(
            self._cookie_name(request),
            self.cookie,
            secure=request.url.scheme == "https",  # behind a proxy
            httponly=True,
            samesite="strict",
        )
        return page

    async def upload(self, request: Request, name: str) -> answers.File:
        """Store a file: the body of the request, or its part in a form."""
        key, size = await self._receive(request, name)
        return {"file": key, "name": self.page.files[key].name, "size": size}

    async def _receive(self, request: Request, name: str) -> tuple[str, int]:
        """Store a file. Return its key and its size in bytes."""
        page = self.page
        name = base_name(name)
        ending = ending_of(name)  # no other part of the path comes from a user
        page.incoming.mkdir(parents=True, exist_ok=True)
        key = secrets.token_hex(12)
        path = page.incoming / f"{key}{ending}"
        limit = self._upload_limit(ending)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise too_large(name, limit)
        client = "" if request.client is None else request.client.host
        self._check_uploads(client)
        page.uploads[client] += 1
        try:
            size = await receive_file(request, path, name, limit, self.limits)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):  # a full disk
                raise HTTPException(507, f"{name}: cannot be stored ({error.strerror})") from None
            raise
        finally:
            page.uploads[client] -= 1
        page.files[key] = Upload(path, name)
        return key, size

    async def segment(
        self,
        request: Request,
        name: str = "",
        uri: str = "",
        action: People = None,
        wait: Annotated[float, Query(ge=0, le=60)] = 20.0,
    ) -> Response:
        """Segment a file by the model in use, and keep nothing.

        The file is the body of the request, or `uri` in a store that the server allows. A
        segmentation that takes longer than `wait` seconds is a job, which `segmented` asks for.
        """
        if self.engine.model() is None:
            raise HTTPException(409, "there is no model; start the page with one, or train one")
        if uri and not any(uri.startswith(store) for store in self.page.options.stores):
            fix = "start the page with --store and its beginning"
            raise InputError("uri", "this store is not allowed", fix)
        upload = None
        if not uri:
            key, _ = await self._receive(request, name)
            (upload,) = self._take_uploads([key])
        try:
            job = self.page.segment(upload, uri, action)
        except BusyError:
            if upload is not None:
                upload.path.unlink()
            raise
        with move_on_after(wait):
            while not job.is_over:
                await sleep(EVENT_SECONDS / 4)
        return self.segmented(job.owner)

    def segmented(self, job: str) -> Response:
        """Return the segments of a job, which are forgotten then, or its progress (202)."""
        segmenting = self._segmenting(job)
        if not segmenting.is_over:
            body = {"job": job, **(views.job(self.page, segmenting) or {})}
            return JSONResponse(body, 202, {"location": f"/api/segment/{job}"})
        del self.page.segmentings[job]
        if isinstance(segmenting.error, InputError):
            raise segmenting.error
        if segmenting.segmentation is None:
            raise HTTPException(500, segmenting.error)
        return JSONResponse(segmenting.segmentation.to_dict())

    def _segmenting(self, job: str) -> Job:
        if job not in self.page.segmentings:
            raise HTTPException(404, "no such job")
        return self.page.segmentings[job]

    def cancel_segmenting(self, job: str) -> answers.Empty:
        """Stop the job of a segmentation, and forget it."""
        segmenting = self._segmenting(job)
        self.page.queue.cancel(lambda candidate: candidate is segmenting)
        del self.page.segmentings[job]
        return {}

    def _upload_limit(self, ending: str) -> int:
        """Return the bytes that a file may have."""
        if ending in (FEATURES, *SUFFIXES):
            return self.limits.file_bytes
        return min(self.limits.label_bytes, self.limits.file_bytes)

    def _check_uploads(self, client: str) -> None:
        """Raise BusyError if too many uploads are in progress, in all or of one address."""
        uploads = self.page.uploads
        excess = max(
            uploads.total() - self.limits.uploads, uploads[client] - self.limits.uploads_each
        )
        if excess >= 0:
            raise BusyError(excess + 1)

    def _upload(self, key: str) -> Upload:
        """Return an uploaded file, which stays for further requests."""
        if key not in self.page.files:
            raise InputError("files", "no such file", "upload it first")
        return self.page.files[key]

    def _take_uploads(self, keys: list[str]) -> list[Upload]:
        """Return uploaded files, and remove them from those that later requests can name."""
        with self.page.lock:
            if len(set(keys)) < len(keys):
                raise InputError("files", "one file twice", "give each file once")
            uploads = [self._upload(key) for key in keys]
            for key in keys:
                del self.page.files[key]
        return uploads

    def add_video(self, body: requests.NewVideo) -> answers.AddedVideo:
        """Create a video from uploaded files, which are deleted if that fails."""
        count = len(self.project.videos())
        if count >= self.limits.videos:
            raise InputError("videos", f"{count} already", "begin another project")
        uploads = self._take_uploads(body.files)
        try:
            video = self.page.quick.run(lambda: self.page.add_video(uploads))
        except BusyError:  # the client asks again
            self.page.files.update(zip(body.files, uploads, strict=True))
            raise
        except InputError as error:
            line = self.page.line(error, uploads)
            for upload in uploads:
                upload.path.unlink(missing_ok=True)
            raise HTTPException(400, line) from None
        return {"video": video.id}

    def _video(self, video: str) -> VideoEntry:
        stored = self.project.video(video)
        if stored is None:
            raise HTTPException(404, "no such video")
        return stored

    def change_video(self, video: str, body: requests.VideoChange, person: Asker) -> answers.Video:
        """Change values of a video."""
        values = body.model_dump(exclude_none=True)
        self.project.change_video(self._video(video).id, **values)
        return self._view(video, person)

    def remove_video(self, video: str) -> answers.Empty:
        """Hide a video. Nothing is deleted."""
        self._video(video)
        self.page.queue.cancel(lambda job: job.owner == video)
        self.page.conversions.queue.cancel(lambda job: job.owner == video)
        self.project.change_video(video, removed=time.time())
        return {}

    def restore_video(self, video: str) -> answers.Empty:
        """Restore a removed video."""
        self.project.change_video(video, removed=None)
        self.page.encode([self._video(video)])
        return {}

    def media(self, video: str) -> Response:
        """Return a video file that browsers play, or a range of it."""
        playback = self.page.conversions.playback(self._video(video))
        path = playback.path
        if path is None or not path.is_file():
            raise HTTPException(404, playback.problem)
        kind = MEDIA_TYPES[path.suffix.lower()]
        return FileResponse(path, media_type=kind, content_disposition_type="inline")

    def state(self) -> answers.State:
        """Return everything but the segments."""
        self.page.encode(self.project.videos())
        return views.state(self.page)

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """Return an endless stream that says when anything has changed."""
        last_stamp = ""
        while not self.page.is_closed:
            stamp = await to_thread.run_sync(views.stamp, self.page)
            if stamp != last_stamp:
                last_stamp = stamp
                yield ServerSentEvent(data={"stamp": stamp}, event="change")
            await sleep(EVENT_SECONDS)

    def video(self, video: str, person: Asker) -> answers.Video:
        """Return a video with its segments, and the seconds of its frames."""
        times = self._video(video).times.round(6).tolist()
        return {**self._view(video, person), "times": times}

    def _view(self, video: str, person: Person) -> answers.Video:
        return self.page.quick.run(lambda: views.video(self.page, self._video(video), person))

    def actions(self, body: requests.NewActions) -> answers.State:
        """Replace the actions."""
        actions = {action.name: action for action in body.actions}
        self._check_names(actions)
        self.history.set_actions(list(actions.values()))
        return self.state()

    def change_actions(self, body: requests.ActionChange) -> answers.State:
        """Add, change, merge, delete or move actions, as one step of the project."""
        self._check_names(body.new_names)
        body.apply(self.history)
        return self.state()

    def _check_names(self, names: Iterable[str]) -> None:
        """Raise an InputError for names that the model cannot take."""
        model = self.engine.model()
        if model is not None and reads_names(model):
            background = model.vocabulary.background
            new_names = [name for name in names if name not in background]
            model.choose(new_names or None)

    def step_actions(self, word: requests.Word, body: requests.Signed) -> answers.State:
        """Undo or redo the last step of a person that is one of the project."""
        self.history.step(None, body.person, back=word == "undo")
        return self.state()

    def settings(self, body: requests.NewSettings) -> answers.State:
        """Change settings of decoding, the model, or whether people label blindly."""
        if body.model is not None:
            if body.model not in ("", *self.project.runs()):
                raise InputError("model", f"no model {body.model!r} in this project")
            self.engine.model(body.model)
            self.project.set("model", body.model)
        if body.adjust is not None:
            self.project.set("adjust", body.adjust.model_dump(exclude_none=True))
        if body.blind is not None:
            self.project.set("blind", body.blind)
        return self.state()

    def uncertain(self) -> answers.Uncertain:
        """Return the least certain drafts of all videos."""
        return {"segments": views.uncertain(self.page)}

    def edit(self, video: str, body: requests.Edit) -> answers.Edited:
        """Remove and add segments of a track, as one step."""
        self._video(video)  # or 404
        background = views.background_of(self.page)
        try:
            edit = self.history.edit(video, body.part, body.person, body.edit, background)
        except ConflictError as error:
            tracks = self.project.labelled_tracks(video)
            for track in views.tracks(self.page, tracks, body.person):
                if track["id"] == body.track:
                    error.fields["track"] = track
            raise
        return {
            "track": edit.track,
            "revision": edit.revision,
            "video_revision": edit.video_revision,
            "added": list(edit.added),
            **views.steps(self.page, video, body.person),
        }

    def label(self, video: str, body: requests.Segments) -> answers.Video:
        """Replace the segments of a track, as one step."""
        self.history.replace(
            self._video(video).id,
            body.track,
            body.segments,
            revision=body.revision,
            person=body.person,
            background=views.background_of(self.page),
        )
        return self._view(video, body.person)

    def step(self, video: str, word: requests.Word, body: requests.Signed) -> answers.Video:
        """Undo or redo the last step of a person on a video, or of the project."""
        stored = self._video(video)
        actions_changed = self.history.step(stored.id, body.person, back=word == "undo")
        return {**self._view(video, body.person), "actions_changed": actions_changed}

    def add_track(self, video: str, body: requests.NewTrack, person: Asker) -> answers.Video:
        """Add a track to a video."""
        self.project.add_track(self._video(video).id, body.name, body.annotator)
        return self._view(video, person)

    def change_track(
        self, video: str, track: int, body: requests.TrackChange, person: Asker
    ) -> answers.Video:
        """Change values of a track."""
        self._check_track(video, track)
        values = body.model_dump(exclude_none=True)
        self.project.change_track(video, track, **values)
        return self._view(video, person)

    def remove_track(self, video: str, track: int, person: Asker) -> answers.Video:
        """Remove a track without segments."""
        self._check_track(video, track)
        self.project.remove_track(video, track)
        return self._view(video, person)

    def _check_track(self, video: str, track: int) -> None:
        if track not in self.project.tracks(self._video(video).id):
            raise HTTPException(404, "no such track")

    def import_labels(self, video: str, body: requests.NewLabels) -> answers.Video | answers.Trial:
        """Replace the segments of tracks by those of the tiers of a label file, as one step."""
        stored = self._video(video)
        upload = self._upload(body.file)
        background = views.background_of(self.page)
        loading = plan(
            self.project,
            video,
            upload.path,
            read_tracks(upload.path, upload.ending, stored.times, background),
            track=body.track,
            name=body.name,
            ethogram=read_actions(upload.path, upload.ending, background),
        )
        if body.dry:
            return {
                "tracks": loading.counts,
                "replaces": loading.replaced,
                "classes": [action.name for action in loading.actions],
            }
        if loading.replaced and not body.replace:
            names = ", ".join(loading.replaced)
            message = f"{names}: there are labels already. Replace them, or use another track."
            raise ConflictError(message, replaces=loading.replaced)
        self.history.load(video, loading, body.person, f"load {upload.name}")
        return {**self._view(video, body.person), "imported": loading.counts}

    def export(
        self,
        video: str,
        format: str = "",
        background: bool = False,
        track: int | None = None,
        drafts: bool = False,
        annotator: People = None,
    ) -> Response:
        """Return the labels of a video as a file: a track, or all if the format has tracks.

        Without a track, a format that has no tracks gets the first one. Drafts are a track of their
        own, so that a format that has no tracks gets a zip of two files.
        """
        stored = self._video(video)
        form = format_called(format)
        tracks = views.tracks_by(self.page, video, annotator)
        if track is not None:
            tracks = [candidate for candidate in tracks if candidate.id == track]
            if not tracks:
                raise HTTPException(404, "no such track")
        elif form.write_tracks is None:
            tracks = tracks[:1]
        segmentations = views.segmentations_of(self.page, stored, tracks, drafts)
        files = views.files_of(segmentations, stored.name, form)
        behaviours = views.ethogram(self.page)

        def write(folder: Path) -> None:
            for title, parts in files.items():
                views.save(parts, folder / f"{title}{form.ending}", background, behaviours)

        if len(files) > 1:
            return _download_folder(file_name(stored.name), write)
        (title,) = files
        return _download(f"{title}{form.ending}", lambda path: write(path.parent))

    def export_all(
        self,
        format: Annotated[list[str] | None, Query()] = None,
        background: bool = False,
        drafts: bool = False,
        annotator: People = None,
    ) -> Response:
        """Return the tracks of every labelled video as a zip of files in some formats."""
        return _download_folder(
            "labels",
            lambda folder: views.export_files(
                self.page,
                folder,
                format or ["json"],
                background=background,
                with_drafts=drafts,
                annotators=annotator,
            ),
        )

    def export_training(self, track: str, unlabelled: Unlabelled | None = None) -> Response:
        """Return the labelled videos of a track as a zip of a data set with features.

        `unlabelled` says what the unlabelled frames of videos are that are not complete.
        """
        return _download_folder(
            "training", lambda path: export_set(self.page, track, path, unlabelled)
        )

    def summary(
        self, format: Literal["json", "csv", "xlsx"] = "json", annotator: People = None
    ) -> Response:
        """Return how long, how often and when actions were labelled, as JSON or as a table."""
        rows = views.labelled_rows(self.page, annotator)
        tables = {
            "time": time_budget(rows.stretches, rows.durations),
            "transitions": transitions(rows.stretches.values()),
        }
        if format == "json":
            return JSONResponse({**tables, "several": rows.several})
        return _download(f"time.{format}", lambda path: write_tables(path, tables))

    def plot(self, plot: str, format: Literal["svg", "png"], annotator: People = None) -> Response:
        """Return a plot of the labels or the trainings as a picture."""
        from fact_clip_app import plots  # not at the top, as matplotlib takes long to import

        if plot not in plots.PLOTS:
            raise HTTPException(404, f"no such plot; choose one of {', '.join(plots.PLOTS)}")
        kinds = {"svg": "image/svg+xml", "png": "image/png"}
        return _download(
            f"{plot}.{format}",
            lambda path: self.page.quick.run(lambda: plots.draw(self.page, plot, annotator, path)),
            kinds[format],
        )

    def add_to_training_set(
        self, video: str, body: requests.NewTrainingVideo
    ) -> answers.TrainingVideo:
        """Add a labelled video to the training set."""
        training_set = self.page.training_set
        stored = self._video(video)
        parts = self.page.first_timeline(stored)
        model = self.engine.model()
        features = self.engine.features(stored)
        if model is None or features is None:
            raise HTTPException(409, "not encoded yet")
        other = views.background_of(self.page, BACKGROUND)[0]
        if body.only_corrected:
            other = UNLABELLED
            parts = [part for part in parts if isinstance(part, Label)]
        name, _ = add_video(training_set, stored, parts, other, features, model)
        return {"name": name, "folder": str(training_set.root)}

    def adapt(self, body: requests.Adaptation) -> answers.Command:
        """Start a training from the run in use, on the training set."""
        return {"command": shlex.join(teach.adapt(self.page, body.epochs))}

    def train(self, body: requests.Training) -> answers.Empty:
        """Start a training on the labels of a track, of a new model or of the run in use."""
        teach.learn(self.page, body)
        return {}

    def cancel_training(self) -> answers.Empty:
        """Stop the training that is waiting or under way."""
        self.page.queue.cancel(lambda job: job is self.page.training)
        return {}

    def incomplete(self, track: str) -> answers.Incomplete:
        """Return the labelled videos of a track of which it is not said what the rest is."""
        examples = labelled_videos(self.page, track)
        check_number(examples)
        videos = []
        for example in examples:
            if example.is_open:
                labelled_to, duration = example.extent
                row: answers.OpenVideo = {
                    "id": example.video.id,
                    "name": example.video.name,
                    "labelled_to": labelled_to,
                    "duration": duration,
                }
                videos.append(row)
        return {"videos": videos}

    def agreement(self, first: str, second: str) -> answers.Agreement:
        """Return the agreement of two tracks or two people in all videos that both labelled."""
        return views.agreement_of_all(self.page, first, second)

    def compare(self, video: str, body: requests.Comparison) -> answers.Compared:
        """Compare two labellings of a video."""
        stored = self._video(video)
        tracks = views.compared_tracks(self.page, stored)
        other = views.background_of(self.page, BACKGROUND)[0]
        labellings = []
        for key in (body.first, body.second):
            name, parts = self._named_parts(stored, key, tracks)
            labellings.append((name, views.frame_labels(parts, stored.times, other)))
        return views.comparison(self.page, stored, labellings)

    def _named_parts(
        self, video: VideoEntry, key: str, tracks: Sequence[Track]
    ) -> tuple[str, Sequence[Draft | Label]]:
        """Return the name and the parts of a labelling. The model is run only where it is shown."""
        if key == "shown":
            return key, self.page.first_timeline(video)
        if key == "predicted":
            return key, self.page.quick.run(lambda: self.engine.drafts(video))
        labels = views.side(tracks, key)
        if labels is not None:
            return key, labels
        upload = self._upload(key)
        background = views.background_of(self.page)
        tiers = read_tracks(upload.path, upload.ending, video.times, background)
        if len(tiers) > 1:
            fix = "load it as labels, and compare the tracks"
            raise InputError(upload.path, f"{len(tiers)} tracks", fix)
        return upload.name, next(iter(tiers.values()))


def health() -> answers.Health:
    """Return that the server answers."""
    return {"status": "ok"}


def make_app(engine: Engine, options: Options) -> FastAPI:
    """Return the page as an ASGI application."""
    page = Page(engine, options)
    page.begin_to_serve()
    server = Server(page)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            page.close()

    async def answer(request: Request, error: Exception) -> Response:
        return error_response(error, page.line)

    handlers: Any = dict.fromkeys(ERRORS, answer)
    docs: Any = dict.fromkeys(("docs_url", "redoc_url", "openapi_url"))  # ours are behind the token
    app = FastAPI(
        title="FACT-CLIP",
        version=__version__,
        lifespan=lifespan,
        exception_handlers=handlers,
        generate_unique_id_function=lambda route: route.name,
        separate_input_output_schemas=False,
        **docs,
    )
    video = "/videos/{video}"
    job = "/segment/{job}"

    def add(method: str, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        # not by a router, whose routes are built again in the first request
        options["responses"] = FAULTS | options.get("responses", {})
        options["dependencies"] = [Depends(server.authorise)]
        app.add_api_route(f"/api{path}", endpoint, methods=[method], **options)

    for method, path, endpoint in (
        ("GET", "/state", server.state),
        ("POST", "/videos", server.add_video),
        ("PUT", "/actions", server.actions),
        ("POST", "/actions", server.change_actions),
        ("POST", "/actions/{word}", server.step_actions),
        ("POST", "/settings", server.settings),
        ("GET", "/uncertain", server.uncertain),
        ("GET", "/agreement", server.agreement),
        ("POST", "/adapt", server.adapt),
        ("GET", "/train", server.incomplete),
        ("POST", "/train", server.train),
        ("DELETE", "/train", server.cancel_training),
        ("GET", video, server.video),
        ("PATCH", video, server.change_video),
        ("DELETE", video, server.remove_video),
        ("POST", f"{video}/restore", server.restore_video),
        ("PUT", f"{video}/segments", server.label),
        ("POST", f"{video}/edits", server.edit),
        ("POST", f"{video}/tracks", server.add_track),
        ("PATCH", f"{video}/tracks/{{track}}", server.change_track),
        ("DELETE", f"{video}/tracks/{{track}}", server.remove_track),
        ("POST", f"{video}/labels", server.import_labels),
        ("POST", f"{video}/training-set", server.add_to_training_set),
        ("POST", f"{video}/compare", server.compare),
        ("POST", f"{video}/{{word}}", server.step),
        ("DELETE", job, server.cancel_segmenting),
    ):
        add(method, path, endpoint)
    for path, download in (
        ("/export", server.export_all),
        ("/export/training", server.export_training),
        ("/plots/{plot}.{format}", server.plot),
        (f"{video}/media", server.media),
        (f"{video}/export", server.export),
    ):
        add("GET", path, download, response_class=Response, responses={200: {"content": BINARY}})
    add("GET", "/summary", server.summary, response_model=answers.Summary)
    add("GET", EVENTS.removeprefix("/api"), server.events, response_class=EventSourceResponse)
    add("POST", "/files", server.upload, openapi_extra=BODY)
    segments: Any = {
        "response_model": answers.Segmentation,
        "responses": {202: {"model": answers.Computation}},
    }
    add("POST", "/segment", server.segment, openapi_extra=BODY, **segments)
    add("GET", job, server.segmented, **segments)

    def file(path: Path) -> Callable[[], FileResponse]:
        return lambda: FileResponse(path)

    add("GET", "/openapi.json", lambda: app.openapi(), include_in_schema=False)
    add("GET", "", file(STATIC / "api.html"), include_in_schema=False)
    app.add_api_route("/", server.index, methods=["GET"], include_in_schema=False)
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route(
        "/static/timeline.js",
        lambda: Response(read_assets(*TIMELINE), media_type="text/javascript"),
        methods=["GET"],
        include_in_schema=False,
    )
    styles = file(FOLDER / "timeline.css")
    app.add_api_route("/static/timeline.css", styles, methods=["GET"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(Guard, options.host, engine.limits.patience, options.served_as)
    app.state.page = page
    return app


def _download(
    name: str, write: Callable[[Path], object], kind: str = "application/octet-stream"
) -> Response:
    """Answer a file that is written into a folder of its own, which goes with the answer."""
    folder = tempfile.TemporaryDirectory(prefix="fact-clip-")
    path = Path(folder.name) / name
    try:
        write(path)
    except (InputError, HTTPException):
        folder.cleanup()
        raise
    return FileResponse(
        path, media_type=kind, filename=name, background=BackgroundTask(folder.cleanup)
    )


def _download_folder(name: str, write: Callable[[Path], object]) -> Response:
    """Answer a folder of files as a zip."""

    def write_zip(path: Path) -> None:
        write(path.with_name(name))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path.with_name(name).rglob("*")):
                archive.write(file, file.relative_to(path.parent))

    return _download(f"{name}.zip", write_zip, "application/zip")
