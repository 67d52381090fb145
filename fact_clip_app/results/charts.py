"""Figures of labelled videos: ethogram, total times and transitions."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from fact_clip.core import Floats, Rating
from fact_clip.metrics.budget import binned_budget, rated_time, time_budget, transitions
from fact_clip.report.plots import WIDTH, add_legend, legend_height, name_ticks, new_axes

_WIDTH = 10.0  # inches
_ROW = 0.32  # inches
_LEAST_ROW = 0.12  # inches of a row of an ethogram: the height of its name
# Inches for all rows of an ethogram, unless a row would be lower than `_LEAST_ROW`.
_MAX_HEIGHT = 32.0
_HALF_BAR = 0.4  # of a row
_MAX_SHAPES = 5000  # bars of an ethogram that are drawn as vectors
_MARGIN = 1.4  # inches for the axis and its labels
_VIDEO = "#f0f0f0"  # under the segments of a row, from the start of the video to its end
_BIN_ROWS = 10  # height of the stack of shares, in rows
_LINE = "#000000"
_MAX_NUMBERS = 25  # classes of a matrix with numbers


def ethogram(ratings: Mapping[str, Rating], colours: Mapping[str, str]) -> Figure:
    """Draw the segments of each rating over time, and its point events above them.

    Times count from the first frame of a video. Many segments become a picture within the figure,
    because as vectors they would take a minute to draw.

    Args:
        ratings: Rating of each row, from top to bottom.
        colours: Colour of each label as "#rrggbb", in the order of the legend.

    Returns:
        The figure.
    """
    bars = _bars_of(ratings.values(), colours)
    is_dense = sum(map(len, bars.values())) > _MAX_SHAPES
    row_height = min(_ROW, max(_LEAST_ROW, _MAX_HEIGHT / len(ratings)))
    figure, axes = _figure(len(ratings), WIDTH, legend_height(colours), row_height)
    durations = [rating.duration or 0.0 for rating in ratings.values()]
    axes.barh(range(len(ratings)), durations, color=_VIDEO)
    for label, colour in colours.items():
        shapes = PolyCollection(
            list(bars[label]), facecolor=colour, edgecolor=colour, linewidth=0.5
        )
        shapes.set_rasterized(is_dense)
        axes.add_collection(shapes, autolim=False)
    for label, (positions, times) in _points_of(ratings.values(), colours).items():
        _draw_points(axes, positions, times, colours[label])
    _name_rows(axes, ratings)
    axes.set_xlim(0, max(durations))
    axes.set_xlabel("time (s)")
    add_legend(figure, colours.items())
    return figure


def _bars_of(ratings: Iterable[Rating], labels: Iterable[str]) -> dict[str, Floats]:
    """Return the corners (N, 4, 2) of the bars of all states, by their label."""
    spans: dict[str, list[tuple[float, float, int]]] = {label: [] for label in labels}
    for position, rating in enumerate(ratings):
        for start, stop, label in rating.actions:
            spans[label].append((start - rating.start, stop - rating.start, position))
    bars = {}
    for label, rows in spans.items():
        starts, stops, positions = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        horizontal = np.stack([starts, starts, stops, stops], axis=1)
        lows = positions - _HALF_BAR
        highs = positions + _HALF_BAR
        vertical = np.stack([lows, highs, highs, lows], axis=1)
        bars[label] = np.stack([horizontal, vertical], axis=2)
    return bars


def _points_of(
    ratings: Iterable[Rating], labels: Iterable[str]
) -> dict[str, tuple[list[int], list[float]]]:
    """Return the rows and the times of all point events, by their label."""
    points: dict[str, tuple[list[int], list[float]]] = {label: ([], []) for label in labels}
    for position, rating in enumerate(ratings):
        for time, label in rating.events:
            positions, times = points[label]
            positions.append(position)
            times.append(time - rating.start)
    return {label: columns for label, columns in points.items() if columns[0]}


def _draw_points(axes: Axes, positions: Sequence[int], times: Sequence[float], colour: str) -> None:
    """Draw point events as lines with a white edge, above the segments of all classes."""
    rows = np.array(positions)
    for line_colour, width, order in (("white", 2.4, 3), (colour, 1.2, 4)):
        axes.vlines(
            times,
            rows - _HALF_BAR,
            rows + _HALF_BAR,
            color=line_colour,
            linewidth=width,
            zorder=order,
        )


def time_bars(ratings: Mapping[str, Rating], colours: Mapping[str, str]) -> Figure:
    """Draw the total time of each action, longest first, with its share of the labelled time.

    Args:
        ratings: Rating of each row.
        colours: Colour of each label as "#rrggbb".

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


def time_in_bins(ratings: Mapping[str, Rating], colours: Mapping[str, str], width: float) -> Figure:
    """Draw the share of each action in the labelled time of all videos, for each bin of time.

    The shares are stacked. They exceed 100 % where actions of a video overlap. A line shows how
    much of the bin, over all videos, is labelled: it falls where videos end or have no labels.

    Args:
        ratings: Rating of each row. The first bin of a video starts at its first frame.
        colours: Colour of each label as "#rrggbb", in the order of the legend.
        width: Duration of a bin in seconds.

    Returns:
        The figure.

    Raises:
        InputError: The bins are too short.
    """
    seconds, labelled = _bin_times(ratings, list(colours), width)
    shares = 100 * np.divide(seconds, labelled, out=np.zeros_like(seconds), where=labelled > 0)
    edges = width * np.arange(len(labelled) + 1)
    edges[-1] = max(rating.last - rating.start for rating in ratings.values()) or width
    stack = np.concatenate([shares, shares[:, -1:]], axis=1)  # the last bin ends at the last edge

    legend = {**colours, "line: labelled time in % of all videos": _LINE}
    figure, axes = _figure(_BIN_ROWS, WIDTH, legend_height(legend))
    axes.stackplot(edges, stack, colors=list(colours.values()), step="post", linewidth=0)
    covered = 100 * labelled / (len(ratings) * np.diff(edges))
    axes.step(edges, [*covered, covered[-1]], where="post", color=_LINE, linewidth=1.5)
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, max(100.0, float(shares.sum(axis=0).max())))
    axes.set_xlabel(f"time (s), in bins of {width:g} s")
    axes.set_ylabel("% of the labelled time")
    add_legend(figure, legend.items())
    return figure


def _bin_times(
    ratings: Mapping[str, Rating], labels: Sequence[str], width: float
) -> tuple[Floats, Floats]:
    """Return the seconds (L, B) of each label in each bin, and the labelled seconds (B,)."""
    rows = binned_budget(ratings, width)
    starts = {name: rating.start for name, rating in ratings.items()}
    numbers = [round((row["start"] - starts[row["video"]]) / width) for row in rows]
    seconds = np.zeros((len(labels), max(numbers) + 1))
    labelled = np.zeros_like(seconds)  # the row of each label is the same
    for row, number in zip(rows, numbers, strict=True):
        label = labels.index(row["label"])
        seconds[label, number] += row["seconds"]
        labelled[label, number] += row["labelled"]
    return seconds, labelled[0]


def transition_matrix(ratings: Iterable[Rating]) -> Figure | None:
    """Draw how often an action (row) is followed by a different or the same action (column).

    Args:
        ratings: Rating of each video.

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
    row_height: float = _ROW,
) -> tuple[Figure, Axes]:
    figure, axes = new_axes(width, _MARGIN + row_height * n_rows + extra_height)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _name_rows(axes: Axes, names: Collection[str]) -> None:
    """Write a name next to each row, the first one at the top."""
    name_ticks(axes.yaxis, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
