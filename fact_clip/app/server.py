"""The server of the page: what is answered to whom."""

from __future__ import annotations

import hmac
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fact_clip import report
from fact_clip.app import views
from fact_clip.app.compare import compared, read_labels
from fact_clip.app.edits import action_name, frame_names, read_corrections
from fact_clip.app.engine import Engine
from fact_clip.app.guard import Guard, answer_busy, answer_fault, answer_gone, answer_http, error_line, json_line
from fact_clip.app.reading import action_names, adjust_of, body_of, received, too_large
from fact_clip.app.sessions import FEATURES, Limits, Session, Sessions, Upload, Video, ending_of, shown_name
from fact_clip.app.training_set import TrainingSet, adapt_command, train
from fact_clip.app.work import BusyError, Job, Queue, Quick
from fact_clip.core import InputError, Segment
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.inference.candidates import NONE_OF_THESE
from fact_clip.run import Run
from fact_clip.video.decode import SUFFIXES

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
TIMELINE = Path(report.__file__).parent
_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
}


@dataclass(frozen=True)
class Options:
    """What the page was started with.

    Args:
        token: opens the page; part of the address.
        host: name or address that it listens on.
        command: ``fact-clip segment`` with the options that say which model it is; the page shows it with the rest.
        training_set: folder that corrected videos may be added to; None: nowhere.
        run: run folder of the model; None: it was not trained.
        limits: what may be used.
        actions: names that a session begins with; None: those of the model.
    """

    token: str
    host: str
    command: tuple[str, ...]
    training_set: Path | None = None
    run: Path | None = None
    limits: Limits = field(default_factory=Limits)
    actions: tuple[str, ...] | None = None


