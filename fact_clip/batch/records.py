"""Records of results: JSON files whose first line says what a result is."""

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

from fact_clip.core import Json

RECORDS = ".results"
"""Folder with the records of segmentations, inside the output folder."""


def result_names(stem: str) -> Iterator[str]:
    """Yield the names that a result may have: NAME, NAME-2, NAME-3, ..."""
    yield stem
    for number in count(2):
        yield f"{stem}-{number}"


def read_record(path: Path, line: int = 0) -> Json:
    """Return a line of a record, or {} if it is missing or damaged."""
    with suppress(OSError, ValueError), path.open(encoding="utf-8") as file:
        for content in islice(file, line, line + 1):
            values = json.loads(content)
            if isinstance(values, dict):
                return values
    return {}
