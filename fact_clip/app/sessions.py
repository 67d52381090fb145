"""Sessions: each has a folder of its own, and sees nothing of the others."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fact_clip.app.edits import Shown, overlaid
from fact_clip.app.work import BusyError, Job
from fact_clip.core import InputError, Segment, Segmentation
from fact_clip.core.clock import Clock
from fact_clip.core.errors import FileLocation
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import lock, unlock
from fact_clip.decoding import DecodeSettings
from fact_clip.formats import FORMATS
from fact_clip.video.decode import SUFFIXES

LABELS = tuple(sorted((file_format.ending for file_format in FORMATS.values()), key=len, reverse=True))
"""Endings of label files, the longest first."""

FEATURES = ".npy"
_PREFIX = "fact-clip-app-"
_MAX_NAME = 150  # characters of a file's name that are kept
_FACTS = ("format", "encoder", "precision", "fps", "times", "video_fps", "damage", "n_frames", "dim")


@dataclass(frozen=True)
class Limits:
    """What one page may use."""

    file_bytes: int = 2_000_000_000  # of an uploaded file
    label_bytes: int = 50_000_000  # of a label or JSON file
    session_bytes: int = 8_000_000_000  # of all files of a session
    minutes: float = 120.0  # duration of a video
    videos: int = 200  # of a session
    sessions: int = 100  # at once
    uploads: int = 32  # at once, over all sessions
    uploads_each: int = 4  # at once, of a session
    waiting: int = 8  # long jobs that wait, over all sessions
    quick: int = 32  # short computations that wait, over all sessions
    patience: float = 30.0  # seconds in which the next part of an upload must arrive
    upload_seconds: float = 6 * 3600.0  # of a whole upload
    upload_rate: float = 4096.0  # bytes a second of an upload after `patience`, at least
    idle: float = 12 * 3600.0  # seconds after which an unused session ends


@dataclass(frozen=True)
class Upload:
    """A file of a session: where it lies, and what the user calls it."""

    path: Path
    name: str

    @property
    def ending(self) -> str:
        """What kind of file it is: `.npy`, a suffix of videos, or an ending of label files."""
        return ending_of(self.name)


def ending_of(name: str) -> str:
    """Return the ending that tells what a file is; an InputError for any other file."""
    low = name.lower()
    for ending in (*LABELS, FEATURES, *SUFFIXES):
        if low.endswith(ending) and len(low) > len(ending):
            return ending
    raise InputError(
        name or "a file", "no video, feature file or label file", f"give {FEATURES}, {', '.join(SUFFIXES[:5])}, ..."
    )


def shown_name(name: str) -> str:
    """Return the last part of a file's name as a browser gave it, without control characters; it is never a path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    clean = "".join(character for character in last if character.isprintable()).strip(" .")
    length = len(ending_of(clean))
    return clean[:-length][:_MAX_NAME] + clean[-length:]


@dataclass(eq=False)
class Video:
    """A video, or its features, with its corrections."""

    id: str
    name: str  # as the user calls it, without ending
    media: Upload | None  # the video file
    features: Path | None  # once there are any
    corrected: tuple[Segment, ...] = ()
    job: Job | None = None  # that encodes it
    clock: Clock | None = None  # once it is opened
    basis: tuple[object, ...] = ()  # what `prediction` depends on
    prediction: Segmentation | None = None
    added: str | None = None  # its name in the training set

    @property
    def ready(self) -> bool:
        """Whether it has features, and nothing works on it."""
        return self.features is not None and (self.job is None or self.job.ended)

    @property
    def result(self) -> Segmentation:
        """The prediction, once there is one."""
        assert self.prediction is not None
        return self.prediction

    @property
    def rows(self) -> Clock:
        """The times of its frames, once it is opened."""
        assert self.clock is not None
        return self.clock

    @property
    def shown(self) -> list[Shown]:
        """The corrected segments over the predicted ones; empty before there is a prediction."""
        return [] if self.prediction is None else overlaid(self.prediction, self.corrected)


