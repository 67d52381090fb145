"""Plots for papers, as PNG and SVG: timelines, the curve of S over U, confusions, embeddings and class scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation, Vocabulary
from fact_clip.core.colours import BACKGROUND, class_colours
from fact_clip.report import analysis
from fact_clip.report.record import ROWS, Video
from fact_clip.report.summary import Evaluated, video_figures
from fact_clip.report.timeline import curve, save_figure, timeline

MOST_TIMELINES = 12
MOST_CLASSES = 60  # of a confusion matrix, the most frequent ones
_UNLABELLED = "no label"

_MOST_POINTS = 5000  # more dots only hide each other
_FLOOR = -10.0  # nats; what is less likely looks the same


def save_plots(evaluated: Evaluated, spaces: Mapping[str, Space], vocabulary: Vocabulary, out: Path) -> Iterator[Path]:
    """Write the plots of an evaluated run into a folder, and yield the path of each, .png and .svg.

    timeline_VIDEO, curve, confusion and confusion_SLOT, embeddings_NAME of each space, with the texts of its classes
    where there are some.
    """
    for name, figure in _figures(evaluated, spaces, vocabulary):
        for suffix in (".png", ".svg"):
            yield save_figure(figure, out / f"{name}{suffix}")


def _figures(evaluated: Evaluated, spaces: Mapping[str, Space], vocabulary: Vocabulary) -> Iterator[tuple[str, Figure]]:
    names = evaluated.record.vocabulary
    for video in chosen_videos(evaluated):
        title = f"{video.name}, accuracy {video_figures(video, evaluated)['frame_accuracy']:.1f}"
        look: dict[str, Any] = {"background": (*names.background, _UNLABELLED), "names": names.names, "title": title}
        yield f"timeline_{video.name}", timeline(_rows(video, names), **look)
    zero = evaluated.result.get("zero_shot")
    if zero is not None:
        yield "curve", curve(zero)
    truth, prediction = ([video.labels[row] for video in evaluated.record.videos] for row in ("truth", "prediction"))
    yield "confusion", confusion_figure(analysis.confusion(truth, prediction), names.names, "class")
    for slot, confusions in analysis.factor_confusions(names, truth, prediction).items():
        yield f"confusion_{slot}", confusion_figure(confusions["cells"], confusions["names"], slot)
    unseen = {vocabulary.index(name) for name in (zero or {}).get("unseen", {}) if name in vocabulary}
    for name, space_ in spaces.items():
        title = f"{name} of {evaluated.title}"
        yield f"embeddings_{name}", space(space_, vocabulary, unseen=unseen, title=title)


def chosen_videos(evaluated: Evaluated) -> list[Video]:
    """At most `MOST_TIMELINES` videos, evenly spread from the lowest frame accuracy to the highest."""
    ranked = sorted(evaluated.record.videos, key=lambda video: video_figures(video, evaluated)["frame_accuracy"])
    places = np.linspace(0, len(ranked) - 1, min(len(ranked), MOST_TIMELINES)).round().astype(int)
    return [ranked[index] for index in places]


def _rows(video: Video, vocabulary: Vocabulary) -> dict[str, Segmentation]:
    named = (*vocabulary.names, _UNLABELLED)  # the last one is for label -1
    times = None if video.times is None else video.times.tolist()
    return {
        row: Segmentation.from_frames([named[label] for label in video.labels[row].tolist()], times=times)
        for row in ROWS
        if row in video.labels
    }


def confusion_figure(cells: list[tuple[int, int, int]], names: tuple[str, ...] | list[str], kind: str) -> Figure:
    """Shares of the frames of each true class, in rows, that are named as each class; from `analysis.confusion`."""
    totals: dict[int, int] = {}
    for true, _, count in cells:
        totals[true] = totals.get(true, 0) + count
    places = sorted(sorted(totals, key=lambda label: -totals[label])[:MOST_CLASSES])
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


# --- embeddings and scores --------------------------------------------------------------------------------------------

Frames = tuple[str, NDArray[np.floating], NDArray[np.floating], NDArray[np.floating], NDArray[np.int64]]
"""Of one video: name, input (T, D), features of the last block (T, H), log scores (T, C) and labels (T,)."""


def draw_frames(
    videos: Iterable[Frames], vocabulary: Vocabulary, out: Path, *, title: str, n_scores: int = 4
) -> list[Path]:
    """Draw ``input.png``, ``features.png`` and, of `n_scores` videos, ``scores_NAME.png`` into ``out``; their paths.

    The videos are those of `fact_clip.training.embeddings.frame_states`.
    """
    listed, figures = list(videos), dict[Path, Figure]()
    for name, _, _, scores, labels in listed[:n_scores]:
        figures[out / f"scores_{name}.png"] = class_scores(scores, labels, vocabulary.names, title=f"{title}: {name}")
    labels = np.concatenate([video[-1] for video in listed])
    for what, index in (("input", 1), ("features", 2)):
        rows = np.concatenate([np.asarray(video[index], dtype=np.float32) for video in listed])
        over = f"{title}: {what}, {len(listed)} videos"
        figures[out / f"{what}.png"] = space(Space(rows, labels), vocabulary, title=over)
    return [save_figure(figure, path, dpi=120) for path, figure in figures.items()]


def principal_components(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (N, D) on their two principal axes, (N, 2), and the share of the variance that each has, (2,).

    Each axis points to where its largest coefficient is positive, so that equal rows give equal pictures.
    """
    centred = rows - rows.mean(axis=0)
    _, strength, axes = np.linalg.svd(centred, full_matrices=False)  # (K,), (K, D)
    if len(strength) < 2:
        raise InputError("embeddings", f"an array of shape {centred.shape}, less than two rows of two columns")
    axes = axes[:2]
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    total = float((strength**2).sum()) or 1.0
    return centred @ (axes * signs[:, None]).T, strength[:2] ** 2 / total


