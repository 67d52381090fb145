"""The database of a project: tables, transactions and the good copy."""

import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, library_errors
from fact_clip.core.paths import whole_file

logger = logging.getLogger(__name__)

DATABASE = "project.sqlite"
BACKUP = "project.backup.sqlite"
"""A copy of the database, made whenever a page of the project is opened."""

ODD_VALUE = "restore project.sqlite from a copy of yours"
"""What to do about a damaged value in a database that is whole."""

VERSION = 7
"""The version of the tables, which a project stores (PRAGMA user_version)."""

SEGMENTS = """
    CREATE TABLE segment (
        id INTEGER PRIMARY KEY, track INTEGER NOT NULL REFERENCES track ON DELETE CASCADE,
        start INTEGER NOT NULL, stop INTEGER NOT NULL, label TEXT NOT NULL,
        origin TEXT NOT NULL
            CHECK (origin IN ('predicted', 'corrected', 'drawn', 'imported', 'grouped')),
        comment TEXT NOT NULL, annotator TEXT NOT NULL, CHECK (0 <= start AND start <= stop)
    );
    CREATE INDEX segment_of_track ON segment (track, start);
    CREATE INDEX segment_of_label ON segment (label);
"""

FROM_6 = f"""
    DROP INDEX segment_of_track;
    DROP INDEX segment_of_label;
    ALTER TABLE segment RENAME TO old_segment;
    {SEGMENTS}
    INSERT INTO segment SELECT * FROM old_segment;
    DROP TABLE old_segment;
"""
"""The script that converts a project of version 6, whose labels have no origin "grouped"."""

TABLES = f"""
    CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE action (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, colour INTEGER NOT NULL,
        key TEXT NOT NULL, description TEXT NOT NULL, paint TEXT NOT NULL DEFAULT '',
        point INTEGER NOT NULL DEFAULT 0, background INTEGER NOT NULL DEFAULT 0,
        id TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE video (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, media TEXT, features TEXT, times BLOB NOT NULL,
        complete INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0, added REAL NOT NULL,
        removed REAL, identity TEXT NOT NULL DEFAULT '{{}}', layout TEXT, fps REAL
    );
    CREATE TABLE revision (
        video TEXT PRIMARY KEY REFERENCES video ON DELETE CASCADE, number INTEGER NOT NULL
    );
    CREATE TABLE track (
        id INTEGER PRIMARY KEY, video TEXT NOT NULL REFERENCES video ON DELETE CASCADE,
        name TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0,
        complete INTEGER NOT NULL DEFAULT 0, annotator TEXT NOT NULL DEFAULT '',
        UNIQUE (video, name)
    );
    {SEGMENTS}
    CREATE TABLE step (
        id INTEGER PRIMARY KEY AUTOINCREMENT, video TEXT REFERENCES video ON DELETE CASCADE,
        edit TEXT UNIQUE, time REAL NOT NULL, author TEXT NOT NULL, annotator TEXT NOT NULL,
        title TEXT NOT NULL, actions TEXT NOT NULL, revision INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('done', 'undone', 'dropped'))
    );
    CREATE INDEX step_of_author ON step (author, state);
    CREATE TABLE part (
        step INTEGER NOT NULL REFERENCES step ON DELETE CASCADE, track INTEGER NOT NULL,
        removed TEXT NOT NULL, added TEXT NOT NULL, revision INTEGER NOT NULL
    );
    CREATE INDEX part_of_step ON part (step);
    CREATE INDEX part_of_track ON part (track);
    CREATE TABLE run (
        name TEXT PRIMARY KEY, path TEXT NOT NULL, track TEXT NOT NULL, made REAL NOT NULL,
        figures TEXT NOT NULL
    );
"""
"""The script that creates the tables.

`video.complete` and `video.revision` are not used, since a change of a row of `video` writes its
times, too. A step of no video is a step of the whole project. Its `actions` are the rows of
`action` that it removed and added.
"""


