"""The page without its answers: its models, the scores that are kept of videos, files, and the work to do."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Clock, FileLocation, InputError, Segmentation
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.paths import file_name
from fact_clip.datasets.features import load_features, read_clock
from fact_clip.decoding import CandidateSet, Scores
from fact_clip.encoders import FrameEncoder
from fact_clip.inference.scorer import check_features
from fact_clip.inference.segmenter import Segmenter
from fact_clip.video.decode import picture_times, probe
from fact_clip.video.extract import Settings, extract
from fact_clip_app.edits import Draft, drafts_of, overlaid, read_tracks
from fact_clip_app.project import Label, Project, VideoEntry
from fact_clip_app.requests import Limits, Upload, sorted_by_kind

if TYPE_CHECKING:
    from fact_clip_app.learn import TrainingSet

logger = logging.getLogger(__name__)

T = TypeVar("T")


class BusyError(Exception):
    """There is too much to do already; `position` is where the request would have stood."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(f"busy, place {position}")


class CancelledError(Exception):
    """A job whose video is gone."""


@dataclass(eq=False)
class Job:
    """One piece of long work."""

    owner: str  # what it is for: the id of a video, or "training"
    run: Callable[[Job], None]  # reports to the job, which asks it to stop
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    done: int = 0  # how far it is
    total: int = 0
    note: str = ""
    error: InputError | str = ""  # why it failed, once it did
    stop: threading.Event = field(
        default_factory=threading.Event
    )  # set when it is not wanted any more

    def report(self, done: int, total: int, note: str = "") -> None:
        """Say how far it is; a CancelledError where it is not wanted any more."""
        self.done, self.total, self.note = done, total, note
        if self.stop.is_set():
            raise CancelledError


class Queue:
    """Long jobs, one at a time in the order in which they came; a BusyError when `limit` of them are waiting."""

    def __init__(self, limit: int) -> None:
        self.limit, self._lock = limit, threading.Lock()
        self._jobs = dict[Job, Future[None]]()  # the one that runs, and those that wait
        self._pool = ThreadPoolExecutor(1, "fact-clip-app")

    def add(self, job: Job) -> Job:
        """Put a job at the end."""
        with self._lock:
            if len(self._jobs) > self.limit:
                raise BusyError(len(self._jobs) + 1)
            self._jobs[job] = self._pool.submit(self._work, job)
        return job

    def position(self, job: Job) -> int:
        """Return how many jobs come before it, and itself; 0 unless it is waiting."""
        with self._lock:
            return (
                list(self._jobs).index(job) + 1
                if job.state == "waiting" and job in self._jobs
                else 0
            )

    def cancel(self, unwanted: Callable[[Job], bool]) -> None:
        """Drop or stop jobs."""
        with self._lock:
            for job in list(filter(unwanted, self._jobs)):
                job.stop.set()
                if self._jobs[job].cancel():  # it has not begun
                    del self._jobs[job]

    def close(self) -> None:
        """Stop everything, and wait for the job that runs."""
        self.limit = -1
        self.cancel(lambda job: True)
        self._pool.shutdown()

    def _work(self, job: Job) -> None:
        job.state = "running"
        try:
            job.run(job)
            job.state = "done"
        except CancelledError:
            job.state, job.error = "failed", "stopped"
        except InputError as error:
            job.state, job.error = "failed", error
        except Exception:  # a fault of one job is logged, and the next one runs
            logger.exception("a job failed")
            job.state, job.error = "failed", "an internal error; the log of the server has it"
        with self._lock:
            del self._jobs[job]


class Quick:
    """Short computations, one at a time beside the queue; a BusyError when `limit` of them are waiting."""

    def __init__(self, limit: int) -> None:
        self.limit, self._room, self._one = limit, threading.Semaphore(limit + 1), threading.Lock()

    def run(self, function: Callable[[], T]) -> T:
        """Compute when it is the turn."""
        if not self._room.acquire(blocking=False):
            raise BusyError(self.limit + 1)
        try:
            with self._one:
                return function()
        finally:
            self._room.release()


KEPT_BYTES = (
    256 << 20
)  # Scores of videos that are kept; what is dropped is computed again when it is needed
KEPT_MODELS = 3  # Trained models that are kept loaded
UNKNOWN_RATE = (
    30.0  # Rows a second that are assumed where nobody says, to limit the length of a feature file
)


