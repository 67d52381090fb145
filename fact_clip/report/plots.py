"""Pictures: timelines whose legend stays readable with 60 classes; S over U, confusions, embeddings, class scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation, Vocabulary
from fact_clip.core.colours import BACKGROUND, class_colours
from fact_clip.core.paths import check_place, whole_file
from fact_clip.report.record import ROWS, Video, confusion, factor_confusions
from fact_clip.report.summary import Evaluated, video_figures

SUFFIXES = (".png", ".svg", ".pdf")

# inches
_WIDTH = 12.0
_ROW = 0.5
_AXIS = 0.8
_MARGIN = 0.15
_TITLE = 0.35

_POINTS = 8  # size of the legend's letters
_LONGEST = 70  # characters of a name in the legend
_MOST_COLUMNS = 8
_NARROWEST = 0.16  # inches; narrower segments do not get their number written on them


def save_timeline(
    rows: Mapping[str, Segmentation],
    path: Path,
    *,
    background: Collection[str] = (),
    title: str = "",
) -> Path:
    """Draw `timeline` into a picture file whose suffix names the format (.png, .svg, .pdf)."""
    return save_figure(timeline(rows, background=background, title=title), path)


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> Path:
    """Write a figure to a file, whole or not at all; the suffix names the format (.png, .svg, .pdf)."""
    check_suffix(path)
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    # text stays text, so that it can be searched; a fixed salt, so that the file is the same each time
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fact-clip"}),
        whole_file(path) as unfinished,
    ):
        figure.savefig(unfinished, dpi=dpi, metadata=metadata)
    return path


def check_suffix(path: Path) -> None:
    """An InputError where the suffix names no picture format, or no file can be written there."""
    check_place(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            path,
            f"no picture format for the suffix {path.suffix!r}",
            f"choose {', '.join(SUFFIXES)}",
        )


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
    looks = class_colours(list(dict.fromkeys([*names, *labels])), background)
    colour_of = {label: look["colour"] or BACKGROUND for label, look in looks.items()}
    number_of = {
        label: look["number"] for label, look in looks.items() if look["number"] is not None
    }
    actions = sorted(
        (label for label in labels if label not in background), key=number_of.__getitem__
    )
    entries = [(f"{number_of[label]}  {label}", colour_of[label]) for label in actions]
    entries += [(label, BACKGROUND) for label in labels if label in background]

    figure = Figure(figsize=(_WIDTH, 4.0), layout="constrained")
    FigureCanvasAgg(figure)  # what measures text
    axes = figure.add_subplot()
    in_seconds = all(row.seconds(0) is not None for row in rows.values())
    spans = _spans(rows, in_seconds)
    _draw_rows(axes, rows, spans, colour_of)
    axes.set_xlabel("time (s)" if in_seconds else "frame", fontsize=9)
    if title:
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    legend_height = _legend(figure, entries).get_window_extent().height / figure.dpi
    figure.set_size_inches(
        _WIDTH, len(rows) * _ROW + legend_height + _AXIS + (_TITLE if title else 0.0)
    )
    figure.draw_without_rendering()  # lays it out
    inches = axes.get_position().width * _WIDTH / axes.get_xlim()[1]
    for index, row in enumerate(spans):
        for left, width, label in row:
            if width * inches >= _NARROWEST and label in number_of:
                middle, ink = left + width / 2, _ink(colour_of[label])
                axes.text(
                    middle,
                    index,
                    str(number_of[label]),
                    size=7,
                    color=ink,
                    ha="center",
                    va="center",
                )
    return figure


Spans = list[
    tuple[float, float, str]
]  # Left end and width of the bar of each segment, and its label


def _spans(rows: Mapping[str, Segmentation], in_seconds: bool) -> list[Spans]:
    spans = []
    for row in rows.values():
        frames = [0, *(segment.stop for segment in row)]
        edges = np.array(
            [row.seconds(frame) if in_seconds else frame for frame in frames], dtype=np.float64
        )
        spans.append(
            list(zip(edges[:-1].tolist(), np.diff(edges).tolist(), row.transcript, strict=True))
        )
    return spans


def _draw_rows(
    axes: Axes, names: Collection[str], rows: list[Spans], colour_of: Mapping[str, str]
) -> None:
    for index, spans in enumerate(rows):
        colours = [colour_of.get(label, BACKGROUND) for *_, label in spans]
        # no edges and no smoothing: a hairline between two segments would hide one-frame segments
        bars = [(left, width) for left, width, _ in spans]
        axes.broken_barh(
            bars, (index - 0.4, 0.8), facecolors=colours, linewidth=0, antialiased=False
        )
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
            handles, names, ncols=columns, fontsize=_POINTS, frameon=False, loc="outside lower left",
            handlelength=1.4, columnspacing=1.4,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)  # a $ in a name is a $
        if columns == 1 or legend.get_window_extent().width <= room:
            break
        legend.remove()
    return legend


def _ink(colour: str) -> str:
    red, green, blue = to_rgb(colour)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def curve(zero_shot: Mapping[str, Any]) -> Figure:
    """S over U as gamma grows, in percent, of the zero-shot part of an evaluation; a dot is the gamma in use."""
    figure = Figure(figsize=(5.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    points, used = zero_shot["curve"], zero_shot["ways"]["in use"]
    axes.plot(points["unseen"], points["seen"], label=f"AUSUC {zero_shot['ausuc']:.1f}")
    axes.plot([used["U"]], [used["S"]], "o", color="black", label="gamma in use")
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="unseen class-mean accuracy, U (%)")
    axes.set_ylabel("seen class-mean accuracy, S (%)")
    axes.legend(loc="upper right")
    return figure


MOST_TIMELINES = 12
MOST_CLASSES = 60  # of a confusion matrix, the most frequent ones
_UNLABELLED = "no label"

_MOST_POINTS = 5000  # more dots only hide each other
_FLOOR = -10.0  # nats; what is less likely looks the same


def save_plots(
    evaluated: Evaluated, spaces: Mapping[str, Space], vocabulary: Vocabulary, out: Path
) -> Iterator[Path]:
    """Write the plots of an evaluated run into a folder, and yield the path of each, .png and .svg."""
    for name, figure in _figures(evaluated, spaces, vocabulary):
        for suffix in (".png", ".svg"):
            yield save_figure(figure, out / f"{name}{suffix}")


def _figures(
    evaluated: Evaluated, spaces: Mapping[str, Space], vocabulary: Vocabulary
) -> Iterator[tuple[str, Figure]]:
    names = evaluated.record.vocabulary
    for video in chosen_videos(evaluated):
        title = f"{video.name}, accuracy {video_figures(video, evaluated)['frame_accuracy']:.1f}"
        look: dict[str, Any] = {
            "background": (*names.background, _UNLABELLED),
            "names": names.names,
            "title": title,
        }
        yield f"timeline_{video.name}", timeline(_rows(video, names), **look)
    zero = evaluated.result.get("zero_shot")
    if zero is not None:
        yield "curve", curve(zero)
    truth, prediction = (
        [video.labels[row] for video in evaluated.record.videos] for row in ("truth", "prediction")
    )
    yield "confusion", confusion_figure(confusion(truth, prediction), names.names, "class")
    for slot, confusions in factor_confusions(names, truth, prediction).items():
        yield f"confusion_{slot}", confusion_figure(confusions["cells"], confusions["names"], slot)
    unseen = {
        vocabulary.index(name) for name in (zero or {}).get("unseen", {}) if name in vocabulary
    }
    for name, space_ in spaces.items():
        title = f"{name} of {evaluated.title}"
        yield f"embeddings_{name}", space(space_, vocabulary, unseen=unseen, title=title)


def chosen_videos(evaluated: Evaluated) -> list[Video]:
    """At most `MOST_TIMELINES` videos, evenly spread from the lowest frame accuracy to the highest."""
    ranked = sorted(
        evaluated.record.videos, key=lambda video: video_figures(video, evaluated)["frame_accuracy"]
    )
    places = np.linspace(0, len(ranked) - 1, min(len(ranked), MOST_TIMELINES)).round().astype(int)
    return [ranked[index] for index in places]


def _rows(video: Video, vocabulary: Vocabulary) -> dict[str, Segmentation]:
    named = (*vocabulary.names, _UNLABELLED)  # the last one is for label -1
    times = None if video.times is None else video.times.tolist()
    return {
        row: Segmentation.from_frames(
            [named[label] for label in video.labels[row].tolist()], times=times
        )
        for row in ROWS
        if row in video.labels
    }


def confusion_figure(
    cells: list[tuple[int, int, int]], names: tuple[str, ...] | list[str], kind: str
) -> Figure:
    """Shares of the frames of each true class, in rows, that are named as each class; from `analysis.confusion`."""
    totals = Counter[int]()
    for true, _, count in cells:
        totals[true] += count
    places = sorted(label for label, _ in totals.most_common(MOST_CLASSES))
    at = {label: index for index, label in enumerate(places)}
    shares: NDArray[np.float64] = np.zeros((len(places), len(places)))
    for true, guess, count in cells:
        if true in at and guess in at:
            shares[at[true], at[guess]] = count / totals[true]
    side = 3.2 + 0.16 * len(places)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    shown = [names[label] for label in places]
    axes.set_xticks(range(len(places)), shown, rotation=90, fontsize=6, parse_math=False)
    axes.set_yticks(range(len(places)), shown, fontsize=6, parse_math=False)
    axes.set(xlabel=f"predicted {kind}", ylabel=f"true {kind}")
    figure.colorbar(image, ax=axes, label="share of the frames of the true class", shrink=0.7)
    return figure


Frames = tuple[
    str, NDArray[np.floating], NDArray[np.floating], NDArray[np.floating], NDArray[np.int64]
]
"""Of one video: name, input (T, D), features of the last block (T, H), log scores (T, C) and labels (T,)."""


def draw_frames(
    videos: Iterable[Frames], vocabulary: Vocabulary, out: Path, *, title: str, n_scores: int = 4
) -> list[Path]:
    """Draw ``input.png``, ``features.png`` and, of `n_scores` videos, ``scores_NAME.png`` into ``out``; their paths.

    The videos are those of `fact_clip.training.embeddings.frame_states`.
    """
    listed, figures = list(videos), dict[Path, Figure]()
    for name, _, _, scores, labels in listed[:n_scores]:
        figures[out / f"scores_{name}.png"] = class_scores(
            scores, labels, vocabulary.names, title=f"{title}: {name}"
        )
    labels = np.concatenate([video[-1] for video in listed])
    for what, index in (("input", 1), ("features", 2)):
        rows = np.concatenate([np.asarray(video[index], dtype=np.float32) for video in listed])
        over = f"{title}: {what}, {len(listed)} videos"
        figures[out / f"{what}.png"] = space(Space(rows, labels), vocabulary, title=over)
    return [save_figure(figure, path, dpi=120) for path, figure in figures.items()]


def principal_components(
    rows: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (N, D) on their two principal axes, (N, 2), and the share of the variance that each has, (2,).

    Each axis points to where its largest coefficient is positive, so that equal rows give equal pictures.
    """
    centred = rows - rows.mean(axis=0)
    _, strength, axes = np.linalg.svd(centred, full_matrices=False)  # (K,), (K, D)
    if len(strength) < 2:
        raise InputError(
            "embeddings", f"an array of shape {centred.shape}, less than two rows of two columns"
        )
    axes = axes[:2]
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    total = float((strength**2).sum()) or 1.0
    return centred @ (axes * signs[:, None]).T, strength[:2] ** 2 / total


