"""What a folder of results says: of the batch in `.batch`, of each result in its record.

Records are JSON files whose first line says what a result is.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path

from fact_clip.core import InputError, Json
from fact_clip.core.io import check_file, parse_json, read_value, write_value
from fact_clip.core.version import __version__

DESCRIPTION = ".batch"
"""The file that says what the last batch of a folder is."""

RECORDS = ".results"
"""Folder with the records of segmentations, inside the output folder."""


def result_names(stem: str) -> Iterator[str]:
    """Yield the names that a result may have: NAME, NAME-2, NAME-3, ..."""
    yield stem
    for number in count(2):
        yield f"{stem}-{number}"


def read_record(path: Path, line: int = 0) -> Json:
    """Return a line of a record, or {} if it is missing or damaged."""
    with suppress(OSError, ValueError):  # an InputError is a ValueError
        check_file(path, "a record")
        with path.open(encoding="utf-8") as file:
            for content in islice(file, line, line + 1):
                values = parse_json(content, path, "a record")
                if isinstance(values, dict):
                    return values
    return {}


@dataclass(frozen=True)
class Batch:
    """The last batch of a folder.

    Attributes:
        command: "extract" or "segment".
        inputs: number of inputs, of all shards.
        request: what the results depend on, apart from the inputs.
        version: of this package.
    """

    command: str
    inputs: int
    request: Json
    version: str


def describe_batch(folder: Path, command: str, n_inputs: int, request: Json) -> None:
    """Write what a batch is, unless the file says so already."""
    batch = Batch(command, n_inputs, request, __version__)
    with suppress(InputError):
        if read_batch(folder) == batch:
            return
    write_value(folder / DESCRIPTION, asdict(batch))


def read_batch(folder: Path) -> Batch:
    """Read what the last batch of a folder is. Raise an InputError if there is none."""
    fix = "name the --out of extract or segment"
    if not (folder / DESCRIPTION).is_file():
        raise InputError(folder, "no batch in this folder", fix)
    return read_value(Batch, folder / DESCRIPTION, fix)
