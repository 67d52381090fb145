"""Segmentations as coloured bars over time, one row each, with a legend that stays readable with 60 classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Patch

from fact_clip.core import InputError, Segmentation
from fact_clip.core.colours import BACKGROUND, palette
from fact_clip.core.paths import check_place, whole_file

SUFFIXES = (".png", ".svg", ".pdf")

# inches
_WIDTH = 12.0
_ROW = 0.5
_AXIS = 0.6
_MARGIN = 0.15
_TITLE = 0.35

_POINTS = 8  # size of the legend's letters
_LONGEST = 70  # characters of a name in the legend
_MOST_COLUMNS = 8
_NARROWEST = 0.16  # inches; narrower segments do not get their number written on them


def save_timeline(
    rows: Mapping[str, Segmentation], path: Path, *, background: Collection[str] = (), title: str = ""
) -> Path:
    """Draw `timeline` into a picture file whose suffix names the format (.png, .svg, .pdf)."""
    return save_figure(timeline(rows, background=background, title=title), path)


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> Path:
    """Write a figure to a file, whole or not at all; the suffix names the format (.png, .svg, .pdf)."""
    check_suffix(path)
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    # text stays text, so that it can be searched; a fixed salt, so that the file is the same each time
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fact-clip"}), whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=dpi, metadata=metadata)
    return path


def check_suffix(path: Path) -> None:
    """An InputError where the suffix names no picture format, or no file can be written there."""
    check_place(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(path, f"no picture format for the suffix {path.suffix!r}", f"choose {', '.join(SUFFIXES)}")


def timeline(
    rows: Mapping[str, Segmentation],
    *,
    background: Collection[str] = (),
    title: str = "",
    names: Sequence[str] = (),
) -> Figure:
    """One bar a row, from top to bottom; in seconds where every row knows its times or rate, else in frames.

    The legend lists the classes that occur, by first appearance; its numbers are written on the segments that are wide
    enough. Background is grey and comes last. `names` are all classes, which gives each the colour and the number that
    it has in every picture and in the report.
    """
    labels = list(dict.fromkeys(segment.label for row in rows.values() for segment in row))
    numbered = [label for label in dict.fromkeys([*names, *labels]) if label not in background]
    colour_of = dict(zip(numbered, palette(len(numbered)), strict=True))
    number_of = {label: number for number, label in enumerate(numbered, start=1)}
    actions = sorted((label for label in labels if label not in background), key=number_of.__getitem__)
    entries = [(f"{number_of[label]}  {label}", colour_of[label]) for label in actions]
    entries += [(label, BACKGROUND) for label in labels if label in background]

    figure = Figure(figsize=(_WIDTH, 4.0))
    FigureCanvasAgg(figure)  # what measures text
    axes = figure.add_axes((0, 0, 1, 1))
    in_seconds = all(row.seconds(0) is not None for row in rows.values())
    spans = _spans(rows, in_seconds)
    _draw_rows(axes, rows, spans, colour_of)
    axes.set_xlabel("time (s)" if in_seconds else "frame", fontsize=9)
    if title:
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    legend = _legend(figure, entries)
    _arrange(figure, axes, legend, len(rows), bool(title))
    inches = axes.get_position().width * _WIDTH / axes.get_xlim()[1]
    for index, row in enumerate(spans):
        for left, width, label in row:
            if width * inches >= _NARROWEST and label in number_of:
                middle, ink = left + width / 2, _ink(colour_of[label])
                axes.text(middle, index, str(number_of[label]), size=7, color=ink, ha="center", va="center")
    return figure


Spans = list[tuple[float, float, str]]  # Left end and width of the bar of each segment, and its label


def _spans(rows: Mapping[str, Segmentation], in_seconds: bool) -> list[Spans]:
    def edge(row: Segmentation, frame: int) -> float:
        seconds = row.seconds(frame) if in_seconds else None
        return frame if seconds is None else seconds

    spans = []
    for row in rows.values():
        edges = [(edge(row, segment.start), edge(row, segment.stop), segment.label) for segment in row]
        spans.append([(left, right - left, label) for left, right, label in edges])
    return spans


def _draw_rows(axes: Axes, names: Collection[str], rows: list[Spans], colour_of: Mapping[str, str]) -> None:
    for index, spans in enumerate(rows):
        colours = [colour_of.get(label, BACKGROUND) for *_, label in spans]
        # no edges and no smoothing: a hairline between two segments would hide one-frame segments
        bars = [(left, width) for left, width, _ in spans]
        axes.broken_barh(bars, (index - 0.4, 0.8), facecolors=colours, linewidth=0, antialiased=False)
    axes.set_xlim(0, max(spans[-1][0] + spans[-1][1] for spans in rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [_shortened(name, 30) for name in names], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="both", labelsize=9)
    axes.spines[["top", "left", "right"]].set_visible(False)


def _legend(figure: Figure, entries: list[tuple[str, str]]) -> Legend:
    handles = [Patch(color=colour) for _, colour in entries]
    names = [_shortened(name, _LONGEST) for name, _ in entries]
    room = (_WIDTH - 2 * _MARGIN) * figure.dpi
    for columns in range(min(_MOST_COLUMNS, len(entries)), 0, -1):
        legend = figure.legend(
            handles, names, ncols=columns, fontsize=_POINTS, frameon=False, loc="lower left", borderaxespad=0,
            bbox_to_anchor=(_MARGIN / _WIDTH, 0), handlelength=1.4, columnspacing=1.4, borderpad=0,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)  # a $ in a name is a $
        if columns == 1 or legend.get_window_extent().width <= room:
            break
        legend.remove()
    return legend


def _arrange(figure: Figure, axes: Axes, legend: Legend, n_rows: int, titled: bool) -> None:
    """Give the figure the height that its rows and its legend need, so that nothing lies on anything."""
    legend_height = legend.get_window_extent().height / figure.dpi
    bars = n_rows * _ROW
    bottom = _MARGIN + legend_height + _AXIS
    height = bottom + bars + _MARGIN + (_TITLE if titled else 0.0)
    names = max(label.get_window_extent().width for label in axes.get_yticklabels()) / figure.dpi
    left = names + 2 * _MARGIN
    figure.set_size_inches(_WIDTH, height)
    right = 2 * _MARGIN  # half of the last tick's label hangs over
    axes.set_position((left / _WIDTH, bottom / height, (_WIDTH - left - right) / _WIDTH, bars / height))
    legend.set_bbox_to_anchor((_MARGIN / _WIDTH, _MARGIN / height))


def _ink(colour: str) -> str:
    red, green, blue = to_rgb(colour)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def curve(zero_shot: Mapping[str, Any]) -> Figure:
    """S over U as gamma grows, in percent, of the zero-shot part of an evaluation; a dot is the gamma in use."""
    figure = Figure(figsize=(5.0, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points, used = zero_shot["curve"], zero_shot["ways"]["in use"]
    axes.plot(points["unseen"], points["seen"], label=f"AUSUC {zero_shot['ausuc']:.1f}")
    axes.plot([used["U"]], [used["S"]], "o", color="black", label="gamma in use")
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="unseen class-mean accuracy, U (%)")
    axes.set_ylabel("seen class-mean accuracy, S (%)")
    axes.legend(loc="upper right")
    return figure
