"""Records of results: JSON files whose first line says what a result is."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

from fact_clip.core import Json
from fact_clip.core.io import check_file, parse_json

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
