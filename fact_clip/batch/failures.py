"""The failures of a batch: `failures.jsonl`, a line for each attempt."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fact_clip.core import InputError, Json, library_errors
from fact_clip.core.identity import File
from fact_clip.video.decode import DamagedVideoError
from fact_clip.video.isolated import CrashedDecoderError, DecodingMemoryError, DecodingTimeoutError

FILE = "failures.jsonl"
PATTERN = "failures*.jsonl"  # a store in which nothing can be appended has a file a process
ATTEMPTS = 3
"""Attempts after which an input is set aside."""

_KINDS: dict[type[InputError], str] = {
    CrashedDecoderError: "crash",
    DecodingTimeoutError: "timeout",
    DecodingMemoryError: "memory",
    DamagedVideoError: "damaged",
}


@dataclass(frozen=True)
class Failure:
    """One failed attempt.

    Attributes:
        id: of the input.
        kind: crash, timeout, memory, damaged or input.
        message: of the error.
        attempts: so far, this one included.
        seconds: that it took.
        host: the name of the machine.
        at: seconds since 1970 at which it failed.
        input: size and time of the input, so that a changed input is tried again.
        request: a hash of the weights and settings, with which others are tried again.
    """

    id: str
    kind: str
    message: str
    attempts: int
    seconds: float
    host: str
    at: float = 0.0
    input: tuple[int, int] | None = None
    request: str = ""


class Failures:
    """The last failure of each input.

    Args:
        folder: the folder of the outputs.
        request: what results depend on, apart from the input.
        name: of the file that failures are added to; None: `FILE`.
    """

    def __init__(self, folder: Path, request: Json, name: str | None = None) -> None:
        self._path = folder / (name or FILE)
        self._request = digest_of(request)
        self._last = last_failures(folder, request)

    def last(self, item_id: str, path: File) -> Failure | None:
        """Return the last failure of an input that has not changed since."""
        failure = self._last.get(item_id)
        if failure is not None and failure.input == _stamp(path):
            return failure
        return None

    def add(self, item_id: str, path: File, error: InputError, seconds: float) -> Failure:
        """Append a failure.

        Args:
            item_id: the id of the input.
            path: the input.
            error: the reason.
            seconds: that the attempt took.

        Returns:
            The failure.
        """
        last = self.last(item_id, path)
        failure = Failure(
            id=item_id,
            kind=_KINDS.get(type(error), "input"),
            message=str(error),
            attempts=1,
            seconds=round(seconds, 3),
            host=socket.gethostname(),
            at=round(time.time(), 3),
            input=_stamp(path),
            request=self._request,
        )
        if last is not None:
            failure = replace(failure, attempts=last.attempts + 1)
        self._last[item_id] = failure
        line = json.dumps(asdict(failure)) + "\n"
        with library_errors(self._path, "cannot be written", OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # One write in append mode, so that lines of several processes do not mix.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        return failure


def digest_of(request: Json) -> str:
    """Return a short hash of what results depend on."""
    content = json.dumps(request, sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def last_failures(folder: Path, request: Json) -> dict[str, Failure]:
    """Return the last failure of each input with this request, by its id."""
    digest = digest_of(request)
    last: dict[str, Failure] = {}
    for failure in read_failures(folder):
        earlier = last.get(failure.id)
        if failure.request == digest and (earlier is None or failure.at >= earlier.at):
            last[failure.id] = failure
    return last


def read_failures(folder: Path) -> Iterator[Failure]:
    """Yield the failures of a batch, of each file in the order of their attempts.

    Args:
        folder: the folder of the outputs.

    Yields:
        The failures. A line that was cut off by a crash is left out.
    """
    for path in sorted(folder.glob(PATTERN)):
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                with suppress(ValueError, TypeError):
                    values: Json = json.loads(line)
                    if values.get("input") is not None:
                        values["input"] = tuple(values["input"])
                    yield Failure(**values)


def _stamp(path: File) -> tuple[int, int] | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    return None
