"""What a model makes of frames: their features on two principal axes, and class scores over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from fact_clip.core import InputError, Vocabulary
from fact_clip.report.colours import BACKGROUND, palette
from fact_clip.report.timeline import check_suffix, save_figure

_MOST_POINTS = 5000  # more dots only hide each other
_FLOOR = -10.0  # nats; what is less likely looks the same


Frames = tuple[str, NDArray[np.floating], NDArray[np.floating], NDArray[np.floating], NDArray[np.int64]]
"""Of one video: name, input (T, D), features of the last block (T, H), log scores (T, C) and labels (T,)."""


def draw_frames(
    videos: Iterable[Frames], vocabulary: Vocabulary, out: Path, *, title: str, n_scores: int = 4
) -> list[Path]:
    """Draw ``input.png``, ``features.png`` and, of the first videos, ``scores_NAME.png`` into ``out``.

    Args:
        videos: what a model makes of each, see `fact_clip.training.evaluation.frame_states`.
        vocabulary: the classes.
        out: folder of the pictures.
        title: begins the line above each picture.
        n_scores: how many videos get a picture of their class scores; the other two show all videos.

    Returns:
        The files.
    """
    listed = list(videos)
    figures: dict[Path, Figure] = {}
    for name, _, _, scores, labels in listed[:n_scores]:
        figures[out / f"scores_{name}.png"] = class_scores(scores, labels, vocabulary.names, title=f"{title}: {name}")
    labels = np.concatenate([video[-1] for video in listed])
    for what, place in (("input", 1), ("features", 2)):
        rows = np.concatenate([np.asarray(video[place], dtype=np.float32) for video in listed])
        over = f"{title}: {what}, {len(listed)} videos"
        figures[out / f"{what}.png"] = embeddings(rows, labels, vocabulary, title=over)
    return save_figures(figures)


def principal_components(rows: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (N, D) on their two principal axes, (N, 2), and the share of the variance that each has, (2,).

    Each axis points to where its largest coefficient is positive, so that equal rows give equal pictures.
    """
    centred = np.asarray(rows, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    _, strength, axes = np.linalg.svd(centred, full_matrices=False)  # (K,), (K, D)
    if len(strength) < 2:
        raise InputError("embeddings", f"an array of shape {centred.shape}", "two rows of two columns at least")
    axes = axes[:2]
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    total = float((strength**2).sum()) or 1.0
    return centred @ (axes * signs[:, None]).T, strength[:2] ** 2 / total


def embeddings(
    rows: NDArray[np.floating],
    labels: NDArray[np.int64],
    vocabulary: Vocabulary,
    *,
    title: str = "",
) -> Figure:
    """Frames as dots on two principal axes, coloured by class; background is grey and lies below.

    Args:
        rows: (N, D) features; of more than a few thousand every k-th is drawn.
        labels: (N,) class indices, -1 where a frame is not drawn.
        vocabulary: the classes; its background is grey.
        title: a line above.
    """
    points, shares = principal_components(rows)
    step = -(-len(points) // _MOST_POINTS)
    points, labels = points[::step], np.asarray(labels)[::step]
    there = [int(label) for label in np.unique(labels) if label >= 0]
    actions = [label for label in there if label not in vocabulary.background_indices]
    colour = dict(zip(actions, palette(len(actions)), strict=True))
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.add_subplot()
    for label in sorted(there, key=lambda one: one in colour):
        own = points[labels == label]
        axes.scatter(own[:, 0], own[:, 1], s=6, color=colour.get(label, BACKGROUND), linewidths=0)
    axes.set_xlabel(f"first principal axis ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second ({shares[1]:.0%})")
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    handles = [Line2D([], [], marker="o", linestyle="", color=colour.get(label, BACKGROUND)) for label in there]
    shown, columns = [vocabulary.names[label] for label in there], -(-len(there) // 40)
    legend = figure.legend(handles, shown, loc="outside right upper", fontsize=7, frameon=False, ncols=columns)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def class_scores(
    scores: NDArray[np.floating], truth: NDArray[np.int64], names: Sequence[str], *, title: str = ""
) -> Figure:
    """A heat map of log-probabilities, time to the right, one row a class that is ever the best or the true one.

    Args:
        scores: (T, C) log-probabilities; below -10 all look alike.
        truth: (T,) class indices, a white line; -1: none.
        names: of the C classes.
        title: a line above.
    """
    shown = np.union1d(scores.argmax(axis=1), truth[truth >= 0])
    place = np.full(len(names) + 1, np.nan)  # the last one is for -1
    place[shown] = np.arange(len(shown))
    figure = Figure(figsize=(12, 1.5 + 0.18 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(scores[:, shown].T.clip(_FLOOR, 0), aspect="auto", interpolation="nearest", vmin=_FLOOR, vmax=0)
    axes.step(np.arange(len(truth)), place[truth], where="mid", color="white", linewidth=1)
    axes.set_yticks(range(len(shown)), [names[label] for label in shown], fontsize=7, parse_math=False)
    axes.set_xlabel("frame")
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    figure.colorbar(image, ax=axes, label="log p(class); white: truth")
    return figure


def save_figures(figures: Mapping[Path, Figure]) -> list[Path]:
    """Write each figure to its path, whole or not at all; the suffix names the format (.png, .svg, .pdf)."""
    for path in figures:
        check_suffix(path)
    return [save_figure(figure, path, dpi=120) for path, figure in figures.items()]
