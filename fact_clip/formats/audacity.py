"""Audacity's label track (.audacity.txt): start, stop and label between tabs; other sound editors read it too."""

from __future__ import annotations

from pathlib import Path

from fact_clip.core import Segmentation
from fact_clip.formats.base import Format, one_line, span


def write(segmentation: Segmentation, path: Path) -> None:
    """One line a segment, seconds to the microsecond as Audacity writes them; confidence has no place here.

    Raises:
        InputError: no seconds are known, or a label that does not fill one line.
    """
    lines = []
    for segment in segmentation:
        start, stop = span(path, segmentation, segment)
        lines.append(f"{start:.6f}\t{stop:.6f}\t{one_line(path, segment.label)}\n")
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


FORMAT = Format(write, None, "Audacity label track")
