"""Plots: timelines with a legend, and the S-U curve."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len

from fact_clip.core import Floats, Json, Segmentation, Vocabulary, library_errors
from fact_clip.core.colours import BACKGROUND_COLOUR, class_colours
from fact_clip.core.extras import install_command
from fact_clip.core.paths import whole_file
from fact_clip.evaluation.record import ROWS, Video
from fact_clip.report.evaluated import Evaluated
from fact_clip.report.summary import video_figures

with library_errors("plots", "no matplotlib", ImportError, fix=install_command("plots")):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.font_manager import fontManager
    from matplotlib.legend import Legend
    from matplotlib.patches import Patch
    from matplotlib.text import Text

# Sizes in inches.
WIDTH = 12.0
_ROW = 0.5
_AXIS = 0.8
_TITLE = 0.35
_LINE = 0.18  # height of a legend line
_LETTER = 0.062  # mean width of a character in the legend
_PATCH = 0.55  # width next to a name, including the space between columns

_POINTS = 8  # font size of the legend
_LONGEST = 70  # most characters of a name in the legend
_MOST_COLUMNS = 6
_NARROWEST = 0.015  # share of the axis; narrower segments get no number

# Fonts of Linux, macOS and Windows, for characters that the font of matplotlib lacks.
OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Arial Unicode MS",
)


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> Path:
    """Write a figure to a file atomically. The suffix selects the format (.png, .svg, .pdf)."""
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    # Text is searchable, and the salt is fixed, so that equal figures give equal files.
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "fact-clip"}
    installed = fontManager.get_font_names()
    fonts = [font for font in OTHER_FONTS if font in installed]
    for label in figure.findobj(Text):
        families = dict.fromkeys([*label.get_fontfamily(), *fonts])  # no duplicates if saved again
        label.set_fontfamily(list(families))
    with mpl.rc_context(settings), whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=dpi, metadata=metadata)
    return path


def timeline(
    rows: Mapping[str, Segmentation],
    *,
    background: Collection[str] = (),
    title: str = "",
    names: Sequence[str] = (),
) -> Figure:
    """Draw one bar per row, in seconds if all rows have times or a rate, otherwise in frames.

    The legend lists the classes that occur, with their numbers. Segments that are wide enough show
    their number. Background is grey and is listed last.

    Args:
        rows: Segmentation of each row, by name, from top to bottom.
        background: Labels without a colour and a number.
        title: Title of the figure.
        names: Names of all classes, so that colours and numbers are as in the report.

    Returns:
        The figure.
    """
    labels = dict.fromkeys(segment.label for row in rows.values() for segment in row)
    looks = class_colours([*names, *labels], background)
    colours = {label: look["colour"] or BACKGROUND_COLOUR for label, look in looks.items()}
    marks = {
        label: str(look["number"])
        for label, look in looks.items()
        if look["number"] and label in labels
    }
    legend_rows = [(f"{mark}  {label}", colours[label]) for label, mark in marks.items()]
    legend_rows += [(label, BACKGROUND_COLOUR) for label in labels if label in background]
    height = _AXIS + _ROW * len(rows) + legend_height([name for name, _ in legend_rows])
    figure, axes = new_axes(WIDTH, height + _TITLE * bool(title), title)
    in_seconds = all(row.seconds(0) is not None for row in rows.values())
    edges = [_edges(row, in_seconds) for row in rows.values()]
    end = max(row_edges[-1] for row_edges in edges)
    for index, (row, row_edges) in enumerate(zip(rows.values(), edges, strict=True)):
        starts = row_edges[:-1].tolist()
        widths = np.diff(row_edges).tolist()
        # Without edges and smoothing: a line between two segments would hide one-frame segments.
        axes.broken_barh(
            list(zip(starts, widths, strict=True)),
            (index - 0.4, 0.8),
            facecolors=[colours[label] for label in row.transcript],
            linewidth=0,
            antialiased=False,
        )
        for label, start, width in zip(row.transcript, starts, widths, strict=True):
            if width >= _NARROWEST * end and label in marks:
                style: Json = {"size": 7, "ha": "center", "va": "center"}
                style["color"] = _ink(colours[label])
                axes.text(start + width / 2, index, marks[label], **style)
    axes.set_xlim(0, end)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    name_ticks(axes.yaxis, [_shortened(name, 30) for name in rows])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="both", labelsize=9)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.set_xlabel("time (s)" if in_seconds else "frame", fontsize=9)
    add_legend(figure, legend_rows)
    return figure


def new_axes(width: float, height: float, title: str = "") -> tuple[Figure, Axes]:
    """Return a figure of this size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    return figure, axes