class Database:
    """The database of a project, for several threads and processes. A new one is created."""

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
            self.execute("PRAGMA foreign_keys = ON")
            self._lock = threading.RLock()
            self.folder = folder.resolve()
            self._create_tables()
        except (OSError, sqlite3.OperationalError) as error:
            raise InputError(path, f"cannot be opened ({error})") from None
        except sqlite3.DatabaseError as error:
            raise InputError(path, f"damaged ({error})", _remedy(folder)) from None

    def _create_tables(self) -> None:
        """Create the tables of a new project, and check the version of a stored one."""
        with self.change():
            version = self.value("PRAGMA user_version")
            if version not in (0, 6, VERSION):
                problem = f"a project of version {version}, but this version reads {VERSION}"
                fix = "use the fact-clip version that wrote it"
                raise InputError(self.folder, problem, fix)
            if version != VERSION:
                for statement in (FROM_6 if version else TABLES).split(";"):
                    self.execute(statement)
                self.execute(f"PRAGMA user_version = {VERSION}")
            self.execute("DELETE FROM setting WHERE key = 'token' AND value = ''")
            self.execute(
                "INSERT OR IGNORE INTO setting VALUES ('token', ?)", secrets.token_urlsafe(32)
            )

    def back_up(self) -> None:
        """Copy the database to BACKUP, which stays as it is if the database is damaged.

        Raises:
            InputError: If the database is damaged.
        """
        path = self.folder / DATABASE
        try:
            (problem,) = self.rows("PRAGMA quick_check(1)")[0]
        except sqlite3.DatabaseError as error:
            problem = str(error)
        if problem != "ok":
            raise InputError(path, f"damaged ({problem})", _remedy(self.folder))
        try:
            self._copy()
        except (OSError, sqlite3.OperationalError) as error:  # a full disk; labels can be read
            logger.warning("%s: no copy was made (%s)", self.folder / BACKUP, error)

    def _copy(self) -> None:
        with (
            whole_file(self.folder / BACKUP) as unfinished,
            closing(sqlite3.connect(unfinished)) as copy,
            self._lock,
        ):
            self._base.backup(copy)

    def renew_token(self) -> None:
        """Replace the token, so that browsers with the old one are not let in any more."""
        with self.change():
            self.execute(
                "UPDATE setting SET value = ? WHERE key = 'token'", secrets.token_urlsafe(32)
            )

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._base.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Run the block as one transaction, or as part of the one that it is in."""
        with self._lock:
            if self._base.in_transaction:
                yield
                return
            with self._base:
                self.execute("BEGIN IMMEDIATE")
                yield

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query."""
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def execute(self, query: str, *values: object) -> int:
        """Run a statement within a change, and return how many rows it has changed."""
        return self._base.execute(query, values).rowcount

    def value(self, query: str, *values: object) -> Any:
        """Return the first value of a query that has a row."""
        return self.rows(query, *values)[0][0]

    def stamp(self) -> str:
        """Return a text that changes with the database, by whatever process."""
        with self._lock:
            return f"{self._base.total_changes}.{self.value('PRAGMA data_version')}"

    @property
    def token(self) -> str:
        """Return the token that opens the page of this project."""
        rows = self.rows("SELECT value FROM setting WHERE key = 'token' AND value <> ''")
        if not rows:
            return secrets.token_urlsafe(32)  # which nobody knows
        return str(rows[0][0])

    def setting(self, key: str, default: Any = None) -> Any:
        """Return a setting, of the type of `default` unless that is None."""
        rows = self.rows("SELECT value FROM setting WHERE key = ?", key)
        if not rows:
            return default
        return parsed(key, rows[0][0], object if default is None else type(default))

    def set(self, key: str, value: Any) -> None:
        """Store a setting."""
        with self.change():
            self.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", key, json.dumps(value))


def parsed(where: str, content: str, kind: type) -> Any:
    """Return stored JSON. Raise an InputError if it is damaged or of another type."""
    with library_errors(where, "its value is damaged", ValueError, fix=ODD_VALUE):
        value = json.loads(content)
        if not isinstance(value, kind):
            raise ValueError(f"not a {kind.__name__}")
    return value


def _remedy(folder: Path) -> str:
    """Return what to do about a damaged database."""
    copy = folder / BACKUP
    if not copy.is_file():
        return "restore it from a copy of yours, or name a new folder"
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(copy.stat().st_mtime))
    return f"{BACKUP} is a good copy of {moment}: rename it to {DATABASE}"
