"""Changes of labels and actions as steps, which the person who made them can undo."""

import json
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from fact_clip.core import BACKGROUND, Floats, InputError
from fact_clip_app.store.label_files import Loading
from fact_clip_app.store.project import (
    SEEN,
    Action,
    ActionRow,
    Annotator,
    Label,
    Project,
    Token,
    actions_named,
)

REPEAT = "Your last edit was not stored. Please repeat it."

_COLUMNS = "track, start, stop, label, origin, comment, annotator"
_DELETION = f"""DELETE FROM segment WHERE id = (
    SELECT id FROM segment WHERE ({_COLUMNS}) = (?, ?, ?, ?, ?, ?, ?) LIMIT 1)"""
_INSERTION = f"INSERT INTO segment ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"

# Segments of a track do not overlap. Point events are a layer above them, with one in a frame.
_OVERLAP = """SELECT start, stop, label, origin, comment, annotator FROM segment
    WHERE track = ?1 AND start <= ?3 AND stop >= ?2
    AND ((start = ?2 AND stop = ?3)
        OR (start < stop AND ?2 < ?3 AND start < ?3 AND stop > ?2)) LIMIT 1"""

_ACTION_DELETION = """DELETE FROM action
    WHERE name = ? AND (? OR name NOT IN (SELECT label FROM segment))"""


@dataclass(frozen=True)
class Person:
    """The person who makes a step. A step can be undone in the same browser."""

    browser: Token = ""  # its random id, or "" for programs
    annotator: Annotator = ""


@dataclass(frozen=True)
class Part:
    """The change of one track."""

    track: int
    removed: list[Label]
    added: list[Label]

    def signed(self, person: Person) -> "Part":
        """Return the change with labels that are added by a person."""
        added = [replace(label, annotator=person.annotator) for label in self.added]
        return replace(self, added=added)


@dataclass(frozen=True)
class Edited:
    """An edit as it was stored, with the revisions of its track and its video after it.

    These are also keys of a response.
    """

    track: int
    revision: int
    video_revision: int
    added: list[Label]
    undo: str | None  # what its person would undo and redo
    redo: str | None


CHANGED_ACTIONS = "the actions have changed; read /api/state, and send its actions_revision"


@dataclass(frozen=True)
class Filling:
    """How many stretches got a label, and how many did not. These are also keys of a response."""

    labelled: int
    taken: int  # they have labels by now, or their track is marked as fully labelled
    gone: int  # their track or video was removed


class ConflictError(Exception):
    """Raised if a change does not fit what is stored. `fields` belong to the response."""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.fields = fields


@dataclass
class _Step:
    """A step that is being made."""

    rows: list[ActionRow]  # the actions before it
    title: str = ""  # what it does, for the page
    parts: list[Part] = field(default_factory=list)  # the changes of tracks
    unmarked: list[int] = field(default_factory=list)  # tracks that are not complete any more

    @property
    def count(self) -> str:
        """Return the number of segments that are removed, with its noun."""
        number = sum(len(part.removed) for part in self.parts)
        return f"{number} segment{'' if number == 1 else 's'}"