@dataclass(eq=False)
class Session:
    """One user of the page."""

    id: str
    folder: Path
    actions: tuple[str, ...] | None = None  # None: those of the model
    settings: DecodeSettings = field(default_factory=DecodeSettings)
    model: str = ""  # key of `adapted`; "": what the page was started with
    adapted: dict[str, Path] = field(default_factory=dict)  # name -> run folder
    videos: dict[str, Video] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)
    training: Job | None = None
    uploads: int = 0  # that are under way
    colours: dict[str, int] = field(default_factory=dict)  # name -> number of its colour, which it keeps
    used: float = field(default_factory=time.monotonic)

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def new_path(self, ending: str) -> Path:
        """A path in the folder that nobody can guess, of which no part comes from a user but the ending."""
        return self.folder / f"{secrets.token_hex(12)}{ending}"

    def number_colours(self, names: Iterable[str]) -> dict[str, int]:
        """Return name -> number of its colour: names keep theirs, and new ones take the first that are free."""
        unique = dict.fromkeys(names)
        current = {name: number for name, number in self.colours.items() if name in unique}
        free = iter(sorted(set(range(len(current) + len(unique))) - set(current.values())))
        self.colours = current | {name: next(free) for name in unique if name not in current}
        return self.colours

    def add_video(self, uploads: Iterable[Upload]) -> Video:
        """Make a video of its files: a video, a feature file or both, and the JSON file beside features."""
        by_kind: dict[str, Upload] = {}
        for upload in uploads:
            kind = "video" if upload.ending in SUFFIXES else upload.ending
            if kind not in ("video", FEATURES, ".json") or kind in by_kind:
                raise InputError(upload.path, "one file too many", "give a video, a feature file, and its .json")
            by_kind[kind] = upload
        features, media = by_kind.get(FEATURES), by_kind.get("video")
        first = features or media
        if first is None or (features is None and ".json" in by_kind):
            raise InputError("files", "no feature file", "give a video, or NAME.npy with NAME.json")
        if media is not None:
            _check_binary(media)
        if features is not None and ".json" in by_kind:
            _keep_facts(by_kind[".json"], features.path.with_suffix(".json"))
        name = first.name[: -len(first.ending)]
        video = Video(secrets.token_hex(8), name, media, None if features is None else features.path)
        self.videos[video.id] = video
        return video

    def remove(self, video: Video) -> None:
        """Forget a video and its files."""
        self.videos.pop(video.id, None)
        if video.job is not None:
            video.job.cancel()
        paths = [] if video.features is None else [video.features, video.features.with_suffix(".json")]
        for path in [*paths, *([] if video.media is None else [video.media.path])]:
            path.unlink(missing_ok=True)

    def line(self, error: InputError | str) -> str:
        """Return an error as a line, with files of the session by the names that the user gave them."""
        if isinstance(error, str) or not isinstance(error.where, FileLocation):
            return str(error)
        path = error.where.path
        uploads = [*self.files.values(), *(video.media for video in self.videos.values() if video.media is not None)]
        names = {upload.path: upload.name for upload in uploads}
        for video in self.videos.values():
            if video.features is not None:
                names |= {video.features.with_suffix(ending): video.name + ending for ending in (FEATURES, ".json")}
        return str(error.at(replace(error.where, path=Path(names.get(path, path.name)))))


def _check_binary(upload: Upload) -> None:
    """Refuse text under the name of a video: FFmpeg takes play lists, which name other files, for videos."""
    with upload.path.open("rb") as file:
        begin = file.read(4096)
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in begin):
        raise InputError(upload.path, "not a video")


def _keep_facts(upload: Upload, json_path: Path) -> None:
    """Write what a JSON file says of features, without the path of a video, which could be any file."""
    facts = read_mapping(upload.path, "fps and times of the features")
    json_path.write_text(json.dumps({key: facts[key] for key in _FACTS if key in facts}), encoding="utf-8")


def _remove_dead() -> None:
    """Remove the folders of pages that were killed, which nobody holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*") if os.name == "posix" else ():
        try:
            opened = os.open(folder, os.O_RDONLY)
        except OSError:  # of somebody else
            continue
        try:
            if folder.stat().st_uid == os.getuid() and lock(opened):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(opened)


class Sessions:
    """All sessions, in one temporary folder that goes with `close`."""

    def __init__(self, limits: Limits, ended: Callable[[Session], None] = lambda session: None) -> None:
        self.limits, self._ended = limits, ended
        _remove_dead()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._held = os.open(self.folder, os.O_RDONLY)
        lock(self._held)  # until the process ends, however that is
        self._known: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def new(self) -> Session:
        """Begin a session; a BusyError where there are too many."""
        self.end_idle()
        with self._lock:
            if len(self._known) >= self.limits.sessions:
                empty = [session for session in self._known.values() if not session.videos and not session.files]
                if not empty:
                    raise BusyError(len(self._known) - self.limits.sessions + 1)
                self.end(min(empty, key=lambda session: session.used))
            key = secrets.token_urlsafe(32)
            folder = self.folder / secrets.token_hex(12)
            folder.mkdir()
            session = self._known[key] = Session(key, folder)
        return session

    def find(self, key: str) -> Session | None:
        """The session of a cookie, None where there is none."""
        session = self._known.get(key)
        if session is not None:
            session.used = time.monotonic()
        return session

    def end(self, session: Session) -> None:
        """Forget a session and its files."""
        self._known.pop(session.id, None)
        self._ended(session)
        shutil.rmtree(session.folder, ignore_errors=True)

    def end_idle(self) -> None:
        """Forget the sessions that nobody has used for long."""
        now = time.monotonic()
        for session in [session for session in self._known.values() if now - session.used > self.limits.idle]:
            self.end(session)

    def close(self) -> None:
        """Forget all, and remove the folder."""
        for session in list(self._known.values()):
            self.end(session)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._held >= 0:
            unlock(self._held)
            os.close(self._held)
            self._held = -1
