"""The page without its answers: what it was started with, its project, files that came in, and the work it does."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fact_clip.app.edits import Draft, overlaid, read_tracks
from fact_clip.app.engine import BusyError, Engine, Job, Queue, Quick
from fact_clip.app.learn import TrainingSet
from fact_clip.app.project import Label, VideoEntry
from fact_clip.app.requests import Upload, sorted_by_kind
from fact_clip.core import InputError
from fact_clip.core.errors import FileLocation


@dataclass(frozen=True)
class Options:
    """What the page was started with."""

    host: str  # name or address that it listens on
    command: tuple[str, ...] = ()  # ``fact-clip segment`` with its model; the page shows it with the rest
    training_set: TrainingSet | None = None  # that labelled videos may be added to
    run: Path | None = None  # run folder of the model; None: it was not trained, or there is none
    recent: Sequence[str] = ()  # folders of projects that were opened before
    served_as: tuple[str, ...] = ()  # host names under which a proxy serves the page


class Page:
    """The project, the models and the work of a page."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.engine, self.options, self.limits, self.project = engine, options, engine.limits, engine.project
        self.queue, self.quick = Queue(self.limits.waiting), Quick(self.limits.quick)
        self.training: Job | None = None
        self.lock = threading.Lock()  # held where a training is begun
        self.files: dict[str, Upload] = {}
        self.uploads = Counter[str]()  # that are under way, by address
        self.incoming = self.project.folder / "incoming"  # what has not become a video yet
        shutil.rmtree(self.incoming, ignore_errors=True)

    def new_path(self, ending: str) -> Path:
        """Return a path for a file that comes in, of which no part comes from a user but the ending."""
        self.incoming.mkdir(parents=True, exist_ok=True)
        return self.incoming / f"{secrets.token_hex(12)}{ending}"

    def add_video(self, uploads: Sequence[Upload]) -> VideoEntry:
        """Make a video of files that came in, which are moved into the project."""
        media, features = sorted_by_kind(uploads)
        first = features or media
        assert first is not None
        self.engine.frame_times(None if media is None else media.path, None if features is None else features.path)
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
            is_tried = work.job is not None and work.job.state != "done"  # it waits, runs or has failed
            if model is None or video.media is None or video.features is not None or is_tried:
                continue
            try:
                encoder = model.encoder_for(video.media)
                if engine.features(video) is None:
                    make = partial(engine.encode, video, encoder=encoder, extraction=model.extraction)
                    work.job = self.queue.add(Job(video.id, lambda job, make=make: make(job)))  # type: ignore[misc]
            except BusyError:
                return
            except InputError as error:  # a run that does not say which encoder it needs
                work.job = Job(video.id, lambda job: None, state="failed", error=error)

    @property
    def training_set(self) -> TrainingSet:
        """The training set that the page was started with."""
        if self.options.training_set is None:
            raise InputError("training set", "there is none", "start the page with --training-set DIR")
        return self.options.training_set

    def begin_training(self, run: Callable[[Job], None]) -> None:
        """Queue a training, one at a time."""
        with self.lock:
            if self.training is not None and self.training.state in ("waiting", "running"):
                raise InputError("train", "a training is under way", "wait for it")
            self.training = self.queue.add(Job("training", run))

    def load_labels(
        self, video: VideoEntry, path: Path, ending: str, annotator: str, background: Iterable[str] = ()
    ) -> dict[str, int]:
        """Replace tracks of a video by those of a label file; the number of segments on each."""
        tracks = read_tracks(path, ending, video.times, background)
        for name, labels in tracks.items():
            self.project.replace(video.id, self.project.add_track(video.id, name), labels, None, annotator)
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
                    names |= {file: video.name + file.suffix, file.with_suffix(".json"): f"{video.name}.json"}
        where = FileLocation(Path(names.get(path, path.name)), error.where.line, error.where.part)
        return str(error.at(where))

    def close(self) -> None:
        """Stop all work; what is in the project stays."""
        self.queue.close()
        self.project.close()
