"""Plots of the labels of a project. Importing this imports matplotlib."""

import gc
from collections.abc import Collection
from pathlib import Path

from matplotlib.figure import Figure
from starlette.exceptions import HTTPException

from fact_clip.core.colours import BACKGROUND_COLOUR
from fact_clip.metrics.budget import actions_of
from fact_clip.report.plots import save_figure
from fact_clip_app.results import charts
from fact_clip_app.results.ratings import rated_rows
from fact_clip_app.workspace.class_colours import colours as class_colours
from fact_clip_app.workspace.workspace import Workspace

PLOTS = ("ethogram", "budget", "bins", "transitions")


def draw(
    workspace: Workspace,
    kind: str,
    annotators: Collection[str] | None,
    viewer: str,
    path: Path,
    most: int | None = None,
    bins: float = 60.0,
) -> None:
    """Write a plot of a project.

    Args:
        workspace: Open project with its models and jobs.
        kind: One of `PLOTS`.
        annotators: People whose labels are drawn, or None for all people.
        viewer: Person who sees the tracks.
        path: File to write, .svg or .png.
        most: Number of rows after which no further video is drawn, or None to draw all videos.
        bins: Seconds of a bin of the plot "bins".

    Raises:
        HTTPException: 404 if there is nothing to plot.
    """
    gc.collect(1)  # figures are cycles of many objects, which would pile up
    figure = _figure(workspace, kind, annotators, viewer, most, bins)
    if figure is None:
        raise HTTPException(404, "there is nothing to plot yet")
    save_figure(figure, path)


def _figure(
    workspace: Workspace,
    kind: str,
    annotators: Collection[str] | None,
    viewer: str,
    most: int | None,
    bins: float,
) -> Figure | None:
    ratings = rated_rows(workspace, annotators, viewer, most).ratings
    labels = actions_of(ratings.values())
    if not labels:
        return None
    if kind == "transitions":
        return charts.transition_matrix(ratings.values())
    looks = class_colours(workspace, list(labels))
    colours = {label: looks[label]["colour"] or BACKGROUND_COLOUR for label in labels}
    if kind == "budget":
        return charts.time_bars(ratings, colours)
    if kind == "bins":
        return charts.time_in_bins(ratings, colours, bins)
    return charts.ethogram(ratings, colours)
