"""RTTM: NIST's line a turn; what pyannote and its metrics read."""

from __future__ import annotations

from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.base import Format, one_line, span


def write(segmentation: Segmentation, path: Path) -> None:
    """One SPEAKER line a segment: file, channel 1, start, duration in seconds, the action, its confidence.

    Fields end at blanks, so that blanks in names become underscores.

    Raises:
        InputError: no seconds are known, a label that does not fill one line, or two that become one.
    """
    names = {label: "_".join(one_line(path, label).split()) for label in segmentation.transcript}
    if len(set(names.values())) < len(names):
        raise InputError(path, "two labels that differ in blanks only", "names that differ", "write .csv or .json")
    video = "_".join(Path(segmentation.media or "video").stem.split()) or "video"
    lines = []
    for segment in segmentation:
        start, stop = (round(time, 6) for time in span(path, segmentation, segment))
        sure = "<NA>" if segment.confidence is None else repr(segment.confidence)
        time = f"{start:.6f} {stop - start:.6f}"
        lines.append(f"SPEAKER {video} 1 {time} <NA> <NA> {names[segment.label]} {sure} <NA>\n")
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


FORMAT = Format(write, None, "NIST RTTM, a line a segment; blanks in names become underscores")
