"""The server of the page: who asks, and what is answered."""

from __future__ import annotations

import hmac
import shlex
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fact_clip import report
from fact_clip.app import views
from fact_clip.app.compare import compared, read_labels
from fact_clip.app.edits import frame_names
from fact_clip.app.engine import Engine
from fact_clip.app.guard import Guard, answer_busy, answer_fault, answer_gone, answer_http, error_line
from fact_clip.app.page import Options, Page
from fact_clip.app.requests import (
    Adaptation,
    Comparison,
    Corrections,
    NewSettings,
    NewTrainingVideo,
    NewVideo,
    read_json,
    receive_file,
    too_large,
)
from fact_clip.app.sessions import FEATURES, Session, Upload, Video, ending_of, shown_name
from fact_clip.app.training_set import TrainingSet, adapt_command, train
from fact_clip.app.work import BusyError, Job
from fact_clip.core import InputError, Segment
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.inference.candidates import NONE_OF_THESE
from fact_clip.run import Run
from fact_clip.video.decode import SUFFIXES

STATIC = Path(__file__).parent / "static"
TIMELINE = Path(report.__file__).parent
_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
}


class Server:
    """Answers the requests of a page."""

    def __init__(self, page: Page) -> None:
        self.page, self.limits = page, page.limits

    def _cookie(self, request: Request) -> str:
        return f"fact_clip_{request.url.port or 80}"  # cookies are shared by all ports of a host

    def _find_session(self, request: Request) -> Session | None:
        return self.page.sessions.find(request.cookies.get(self._cookie(request), ""))

    def _session(self, request: Request) -> Session:
        session = self._find_session(request)
        if session is None:
            raise HTTPException(403, "no session; open the address that the command line printed")
        return session

    def _video(self, request: Request) -> tuple[Session, Video]:
        session = self._session(request)
        video = session.videos.get(request.path_params["video"])
        if video is None:
            raise HTTPException(404, "no such video")
        return session, video

    async def answer_input(self, request: Request, error: Exception) -> Response:
        """Answer what is wrong with a request, files by the names that the user gave them."""
        assert isinstance(error, InputError)
        session = self._find_session(request)
        return error_line(400, str(error) if session is None else session.line(error))

    async def index(self, request: Request) -> Response:
        """Answer the page itself; with the token in the address it begins a session."""
        token = request.query_params.get("token", "")
        if self._find_session(request) is not None:
            return FileResponse(STATIC / "index.html", media_type="text/html")
        if not hmac.compare_digest(token.encode(), self.page.options.token.encode()):
            return FileResponse(STATIC / "refused.html", status_code=403, media_type="text/html")
        session = self.page.sessions.new()
        session.actions = self.page.options.actions
        response = FileResponse(STATIC / "index.html", media_type="text/html")
        response.set_cookie(self._cookie(request), session.id, httponly=True, samesite="strict", path="/")
        return response

    # --- files and videos ------------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        """Take a file; its body is the request's."""
        session, page = self._session(request), self.page
        name = shown_name(request.query_params.get("name", ""))
        path = session.new_path(ending_of(name))
        is_large = ending_of(name) in (FEATURES, *SUFFIXES)
        most = self.limits.file_bytes if is_large else min(self.limits.label_bytes, self.limits.file_bytes)
        room = min(most, self.limits.session_bytes - session.bytes)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > room:
            raise too_large(name, room)
        if page.uploads >= self.limits.uploads:
            raise BusyError(page.uploads - self.limits.uploads + 1)
        if session.uploads >= self.limits.uploads_each:
            raise BusyError(session.uploads - self.limits.uploads_each + 1)
        page.uploads += 1
        session.uploads += 1
        try:
            size = await receive_file(request, path, name, room, self.limits)
        except OSError as error:  # a full disk
            path.unlink(missing_ok=True)
            raise HTTPException(507, f"{name}: cannot be stored ({error.strerror})") from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            page.uploads -= 1
            session.uploads -= 1
        key = path.name.partition(".")[0]
        session.files[key] = Upload(path, name)
        return JSONResponse({"file": key, "name": name, "size": size})

    async def add_video(self, request: Request) -> Response:
        """Make a video of uploaded files; one without features waits to be encoded."""
        session, engine = self._session(request), self.page.engine
        keys = (await read_json(request, NewVideo, self.limits.patience)).files
        if not all(key in session.files for key in keys):
            raise InputError("files", "no such file; upload it first")
        if len(session.videos) >= self.limits.videos:
            raise InputError("videos", f"{len(session.videos)} already", f"remove one of {self.limits.videos}")
        video = session.add_video([session.files[key] for key in keys])
        try:
            await self.page.quick.run(lambda: engine.check_video(session, video))
            if video.features is None:
                video.job = self.page.queue.add(Job(session.id, lambda job: engine.encode(session, video, job)))
        except BusyError:  # the files stay, so that the page can ask again
            session.videos.pop(video.id, None)
            raise
        except InputError as error:
            line = session.line(error)
            session.remove(video)
            _forget_files(session, keys)
            raise HTTPException(400, line) from None
        _forget_files(session, keys, keep=True)
        return JSONResponse({"video": video.id})

    async def remove_video(self, request: Request) -> Response:
        """Forget a video and its files."""
        session, video = self._video(request)
        self.page.queue.cancel(lambda job: job is video.job)
        session.remove(video)
        self.page.engine.forget([video])
        return JSONResponse({})

    async def media(self, request: Request) -> Response:
        """Answer the video file, or a range of it."""
        _, video = self._video(request)
        if video.media is None:
            raise HTTPException(404, "features without a video")
        kind = _MEDIA_TYPES.get(video.media.ending, "application/octet-stream")
        return FileResponse(video.media.path, media_type=kind, content_disposition_type="inline")

    # --- what is shown -----------------------------------------------------------------------------------------------

    async def state(self, request: Request) -> Response:
        """Answer everything but the segments."""
        return JSONResponse(await self._state(self._session(request)))

    async def _state(self, session: Session) -> dict[str, Any]:
        """In a thread, since an adapted model may have to be loaded."""
        return await anyio.to_thread.run_sync(lambda: views.state(self.page, session))

    async def video(self, request: Request) -> Response:
        """Answer a video with its segments."""
        return JSONResponse(await self._shown(*self._video(request), with_times=True))

    async def _shown(self, session: Session, video: Video, *, with_times: bool = False) -> dict[str, Any]:
        if not video.ready:
            raise HTTPException(409, "not encoded yet")
        await self._predict(session, video)
        return views.video(self.page, session, video, with_times=with_times)

    async def _predict(self, session: Session, video: Video) -> None:
        await self.page.quick.run(lambda: self.page.engine.predict(session, video))

    async def settings(self, request: Request) -> Response:
        """Take other names, settings or another model; answer with the video that is shown, where one is named."""
        session, engine = self._session(request), self.page.engine
        wish = await read_json(request, NewSettings, self.limits.patience)
        if wish.model is not None:
            if wish.model not in ("", *session.adapted):
                raise InputError("model", f"no model {wish.model!r} in this session")
            await self.page.quick.run(lambda: engine.model(session, wish.model))
            session.model = wish.model
        if "actions" in wish.model_fields_set:
            before, names = session.actions, None if wish.actions is None else tuple(dict.fromkeys(wish.actions))
            await self.page.quick.run(lambda: engine.choose(session, names))
            if wish.renamed is not None and (before is None or wish.renamed[0] in before):
                _rename(session, *wish.renamed)
        session.settings = wish.adjust or session.settings
        answer = {"state": await self._state(session)}
        video = session.videos.get(wish.video or "")
        if video is not None and video.features is not None:
            answer["video"] = await self._shown(session, video)
        return JSONResponse(answer)

    async def correct(self, request: Request) -> Response:
        """Keep the corrected segments of a video: the draft."""
        session, video = self._video(request)
        corrections = await read_json(request, Corrections, self.limits.patience)
        if video.prediction is None:
            await self._shown(session, video)
        video.corrected = corrections.in_video(video.result.n_frames)
        return JSONResponse(views.video(self.page, session, video))

    async def uncertain(self, request: Request) -> Response:
        """Answer the least certain segments of all videos."""
        session = self._session(request)
        for video in [video for video in session.videos.values() if video.ready]:
            with suppress(InputError):
                await self._predict(session, video)
        return JSONResponse({"segments": views.uncertain(session)})

    # --- what is made of it ------------------------------------------------------------------------------------------

    async def export(self, request: Request) -> Response:
        """Answer the video's segments as a file of a format."""
        session, video = self._video(request)
        await self._shown(session, video)
        return await anyio.to_thread.run_sync(lambda: _exported(session, video, request.query_params))

    async def add_to_training_set(self, request: Request) -> Response:
        """Add a corrected video to the training set."""
        session, video = self._video(request)
        training_set = self._training_set()
        only_corrected = (await read_json(request, NewTrainingVideo, self.limits.patience)).only_corrected
        await self._shown(session, video)

        def add() -> str:
            assert video.features is not None
            features, _ = self.page.engine.model(session).open(video.features)
            names = frame_names(video.shown, UNLABELLED if only_corrected else None)
            labels = [UNLABELLED if name == NONE_OF_THESE else name for name in names]
            background = [name for name in video.result.background if name != NONE_OF_THESE]
            return training_set.add(video.name, features, labels, views.facts_of(video), background)

        video.added = await anyio.to_thread.run_sync(add)
        return JSONResponse({"name": video.added, "folder": str(training_set.root)})

    def _training_set(self) -> TrainingSet:
        if self.page.training_set is None:
            raise InputError("training set", "there is none", "start the page with --training-set DIR")
        return self.page.training_set

    async def adapt(self, request: Request) -> Response:
        """Train on from the run that is shown, on the training set."""
        session, training_set = self._session(request), self._training_set()
        epochs = (await read_json(request, Adaptation, self.limits.patience)).epochs
        if self.page.options.run is None:
            raise InputError("adapt", "this model was not trained", "start the page with --run RUN")
        if session.training is not None and not session.training.ended:
            raise InputError("adapt", "a training is under way", "wait for it")
        start = session.adapted[session.model] if session.model else self.page.options.run
        out = training_set.new_run()
        command = adapt_command(start, Run.read(start), training_set.root, out, epochs)

        def run(job: Job) -> None:
            train(command, out, epochs, job)
            session.adapted[out.name] = out

        try:
            session.training = self.page.queue.add(Job(session.id, run))
        except BusyError:
            out.rmdir()
            raise
        return JSONResponse({"command": shlex.join(command)})

    async def compare(self, request: Request) -> Response:
        """Compare two label files of a video, or one with what the page shows."""
        session, video = self._video(request)
        sides = await read_json(request, Comparison, self.limits.patience)
        await self._shown(session, video)

        def compute() -> dict[str, Any]:
            labels = [_labels(session, video, key) for key in (sides.first, sides.second)]
            agreement = compared(labels[0][1], labels[1][1], video.result.background)
            return views.comparison(video, labels, agreement)

        return JSONResponse(await anyio.to_thread.run_sync(compute))


