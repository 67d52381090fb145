"""Requests that download files: labels, data sets, tables and plots."""

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import HTTPException, Query, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask

from fact_clip.core import InputError
from fact_clip.core.messages import shortened
from fact_clip.core.paths import file_name
from fact_clip.formats import format_called
from fact_clip_app.api import answers
from fact_clip_app.results.budget import budget_tables
from fact_clip_app.results.label_export import LabelWriter, VideoLabels, export_files, tracks_by
from fact_clip_app.results.overview import overview as project_overview
from fact_clip_app.results.ratings import rated_rows, warn_of_unrated
from fact_clip_app.results.table_files import write_tables
from fact_clip_app.store.label_files import warnings_heard
from fact_clip_app.store.project import Unlabelled
from fact_clip_app.teach.labelled_videos import export_set
from fact_clip_app.web.access import Asker, Repeated, Served, Stored, Viewer
from fact_clip_app.web.route_options import DOWNLOAD, api_router

router = api_router()


def _download(
    write: Callable[[Path], Path], kind: str | None = "application/octet-stream"
) -> Response:
    """Return a file, or a folder as a zip. The header x-warnings lists what is lost.

    Args:
        write: Function that writes it to a temporary folder and returns its path.
        kind: Type of the content, or None to use the suffix.
    """
    folder = tempfile.TemporaryDirectory(prefix="fact-clip-")
    try:
        with warnings_heard() as lines:
            path = write(Path(folder.name))
    except (InputError, HTTPException):
        folder.cleanup()
        raise
    warnings = [line.removeprefix(folder.name + os.sep) for line in lines]
    headers = {"x-warnings": quote(shortened("\n".join(warnings)))}  # proxies take short headers
    if path.is_dir():
        files = sorted(path.rglob("*"))
        path = Path(f"{path}.zip")
        kind = "application/zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(folder.name))
    return FileResponse(
        path,
        headers=headers,
        media_type=kind,
        background=BackgroundTask(folder.cleanup),
        filename=path.name,
    )


@router.get("/videos/{video}/export", **DOWNLOAD)
def export(
    workspace: Served,
    video: Stored,
    format: str = "",
    background: bool = False,
    track: int | None = None,
    drafts: bool = False,
    annotator: Repeated = None,
    viewer: Viewer = "",
) -> Response:
    """Return the labels of a video as a file: a track, or all if the format has tracks.

    Without a track, a format that has no tracks gets the first one. Drafts are a track of their
    own, so that a format that has no tracks gets a zip of two files.
    """
    form = format_called(format)
    tracks = tracks_by(workspace, video.id, annotator, viewer)
    if track is not None:
        tracks = [candidate for candidate in tracks if candidate.id == track]
    if not tracks:
        raise HTTPException(404, "no such track")
    if track is None and not form.has_tracks:
        tracks = tracks[:1]

    def write(folder: Path) -> Path:
        folder = folder / file_name(video.name)
        predicted = workspace.drafts_between(video, viewer) if drafts else []
        writer = LabelWriter(workspace, folder, with_background=background)
        writer.write(VideoLabels(video, tracks, predicted), form)
        if not writer.written:
            raise InputError(video.name, "no segments", "choose a different format")
        return writer.written[0] if len(writer.written) == 1 else folder

    return _download(write)


@router.get("/export", **DOWNLOAD)
def export_all(
    workspace: Served,
    format: Repeated = None,
    background: bool = False,
    drafts: bool = False,
    annotator: Repeated = None,
    viewer: Viewer = "",
) -> Response:
    """Return the tracks of every labelled video as a zip of files in some formats."""

    def write(folder: Path) -> Path:
        folder = folder / "labels"
        folder.mkdir()
        export_files(
            workspace,
            folder,
            format or ["json"],
            with_background=background,
            with_drafts=drafts,
            annotators=annotator,
            viewer=viewer,
        )
        return folder

    return _download(write)


@router.get("/export/training", **DOWNLOAD)
def export_training(
    workspace: Served, person: Asker, track: str, unlabelled: Unlabelled | None = None
) -> Response:
    """Return the labelled videos of a track as a zip of a data set with features.

    `unlabelled` determines the meaning of unlabelled frames in videos that are not complete.
    """

    def write(folder: Path) -> Path:
        export_set(workspace, track, folder / "training", unlabelled, person.annotator)
        return folder / "training"

    return _download(write)


@router.get("/overview")
def overview(workspace: Served, person: Asker) -> answers.Overview:
    """Return how far the project is, and a sentence about it."""
    return project_overview(workspace, person.annotator)


@router.get("/summary", response_model=answers.Summary)
def summary(
    workspace: Served,
    format: Literal["json", "csv", "xlsx"] = "json",
    table: Literal["time", "transitions", "segments", "bins"] = "time",
    by: str = "",
    bins: Annotated[float | None, Query(gt=0, le=1e9)] = None,
    annotator: Repeated = None,
    viewer: Viewer = "",
) -> Response:
    """Return how long, how often and when actions were labelled, as JSON or as a table.

    A spreadsheet has all tables, among them each segment with its origin and its annotator.
    With `by`, the name of a field, the groups of videos that have one value of it come first.
    With `bins`, there is also a table of the time in bins of so many seconds.
    """
    if table == "bins" and bins is None:
        raise InputError("bins", "the table needs the seconds of a bin", "set bins")
    rows = rated_rows(workspace, annotator, viewer)
    tables = budget_tables(rows, by, bins)
    if format == "json":
        omissions = {"unrated": rows.unrated, "unowned": rows.unowned}
        del tables["segments"]
        return JSONResponse({**tables, "several": rows.several, **omissions})
    if format == "csv":
        tables = {table: tables[table]}

    def write(folder: Path) -> Path:
        warn_of_unrated(rows)
        return write_tables(folder / f"{table}.{format}", tables)[0]

    return _download(write)


@router.get("/plots/{plot}.{format}", **DOWNLOAD)
def plot(
    workspace: Served,
    plot: str,
    format: Literal["svg", "png"],
    most: Annotated[int | None, Query(ge=1)] = None,
    bins: Annotated[float, Query(gt=0, le=1e9)] = 60.0,
    annotator: Repeated = None,
    viewer: Viewer = "",
) -> Response:
    """Return a plot of the labels as an image.

    With `most`, no further video is drawn after so many rows. `bins` are the seconds of a bin of
    the plot "bins".
    """
    from fact_clip_app.results import plots  # not at the top, as matplotlib takes long to import

    if plot not in plots.PLOTS:
        raise HTTPException(404, f"no such plot. Choose one of {', '.join(plots.PLOTS)}")

    def write(folder: Path) -> Path:
        path = folder / f"{plot}.{format}"
        workspace.quick.run(
            lambda: plots.draw(workspace, plot, annotator, viewer, path, most, bins)
        )
        return path

    return _download(write, kind=None)
