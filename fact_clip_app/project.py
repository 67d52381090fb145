"""The store of the page: a folder with project.sqlite and the files that it refers to."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ConfigDict, Field

from fact_clip.core import InputError
from fact_clip.core.paths import whole_file

DATABASE = "project.sqlite"
BACKUP = "project.backup.sqlite"
"""A copy of the database, made whenever a page of the project is opened."""

Origin = Literal["predicted", "corrected", "drawn", "imported"]
Unlabelled = Literal["background", "ignore", "skip"]
"""What a training does with the unlabelled frames of a video, or with the whole video."""

# Each script leads to the next version, which a project stores (PRAGMA user_version).
MIGRATIONS = (
    """
    CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE action (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, colour INTEGER NOT NULL,
        key TEXT NOT NULL, description TEXT NOT NULL
    );
    CREATE TABLE video (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, media TEXT, features TEXT, times BLOB NOT NULL,
        complete INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0, added REAL NOT NULL,
        removed REAL
    );
    CREATE TABLE track (
        id INTEGER PRIMARY KEY, video TEXT NOT NULL REFERENCES video ON DELETE CASCADE,
        name TEXT NOT NULL, UNIQUE (video, name)
    );
    CREATE TABLE segment (
        id INTEGER PRIMARY KEY, track INTEGER NOT NULL REFERENCES track ON DELETE CASCADE,
        start INTEGER NOT NULL, stop INTEGER NOT NULL, label TEXT NOT NULL,
        origin TEXT NOT NULL CHECK (origin IN ('predicted', 'corrected', 'drawn', 'imported')),
        comment TEXT NOT NULL, annotator TEXT NOT NULL, CHECK (0 <= start AND start <= stop)
    );
    CREATE INDEX segment_of_track ON segment (track);
    CREATE TABLE edit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        video TEXT NOT NULL REFERENCES video ON DELETE CASCADE, track INTEGER NOT NULL,
        time REAL NOT NULL, annotator TEXT NOT NULL, removed TEXT NOT NULL,
        added TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('done', 'undone', 'dropped'))
    );
    CREATE INDEX edit_of_video ON edit (video, state);
    CREATE TABLE run (
        name TEXT PRIMARY KEY, path TEXT NOT NULL, track TEXT NOT NULL, made REAL NOT NULL,
        figures TEXT NOT NULL
    );
    """,
)


MAX_NAME = 200
"""Characters of an action name, at most."""

MAX_COMMENT = 2000
"""Characters of a comment or a description, at most."""


def _one_line(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(f"a name is one line of at most {MAX_NAME} characters")
    return name


def _printable(value: str) -> str:
    if not value.replace("\n", "").isprintable():
        raise ValueError("a text has no control characters")
    return value


# Constraints of requests (requests.py). The store does not check them.
Name = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, Field(max_length=MAX_COMMENT), AfterValidator(_printable)]
Annotator = Annotated[str, Field(max_length=80), AfterValidator(_printable)]
Frame = Annotated[int, Field(ge=0, le=10**9, strict=True)]


@dataclass(frozen=True, order=True)
class Label:
    """A labelled segment in frames of the video, or an instant if `start` is `stop`."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    start: Frame
    stop: Frame
    label: Name
    origin: Origin = "drawn"
    comment: Text = ""
    annotator: Annotator = ""


