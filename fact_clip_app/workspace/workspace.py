"""An open project: its models, uploaded files and jobs, which all requests share."""

import ctypes
import hashlib
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fact_clip.core import FileLocation, InputError, Names, located
from fact_clip.core.paths import locked
from fact_clip_app.store.history import History
from fact_clip_app.store.project import Label, Track, VideoEntry
from fact_clip_app.workspace.drafts import Draft, between, overlaid
from fact_clip_app.workspace.engine import Engine, needs_of, run_of
from fact_clip_app.workspace.jobs import STOPPED, BusyError, Job, Queue, Quick
from fact_clip_app.workspace.media import Conversions
from fact_clip_app.workspace.uploads import FEATURES, POSE_RATE, POSES, Upload, files_of_video
from fact_clip_batch.stores import RemoteFile

_MAX_HEAPS = -8  # M_ARENA_MAX of <malloc.h>

UNUSED_SECONDS = 24 * 3600.0
"""Seconds after which uploads that nobody has used are deleted."""

TRAINING = "training"
"""The setting of a project that says that a training is under way."""


@dataclass(frozen=True)
class Options:
    """The options that the page was started with."""

    host: str  # name or address that it listens on
    command: Names = ()  # ``fact-clip segment`` with the model, which the page displays
    run: Path | None = None  # folder of the model, if it is a run
    served_as: Names = ()  # host names under which a proxy serves the page
    stores: Names = ()  # folders whose files may be segmented, as "s3://bucket/"
    trust_encoder: bool = False  # whether encoders that a run names by a path may be loaded


