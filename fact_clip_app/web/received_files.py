"""Files that arrive in requests: the body is read in parts, within limits on size and time."""

import secrets
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fact_clip_app.workspace.jobs import BusyError
from fact_clip_app.workspace.uploads import LABELS, Limits, Upload, base_name, ending_of
from fact_clip_app.workspace.workspace import Workspace

UNUSED_FILES = 10
"""Uploads of the greatest size that wait to be used, at most."""


async def receive_file(request: Request, path: Path, name: str, limit: int, limits: Limits) -> str:
    """Write the body of a request to a file.

    Args:
        request: Request.
        path: File to write.
        name: Name of the file for the user.
        limit: Maximum size in bytes.
        limits: Limits of the page, for the time that it may take.

    Returns:
        The name of the file in a form, "" if there is none.

    Raises:
        HTTPException: The body is too large, or arrives too slowly.
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
        content_type: Type of the body. It is multipart/form-data, or else the body is the file.
        names: Name of the file in the form is added.
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


async def receive_upload(workspace: Workspace, request: Request, name: str) -> Upload:
    """Store the file of a request."""
    workspace.incoming.mkdir(parents=True, exist_ok=True)
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    if name or not is_form:
        name = base_name(name)
    limits = workspace.limits
    limit = limits.file_bytes
    if name and ending_of(name) in LABELS:
        limit = min(limit, limits.label_bytes)
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large(name, limit)
    client = "" if request.client is None else request.client.host
    uploads = workspace.uploads
    excess = max(uploads.total() - limits.uploads, uploads[client] - limits.uploads_each)
    if excess >= 0:
        raise BusyError(excess + 1)
    if workspace.unused_bytes() >= UNUSED_FILES * limits.file_bytes:
        raise HTTPException(507, f"{name}: too many uploads wait to be used; use them, or wait")
    path = workspace.incoming / secrets.token_hex(12)
    uploads[client] += 1
    try:
        part_name = await receive_file(request, path, name=name, limit=limit, limits=limits)
        if not name:
            name = base_name(part_name)
            if ending_of(name) in LABELS and path.stat().st_size > limits.label_bytes:
                raise too_large(name, limits.label_bytes)
        # no other part of the path comes from a user
        path = path.rename(path.with_suffix(ending_of(name)))
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk
            raise HTTPException(507, f"{name}: cannot be stored ({error.strerror})") from None
        raise
    finally:
        uploads[client] -= 1
    return Upload(path, name)
