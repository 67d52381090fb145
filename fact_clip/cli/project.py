"""fact-clip project: files into a project of the page, and out of it."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fact_clip.cli.console import names
from fact_clip.core.errors import InputError

if TYPE_CHECKING:
    from fact_clip.app.page import Page

Folder = Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")]


def _page(folder: Path, *, is_new: bool = False) -> Page:
    """The project without a model; an InputError where there is none, unless it may be made."""
    from fact_clip.app.engine import Engine
    from fact_clip.app.page import Options, Page
    from fact_clip.app.project import DATABASE, Project
    from fact_clip.app.uploads import Limits
    from fact_clip.inference.segmenter import load

    if not is_new and not (folder / DATABASE).is_file():
        raise InputError(folder, "not a project", "fact-clip project import makes one")
    limits = Limits(minutes=float("inf"))
    return Page(Engine(Project(folder), None, load, limits), Options("", limits=limits))


def import_(
    project: Folder,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Videos, feature files, and label files.")],
) -> None:
    """Add videos to a project of the page, and load label files.

    Videos are referred to, not copied. A label file belongs to the video of its name, and is of any format that the
    page reads: ELAN, BORIS, VIA, Label Studio, CSV, JSON, SRT, VTT, or a label a line. Tiers and subjects become
    tracks, whose segments are replaced; that can be undone on the page.

    \b
    Example:
      fact-clip project import my_project videos/*.mp4 labels/*.eaf
    """
    from fact_clip.app.imports import read_tracks
    from fact_clip.app.uploads import FEATURES, ending_of
    from fact_clip.core.io import check_file
    from fact_clip.video.decode import SUFFIXES

    endings = {path: ending_of(path.name) for path in files}
    for path in files:
        check_file(path, "a video, a feature file or a label file")
    with closing(_page(project, is_new=True)) as page:
        keys = {video.name: video.id for video in page.project.videos()}
        media = [path for path in files if endings[path] in SUFFIXES]
        features = {path.name[: -len(FEATURES)]: path for path in files if endings[path] == FEATURES}
        for path in media:
            keys[path.stem] = page.refer(path.stem, path.resolve(), features.pop(path.stem, None)).id
        for name, path in features.items():
            keys[name] = page.refer(name, None, path.resolve()).id
        labels = [path for path in files if endings[path] not in (*SUFFIXES, FEATURES)]
        for path in labels:
            name = path.name[: -len(endings[path])]
            if name not in keys:
                raise InputError(path, f"no video {name!r} in the project", "name the file after its video")
            video = page.project.video(keys[name])
            assert video is not None
            tracks = read_tracks(path, endings[path], video.times)
            for track, segments in tracks.items():
                page.project.replace(video.id, page.project.add_track(video.id, track), segments, None, path.name)
            page.project.add_actions(segment.label for segments in tracks.values() for segment in segments)
            print(f"{path}: {', '.join(f'{len(some)} segments on track {track}' for track, some in tracks.items())}")
    print(f"{project}: {len(keys)} videos", file=sys.stderr)


def export(
    project: Folder,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the files.", metavar="DIR")],
    formats: Annotated[str, typer.Option("--format", help='Formats, "eaf, csv" (docs/formats.md), or all.')] = "csv",
    with_background: Annotated[bool, typer.Option(help="Write what is not labelled, too.")] = False,
) -> None:
    """Write the labels of a project.

    A file for each track of each video, in each format.

    \b
    Example:
      fact-clip project export my_project --format eaf,csv --out labels
    """
    from fact_clip.app.views import export_files
    from fact_clip.formats import FORMATS, ending_of

    chosen = list(FORMATS) if formats == "all" else names(formats, "--format") or []
    for name in chosen:
        ending_of(name, "--format")
    with closing(_page(project)) as page:
        for path in export_files(page, out, chosen, with_background):
            print(path)


globals()["import"] = import_  # the name of a command is that of its function, and this one is a keyword