@dataclass(frozen=True, eq=False)
class Space:
    """Vectors of one space, and the class of each."""

    rows: NDArray[np.floating]  # (N, D)
    labels: NDArray[np.int64]  # (N,) class indices, -1 where a row is not drawn
    text: NDArray[np.floating] | None = (
        None  # (C, D) vectors of the classes in the same space, or None
    )


def space(
    embedded: Space, vocabulary: Vocabulary, *, unseen: Collection[int] = (), title: str = ""
) -> Figure:
    """Rows as dots and texts as large marks in the colours of their classes: rings for seen classes, stars for unseen.

    Rows and texts are laid out together, on two principal axes, each less their mean: a gap between all rows and all
    texts says nothing of classes. Background is grey and lies below.
    """
    step = -(-len(embedded.rows) // _MOST_POINTS)
    rows, labels, text = embedded.rows[::step], embedded.labels[::step], embedded.text
    parts = [np.asarray(part, dtype=np.float64) for part in (rows, text) if part is not None]
    centred = np.concatenate([part - part.mean(axis=0) for part in parts])
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    points, shares = principal_components(centred)
    axes.set_xlabel(f"first principal axis ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second ({shares[1]:.0%})")
    looks = class_colours(vocabulary.names, vocabulary.background)
    colours = [looks[name]["colour"] or BACKGROUND for name in vocabulary.names]
    shown = [int(label) for label in np.unique(labels) if label >= 0]
    for label in sorted(
        shown, key=lambda label: vocabulary.names[label] not in vocabulary.background
    ):
        x, y = points[: len(rows)][labels == label].T
        axes.scatter(x, y, s=6, color=colours[label], linewidths=0)
    handles = [Line2D([], [], marker="o", linestyle="", color=colours[label]) for label in shown]
    names, columns = [vocabulary.names[label] for label in shown], -(-len(shown) // 40)
    legend = figure.legend(
        handles, names, loc="outside right upper", fontsize=7, frameon=False, ncols=columns
    )
    for entry in legend.get_texts():
        entry.set_parse_math(False)
    for label, (x, y) in enumerate(points[len(rows) :].tolist()):
        look: dict[str, Any] = (
            {"marker": "*", "s": 130} if label in unseen else {"marker": "o", "s": 40}
        )
        axes.scatter(
            [x], [y], color=colours[label], edgecolors="black", linewidths=1.2, zorder=3, **look
        )
    if text is not None:
        marks = [
            Line2D([], [], marker=mark, linestyle="", color="white", markeredgecolor="black")
            for mark in "o*"
        ]
        axes.legend(
            marks, ["text of a seen class", "text of an unseen class"], loc="best", fontsize=7
        )
    return figure


def class_scores(
    scores: NDArray[np.floating], truth: NDArray[np.int64], names: Sequence[str], *, title: str = ""
) -> Figure:
    """A heat map of log-probabilities (T, C), time to the right, one row a class that is ever the best or the true one.

    Scores below -10 look alike; the truth (T,) is a white line, -1: none.
    """
    shown = np.union1d(scores.argmax(axis=1), truth[truth >= 0])
    column_of = np.full(len(names) + 1, np.nan)  # the last one is for -1
    column_of[shown] = np.arange(len(shown))
    figure = Figure(figsize=(12, 1.5 + 0.18 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(
        scores[:, shown].T.clip(_FLOOR, 0),
        aspect="auto",
        interpolation="nearest",
        vmin=_FLOOR,
        vmax=0,
    )
    axes.step(np.arange(len(truth)), column_of[truth], where="mid", color="white", linewidth=1)
    axes.set_yticks(
        range(len(shown)), [names[label] for label in shown], fontsize=7, parse_math=False
    )
    axes.set_xlabel("frame")
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    figure.colorbar(image, ax=axes, label="log p(class); white: truth")
    return figure
