"""Segmentations to files and back, and the annotation files of other tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.core.arguments import path_of, whole_of
from fact_clip.core.messages import is_name
from fact_clip.core.paths import whole_file
from fact_clip.core.segments import MOST_FRAMES
from fact_clip.formats import boris, csv_file, elan, json_file, label_studio, players, via
from fact_clip.formats.annotations import Reader
from fact_clip.formats.base import Gaps

__all__ = ["FORMATS", "READERS", "Format", "ending_of", "load", "save"]


@dataclass(frozen=True)
class Format:
    """One way to keep a segmentation in a file."""

    ending: str
    write: Callable[[Segmentation, Path], None]
    read: Callable[[Path, Gaps], Segmentation] | None = None  # reads back what `write` wrote; None: frames are not kept
    annotations: Reader | None = None  # reads the files of the tool, which may have gaps and overlaps
    needs_media: bool = True  # the file must name a video
    every_frame: bool = False  # background is always written


FORMATS: dict[str, Format] = {
    "csv": Format(".csv", csv_file.write, csv_file.read, csv_file.read_annotations),
    "json": Format(".json", json_file.write, json_file.read, needs_media=False, every_frame=True),
    "jsonl": Format(".jsonl", json_file.write_lines, json_file.read_lines, every_frame=True),
    "txt": Format(".txt", players.write_frames, players.read_frames, every_frame=True),
    "vtt": Format(".vtt", players.write_vtt, needs_media=False),
    "srt": Format(".srt", players.write_srt),
    "eaf": Format(".eaf", elan.write, annotations=elan.read_annotations),
    "boris": Format(".boris", boris.write_project, annotations=boris.read_annotations),
    "boris.tsv": Format(".boris.tsv", boris.write_events),
    "label-studio": Format(".label-studio.json", label_studio.write, annotations=label_studio.read_annotations),
    "via": Format(".via.json", via.write, annotations=via.read_annotations),
    "rttm": Format(".rttm", players.write_rttm),
    "audacity": Format(".audacity.txt", players.write_audacity),
    "otio": Format(".otio", players.write_otio),
}

# What `fact-clip data convert --from` reads: the annotations of `FORMATS`, and two forms that are not written.
READERS: dict[str, Reader] = {
    **{name: known.annotations for name, known in FORMATS.items() if known.annotations is not None},
    "runs": json_file.read_runs,
    "epic": csv_file.read_epic,
}


def ending_of(name: str, where: str = "format") -> str:
    """The ending of a format's files, by its name or ending ("csv", ".CSV"); `where` is named in the error."""
    asked = name.lower().removeprefix(".")
    for known, each in FORMATS.items():
        if asked in (known, each.ending.removeprefix(".")):
            return each.ending
    raise InputError(where, f"no format {name!r}; expected one of {', '.join(FORMATS)}")


def save(
    segmentation: Segmentation, path: str | Path, *, with_background: bool = False, kind: str | None = None
) -> Path:
    """Write a segmentation in the format of the file's ending, or of that called `kind`; missing folders are made.

    A file called `path` is always whole. Formats that must name a video name `segmentation.media`, else the file
    without its ending. Segments of `segmentation.background` are left out, unless the format has a label for every
    frame or `with_background` is set. An InputError if the format is unknown, cannot hold a label or lacks its seconds
    or library.
    """
    path = path_of(path, "path")
    ending = FORMATS[_format_name(path)].ending if kind is None else ending_of(kind)
    known = next(each for each in FORMATS.values() if each.ending == ending)
    if with_background and not known.every_frame:
        segmentation = replace(segmentation, background=())
    if segmentation.media is None and known.needs_media:
        segmentation = replace(segmentation, media=path.name[: -len(known.ending)])
    elif segmentation.media is not None:  # the path of a video may be no UTF-8
        segmentation = replace(
            segmentation, media=segmentation.media.encode(errors="surrogatepass").decode(errors="replace")
        )
    with whole_file(path) as unfinished:
        try:
            known.write(segmentation, unfinished)
        except InputError as error:  # it names the unfinished file
            raise InputError(path, error.problem, error.fix) from None
    return path


def load(path: str | Path, *, background: str | None = None, n_frames: int | None = None) -> Segmentation:
    """Read a segmentation that :func:`save` wrote; an InputError if the format does not keep the frames.

    `background` is the label of frames that the file leaves out; `n_frames` is the length of the video, which such a
    file does not tell if the video ends with background; another length than that of the file is an InputError.
    """
    path = path_of(path, "path")
    name = _format_name(path)
    if background is not None and not is_name(background, legacy=True):
        raise InputError("background", f"{background!r}; expected a name of one line that can be printed")
    read = FORMATS[name].read
    if read is None:
        kind = name.removesuffix(".tsv")
        todo = f"`fact-clip data convert --from {kind}` reads its annotations" if kind in READERS else ""
        readable = ", ".join(name for name, known in FORMATS.items() if known.read is not None)
        raise InputError(path, f"a format that is only written; expected one of {readable}", todo)
    if n_frames is not None:
        whole_of(n_frames, "n_frames", 1, MOST_FRAMES)
    found = read(path, Gaps(background, n_frames))
    if n_frames is not None and found.n_frames != n_frames:
        todo = "name the background that was left out: load(path, background=...)" if background is None else ""
        raise InputError(path, f"{found.n_frames} frames; expected {n_frames}, as n_frames says", todo)
    return found if background is None else replace(found, background=(background,))


def _format_name(path: Path) -> str:
    found = [name for name, known in FORMATS.items() if path.name.lower().endswith(known.ending)]
    if not found:
        endings = ", ".join(known.ending.removeprefix(".") for known in FORMATS.values())
        raise InputError(path, f"no format for the suffix {path.suffix.lower()!r}; expected one of {endings}")
    return max(found, key=lambda name: len(FORMATS[name].ending))
