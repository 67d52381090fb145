"""The failures of a batch: `failures.jsonl`, a line for each attempt."""

import hashlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path

from fact_clip.core import InputError, Json, library_errors
from fact_clip.core.identity import File
from fact_clip_batch.inputs import Item

FILE = "failures.jsonl"
PATTERN = "failures*.jsonl"  # a store in which nothing can be appended has a file a process
ATTEMPTS = 3
"""Attempts after which an input is set aside."""


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
    input: list[int] | None = None
    request: str = ""


class Failures:
    """The last failure of each input.

    Args:
        folder: the folder of the outputs.
        request: what results depend on, apart from the input.
        name: of the file that failures are added to.
    """

    def __init__(self, folder: Path, request: Json, name: str = FILE) -> None:
        self._path = folder / name
        self._request = digest_of(request)
        self._last = last_failures(folder, request)

    def attempts(self, item: Item) -> int:
        """Return the failed attempts at an input since it has changed."""
        failure = self._last.get(item.id)
        if failure is not None and failure.input == _stamp(item.source):
            return failure.attempts
        return 0

    def add(self, item: Item, error: InputError, seconds: float) -> int:
        """Append a failure.

        Args:
            item: the input.
            error: the reason.
            seconds: that the attempt took.

        Returns:
            The failed attempts so far.
        """
        failure = Failure(
            id=item.id,
            kind=getattr(error, "kind", "input"),
            message=str(error),
            attempts=self.attempts(item) + 1,
            seconds=round(seconds, 3),
            host=socket.gethostname(),
            at=round(time.time(), 3),
            input=_stamp(item.source),
            request=self._request,
        )
        self._last[item.id] = failure
        line = json.dumps(asdict(failure)) + "\n"
        with library_errors(self._path, "cannot be written", OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # One write in append mode, so that lines of several processes do not mix.
            with self._path.open("ab", buffering=0) as file:
                file.write(line.encode())
        return failure.attempts


def digest_of(request: Json) -> str:
    """Return a short hash of what results depend on."""
    content = json.dumps(request, sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def last_failures(folder: Path, request: Json) -> dict[str, Failure]:
    """Return the last failure of each input with this request, by its id."""
    digest = digest_of(request)
    failures = sorted(read_failures(folder), key=attrgetter("at"))
    return {failure.id: failure for failure in failures if failure.request == digest}


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
                    yield Failure(**json.loads(line))


def _stamp(path: File) -> list[int] | None:
    with suppress(OSError):
        status = path.stat()
        return [status.st_size, status.st_mtime_ns]
    return None