class History:
    """The steps of a project. Each is one transaction."""

    def __init__(self, project: Project) -> None:
        self.project = project

    # --- labels ---------------------------------------------------------------------------------

    def edit(
        self,
        video: str,
        part: Part,
        person: Person,
        edit: str = "",
        background: Collection[str] = (),
    ) -> Edited:
        """Remove and add labels of a track. Their names become actions.

        Args:
            video: ID of the video.
            part: Change. Added labels get the annotator of `person`.
            person: Person who makes the change.
            edit: ID of the edit. An edit that is already stored is not stored again.
            background: New actions of these names are marked as background.

        Raises:
            ConflictError: A label to remove is missing, or a different person's label overlaps.
            InputError: Labels overlap or exceed the video, or the track does not exist.
        """
        self._check_labels(video, part.added)
        signed_part = part.signed(person)
        with self.project.change():
            query = """SELECT track, part.revision, step.revision, added
                       FROM step JOIN part ON part.step = step.id WHERE edit = ?"""
            for track, revision, video_revision, added in self.project.rows(query, edit):
                if track != part.track:
                    raise InputError("edit", "this id belongs to a different edit")
                return Edited(
                    track, revision, video_revision, _from_json(added), **self.titles(video, person)
                )
            self._track(part.track, video)
            with self._step(video, person, edit or None) as step:
                step.title = _edit_title(part)
                step.parts = [signed_part]
                labels = [label.label for label in part.added]
                if person.browser:  # programs may bring back what somebody has renamed
                    for name in {*labels} - {row.name for row in step.rows}:
                        self._check_action(name, person, REPEAT)
                self.project.add_actions(actions_named(labels, background))
            _, _, revision = self._track(part.track)
            video_revision = self.project.value(
                "SELECT number FROM revision WHERE video = ?", video
            )
            return Edited(
                part.track,
                revision,
                video_revision,
                signed_part.added,
                **self.titles(video, person),
            )

    def replace(
        self,
        video: str,
        track: int,
        labels: Collection[Label],
        revision: int | None = None,
        person: Person = Person(),
        background: Collection[str] = (),
    ) -> int:
        """Replace the labels of a track.

        Args:
            video: ID of the video.
            track: ID of the track.
            labels: Labels of the track.
            revision: Revision of the track that was edited, or None for any revision.
            person: Person who made the new labels.
            background: New actions of these names are marked as background.

        Returns:
            The new revision of the track.

        Raises:
            ConflictError: The track has a different revision.
            InputError: Labels overlap or exceed the video, or the track does not exist.
        """
        self._check_labels(video, labels)
        with self.project.change():
            _, name, stored_revision = self._track(track, video)
            if revision not in (None, stored_revision):
                annotator = self._annotator("track = ?", track)
                raise _conflict(annotator, f"track {name}")
            part = self._replacement(video, track, labels)
            return self.edit(video, part, person, background=background).revision

    def load(self, video: str, loading: Loading, person: Person, title: str) -> None:
        """Replace the labels of tracks, by name, as one step. Missing tracks are added."""
        with self._step(video, person) as step:
            step.title = title
            for name, labels in loading.tracks.items():
                self._check_labels(video, labels)
                track = self.project.add_track(video, name)
                query = "UPDATE track SET complete = 0 WHERE id = ? AND complete"
                if name in loading.marked and self.project.execute(query, track):
                    step.unmarked.append(track)
                    self.project.touch(video)
                step.parts.append(self._replacement(video, track, labels).signed(person))
            self.project.add_actions(loading.actions)

    def fill(
        self,
        stretches: Mapping[int, Collection[tuple[int, int]]],
        name: str | None,
        person: Person,
        background: Collection[str] = (),
    ) -> Filling:
        """Give unlabelled stretches of tracks a label, as one step of the project.

        A stretch that has a label by now stays as it is.

        Args:
            stretches: First frame and end of each stretch, by the id of its track.
            name: Label that they get, or None for background.
            person: Person whose labels they become.
            background: Names that are marked as background if they are new.

        Returns:
            The numbers of stretches.

        Raises:
            ConflictError: If somebody has changed the class a moment ago.
            InputError: If stretches overlap or exceed their video.
        """
        n_labelled = n_taken = n_gone = 0
        with self._step(None, person) as step:
            label = self.project.background[0] if name is None else name
            if person.browser and label not in {BACKGROUND, *(row.name for row in step.rows)}:
                self._check_action(label, person, REPEAT)
            for track, spans in stretches.items():
                stored = self._open_track(track)
                if stored is None:
                    n_gone += len(spans)
                    continue
                video, is_complete = stored
                labels = [Label(start, stop, label, "grouped") for start, stop in sorted(spans)]
                self._check_labels(video, labels)
                added = []
                for new in labels:
                    if is_complete or self.project.rows(_OVERLAP, track, new.start, new.stop):
                        n_taken += 1
                    else:
                        added.append(new)
                step.parts.append(Part(track, [], added).signed(person))
                n_labelled += len(added)
            if n_labelled:
                self.project.add_actions(actions_named([label], background))
            step.title = f"label {n_labelled} stretches {label}"
        return Filling(n_labelled, n_taken, n_gone)

    def _open_track(self, track: int) -> tuple[str, bool] | None:
        """Return the video of a track and whether it is complete, or None if either is gone."""
        query = """SELECT video, track.complete FROM track JOIN video ON video.id = track.video
                   WHERE track.id = ? AND removed IS NULL"""
        for video, is_complete in self.project.rows(query, track):
            return str(video), bool(is_complete)
        return None

    def _replacement(self, video: str, track: int, labels: Iterable[Label]) -> Part:
        """Return the difference between a track and new labels, ignoring who made them."""
        added = Counter(replace(label, annotator="") for label in labels)
        removed = []
        (stored,) = [row for row in self.project.labelled_tracks(video) if row.id == track]
        for label in stored.segments:
            unsigned = replace(label, annotator="")
            if added[unsigned]:
                added[unsigned] -= 1
            else:
                removed.append(label)
        return Part(track, removed, sorted(added.elements()))

    def _check_labels(self, video: str, labels: Iterable[Label]) -> None:
        """Raise an InputError if labels exceed the video."""
        n_frames = len(self._times(video)) - 1
        for number, label in enumerate(labels, start=1):
            if not 0 <= label.start <= label.stop <= n_frames or label.start == n_frames:
                problem = f"frames [{label.start}, {label.stop}) of {n_frames}"
                raise InputError(f"segments {number}", problem)

    def _times(self, video: str) -> Floats:
        stored = self.project.video(video)
        if stored is None:
            raise InputError("video", "it was removed a moment ago")
        return stored.times

    # --- actions --------------------------------------------------------------------------------

    def set_actions(self, actions: Sequence[Action], replaced: Sequence[Action]) -> None:
        """Replace the actions. Those without a colour or key get the first free.

        Args:
            actions: New actions, in order.
            replaced: Actions that they replace.

        Raises:
            ConflictError: The project has different actions from those that are replaced.
        """
        with self._step(None, Person()) as step:
            if self.project.actions() != list(replaced):
                raise ConflictError(CHANGED_ACTIONS)
            step.title = "change the classes"
            self.project.execute("DELETE FROM action")
            self._append(actions)

    def add(self, actions: Sequence[Action], person: Person) -> None:
        """Append new actions. A ConflictError names one that exists, or whose key is taken."""
        with self._step(None, person) as step:
            names = {row.name for row in step.rows}
            for action in actions:
                if action.name in names:
                    message = f'the class "{action.name}" exists'
                    raise ConflictError(message, taken=action.name)
            self._append(actions)
            step.title = f"add {len(actions)} classes"
            if len(actions) == 1:
                step.title = f"add class {actions[0].name}"

    def _append(self, actions: Sequence[Action]) -> None:
        """Append actions. A ConflictError names one whose key is taken."""
        self.project.add_actions(actions)
        for action in actions:
            self._check_key(action.name, action.key)

    def change(self, name: str, values: Mapping[str, Any], person: Person) -> None:
        """Change values of an action. Its segments follow a new name.

        Args:
            name: Name of the action.
            values: Its new name, key, paint, description or other values.
            person: Person who changes the action.

        Raises:
            ConflictError: The action was removed, or its new name or key is taken.
        """
        with self._step(None, person) as step:
            new_row = self._action(name, person)._replace(**values)
            if new_row.name != name and new_row.name in {row.name for row in step.rows}:
                message = f'the class "{new_row.name}" exists; merge the two, or choose a name'
                raise ConflictError(message, taken=new_row.name)
            self._check_key(name, new_row.key)
            self.project.execute("DELETE FROM action WHERE name = ?", name)
            self.project.insert_action(new_row)
            step.title = f"change class {name}"
            if new_row.name != name:
                step.parts = self._relabelled(name, new_row.name)
                step.title = f"rename {name} to {new_row.name} ({step.count})"

    def remove(self, name: str, target: str | None, person: Person) -> None:
        """Remove an action. Its segments get a different action, or are removed without one."""
        with self._step(None, person) as step:
            self._action(name, person)
            title = f"delete class {name}"
            if target is not None:
                self._action(target, person)
                title = f"merge {name} into {target}"
            if name == target:
                raise InputError("into", f"{name!r} is the class itself", "name a different class")
            self.project.execute("DELETE FROM action WHERE name = ?", name)
            step.parts = self._relabelled(name, target)
            step.title = f"{title} ({step.count})"

    def move(self, name: str, successor: str | None, person: Person) -> None:
        """Move an action to the position before a different action or to the end."""
        with self._step(None, person) as step:
            step.title = f"move class {name}"
            self._action(name, person)
            if successor == name:
                return
            positions = [row.position for row in step.rows if row.name != name]
            position = max(positions, default=0.0) + 1
            if successor is not None:
                end = self._action(successor, person).position
                start = max((value for value in positions if value < end), default=end - 2)
                position = (start + end) / 2
            self.project.execute("UPDATE action SET position = ? WHERE name = ?", position, name)

    def _action(self, name: str, person: Person) -> ActionRow:
        """Return an action. A ConflictError names the person who removed it."""
        for row in self.project.action_rows():
            if row.name == name:
                return row
        raise _conflict(self._action_changed_by(name, person), f'class "{name}"')

    def _check_key(self, name: str, key: str) -> None:
        """Raise a ConflictError if a different action has a key."""
        query = """SELECT name FROM action
                   WHERE key <> '' AND lower(key) = lower(?) AND name <> ?"""
        for (owner,) in self.project.rows(query, key, name):
            raise ConflictError(f"key {key} belongs to {owner}", taken=owner)

    def _relabelled(self, name: str, new_name: str | None) -> list[Part]:
        """Return the change of each track with a label: to a new name, or to nothing."""
        removed: dict[int, list[Label]] = {}
        query = f"SELECT {_COLUMNS} FROM segment WHERE label = ? ORDER BY track, start, stop"
        for track, *row in self.project.rows(query, name):
            removed.setdefault(track, []).append(Label(*row))
        parts = []
        for track, labels in removed.items():
            added = []
            if new_name is not None:
                added = [replace(label, label=new_name) for label in labels]
            parts.append(Part(track, labels, added))
        return parts

    # --- steps ----------------------------------------------------------------------------------

    @contextmanager
    def _step(self, video: str | None, person: Person, edit: str | None = None) -> Iterator[_Step]:
        """Store the changes of the block as a step. Its person can no longer redo earlier steps.

        Args:
            video: ID of the video, or None for a step of the project.
            person: Person who makes the step.
            edit: ID of the edit.

        Yields:
            The step, whose title and parts the block sets. The block changes the actions. The
            tracks are changed after it.
        """
        with self.project.change():
            rows = self.project.action_rows()
            step = _Step(rows)
            yield step
            current = self.project.action_rows()
            removed_rows = [row for row in rows if row not in current]
            added_rows = [row for row in current if row not in rows]
            parts = [part for part in step.parts if part.removed or part.added]
            if not parts and not removed_rows and not added_rows:
                return
            drop = """UPDATE step SET state = 'dropped' WHERE author = ? AND state = 'undone'
                      AND (? IS NULL OR video IS NULL OR video = ?)"""
            self.project.execute(drop, person.browser, video, video)
            for part in parts:
                self._exchange(part, person)
            query = """INSERT INTO step (video, edit, time, author, annotator, title, actions,
                       revision, state)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
                       coalesce((SELECT number FROM revision WHERE video = ?1), 0), 'done')"""
            self.project.execute(
                query,
                video,
                edit,
                time.time(),
                person.browser,
                person.annotator,
                step.title,
                json.dumps([removed_rows, added_rows, step.unmarked]),
            )
            query = """INSERT INTO part SELECT (SELECT max(id) FROM step), id, ?, ?, revision
                       FROM track WHERE id = ?"""
            for part in parts:
                removed = _as_json(part.removed)
                self.project.execute(query, removed, _as_json(part.added), part.track)

    def step(self, video: str | None, person: Person, *, back: bool) -> None:
        """Undo the last step of a person, or redo the one that was undone last.

        Args:
            video: Video whose steps are included, or None for the steps of the project only.
            person: Person whose steps are undone or redone.
            back: Whether to undo, or else to redo.

        Raises:
            ConflictError: A different person has changed what the step would restore.
        """
        outcome = f"Your last step cannot be {'undone' if back else 'redone'}."
        with self.project.change():
            row = self._next(video, person, back=back)
            if row is None:
                return
            step, step_video, _, actions = row
            query = "SELECT track, removed, added FROM part WHERE step = ? ORDER BY rowid"
            direction = -1 if back else 1
            # Steps that were stored before there were marks lack them.
            removed_rows, added_rows, unmarked = [*json.loads(actions), []][:3]
            if back:
                removed_rows, added_rows = added_rows, removed_rows
            labels = set()
            for track, *lists in self.project.rows(query, step):
                removed, added = [_from_json(content) for content in lists][::direction]
                self._exchange(Part(track, removed, added), person, outcome)
                labels |= {label.label for label in added}
                if track in unmarked:
                    self.project.execute("UPDATE track SET complete = ? WHERE id = ?", back, track)
            is_strict = step_video is None
            self._exchange_actions(removed_rows, added_rows, is_strict, person, outcome)
            names = {BACKGROUND, *(row.name for row in self.project.action_rows())}
            for name in sorted(labels - names):
                self._restore_action(name, person, outcome)
            state = "undone" if back else "done"
            self.project.execute("UPDATE step SET state = ? WHERE id = ?", state, step)

    def titles(self, video: str | None, person: Person) -> dict[str, str | None]:
        """Return what `step` would "undo" and "redo", or None."""
        titles = {}
        for word in ("undo", "redo"):
            row = self._next(video, person, back=word == "undo")
            titles[word] = None if row is None else row[2]
        return titles

    def _next(self, video: str | None, person: Person, *, back: bool) -> Any:
        """Return the id, video, title and actions of the step to undo or redo, or None."""
        query = f"""SELECT id, video, title, actions FROM step
                    WHERE author = ?2 AND state = ?3 AND (video IS NULL OR video = ?4)
                    AND (?1 IS NULL OR (annotator = ?1 AND NOT EXISTS (
                        SELECT 1 FROM part JOIN track ON track.id = part.track
                        WHERE part.step = step.id AND NOT {SEEN}))) ORDER BY id """
        query += "DESC LIMIT 1" if back else "ASC LIMIT 1"
        state = "done" if back else "undone"
        viewer = self.project.eyes(person.annotator)
        return next(iter(self.project.rows(query, viewer, person.browser, state, video)), None)

    def _exchange(self, part: Part, person: Person, outcome: str = REPEAT) -> None:
        """Delete and insert the labels of a track."""
        track = part.track
        video, name, _ = self._track(track)
        for label in part.removed:
            if not self.project.execute(_DELETION, track, *astuple(label)):
                annotator = self._label_changed_by(track, label, person)
                raise _conflict(annotator, f'"{label.label}" on track {name}', outcome)
        for label in part.added:
            for row in self.project.rows(_OVERLAP, track, label.start, label.stop):
                other = Label(*row)
                annotator = self._label_changed_by(track, other, person)
                if annotator is None and outcome == REPEAT:
                    start, stop = self._times(video)[[other.start, other.stop]]
                    problem = f"this overlaps {other.label!r} ({start:.2f} to {stop:.2f} s)"
                    raise InputError("segments", problem, "shorten it, or use a different track")
                subject = f'"{other.label}" on track {name}'
                raise _conflict(annotator or person.annotator, subject, outcome)
            self.project.execute(_INSERTION, track, *astuple(label))
        self.project.execute("UPDATE track SET revision = revision + 1 WHERE id = ?", track)
        self.project.touch(video)

    def _exchange_actions(
        self, removed: Any, added: Any, is_strict: bool, person: Person, outcome: str
    ) -> None:
        """Delete and insert rows of actions.

        An action that has segments stays. One whose colour or key is taken gets others. Unless
        `is_strict`, what somebody has changed stays as it is.
        """
        # Steps that were stored before classes had ids lack them.
        stored = [row._replace(id="") for row in self.project.action_rows()]
        added_names = {name for name, *_ in added}
        for row in removed:
            is_same = ActionRow(*row)._replace(id="") in stored
            if is_strict and not is_same:
                self._check_action(row[0], person, outcome)
            if is_strict or is_same:
                self.project.execute(_ACTION_DELETION, row[0], row[0] in added_names)
        for row in [ActionRow(*row) for row in added]:
            present = self.project.action_rows()
            colours = {action.colour for action in present}
            keys = {action.key.lower() for action in present} - {""}
            is_there = row.name in {action.name for action in present}
            if is_there and is_strict:
                self._check_action(row.name, person, outcome)
            if not is_there and (row.colour in colours or row.key.lower() in keys):
                colour = -1 if row.colour in colours else row.colour
                self.project.add_actions([replace(row.action, colour=colour)])
                query = "UPDATE action SET position = ? WHERE name = ?"
                self.project.execute(query, row.position, row.name)
            elif not is_there:
                self.project.insert_action(row)

    def _restore_action(self, name: str, person: Person, outcome: str) -> None:
        """Restore an action that a person removed. If somebody else did, raise a ConflictError."""
        beginning = json.dumps([name])[:-1]
        query = """SELECT author, actions FROM step WHERE instr(actions, ?)
                   ORDER BY id DESC LIMIT 1"""
        for author, actions in self.project.rows(query, beginning):
            if author == person.browser:
                removed, added = json.loads(actions)[:2]
                rows = [row for row in (*added, *removed) if row[0] == name]
                self._exchange_actions([], rows[:1], False, person, outcome)
                return
        annotator = self._action_changed_by(name, person)
        raise _conflict(annotator, f'class "{name}"', outcome)

    # --- conflicts ------------------------------------------------------------------------------

    def _check_action(self, name: str, person: Person, outcome: str) -> None:
        """Raise a ConflictError if somebody else has changed an action."""
        annotator = self._action_changed_by(name, person)
        if annotator is not None:
            raise _conflict(annotator, f'class "{name}"', outcome)

    def _label_changed_by(self, track: int, label: Label, person: Person) -> str | None:
        """Return who else has removed or added a label last, or None."""
        condition = "track = ? AND author <> ? AND instr(removed || added, ?)"
        return self._annotator(condition, track, person.browser, json.dumps(astuple(label)))

    def _action_changed_by(self, name: str, person: Person) -> str | None:
        """Return who else has changed an action last, or None."""
        beginning = json.dumps([name])[:-1]
        return self._annotator("author <> ? AND instr(actions, ?)", person.browser, beginning)

    def _annotator(self, condition: str, *values: object) -> str | None:
        """Return the person of the last step that meets a condition, or None."""
        query = f"""SELECT annotator FROM step LEFT JOIN part ON part.step = step.id
                    WHERE {condition} ORDER BY step.id DESC LIMIT 1"""
        return next((str(row[0]) for row in self.project.rows(query, *values)), None)

    def _track(self, track: int, video: str | None = None) -> Any:
        """Return the video, the name and the revision of a track (of a video)."""
        query = "SELECT video, name, revision FROM track WHERE id = ? AND ? IN (video, '')"
        rows = self.project.rows(query, track, video or "")
        if not rows:
            raise InputError("track", "no such track")
        return rows[0]


def _conflict(annotator: str | None, subject: str, outcome: str = REPEAT) -> ConflictError:
    message = f"{annotator or 'Somebody else'} changed {subject} a moment ago. {outcome}"
    return ConflictError(message, annotator=annotator or "")


def _as_json(labels: Iterable[Label]) -> str:
    return json.dumps([astuple(label) for label in labels])


def _from_json(content: str) -> list[Label]:
    return [Label(*row) for row in json.loads(content)]


def _edit_title(part: Part) -> str:
    """Return what an edit does."""
    labels = part.added or part.removed
    subject = f"{len(labels)} segments"
    if len({label.label for label in labels}) == 1:
        subject = labels[0].label
    verb = "change"
    if not part.removed:
        verb = "label"
    elif not part.added:
        verb = "delete"
    return f"{verb} {subject}"
