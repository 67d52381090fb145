"""fact-clip project and summary: files into a project of the page and out of it; what label files say of times."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, names, option, refuse
from fact_clip.core.errors import InputError

if TYPE_CHECKING:
    from fact_clip.app.page import Page

Folder = Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")]


def _page(folder: Path, *, is_new: bool = False) -> Page:
    """The project without a model; an InputError where there is none, unless it may be made."""
    from fact_clip.app.engine import Engine
    from fact_clip.app.page import Options, Page
    from fact_clip.app.project import DATABASE, Project
    from fact_clip.app.requests import Limits
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
    from fact_clip.app.requests import FEATURES, ending_of
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
            counts = page.load_labels(video, path, endings[path], path.name)
            page.project.add_actions(label.label for some in page.project.labels(video.id).values() for label in some)
            print(f"{path}: {', '.join(f'{count} segments on track {track}' for track, count in counts.items())}")
    note(f"{project}: {len(keys)} videos")


_TRAINING = "Write a data set to train on, by the labels of this track."


def export(
    project: Folder,
    *,
    out: Annotated[Path, option("Folder for the files.", metavar="DIR")],
    formats: Annotated[str, option('Formats, "eaf, csv" (docs/formats.md), or all.', "--format")] = "csv",
    with_background: Annotated[bool, option("Write what is not labelled, too.")] = False,
    training: Annotated[str | None, option(_TRAINING, metavar="TRACK")] = None,
) -> None:
    """Write the labels of a project.

    A file for each track of each video, in each format; or, with --training, a data set in the common layout with
    features and a split, every fourth labelled video a test video.

    \b
    Example:
      fact-clip project export my_project --format eaf,csv --out labels
      fact-clip project export my_project --training main --out data && fact-clip data init data
    """
    from fact_clip.app.learn import export_set
    from fact_clip.app.views import export_files
    from fact_clip.formats import FORMATS, ending_of

    installed = [name for name, form in FORMATS.items() if form.is_installed]
    chosen = installed if formats == "all" else names(formats, "--format") or []
    for name in chosen:
        ending_of(name, "--format")
    with closing(_page(project)) as page:
        if training is not None:
            export_set(page, training, out)
            print(out)
            return
        for path in export_files(page, out, chosen, with_background):
            print(path)


globals()["import"] = import_  # the name of a command is that of its function, and this one is a keyword


# --- summary ---------------------------------------------------------------------------------------------------------

STEP = 1 / 25  # Seconds between the moments at which two labellings are compared


_AGAINST = "A file by somebody else, for each of LABELS in order; may be repeated."
_FPS = "Frames per second of files that do not say it."


def summary(
    labels: Annotated[list[Path], typer.Argument(metavar="LABELS", help="Label files, one a video.")],
    *,
    against: Annotated[list[Path] | None, option(_AGAINST)] = None,
    fps: Annotated[float | None, option(_FPS, min=1e-6, max=1e5)] = None,
    out: Annotated[Path | None, option("Table to write, .csv or .xlsx.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how long, how often and when each action is done, and how far two labellings agree.

    Files are of any format that the page reads. Background is left out. Agreement: Cohen's kappa and accuracy by 1/25
    s, F1 at overlaps of 10, 25 and 50 %, the mean distance of edges in seconds, and the ICC of total times.

    \b
    Example:
      fact-clip summary labels/*.eaf --out times.xlsx
      fact-clip summary ann/take.eaf --against bob/take.eaf
    """
    from fact_clip.report.budget import time_budget, transitions, write_tables

    if against and len(against) != len(labels):
        raise refuse("--against", f"{len(against)} files for {len(labels)}", "give one for each")
    stems = [path.stem for path in labels]
    read = {path.stem if stems.count(path.stem) == 1 else str(path): _read(path, fps) for path in labels}
    videos, seconds = {name: parts for name, (parts, _) in read.items()}, {name: end for name, (_, end) in read.items()}
    tables: dict[str, list[dict[str, Any]]] = {"time": time_budget(videos, seconds)}
    tables["transitions"] = transitions(videos.values())
    if against:
        tables["agreement"] = [
            {"video": name, **_agreement(first, _read(path, fps))}
            for (name, first), path in zip(read.items(), against, strict=True)
        ]
    if out is not None:
        for path in write_tables(out, tables):
            print(path)
        return
    shown = [rows for name, rows in tables.items() if name != "transitions" and rows]
    print_result(tables, "\n".join(table(rows, digits=2) for rows in shown), as_json)


Video = tuple[Sequence[tuple[float, float, str]], float]


def _read(path: Path, fps: float | None) -> Video:
    """The stretches of a label file and the duration of its video, in seconds."""
    from fact_clip.formats import format_of, load
    from fact_clip.formats.annotations import Options
    from fact_clip.formats.base import second_of, timed

    form = format_of(path)
    if form.annotations is None:
        labelling = load(path)
        if fps is not None and labelling.seconds(0) is None:
            labelling = replace(labelling, fps=fps)
        if labelling.seconds(0) is None:
            raise InputError(path, "labels without times", "give --fps")
        parts = [(start, stop, segment.label) for start, stop, segment in timed(path, labelling)]
        end = second_of(path, labelling, labelling.n_frames)
        return [part for part in parts if part[2] != "background"], end
    annotations = form.annotations(path, Options())
    if len(annotations) != 1:
        raise InputError(path, f"{len(annotations)} videos", "give files of one video")
    (annotation,) = annotations
    scale = 1.0 if annotation.unit == "seconds" else annotation.fps or fps
    if scale is None:
        raise InputError(path, "frames without a rate", "give --fps")
    parts = [
        (span.start / scale, span.stop / scale, span.label)
        for span in annotation.spans
        if span.label not in (annotation.background, "background")
    ]
    return parts, max([(annotation.end or 0.0) / scale, *(stop for _, stop, _ in parts)])


def _agreement(first: Video, second: Video) -> dict[str, Any]:
    from fact_clip.app.edits import compared
    from fact_clip.report.budget import boundary_distance, duration_icc

    count, labellings = max(round(max(first[1], second[1]) / STEP), 1), list[list[str]]()
    for parts, _ in (first, second):
        labels = ["background"] * count
        for start, stop, name in sorted(parts):
            frames = slice(min(round(start / STEP), count), min(round(stop / STEP), count))
            labels[frames] = [name] * (frames.stop - frames.start)
        labellings.append(labels)
    figures = compared(labellings[0], labellings[1], ["background"])["figures"]
    edges, icc = boundary_distance(first[0], second[0]), duration_icc(first[0], second[0])
    overlaps = {key: value for key, value in figures.items() if key.startswith("f1@")}
    rates = {"kappa": figures["kappa"], "accuracy": figures["frame_accuracy"]}
    return {**rates, **overlaps, "edges_s": edges, "icc": icc}