def _labels(session: Session, video: Video, key: str) -> tuple[str, list[str]]:
    """The name and the labels (T,) of a file of the session, or of what is shown."""
    if key == "shown":
        return "shown", frame_names(video.shown)
    if key == "predicted":
        return "predicted", video.result.to_frames()
    if key not in session.files:
        raise InputError("labels", "no such file; upload it first")
    upload = session.files[key]
    return upload.name, read_labels(upload, video.rows, next(iter(video.result.background), None))


def _exported(session: Session, video: Video, query: QueryParams) -> Response:
    """A response with the file, which is removed once it is sent."""
    from fact_clip.formats import ending_of as format_ending

    folder = session.new_path("")
    path = folder / f"{video.name}{format_ending(query.get('format', ''))}"
    try:
        folder.mkdir()
        views.segmentation(video).save(path, with_background=query.get("background") == "1")
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(path, media_type="application/octet-stream", filename=path.name, background=done)


def _rename(session: Session, old: str, new: str) -> None:
    """Give corrected segments the new name of an action, and the name its colour."""
    if old in session.colours and new not in session.colours:
        session.colours[new] = session.colours.pop(old)
    for video in session.videos.values():
        video.corrected = tuple(
            Segment(segment.start, segment.stop, new if segment.label == old else segment.label)
            for segment in video.corrected
        )


