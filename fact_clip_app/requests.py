"""Bodies of requests as pydantic values, and uploaded files, with limits."""

import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import anyio
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fact_clip.core import Floats, InputError
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.io import read_mapping
from fact_clip.core.messages import printable
from fact_clip.formats import FORMATS
from fact_clip.video.extract import FORMAT
from fact_clip.video.pictures import ROUNDING, SUFFIXES
from fact_clip_app.history import History, Part, Person
from fact_clip_app.project import (
    Action,
    Annotator,
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
    """New values of a video; None changes nothing."""

    name: Name | None = None
    complete: bool | None = None


class _ActionValues(_Body):
    key: Key | None = None
    paint: Paint | None = None
    description: Text | None = None
    point: bool | None = None
    background: bool | None = None


class ActionValues(_ActionValues):
    """An action by its name; null keeps what it is."""

    name: Name
    colour: Annotated[int, Field(ge=-1, le=10_000)] | None = None

    def applied_to(self, actions: Mapping[str, Action]) -> Action:
        """Return the action of this name, or a new one, with these values."""
        action = actions.get(self.name, Action(self.name))
        return replace(action, **self.model_dump(exclude_none=True))


class NewActions(Signed):
    """All actions of the project in order."""

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
        """Return whether segments of the class get another name, or go with it."""
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
    """New settings of decoding, the model, or blind labelling; None changes nothing.

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


class NewTrack(_Body):
    """A track of a video, and whose it is."""

    name: Name
    annotator: Annotator = ""


class TrackChange(VideoChange):
    """New values of a track; None changes nothing."""

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


LABELS = sorted({form.ending for form in FORMATS.values()}, key=len, reverse=True)
"""Endings of label files, the longest first."""

FEATURES = ".npy"

POSES = ".csv"
"""The ending of tracked points. HDF5 of trackers may hold code, or name files of this machine."""

POSE_RATE = 10.0
"""Rows a second of features of tracked points, unless the model in use has a rate."""

_MAX_NAME = 150  # characters of a file name
_FACTS = (
    "format",
    "encoder",
    "precision",
    "start",
    "fps",
    "times",
    "video_fps",
    "n_frames",
    "dim",
)


@dataclass(frozen=True)
class Limits:
    """Limits of one page."""

    file_bytes: int = 2_000_000_000  # of an uploaded file
    label_bytes: int = 50_000_000  # of a label or JSON file
    minutes: float = 120.0  # duration of a video
    videos: int = 2000  # of a project
    uploads: int = 32  # at once
    uploads_each: int = 8  # at once, of one address
    waiting: int = 8  # long jobs that wait
    results: int = 32  # of segmentations, that nobody asks for
    quick: int = 32  # short computations that wait
    patience: float = 30.0  # seconds in which the next part of an upload must arrive
    upload_seconds: float = 6 * 3600.0  # of a whole upload
    upload_rate: float = 4096.0  # bytes a second of an upload after `patience`, at least


@dataclass(frozen=True)
class Upload:
    """An uploaded file: its path, and the name that the user knows."""

    path: Path
    name: str

    @property
    def ending(self) -> str:
        """Return the ending, which tells the kind of file."""
        return ending_of(self.name)

    def renamed(self, lines: Iterable[str]) -> list[str]:
        """Return lines about the file with the name that the user knows."""
        return [line.replace(str(self.path), self.name) for line in lines]


def ending_of(name: str) -> str:
    """Return the ending of a file name. Raise an InputError if it is of no known kind."""
    low = name.lower()
    for ending in (*LABELS, FEATURES, *SUFFIXES):
        if low.endswith(ending.lower()) and len(low) > len(ending):
            return ending
    fix = f"give {FEATURES}, {', '.join(SUFFIXES[:5])}, ..."
    raise InputError(name or "a file", "no video, feature file or label file", fix)


def base_name(name: str) -> str:
    """Return the last part of a file name from a browser, without invisible characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    visible = "".join(character for character in last if printable(character) == character)
    clean = visible.strip(" .")
    length = len(ending_of(clean))
    return clean[:-length][:_MAX_NAME] + clean[-length:]


def files_of_video(
    uploads: Iterable[Upload],
    frame_times: Callable[[Path, None], Floats],
    rate: Callable[[], float],
) -> tuple[str, Path | None, Path | None]:
    """Check the files of one video.

    Facts of the JSON file beside features are stored, except for the path of a video, which could
    be any file.

    Args:
        uploads: a video, a feature file, or both, and the JSON file of the features. A file of a
            pose tracker, with its video, becomes features.
        frame_times: `Engine.frame_times`.
        rate: returns the rows a second of such features. It asks the model in use.

    Returns:
        The name of the video, its file and its feature file.
    """
    paths: dict[str, Path] = {}
    names = {}
    for upload in uploads:
        kind = "video" if upload.ending in SUFFIXES else upload.ending
        if kind == POSES:
            kind = FEATURES
        if kind not in ("video", FEATURES, ".json") or kind in paths:
            fix = "give a video, a feature file, and its .json"
            raise InputError(upload.path, "one file too many", fix)
        paths[kind] = upload.path
        names[kind] = upload.name[: -len(upload.ending)]
    media = paths.get("video")
    features = paths.get(FEATURES)
    facts = paths.get(".json")
    if features is None and (media is None or facts is not None):
        raise InputError("files", "no feature file", "give a video, or NAME.npy with NAME.json")
    if media is not None:
        with media.open("rb") as file:
            start = file.read(4096)
        # FFmpeg reads play lists, which name other files, as videos.
        if all(byte >= 32 or byte in b"\t\n\r\f" for byte in start):
            raise InputError(media, "not a video")
    if features is not None and features.suffix != FEATURES:
        if media is None:
            raise InputError(features, "a file of a pose tracker alone", "give its film, too")
        film = names["video"]
        if not re.match(rf"{re.escape(film)}(DLC|[\W_]|$)", names[FEATURES]):
            raise InputError(features, f"by its name not the points of {film}", "give its film")
        names[FEATURES] = film
        features = _pose_features(features, frame_times(media, None), rate())
    if features is not None and facts is not None:
        tree = read_mapping(facts, "fps and times of the features")
        if "segments" in tree:
            raise InputError(facts, "labels, not facts of features", "load it after its video")
        if tree.get("format", FORMAT) != FORMAT:
            raise InputError(facts, "an unknown format", "extract the features again")
        content = json.dumps({key: tree[key] for key in _FACTS if key in tree})
        features.with_suffix(".json").write_text(content, encoding="utf-8")
    return names.get(FEATURES) or names["video"], media, features


def _pose_features(path: Path, times: Floats, fps: float) -> Path:
    """Write the features of points beside their file, for pictures of these times (N + 1,)."""
    # movement takes long to import
    from fact_clip.datasets.convert import PoseReader
    from fact_clip.datasets.convert.tables import resample

    table = PoseReader("DeepLabCut", times[:-1])(path)
    rows, _ = resample(times[:-1] + ROUNDING, table.values, fps)
    features = path.with_suffix(FEATURES)
    np.save(features, rows.astype(np.float32))
    facts = {"fps": fps, "encoder": table.encoder}
    features.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    return features


async def receive_file(request: Request, path: Path, name: str, limit: int, limits: Limits) -> str:
    """Write the body of a request to a file.

    Args:
        request: the request.
        path: the file to write.
        name: what the user calls it.
        limit: bytes that it may have.
        limits: of the page, for the time that it may take.

    Returns:
        The name of the file in a form, "" if there is none.

    Raises:
        HTTPException: if the body is too large, or comes too slowly.
    """
    size = 0
    part_names: list[str] = []
    content_of = form_reader(request.headers.get("content-type", ""), part_names)
    parts = request.stream()
    start = time.monotonic()
    async with await anyio.open_file(path, "wb") as file:
        while True:
            with anyio.move_on_after(limits.patience) as timeout:
                part = await anext(parts, None)
            if timeout.cancelled_caught:
                raise HTTPException(408, f"{name}: nothing came for {limits.patience:g} s")
            if part is None:
                return "".join(part_names)
            size += len(part)
            seconds = time.monotonic() - start
            is_slow = seconds > limits.patience and size < seconds * limits.upload_rate
            if is_slow or seconds > limits.upload_seconds:
                raise HTTPException(408, f"{name}: too slow, {size} bytes in {seconds:.0f} s")
            if size > limit:
                raise too_large(name, limit)
            await file.write(content_of(part))


def form_reader(content_type: str, names: list[str]) -> Callable[[bytes], bytes]:
    """Return what takes the content of the one file out of the parts of a body.

    Args:
        content_type: that of the body: multipart/form-data, or any other for the file itself.
        names: the name of the file in the form is added.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return lambda part: part
    content: list[bytes] = []
    header: list[bytes] = []
    files = count()

    def begin() -> None:
        if next(files):
            raise HTTPException(400, "more than one file in a form")

    def add(data: bytes, start: int, end: int) -> None:
        content.append(data[start:end])

    def add_header(data: bytes, start: int, end: int) -> None:
        header.append(data[start:end])

    def end_header() -> None:
        options = parse_options_header(b"".join(header))[1]
        header.clear()
        names.append(options.get(b"filename", b"").decode("utf-8", "replace"))

    def read(part: bytes) -> bytes:
        content.clear()
        try:
            parser.write(part)
        except FormParserError as error:
            raise HTTPException(400, f"not a form ({error})") from None
        return b"".join(content)

    callbacks: Any = {
        "on_part_begin": begin,
        "on_part_data": add,
        "on_header_value": add_header,
        "on_header_end": end_header,
    }
    parser = MultipartParser(options.get(b"boundary", b"-"), callbacks)
    return read


def too_large(name: str, limit: int) -> HTTPException:
    """Return the error for a file that is larger than its limit in bytes."""
    return HTTPException(413, f"{name}: larger than {limit / 1e6:.0f} MB")
