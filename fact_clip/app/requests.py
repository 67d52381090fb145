"""What comes in with a request: files, and JSON as values of these types."""

from __future__ import annotations

import reprlib
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fact_clip.app.sessions import Limits
from fact_clip.core import InputError, Segment
from fact_clip.core.decode_settings import DecodeSettings

BODY_BYTES = 4 << 20
"""Size of a request that is no upload, at most."""

MAX_NAME = 200
"""Characters of an action name, at most."""


def _one_line(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(f"a name is one line of at most {MAX_NAME} characters")
    return name


ActionName = Annotated[str, AfterValidator(_one_line)]


class _Json(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class NewVideo(_Json):
    """The files of a video: keys of uploads."""

    files: list[str]


class NewSettings(_Json):
    """Other names, settings or another model; what is not given stays."""

    model: str | None = None
    actions: Annotated[list[ActionName], Field(min_length=1, max_length=500)] | None = None  # None: the model's
    adjust: DecodeSettings | None = None
    renamed: tuple[str, ActionName] | None = None  # old and new name of an action
    video: str | None = None  # that is shown, and answered with


class Correction(_Json):
    """A corrected segment, in frames."""

    start: Annotated[int, Field(ge=0)]
    stop: int
    label: ActionName


class Corrections(_Json):
    """The corrected segments of a video."""

    segments: Annotated[list[Correction], Field(max_length=20_000)]

    def in_video(self, n_frames: int) -> tuple[Segment, ...]:
        """Return the segments in order; an InputError where they do not lie apart in a video of that length."""
        for number, entry in enumerate(self.segments, start=1):
            if not entry.start < entry.stop <= n_frames:
                raise InputError(f"segments {number}", f"frames [{entry.start}, {entry.stop}) of {n_frames}")
        segments = sorted(Segment(entry.start, entry.stop, entry.label) for entry in self.segments)
        for before, after in pairwise(segments):
            if after.start < before.stop:
                raise InputError("segments", f"two corrected segments share frame {after.start}")
        return tuple(segments)


class NewTrainingVideo(_Json):
    """How a corrected video is added to the training set."""

    only_corrected: bool = False


class Adaptation(_Json):
    """How the model is trained on."""

    epochs: Annotated[int, Field(ge=1, le=1000)] = 20


class Comparison(_Json):
    """Two labellings: keys of uploads, "shown" or "predicted"."""

    first: str
    second: str


Kind = TypeVar("Kind", bound=BaseModel)


async def read_json(request: Request, kind: type[Kind], patience: float) -> Kind:
    """Read the JSON of a request, all of which must come in so many seconds."""
    raw = b""
    with anyio.move_on_after(patience) as waiting:
        async for part in request.stream():
            raw += part
            if len(raw) > BODY_BYTES:
                raise HTTPException(413, "a request that is too large")
    if waiting.cancelled_caught:
        raise HTTPException(408, f"the request was not complete after {patience:g} s")
    return parse(kind, raw or b"{}")


def parse(kind: type[Kind], raw: str | bytes) -> Kind:
    """Check a JSON text as a value of this type."""
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        raise _fault(error.errors()[0]) from None


def _fault(fault: Any) -> Exception:
    """A fault that pydantic found, as an error that names the key and the number in a list."""
    reason = fault.get("ctx", {}).get("error")
    if isinstance(reason, InputError):
        return reason
    if not fault["loc"]:
        return HTTPException(400, "the request is not a JSON object")
    first, *rest = fault["loc"]
    where = str(first) + "".join(f" {part + 1}" if isinstance(part, int) else f", {part}" for part in rest)
    message = fault["msg"].removeprefix("Value error, ")
    shown = "" if fault["type"] == "missing" else f"{reprlib.repr(fault['input'])}: "
    return InputError(where, f"{shown}{message[:1].lower()}{message[1:]}")


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
            if spent > limits.upload_seconds or (spent > limits.patience and size < spent * limits.upload_rate):
                raise HTTPException(408, f"{name}: too slow, {size} bytes in {spent:.0f} s")
            if size > room:
                raise too_large(name, room)
            await file.write(part)


def too_large(name: str, room: int) -> HTTPException:
    """Return the refusal of a file for which there is no room."""
    return HTTPException(413, f"{name}: larger than the {max(room, 0) / 1e6:.0f} MB that are left for it")