@dataclass(eq=False)
class Work:
    """What is computed of a video."""

    job: Job | None = None  # that encodes it
    basis: tuple[str, tuple[str, ...] | None, DecodeSettings] | None = (
        None  # model, names, settings of `prediction`
    )
    prediction: Segmentation | None = None
    clock: Clock | None = None  # of the rows of `prediction`


class Engine:
    """The model that the page was started with (`base`), if any, and those that were trained in the project."""

    def __init__(
        self,
        project: Project,
        base: Segmenter | None,
        load: Callable[[Path], Segmenter],
        limits: Limits,
    ) -> None:
        self.project, self.base, self.limits = project, base, limits
        self.open = lru_cache(KEPT_MODELS)(load)  # the model of a run folder
        self._scores: OrderedDict[str, tuple[tuple[object, ...], Scores]] = (
            OrderedDict()
        )  # video -> model, names
        self._work: dict[str, Work] = {}
        self._lock = threading.Lock()

    @property
    def chosen(self) -> str:
        """The name of the run that is in use; "" for what the page was started with."""
        name = str(self.project.setting("model", ""))
        return name if name in self.project.runs() else ""

    def model(self, name: str | None = None) -> Segmenter | None:
        """Return the model of that name, or the one in use."""
        name = self.chosen if name is None else name
        return self.open(self.project.runs()[name][0]) if name else self.base

    @property
    def settings(self) -> DecodeSettings:
        """The settings of decoding that were made on the page."""
        return DecodeSettings(**self.project.setting("adjust", {}))

    def names(self) -> tuple[str, ...] | None:
        """Return the candidates: the actions that the model can take; None: its own classes. () where there is none."""
        model, names = self.model(), [action.name for action in self.project.actions()]
        if model is None:
            return ()
        names = (
            names if reads_names(model) else [name for name in names if name in model.vocabulary]
        )
        chosen = tuple(name for name in names if name not in model.vocabulary.background)
        return chosen or (() if model.scorer.run is None else None)

    def unseen(self, names: Iterable[str]) -> set[str]:
        """Return those of some names that the model was not trained on; none where it was not trained at all."""
        model = self.model()
        if model is None or model.scorer.run is None:
            return set()
        calibration = model.scorer.calibration
        trained = model.vocabulary.names if calibration is None else calibration.seen
        return set(names) - set(trained) - set(model.vocabulary.background)

    def work(self, video: str) -> Work:
        """Return what is computed of a video."""
        return self._work.setdefault(video, Work())

    def frame_times(self, media: Path | None, features: Path | None) -> NDArray[np.float64]:
        """Return when the frames of a new video start, (N + 1,): its pictures, or rows where there is no video."""
        if media is not None:
            self._check_length(media, probe(media).seconds or 0.0)
            times = picture_times(media)
            self._check_length(media, times[-1])  # it may be longer than it says
        if features is not None:
            rows, clock = self.opened(features, self.model())
            self._check_length(features, len(rows) / (clock.fps or UNKNOWN_RATE))
        return times if media is not None else row_starts(clock, len(rows))

    def _check_length(self, path: Path, seconds: float) -> None:
        most = self.limits.minutes
        if seconds > 60 * most:
            raise InputError(
                path, f"{seconds / 60:.1f} minutes", f"cut it to {most:g} minutes at most"
            )

    @staticmethod
    def opened(features: Path, model: Segmenter | None) -> tuple[NDArray[np.float32], Clock]:
        """Read a feature file, (T, D), and the times of its rows; an InputError where it does not fit the model."""
        if model is None:
            return load_features(features, "TD"), read_clock(features, layout="TD")
        rows, clock = model.open(features)
        return check_features(rows, features, model.scorer.width, model.scorer.needs.origin), clock

    def features(self, video: VideoEntry) -> Path | None:
        """Return the features of a video for the model in use; None where there are none yet."""
        model = self.model()
        if video.features is not None or video.media is None or model is None:
            return video.features
        try:
            return self.features_by(video, model.encoder_for(video.media), model.extraction)
        except (
            InputError
        ):  # the run does not say which encoder it needs; the job of the video has the reason
            return None

    def features_by(
        self, video: VideoEntry, encoder: FrameEncoder, extraction: Settings
    ) -> Path | None:
        """Return the features of a video by an encoder; None where there are none yet."""
        if video.features is not None:
            return video.features
        return next(iter(sorted(self._folder(video, encoder, extraction).glob("[!.]*.npy"))), None)

    def _folder(self, video: VideoEntry, encoder: FrameEncoder, extraction: Settings) -> Path:
        return (
            self.project.folder
            / "features"
            / file_name(f"{encoder.name}, {extraction.fps:g}")
            / video.id
        )

    def encode(
        self, video: VideoEntry, job: Job, encoder: FrameEncoder, extraction: Settings
    ) -> Path:
        """Make the features of a video, in the folder of the project."""
        assert video.media is not None
        path, rate = video.media, extraction.fps

        def report(done: int, total: int, _: str) -> None:
            self._check_length(path, (done - 1) / rate)
            job.report(done, total, video.name)

        report(0, 0, "")
        return extract(path, encoder, self._folder(video, encoder, extraction), extraction, report)

    def drafts(self, video: VideoEntry) -> list[Draft]:
        """Return what the model predicts, in frames of the video; empty where nothing can be predicted yet."""
        prediction = self.predict(video)
        clock = self.work(video.id).clock
        if prediction is None or clock is None:
            return []
        return drafts_of(prediction, row_starts(clock, prediction.n_frames), video.times)

    def predict(self, video: VideoEntry) -> Segmentation | None:
        """Return the prediction for a video with the names and settings of the project; only changes are computed."""
        work, model, actions = self.work(video.id), self.model(), self.names()
        if model is None or actions == () or (features := self.features(video)) is None:
            work.prediction = work.basis = None
            return None
        # A model that was chosen later may not know a setting that was made before.
        settings = DecodeSettings(
            **{key: value for key, value in self.settings if key in model.scorer.adjustable}
        )
        basis = self.chosen, actions, settings
        if work.prediction is None or work.basis != basis:
            candidates = model.choose(actions, settings)
            key = *basis[:2], settings.reject is not None
            scores = self._score(video, features, model, candidates, key)
            work.prediction, work.basis = model.decode(scores, candidates, settings), basis
        return work.prediction

    def _score(
        self,
        video: VideoEntry,
        path: Path,
        model: Segmenter,
        candidates: CandidateSet,
        key: tuple[object, ...],
    ) -> Scores:
        """The scores of a video for a model, names and whether rivals count (the key); the latest ones are kept."""
        with self._lock:
            if video.id in self._scores and self._scores[video.id][0] in (key, (*key[:2], True)):
                self._scores.move_to_end(video.id)
                return self._scores[video.id][1]
        features, clock = model.open(path)
        media, rate = (
            (None, None) if video.media is None else (video.media.name, probe(video.media).fps)
        )
        clock = replace(
            clock, n_frames=len(features), media=media, video_fps=clock.video_fps or rate
        )
        self.work(video.id).clock = clock
        scores = model.score(features, path, candidates, clock, rivals=bool(key[2]))
        with self._lock:
            self._scores[video.id] = key, scores
            self._scores.move_to_end(video.id)
            total = sum(scores.nbytes for _, scores in self._scores.values())
            while total > KEPT_BYTES and len(self._scores) > 1:
                total -= self._scores.popitem(last=False)[1][1].nbytes
        return scores