class Page:
    """The page: its sessions, its queue and its answers."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.engine, self.options = engine, options
        self.limits = options.limits
        run = None if options.run is None else Run.read(options.run)
        self.training_set = None if options.training_set is None else TrainingSet(options.training_set, run)
        self.queue, self.quick = Queue(self.limits.waiting), Quick(self.limits.quick)
        self.sessions = Sessions(self.limits, self._ended)
        self.uploads = 0

    def _ended(self, session: Session) -> None:
        self.queue.cancel(lambda job: job.owner == session.id)
        self.engine.forget(session.videos.values())

    def close(self) -> None:
        """Stop all work and remove all files."""
        self.queue.close()
        self.sessions.close()

    # --- who asks ------------------------------------------------------------------------------------------------

    def _cookie(self, request: Request) -> str:
        return f"fact_clip_{request.url.port or 80}"  # cookies are shared by all ports of a host

    def _session(self, request: Request) -> Session:
        session = self.sessions.find(request.cookies.get(self._cookie(request), ""))
        if session is None:
            raise HTTPException(403, "no session; open the address that the command line printed")
        return session

    def _video(self, request: Request, session: Session) -> Video:
        try:
            return session.video(request.path_params["video"])
        except KeyError:
            raise HTTPException(404, "no such video") from None

    async def answer_input(self, request: Request, error: Exception) -> Response:
        """What is wrong with a request, files by the names that the user gave them."""
        session = self.sessions.find(request.cookies.get(self._cookie(request), ""))
        return error_line(400, str(error) if session is None else session.told(str(error)))

    async def index(self, request: Request) -> Response:
        """The page itself; with the token in the address it begins a session."""
        session = self.sessions.find(request.cookies.get(self._cookie(request), ""))
        token = request.query_params.get("token", "")
        if session is not None:
            return FileResponse(STATIC / "index.html", media_type="text/html")
        if not hmac.compare_digest(token.encode(), self.options.token.encode()):
            return FileResponse(STATIC / "refused.html", status_code=403, media_type="text/html")
        session = self.sessions.new()
        session.actions = self.options.actions
        response = FileResponse(STATIC / "index.html", media_type="text/html")
        response.set_cookie(self._cookie(request), session.id, httponly=True, samesite="strict", path="/")
        return response

    # --- files and videos ------------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        """Take a file; its body is the request's."""
        session = self._session(request)
        name = shown_name(request.query_params.get("name", ""))
        path = session.new_path(ending_of(name))
        is_large = ending_of(name) in (FEATURES, *SUFFIXES)
        most = self.limits.file_bytes if is_large else min(self.limits.label_bytes, self.limits.file_bytes)
        room = min(most, self.limits.session_bytes - session.bytes)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > room:
            raise too_large(name, room)
        if self.uploads >= self.limits.uploads:
            raise BusyError(self.uploads - self.limits.uploads + 1)
        self.uploads += 1
        try:
            size = await received(request, path, name, room, self.limits.patience)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self.uploads -= 1
        key = path.name.partition(".")[0]
        session.files[key] = Upload(path, name)
        return json_line({"file": key, "name": name, "size": size})

    async def add_video(self, request: Request) -> Response:
        """A video from uploaded files; one without features waits to be encoded."""
        session, asked = self._session(request), await body_of(request, self.limits.patience)
        keys = asked.get("files")
        if not isinstance(keys, list) or not all(isinstance(key, str) and key in session.files for key in keys):
            raise InputError("files", "no such file; expected files that were uploaded")
        if len(session.videos) >= self.limits.videos:
            raise InputError("videos", f"{len(session.videos)} already; expected at most {self.limits.videos}")
        uploads = [session.files[key] for key in keys]
        video = session.add_video(uploads)
        try:
            await self.quick.run(lambda: self.engine.check_video(session, video))
            if video.features is None:
                video.job = self.queue.add(Job(session.id, lambda job: self.engine.encode(session, video, job)))
        except BusyError:  # the files stay, so that the page can ask again
            session.videos.pop(video.id, None)
            raise
        except InputError as error:
            told = session.told(str(error))
            session.remove(video)
            _forget_files(session, keys)
            raise HTTPException(400, told) from None
        _forget_files(session, keys, keep=True)
        return json_line({"video": video.id})

    async def remove_video(self, request: Request) -> Response:
        """Forget a video and its files."""
        session = self._session(request)
        video = self._video(request, session)
        self.queue.cancel(lambda job: job is video.job)
        session.remove(video)
        self.engine.forget([video])
        return json_line({})

    async def media(self, request: Request) -> Response:
        """The video file, or the range of it that is asked for."""
        video = self._video(request, self._session(request))
        if video.media is None:
            raise HTTPException(404, "features without a video")
        kind = _MEDIA_TYPES.get(video.media.ending, "application/octet-stream")
        return FileResponse(video.media.path, media_type=kind, content_disposition_type="inline")

    # --- what is shown -----------------------------------------------------------------------------------------------

    async def state(self, request: Request) -> Response:
        """Everything but the segments."""
        return json_line(await self._state(self._session(request)))

    async def _state(self, session: Session) -> dict[str, Any]:
        """In a thread, since an adapted model may have to be loaded."""
        return await anyio.to_thread.run_sync(lambda: views.state(self, session))

    async def video(self, request: Request) -> Response:
        """A video with its segments."""
        session = self._session(request)
        return json_line(await self._shown(session, self._video(request, session), with_times=True))

    async def _shown(self, session: Session, video: Video, *, with_times: bool = False) -> dict[str, Any]:
        if video.features is None or (video.job is not None and not video.job.ended):
            raise HTTPException(409, "not encoded yet")
        try:
            await self.quick.run(lambda: self.engine.predict(session, video))
        except InputError as error:
            raise HTTPException(400, session.told(str(error))) from None
        return views.video(self, session, video, with_times=with_times)

    async def settings(self, request: Request) -> Response:
        """Other names, settings or another model; answers with the video that is shown, where one is named."""
        session, asked = self._session(request), await body_of(request, self.limits.patience)
        if "model" in asked:
            if asked["model"] not in ("", *session.adapted):
                raise InputError("model", repr(asked["model"]) + "; expected one of this session")
            await self.quick.run(lambda: self.engine.model(session, asked["model"]))
            session.model = asked["model"]
        adjust = adjust_of(asked["adjust"]) if "adjust" in asked else session.adjust
        if "actions" in asked:
            names = action_names(asked["actions"])
            before = session.actions
            await self.quick.run(lambda: self.engine.choose(session, names))
            _rename(session, asked.get("renamed"), before)
        session.adjust = adjust
        shown = session.videos.get(str(asked.get("video", "")))
        found = {"state": await self._state(session)}
        if shown is not None and shown.features is not None:
            found["video"] = await self._shown(session, shown)
        return json_line(found)

    async def correct(self, request: Request) -> Response:
        """Keep the corrected segments of a video: the draft."""
        session, asked = self._session(request), await body_of(request, self.limits.patience)
        video = self._video(request, session)
        if video.prediction is None:
            await self._shown(session, video)
        video.corrected = read_corrections(asked.get("segments"), video.result.n_frames)
        return json_line(views.video(self, session, video))

    async def uncertain(self, request: Request) -> Response:
        """The least certain segments of all videos."""
        session = self._session(request)
        ready = [each for each in session.videos.values() if each.features and (each.job is None or each.job.ended)]
        for each in ready:
            with suppress(InputError):
                await self.quick.run(lambda each=each: self.engine.predict(session, each))  # type: ignore[misc]
        return json_line({"segments": views.uncertain(session)})

    # --- what is made of it ------------------------------------------------------------------------------------------

    async def export(self, request: Request) -> Response:
        """The video's segments as a file of the format that is asked for."""
        session = self._session(request)
        video = self._video(request, session)
        await self._shown(session, video)
        return await anyio.to_thread.run_sync(lambda: _exported(session, video, request.query_params))

    async def add_to_training_set(self, request: Request) -> Response:
        """Add a corrected video to the training set."""
        session, asked = self._session(request), await body_of(request, self.limits.patience)
        video = self._video(request, session)
        training_set = self._training_set()
        await self._shown(session, video)
        only_corrected = asked.get("only_corrected", False)
        if not isinstance(only_corrected, bool):
            raise InputError("only_corrected", f"{only_corrected!r}; expected true or false")

        def add() -> str:
            assert video.features is not None
            features, _ = self.engine.model(session).open(video.features)
            names = frame_names(video.shown, UNLABELLED if only_corrected else None)
            labels = [UNLABELLED if name == NONE_OF_THESE else name for name in names]
            background = [name for name in video.result.background if name != NONE_OF_THESE]
            return training_set.add(video.name, features, labels, views.facts_of(video), background, video.added)

        video.added = await anyio.to_thread.run_sync(add)
        return json_line({"name": video.added, "folder": str(training_set.root)})

    def _training_set(self) -> TrainingSet:
        if self.training_set is None:
            raise InputError("training set", "none; expected one", "start the page with --training-set DIR")
        return self.training_set

    async def adapt(self, request: Request) -> Response:
        """Train on from the run that is shown, on the training set."""
        session, asked = self._session(request), await body_of(request, self.limits.patience)
        training_set, epochs = self._training_set(), asked.get("epochs", 20)
        if self.options.run is None:
            raise InputError("adapt", "a model without training; expected a run", "start the page with --run RUN")
        if type(epochs) is not int or not 1 <= epochs <= 1000:
            raise InputError("epochs", f"{epochs!r}; expected a whole number, 1 to 1000")
        if session.training is not None and not session.training.ended:
            raise InputError("adapt", "a training that is under way; expected one at a time")
        start = session.adapted[session.model] if session.model else self.options.run
        out = training_set.new_run()
        command = adapt_command(start, Run.read(start), training_set.root, out, epochs)

        def run(job: Job) -> None:
            train(command, out, epochs, job)
            session.adapted[out.name] = out

        session.training = self.queue.add(Job(session.id, run))
        return json_line({"command": views.shell(command)})

    async def compare(self, request: Request) -> Response:
        """Two label files of a video, or one and what the page shows."""
        session, asked = self._session(request), await body_of(request, self.limits.patience)
        video = self._video(request, session)
        await self._shown(session, video)

        def compute() -> dict[str, Any]:
            labels = [_labels(session, video, asked.get(side)) for side in ("first", "second")]
            found = compared(labels[0][1], labels[1][1], video.result.background)
            return views.comparison(video, labels, found)

        return json_line(await anyio.to_thread.run_sync(compute))