def name_ticks(axis: Axis, names: Collection[str], **style: Any) -> None:
    """Write a name at 0, 1, 2, ... of an axis."""
    axis.set_ticks(range(len(names)), names, parse_math=False, **style)


def _edges(row: Segmentation, in_seconds: bool) -> Floats:
    """Return the starts of the segments and the end of the last one."""
    frames = [0, *(segment.stop for segment in row)]
    edges: list[Any] = [row.seconds(frame) for frame in frames] if in_seconds else frames
    return np.array(edges, dtype=np.float64)


def legend_height(names: Collection[str]) -> float:
    """Return the height in inches of a legend with these names (`add_legend`)."""
    return _LINE * math.ceil(len(names) / _legend_columns(names))


def add_legend(figure: Figure, rows: Collection[tuple[str, str]]) -> None:
    """Add names with their colours under a figure that is `WIDTH` wide."""
    names = [_shortened(name, _LONGEST) for name, _ in rows]
    legend = figure.legend(
        [Patch(color=colour) for _, colour in rows],
        names,
        ncols=_legend_columns(names),
        fontsize=_POINTS,
        frameon=False,
        loc="outside lower left",
        handlelength=1.4,
        columnspacing=1.4,
    )
    show_plainly(legend)


def _legend_columns(names: Collection[str]) -> int:
    """Return the number of columns of names that fit next to each other."""
    longest = min(max(map(cell_len, names)), _LONGEST)
    n_fitting = int(WIDTH / (_LETTER * longest + _PATCH))
    return max(1, min(n_fitting, _MOST_COLUMNS, len(names)))


def show_plainly(legend: Legend) -> None:
    """Escape each $ in a name, which matplotlib would read as mathematics."""
    for label in legend.get_texts():
        label.set_parse_math(False)


def _ink(colour: str) -> str:
    red, green, blue = to_rgb(colour)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _shortened(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def curve(zero_shot: Json) -> Figure:
    """Draw S over U in percent for rising gamma, with a dot at the gamma in use."""
    figure, axes = new_axes(5.0, 4.5)
    points = zero_shot["curve"]
    in_use = zero_shot["ways"]["in use"]
    axes.plot(points["unseen"], points["seen"], label=f"AUSUC {zero_shot['ausuc']:.1f}")
    axes.plot([in_use["U"]], [in_use["S"]], "o", color="black", label="gamma in use")
    axes.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xlabel="unseen class-mean accuracy, U (%)",
        ylabel="seen class-mean accuracy, S (%)",
    )
    axes.legend(loc="upper right")
    return figure


MOST_TIMELINES = 12
_UNLABELLED = "no label"


def save_plots(evaluated: Evaluated, out: Path) -> Iterator[Path]:
    """Write the plots of an evaluated run into a folder, and yield the path of each."""
    for name, figure in _figures(evaluated):
        for suffix in (".png", ".svg"):
            yield save_figure(figure, out / f"{name}{suffix}")


def _figures(evaluated: Evaluated) -> Iterator[tuple[str, Figure]]:
    classes = evaluated.record.vocabulary
    for video in chosen_videos(evaluated):
        accuracy = video_figures(video, evaluated)["frame_accuracy"]
        figure = timeline(
            _rows(video, classes),
            background=(*classes.background, _UNLABELLED),
            names=classes.names,
            title=f"{video.name}, accuracy {accuracy:.1f}",
        )
        yield f"timeline_{video.name}", figure

    zero_shot = evaluated.result.get("zero_shot")
    if zero_shot:
        yield "curve", curve(zero_shot)


def chosen_videos(evaluated: Evaluated) -> list[Video]:
    """Return at most `MOST_TIMELINES` videos, evenly spread from lowest to highest accuracy.

    Videos without a labelled frame are left out, because they have no accuracy.
    """
    labelled = [video for video in evaluated.record.videos if video.is_labelled]
    ranked = sorted(labelled, key=lambda video: video_figures(video, evaluated)["frame_accuracy"])
    count = min(len(ranked), MOST_TIMELINES)
    ranks = np.linspace(0, len(ranked) - 1, count).round()
    return [ranked[int(rank)] for rank in ranks]


def _rows(video: Video, vocabulary: Vocabulary) -> dict[str, Segmentation]:
    names = (*vocabulary.names, _UNLABELLED)  # the last one is for label -1
    times = None if video.times is None else video.times.tolist()
    rows = {}
    for row in ROWS:
        if row in video.labels:
            labels = [names[label] for label in video.labels[row].tolist()]
            rows[row] = Segmentation.from_frames(labels, times=times)
    return rows
