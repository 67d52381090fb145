"""The store of the page: a folder with project.sqlite and the files that it refers to."""

import json
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field

from fact_clip.core import BACKGROUND, NONE_OF_THESE, Floats, InputError, Json, Names
from fact_clip.core.identity import identity_of, is_same
from fact_clip.core.messages import is_name, printable
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.labels import UNLABELLED
from fact_clip_app.store.database import ODD_VALUE, Database, parsed

Origin = Literal["predicted", "corrected", "drawn", "imported", "grouped"]
Unlabelled = Literal["background", "ignore", "skip"]
"""How training uses the unlabelled frames of a video, or the whole video."""

BLIND = "blind"
"""Setting of the project: the name of the person who has switched Blind on, or false."""

ROLES = "tested videos"
"""Setting of the project: by the id of a video, whether it tests. Without an entry it is new."""

MAX_MINUTES = "max minutes"
"""Setting of the project: the duration of a video, at most."""

FIELDS = "fields"
"""Setting of the project: by the id of a video, its fields, as {"treatment": "drug"}."""

MAX_NAME = 200
"""Characters of an action name, at most."""

KEYS = "123456789abcdefghnqrtuvwxyz"
"""Keys of the keyboard that actions get by themselves."""

MAX_COMMENT = 2000
"""Characters of a comment or a description, at most."""


def _one_line(name: str) -> str:
    name = name.strip()
    if len(name) > MAX_NAME or not is_name(name):
        raise ValueError(f"a name is one line of at most {MAX_NAME} characters")
    return name


def _printable(value: str) -> str:
    if any(printable(line) != line for line in value.split("\n")):
        raise ValueError("a text has no control characters")
    return value


# Constraints of requests (requests.py). The store does not check them.
Name = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, Field(max_length=MAX_COMMENT), AfterValidator(_printable)]
Annotator = Annotated[str, Field(max_length=80), AfterValidator(_printable)]
Key = Annotated[str, Field(max_length=1), AfterValidator(_printable)]
Token = Annotated[str, Field(max_length=64, pattern=r"^\P{C}*$")]  # a random id of a browser
Paint = Annotated[str, Field(pattern="^(#[0-9a-f]{6})?$")]
Frame = Annotated[int, Field(ge=0, le=10**9, strict=True)]


@dataclass(frozen=True, order=True)
class Label:
    """A labelled segment in frames of the video, or a point event if `start` is `stop`.

    Segments of a track do not overlap. Point events are a layer above them.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    start: Frame
    stop: Frame
    label: Name
    origin: Origin = "drawn"
    comment: Text = ""
    annotator: Annotator = ""

    @property
    def is_point(self) -> bool:
        """Return whether it is a point event, which has no duration."""
        return self.start == self.stop


@dataclass(frozen=True)
class Action:
    """A name for segments, with the number of its colour and its key on the keyboard."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    name: Name
    colour: Annotated[int, Field(ge=-1, le=10_000)] = -1  # -1: the first that is free
    key: Key = ""  # of a new action: the first that is free
    description: Text = ""
    paint: Paint = ""  # the colour that a person has chosen
    point: bool = False  # whether its key sets a point event
    background: bool = False  # whether it means that nothing happens


def actions_named(names: Iterable[str], background: Collection[str]) -> list[Action]:
    """Return actions of some names, marked as background if they are in `background`."""
    actions = []
    for name in names:
        if name not in (BACKGROUND, NONE_OF_THESE):
            actions.append(Action(name, background=name in background))
    return actions


@dataclass(frozen=True, eq=False)
class VideoEntry:
    """A video of a project, with absolute paths."""

    id: str
    name: str
    media: Path | None
    features: Path | None  # a file from the user, not extracted from `media`
    times: Floats  # (N + 1,) seconds at which its frames start, and the end
    revision: int  # how often it was changed
    identity: Json  # of its file when it was added, or {} if it is unknown
    layout: Layout | None = None  # of `features`, or None for the layout of the run in use
    fps: float | None = None  # rows a second of `features`, if they have a rate

    def check_file(self) -> None:
        """Raise an InputError if the file of the video has changed since the video was added."""
        path = self.media or self.features
        if (
            path is not None
            and path.is_file()
            and self.identity
            and not is_same(self.identity, path)
        ):
            problem = "has changed since it was added"
            raise InputError(path, problem, "add it as a new video, or restore the old file")

    @property
    def n_frames(self) -> int:
        """Return the number of frames."""
        return len(self.times) - 1

    @property
    def duration(self) -> float:
        """Return the seconds from the first frame to the end."""
        return float(self.times[-1] - self.times[0])