def reads_names(model: Segmenter) -> bool:
    """Whether a model takes any names: it was not trained, or its head reads text."""
    return model.scorer.run is None or model.run.config.model.is_open


def row_starts(clock: Clock, n_rows: int) -> NDArray[np.float64]:
    """Return the seconds where rows start, and the end, (T + 1,); without a rate a row counts as a second."""
    return np.arange(n_rows + 1) / (clock.fps or 1.0) if clock.times is None else clock.times


@dataclass(frozen=True)
class Options:
    """What the page was started with."""

    host: str  # name or address that it listens on
    command: tuple[
        str, ...
    ] = ()  # ``fact-clip segment`` with its model; the page shows it with the rest
    training_set: TrainingSet | None = None  # that labelled videos may be added to
    run: Path | None = None  # run folder of the model; None: it was not trained, or there is none
    recent: Sequence[str] = ()  # folders of projects that were opened before
    served_as: tuple[str, ...] = ()  # host names under which a proxy serves the page


class Page:
    """The project, the models and the work of a page."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.engine, self.options, self.limits, self.project = (
            engine,
            options,
            engine.limits,
            engine.project,
        )
        self.queue, self.quick = Queue(self.limits.waiting), Quick(self.limits.quick)
        self.training: Job | None = None
        self.lock = threading.Lock()  # held where a training is begun
        self.files: dict[str, Upload] = {}
        self.uploads = Counter[str]()  # that are under way, by address
        self.incoming = self.project.folder / "incoming"  # what has not become a video yet
        shutil.rmtree(self.incoming, ignore_errors=True)

    def add_video(self, uploads: Sequence[Upload]) -> VideoEntry:
        """Make a video of files that came in, which are moved into the project."""
        media, features = sorted_by_kind(uploads)
        first = features or media
        assert first is not None
        self.engine.frame_times(
            None if media is None else media.path, None if features is None else features.path
        )
        folder, key = self.project.folder / "videos", secrets.token_hex(8)
        folder.mkdir(exist_ok=True)
        facts = None if features is None else features.path.with_suffix(".json")
        if facts is not None and facts.exists():
            facts.rename(folder / f"{key}.json")
        moved = [
            None if upload is None else upload.path.rename(folder / f"{key}{upload.ending}")
            for upload in (media, features)
        ]
        return self.refer(first.name[: -len(first.ending)], *moved)

    def refer(self, name: str, media: Path | None, features: Path | None) -> VideoEntry:
        """Add a video by reference, and begin to encode it where a model needs that."""
        times = self.engine.frame_times(media, features)
        key = self.project.add_video(name, media, features, times, self.engine.model() is None)
        entry = self.project.video(key)
        assert entry is not None
        self.encode([entry])
        return entry

    def encode(self, videos: Iterable[VideoEntry]) -> None:
        """Queue the videos whose features the model in use needs; where too much waits, the rest comes later."""
        engine, model = self.engine, self.engine.model()
        for video in videos:
            work = engine.work(video.id)
            is_tried = (
                work.job is not None and work.job.state != "done"
            )  # it waits, runs or has failed
            if model is None or video.media is None or video.features is not None or is_tried:
                continue
            try:
                encoder = model.encoder_for(video.media)
                if engine.features(video) is None:
                    make = partial(
                        engine.encode, video, encoder=encoder, extraction=model.extraction
                    )
                    work.job = self.queue.add(Job(video.id, lambda job, make=make: make(job)))  # type: ignore[misc]
            except BusyError:
                return
            except InputError as error:  # a run that does not say which encoder it needs
                work.job = Job(video.id, lambda job: None, state="failed", error=error)

    @property
    def training_set(self) -> TrainingSet:
        """The training set that the page was started with."""
        if self.options.training_set is None:
            raise InputError(
                "training set", "there is none", "start the page with --training-set DIR"
            )
        return self.options.training_set

    def begin_training(self, run: Callable[[Job], None]) -> None:
        """Queue a training, one at a time."""
        with self.lock:
            if self.training is not None and self.training.state in ("waiting", "running"):
                raise InputError("train", "a training is under way", "wait for it")
            self.training = self.queue.add(Job("training", run))

    def load_labels(
        self,
        video: VideoEntry,
        path: Path,
        ending: str,
        annotator: str,
        background: Iterable[str] = (),
    ) -> dict[str, int]:
        """Replace tracks of a video by those of a label file; the number of segments on each."""
        tracks = read_tracks(path, ending, video.times, background)
        for name, labels in tracks.items():
            self.project.replace(
                video.id, self.project.add_track(video.id, name), labels, None, annotator
            )
        return {name: len(labels) for name, labels in tracks.items()}

    def shown(self, video: VideoEntry) -> dict[int, list[Draft | Label]]:
        """Return what is shown on each track: labels, and on the first one drafts between them."""
        labels = self.project.labels(video.id)
        return {
            track: overlaid(self.engine.drafts(video) if number == 0 else [], labels[track])
            for number, track in enumerate(labels)
        }

    def line(self, error: InputError | str) -> str:
        """Return an error as a line, with files by the names that the user gave them and no folder."""
        if isinstance(error, str) or not isinstance(error.where, FileLocation):
            return str(error)
        path = error.where.path
        names = {upload.path: upload.name for upload in self.files.values()}
        for video in self.project.videos():
            for file in (video.media, video.features):
                if file is not None:
                    names |= {
                        file: video.name + file.suffix,
                        file.with_suffix(".json"): f"{video.name}.json",
                    }
        where = FileLocation(Path(names.get(path, path.name)), error.where.line, error.where.part)
        return str(error.at(where))

    def close(self) -> None:
        """Stop all work; what is in the project stays."""
        self.queue.close()
        self.project.close()
