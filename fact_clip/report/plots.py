"""Plots for papers: timelines, the curve of S over U, confusions and embeddings of a run, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fact_clip.core import Segmentation, Vocabulary
from fact_clip.report import analysis
from fact_clip.report.embeddings import Space, space, umap_is_there
from fact_clip.report.record import ROWS, Video
from fact_clip.report.summary import Evaluated, video_figures
from fact_clip.report.timeline import curve, save_figure, timeline

MOST_TIMELINES = 12
MOST_CLASSES = 60  # of a confusion matrix, the most frequent ones
_UNLABELLED = "no label"


def save_plots(evaluated: Evaluated, spaces: Mapping[str, Space], vocabulary: Vocabulary, out: Path) -> Iterator[Path]:
    """Write the plots of an evaluated run into a folder, and yield the path of each, .png and .svg.

    timeline_VIDEO, curve, confusion and confusion_SLOT, embeddings_NAME of each space, with the texts of its classes
    where there are some, and embeddings_NAME_umap where umap-learn is installed.
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
        yield "curve", curve({f"AUSUC {zero['ausuc']:.1f}": zero["curve"]}, used=zero["ways"]["in use"])
    truth, prediction = ([video.labels[row] for video in evaluated.record.videos] for row in ("truth", "prediction"))
    yield "confusion", confusion_figure(analysis.confusion(truth, prediction), names.names, "class")
    for slot, confusions in analysis.factor_confusions(names, truth, prediction).items():
        yield f"confusion_{slot}", confusion_figure(confusions["cells"], confusions["names"], slot)
    unseen = {vocabulary.index(name) for name in (zero or {}).get("unseen", {}) if name in vocabulary}
    for name, space_ in spaces.items():
        for umap in (False, True)[: 1 + umap_is_there()]:
            shown = f"{name} of {evaluated.title}"
            yield (
                f"embeddings_{name}" + "_umap" * umap,
                space(space_, vocabulary, unseen=unseen, title=shown, umap=umap),
            )


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