@dataclass(frozen=True)
class Track:
    """A track of a video."""

    id: int
    name: str
    segments: list[Label]  # in order of time
    revision: int  # how often its labels were changed
    complete: bool  # frames without a segment are background, not merely unlabelled
    annotator: str  # whose track it is, or ""

    @property
    def is_labelled(self) -> bool:
        """Return whether somebody has labelled it, if only as complete."""
        return bool(self.segments) or self.complete

    @property
    def raters(self) -> set[str]:
        """Return the people who labelled it, or its owner if it has no labels."""
        return {self.author(label) for label in self.segments} or {self.annotator}

    def author(self, label: Label) -> str:
        """Return who made a label of the track, or "". Without a name, it is of the owner."""
        return label.annotator or self.annotator


def gaps_between(labels: Iterable[Label], n_frames: int) -> list[Label]:
    """Return the time without segments as labels UNLABELLED. Point events divide no gap."""
    gaps = []
    end = 0
    segments = sorted(label for label in labels if not label.is_point)
    for label in [*segments, Label(n_frames, n_frames, UNLABELLED)]:
        if end < label.start:
            gaps.append(Label(end, label.start, UNLABELLED))
        end = max(end, label.stop)
    return gaps


NO_TIMES: Floats = np.empty(0)
"""The times of a video in a list, which is read without them."""

UNUSED = {"count": 0, "videos": 0, "removed": 0}
"""The usage of an action without segments."""


class LabelFacts(NamedTuple):
    """What a person sees of the labels of a video without looking at them."""

    n_segments: int = 0  # without background
    is_labelled: bool = False
    is_complete: bool = False  # all tracks are that are labelled
    share: float = 0.0  # of labelled frames in the tracks with labels, or 1 if complete
    annotators: Sequence[str] = ()


class ActionRow(NamedTuple):
    """An action as it is stored."""

    name: str
    colour: int
    key: str
    description: str
    paint: str
    position: float
    point: bool = False  # steps that were stored before these columns existed lack them
    background: bool = False
    id: str = ""  # the same after the name changes, or "" for a new action

    @property
    def action(self) -> Action:
        """Return the action without its position."""
        return Action(*self[:5], point=bool(self.point), background=bool(self.background))


# The value 1 is a viewer, or NULL for all tracks. A person sees the tracks whose owner and labels
# are theirs, and empty tracks without an owner. A label without a name belongs to the owner.
SEEN = """(?1 IS NULL OR (?1 <> '' AND track.annotator IN ('', ?1) AND NOT EXISTS (
    SELECT 1 FROM segment AS foreign_segment WHERE foreign_segment.track = track.id
    AND coalesce(nullif(foreign_segment.annotator, ''), track.annotator) <> ?1)))"""


