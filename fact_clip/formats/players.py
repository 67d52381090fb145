"""Frame labels, and the subtitles of video players."""

import html
import re
from pathlib import Path

from fact_clip.core import FileLocation, InputError, Segmentation
from fact_clip.core.io import read_text
from fact_clip.formats.base import (
    Annotation,
    Options,
    Span,
    write_text,
)
from fact_clip.formats.gaps import Gaps
from fact_clip.formats.times import milliseconds, parse_seconds


def write_frames(segmentation: Segmentation, path: Path) -> None:
    """Write one label per line and frame, as in MS-TCN's groundTruth folder.

    Rate and confidence are lost.
    """
    for label in segmentation.transcript:
        if not label or "\n" in label or "\r" in label:
            problem = f"label {label!r} is not a name of one line"
            raise InputError(path, problem, "write .csv or .json")
    write_text(path, (f"{label}\n" for label in segmentation.to_frames()))


def read_frames(path: Path, gaps: Gaps) -> Segmentation:
    """Read maximal runs of equal lines. A blank line before the end is an InputError."""
    content = read_text(path).replace("\r\n", "\n").rstrip("\r\n")
    if not content:
        raise InputError(path, "no frames", "give one label per line")
    lines = content.split("\n")
    if "" in lines:
        where = FileLocation(path, lines.index("") + 1)
        raise InputError(where, "a blank line", "give one label per line")
    return Segmentation.from_frames(lines)


def write_vtt(segmentation: Segmentation, path: Path) -> None:
    """Write WebVTT, with a cue per segment, confidences in comments, and the video in line 1."""
    media = " ".join((segmentation.media or "").split())
    # An arrow may only occur between times.
    blocks = [f"WEBVTT - {media}\n" if media and "-->" not in media else "WEBVTT\n"]
    for start, stop, segment in milliseconds(segmentation):
        if segment.confidence is not None:
            blocks.append(f"\nNOTE confidence {segment.confidence!r}\n")
        label = html.escape(segment.label, quote=False)
        blocks.append(f"\n{_clock(start, '.')} --> {_clock(stop, '.')}\n{label}\n")
    write_text(path, blocks)


def write_srt(segmentation: Segmentation, path: Path) -> None:
    """Write SubRip, with one numbered subtitle per segment. The confidence is lost."""
    blocks = []
    for number, (start, stop, segment) in enumerate(milliseconds(segmentation), start=1):
        clocks = f"{_clock(start, ',')} --> {_clock(stop, ',')}"
        blocks.append(f"{number}\n{clocks}\n{segment.label}\n")
    write_text(path, ["\n".join(blocks)])


# Start, stop, and lines up to a blank one or to the times of the next cue.
_TIMES = r"(?:\d+\n)?[\d:.,]+ +-->"
_CUE = re.compile(rf"^(.*?)-->\s*(\S*).*\n((?:.*\S.*\n)?(?:(?!{_TIMES}).*\S.*\n)*)", re.MULTILINE)


def read_subtitles(path: Path, options: Options) -> list[Annotation]:
    """Read a WebVTT or SubRip file. Each cue is a segment, and its text is the label."""
    content = read_text(path).replace("\r\n", "\n") + "\n"
    spans = []
    for cue in _CUE.finditer(content):
        where = FileLocation(path, content.count("\n", 0, cue.start()) + 1)
        start = parse_seconds(where, cue[1].strip().replace(",", "."), "a time")
        stop = parse_seconds(where, cue[2].strip().replace(",", "."), "a time")
        label = re.sub(r"\s*[\n\t]\s*", " ", cue[3].strip())  # a player shows several lines
        if path.suffix.lower() == ".vtt":
            label = html.unescape(re.sub(r"<[^>]*>", "", label))
        label = re.sub(r"^\{\\an[1-9]\}", "", label)  # remove the position of a subtitle
        spans.append(Span(start, stop, label, where))
    if not spans:
        raise InputError(path, "no cue with times", "give a WebVTT or SubRip file")
    return [Annotation(path, spans)]


def _clock(time: int, point: str) -> str:
    """Return milliseconds as 00:00:00.000."""
    seconds, fraction = divmod(time, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{fraction:03d}"