def _labels(session: Session, video: Video, key: Any) -> tuple[str, list[str]]:
    """The name and the labels (T,) of a file of the session, or of what is shown."""
    if key == "shown":
        return "shown", frame_names(video.shown)
    if key == "predicted":
        return "predicted", video.result.to_frames()
    if not isinstance(key, str) or key not in session.files:
        raise InputError("labels", "no such file; expected a file that was uploaded")
    upload = session.files[key]
    background = next(iter(video.result.background), None)
    return upload.name, read_labels(upload, video.rows, background)


def _exported(session: Session, video: Video, query: QueryParams) -> Response:
    """A response with the file, which is removed once it is sent."""
    from fact_clip.formats import ending_of as format_ending

    ending = format_ending(query.get("format", ""))
    folder = session.new_path("")
    path = folder / f"{video.name}{ending}"
    try:
        folder.mkdir()
        views.segmentation(video).save(path, with_background=query.get("background") == "1")
    except InputError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise HTTPException(400, session.told(str(error).replace(f"{folder}/", ""))) from None
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(path, media_type="application/octet-stream", filename=path.name, background=done)


def _rename(session: Session, pair: Any, before: tuple[str, ...] | None) -> None:
    """Give corrected segments the new name of an action, and the name its colour."""
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)):
        return
    old, new = pair[0], action_name(pair[1], "renamed")
    if before is not None and old not in before:
        return
    if old in session.places and new not in session.places:
        session.places[new] = session.places.pop(old)
    for video in session.videos.values():
        video.corrected = tuple(
            Segment(each.start, each.stop, new if each.label == old else each.label) for each in video.corrected
        )


