"""Segmentations to files and back; the ending of the name tells the format.

To add one: a file with ``FORMAT = Format(write, read, note)`` and a line in `EXPORTERS`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.core.files import whole_file
from fact_clip.formats import (
    audacity,
    boris,
    csv_file,
    elan,
    frames_txt,
    json_file,
    jsonl_file,
    label_studio,
    otio,
    rttm,
    subtitles,
    via,
)
from fact_clip.formats.base import Format

__all__ = ["EXPORTERS", "Format", "ending_of", "format_of", "load", "save", "whole_file"]

EXPORTERS: dict[str, Format] = {
    ".csv": csv_file.FORMAT,
    ".json": json_file.FORMAT,
    ".jsonl": jsonl_file.FORMAT,
    ".txt": frames_txt.FORMAT,
    ".vtt": subtitles.VTT,
    ".srt": subtitles.SRT,
    ".eaf": elan.FORMAT,
    ".boris": boris.PROJECT,
    ".boris.tsv": boris.EVENTS,
    ".label-studio.json": label_studio.FORMAT,
    ".via.json": via.FORMAT,
    ".rttm": rttm.FORMAT,
    ".audacity.txt": audacity.FORMAT,
    ".otio": otio.FORMAT,
}


def ending_of(name: str, where: str = "format") -> str:
    """The ending of a format's files by its name: "csv", "boris.tsv", or the tool alone, "audacity".

    Raises:
        InputError: no such format; `where` says what to call the argument.
    """
    ending = f".{name.lower().removeprefix('.')}"
    longer = [known for known in EXPORTERS if known.startswith(f"{ending}.")]
    if ending in EXPORTERS:
        return ending
    if len(longer) != 1:
        raise InputError(where, f"no format {name!r}", f"one of {_known()}")
    return longer[0]


def format_of(path: str | Path) -> Format:
    """The format that the end of a file's name tells (``.CSV`` is ``.csv``); an unknown one is an InputError."""
    return EXPORTERS[_ending(Path(path))]


def save(segmentation: Segmentation, path: str | Path) -> Path:
    """Write a segmentation; folders on the way are made, and a file under this name is whole or not there.

    Formats that must point to a video name `segmentation.media`, else the file's own name without its ending.

    Raises:
        InputError: unknown ending, a folder that cannot be written to, a label that the format cannot hold, no
            seconds where the format needs them, or a library of an extra that is not installed.
    """
    path = Path(path)
    ending = _ending(path)
    if segmentation.media is None and EXPORTERS[ending].needs_media:
        segmentation = replace(segmentation, media=path.name[: -len(ending)])
    with whole_file(path) as unfinished:
        try:
            EXPORTERS[ending].write(segmentation, unfinished)
        except InputError as error:  # of the name that was asked for
            raise InputError(path, error.found, error.expected, error.todo) from None
    return path


def load(path: str | Path) -> Segmentation:
    """Read a segmentation that :func:`save` wrote; a format that cannot be read back is an InputError."""
    path = Path(path)
    read_by = format_of(path)
    if read_by.read is None:
        raise InputError(path, "a format that is only written", "one that is read as well")
    return read_by.read(path)


def _ending(path: Path) -> str:
    found = [ending for ending in EXPORTERS if path.name.lower().endswith(ending)]
    if not found:
        raise InputError(path, f"no format for the suffix {path.suffix.lower()!r}", f"one of {_known()}")
    return max(found, key=len)


def _known() -> str:
    return ", ".join(ending.removeprefix(".") for ending in EXPORTERS)
