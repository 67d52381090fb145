"""Reading and writing of segmentations, and of the annotation files of other tools."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fact_clip.core import (
    MAX_FRAMES,
    InputError,
    Location,
    Segmentation,
    located,
)
from fact_clip.core.arguments import check_name, validated
from fact_clip.core.paths import whole_file
from fact_clip.core.plugins import PluginTable
from fact_clip.formats import (
    binary,
    boris,
    csv_file,
    elan,
    json_file,
    label_studio,
    nwb,
    players,
    via,
)
from fact_clip.formats.base import OURS, Reader, check_line, written_segments
from fact_clip.formats.boris import Behaviour as Behaviour
from fact_clip.formats.boris import Ethogram
from fact_clip.formats.gaps import Gaps, with_framed_instants
from fact_clip.formats.ratings import load_rating as load_rating

logger = logging.getLogger(__name__)

__all__ = ["Format", "load", "save"]


@dataclass(frozen=True)
class Format:
    """One way to store a segmentation in a file.

    Args:
        ending: Ending of its files, such as ".frames.csv".
        write: Function that writes a file, or None if there is `write_tracks`.
        read: Function that reads a file of `write`, or None if `load` does not read the format.
        annotations: Reader of the tool's files, which may have gaps and overlaps.
        needs_media: Whether the file must name a video.
        every_frame: Whether background is always written.
        write_tracks: Function that writes several segmentations of one video, by the names of
            their tracks. It also writes keys, colours and modifiers of classes if the format has
            them. None if each track needs its own file.
        module: Module of an extra that writing needs, or "".
        has_instants: Whether the tool has point events.
        keeps_instants: Whether its files can store point events, although the tool has none.
        has_comments: Whether its files store the comments of segments.
        joins_tracks: Whether `write_tracks` joins all tracks into one, so that a class must not
            occur in two of them.
    """

    ending: str
    write: Callable[[Segmentation, Path], None] | None = None
    read: Callable[[Path, Gaps], Segmentation] | None = None
    annotations: Reader | None = None
    needs_media: bool = True
    every_frame: bool = False
    write_tracks: Callable[[Mapping[str, Segmentation], Path, Ethogram], None] | None = None
    module: str = ""
    has_instants: bool = False
    keeps_instants: bool = False
    has_comments: bool = False
    joins_tracks: bool = False

    @property
    def has_tracks(self) -> bool:
        """Return whether a file can contain several separate tracks."""
        return self.write_tracks is not None and not self.joins_tracks

    @property
    def holds_instants(self) -> bool:
        """Return whether its files store point events. Other formats get segments of one frame."""
        return self.has_instants or self.keeps_instants

    @property
    def is_installed(self) -> bool:
        """Return whether the module that writing needs is installed."""
        return not self.module or find_spec(self.module) is not None


def _adopt(name: str, part: Any) -> Format:
    """Return the format of a plug-in, whose ending must be new."""
    if not isinstance(part, Format):
        raise ValueError("not a fact_clip.formats.Format")
    is_built_in = any(part.ending == form.ending for form in _FORMATS.values())
    if is_built_in or not part.ending.startswith("."):
        raise ValueError(f"the ending {part.ending!r} is built in, or does not start with a point")
    return part


_FORMATS: dict[str, Format] = {
    "csv": Format(
        ".csv",
        csv_file.write,
        csv_file.read,
        csv_file.read_annotations,
        keeps_instants=True,
        has_comments=True,
    ),
    "frames.csv": Format(".frames.csv", csv_file.write_pictures, every_frame=True),
    "binary.csv": Format(
        ".binary.csv",
        annotations=binary.read_annotations,
        write_tracks=binary.write_tracks,
        joins_tracks=True,
        needs_media=False,
    ),
    "json": Format(
        ".json",
        json_file.write,
        json_file.read,
        needs_media=False,
        every_frame=True,
        keeps_instants=True,
        has_comments=True,
    ),
    "jsonl": Format(".jsonl", json_file.write_lines, json_file.read_lines, every_frame=True),
    "txt": Format(".txt", players.write_frames, players.read_frames, every_frame=True),
    "vtt": Format(".vtt", players.write_vtt, annotations=players.read_subtitles, needs_media=False),
    "srt": Format(".srt", players.write_srt, annotations=players.read_subtitles),
    "eaf": Format(
        ".eaf",
        annotations=elan.read_annotations,
        write_tracks=elan.write_tracks,
        module="pympi",
        keeps_instants=True,
        has_comments=True,
    ),
    "nwb": Format(
        ".nwb", nwb.write, annotations=nwb.read_annotations, module="pynwb", has_comments=True
    ),
    "boris": Format(
        ".boris",
        annotations=boris.read_annotations,
        write_tracks=boris.write_subjects,
        has_instants=True,
        has_comments=True,
    ),
    "label-studio": Format(
        ".label-studio.json", label_studio.write, annotations=label_studio.read_annotations
    ),
    "via": Format(".via.json", via.write, annotations=via.read_annotations),
}
FORMATS = PluginTable("fact_clip.formats", _FORMATS, _adopt)

# Formats of `fact-clip data convert --from`: the annotations of `FORMATS`, and two formats that
# only this command reads.
_READERS: dict[str, Reader] = {
    name: form.annotations for name, form in _FORMATS.items() if form.annotations is not None
}
_READERS["epic"] = csv_file.read_epic
_READERS["json"] = json_file.read_annotations
READERS = PluginTable(
    "fact_clip.formats", _READERS, lambda name, part: _adopt(name, part).annotations
)


def format_called(name: str, where: Location = "format") -> Format:
    """Return a format by its name or ending.

    Args:
        name: Name or ending, such as "csv" or ".CSV".
        where: Location of the name, for errors.

    Returns:
        The format.
    """
    key = name.lower().removeprefix(".")
    if key not in FORMATS:
        key = _format_name(f"x.{key}", where)
    return FORMATS[key]


@validated()
def save(
    segmentation: Segmentation,
    path: str | Path,
    *,
    with_background: bool = False,
    kind: str | None = None,
    ethogram: Mapping[str, Behaviour] | None = None,
) -> Path:
    """Write a segmentation to a file, atomically.

    Formats that must name a video use `segmentation.media`, or else the file name without its
    ending. Segments of `segmentation.background` are omitted, unless the format has a label for
    every frame. Instants are point events in BORIS, csv, json and ELAN. In other formats, each
    instant in background becomes a segment of one frame, and other instants are omitted. A warning
    counts both. If the first background name is "?", gaps are unlabelled, so any other background
    is written.

    Args:
        segmentation: Segmentation to write.
        path: Path of the file.
        with_background: Whether background is written in any format.
        kind: Name of the format, by default the format of the file's ending.
        ethogram: Coding of classes, for formats that store it (BORIS).

    Returns:
        The path.
    """
    path = Path(path)
    form = format_of(path) if kind is None else format_called(kind, "kind")
    with whole_file(path) as unfinished, located(path):
        tracks = _for_file({OURS: segmentation}, path, form, with_background)
        if form.write_tracks is not None:
            form.write_tracks(tracks, unfinished, ethogram or {})
        elif form.write is not None:
            form.write(tracks[OURS], unfinished)
    return path


@validated()
def save_tracks(
    tracks: Mapping[str, Segmentation],
    path: str | Path,
    *,
    with_background: bool = False,
    ethogram: Mapping[str, Behaviour] | None = None,
) -> Path:
    """Write segmentations of one video to one file of a format that has tracks.

    Args:
        tracks: Segmentation of each track, by name.
        path: Path of the file, whose ending determines the format.
        with_background: Whether background is written.
        ethogram: Coding of classes, for formats that store it (BORIS).

    Returns:
        The path.
    """
    path = Path(path)
    form = format_of(path)
    if form.write_tracks is None:
        endings = [form.ending for form in FORMATS.values() if form.write_tracks is not None]
        fix = f"use {', '.join(endings)}, or one file for each"
        raise InputError(path, "a format without tracks", fix)
    with whole_file(path) as unfinished, located(path):
        prepared = _for_file(tracks, path, form, with_background)
        form.write_tracks(prepared, unfinished, ethogram or {})
    return path


def _for_file(
    tracks: Mapping[str, Segmentation], path: Path, form: Format, with_background: bool
) -> dict[str, Segmentation]:
    """Return the tracks of a file, with instants in the form that it can store."""
    complete = {}
    n_framed = 0
    n_omitted = 0
    for name, track in tracks.items():
        if track.instants and not form.holds_instants:
            framed = with_framed_instants(track)
            n_omitted += len(framed.instants)
            n_framed += len(track.instants) - len(framed.instants)
            track = framed
        complete[name] = _complete(track, path, form, with_background)
    if n_omitted:
        message = "%s: %d point events are left out, as this format cannot store them"
        logger.warning(message, path, n_omitted)
    if n_framed:
        message = "%s: %d point events become segments of one frame in this format"
        logger.warning(message, path, n_framed)
    return complete


def _complete(
    segmentation: Segmentation, path: Path, form: Format, with_background: bool
) -> Segmentation:
    """Return the segmentation with the background and the media for the file."""
    media = segmentation.media
    background = segmentation.background
    if with_background and not form.every_frame:
        background = ()
    if media is not None:  # the path of a video may not be UTF-8
        media = media.encode(errors="surrogatepass").decode(errors="replace")
    elif form.needs_media:
        media = path.stem
        if path.name.lower().endswith(form.ending.lower()):
            media = path.name[: -len(form.ending)]
    segmentation = replace(segmentation, media=media, background=background)
    if form.read is None:  # other programs, and `Span`, need names of one line
        for segment in written_segments(segmentation):
            check_line(segment.label)
    return segmentation


@validated()
def load(
    path: str | Path, *, background: str | None = None, n_frames: int | None = None
) -> Segmentation:
    """Read a segmentation that `save` wrote as csv, json, jsonl or txt.

    Args:
        path: Path of the file.
        background: Label of the frames that the file omits.
        n_frames: Length of the video, if the file omits its end.

    Returns:
        The segmentation.
    """
    path = Path(path)
    name = _format_name(path.name, path)
    if background is not None:
        check_name(background, "background", legacy=True)
    read = FORMATS[name].read
    if read is None:
        readable = [name for name, form in FORMATS.items() if form.read is not None]
        fix = f"use one of {', '.join(readable)}"
        if name in READERS:
            fix = f"read it with fact-clip data convert --from {name}"
        raise InputError(path, "load does not read this format", fix)
    if n_frames is not None and not 1 <= n_frames <= MAX_FRAMES:
        raise InputError("n_frames", f"{n_frames} is not between 1 and {MAX_FRAMES:,}")

    segmentation = read(path, Gaps(background, n_frames))
    if n_frames not in (None, segmentation.n_frames):
        problem = f"{segmentation.n_frames} frames, but n_frames is {n_frames}"
        fix = ""
        if background is None:
            fix = "name the background that was left out: load(path, background=...)"
        raise InputError(path, problem, fix)
    if background is None:
        return segmentation
    names = dict.fromkeys((background, *segmentation.background))
    return replace(segmentation, background=tuple(names))


def format_of(path: str | Path) -> Format:
    """Return the format of a file, by the longest ending that its name has.

    Args:
        path: Path of the file.

    Returns:
        The format.
    """
    path = Path(path)
    return FORMATS[_format_name(path.name, path)]


def _format_name(file: str, where: Location) -> str:
    """Return the name of the format whose ending is the longest one that matches a file name."""
    names = [name for name, form in FORMATS.items() if file.lower().endswith(form.ending.lower())]
    if names:
        return max(names, key=lambda name: len(FORMATS[name].ending))
    suffix = file.lower().rpartition(".")[2]
    if suffix not in FORMATS:
        raise InputError(where, f"no format {suffix!r}", f"use one of {', '.join(FORMATS)}")
    return suffix  # a plug-in that does not work
