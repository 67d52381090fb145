"""Segmentations to files and back; the suffix names the format.

To add one: a file with ``FORMAT = Format(write, read, note)`` and a line in `EXPORTERS`.
"""

from __future__ import annotations

from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.export import csv_file, frames_txt, json_file
from fact_clip.export.formats import Format, whole_file

__all__ = ["EXPORTERS", "Format", "format_of", "load", "save", "whole_file"]

EXPORTERS: dict[str, Format] = {
    ".csv": csv_file.FORMAT,
    ".json": json_file.FORMAT,
    ".txt": frames_txt.FORMAT,
}


def format_of(path: str | Path) -> Format:
    """The format that a file's suffix names (``.CSV`` is ``.csv``); an unknown suffix is an InputError."""
    suffix = Path(path).suffix.lower()
    if suffix not in EXPORTERS:
        raise InputError(path, f"no format for the suffix {suffix!r}", f"one of {', '.join(EXPORTERS)}")
    return EXPORTERS[suffix]


def save(segmentation: Segmentation, path: str | Path) -> Path:
    """Write a segmentation; folders on the way are made, and a file under this name is whole or not there.

    Raises:
        InputError: unknown suffix, a folder that cannot be written to, or a label that the format cannot hold.
    """
    path = Path(path)
    written_by = format_of(path)
    with whole_file(path) as unfinished:
        written_by.write(segmentation, unfinished)
    return path


def load(path: str | Path) -> Segmentation:
    """Read a segmentation that :func:`save` wrote; a format that cannot be read back is an InputError."""
    path = Path(path)
    read_by = format_of(path)
    if read_by.read is None:
        raise InputError(path, "a format that is only written", "one that is read as well")
    return read_by.read(path)
