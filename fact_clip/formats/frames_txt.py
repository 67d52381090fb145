"""Frame-wise text, as in MS-TCN's groundTruth folder: one class name a line, one line a frame."""

from __future__ import annotations

from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.core.files import read_text
from fact_clip.formats.base import Format


def write(segmentation: Segmentation, path: Path) -> None:
    """One label a line. Frame rate and confidence have no place here, nor has the cut between equal neighbours.

    Raises:
        InputError: a label that does not fill exactly one line.
    """
    for label in segmentation.transcript:
        if not label or "\n" in label or "\r" in label:
            raise InputError(path, f"label {label!r}", "a name of one line", "write .csv or .json")
    path.write_text("\n".join(segmentation.to_frames()) + "\n", encoding="utf-8", newline="\n")


def read(path: Path) -> Segmentation:
    """Maximal runs of equal lines; CRLF is tolerated, a blank line before the end is an InputError (file:line)."""
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(path, "no frames", "one label a line")
    if "" in lines:
        raise InputError(f"{path}:{lines.index('') + 1}", "a blank line", "one label a line")
    return Segmentation.from_frames(lines)


FORMAT = Format(write, read, "one label a line, one line a frame (MS-TCN)")
