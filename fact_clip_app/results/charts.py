"""Figures of labelled videos: ethogram, total times, transitions."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fact_clip.core import Rating
from fact_clip.metrics.budget import rated_time, time_budget, transitions
from fact_clip.report.plots import WIDTH, add_legend, legend_height, name_ticks, new_axes

_WIDTH = 10.0  # inches
_ROW = 0.32  # inches
_MARGIN = 1.4  # inches for the axis and its labels
_VIDEO = "#f0f0f0"  # under the segments of a row, from the start of the video to its end
_MAX_NUMBERS = 25  # classes of a matrix with numbers


def ethogram(ratings: Mapping[str, Rating], colours: Mapping[str, str]) -> Figure:
    """Draw the segments of each rating over time, and its point events above them.

    Times count from the first frame of a video.

    Args:
        ratings: the rating of each row, from top to bottom.
        colours: label -> "#rrggbb", in the order of the legend.

    Returns:
        The figure.
    """
    figure, axes = _figure(len(ratings), WIDTH, extra_height=legend_height(colours))
    for position, rating in enumerate(ratings.values()):
        axes.barh(position, rating.duration or 0.0, color=_VIDEO)
        spans_of: dict[str, list[tuple[float, float]]] = {label: [] for label in colours}
        points_of: dict[str, list[float]] = {label: [] for label in colours}
        for state in rating.actions:
            spans_of[state.label].append((state.start - rating.start, state.stop - state.start))
        for point in rating.events:
            points_of[point.label].append(point.time - rating.start)
        for label, colour in colours.items():
            axes.broken_barh(spans_of[label], (position - 0.4, 0.8), color=colour, linewidth=0.5)
            if points_of[label]:
                _draw_points(axes, points_of[label], position, colour)
    _name_rows(axes, ratings)
    axes.set_xlim(0, max(rating.duration or 0.0 for rating in ratings.values()))
    axes.set_xlabel("time (s)")
    add_legend(figure, colours.items())
    return figure


def _draw_points(axes: Axes, times: Sequence[float], position: int, colour: str) -> None:
    """Draw point events as lines with a white edge, above the segments of all classes."""
    for line_colour, width, order in (("white", 2.4, 3), (colour, 1.2, 4)):
        axes.vlines(
            times,
            position - 0.4,
            position + 0.4,
            color=line_colour,
            linewidth=width,
            zorder=order,
        )


def time_bars(ratings: Mapping[str, Rating], colours: Mapping[str, str]) -> Figure:
    """Draw the total time of each action, longest first, with its share of the labelled time.

    Args:
        ratings: the rating of each row.
        colours: label -> "#rrggbb".

    Returns:
        The figure.
    """
    labelled, duration = rated_time(ratings.values())
    budget = time_budget(ratings)
    if len(ratings) > 1:
        budget = [row for row in budget if row["video"] == "all"]
    labels = [row["label"] for row in budget]

    figure, axes = _figure(len(labels))
    bars = axes.barh(
        range(len(labels)),
        [row["seconds"] for row in budget],
        color=[colours[label] for label in labels],
    )
    axes.bar_label(bars, [f"{row['share']:.1f} %" for row in budget], padding=3)
    _name_rows(axes, labels)
    duration_text = "" if duration is None else f" of {duration:.1f}"
    axes.set_xlabel(f"total time (s); % of the labelled time, {labelled:.1f}{duration_text} s")
    return figure


def transition_matrix(ratings: Iterable[Rating]) -> Figure | None:
    """Draw how often an action (row) is followed by another (column).

    Args:
        ratings: the rating of each video.

    Returns:
        The figure, or None if no action follows another.
    """
    pairs = transitions(ratings)
    if not pairs:
        return None
    names = sorted({pair["from"] for pair in pairs} | {pair["to"] for pair in pairs})
    counts = np.zeros((len(names), len(names)), dtype=int)
    for pair in pairs:
        counts[names.index(pair["from"]), names.index(pair["to"])] = pair["count"]

    figure, axes = _figure(len(names), width=_MARGIN * 2 + _ROW * len(names))
    axes.imshow(counts, cmap="Blues")
    if len(names) <= _MAX_NUMBERS:
        for row, column in np.argwhere(counts):
            number = counts[row, column]
            colour = "white" if number > counts.max() / 2 else "black"
            axes.text(column, row, str(number), color=colour, ha="center", va="center")
    _name_rows(axes, names)
    name_ticks(axes.xaxis, names, rotation=90)
    axes.set(xlabel="next action", ylabel="action")
    return figure


def _figure(
    n_rows: int,
    width: float = _WIDTH,
    extra_height: float = 0.0,
) -> tuple[Figure, Axes]:
    figure, axes = new_axes(width, _MARGIN + _ROW * n_rows + extra_height)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _name_rows(axes: Axes, names: Collection[str]) -> None:
    """Write a name beside each row, the first one at the top."""
    name_ticks(axes.yaxis, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
