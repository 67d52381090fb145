"""The server of the page: who asks, and what is answered."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shlex
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.staticfiles import StaticFiles

from fact_clip import report
from fact_clip.core import InputError
from fact_clip.core.paths import file_name
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.formats import format_called
from fact_clip.report.budget import write_tables
from fact_clip.video.decode import SUFFIXES
from fact_clip_app import learn, requests, views
from fact_clip_app.edits import BACKGROUND, Draft, read_tracks, row_labels
from fact_clip_app.guard import ERRORS, Guard, answer_to
from fact_clip_app.page import BusyError, Engine, Options, Page, reads_names
from fact_clip_app.project import Label, VideoEntry
from fact_clip_app.requests import FEATURES, Upload, ending_of, receive_file, shown_name, too_large

STATIC = Path(__file__).parent / "static"
TIMELINE = Path(report.__file__).parent
_MEDIA_TYPES = {
    **dict.fromkeys((".mp4", ".m4v", ".mov"), "video/mp4"),
    ".webm": "video/webm",
    ".ogv": "video/ogg",
}
Answer = dict[str, Any]


class Server:
    """Answers the requests of a page."""

    def __init__(self, page: Page) -> None:
        self.page, self.limits, self.project, self.engine = (
            page,
            page.limits,
            page.project,
            page.engine,
        )
        self.cookie = hashlib.sha256(
            f"cookie {page.project.token}".encode()
        ).hexdigest()  # stands for the token

    def _cookie(self, request: Request) -> str:
        return f"fact_clip_{request.url.port or 80}"  # cookies are shared by all ports of a host

    def _is_let_in(self, request: Request) -> bool:
        return hmac.compare_digest(
            request.cookies.get(self._cookie(request), "").encode(), self.cookie.encode()
        )

    def _is_token(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.project.token.encode())

    def let_in(self, request: Request) -> None:
        """Refuse a browser that has not opened the address with the token, and a program that does not send it."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not self._is_let_in(request) and not (
            scheme.lower() == "bearer" and self._is_token(token)
        ):
            raise HTTPException(403, "not let in; open the address that the command line printed")

    def index(self, request: Request, token: str = "") -> Response:
        """Answer the page itself; with the token in the address it lets a browser in."""
        answer = FileResponse(STATIC / "index.html", media_type="text/html")
        if self._is_let_in(request):
            return answer
        if not self._is_token(token):
            return FileResponse(STATIC / "refused.html", status_code=403, media_type="text/html")
        is_secure = request.url.scheme == "https"  # behind a proxy
        answer.set_cookie(
            self._cookie(request), self.cookie, secure=is_secure, httponly=True, samesite="strict"
        )
        return answer

    async def upload(self, request: Request, name: str) -> Answer:
        """Take a file; its body is the request's."""
        page, limits = self.page, self.limits
        name, client = shown_name(name), "" if request.client is None else request.client.host
        ending = ending_of(name)  # no other part of the path comes from a user
        page.incoming.mkdir(parents=True, exist_ok=True)
        path = page.incoming / f"{secrets.token_hex(12)}{ending}"
        is_large = ending in (FEATURES, *SUFFIXES)
        room = limits.file_bytes if is_large else min(limits.label_bytes, limits.file_bytes)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > room:
            raise too_large(name, room)
        for count, most in (
            (page.uploads.total(), limits.uploads),
            (page.uploads[client], limits.uploads_each),
        ):
            if count >= most:
                raise BusyError(count - most + 1)
        page.uploads[client] += 1
        try:
            size = await receive_file(request, path, name, room, limits)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):  # a full disk
                raise HTTPException(507, f"{name}: cannot be stored ({error.strerror})") from None
            raise
        finally:
            page.uploads[client] -= 1
        key = path.name.partition(".")[0]
        page.files[key] = Upload(path, name)
        return {"file": key, "name": name, "size": size}

    def _uploads(self, keys: list[str]) -> list[Upload]:
        if not all(key in self.page.files for key in keys):
            raise InputError("files", "no such file; upload it first")
        return [self.page.files[key] for key in keys]

    def add_video(self, body: requests.NewVideo) -> Answer:
        """Make a video of uploaded files."""
        uploads = self._uploads(body.files)
        if len(self.project.videos()) >= self.limits.videos:
            raise InputError(
                "videos", f"{len(self.project.videos())} already", "begin another project"
            )
        try:
            video = self.page.quick.run(lambda: self.page.add_video(uploads))
        except InputError as error:
            line = self.page.line(error)
            for key in body.files:
                self.page.files.pop(key).path.unlink(missing_ok=True)
            raise HTTPException(400, line) from None
        for key in body.files:
            self.page.files.pop(key, None)
        return {"video": video.id}

    def _video(self, video: str) -> VideoEntry:
        entry = self.project.video(video)
        if entry is None:
            raise HTTPException(404, "no such video")
        return entry

    def change_video(self, video: str, body: requests.VideoChange) -> Answer:
        """Take other values of a video."""
        self.project.change_video(self._video(video).id, **body.model_dump(exclude_none=True))
        return self._shown(video)

    def remove_video(self, video: str) -> Answer:
        """Put a video aside; nothing of it is deleted."""
        self._video(video)
        self.page.queue.cancel(lambda job: job.owner == video)
        self.project.change_video(video, removed=time.time())
        return {}

    def restore_video(self, video: str) -> Answer:
        """Put a removed video back."""
        self.project.change_video(video, removed=None)
        self.page.encode([self._video(video)])
        return {}

    def media(self, video: str) -> Response:
        """Answer the video file, or a range of it."""
        media = self._video(video).media
        if media is None or not media.is_file():
            raise HTTPException(
                404, "no video file" if media is None else "the video file is not where it was"
            )
        kind = _MEDIA_TYPES.get(media.suffix.lower(), "application/octet-stream")
        return FileResponse(media, media_type=kind, content_disposition_type="inline")

    def state(self) -> Answer:
        """Answer everything but the segments."""
        self.page.encode(self.project.videos())
        return views.state(self.page)

    def video(self, video: str) -> Answer:
        """Answer a video with its segments, and the seconds of its frames."""
        return {**self._shown(video), "times": self._video(video).times.round(6).tolist()}

    def _shown(self, video: str) -> Answer:
        return self.page.quick.run(lambda: views.video(self.page, self._video(video)))

    def actions(self, body: requests.NewActions) -> Answer:
        """Take other actions; segments follow one that was renamed."""
        actions = list({action.name: action for action in body.actions}.values())
        model, names = self.engine.model(), [action.name for action in actions]
        if model is not None and names and reads_names(model):
            model.choose(
                [name for name in names if name not in model.vocabulary.background] or None
            )
        self.project.set_actions(actions, body.renamed)
        return self.state()

    def settings(self, body: requests.NewSettings) -> Answer:
        """Take other settings or another model."""
        if body.model is not None:
            if body.model not in ("", *self.project.runs()):
                raise InputError("model", f"no model {body.model!r} in this project")
            self.engine.model(body.model)
            self.project.set("model", body.model)
        if body.adjust is not None:
            self.project.set("adjust", body.adjust.model_dump(exclude_none=True))
        return self.state()

    def uncertain(self) -> Answer:
        """Answer the least certain drafts of all videos."""
        for video in self.project.full_videos():
            self.page.quick.run(partial(self.engine.predict, video))
        return {"segments": views.uncertain(self.page)}

    def label(self, video: str, body: requests.Segments) -> Answer:
        """Store the segments of a track, as one edit."""
        self._video(video)
        self.project.replace(video, body.track, body.segments, body.revision, body.annotator)
        return self._edited(video)

    def undo(self, video: str, body: requests.Step) -> Answer:
        """Undo the last edit of a video."""
        self.project.step(self._video(video).id, body.revision, back=True)
        return self._edited(video)

    def redo(self, video: str, body: requests.Step) -> Answer:
        """Redo the last edit that was undone."""
        self.project.step(self._video(video).id, body.revision, back=False)
        return self._edited(video)

    def _edited(self, video: str) -> Answer:
        names = [label.label for labels in self.project.labels(video).values() for label in labels]
        self.project.add_actions(
            name for name in names if name not in views.background_of(self.page)
        )
        return self._shown(video)

    def add_track(self, video: str, body: requests.NewTrack) -> Answer:
        """Add a track to a video."""
        self.project.add_track(self._video(video).id, body.name)
        return self._shown(video)

    def remove_track(self, video: str, track: int) -> Answer:
        """Remove a track without segments."""
        if track not in self.project.tracks(self._video(video).id):
            raise HTTPException(404, "no such track")
        self.project.remove_track(video, track)
        return self._shown(video)

    def import_labels(self, video: str, body: requests.NewLabels) -> Answer:
        """Store the segments of a label file: its tiers are tracks, whose segments are replaced."""
        entry, (upload,) = self._video(video), self._uploads([body.file])
        background = views.background_of(self.page)
        counts = self.page.load_labels(
            entry, upload.path, upload.ending, body.annotator or upload.name, background
        )
        return {**self._edited(video), "imported": counts}

    def export(
        self, video: str, format: str = "", background: bool = False, track: int | None = None
    ) -> Response:
        """Answer a video as a file of a format: a track, the first where none is named, or all where the format can."""
        entry, form = self._video(video), format_called(format)
        tracks = self.page.quick.run(lambda: views.tracks_of(self.page, entry))
        if track is not None or form.write_tracks is None:
            names = self.project.tracks(video)
            if track is not None and track not in names:
                raise HTTPException(404, "no such track")
            name = next(iter(tracks)) if track is None else names[track]
            tracks = {name: tracks[name]}
        return _download(
            f"{file_name(entry.name)}{form.ending}",
            lambda path: views.save(tracks, path, background),
        )

    def export_all(
        self, format: Annotated[list[str] | None, Query()] = None, background: bool = False
    ) -> Response:
        """Answer every track of every video as a zip of files in some formats."""
        kinds = format or ["json"]
        return _download_folder(
            "labels", lambda path: list(views.export_files(self.page, path, kinds, background))
        )

    def export_training(self, track: str) -> Response:
        """Answer the labelled videos of a track as a zip of a data set to train on, with their features."""
        return _download_folder("training", lambda path: learn.export_set(self.page, track, path))

    def summary(self, format: Literal["json", "csv", "xlsx"] = "json") -> Answer | Response:
        """Answer how long, how often and when each action was labelled: as JSON, or as a table to download."""
        tables = views.budget(self.page)
        return (
            tables
            if format == "json"
            else _download(f"time.{format}", lambda path: write_tables(path, tables))
        )

    def add_to_training_set(self, video: str, body: requests.NewTrainingVideo) -> Answer:
        """Add a labelled video to the training set."""
        entry, training_set = self._video(video), self.page.training_set
        shown, model = self.page.quick.run(lambda: self.page.shown(entry)), self.engine.model()
        path = self.engine.features(entry)
        if model is None or path is None:
            raise HTTPException(409, "not encoded yet")
        other = UNLABELLED if body.only_corrected else views.background_of(self.page, BACKGROUND)[0]
        parts = [
            part
            for part in next(iter(shown.values()))
            if not (body.only_corrected and isinstance(part, Draft))
        ]
        name, _ = learn.add_video(training_set, entry, parts, other, path, model)
        return {"name": name, "folder": str(training_set.root)}

    def adapt(self, body: requests.Adaptation) -> Answer:
        """Train on from the run in use, on the training set."""
        return {"command": shlex.join(learn.adapt(self.page, body.epochs))}

    def train(self, body: requests.Training) -> Answer:
        """Train a model on the labels of a track, or teach the run in use what it has not had."""
        learn.learn(self.page, body.track, body.minutes, body.teach)
        return {}

    def compare(self, video: str, body: requests.Comparison) -> Answer:
        """Compare two label files of a video, or one with what the page shows."""
        entry = self._video(video)
        labels = [self._labels(entry, key) for key in (body.first, body.second)]
        return views.comparison(self.page, entry, labels)

    def _labels(self, video: VideoEntry, key: str) -> tuple[str, list[str]]:
        """The name and the labels (N,) of a file that came in, of a track, or of what is shown."""
        other = views.background_of(self.page, BACKGROUND)[0]
        shown = self.page.quick.run(lambda: self.page.shown(video))
        labellings: dict[str, Sequence[Draft | Label]] = {
            "shown": next(iter(shown.values())),
            "predicted": self.engine.drafts(video),
            **{
                f"track {name}": shown[track]
                for track, name in self.project.tracks(video.id).items()
            },
        }
        name, parts = key, labellings.get(key)
        if parts is None:
            (upload,) = self._uploads([key])
            tracks = read_tracks(
                upload.path, upload.ending, video.times, views.background_of(self.page)
            )
            if len(tracks) > 1:
                raise InputError(
                    upload.path,
                    f"{len(tracks)} tracks",
                    "load it as labels, and compare the tracks",
                )
            name, parts = upload.name, next(iter(tracks.values()))
        return name, row_labels(parts, video.times, video.times, other)


