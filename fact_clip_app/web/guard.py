"""Access control, time limits and error responses (``{"error": ...}``)."""

import asyncio
import errno
import ipaddress
import os
import reprlib
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import h11
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fact_clip.core import InputError, library_errors
from fact_clip.core.messages import pydantic_problem
from fact_clip_app.store.history import ConflictError
from fact_clip_app.workspace.jobs import BusyError
from fact_clip_batch.stores import RemoteFile, open_store

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)  # another process holds the database
_RETRY = {"retry-after": "2"}
WILDCARDS = ("0.0.0.0", "::")
"""Hosts that stand for every address of this machine."""

EVENTS = "/api/events"
"""The path of a response that does not end before the server."""

UPLOADS = ("/api/files", "/api/segment")
"""The paths of requests whose bodies are files."""

BODY_BYTES = 4 << 20
"""Greatest size of a request that is not an upload."""

HEADER_SECONDS = 15.0
"""Seconds after which a connection without a request is closed."""


class Guard:
    """The outermost middleware: allowed hosts and origins, and headers that restrict the browser.

    A request must name a host that no foreign page can make its own (DNS rebinding): an address,
    localhost, the host of the server, a name that a proxy serves it as or, where the host is a
    wildcard, a name of this machine. A request that changes something must come from the page
    itself, or from a program.
    """

    def __init__(
        self, app: ASGIApp, host: str, patience: float = 30.0, served_as: Sequence[str] = ()
    ) -> None:
        self.app = app
        self.patience = patience
        self.hosts = {"localhost", host.lower(), *(name.lower() for name in served_as)}
        if host in WILDCARDS:
            name = socket.gethostname().lower()
            short = name.partition(".")[0]
            self.hosts |= {name, short, f"{short}.local", socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        answer: ASGIApp = self.app if refusal is None else error_line(403, refusal)
        limited = receive if scope["path"] in UPLOADS else _limited(receive, self.patience)
        await answer(scope, limited, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        """Return why a request is refused, or None."""
        host = headers.get("host", "")
        origin = headers.get("origin")
        try:
            parts = urlsplit(f"//{host}")
            parts.port  # noqa: B018 -- an invalid port is a ValueError
            name = parts.hostname or ""
            if name not in self.hosts:
                ipaddress.ip_address(name)
            is_foreign = origin is not None and urlsplit(origin).netloc != host
        except ValueError:
            return "this host is not served here"
        if is_foreign and method not in ("GET", "HEAD"):
            return "a request of another page"
        return None


def _limited(receive: Receive, patience: float) -> Receive:
    """Limit a body to `BODY_BYTES`, and to `patience` seconds."""
    size = 0
    end = time.monotonic() + patience
    complete = False

    async def receive_part() -> Message:
        nonlocal size, complete
        if complete:  # the next message is that the client has gone, at any time
            return await receive()
        with anyio.move_on_after(end - time.monotonic()):
            message = await receive()
            size += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if size > BODY_BYTES:
                raise HTTPException(413, "a request that is too large")
            return message
        raise HTTPException(408, f"the request was not complete after {patience:g} s")

    return receive_part


def error_line(
    status: int, message: str, headers: Mapping[str, str] | None = None, **fields: Any
) -> JSONResponse:
    """Return an error as a response of one line."""
    # half of a surrogate pair, which JSON can hold, is not UTF-8
    line = " ".join(message.split()).encode(errors="backslashreplace").decode()
    return JSONResponse(jsonable_encoder({"error": line, **fields}), status, headers)


def error_response(error: Exception, named: Callable[[InputError], InputError]) -> Response:
    """Return the response to an error.

    Args:
        error: Error.
        named: Function that replaces paths in an error by the names that the user knows.
    """
    match error:
        case ClientDisconnect():  # nobody reads it
            return error_line(400, "the client has gone")
        case BusyError():
            return error_line(503, str(error), _RETRY, place=error.position)
        case InputError():
            return error_line(400, str(named(error)))
        case ConflictError():
            return error_line(409, str(error), **error.fields)
        case RequestValidationError():
            return error_line(400, _first_fault(error))
        case HTTPException():
            return error_line(error.status_code, error.detail, error.headers)
        # The lower byte is the code. The upper ones say more about it.
        case sqlite3.OperationalError(sqlite_errorcode=code) if code & 0xFF in _LOCKED:
            return error_line(503, f"not stored ({error}); try again", _RETRY)
        case sqlite3.OperationalError():  # a full disk, or a folder that is gone
            return error_line(507, f"not stored ({error}); is the disk full or read-only?")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return error_line(507, f"not stored ({error.strerror}); free space on the disk")
    return error_line(500, "an internal error; the log of the server has it")


ERRORS = (
    BusyError,
    HTTPException,
    InputError,
    ConflictError,
    RequestValidationError,
    ClientDisconnect,
    sqlite3.OperationalError,
    OSError,
    Exception,
)
"""Errors that `error_response` handles."""


def _first_fault(error: RequestValidationError) -> str:
    """Return the first fault of a request, with its key and position in a list."""
    fault = error.errors()[0]
    reason = fault.get("ctx", {}).get("error")
    if isinstance(reason, InputError):
        return str(reason)
    keys = [part for part in fault["loc"] if part not in ("body", "query", "path")]
    words = [f" {key + 1}" if isinstance(key, int) else f", {key}" for key in keys]
    where = "".join(words).removeprefix(", ") or "request"
    problem = pydantic_problem(fault["msg"])
    if fault["type"] != "missing":
        problem = f"{reprlib.repr(fault.get('input'))}: {problem}"
    return str(InputError(where, problem))


class HttpProtocol(H11Protocol):
    """HTTP of uvicorn with a limit on the time of headers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Respond to a request that is not HTTP, and disconnect the application that reads it."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """Close the connection when the server stops, at once if the response has no end."""
        if self.scope is not None and self.scope["path"] == EVENTS:
            self.transport.close()
        else:
            super().shutdown()

    def _watch(self) -> None:
        """Close the connection if no request starts in time, and check again after that."""
        is_waiting = self.conn.their_state is h11.IDLE
        last_cycle = self.cycle

        def check() -> None:
            is_idle = self.conn.their_state is h11.IDLE and self.cycle is last_cycle
            if is_waiting and is_idle:
                self.transport.close()
            elif not self.transport.is_closing():
                self._watch()

        self.loop.call_later(HEADER_SECONDS, check)


def is_inside(address: str, folder: str) -> bool:
    """Return whether a file is in a folder of a store.

    Of a folder of this machine no link, of the file or of the NAME.json beside it, leads out.
    """
    if not address.startswith(f"{folder.rstrip('/')}/"):
        return False
    if urlsplit(address).scheme not in ("file", "local"):
        return True
    with library_errors(address, "cannot be opened", ValueError):
        files = (address, str(RemoteFile(address).with_suffix(".json")))
        root, *targets = (os.path.realpath(open_store(part)[1]) for part in (folder, *files))
    return all(Path(target).is_relative_to(root) for target in targets)
