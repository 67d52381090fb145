"""Segmentations to files and back, and the annotation files of other tools.

To add a format: one file that writes it and reads it, and one line in `FORMATS`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.core.files import whole_file
from fact_clip.formats import boris, csv_file, elan, json_file, label_studio, lines, otio, via
from fact_clip.formats.annotations import Reader
from fact_clip.formats.base import Format

__all__ = ["FORMATS", "READERS", "Format", "ending_of", "load", "save"]

# How a format is written, read back as a segmentation, and read as annotations.
FORMATS: dict[str, Format] = {
    "csv": Format(".csv", csv_file.write, csv_file.read, csv_file.read_annotations),
    "json": Format(".json", json_file.write, json_file.read, needs_media=False),
    "jsonl": Format(".jsonl", json_file.write_lines, json_file.read_lines),
    "txt": Format(".txt", lines.write_frames, lines.read_frames),
    "vtt": Format(".vtt", lines.write_vtt, needs_media=False),
    "srt": Format(".srt", lines.write_srt),
    "eaf": Format(".eaf", elan.write, annotations=elan.read_annotations),
    "boris": Format(".boris", boris.write_project, annotations=boris.read_annotations),
    "boris.tsv": Format(".boris.tsv", boris.write_events),
    "label-studio": Format(".label-studio.json", label_studio.write, annotations=label_studio.read_annotations),
    "via": Format(".via.json", via.write, annotations=via.read_annotations),
    "rttm": Format(".rttm", lines.write_rttm),
    "audacity": Format(".audacity.txt", lines.write_audacity),
    "otio": Format(".otio", otio.write),
}

# What `fact-clip data convert --from` reads: the annotations of `FORMATS`, and two forms that are not written.
READERS: dict[str, Reader] = {
    **{name: known.annotations for name, known in FORMATS.items() if known.annotations is not None},
    "runs": json_file.read_runs,
    "epic": csv_file.read_epic,
}


def ending_of(name: str, where: str = "format") -> str:
    """The ending of a format's files, by its name or ending: "csv", ".CSV", "audacity", "audacity.txt".

    Raises:
        InputError: there is no such format; `where` says what the argument is called.
    """
    asked = name.lower().removeprefix(".")
    for known, each in FORMATS.items():
        if asked in (known, each.ending.removeprefix(".")):
            return each.ending
    raise InputError(where, f"no format {name!r}", f"one of {', '.join(FORMATS)}")


def save(segmentation: Segmentation, path: str | Path) -> Path:
    """Write a segmentation in the format that the end of the name tells. Missing folders are made.

    The file is written under another name and renamed, so a file called `path` is always whole. Formats that must
    name a video name `segmentation.media`, else the file itself without its ending.

    Raises:
        InputError: unknown ending, a folder that cannot be written to, a label that the format cannot hold, no
            seconds where the format needs them, or a library of an extra that is not installed.
    """
    path = Path(path)
    known = FORMATS[_format_name(path)]
    if segmentation.media is None and known.needs_media:
        segmentation = replace(segmentation, media=path.name[: -len(known.ending)])
    with whole_file(path) as unfinished:
        try:
            known.write(segmentation, unfinished)
        except InputError as error:  # it names the unfinished file
            raise InputError(path, error.found, error.expected, error.todo) from None
    return path


def load(path: str | Path) -> Segmentation:
    """Read a segmentation that :func:`save` wrote.

    Raises:
        InputError: unknown ending, a format that does not keep the frames, or a broken file.
    """
    path = Path(path)
    name = _format_name(path)
    read = FORMATS[name].read
    if read is None:
        kind = name.removesuffix(".tsv")
        todo = f"`fact-clip data convert --from {kind}` reads its annotations" if kind in READERS else ""
        readable = ", ".join(name for name, known in FORMATS.items() if known.read is not None)
        raise InputError(path, "a format that is only written", f"one of {readable}", todo)
    return read(path)


def _format_name(path: Path) -> str:
    found = [name for name, known in FORMATS.items() if path.name.lower().endswith(known.ending)]
    if not found:
        endings = ", ".join(known.ending.removeprefix(".") for known in FORMATS.values())
        raise InputError(path, f"no format for the suffix {path.suffix.lower()!r}", f"one of {endings}")
    return max(found, key=lambda name: len(FORMATS[name].ending))
