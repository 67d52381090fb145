"""Plots of the labels and trainings of a project. Importing this imports matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from starlette.exceptions import HTTPException

from fact_clip.report.budget import Stretch
from fact_clip.report.plots import save_figure
from fact_clip_app import views
from fact_clip_app.page import Page

_WIDTH = 10.0  # inches
_ROW = 0.32  # inches
_MARGIN = 1.4  # inches for the axis and its labels
_VIDEO = "#f0f0f0"  # under the segments of a row, from the start of the video to its end
_BACKGROUND = "#c8c8c8"
_MAX_NUMBERS = 25  # classes of a matrix with numbers

Annotators = Collection[str] | None


def draw(page: Page, kind: str, annotators: Annotators, path: Path) -> None:
    """Write a plot of a project.

    Args:
        page: the page.
        kind: one of `PLOTS`.
        annotators: whose labels are drawn. None stands for all people.
        path: the file, .svg or .png.

    Raises:
        HTTPException: 404 if there is nothing to plot.
    """
    save_figure(PLOTS[kind](page, annotators), path)


def ethogram(page: Page, annotators: Annotators) -> Figure:
    """Draw a row of segments for each labelled track, over time."""
    rows, durations = _rows(page, annotators)
    labels = dict.fromkeys(label for parts in rows.values() for _, _, label in parts)
    colours = _colours(page, labels)
    figure, axes = _figure(len(rows))
    for position, (name, parts) in enumerate(rows.items()):
        axes.barh(position, durations[name], color=_VIDEO)
        for label in labels:
            spans = [(start, stop - start) for start, stop, part in parts if part == label]
            # an instant is a line
            axes.broken_barh(spans, (position - 0.4, 0.8), color=colours[label], linewidth=0.5)
    _name_rows(axes, list(rows))
    axes.set_xlim(0, max(durations.values()))
    axes.set_xlabel("time (s)")
    legend = figure.legend(
        handles=[Patch(color=colours[label], label=label) for label in labels],
        loc="outside right upper",
        frameon=False,
    )
    for item in legend.get_texts():
        item.set_parse_math(False)
    return figure


def time_bars(page: Page, annotators: Annotators) -> Figure:
    """Draw the total time of each action, with its share of the duration of the videos."""
    rows, durations = _rows(page, annotators)
    duration = sum(durations.values())
    seconds: dict[str, float] = {}
    for parts in rows.values():
        for start, stop, label in parts:
            seconds[label] = seconds.get(label, 0.0) + stop - start
    labels = sorted(seconds, key=lambda label: -seconds[label])
    colours = _colours(page, labels)
    figure, axes = _figure(len(labels))
    bars = axes.barh(
        range(len(labels)),
        [seconds[label] for label in labels],
        color=[colours[label] for label in labels],
    )
    shares = [f"{100 * seconds[label] / duration:.1f} %" for label in labels]
    axes.bar_label(bars, shares, padding=3)
    _name_rows(axes, labels)
    axes.set_xlabel("total time (s)")
    return figure


def transition_matrix(page: Page, annotators: Annotators) -> Figure:
    """Draw how often an action (row) is followed by another (column) on one track."""
    _rows(page, annotators)
    pairs = views.budget(page, annotators)["transitions"]
    if not pairs:
        raise HTTPException(404, "no action follows another yet")
    names = sorted({name for pair in pairs for name in (pair["from"], pair["to"])})
    counts = np.zeros((len(names), len(names)), dtype=int)
    for pair in pairs:
        counts[names.index(pair["from"]), names.index(pair["to"])] = pair["count"]

    figure, axes = _figure(len(names), width=_MARGIN * 2 + _ROW * len(names))
    axes.imshow(counts, cmap="Blues")
    if len(names) <= _MAX_NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "white" if counts[row, column] > counts.max() / 2 else "black"
            axes.text(column, row, str(counts[row, column]), color=colour, ha="center", va="center")
    _name_rows(axes, names)
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axes.set(xlabel="next action", ylabel="action")
    return figure


def learning_curve(page: Page, annotators: Annotators) -> Figure:
    """Draw the figures of each training on labelled videos that it has not seen."""
    runs = {}
    for name, (_, _, figures) in page.project.runs().items():
        if figures.get("after"):
            runs[name] = figures
    if not runs:
        raise HTTPException(404, "no training has figures yet")
    figure, axes = _figure(10, width=6.0)
    numbers = range(1, len(runs) + 1)
    right = [figures["after"]["right"] for figures in runs.values()]
    hits = [
        100 * figures["after"]["found"] / max(figures["after"]["segments"], 1)
        for figures in runs.values()
    ]
    previous = [(figures["before"] or {}).get("right", np.nan) for figures in runs.values()]
    axes.plot(numbers, right, "o-", label="time that is right")
    axes.plot(numbers, hits, "s--", label="segments that are found")
    axes.plot(numbers, previous, "o", markerfacecolor="none", color="grey", label="time, before")
    axes.set(ylim=(0, 100), xlabel="training", ylabel="%")
    axes.set_xticks(numbers, list(runs), rotation=30, ha="right", parse_math=False)
    axes.legend(frameon=False)
    return figure


PLOTS: dict[str, Callable[[Page, Annotators], Figure]] = {
    "ethogram": ethogram,
    "budget": time_bars,
    "transitions": transition_matrix,
    "learning": learning_curve,
}


def _rows(page: Page, annotators: Annotators) -> tuple[dict[str, list[Stretch]], dict[str, float]]:
    """Return the labels of each track and the duration of its video. There are some."""
    rows, durations = views.labelled_rows(page, annotators)
    if not rows:
        raise HTTPException(404, "nothing is labelled yet")
    return rows, durations


def _colours(page: Page, labels: Iterable[str]) -> dict[str, str]:
    """Return the colours of the page."""
    looks = views.colours(page, list(labels))
    return {label: look["colour"] or _BACKGROUND for label, look in looks.items()}


def _figure(n_rows: int, width: float = _WIDTH) -> tuple[Figure, Axes]:
    size = (width, _MARGIN + _ROW * n_rows)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write a name beside each row, the first one at the top."""
    style: Any = {"parse_math": False}
    axes.set_yticks(range(len(names)), names, **style)
    axes.set_ylim(len(names) - 0.5, -0.5)
