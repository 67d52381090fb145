"""What players and editors read: subtitles (WebVTT, SubRip), Audacity, RTTM, OpenTimelineIO; and frame labels."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fact_clip.core import FileLocation, InputError, Segmentation
from fact_clip.core.colours import palette
from fact_clip.core.io import read_text
from fact_clip.formats import base
from fact_clip.formats.base import Annotation, Gaps, Options, Span


def write_frames(segmentation: Segmentation, path: Path) -> None:
    """Write one label per line, one line per frame, as in MS-TCN's groundTruth folder; rate and confidence are lost."""
    for label in segmentation.transcript:
        if not label or "\n" in label or "\r" in label:
            raise InputError(
                path, f"label {label!r} is not a name of one line", "write .csv or .json"
            )
    _write(path, (f"{label}\n" for label in segmentation.to_frames()))


def read_frames(path: Path, gaps: Gaps) -> Segmentation:
    """Read maximal runs of equal lines; CRLF is allowed, a blank line before the end is an InputError."""
    text = read_text(path).replace("\r\n", "\n").rstrip("\r\n")
    if not text:
        raise InputError(path, "no frames", "give one label per line")
    lines = text.split("\n")
    if "" in lines:
        raise InputError(
            FileLocation(path, lines.index("") + 1), "a blank line", "give one label per line"
        )
    return Segmentation.from_frames(lines)


def write_vtt(segmentation: Segmentation, path: Path) -> None:
    """Write WebVTT: one cue per segment, its confidence in a comment before it, the video in the first line."""
    media = " ".join((segmentation.media or "").split())
    # an arrow may only stand between times
    blocks = [f"WEBVTT - {media}\n" if media and "-->" not in media else "WEBVTT\n"]
    for start, stop, segment in base.milliseconds(path, segmentation):
        if segment.confidence is not None:
            blocks.append(f"\nNOTE confidence {segment.confidence!r}\n")
        text = (
            base.one_line(path, segment.label)
            .replace("&", "&amp;")
            .replace("<", "&lt;")
            .replace(">", "&gt;")
        )
        blocks.append(f"\n{_clock(start, '.')} --> {_clock(stop, '.')}\n{text}\n")
    _write(path, blocks)


def write_srt(segmentation: Segmentation, path: Path) -> None:
    """Write SubRip: one numbered subtitle per segment; the confidence is lost."""
    blocks = [
        f"{number}\n{_clock(start, ',')} --> {_clock(stop, ',')}\n{base.one_line(path, segment.label)}\n"
        for number, (start, stop, segment) in enumerate(
            base.milliseconds(path, segmentation), start=1
        )
    ]
    _write(path, ["\n".join(blocks)])


_CUE = re.compile(
    r"^(.*?)-->\s*(\S*).*\n((?:.*\S.*\n)*)", re.MULTILINE
)  # start, stop, and lines up to a blank one


def read_subtitles(path: Path, options: Options) -> list[Annotation]:
    """Read the cues of a WebVTT or SubRip file: a segment each, whose name is the text in one line."""
    spans, text = list[Span](), read_text(path).replace("\r\n", "\n") + "\n"
    for cue in _CUE.finditer(text):
        where = FileLocation(path, text.count("\n", 0, cue.start()) + 1)
        start, stop = (
            base.seconds(where, time.strip().replace(",", "."), "a time")
            for time in cue.groups()[:2]
        )
        label = " ".join(cue[3].split())
        if path.suffix.lower() == ".vtt":
            label = html.unescape(re.sub(r"<[^>]*>", "", label))
        spans.append(Span(start, stop, label, where))
    if not spans:
        raise InputError(path, "no cue with times", "give a WebVTT or SubRip file")
    return [Annotation(base.name_of(path), tuple(spans), "seconds", path)]