@dataclass(frozen=True, eq=False)
class Space:
    """Vectors of one space, and the class of each."""

    rows: NDArray[np.floating]  # (N, D)
    labels: NDArray[np.int64]  # (N,) class indices, -1 where a row is not drawn
    text: NDArray[np.floating] | None = None  # (C, D) vectors of the classes in the same space, or None


def space(embedded: Space, vocabulary: Vocabulary, *, unseen: Collection[int] = (), title: str = "") -> Figure:
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
    for label in sorted(shown, key=lambda label: vocabulary.names[label] not in vocabulary.background):
        x, y = points[: len(rows)][labels == label].T
        axes.scatter(x, y, s=6, color=colours[label], linewidths=0)
    handles = [Line2D([], [], marker="o", linestyle="", color=colours[label]) for label in shown]
    names, columns = [vocabulary.names[label] for label in shown], -(-len(shown) // 40)
    legend = figure.legend(handles, names, loc="outside right upper", fontsize=7, frameon=False, ncols=columns)
    for entry in legend.get_texts():
        entry.set_parse_math(False)
    for label, (x, y) in enumerate(points[len(rows) :].tolist()):
        look: dict[str, Any] = {"marker": "*", "s": 130} if label in unseen else {"marker": "o", "s": 40}
        axes.scatter([x], [y], color=colours[label], edgecolors="black", linewidths=1.2, zorder=3, **look)
    if text is not None:
        marks = [Line2D([], [], marker=mark, linestyle="", color="white", markeredgecolor="black") for mark in "o*"]
        axes.legend(marks, ["text of a seen class", "text of an unseen class"], loc="best", fontsize=7)
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
    image = axes.imshow(scores[:, shown].T.clip(_FLOOR, 0), aspect="auto", interpolation="nearest", vmin=_FLOOR, vmax=0)
    axes.step(np.arange(len(truth)), column_of[truth], where="mid", color="white", linewidth=1)
    axes.set_yticks(range(len(shown)), [names[label] for label in shown], fontsize=7, parse_math=False)
    axes.set_xlabel("frame")
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    figure.colorbar(image, ax=axes, label="log p(class); white: truth")
    return figure