class Project(Database):
    """The store. Every change is complete in the database when its method returns.

    Changes of labels and of stored actions are steps (history.py).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._durations: dict[str, float] = {}

    @property
    def blind_owner(self) -> str | None:
        """Return who has switched Blind on, or None if everybody sees all labels."""
        stored = self.setting(BLIND)
        if stored in (None, False):
            return None
        return str(stored)

    def owns(self, viewer: str | None) -> bool:
        """Return whether a person may do what is left to the owner while Blind is on."""
        owner = self.blind_owner
        return owner is None or viewer is None or owner == viewer

    def eyes(self, viewer: str | None) -> str | None:
        """Return the viewer of `SEEN`: the name of a person, or None if all tracks are visible.

        Args:
            viewer: Name of a person, "" for somebody without a name, or None for the owner of
                this computer.
        """
        return None if self.blind_owner is None else viewer

    def action_rows(self) -> list[ActionRow]:
        """Return the actions as they are stored, in order."""
        query = """SELECT name, colour, key, description, paint, position, point, background, id
                   FROM action ORDER BY position, name"""
        return [ActionRow(*row) for row in self.rows(query)]

    def actions(self) -> list[Action]:
        """Return the actions in order."""
        return [row.action for row in self.action_rows()]

    @property
    def background(self) -> Names:
        """Return the names that mean no action, the first one for what is not labelled.

        The name for rejected frames is among them if a person has accepted such a draft.
        """
        names = [row.name for row in self.action_rows() if row.background]
        names.append(BACKGROUND)
        if self.rows("SELECT id FROM segment WHERE label = ? LIMIT 1", NONE_OF_THESE):
            names.append(NONE_OF_THESE)
        return tuple(dict.fromkeys(names))

    def add_actions(self, actions: Iterable[str | Action]) -> None:
        """Append the actions whose names are new.

        One without a colour gets the first free one, and so does one whose key is missing or taken.
        """
        with self.change():
            rows = self.action_rows()
            new = [Action(action) if isinstance(action, str) else action for action in actions]
            everything: list[Action | ActionRow] = [*rows, *new]
            colours = {action.colour for action in everything}
            keys = {action.key.lower() for action in everything}
            free_colours = (number for number in count() if number not in colours)
            free_keys = (key for key in KEYS if key not in keys)
            names = {row.name for row in rows}
            taken_keys = {"", *(row.key.lower() for row in rows)}
            position = max((row.position for row in rows), default=-1.0)
            for action in new:
                if action.name in names:
                    continue
                names.add(action.name)
                position += 1
                colour = action.colour if action.colour >= 0 else next(free_colours)
                key = action.key
                if key.lower() in taken_keys:
                    key = next(free_keys, "")
                taken_keys.add(key.lower())
                values = {"colour": colour, "key": key, "position": position}
                self.insert_action(ActionRow(**asdict(action) | values))

    def insert_action(self, row: ActionRow) -> None:
        """Insert an action within a change."""
        if row.name in (UNLABELLED, NONE_OF_THESE):
            problem = f"{row.name!r} is not a class, but what has none"
            raise InputError("class", problem, "choose a different name")
        query = """INSERT INTO action
                   (name, colour, key, description, paint, position, point, background, id)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
        self.execute(query, *row[:-1], row.id or secrets.token_hex(8))

    def add_video(
        self,
        name: str,
        media: Path | None,
        features: Path | None,
        times: Floats,
        layout: Layout | None = None,
        fps: float | None = None,
    ) -> str:
        """Add a video with one track.

        Args:
            name: Name of the video.
            media: Video file, stored relative to the project if it is in the project folder.
            features: Feature file, stored in the same way.
            times: Start times of the frames and the end of the last frame, in seconds, (N + 1,).
            layout: Layout of the feature file.
            fps: Rows per second of the feature file.

        Returns:
            The id of the video.
        """
        key = secrets.token_hex(8)
        query = """INSERT INTO video (id, name, media, features, times, complete, added, identity,
                                      layout, fps)
                   VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?)"""
        file = media or features
        identity = identity_of(file) if file is not None and file.is_file() else {}
        track_query = "INSERT INTO track (video, name) VALUES (?, 'main')"
        with self.change():
            self.execute(
                query,
                key,
                name,
                self._stored(media),
                self._stored(features),
                times.tobytes(),
                time.time(),
                json.dumps(identity),
                layout,
                fps,
            )
            self.execute("INSERT INTO revision VALUES (?, 0)", key)
            self.execute(track_query, key)
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
        return self._videos(f"{condition} ORDER BY added, id", times="NULL")

    def full_videos(self) -> Iterator[VideoEntry]:
        """Yield the videos with their times, as they were added."""
        for brief in self.videos():
            video = self.video(brief.id)
            if video is not None:
                yield video

    def video(self, key: str) -> VideoEntry | None:
        """Return a video that has not been removed."""
        return next(iter(self._videos("id = ? AND removed IS NULL", key)), None)

    def _videos(self, condition: str, *values: object, times: str = "times") -> list[VideoEntry]:
        columns = f"id, name, media, features, {times}, number, identity, layout, fps"
        tables = "video JOIN revision ON revision.video = video.id"
        videos = []
        for row in self.rows(f"SELECT {columns} FROM {tables} WHERE {condition}", *values):
            key, name, media, features, seconds, revision, identity, layout, fps = row
            video = VideoEntry(
                id=key,
                name=name,
                media=self._path(media),
                features=self._path(features),
                times=NO_TIMES if seconds is None else _read_times(name, seconds),
                revision=revision,
                identity=parsed(f"identity of {name}", identity, dict),
                layout=layout,
                fps=fps,
            )
            videos.append(video)
        return videos

    def _path(self, stored: str | None) -> Path | None:
        return None if stored is None else self.folder / stored

    def duration(self, video: str) -> float:
        """Return the seconds from the first frame of a video to its end."""
        if video not in self._durations:
            query = "SELECT name, times FROM video WHERE id = ?"
            times = _read_times(*self.rows(query, video)[0])
            self._durations[video] = float(times[-1] - times[0])
        return self._durations[video]

    def touch(self, video: str) -> None:
        """Record, within a transaction, that a video has changed."""
        self.execute("UPDATE revision SET number = number + 1 WHERE video = ?", video)

    def change_video(self, key: str, **values: object) -> None:
        """Change values of a video: name, or removed (a time)."""
        with self.change():
            for column, value in values.items():
                self.execute(f"UPDATE video SET {column} = ? WHERE id = ?", value, key)
            self.touch(key)

    def tracks(self, video: str, viewer: str | None = None) -> dict[int, str]:
        """Return the names of the tracks of a video that a person sees, in order."""
        query = f"SELECT id, name FROM track WHERE video = ?2 AND {SEEN} ORDER BY id"
        return dict(self.rows(query, self.eyes(viewer), video))

    def sees(self, track: int, viewer: str) -> bool:
        """Return whether a person may see a track. A removed track is hidden if Blind is on."""
        eyes = self.eyes(viewer)
        query = f"SELECT id FROM track WHERE id = ?2 AND {SEEN}"
        return eyes is None or bool(self.rows(query, eyes, track))

    def add_track(self, video: str, name: str, annotator: str = "") -> int:
        """Add a track, unless there is one with this name, and return its id."""
        query = "INSERT OR IGNORE INTO track (video, name, annotator) VALUES (?, ?, ?)"
        with self.change():
            if self.execute(query, video, name, annotator):
                self.touch(video)
            query = "SELECT id FROM track WHERE video = ? AND name = ?"
            return int(self.value(query, video, name))

    def change_track(self, video: str, track: int, **values: object) -> None:
        """Change values of a track: name, complete, or annotator. No two have one name.

        Runs that were trained on a track get its new name, unless a different video has the old
        name.
        """
        query = """UPDATE run SET track = ?
                   WHERE track = (SELECT name FROM track WHERE id = ?) AND 1 = (
                       SELECT count(*) FROM track JOIN video ON video.id = track.video
                       WHERE track.name = run.track AND removed IS NULL)"""
        with self.change():
            if "name" in values:
                self.execute(query, values["name"], track)
            for column, value in values.items():
                try:
                    self.execute(f"UPDATE track SET {column} = ? WHERE id = ?", value, track)
                except sqlite3.IntegrityError:
                    problem = f"{value!r} exists"
                    raise InputError("track", problem, "choose a different name") from None
            self.touch(video)

    def mark_track(self, video: str, track: int, complete: bool, annotator: str) -> None:
        """Mark a track as fully labelled, or not.

        A track without an owner and without labels becomes the track of the person who marks it.
        Otherwise, nobody would know who found nothing in the video.
        """
        with self.change():
            values: dict[str, object] = {"complete": complete}
            query = """SELECT annotator = '' AND id NOT IN (SELECT track FROM segment)
                       FROM track WHERE id = ?"""
            if complete and annotator and self.value(query, track):
                values["annotator"] = annotator
            self.change_track(video, track, **values)

    def remove_track(self, video: str, track: int) -> None:
        """Remove a track. Raise an InputError if it has segments, or is the only one.

        Its parts of steps are removed too, because a later track may get its id.
        """
        with self.change():
            tracks = {track.id: track.segments for track in self.labelled_tracks(video)}
            if tracks.get(track) or len(tracks) == 1:
                problem = "it has segments, or is the only one"
                raise InputError("track", problem, "delete its segments first")
            self.execute("DELETE FROM part WHERE track = ?", track)
            self.execute("DELETE FROM track WHERE id = ?", track)
            self.execute(
                """DELETE FROM step WHERE video = ? AND actions LIKE '[[], []%'
                   AND id NOT IN (SELECT step FROM part)""",
                video,
            )
            self.touch(video)

    def labelled_tracks(
        self,
        video: str,
        annotators: Collection[str] | None = None,
        viewer: str | None = None,
    ) -> list[Track]:
        """Return the tracks of a video with their labels, as they are at one moment.

        Args:
            video: ID of the video.
            annotators: Whose labels. None stands for all people. A track of somebody else or of
                nobody, or from which labels are left out, is not complete.
            viewer: Person who looks at them (`eyes`).
        """
        query = f"""SELECT track.id, name, revision, complete, track.annotator, start, stop, label,
                           origin, comment, segment.annotator
                    FROM track LEFT JOIN segment ON segment.track = track.id
                    WHERE video = ?2 AND {SEEN} ORDER BY track.id, start, stop, label"""
        tracks: dict[int, Track] = {}
        rows = self.rows(query, self.eyes(viewer), video)
        for key, name, revision, complete, owner, *row in rows:
            track = tracks.setdefault(key, Track(key, name, [], revision, bool(complete), owner))
            author = row[-1] or owner
            is_shown = annotators is None or author in annotators
            if not is_shown:
                tracks[key] = replace(track, complete=False)
            elif row[0] is not None:
                track.segments.append(Label(*row))
        return list(tracks.values())

    def usage(self, viewer: str | None = None) -> dict[str, dict[str, int]]:
        """Return how many segments, and videos, have each label, and how many in removed videos."""
        query = f"""SELECT label, count(*) FILTER (WHERE removed IS NULL),
                           count(DISTINCT video) FILTER (WHERE removed IS NULL), count(removed)
                    FROM segment JOIN track ON track.id = segment.track
                    JOIN video ON video.id = track.video
                    WHERE {SEEN} GROUP BY label"""
        rows = self.rows(query, self.eyes(viewer))
        return {label: dict(zip(UNUSED, counts, strict=True)) for label, *counts in rows}

    def label_facts(self, viewer: str | None = None) -> dict[str, LabelFacts]:
        """Return the facts of each video with a track that a person sees."""
        query = f"""SELECT track.video,
                           count(label) FILTER (
                               WHERE label NOT IN (SELECT value FROM json_each(?2))),
                           count(label),
                           coalesce(min(track.complete)
                               FILTER (WHERE label IS NOT NULL OR track.complete), 0),
                           coalesce(sum(stop - start) * 8.0 / (length(times) - 8)
                               / max(count(DISTINCT segment.track), 1), 0),
                           json_group_array(DISTINCT
                               coalesce(nullif(segment.annotator, ''), track.annotator))
                               FILTER (WHERE label IS NOT NULL OR track.complete)
                    FROM track JOIN video ON video.id = track.video
                    LEFT JOIN segment ON segment.track = track.id
                    WHERE {SEEN} GROUP BY track.video"""
        facts = {}
        rows = self.rows(query, self.eyes(viewer), json.dumps(self.background))
        for video, n_segments, total, complete, share, annotators in rows:
            names = sorted(filter(None, json.loads(annotators)))
            facts[video] = LabelFacts(
                n_segments, total > 0, bool(complete), max(share, complete), names
            )
        return facts

    def runs(self) -> dict[str, tuple[Path, Json]]:
        """Return the folder and the figures (before, after) of each trained run."""
        rows = self.rows("SELECT name, path, figures FROM run ORDER BY made")
        runs = {}
        for name, path, figures in rows:
            runs[name] = (self.folder / path, parsed(f"model {name}", figures, dict))
        return runs

    def track_of_run(self, name: str) -> str | None:
        """Return the name of the track that a run was trained on, or None if it was none."""
        tracks = [track for (track,) in self.rows("SELECT track FROM run WHERE name = ?", name)]
        return tracks[0] if tracks else None

    def add_run(self, path: Path, track: str, figures: Json) -> str:
        """Add a trained run and return its name, which no other run has."""
        with self.change():
            name = free_name(path.name, self.runs())
            query = "INSERT INTO run VALUES (?, ?, ?, ?, ?)"
            self.execute(query, name, self._stored(path), track, time.time(), json.dumps(figures))
        return name


_SHORTEST_FRAME = 1e-6
"""Seconds. Times closer together than this were not written by this program."""


def _read_times(name: str, content: object) -> Floats:
    """Return the stored times of a video. Raise an InputError if they are damaged."""
    times = NO_TIMES
    if isinstance(content, bytes) and len(content) % 8 == 0:
        times = np.frombuffer(content)
    has_values = len(times) >= 2 and np.isfinite(times).all()
    if not has_values or np.median(np.diff(times)) < _SHORTEST_FRAME:
        raise InputError(name, "its times are damaged", ODD_VALUE)
    return times


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name, followed by the first number from 2 that makes it free if it is taken."""
    free = name
    number = 1
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