_JOINER = "\u2060"
_ASS_HEAD = """[Script Info]
Title: {title}
ScriptType: v4.00+
WrapStyle: 0

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,20,&H00FFFFFF,&H00FFFFFF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def write_ass(segmentation: Segmentation, path: Path) -> None:
    """Write SubStation subtitles to the hundredth second, in the colour of each action; the confidence is a name."""
    actions = list(dict.fromkeys(segment.label for segment in segmentation.foreground))
    colour_of = dict(zip(actions, palette(len(actions)), strict=True))
    lines = [_ASS_HEAD.format(title=" ".join((segmentation.media or "").split()))]
    for start, stop, segment in base.timed(path, segmentation):
        clocks = [_clock(10 * round(100 * time), ".")[1:-1] for time in (start, stop)]
        if clocks[0] == clocks[1]:
            raise InputError(
                path, f"segment {segment.label!r} at {start:g} s is shorter than 10 ms"
            )
        red, green, blue = (colour_of[segment.label][offset : offset + 2] for offset in (1, 3, 5))
        # a backslash before what follows would be a command; the word joiner, which is in no name, parts them
        text = re.sub(
            r"[{}]", r"\\\g<0>", base.one_line(path, segment.label).replace("\\", f"\\{_JOINER}")
        )
        name = "" if segment.confidence is None else repr(segment.confidence)
        lines.append(
            f"Dialogue: 0,{','.join(clocks)},Default,{name},0,0,0,,{{\\c&H{blue}{green}{red}&}}{text}\n"
        )
    _write(path, lines)


def read_ass(path: Path, options: Options) -> list[Annotation]:
    """Read the dialogue lines of a SubStation file (.ass, .ssa): a segment each, named by its text without commands."""
    columns, spans = list[str](), list[Span]()
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        where, (key, _, value) = FileLocation(path, number), line.partition(":")
        if key == "Format":  # that of the events comes last
            columns = [name.strip() for name in value.split(",")]
        if key != "Dialogue":
            continue
        cells = dict(zip(columns, value.strip().split(",", max(len(columns) - 1, 0)), strict=False))
        if not {"Start", "End", "Text"} <= cells.keys():
            raise InputError(
                where,
                "a dialogue without times or text",
                "write Start, End and Text as Format says",
            )
        start, stop = (base.seconds(where, cells[name], name) for name in ("Start", "End"))
        text = re.sub(r"(?<!\\)\{[^}]*\}", "", cells["Text"])
        text = re.sub(
            rf"\\([{{}}{_JOINER}])|\\[Nnh]",
            lambda mark: (mark[1] or " ").replace(_JOINER, "\\"),
            text,
        )
        spans.append(Span(start, stop, " ".join(text.split()), where))
    if not spans:
        raise InputError(path, "no dialogue", "give a SubStation file, .ass or .ssa")
    return [Annotation(base.name_of(path), tuple(spans), "seconds", path)]


def _clock(time: int, point: str) -> str:
    """Return milliseconds as 00:00:00.000."""
    minutes, rest = divmod(time, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def write_audacity(segmentation: Segmentation, path: Path) -> None:
    """Write Audacity's label track: start, stop and label between tabs, to the microsecond; the confidence is lost."""
    cues = base.timed(path, segmentation)
    _write(
        path,
        (
            f"{start:.6f}\t{stop:.6f}\t{base.one_line(path, segment.label)}\n"
            for start, stop, segment in cues
        ),
    )


def write_rttm(segmentation: Segmentation, path: Path) -> None:
    """Write NIST's RTTM, a SPEAKER line per segment; blanks in names become underscores."""
    names = {
        segment.label: "_".join(base.one_line(path, segment.label).split())
        for segment in segmentation.foreground
    }
    if len(set(names.values())) < len(names):
        raise InputError(path, "two labels that differ in blanks only", "write .csv or .json")
    video = "_".join(Path(segmentation.media or "").stem.split()) or "video"
    lines = []
    for *times, segment in base.timed(path, segmentation):
        start, stop = (round(time, 6) for time in times)
        confidence = "<NA>" if segment.confidence is None else repr(segment.confidence)
        name = names[segment.label]
        lines.append(
            f"SPEAKER {video} 1 {start:.6f} {stop - start:.6f} <NA> <NA> {name} {confidence} <NA>\n"
        )
    _write(path, lines)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def write_otio(segmentation: Segmentation, path: Path) -> None:
    """Write an OpenTimelineIO track of frames, or of milliseconds if there are frame times; background is a gap."""
    otio = base.library(path, "opentimelineio", "OpenTimelineIO", "otio")
    base.second_of(path, segmentation, 0)
    if segmentation.times is None:
        rate = segmentation.fps
        cuts = [(segment.start, segment.stop, segment) for segment in segmentation]
    else:
        rate, cuts = 1000.0, base.milliseconds(path, replace(segmentation, background=()))
    media = segmentation.media or "video"
    video = Path(media)
    address = video.as_uri() if video.is_absolute() else media
    track = otio.schema.Track("action", kind=otio.schema.TrackKind.Video)
    for start, stop, segment in cuts:
        times = [otio.opentime.RationalTime(time, rate) for time in (start, stop - start)]
        if segment.label in segmentation.background:
            track.append(otio.schema.Gap(duration=times[1]))
            continue
        reference = otio.schema.ExternalReference(target_url=address)
        metadata = (
            {} if segment.confidence is None else {"fact_clip": {"confidence": segment.confidence}}
        )
        track.append(
            otio.schema.Clip(segment.label, reference, otio.opentime.TimeRange(*times), metadata)
        )
    timeline = otio.schema.Timeline(video.stem)
    timeline.tracks.append(track)
    path.write_text(timeline.to_json_string(indent=2) + "\n", encoding="utf-8")
