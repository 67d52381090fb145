"""Bodies of requests as pydantic values, and uploaded files, with limits."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fact_clip.core.decode_settings import DecodeSettings
from fact_clip_app.store.history import History, Part, Person
from fact_clip_app.store.project import (
    Action,
    Annotator,
    Frame,
    Key,
    Label,
    Name,
    Paint,
    Text,
    Token,
    Unlabelled,
)

_Id = Annotated[int, Field(ge=0, lt=2**63)]  # as SQLite can hold
_Labels = Annotated[list[Label], Field(max_length=20_000)]


Word = Literal["undo", "redo"]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Signed(_Body):
    """A request of a person, who can undo it in the same browser."""

    browser: Token = ""
    annotator: Annotator = ""

    @property
    def person(self) -> Person:
        """Return who makes the request."""
        return Person(self.browser, self.annotator)


class NewVideo(_Body):
    """The files of a video: keys of uploads."""

    files: Annotated[list[str], Field(min_length=1, max_length=3)]


class VideoChange(_Body):
    """New values of a video. None changes nothing."""

    name: Name | None = None
    complete: bool | None = None


class _ActionValues(_Body):
    key: Key | None = None
    paint: Paint | None = None
    description: Text | None = None
    point: bool | None = None
    background: bool | None = None


class ActionValues(_ActionValues):
    """New values of an action, by its name. null changes nothing."""

    name: Name
    colour: Annotated[int, Field(ge=-1, le=10_000)] | None = None

    def applied_to(self, actions: Mapping[str, Action]) -> Action:
        """Return the action of this name, or a new one, with these values."""
        action = actions.get(self.name, Action(self.name))
        return replace(action, **self.model_dump(exclude_none=True))


class NewActions(Signed):
    """All actions of the project in order, and the `actions_revision` of the state they replace.

    The revision may be left out as long as the project has no actions.
    """

    revision: Token = ""
    actions: Annotated[list[ActionValues], Field(max_length=500)]


class ActionChange(Signed, _ActionValues):
    """A change of the actions.

    "add" takes names (a key, paint or description is for one), "merge" the name of the
    target as `into`, "move" that of the next action as `before` (null: the end), and "change"
    new values; null changes nothing.
    """

    do: Literal["add", "change", "merge", "delete", "move"]
    names: Annotated[list[Name], Field(max_length=500)] = []
    name: str = ""
    to: Name | None = None
    into: str = ""
    successor: Annotated[str | None, Field(alias="before")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.name and not self.names:
            raise ValueError("no name")
        return self

    @property
    def new_names(self) -> list[str]:
        """Return the names that the model must take."""
        return list(dict.fromkeys([*self.names, self.to] if self.to else self.names))

    @property
    def changes_labels(self) -> bool:
        """Return whether segments of the class get a different name or are removed with it."""
        is_rename = self.do == "change" and self.to not in (None, self.name)
        return is_rename or self.do in ("merge", "delete")

    def apply(self, history: History, background: Collection[str]) -> None:
        """Make the change. New classes of the names of `background` are marked as that."""
        values = self.model_dump(include={*_ActionValues.model_fields}, exclude_none=True)
        if self.do == "add":
            actions = []
            for name in self.new_names:
                actions.append(Action(name, **{"background": name in background, **values}))
            history.add(actions, self.person)
        elif self.do == "change":
            values["name"] = self.to or self.name
            history.change(self.name, values, self.person)
        elif self.do == "move":
            history.move(self.name, self.successor, self.person)
        else:
            target = self.into if self.do == "merge" else None
            history.remove(self.name, target, self.person)


class NewSettings(Signed):
    """New settings of decoding, the model or blind labelling. None changes nothing.

    Blind belongs to the person who switches it on, who alone can switch it off.
    """

    model: str | None = None
    adjust: DecodeSettings | None = None
    blind: bool | None = None


class Segments(Signed):
    """All segments of a track, and the revision of the track that was edited (null: any)."""

    track: _Id
    revision: int | None
    segments: _Labels


class Edit(Signed):
    """Segments to remove and to add, and the id of the edit, so that it can be sent again."""

    track: _Id
    removed: _Labels
    added: _Labels
    edit: Token = ""

    @property
    def part(self) -> Part:
        """Return the change."""
        return Part(self.track, self.removed, self.added)


class ChosenCurves(_Body):
    """Names of the curves to show, and the key of an uploaded table to take columns from."""

    curves: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=8)] | None = (
        None
    )
    file: str | None = None


class StretchSpan(_Body):
    """An unlabelled stretch of a track."""

    track: _Id
    start: Frame
    stop: Frame

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.start >= self.stop:
            raise ValueError("a stretch ends after it starts")
        return self


class GroupAnswer(Signed):
    """What the stretches of a group are: a class, or null if nothing happens in them."""

    label: Name | None
    stretches: Annotated[list[StretchSpan], Field(min_length=1, max_length=5000)]


class NewTrack(_Body):
    """A track of a video, and whose it is."""

    name: Name
    annotator: Annotator = ""


class TrackChange(VideoChange):
    """New values of a track. None changes nothing."""

    annotator: Annotator | None = None


class NewLabels(Signed):
    """A label file for a video: the key of an upload, and the track, or the name of a new one.

    It says whether labels that are there are replaced, whether to try without storing, and whether
    the times are rough, so that segments become point events in their middles.
    """

    file: str
    track: _Id | None = None
    name: Name | None = None
    replace: bool = False
    dry: bool = False
    rough: bool = False


class NewFields(Signed):
    """A table of fields of videos, by the key of its file."""

    file: str


class Training(Signed):
    """A training on a track.

    It says how many minutes the training may take, whether it teaches the run in use, whether
    videos that nobody labelled help a new model, and, for each video that is not complete, by its
    id, what its unlabelled frames are.
    """

    minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 5.0
    track: Name = "main"
    teach: bool = False
    helpers: bool = False
    unlabelled: dict[str, Unlabelled] = {}


class Comparison(Signed):
    """Two labellings: keys of uploads, "shown", "predicted", "track NAME", "annotator NAME"."""

    first: str
    second: str
