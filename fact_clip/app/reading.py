"""What comes in with a request: files, and JSON whose every part is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fact_clip.app.edits import action_name
from fact_clip.core import InputError
from fact_clip.core.decode_settings import DecodeSettings

MOST_NAMES = 500
"""Action names of a session, at most."""

BODY_BYTES = 4 << 20
"""Size of a request that is no upload, at most."""


async def received(request: Request, path: Path, name: str, room: int, patience: float) -> int:
    """Write the body of a request to a file; its size. Too much, or too long without any, is refused."""
    size, parts = 0, request.stream()
    async with await anyio.open_file(path, "wb") as file:
        while True:
            with anyio.move_on_after(patience) as waiting:
                part = await anext(parts, None)
            if waiting.cancelled_caught:
                raise HTTPException(408, f"{name}: nothing came for {patience:g} s")
            if part is None:
                return size
            size += len(part)
            if size > room:
                raise too_large(name, room)
            await file.write(part)


def too_large(name: str, room: int) -> HTTPException:
    """The refusal of a file for which there is no room."""
    return HTTPException(413, f"{name}: a larger file; expected at most {max(room, 0) / 1e6:.0f} MB")


async def body_of(request: Request, patience: float) -> dict[str, Any]:
    """The JSON object of a request, all of which must come in so many seconds."""
    raw = b""
    with anyio.move_on_after(patience) as waiting:
        async for part in request.stream():
            raw += part
            if len(raw) > BODY_BYTES:
                raise HTTPException(413, "a request that is too large")
    if waiting.cancelled_caught:
        raise HTTPException(408, f"the request was not whole after {patience:g} s")
    try:
        tree = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise HTTPException(400, "a body that is not JSON") from None
    if not isinstance(tree, dict):
        raise HTTPException(400, "a body that is no object")
    return tree


def action_names(value: Any) -> tuple[str, ...] | None:
    """Action names from JSON, each once; None for those of the model."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_NAMES:
        raise InputError("actions", f"no list of names, or too long a one; expected at most {MOST_NAMES} names")
    names = tuple(dict.fromkeys(action_name(each, f"name {number}") for number, each in enumerate(value, start=1)))
    if not names:
        raise InputError("actions", "none; expected at least one name")
    return names


def adjust_of(tree: Any) -> DecodeSettings:
    """Settings of the decoding from JSON; an InputError names what cannot be."""
    if not isinstance(tree, dict):
        raise InputError("adjust", "not an object")
    return DecodeSettings(**tree)
