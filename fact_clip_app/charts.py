"""Figures of labelled videos: ethogram, total times, transitions."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fact_clip.report.plots import WIDTH, add_legend, legend_height, name_ticks, new_axes
from fact_clip_app.budget import Extent, Stretch, time_budget, total_extent, transitions

_WIDTH = 10.0  # inches
_ROW = 0.32  # inches
_MARGIN = 1.4  # inches for the axis and its labels
_VIDEO = "#f0f0f0"  # under the segments of a row, from the start of the video to its end
_MAX_NUMBERS = 25  # classes of a matrix with numbers

Rows = Mapping[str, Sequence[Stretch]]
"""The segments of each row."""


def ethogram(
    rows: Rows,
    extents: Mapping[str, Extent],
    colours: Mapping[str, str],
) -> Figure:
    """Draw the segments of each row over time, from the first frame of its video.

    Args:
        rows: the segments of each row, from top to bottom.
        extents: its duration, and the time of its first frame.
        colours: label -> "#rrggbb", in the order of the legend.

    Returns:
        The figure.
    """
    figure, axes = _figure(len(rows), WIDTH, extra_height=legend_height(colours))
    for position, (name, parts) in enumerate(rows.items()):
        axes.barh(position, extents[name].duration or 0.0, color=_VIDEO)
        first = extents[name].start
        for label, colour in colours.items():
            spans = [(start - first, stop - start) for start, stop, part in parts if part == label]
            # the line shows instants
            axes.broken_barh(spans, (position - 0.4, 0.8), color=colour, linewidth=0.5)
    _name_rows(axes, rows)
    axes.set_xlim(0, max(extent.duration or 0.0 for extent in extents.values()))
    axes.set_xlabel("time (s)")
    add_legend(figure, colours.items())
    return figure


def time_bars(
    rows: Rows,
    extents: Mapping[str, Extent],
    colours: Mapping[str, str],
) -> Figure:
    """Draw the total time of each action, longest first, with its share of the labelled time.

    Args:
        rows: the segments of each row.
        extents: how much of it is labelled.
        colours: label -> "#rrggbb".

    Returns:
        The figure.
    """
    total = total_extent(extents.values())
    budget = time_budget(rows, extents)
    if len(rows) > 1:
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
    duration_text = "" if total.duration is None else f" of {total.duration:.1f}"
    axes.set_xlabel(
        f"total time (s); % of the labelled time, {total.labelled:.1f}{duration_text} s"
    )
    return figure


def transition_matrix(videos: Iterable[Sequence[Stretch]]) -> Figure | None:
    """Draw how often an action (row) is followed by another (column).

    Args:
        videos: the segments and the unlabelled time of each video.

    Returns:
        The figure, or None if no action follows another.
    """
    pairs = transitions(videos)
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
