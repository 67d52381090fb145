"""What is asked of the page, as pydantic values."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fact_clip.app.project import Action, Label, Origin
from fact_clip.core.decode_settings import DecodeSettings

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


Name = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, Field(max_length=2000), AfterValidator(_text)]
Annotator = Annotated[str, Field(max_length=80), AfterValidator(_text)]
Frame = Annotated[int, Field(ge=0, le=10**9, strict=True)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewVideo(_Body):
    """The files of a video: keys of uploads."""

    files: Annotated[list[str], Field(min_length=1, max_length=3)]


class VideoChange(_Body):
    """Other values of a video; what is not given stays."""

    name: Name | None = None
    complete: bool | None = None


class ActionEntry(_Body):
    """An action of the project."""

    name: Name
    key: Annotated[str, Field(max_length=1), AfterValidator(_text)] = ""
    description: Text = ""

    def action(self) -> Action:
        """Return it as the project stores it."""
        return Action(self.name, key=self.key, description=self.description)


class NewActions(_Body):
    """All actions of the project in order, and which one was renamed, from and to."""

    actions: Annotated[list[ActionEntry], Field(max_length=500)]
    renamed: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None


class NewSettings(_Body):
    """Other settings of decoding or another model; what is not given stays."""

    model: str | None = None
    adjust: DecodeSettings | None = None


class Segment(_Body):
    """A segment, in frames of the video; an instant where `start` is `stop`."""

    start: Frame
    stop: Frame
    label: Name
    origin: Origin = "drawn"
    comment: Text = ""

    def stored(self) -> Label:
        """Return it as the project stores it."""
        return Label(self.start, self.stop, self.label, self.origin, self.comment)


class Segments(_Body):
    """All segments of a track, and the revision of the video that they were made from (null: whatever it is)."""

    track: int
    revision: int | None
    segments: Annotated[list[Segment], Field(max_length=20_000)]
    annotator: Annotator = ""


class Step(_Body):
    """The revision at which an edit is undone or redone."""

    revision: int | None = None


class NewTrack(_Body):
    """A track of a video."""

    name: Name


class NewLabels(_Body):
    """A label file for a video: the key of an upload."""

    file: str
    annotator: Annotator = ""


class NewTrainingVideo(_Body):
    """How a labelled video is added to the training set."""

    only_corrected: bool = False


class Adaptation(_Body):
    """How the model is trained on."""

    epochs: Annotated[int, Field(ge=1, le=1000)] = 20


class Training(_Body):
    """A training on the labels of the project: minutes that it may take, and the track.

    `teach`: begin with the run in use, which learns names that it has not had; else a new model.
    """

    minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 5.0
    track: Name = "main"
    teach: bool = False


class Comparison(_Body):
    """Two labellings: keys of uploads, "shown", "predicted", or names of tracks as "track NAME"."""

    first: str
    second: str