def _forget_files(session: Session, keys: list[str], *, keep: bool = False) -> None:
    """Forget uploads that have become a video; the file stays with `keep`."""
    for key in keys:
        upload = session.files.pop(key, None)
        if upload is not None and (not keep or upload.ending == ".json"):
            upload.path.unlink(missing_ok=True)


async def _file(path: Path, request: Request) -> Response:
    return FileResponse(path)


def make_app(engine: Engine, options: Options) -> Starlette:
    """Return the page as an ASGI application; its files go when it ends."""
    page = Page(engine, options)
    server = Server(page)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            page.close()

    def route(path: str, method: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
        return Route(path, answer, methods=[method])

    video = "/api/videos/{video}"
    routes = [
        route("/", "GET", server.index),
        route("/api/state", "GET", server.state),
        route("/api/files", "POST", server.upload),
        route("/api/videos", "POST", server.add_video),
        route("/api/settings", "POST", server.settings),
        route("/api/uncertain", "GET", server.uncertain),
        route("/api/adapt", "POST", server.adapt),
        route(video, "GET", server.video),
        route(video, "DELETE", server.remove_video),
        route(f"{video}/media", "GET", server.media),
        route(f"{video}/corrections", "PUT", server.correct),
        route(f"{video}/export", "GET", server.export),
        route(f"{video}/training-set", "POST", server.add_to_training_set),
        route(f"{video}/compare", "POST", server.compare),
        *(route(f"/static/{name}", "GET", partial(_file, TIMELINE / name)) for name in ("timeline.js", "timeline.css")),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            BusyError: answer_busy,
            HTTPException: answer_http,
            InputError: server.answer_input,
            ClientDisconnect: answer_gone,
            Exception: answer_fault,
        },
    )
    app.add_middleware(Guard, host=options.host)
    app.state.page = page
    return app