def _forget_files(session: Session, keys: list[str], *, keep: bool = False) -> None:
    """Forget uploads that have become a video; the file stays with `keep`."""
    for key in keys:
        upload = session.files.pop(key, None)
        if upload is not None and (not keep or upload.ending == ".json"):
            upload.path.unlink(missing_ok=True)


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return FileResponse(path)

    return answer


def make_app(engine: Engine, options: Options) -> Starlette:
    """The page as an ASGI application; its files go when it ends."""
    page = Page(engine, options)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            page.close()

    def route(path: str, method: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
        return Route(path, answer, methods=[method])

    one = "/api/videos/{video}"
    routes = [
        route("/", "GET", page.index),
        route("/api/state", "GET", page.state),
        route("/api/files", "POST", page.upload),
        route("/api/videos", "POST", page.add_video),
        route("/api/settings", "POST", page.settings),
        route("/api/uncertain", "GET", page.uncertain),
        route("/api/adapt", "POST", page.adapt),
        route(one, "GET", page.video),
        route(one, "DELETE", page.remove_video),
        route(f"{one}/media", "GET", page.media),
        route(f"{one}/corrections", "PUT", page.correct),
        route(f"{one}/export", "GET", page.export),
        route(f"{one}/training-set", "POST", page.add_to_training_set),
        route(f"{one}/compare", "POST", page.compare),
        *(
            Route(f"/static/{name}", _file(TIMELINE / name), methods=["GET"])
            for name in ("timeline.js", "timeline.css")
        ),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            BusyError: answer_busy,
            HTTPException: answer_http,
            InputError: page.answer_input,
            ClientDisconnect: answer_gone,
            Exception: answer_fault,
        },
    )
    app.add_middleware(Guard, host=options.host)
    app.state.page = page
    return app
