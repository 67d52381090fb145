"""The records in an output folder: the batch, each result, and the failures.

`.batch` describes the batch. Records are JSON files whose first line describes a result.
`failures.jsonl` has one line for each failed attempt, and one for each failure that is resolved.
Remote stores cannot append to files, so each process has a separate file there.
"""

import hashlib
import json
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from operator import attrgetter
from pathlib import Path

from fact_clip.core import InputError, Json, library_errors
from fact_clip.core.identity import File, hash_blocks
from fact_clip.core.io import parse_json, parse_value, write_value
from fact_clip.core.paths import write_lines
from fact_clip_batch.inputs import Inputs, Item
from fact_clip_batch.stores import Folder, RemoteFile, list_remote

DESCRIPTION = ".batch"
RECORDS = ".results"
"""Folder with the records of segmentations, inside the output folder."""

ATTEMPTS = 3
"""Attempts after which an input is set aside."""


def read_record(file: File, line: int = 0) -> Json:
    """Return a line of a record, or {} if it is missing or damaged."""
    with suppress(OSError, ValueError):  # an InputError is a ValueError
        if file.is_file():
            with file.open("rb") as lines:
                for content in islice(lines, line, line + 1):
                    values = parse_json(content.decode(), str(file), "a record")
                    if isinstance(values, dict):
                        return values
    return {}


@dataclass(frozen=True)
class Batch:
    """The last batch of a folder.

    Attributes:
        command: "extract" or "segment".
        request: What the results depend on, apart from the inputs.
        hashes: Hashes of the ids of all inputs, in all shards.
    """

    command: str
    request: Json
    hashes: list[int]


def describe_batch(folder: Folder, command: str, inputs: Inputs, request: Json) -> None:
    """Write the description of a batch."""
    batch = Batch(command, request, inputs.hashes.tolist())
    with folder.staged(DESCRIPTION) as local:
        write_value(local / DESCRIPTION, batch)


def read_batch(folder: Folder) -> Batch:
    """Read the description of the last batch of a folder. Raise an InputError if there is none."""
    fix = "name the --out of extract or segment, or run that command again"
    file = folder.file(DESCRIPTION)
    if not file.is_file():
        raise InputError(str(folder), "no batch in this folder", fix)
    damaged = library_errors(str(file), "cannot be read", OSError, ValueError, fix=fix)
    with damaged, file.open("rb") as content:
        return parse_value(Batch, content.read().decode(), Path(str(file)), fix)


@dataclass(frozen=True)
class Failure:
    """One failed attempt.

    Attributes:
        id: Id of the input.
        kind: Kind of failure: crash, timeout, memory, damaged or input. "refused" means that
            existing files are in the way, which does not count as an attempt. "over" means that the
            input has a result now.
        message: Message of the error.
        attempts: Number of attempts up to and including this one, or 0 if the failure is over.
        seconds: Duration of the attempt.
        host: Name of the machine.
        at: Time of the failure, in seconds since 1970.
        input: Size and time of the input and of the NAME.json next to it. A changed input is tried
            again.
        request: Hash of the weights and settings. With different ones, the input is tried again.
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
        folder: Output folder.
        request: What results depend on, apart from the input.
    """

    def __init__(self, folder: Folder, request: Json) -> None:
        self._folder = folder
        self._request = _digest_of(request)
        self._last = last_failures(folder, request)
        self._own_name = f"failures-{secrets.token_hex(6)}.jsonl"  # in a remote store
        self._own_lines: list[str] = []

    def attempts(self, item: Item) -> int:
        """Return the number of failed attempts since the input was changed."""
        failure = self._last.get(item.id)
        if failure is None or failure.kind == "refused" or failure.input != _stamp(item):
            return 0
        return failure.attempts

    def add(self, item: Item, error: InputError, seconds: float, kind: str) -> None:
        """Append a failure.

        Args:
            item: Input.
            error: Reason of the failure.
            seconds: Duration of the attempt.
            kind: Kind of failure, if the error does not name one.
        """
        failure = Failure(
            id=item.id,
            kind=getattr(error, "kind", kind),
            message=str(error),
            attempts=self.attempts(item) + 1,
            seconds=round(seconds, 3),
            host=socket.gethostname(),
            at=round(time.time(), 3),
            input=_stamp(item),
            request=self._request,
        )
        self._last[item.id] = failure
        self._append(json.dumps(asdict(failure)))

    def clear(self, item: Item) -> None:
        """Record that the failure of an input is over, because it has a result now."""
        failure = self._last.pop(item.id, None)
        if failure is not None:
            over = replace(failure, kind="over", attempts=0, at=round(time.time(), 3))
            self._append(json.dumps(asdict(over)))

    def _append(self, line: str) -> None:
        if self._folder.is_remote:
            self._own_lines.append(line)
            with self._folder.staged(self._own_name) as local:
                write_lines(local / self._own_name, self._own_lines)
            return
        path = Path(str(self._folder), "failures.jsonl")
        with library_errors(path, "cannot be written", OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A single write in append mode keeps lines of several processes apart.
            with path.open("ab", buffering=0) as file:
                file.write(f"{line}\n".encode())


def _digest_of(request: Json) -> str:
    """Return a short hash of a request."""
    content = json.dumps(request, sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def last_failures(folder: Folder, request: Json) -> dict[str, Failure]:
    """Return the last failure of each input with this request, by its id, unless it is over."""
    digest = _digest_of(request)
    failures = sorted(read_failures(folder), key=attrgetter("at"))
    last = {failure.id: failure for failure in failures if failure.request == digest}
    return {item_id: failure for item_id, failure in last.items() if failure.attempts}


def read_failures(folder: Folder) -> Iterator[Failure]:
    """Yield the failures of a batch, in the order of attempts within each file.

    Args:
        folder: Output folder.

    Yields:
        The failures. A line that was cut off by a crash is left out.
    """
    files = [folder.file("failures.jsonl")]
    if folder.is_remote:
        addresses = list_remote(folder.address("failures-*.jsonl"))
        files = [RemoteFile(address) for _, address in addresses]
    for path in files:
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                with suppress(ValueError, TypeError):
                    yield Failure(**json.loads(line))


def _stamp(item: Item) -> list[int]:
    stamp = []
    for file in (item.source, item.source.with_suffix(".json")):
        with suppress(OSError, ValueError):  # a path with NUL
            status = file.stat()
            stamp += [status.st_size, status.st_mtime_ns]
    return stamp


def hash_of_file(file: File) -> str:
    """Return a hash of a written file, as records hold it."""
    with file.open("rb") as content:
        return hash_blocks(content, 0, is_whole=True)


def edited_files(folder: Folder, item_id: str, record: Json) -> Iterator[Path | RemoteFile]:
    """Yield the files of a result that differ from what was written."""
    for suffix, digest in record.get("files", {}).items():
        file = folder.file(f"{item_id}{suffix}")
        if file.is_file() and hash_of_file(file) != digest:
            yield file