@dataclass(frozen=True)
class Action:
    """A name for segments, with the number of its colour and its key on the keyboard."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    name: Name
    colour: Annotated[int, Field(ge=-1, le=10_000)] = -1  # -1: the first that is free
    key: Annotated[str, Field(max_length=1), AfterValidator(_printable)] = ""
    description: Text = ""


@dataclass(frozen=True, eq=False)
class VideoEntry:
    """A video of a project; paths are absolute."""

    id: str
    name: str
    media: Path | None
    features: Path | None  # a file from the user, not extracted from `media`
    times: NDArray[np.float64]  # (N + 1,) seconds at which its frames start, and the end
    complete: bool  # frames without a segment are background, not merely unlabelled
    revision: int  # how often its labels were changed

    @property
    def n_frames(self) -> int:
        """Return the number of frames."""
        return len(self.times) - 1


@dataclass(frozen=True)
class Track:
    """A track of a video."""

    id: int
    name: str
    labels: list[Label]  # in order of time


class ConflictError(Exception):
    """Raised if somebody else has changed the labels of the video in the meantime."""

    def __init__(self, annotator: str) -> None:
        name = annotator or "Somebody else"
        super().__init__(
            f"{name} changed this video a moment ago. Your last edit was not stored; please repeat"
            " it."
        )


class Project:
    """The store, for several threads and processes. A new one is created.

    Every change is complete in the database when its method returns.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / DATABASE
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        if not is_free and not path.is_file():
            fix = "name a new folder, or one with project.sqlite"
            raise InputError(folder, "not a project", fix)
        if path.is_file() and not path.stat().st_size:
            raise InputError(path, "empty", _remedy(folder))
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._base = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._base.execute("PRAGMA foreign_keys = ON")
            self._lock = threading.RLock()
            self.folder = folder.resolve()
            self._migrate()
        except (OSError, sqlite3.OperationalError) as error:
            raise InputError(path, f"cannot be opened ({error})") from None
        except sqlite3.DatabaseError as error:
            raise InputError(path, f"damaged ({error})", _remedy(folder)) from None

    def _migrate(self) -> None:
        with self._change():
            version = self._base.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise InputError(
                    self.folder, f"a project of a later version ({version})", "update fact-clip"
                )
            for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in script.split(";"):
                    self._base.execute(statement)
                self._base.execute(f"PRAGMA user_version = {number}")
            self._base.execute(
                "INSERT OR IGNORE INTO setting VALUES ('token', ?)", (secrets.token_urlsafe(32),)
            )

    def back_up(self) -> None:
        """Copy the database to BACKUP, which stays as it is if the database is damaged.

        Raises:
            InputError: if the database is damaged.
        """
        path = self.folder / DATABASE
        try:
            (problem,) = self._rows("PRAGMA quick_check(1)")[0]
        except sqlite3.DatabaseError as error:
            problem = str(error)
        if problem != "ok":
            raise InputError(path, f"damaged ({problem})", _remedy(self.folder))
        with (
            whole_file(self.folder / BACKUP) as unfinished,
            closing(sqlite3.connect(unfinished)) as copy,
            self._lock,
        ):
            self._base.backup(copy)

    def renew_token(self) -> None:
        """Replace the token, so that browsers with the old one are not let in any more."""
        with self._change():
            self._base.execute(
                "UPDATE setting SET value = ? WHERE key = 'token'", (secrets.token_urlsafe(32),)
            )

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Run the block as one transaction."""
        with self._lock, self._base:
            self._base.execute("BEGIN IMMEDIATE")
            yield

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    @property
    def token(self) -> str:
        """Return the token that opens the page of this project."""
        return str(self._rows("SELECT value FROM setting WHERE key = 'token'")[0][0])

    def setting(self, key: str, default: Any = None) -> Any:
        """Return a setting."""
        rows = self._rows("SELECT value FROM setting WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else default

    def set(self, key: str, value: Any) -> None:
        """Store a setting."""
        with self._change():
            self._base.execute(
                "INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, json.dumps(value))
            )

    def actions(self) -> list[Action]:
        """Return the actions in order."""
        rows = self._rows("SELECT name, colour, key, description FROM action ORDER BY position")
        return [Action(*row) for row in rows]

    def set_actions(
        self,
        actions: Sequence[Action],
        renamed: tuple[str, str] | None = None,
        base: Iterable[str] | None = None,
    ) -> None:
        """Replace the actions.

        Args:
            actions: all actions. Those without a colour keep theirs, or get the first free one.
            renamed: the old and new name of an action, whose segments are renamed as an edit.
            base: the names that were edited. Actions that somebody else has added meanwhile are
                kept. None: nothing is kept.
        """
        with self._change():
            stored = self.actions()
            if base is not None:
                edited = {*base, *(action.name for action in actions)}
                actions = [*actions, *(action for action in stored if action.name not in edited)]
            colours = {action.name: action.colour for action in stored}
            if renamed is not None and renamed[0] in colours:
                colours.setdefault(renamed[1], colours[renamed[0]])
            coloured = []
            for action in actions:
                colour = max(action.colour, colours.get(action.name, -1))
                coloured.append(replace(action, colour=colour))
            taken = {action.colour for action in coloured}
            free = (number for number in count() if number not in taken)
            self._base.execute("DELETE FROM action")
            for position, action in enumerate(coloured):
                colour = action.colour if action.colour >= 0 else next(free)
                row = (action.name, position, colour, action.key, action.description)
                self._base.execute("INSERT INTO action VALUES (?, ?, ?, ?, ?)", row)
            if renamed is not None:
                self._rename(*renamed)

    def _rename(self, old: str, new: str) -> None:
        """Rename the segments of an action, as one edit of each track."""
        query = """SELECT DISTINCT video, track FROM segment JOIN track ON track.id = track
                   WHERE label = ?"""
        for video, track in self._rows(query, old):
            labels = self.labels(video)[track]
            after = [replace(label, label=new) if label.label == old else label for label in labels]
            self._edit(video, track, labels, after)

    def add_actions(self, names: Iterable[str]) -> None:
        """Add the names that are not actions yet."""
        existing = {action.name for action in self.actions()}
        new = [Action(name) for name in dict.fromkeys(names) if name not in existing]
        if new:
            self.set_actions(new, base=())

    def add_video(
        self,
        name: str,
        media: Path | None,
        features: Path | None,
        times: NDArray[np.float64],
        complete: bool = False,
    ) -> str:
        """Add a video with one track.

        Args:
            name: its name.
            media: the video file, stored relative to the project if it lies there.
            features: a feature file, stored in the same way.
            times: seconds at which its frames start, and the end, (N + 1,).
            complete: whether frames without a segment are background.

        Returns:
            The id of the video.
        """
        key = secrets.token_hex(8)
        row = (
            key,
            name,
            self._stored(media),
            self._stored(features),
            np.asarray(times, np.float64).tobytes(),
            complete,
            time.time(),
        )
        query = """INSERT INTO video (id, name, media, features, times, complete, added)
                   VALUES (?, ?, ?, ?, ?, ?, ?)"""
        with self._change():
            self._base.execute(query, row)
            self._base.execute("INSERT INTO track (video, name) VALUES (?, 'main')", (key,))
        return key

    def _stored(self, path: Path | None) -> str | None:
        if path is None:
            return None
        path = path.resolve()
        if path.is_relative_to(self.folder):
            path = path.relative_to(self.folder)
        return str(path)

    def videos(self, *, removed: bool = False) -> list[VideoEntry]:
        """Return the videos, or the removed ones, as they were added, without their times."""
        condition = "removed IS NOT NULL" if removed else "removed IS NULL"
        return self._videos(f"{condition} ORDER BY added, id", times="x''")

    def full_videos(self) -> Iterator[VideoEntry]:
        """Yield the videos with their times, as they were added."""
        for brief in self.videos():
            video = self.video(brief.id)
            if video is not None:
                yield video

    def video(self, key: str) -> VideoEntry | None:
        """Return a video that is not removed."""
        return next(iter(self._videos("id = ? AND removed IS NULL", key)), None)

    def _videos(self, condition: str, *values: object, times: str = "times") -> list[VideoEntry]:
        columns = f"id, name, media, features, {times}, complete, revision"
        videos = []
        for row in self._rows(f"SELECT {columns} FROM video WHERE {condition}", *values):
            key, name, media, features, seconds, complete, revision = row
            video = VideoEntry(
                id=key,
                name=name,
                media=self._path(media),
                features=self._path(features),
                times=np.frombuffer(seconds),
                complete=bool(complete),
                revision=revision,
            )
            videos.append(video)
        return videos

    def _path(self, stored: str | None) -> Path | None:
        return None if stored is None else self.folder / stored

    def change_video(self, key: str, **values: object) -> None:
        """Change values of a video: name, complete, or removed (a time, or None)."""
        with self._change():
            for column, value in values.items():
                self._base.execute(f"UPDATE video SET {column} = ? WHERE id = ?", (value, key))

    def tracks(self, video: str) -> dict[int, str]:
        """Return the names of the tracks of a video, in order."""
        return dict(self._rows("SELECT id, name FROM track WHERE video = ? ORDER BY id", video))

    def add_track(self, video: str, name: str) -> int:
        """Add a track and return its id, or that of the track with this name."""
        insertion = "INSERT OR IGNORE INTO track (video, name) VALUES (?, ?)"
        with self._change():
            self._base.execute(insertion, (video, name))
            query = "SELECT id FROM track WHERE video = ? AND name = ?"
            return int(self._rows(query, video, name)[0][0])

    def remove_track(self, video: str, track: int) -> None:
        """Remove a track. Raise an InputError if it has segments, or is the only one."""
        with self._change():
            labels = self.labels(video)
            if labels.get(track) or len(labels) == 1:
                problem = "it has segments, or is the only one"
                raise InputError("track", problem, "delete its segments first")
            self._base.execute("DELETE FROM track WHERE id = ?", (track,))

    def labelled_tracks(self, video: str) -> list[Track]:
        """Return the tracks of a video with their labels, as they are at one moment."""
        query = """SELECT track.id, name, start, stop, label, origin, comment, annotator
                   FROM track LEFT JOIN segment ON segment.track = track.id
                   WHERE video = ? ORDER BY track.id, start, stop, label"""
        tracks: dict[int, Track] = {}
        for key, name, start, *row in self._rows(query, video):
            track = tracks.setdefault(key, Track(key, name, []))
            if start is not None:
                track.labels.append(Label(start, *row))
        return list(tracks.values())

    def labels(self, video: str) -> dict[int, list[Label]]:
        """Return the labels of each track of a video, in order of time."""
        return {track.id: track.labels for track in self.labelled_tracks(video)}

    def count(self) -> dict[str, int]:
        """Return the number of labels of each video that has any."""
        query = """SELECT video, count(*) FROM segment JOIN track ON track.id = segment.track
                   GROUP BY video"""
        return dict(self._rows(query))

    def replace(
        self, video: str, track: int, labels: Iterable[Label], revision: int | None, annotator: str
    ) -> int:
        """Replace the labels of a track, as one edit.

        Args:
            video: the id of the video.
            track: the id of the track.
            labels: its labels.
            revision: the revision that was edited; None stands for any.
            annotator: who made the labels that are new.

        Returns:
            The new revision of the video.

        Raises:
            ConflictError: if the video has another revision.
            InputError: if labels overlap or exceed the video, or there is no such track.
        """
        stored = self.video(video)
        assert stored is not None
        checked = check_labels(labels, stored.times)
        with self._change():
            self._check(video, revision)
            tracks = self.labels(video)
            if track not in tracks:
                raise InputError("track", "no such track")
            old = tracks[track]
            annotators = {replace(label, annotator=""): label.annotator for label in old}
            new = []
            for label in checked:
                unsigned = replace(label, annotator="")
                new.append(replace(label, annotator=annotators.get(unsigned, annotator)))
            if Counter(new) != Counter(old):
                self._edit(video, track, old, new, annotator)
        return self._revision(video)

    def _revision(self, video: str) -> int:
        return int(self._rows("SELECT revision FROM video WHERE id = ?", video)[0][0])

    def _check(self, video: str, revision: int | None) -> None:
        if revision is not None and revision != self._revision(video):
            query = "SELECT annotator FROM edit WHERE video = ? ORDER BY id DESC LIMIT 1"
            annotators = [row[0] for row in self._rows(query, video)]
            raise ConflictError("".join(annotators))

    def _edit(
        self,
        video: str,
        track: int,
        old: Sequence[Label],
        new: Sequence[Label],
        annotator: str = "",
    ) -> None:
        """Store an edit as the labels that it removes and adds. Undone edits are dropped."""
        removed = _as_json(Counter(old) - Counter(new))
        added = _as_json(Counter(new) - Counter(old))
        drop = "UPDATE edit SET state = 'dropped' WHERE video = ? AND state = 'undone'"
        self._base.execute(drop, (video,))
        row = (video, track, time.time(), annotator, removed, added)
        query = """INSERT INTO edit (video, track, time, annotator, removed, added, state)
                   VALUES (?, ?, ?, ?, ?, ?, 'done')"""
        self._base.execute(query, row)
        self._exchange(video, track, removed, added)

    def _exchange(self, video: str, track: int, removed: str, added: str) -> None:
        """Delete and insert labels, which are JSON."""
        old = [(track, *row) for row in json.loads(removed)]
        new = [(track, *row) for row in json.loads(added)]
        columns = "track, start, stop, label, origin, comment, annotator"
        same = f"SELECT id FROM segment WHERE ({columns}) = (?, ?, ?, ?, ?, ?, ?) LIMIT 1"
        self._base.executemany(f"DELETE FROM segment WHERE id = ({same})", old)
        self._base.executemany(f"INSERT INTO segment ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", new)
        self._base.execute("UPDATE video SET revision = revision + 1 WHERE id = ?", (video,))

    def step(self, video: str, revision: int | None, *, back: bool) -> None:
        """Undo the last edit of a video, or redo the one that was undone last, if there is one."""
        query = "SELECT id, track, removed, added FROM edit WHERE video = ? AND state = ? "
        query += "ORDER BY id DESC LIMIT 1" if back else "ORDER BY id ASC LIMIT 1"
        state, next_state = ("done", "undone") if back else ("undone", "done")
        with self._change():
            self._check(video, revision)
            for key, track, removed, added in self._rows(query, video, state):
                if back:
                    self._exchange(video, track, added, removed)
                else:
                    self._exchange(video, track, removed, added)
                update = "UPDATE edit SET state = ? WHERE id = ?"
                self._base.execute(update, (next_state, key))

    def can_step(self, video: str) -> tuple[bool, bool]:
        """Return whether there is an edit to undo, and one to redo."""
        query = "SELECT sum(state = 'done'), sum(state = 'undone') FROM edit WHERE video = ?"
        done, undone = self._rows(query, video)[0]
        return bool(done), bool(undone)

    def runs(self) -> dict[str, tuple[Path, str, dict[str, Any]]]:
        """Return the folder, the track and the figures (before, after) of each trained run."""
        runs = {}
        for name, path, track, figures in self._rows(
            "SELECT name, path, track, figures FROM run ORDER BY made"
        ):
            runs[name] = (self.folder / path, track, json.loads(figures))
        return runs

    def add_run(self, path: Path, track: str, figures: dict[str, Any]) -> None:
        """Add a trained run."""
        row = (path.name, self._stored(path), track, time.time(), json.dumps(figures))
        with self._change():
            self._base.execute("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?)", row)


def _remedy(folder: Path) -> str:
    """Return what to do about a damaged database."""
    copy = folder / BACKUP
    if not copy.is_file():
        return "restore it from a copy of yours, or name a new folder"
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(copy.stat().st_mtime))
    return f"{BACKUP} is a good copy of {moment}: rename it to {DATABASE}"


def _as_json(labels: Counter[Label]) -> str:
    return json.dumps([astuple(label) for label in sorted(labels.elements())])


def check_labels(labels: Iterable[Label], times: NDArray[np.float64]) -> list[Label]:
    """Return labels in order of time.

    Args:
        labels: the labels of a track.
        times: seconds at which the frames of the video start, and the end, (N + 1,).

    Raises:
        InputError: if labels overlap, or exceed the video.
    """
    n_frames = len(times) - 1
    labels = list(labels)
    for number, label in enumerate(labels, start=1):
        if not 0 <= label.start <= label.stop <= n_frames or label.start == n_frames:
            problem = f"frames [{label.start}, {label.stop}) of {n_frames}"
            raise InputError(f"segments {number}", problem)
    ordered = sorted(labels)
    for first, second in pairwise(ordered):
        is_same = (first.start, first.stop) == (second.start, second.stop)
        if is_same or second.start < first.stop:
            start = times[first.start]
            stop = times[first.stop]
            problem = f"this overlaps {first.label!r} ({start:.2f} to {stop:.2f} s)"
            raise InputError("segments", problem, "shorten it, or use another track")
    return ordered
