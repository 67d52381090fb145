"""A project: a folder with project.sqlite and the files that it refers to. A change is stored before it is answered."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ConfigDict, Field

from fact_clip.core import InputError

DATABASE = "project.sqlite"
Origin = Literal["predicted", "corrected", "drawn", "imported"]

# Each entry leads from the version before to the next one; a project says which it has (PRAGMA user_version).
MIGRATIONS = (
    """
    CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE action (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, colour INTEGER NOT NULL, key TEXT NOT NULL,
        description TEXT NOT NULL
    );
    CREATE TABLE video (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, media TEXT, features TEXT, times BLOB NOT NULL,
        complete INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0, added REAL NOT NULL, removed REAL
    );
    CREATE TABLE track (
        id INTEGER PRIMARY KEY, video TEXT NOT NULL REFERENCES video ON DELETE CASCADE, name TEXT NOT NULL,
        UNIQUE (video, name)
    );
    CREATE TABLE segment (
        id INTEGER PRIMARY KEY, track INTEGER NOT NULL REFERENCES track ON DELETE CASCADE, start INTEGER NOT NULL,
        stop INTEGER NOT NULL, label TEXT NOT NULL,
        origin TEXT NOT NULL CHECK (origin IN ('predicted', 'corrected', 'drawn', 'imported')),
        comment TEXT NOT NULL, annotator TEXT NOT NULL, CHECK (0 <= start AND start <= stop)
    );
    CREATE INDEX segment_of_track ON segment (track);
    CREATE TABLE edit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, video TEXT NOT NULL REFERENCES video ON DELETE CASCADE,
        track INTEGER NOT NULL, time REAL NOT NULL, annotator TEXT NOT NULL, removed TEXT NOT NULL, added TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('done', 'undone', 'dropped'))
    );
    CREATE INDEX edit_of_video ON edit (video, state);
    CREATE TABLE run (
        name TEXT PRIMARY KEY, path TEXT NOT NULL, track TEXT NOT NULL, made REAL NOT NULL, figures TEXT NOT NULL
    );
    """,
)


MAX_NAME = 200  # Characters of an action name, at most


def _one_line(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(f"a name is one line of at most {MAX_NAME} characters")
    return name


def _text(text: str) -> str:
    if any(not character.isprintable() and character != "\n" for character in text):
        raise ValueError("a text has no control characters")
    return text


# What a request may say (requests.py); the store itself checks nothing of it.
Name = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, Field(max_length=2000), AfterValidator(_text)]
Annotator = Annotated[str, Field(max_length=80), AfterValidator(_text)]
Frame = Annotated[int, Field(ge=0, le=10**9, strict=True)]


@dataclass(frozen=True, order=True)
class Label:
    """A labelled stretch of a track, in frames of the video; an instant where `start` is `stop`."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    start: Frame
    stop: Frame
    label: Name
    origin: Origin = "drawn"
    comment: Text = ""
    annotator: Annotator = ""