def make_app(engine: Engine, options: Options) -> FastAPI:
    """Return the page as an ASGI application."""
    page = Page(engine, options)
    server = Server(page)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            page.close()

    async def answer(request: Request, error: Exception) -> Response:
        return answer_to(error, page.line)

    handlers: Any = dict.fromkeys(ERRORS, answer)
    docs: Any = dict.fromkeys(("docs_url", "redoc_url", "openapi_url"))  # ours are behind the token
    app = FastAPI(title="FACT-CLIP", lifespan=lifespan, exception_handlers=handlers, **docs)
    api = APIRouter(prefix="/api", dependencies=[Depends(server.let_in)])
    video = "/videos/{video}"
    for method, path, endpoint in (
        ("GET", "/state", server.state),
        ("POST", "/files", server.upload),
        ("POST", "/videos", server.add_video),
        ("PUT", "/actions", server.actions),
        ("POST", "/settings", server.settings),
        ("GET", "/uncertain", server.uncertain),
        ("GET", "/export", server.export_all),
        ("GET", "/export/training", server.export_training),
        ("GET", "/summary", server.summary),
        ("POST", "/adapt", server.adapt),
        ("POST", "/train", server.train),
        ("GET", video, server.video),
        ("PATCH", video, server.change_video),
        ("DELETE", video, server.remove_video),
        ("POST", f"{video}/restore", server.restore_video),
        ("GET", f"{video}/media", server.media),
        ("PUT", f"{video}/segments", server.label),
        ("POST", f"{video}/undo", server.undo),
        ("POST", f"{video}/redo", server.redo),
        ("POST", f"{video}/tracks", server.add_track),
        ("DELETE", f"{video}/tracks/{{track}}", server.remove_track),
        ("POST", f"{video}/labels", server.import_labels),
        ("GET", f"{video}/export", server.export),
        ("POST", f"{video}/training-set", server.add_to_training_set),
        ("POST", f"{video}/compare", server.compare),
    ):
        api.add_api_route(path, endpoint, methods=[method], response_model=None)

    def add_file(owner: FastAPI | APIRouter, path: str, file: Path) -> None:
        owner.add_api_route(
            path, lambda: FileResponse(file), methods=["GET"], include_in_schema=False
        )

    api.add_api_route(
        "/openapi.json", lambda: app.openapi(), methods=["GET"], include_in_schema=False
    )
    add_file(api, "", STATIC / "api.html")
    app.add_api_route("/", server.index, methods=["GET"], include_in_schema=False)
    app.add_api_route("/health", lambda: {"status": "ok"}, methods=["GET"])
    app.include_router(api)
    for name in ("timeline.js", "timeline.css"):
        add_file(app, f"/static/{name}", TIMELINE / name)
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
    except InputError:
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
