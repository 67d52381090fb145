"""Subtitle tracks: WebVTT and SubRip; any player shows the action while the video runs."""

from __future__ import annotations

from pathlib import Path

from fact_clip.core import Segmentation
from fact_clip.formats.base import Format, milliseconds, one_line


def write_vtt(segmentation: Segmentation, path: Path) -> None:
    """One cue a segment, times to the millisecond; confidence in a comment before its cue, the video in the first line.

    Raises:
        InputError: no seconds are known, or a label that does not fill one line.
    """
    media = " ".join((segmentation.media or "").split())
    # an arrow may only stand in times
    blocks = [f"WEBVTT - {media}\n" if media and "-->" not in media else "WEBVTT\n"]
    for start, stop, segment in milliseconds(path, segmentation):
        if segment.confidence is not None:
            blocks.append(f"NOTE confidence {segment.confidence!r}\n")
        text = one_line(path, segment.label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(start, '.')} --> {_clock(stop, '.')}\n{text}\n")
    path.write_text("\n".join(blocks), encoding="utf-8", newline="\n")


def write_srt(segmentation: Segmentation, path: Path) -> None:
    """One numbered subtitle a segment, times to the millisecond; confidence has no place here.

    Raises:
        InputError: as `write_vtt`.
    """
    blocks = [
        f"{number}\n{_clock(start, ',')} --> {_clock(stop, ',')}\n{one_line(path, segment.label)}\n"
        for number, (start, stop, segment) in enumerate(milliseconds(path, segmentation), start=1)
    ]
    path.write_text("\n".join(blocks), encoding="utf-8", newline="\n")


def _clock(time: int, point: str) -> str:
    """Milliseconds as 00:00:00.000."""
    minutes, rest = divmod(time, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


VTT = Format(write_vtt, None, "WebVTT subtitles; confidence in comments", needs_media=False)
SRT = Format(write_srt, None, "SubRip subtitles")