class Workspace:
    """The project, the models and the jobs of a server or a command."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.engine = engine
        self.options = options
        self.limits = engine.limits
        self.project = engine.project
        self.history = History(self.project)
        self.queue = Queue(self.limits.waiting)
        self.quick = Quick(self.limits.quick)
        self.conversions = Conversions(self.project)
        self.training: Job | None = None
        self.lock = threading.Lock()  # held while a training is started
        self.files: dict[str, Upload] = {}
        self.segmentings: dict[str, Job] = {}  # that nobody has asked for since they ended
        self.uploads = Counter[str]()  # in progress, by address
        self.incoming = self.project.folder / "incoming"  # files that belong to no video yet
        self.is_closed = False
        self._lock_of_server = ExitStack()

    @property
    def cookie(self) -> str:
        """Return the value in a browser that has opened the address with the token."""
        return hashlib.sha256(f"cookie {self.project.token}".encode()).hexdigest()

    def begin_to_serve(self) -> None:
        """Reserve the project for this server, back it up, and delete what an earlier one has left.

        Raises:
            InputError: A different page of the project is open, or its database is damaged.
        """
        # Memory of more heaps is seldom returned. glibc alone has the setting.
        with suppress(AttributeError, TypeError):
            ctypes.CDLL(None).mallopt(_MAX_HEAPS, 2)
        holder = "another page of this project"
        self._lock_of_server.enter_context(locked(self.project.folder, holder))
        self.project.back_up()
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.conversions.clean()
        if self.project.setting(TRAINING, False):
            self.project.set(TRAINING, False)
            message = "the page was closed during a training; start the training again"
            self.training = Job("training", state="failed", error=message)

    def upload(self, key: str) -> Upload:
        """Return an uploaded file."""
        upload = self.files.get(key)
        if upload is None:
            raise InputError("files", "no such file", "upload it first")
        return upload

    def unused_bytes(self) -> int:
        """Return the size of uploads that nobody has used. Old ones are deleted."""
        total = 0
        for path in self.incoming.iterdir():
            with suppress(FileNotFoundError):  # another request uses it now
                state = path.stat()
                total += state.st_size
                if path.name in self.files and time.time() - state.st_mtime > UNUSED_SECONDS:
                    self.files.pop(path.name, None)
                    path.unlink()
                    total -= state.st_size
        return total

    def add_video(self, keys: Sequence[str]) -> VideoEntry:
        """Create a video from uploaded files. They move to the project, or are deleted on errors.

        This must not run in two threads at once.

        Args:
            keys: Keys of the files, which no later request can use.

        Returns:
            The video.
        """
        if len(set(keys)) < len(keys):
            raise InputError("files", "one file twice", "give each file once")
        uploads = [self.upload(key) for key in keys]
        folder = self.project.folder / "videos"
        folder.mkdir(exist_ok=True)
        stem = secrets.token_hex(8)
        moved = []
        try:
            for key, upload in zip(keys, uploads, strict=True):
                path = upload.path.rename(folder / f"{stem}{upload.ending}")
                self.files[key] = replace(upload, path=path)
                moved.append(self.files[key])
            files = files_of_video(moved, self.engine.frame_times, self._pose_rate)
            video = self._store(*files)
        except InputError as error:
            named_error = self.named(error)
            for path in folder.glob(f"{stem}.*"):
                path.unlink()
            raise named_error from None
        finally:
            for key in keys:
                self.files.pop(key, None)
        self.encode([video])  # an error of the model takes no stored film away
        return video

    def _pose_rate(self) -> float:
        """Return the rows a second of features of tracked points."""
        return needs_of(self.engine.model()).fps or POSE_RATE

    def refer(self, name: str, media: Path | None, features: Path | None) -> VideoEntry:
        """Add a video by reference, and queue its encoding if the model needs it."""
        video = self._store(name, media, features)
        self.encode([video])
        return video

    def _store(self, name: str, media: Path | None, features: Path | None) -> VideoEntry:
        """Store a video of some files in the project."""
        times = self.engine.frame_times(media, features)
        rows = {} if features is None else self.engine.rows(features)
        video = self.project.video(self.project.add_video(name, media, features, times, **rows))
        assert video is not None
        if media is not None:
            self.conversions.is_played(video.id, media)  # so that opening a page need not look
        return video

    def encode(self, videos: Iterable[VideoEntry]) -> None:
        """Queue the encoding of videos whose features are missing, until the queue is full."""
        model = self.engine.model()
        run_name = self.engine.run_name
        for video in videos:
            work = self.engine.work(video.id)
            job = work.job
            if job is not None:
                has_failed = work.run_name == run_name and job.error not in ("", STOPPED)
                if has_failed or not job.is_over:
                    continue
            if model is None or video.media is None or self.engine.features(video):
                continue
            work.run_name = run_name
            try:
                work.job = self.queue.add(Job(video.id, partial(self.engine.encode, video, model)))
            except BusyError:
                return

    def segment(self, upload: Upload | None, uri: str, names: Sequence[str] | None) -> Job:
        """Queue the segmentation of a file, which is deleted, or of an address."""

        def delete() -> None:
            if upload is not None:
                upload.path.unlink(missing_ok=True)

        def run(job: Job) -> None:
            with ExitStack() as files:
                if upload is None:
                    path = files.enter_context(RemoteFile(uri).copied())
                else:
                    path = upload.path
                    files.callback(delete)
                files.enter_context(located(uri if upload is None else upload.name))
                job.segmentation = self.engine.segment(path, names, job)

        job = self.queue.add(Job(secrets.token_hex(8), run, delete))
        ended = [key for key, other in [*self.segmentings.items()] if other.is_over]
        for key in ended[: -self.limits.results]:
            self.segmentings.pop(key, None)
        self.segmentings[job.owner] = job
        return job

    def begin_training(self, run: Callable[[Job], None]) -> None:
        """Queue a training run, unless there is one already."""
        with self.lock:
            if self.training is not None and not self.training.is_over:
                raise InputError("train", "a training is under way", "wait for it, or cancel it")

            def run_and_record(job: Job) -> None:
                self.project.set(TRAINING, True)
                try:
                    run(job)
                finally:
                    self.project.set(TRAINING, False)

            self.training = self.queue.add(Job("training", run_and_record))

    def shows_drafts(self, viewer: str | None) -> bool:
        """Return whether a person sees what the model in use predicts.

        A model that was trained in a blind project has learned the labels of its owner.
        """
        return not self.engine.run_name or self.project.owns(viewer)

    def drafts(
        self, video: VideoEntry, tracks: Sequence[Track], viewer: str | None = None
    ) -> list[Draft]:
        """Return what a model predicts for the track of drafts, unless that is complete.

        Args:
            video: Video.
            tracks: Tracks of the video that the viewer sees.
            viewer: Person who looks at them.
        """
        track = self.draft_track(tracks)
        if track is None or track.complete or not self.shows_drafts(viewer):
            return []
        return self.quick.run(lambda: self.engine.drafts(video))

    def draft_track(self, tracks: Sequence[Track]) -> Track | None:
        """Return the track for drafts: the one that the model was trained on, or the first one."""
        trained = self.project.track_of_run(self.engine.run_name)
        named = [track for track in tracks if track.name == trained]
        return next(iter([*named, *tracks]), None)

    def timeline(
        self, video: VideoEntry, viewer: str | None = None, track: int | None = None
    ) -> list[Draft | Label]:
        """Return the labels of the track of drafts, of those that a person sees, with the drafts.

        Of another `track` there are labels alone.
        """
        tracks = self.project.labelled_tracks(video.id, viewer=viewer)
        drafted = self.draft_track(tracks)
        for other in tracks:
            if other.id == track and other is not drafted:
                return [*other.segments]
        labels = drafted.segments if drafted else []
        return overlaid(self.drafts(video, tracks, viewer), labels)

    def drafts_between(self, video: VideoEntry, viewer: str | None = None) -> list[Draft]:
        """Return the drafts between the segments of their track, for a file."""
        tracks = self.project.labelled_tracks(video.id, viewer=viewer)
        drafted = self.draft_track(tracks)
        labels = drafted.segments if drafted else []
        return between(self.drafts(video, tracks, viewer), labels)

    def named(self, error: InputError) -> InputError:
        """Return an error that names files as the user does, without folders."""
        with suppress(InputError):  # of damaged values
            return self._named(error)
        return error

    def _named(self, error: InputError) -> InputError:
        problem = error.problem
        folders = [folder for folder, _ in self.project.runs().values()]
        run = run_of(self.engine.base)
        for folder in folders if run is None else [*folders, run.path]:
            if folder.name:  # "." is in numbers, too
                problem = problem.replace(str(folder), folder.name)
        error = type(error)(error.where, problem, error.fix)
        if not isinstance(error.where, FileLocation):
            return error
        path = error.where.path
        name = path.name
        for upload in [*self.files.values()]:
            is_made = upload.ending == POSES and path.suffix in (FEATURES, ".json")
            if upload.path == path or (is_made and upload.path.stem == path.stem):
                name = upload.name
        for video in self.project.videos():
            for file in (video.media, video.features):
                if file is not None and path in (file, file.with_suffix(".json")):
                    name = video.name + path.suffix
        return error.at(replace(error.where, path=Path(name)))

    def close(self) -> None:
        """Stop all work and close the project."""
        self.is_closed = True
        self.queue.close()
        self.conversions.queue.close()
        self.project.close()
        self._lock_of_server.close()
