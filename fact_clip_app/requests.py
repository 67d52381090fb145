"""What comes in: what is asked, as pydantic values, and files, with limits on both."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fact_clip.core import InputError
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.io import read_mapping
from fact_clip.formats import FORMATS
from fact_clip.video.decode import SUFFIXES
from fact_clip_app.project import Action, Annotator, Label, Name


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewVideo(_Body):
    """The files of a video: keys of uploads."""

    files: Annotated[list[str], Field(min_length=1, max_length=3)]


class VideoChange(_Body):
    """Other values of a video; what is not given stays."""

    name: Name | None = None
    complete: bool | None = None


class NewActions(_Body):
    """All actions of the project in order, and which one was renamed, from and to."""

    actions: Annotated[list[Action], Field(max_length=500)]
    renamed: tuple[Name, Name] | None = None


class NewSettings(_Body):
    """Other settings of decoding or another model; what is not given stays."""

    model: str | None = None
    adjust: DecodeSettings | None = None


class Segments(_Body):
    """All segments of a track, and the revision of the video that they were made from (null: whatever it is)."""

    track: int
    revision: int | None
    segments: Annotated[list[Label], Field(max_length=20_000)]
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


LABELS = tuple(
    sorted((file_format.ending for file_format in FORMATS.values()), key=len, reverse=True)
)
"""Endings of label files, the longest first."""

FEATURES = ".npy"
_MAX_NAME = 150  # characters of a file's name that are kept
_FACTS = (
    "format",
    "encoder",
    "precision",
    "fps",
    "times",
    "video_fps",
    "damage",
    "n_frames",
    "dim",
)


@dataclass(frozen=True)
class Limits:
    """What one page may use."""

    file_bytes: int = 2_000_000_000  # of an uploaded file
    label_bytes: int = 50_000_000  # of a label or JSON file
    minutes: float = 120.0  # duration of a video
    videos: int = 2000  # of a project
    uploads: int = 32  # at once
    uploads_each: int = 8  # at once, of one address
    waiting: int = 8  # long jobs that wait
    quick: int = 32  # short computations that wait
    patience: float = 30.0  # seconds in which the next part of an upload must arrive
    upload_seconds: float = 6 * 3600.0  # of a whole upload
    upload_rate: float = 4096.0  # bytes a second of an upload after `patience`, at least


@dataclass(frozen=True)
class Upload:
    """A file that came in: where it lies, and what the user calls it."""

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
        if low.endswith(ending.lower()) and len(low) > len(ending):
            return ending
    raise InputError(
        name or "a file",
        "no video, feature file or label file",
        f"give {FEATURES}, {', '.join(SUFFIXES[:5])}, ...",
    )


def shown_name(name: str) -> str:
    """Return the last part of a file's name as a browser gave it, without control characters; it is never a path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    clean = "".join(character for character in last if character.isprintable()).strip(" .")
    length = len(ending_of(clean))
    return clean[:-length][:_MAX_NAME] + clean[-length:]


def sorted_by_kind(uploads: Iterable[Upload]) -> tuple[Upload | None, Upload | None]:
    """Return the video and the features among files of one video, of which it may have either or both.

    What the JSON file beside features says of them is kept, without the path of a video, which could be any file.
    """
    by_kind: dict[str, Upload] = {}
    for upload in uploads:
        kind = "video" if upload.ending in SUFFIXES else upload.ending
        if kind not in ("video", FEATURES, ".json") or kind in by_kind:
            raise InputError(
                upload.path, "one file too many", "give a video, a feature file, and its .json"
            )
        by_kind[kind] = upload
    features, media = by_kind.get(FEATURES), by_kind.get("video")
    if (features or media) is None or (features is None and ".json" in by_kind):
        raise InputError("files", "no feature file", "give a video, or NAME.npy with NAME.json")
    if media is not None:  # FFmpeg takes play lists, which name other files, for videos
        with media.path.open("rb") as file:
            begin = file.read(4096)
        if all(byte >= 32 or byte in b"\t\n\r\f" for byte in begin):
            raise InputError(media.path, "not a video")
    if features is not None and ".json" in by_kind:
        facts = read_mapping(by_kind[".json"].path, "fps and times of the features")
        text = json.dumps({key: facts[key] for key in _FACTS if key in facts})
        features.path.with_suffix(".json").write_text(text, encoding="utf-8")
    return media, features


async def receive_file(request: Request, path: Path, name: str, room: int, limits: Limits) -> int:
    """Write the body of a request to a file; its size. Too much, too slow or too long is refused."""
    size, parts, began = 0, request.stream(), time.monotonic()
    async with await anyio.open_file(path, "wb") as file:
        while True:
            with anyio.move_on_after(limits.patience) as waiting:
                part = await anext(parts, None)
            if waiting.cancelled_caught:
                raise HTTPException(408, f"{name}: nothing came for {limits.patience:g} s")
            if part is None:
                return size
            size += len(part)
            spent = time.monotonic() - began
            if spent > limits.upload_seconds or (
                spent > limits.patience and size < spent * limits.upload_rate
            ):
                raise HTTPException(408, f"{name}: too slow, {size} bytes in {spent:.0f} s")
            if size > room:
                raise too_large(name, room)
            await file.write(part)


def too_large(name: str, room: int) -> HTTPException:
    """Return the refusal of a file for which there is no room."""
    return HTTPException(
        413, f"{name}: larger than the {max(room, 0) / 1e6:.0f} MB that are left for it"
    )
