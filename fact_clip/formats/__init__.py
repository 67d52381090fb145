"""Segmentations to files and back, and the annotation files of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fact_clip.core import MAX_FRAMES, InputError, Location, Segmentation, located
from fact_clip.core.arguments import check_name, validated
from fact_clip.core.paths import whole_file
from fact_clip.core.plugins import Table
from fact_clip.formats import (
    boris,
    csv_file,
    elan,
    json_file,
    label_studio,
    nwb,
    players,
    textgrid,
    via,
)
from fact_clip.formats.base import Gaps, Reader

__all__ = [
    "FORMATS",
    "READERS",
    "Format",
    "format_called",
    "format_of",
    "load",
    "save",
    "save_tracks",
]


@dataclass(frozen=True)
class Format:
    """One way to keep a segmentation in a file."""

    ending: str
    write: Callable[[Segmentation, Path], None]
    read: Callable[[Path, Gaps], Segmentation] | None = (
        None  # reads back what `write` wrote; None: frames are not kept
    )
    annotations: Reader | None = (
        None  # reads the files of the tool, which may have gaps and overlaps
    )
    needs_media: bool = True  # the file must name a video
    every_frame: bool = False  # background is always written
    # writes several segmentations of one video into one file, by the names of their tracks; None: a file for each
    write_tracks: Callable[[Mapping[str, Segmentation], Path], None] | None = None
    module: str = ""  # of an extra, without which it is not written

    @property
    def is_installed(self) -> bool:
        """Return whether the library is there that it is written with."""
        return not self.module or find_spec(self.module) is not None


def _adopt(name: str, part: Any) -> Format:
    """Return the row of a plug-in, which has an ending of its own."""
    if not isinstance(part, Format):
        raise ValueError("not a fact_clip.formats.Format")
    if not part.ending.startswith(".") or part.ending in (
        form.ending for form in FORMATS.data.values()
    ):
        raise ValueError(f"the ending {part.ending!r} is built in, or does not start with a point")
    return part


_FORMATS: dict[str, Format] = {
    "csv": Format(".csv", csv_file.write, csv_file.read, csv_file.read_annotations),
    "frames.csv": Format(
        ".frames.csv", csv_file.write_pictures, csv_file.read_pictures, every_frame=True
    ),
    "json": Format(".json", json_file.write, json_file.read, needs_media=False, every_frame=True),
    "jsonl": Format(".jsonl", json_file.write_lines, json_file.read_lines, every_frame=True),
    "txt": Format(".txt", players.write_frames, players.read_frames, every_frame=True),
    "vtt": Format(".vtt", players.write_vtt, annotations=players.read_subtitles, needs_media=False),
    "srt": Format(".srt", players.write_srt, annotations=players.read_subtitles),
    "ass": Format(".ass", players.write_ass, annotations=players.read_ass),
    "eaf": Format(
        ".eaf",
        elan.write,
        annotations=elan.read_annotations,
        write_tracks=elan.write_tracks,
        module="pympi",
    ),
    "textgrid": Format(".TextGrid", textgrid.write, annotations=textgrid.read_annotations),
    "nwb": Format(".nwb", nwb.write, annotations=nwb.read_annotations, module="pynwb"),
    "boris": Format(".boris", boris.write_project, annotations=boris.read_annotations),
    "boris.tsv": Format(".boris.tsv", boris.write_events),
    "label-studio": Format(
        ".label-studio.json", label_studio.write, annotations=label_studio.read_annotations
    ),
    "via": Format(".via.json", via.write, annotations=via.read_annotations),
    "rttm": Format(".rttm", players.write_rttm),
    "audacity": Format(".audacity.txt", players.write_audacity),
    "otio": Format(".otio", players.write_otio, module="opentimelineio"),
}
FORMATS = Table("fact_clip.formats", _FORMATS, _adopt)

# What `fact-clip data convert --from` reads: the annotations of `FORMATS`, and two forms that are not written.
_READERS: dict[str, Reader] = {
    **{name: form.annotations for name, form in _FORMATS.items() if form.annotations is not None},
    "runs": json_file.read_runs,
    "epic": csv_file.read_epic,
}
READERS = Table("fact_clip.formats", _READERS, lambda name, part: _adopt(name, part).annotations)


def format_called(name: str, where: Location = "format") -> Format:
    """Return a format by its name or ending ("csv", ".CSV"); errors name `where`."""
    key = name.lower().removeprefix(".")
    return FORMATS[key if key in FORMATS else _format_name(f"x.{key}", where)]


@validated()
def save(
    segmentation: Segmentation,
    path: str | Path,
    *,
    with_background: bool = False,
    kind: str | None = None,
) -> Path:
    """Write a segmentation in the format of the file's ending, or of that called `kind`; whole, or not at all.

    Formats that must name a video name `segmentation.media`, else the file without its ending. Segments of
    `segmentation.background` are left out, unless the format has a label for every frame or `with_background` is set.
    """
    path = Path(path)
    form = format_of(path) if kind is None else format_called(kind)
    with whole_file(path) as unfinished, located(path):
        form.write(_for_file(segmentation, path, form, with_background), unfinished)
    return path


@validated()
def save_tracks(
    tracks: Mapping[str, Segmentation], path: str | Path, *, with_background: bool = False
) -> Path:
    """Write segmentations of one video, by the names of their tracks, into one file of a format that has tracks."""
    path = Path(path)
    form = format_of(path)
    if form.write_tracks is None:
        able = ", ".join(
            other.ending for other in FORMATS.values() if other.write_tracks is not None
        )
        raise InputError(path, "a format without tracks", f"use {able}, or a file for each")
    with whole_file(path) as unfinished, located(path):
        shown = {
            name: _for_file(track, path, form, with_background) for name, track in tracks.items()
        }
        form.write_tracks(shown, unfinished)
    return path


def _for_file(
    segmentation: Segmentation, path: Path, form: Format, with_background: bool
) -> Segmentation:
    """The segmentation with what a file of a format needs, and without what it leaves out."""
    if with_background and not form.every_frame:
        segmentation = replace(segmentation, background=())
    if segmentation.media is None and form.needs_media:
        return replace(segmentation, media=path.name[: -len(form.ending)])
    if segmentation.media is not None:  # the path of a video may be no UTF-8
        media = segmentation.media.encode(errors="surrogatepass").decode(errors="replace")
        return replace(segmentation, media=media)
    return segmentation


@validated()
def load(
    path: str | Path, *, background: str | None = None, n_frames: int | None = None
) -> Segmentation:
    """Read a segmentation that :func:`save` wrote, in a format that keeps the frames.

    `background` is the label of the frames that the file leaves out, `n_frames` the length of the video, which such a
    file does not tell.
    """
    path = Path(path)
    name = _format_name(path.name, path)
    if background is not None:
        check_name(background, "background", legacy=True)
    read = FORMATS[name].read
    if read is None:
        kind = name.removesuffix(".tsv")
        readable = ", ".join(name for name, form in FORMATS.items() if form.read is not None)
        fix = (
            f"read it with fact-clip data convert --from {kind}"
            if kind in READERS
            else f"use one of {readable}"
        )
        raise InputError(path, "this format does not keep the frames", fix)
    if n_frames is not None and not 1 <= n_frames <= MAX_FRAMES:
        raise InputError("n_frames", f"{n_frames} is not between 1 and {MAX_FRAMES:,}")
    segmentation = read(path, Gaps(background, n_frames))
    if n_frames is not None and segmentation.n_frames != n_frames:
        fix = (
            "name the background that was left out: load(path, background=...)"
            if background is None
            else ""
        )
        raise InputError(path, f"{segmentation.n_frames} frames, but n_frames is {n_frames}", fix)
    return segmentation if background is None else replace(segmentation, background=(background,))


def format_of(path: str | Path) -> Format:
    """Return the format with the longest ending that a file's name has."""
    path = Path(path)
    return FORMATS[_format_name(path.name, path)]


def _format_name(file: str, where: Location) -> str:
    """Return the name of the format with the longest ending that the name of a file has."""
    names = [name for name, form in FORMATS.items() if file.lower().endswith(form.ending.lower())]
    suffix = file.lower().rpartition(".")[2]
    if not names and suffix in FORMATS:  # a plug-in that does not work
        return suffix
    if not names:
        raise InputError(where, f"no format {suffix!r}", f"use one of {', '.join(FORMATS)}")
    return max(names, key=lambda name: len(FORMATS[name].ending))