@dataclass(frozen=True)
class Action:
    """A name that segments may have, with the number of its colour and the key that gives it."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    name: Name
    colour: Annotated[int, Field(ge=-1, le=10_000)] = -1  # -1: the first that is free
    key: Annotated[str, Field(max_length=1), AfterValidator(_text)] = ""
    description: Text = ""


@dataclass(frozen=True, eq=False)
class VideoEntry:
    """A video of a project; paths are absolute."""

    id: str
    name: str
    media: Path | None
    features: (
        Path | None
    )  # a feature file that somebody gave; features that are made of `media` are not here
    times: NDArray[np.float64]  # (N + 1,) seconds at which its frames start, and the end
    complete: bool  # what no segment covers is background, and not merely unlabelled
    revision: int  # how often its labels were changed

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.times) - 1


class ConflictError(Exception):
    """Somebody else has changed the labels of the video meanwhile."""


class Project:
    """The store. Several threads may call its methods, and several processes may open a project; a new one is made."""

    def __init__(self, folder: Path) -> None:
        if (
            folder.exists()
            and not (folder / DATABASE).is_file()
            and (not folder.is_dir() or any(folder.iterdir()))
        ):
            raise InputError(
                folder, "not a project", "name a new folder, or one with project.sqlite"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._base = sqlite3.connect(
                folder / DATABASE, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA foreign_keys = ON")
            self._lock = threading.RLock()
            self.folder = folder.resolve()
            self._migrate()
        except (OSError, sqlite3.DatabaseError) as error:
            raise InputError(folder / DATABASE, f"cannot be opened ({error})") from None

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

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One change: all of it is stored at the end, or nothing."""
        with self._lock, self._base:
            self._base.execute("BEGIN IMMEDIATE")
            yield

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    @property
    def token(self) -> str:
        """What opens the page of this project."""
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
        self, actions: Sequence[Action], renamed: tuple[str, str] | None = None
    ) -> None:
        """Store other actions; segments that have the first name of `renamed` get the second one, as an edit.

        Actions without a colour keep theirs, or get the first that is free.
        """
        with self._change():
            colours = {action.name: action.colour for action in self.actions()}
            if renamed is not None and renamed[0] in colours:
                colours.setdefault(renamed[1], colours[renamed[0]])
            listed = [
                replace(action, colour=max(action.colour, colours.get(action.name, -1)))
                for action in actions
            ]
            free = iter(
                sorted({*range(2 * len(listed) + 1)} - {action.colour for action in listed})
            )
            self._base.execute("DELETE FROM action")
            for position, action in enumerate(listed):
                colour = action.colour if action.colour >= 0 else next(free)
                row = action.name, position, colour, action.key, action.description
                self._base.execute("INSERT INTO action VALUES (?, ?, ?, ?, ?)", row)
            if renamed is not None:
                old, new = renamed
                query = "SELECT DISTINCT video, track FROM segment JOIN track ON track.id = track WHERE label = ?"
                for video, track in self._rows(query, old):
                    labels = self.labels(video)[track]
                    after = [
                        replace(label, label=new if label.label == old else label.label)
                        for label in labels
                    ]
                    self._edit(video, track, labels, after)

    def add_actions(self, names: Iterable[str]) -> None:
        """Add the names that are not there yet."""
        actions = self.actions()
        before = {action.name for action in actions}
        new = [Action(name) for name in dict.fromkeys(names) if name not in before]
        if new:
            self.set_actions([*actions, *new])

    def add_video(
        self,
        name: str,
        media: Path | None,
        features: Path | None,
        times: NDArray[np.float64],
        complete: bool = True,
    ) -> str:
        """Add a video with one track; its id. Paths in the folder of the project are stored relative to it."""
        paths = [None if path is None else self._stored(path) for path in (media, features)]
        key, query = (
            secrets.token_hex(8),
            "INSERT INTO video (id, name, media, features, times, complete, added)",
        )
        with self._change():
            row = key, name, *paths, np.asarray(times, np.float64).tobytes(), complete, time.time()
            self._base.execute(f"{query} VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._base.execute("INSERT INTO track (video, name) VALUES (?, 'main')", (key,))
        return key

    def _stored(self, path: Path) -> str:
        path = path.resolve()
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)

    def videos(self, *, removed: bool = False) -> list[VideoEntry]:
        """Return the videos in the order in which they were added, or those that were removed; without their times."""
        return self._videos(
            f"removed IS {'NOT ' if removed else ''}NULL ORDER BY added, id", times="x''"
        )

    def full_videos(self) -> Iterator[VideoEntry]:
        """Yield the videos with their times, in the order in which they were added."""
        for entry in self.videos():
            if (video := self.video(entry.id)) is not None:
                yield video

    def video(self, key: str) -> VideoEntry | None:
        """Return a video that was not removed."""
        return next(iter(self._videos("id = ? AND removed IS NULL", key)), None)

    def _videos(self, condition: str, *values: object, times: str = "times") -> list[VideoEntry]:
        query = f"SELECT id, name, media, features, {times}, complete, revision FROM video WHERE "
        return [
            VideoEntry(
                key,
                name,
                self._path(media),
                self._path(features),
                np.frombuffer(times),
                bool(complete),
                *others,
            )
            for key, name, media, features, times, complete, *others in self._rows(
                query + condition, *values
            )
        ]

    def _path(self, stored: str | None) -> Path | None:
        return None if stored is None else self.folder / stored

    def change_video(self, key: str, **values: object) -> None:
        """Store other values of a video: name, complete, or the time at which it was removed (None: it was not)."""
        with self._change():
            for column, value in values.items():
                self._base.execute(f"UPDATE video SET {column} = ? WHERE id = ?", (value, key))

    def tracks(self, video: str) -> dict[int, str]:
        """Return the names of the tracks of a video, in order."""
        return dict(self._rows("SELECT id, name FROM track WHERE video = ? ORDER BY id", video))

    def add_track(self, video: str, name: str) -> int:
        """Add a track, or return the one of that name."""
        with self._change():
            self._base.execute(
                "INSERT OR IGNORE INTO track (video, name) VALUES (?, ?)", (video, name)
            )
            return int(
                self._rows("SELECT id FROM track WHERE video = ? AND name = ?", video, name)[0][0]
            )

    def remove_track(self, video: str, track: int) -> None:
        """Remove a track without segments; an InputError for any other, and for the last one."""
        with self._change():
            if self.labels(video)[track] or len(self.tracks(video)) == 1:
                raise InputError(
                    "track", "it has segments, or is the only one", "delete its segments first"
                )
            self._base.execute("DELETE FROM track WHERE id = ?", (track,))

    def labels(self, video: str) -> dict[int, list[Label]]:
        """Return the labels of each track of a video, in order of time."""
        labels: dict[int, list[Label]] = {track: [] for track in self.tracks(video)}
        query = """SELECT track, start, stop, label, origin, comment, annotator FROM segment
                   WHERE track IN (SELECT id FROM track WHERE video = ?) ORDER BY start, stop, label"""
        for track, *row in self._rows(query, video):
            labels[track].append(Label(*row))
        return labels

    def count(self) -> dict[str, int]:
        """Return the number of labels of each video that has any."""
        return dict(
            self._rows(
                "SELECT video, count(*) FROM segment JOIN track ON track.id = segment.track GROUP BY video"
            )
        )

    def replace(
        self, video: str, track: int, labels: Iterable[Label], revision: int | None, annotator: str
    ) -> int:
        """Give a track other labels, which is one edit; the new revision of the video.

        A ConflictError where the video has another revision than the caller saw (None: any will do).
        """
        entry = self.video(video)
        assert entry is not None
        new = check_labels(labels, entry.n_frames)
        with self._change():
            self._check(video, revision)
            before = self.labels(video)
            if track not in before:
                raise InputError("track", "no such track")
            named = {replace(label, annotator=""): label.annotator for label in before[track]}
            new = [
                replace(label, annotator=named.get(replace(label, annotator=""), annotator))
                for label in new
            ]
            if Counter(new) != Counter(before[track]):
                self._edit(video, track, before[track], new, annotator)
        return self._revision(video)

    def _revision(self, video: str) -> int:
        return int(self._rows("SELECT revision FROM video WHERE id = ?", video)[0][0])

    def _check(self, video: str, revision: int | None) -> None:
        if revision is not None and revision != self._revision(video):
            raise ConflictError

    def _edit(
        self,
        video: str,
        track: int,
        before: Sequence[Label],
        after: Sequence[Label],
        annotator: str = "",
    ) -> None:
        """Store an edit as what it took and what it gave; what was undone before can no longer be redone."""
        removed, added = Counter(before) - Counter(after), Counter(after) - Counter(before)
        self._base.execute(
            "UPDATE edit SET state = 'dropped' WHERE video = ? AND state = 'undone'", (video,)
        )
        parts = [
            json.dumps([astuple(label) for label in sorted(some.elements())])
            for some in (removed, added)
        ]
        query = "INSERT INTO edit (video, track, time, annotator, removed, added, state)"
        row = video, track, time.time(), annotator, *parts
        self._base.execute(f"{query} VALUES (?, ?, ?, ?, ?, ?, 'done')", row)
        self._exchange(video, track, *parts)

    def _exchange(self, video: str, track: int, removed: str, added: str) -> None:
        old, new = ([(track, *row) for row in json.loads(part)] for part in (removed, added))
        columns = "track, start, stop, label, origin, comment, annotator"
        same = f"SELECT id FROM segment WHERE ({columns}) = (?, ?, ?, ?, ?, ?, ?) LIMIT 1"
        self._base.executemany(f"DELETE FROM segment WHERE id = ({same})", old)
        self._base.executemany(f"INSERT INTO segment ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", new)
        self._base.execute("UPDATE video SET revision = revision + 1 WHERE id = ?", (video,))

    def step(self, video: str, revision: int | None, *, back: bool) -> None:
        """Undo the last edit of a video, or redo the last that was undone; nothing where there is none."""
        state, order = ("done", "DESC") if back else ("undone", "ASC")
        query = f"SELECT id, track, removed, added FROM edit WHERE video = ? AND state = ? ORDER BY id {order} LIMIT 1"
        with self._change():
            self._check(video, revision)
            for key, track, removed, added in self._rows(query, video, state):
                self._exchange(video, track, *((added, removed) if back else (removed, added)))
                self._base.execute(
                    "UPDATE edit SET state = ? WHERE id = ?",
                    (("done", "undone")[state == "done"], key),
                )

    def can_step(self, video: str) -> tuple[bool, bool]:
        """Return whether there is an edit to undo, and one to redo."""
        query = "SELECT sum(state = 'done'), sum(state = 'undone') FROM edit WHERE video = ?"
        done, undone = self._rows(query, video)[0]
        return bool(done), bool(undone)

    def runs(self) -> dict[str, tuple[Path, str, dict[str, Any]]]:
        """Return the trained runs by name: their folder, the track that they label, and figures before and after."""
        rows = self._rows("SELECT name, path, track, figures FROM run ORDER BY made")
        return {
            name: (self.folder / path, track, json.loads(figures))
            for name, path, track, figures in rows
        }

    def add_run(self, path: Path, track: str, figures: dict[str, Any]) -> None:
        """Add a trained run."""
        with self._change():
            row = path.name, self._stored(path), track, time.time(), json.dumps(figures)
            self._base.execute("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?)", row)


def check_labels(labels: Iterable[Label], n_frames: int) -> list[Label]:
    """Return the labels in order of time; an InputError where they do not lie apart in a video of that length."""
    labels = list(labels)
    for number, label in enumerate(labels, start=1):
        if not 0 <= label.start <= label.stop <= n_frames or label.start == n_frames:
            raise InputError(
                f"segments {number}", f"frames [{label.start}, {label.stop}) of {n_frames}"
            )
    ordered = sorted(labels)
    for before, after in pairwise(ordered):
        if after.start < before.stop or (before.start, before.stop) == (after.start, after.stop):
            raise InputError(
                "segments", f"two segments share frame {after.start}", "use another track"
            )
    return ordered
